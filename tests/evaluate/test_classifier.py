import numpy as np
import pytest
import torch
from torch.nn import functional as F

from repro.data.shards import Split
from repro.evaluate import classifier
from repro.evaluate.batching import gather
from repro.evaluate.examples import examples


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, make_pretrain):
    folder = make_pretrain(tmp_path_factory.mktemp("pretrain"))
    return classifier.load_encoder(folder / "model")


def rows(kind: str):
    rng = np.random.default_rng(0)
    ids = np.zeros((30, 12), dtype=np.uint16)
    for row in ids:
        length = rng.integers(4, 13)
        row[:length] = rng.integers(4, 60, length)
    words = ids.astype(np.int64)
    labels = np.where(words % 3 > 0, words % 3 - 1, -100)
    labels[:, 1] = 0
    if kind != "tagging":
        labels = np.arange(30) % 2
    return examples(Split(ids, (ids % 2).astype(np.uint8), labels), np.arange(30), 0, kind)


def model_of(encoder, pooling: str = "cls") -> classifier.Classifier:
    torch.manual_seed(0)
    return classifier.Classifier(encoder, classifier.build_head("linear", 32, 2, 0.1), pooling)


@pytest.mark.parametrize(
    ("kind", "pooling"), [("classification", "cls"), ("classification", "mean"), ("tagging", "cls")]
)
def test_batching_does_not_change_an_examples_outputs(encoder, kind, pooling):
    data, model = rows(kind), model_of(encoder, pooling)
    together = classifier.predict(model, data)
    with torch.no_grad():
        alone = [model(gather(data, torch.tensor([i]))) for i in range(len(data))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_tagging_loss_is_cross_entropy_that_ignores_unlabelled_pieces(encoder):
    data, model = rows("tagging"), model_of(encoder).eval()
    chosen = torch.arange(6)
    batch = gather(data, chosen)
    labels = torch.full(batch.input_ids_BT.shape, -100)
    labels.view(-1)[batch.places_U] = batch.targets_U
    hidden = encoder(
        batch.input_ids_BT, attention_mask=batch.keep_BT, token_type_ids=batch.segments_BT
    ).last_hidden_state
    expected = F.cross_entropy(model.head(hidden).flatten(0, 1), labels.flatten(),
                               ignore_index=-100)
    ours = classifier.task_loss(model(batch), batch.targets_U, "tagging")
    torch.testing.assert_close(ours, expected)


def test_segments_reach_the_encoder(encoder):
    data, model = rows("pair"), model_of(encoder).eval()
    batch = gather(data, torch.arange(4))
    other = gather(data, torch.arange(4))
    other.segments_BT.zero_()
    assert not torch.allclose(model(batch), model(other), atol=1e-4)


def test_mean_pooling_ignores_padding(encoder):
    data, model = rows("classification"), model_of(encoder, "mean").eval()
    batch = gather(data, torch.tensor([0, int(data.lengths_N.argmax())]))
    hidden = encoder(
        batch.input_ids_BT, attention_mask=batch.keep_BT, token_type_ids=batch.segments_BT
    ).last_hidden_state
    length = int(data.lengths_N[0])
    torch.testing.assert_close(model.features(batch)[0], hidden[0, :length].mean(0))


def test_regression_loss_is_the_mean_squared_error():
    outputs, targets = torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 5.0])
    assert classifier.task_loss(outputs, targets, "regression").item() == pytest.approx(2.5)


@pytest.mark.parametrize(("name", "dense"), [("linear", 1), ("dense_gelu", 2), ("dense_tanh", 2)])
def test_heads_start_small_and_without_bias(name, dense):
    torch.manual_seed(0)
    head = classifier.build_head(name, 64, 3, 0.1)
    layers = [m for m in head if isinstance(m, torch.nn.Linear)]
    assert len(layers) == dense
    assert head(torch.ones(5, 64)).shape == (5, 3)
    assert all(layer.bias.count_nonzero() == 0 for layer in layers)
    assert layers[0].weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_the_encoder_loads_without_pooler_and_with_its_weights(tmp_path, make_pretrain):
    from transformers import AutoModel

    folder = make_pretrain(tmp_path) / "model"
    ours = classifier.load_encoder(folder)
    theirs = AutoModel.from_pretrained(folder).eval()
    assert ours.pooler is None
    ids = torch.arange(4, 12)[None]
    torch.testing.assert_close(ours(ids).last_hidden_state, theirs(ids).last_hidden_state)
