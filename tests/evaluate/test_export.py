"""What `repro export` writes loads with transformers' Auto classes and computes the same."""

import shutil

import pytest
import torch
from datasets import load_dataset
from huggingface_hub import DatasetCard, ModelCard
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    ElectraConfig,
    ElectraModel,
)

from repro.data import shards
from repro.errors import UserError
from repro.evaluate import classifier
from repro.evaluate.batching import Batch
from repro.evaluate.classifier import Classifier
from repro.evaluate.finetuning import finetune
from repro.hub import export, heads
from repro.hub.cards import Origin
from repro.paper import Paper

SHAPE = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 64, "max_position_embeddings": 12}
LABELS = ["red", "green", "blue"]


def encoder_of(kind, **changes):
    torch.manual_seed(1)
    if kind == "electra":
        return ElectraModel(ElectraConfig(embedding_size=16, **(SHAPE | changes))).eval()
    return BertModel(BertConfig(**(SHAPE | changes)), add_pooling_layer=False).eval()


def head_of(name, outputs=3, scale=3.0):
    torch.manual_seed(2)
    head = classifier.build_head(name, SHAPE["hidden_size"], outputs, 0.1).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=scale)  # logits of a trained model, and beyond
    return head


@pytest.fixture
def inputs():
    """(input_ids, segments, keep) of four rows of different lengths."""
    torch.manual_seed(3)
    keep = torch.arange(10) < torch.tensor([[10], [7], [4], [9]])
    return torch.randint(5, 60, (4, 10)) * keep, torch.randint(0, 2, (4, 10)) * keep, keep


def ours(encoder, head, inputs, places=None):
    ids, segments, keep = inputs
    batch = Batch(ids, segments, keep, torch.arange(4), places, torch.zeros(4))
    with torch.no_grad():
        return Classifier(encoder, head, "cls").eval()(batch)


def theirs(model, inputs):
    ids, segments, keep = inputs
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=keep, token_type_ids=segments).logits


@pytest.mark.parametrize(("kind", "name"), [("electra", "dense_gelu"), ("electra", "linear"),
                                            ("bert", "dense_tanh"), ("bert", "linear")])
def test_a_stock_class_has_our_logits_after_it_was_saved(kind, name, inputs, tmp_path):
    encoder, head = encoder_of(kind), head_of(name)
    model = heads.stock(encoder, head.state_dict(), name, "cls", "classification", LABELS)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    expected = ours(encoder, head, inputs)
    assert expected.abs().max() > 5
    torch.testing.assert_close(theirs(loaded, inputs), expected, rtol=1e-5, atol=2e-5)
    assert loaded.config.id2label == {0: "red", 1: "green", 2: "blue"}
    assert loaded.config.problem_type == "single_label_classification"


@pytest.mark.parametrize("kind", ["electra", "bert"])
def test_a_tagger_has_our_logits_at_every_labelled_piece(kind, inputs):
    encoder, head = encoder_of(kind), head_of("linear")
    places = torch.tensor([1, 2, 13, 21, 35])
    model = heads.stock(encoder, head.state_dict(), "linear", "cls", "tagging", LABELS)
    found = theirs(model, inputs).flatten(0, 1)[places]
    torch.testing.assert_close(found, ours(encoder, head, inputs, places), rtol=1e-5, atol=2e-5)


def test_regression_has_one_output(inputs):
    encoder, head = encoder_of("bert"), head_of("linear", outputs=1)
    model = heads.stock(encoder, head.state_dict(), "linear", "cls", "regression", [])
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    torch.testing.assert_close(theirs(model, inputs), ours(encoder, head, inputs), rtol=1e-5,
                               atol=2e-5)


@pytest.mark.parametrize(("kind", "name", "pooling", "task", "reason"), [
    ("bert", "linear", "mean", "classification", "pooling = 'mean'"),
    ("bert", "dense_gelu", "cls", "classification", "has a tanh between"),
    ("electra", "dense_tanh", "cls", "classification", "has a gelu between"),
    ("electra", "dense_gelu", "cls", "tagging", "have a linear one")])
def test_what_no_stock_class_computes_is_refused(kind, name, pooling, task, reason):
    with pytest.raises(UserError, match=reason):
        heads.stock(encoder_of(kind), head_of(name).state_dict(), name, pooling, task, LABELS)


def test_more_outputs_than_the_stock_head_can_carry_are_refused():
    many = [str(index) for index in range(17)]
    head = head_of("linear", outputs=17).state_dict()
    with pytest.raises(UserError, match="17 outputs need 34 units of a gelu layer, which has 32"):
        heads.stock(encoder_of("electra"), head, "linear", "cls", "classification", many)
    heads.stock(encoder_of("bert"), head, "linear", "cls", "classification", many)


@pytest.fixture
def origin():
    settings = {"head": "linear", "pooling": "cls", "learning_rates": [3e-3],
                "labels_per_class": None, "train_examples": None, "dev_examples": None,
                "test_examples": None}
    return Origin(Paper.find("electra"), "mini", "bert", "finetune", 1, "ab" * 32, settings)


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_data, toy):
    return make_data(tmp_path_factory.mktemp("data"), [toy.easy(), toy.parity(), toy.graded()])


@pytest.fixture(scope="module")
def pretrain(tmp_path_factory, make_pretrain):
    return make_pretrain(tmp_path_factory.mktemp("pretrain"))


def test_a_finetune_artefact_becomes_a_model_a_task(data, pretrain, make_context, plain, origin,
                                                    tmp_path):
    ctx = make_context(data, pretrain)
    finetune(ctx, **(plain | {"epochs": 2}), keep_weights=True)
    lines = export.write_tuned(origin, ctx.out, data, tmp_path / "hub")
    assert len(lines) == 3 and "BertForTokenClassification, logits within" in " ".join(lines)
    for task, auto in (("easy", AutoModelForSequenceClassification),
                       ("parity", AutoModelForTokenClassification)):
        folder = tmp_path / "hub" / task
        assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {
            path.name for path in folder.iterdir()}
        model, tokenizer = auto.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        encoded = tokenizer("w1", return_tensors="pt")
        assert encoded["input_ids"].tolist() == [[6]]  # five special tokens and w0 come first
        assert model(**encoded).logits.shape[-1] == model.config.num_labels == 2
    place = tmp_path / "hub" / "easy"
    assert export.distance(place, ctx.out, data, "easy", origin.config, 1) < 1e-5
    card = ModelCard.load(tmp_path / "hub" / "parity" / "README.md")
    assert card.data.pipeline_tag == "token-classification"
    assert card.data.library_name == "transformers" and card.data.license == "other"
    assert "electra" in card.data.tags and "arxiv:2003.10555" in card.data.tags
    assert "CC BY-SA" in card.text and "on purpose" in card.text


def test_weights_that_do_not_give_the_stored_predictions_are_refused(
        data, pretrain, make_context, plain, origin, tmp_path):
    ctx = make_context(data, pretrain)
    finetune(ctx, **(plain | {"epochs": 1}), tasks=("easy",), keep_weights=True)
    other = make_context(data, pretrain, name="other", seed=2)
    finetune(other, **(plain | {"epochs": 1}), tasks=("easy",), keep_weights=True)
    shutil.rmtree(ctx.out / "tuned")
    shutil.copytree(other.out / "tuned", ctx.out / "tuned")
    with pytest.raises(UserError, match="logits differ by"):
        export.write_tuned(origin, ctx.out, data, tmp_path / "hub")


def test_an_artefact_without_weights_says_what_to_set(data, pretrain, make_context, plain, origin,
                                                      tmp_path):
    ctx = make_context(data, pretrain)
    finetune(ctx, **(plain | {"epochs": 1}), tasks=("easy",))
    with pytest.raises(UserError, match="finetuning.finetune.keep_weights = True"):
        export.write_tuned(origin, ctx.out, data, tmp_path / "hub")


def test_a_pretrained_model_loads_and_says_where_it_is_from(data, pretrain, origin, tmp_path):
    folder = tmp_path / "artefact"
    shutil.copytree(pretrain, folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(data / name, folder / "model" / name)
    export.write_pretrained(origin, folder, tmp_path / "hub")
    mine = AutoModel.from_pretrained(pretrain / "model", add_pooling_layer=False)
    loaded = AutoModel.from_pretrained(tmp_path / "hub", add_pooling_layer=False)
    for name, tensor in mine.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    card = ModelCard.load(tmp_path / "hub" / "README.md")
    assert card.data.pipeline_tag == "feature-extraction"
    assert "arm `bert`" in card.text and "seed 1" in card.text and "ab" * 32 in card.text


def test_results_of_the_very_run_stand_in_the_metadata(origin, data, pretrain, make_context, plain,
                                                       tmp_path, monkeypatch):
    row = {"arm": "bert", "seed": 1, "task": "easy", "metric": "accuracy", "value": 0.75}
    monkeypatch.setattr("repro.hub.cards.rows", lambda origin, task: [row])
    ctx = make_context(data, pretrain)
    finetune(ctx, **(plain | {"epochs": 1}), tasks=("easy",), keep_weights=True)
    export.write_tuned(origin, ctx.out, data, tmp_path / "hub")
    card = ModelCard.load(tmp_path / "hub" / "easy" / "README.md")
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.task_type) == (
        "accuracy", 0.75, "text-classification")
    assert result.dataset_type == "electra-easy" and card.data.model_name == "electra-bert-easy"


def test_a_data_artefact_loads_as_datasets(data, origin, tmp_path, monkeypatch):
    from repro.hub import datasets

    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    lines = datasets.write(data, tmp_path / "hub", origin)
    assert len(lines) == 3
    card = DatasetCard.load(tmp_path / "hub" / "README.md")
    names = [part["config_name"] for part in card.data.to_dict()["configs"]]
    assert names == ["task_easy", "task_graded", "task_parity"]
    loaded = load_dataset(str(tmp_path / "hub"), "task_parity", cache_dir=str(tmp_path / "cache"))
    stored = shards.open_task(data, "parity")
    assert {name: len(part) for name, part in loaded.items()} == {
        "train": len(stored.train), "validation": len(stored.dev), "test": len(stored.test)}
    first = loaded["test"][0]
    length = len(first["input_ids"])
    assert first["input_ids"] == stored.test.input_ids[0][:length].tolist()
    assert (stored.test.input_ids[0][length:] == 0).all()
    assert first["labels"] == stored.test.labels[0][:length].tolist()
    assert "license: other" in (tmp_path / "hub" / "README.md").read_text()
