"""The encoder-decoder and its loss against transformers, by hand, and its operations."""

import math
from functools import partial

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from repro.check.footprint import measure
from repro.data.seq2seq import Translation
from repro.errors import UserError
from repro.losses.seq2seq import Seq2Seq, predictions, smoothed_cross_entropy
from repro.nn.seq2seq import from_stage, mbart, training_flops
from repro.text.tokenizer import VocabInfo
from repro.train import optimizers
from repro.train.streams import Streams

VOCAB = VocabInfo(size=50, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
MODEL = partial(mbart, hidden=16, layers=2, heads=2, intermediate=24, max_positions=32)
OBJECTIVE = Seq2Seq(model=MODEL)
INPUTS = torch.tensor([[7, 8, 9, 10, 3, 6], [11, 3, 6, 0, 0, 0], [12, 13, 14, 3, 6, 0]])
LABELS = torch.tensor([[20, 21, 3, 5], [22, 3, 5, 0], [23, 24, 3, 5]])


@pytest.mark.parametrize("full", [False, True])
def test_loss_and_gradients_are_those_of_transformers(full):
    inputs = INPUTS.masked_fill(INPUTS == 0, 15) if full else INPUTS
    model = OBJECTIVE.build(VOCAB, Streams(0)).eval()
    theirs = transformers.MBartForConditionalGeneration(model.config).eval()
    theirs.load_state_dict(model.state_dict())
    ours = OBJECTIVE.loss(model, inputs, LABELS, Streams(0), 0)["loss"]
    expected = theirs(input_ids=inputs, attention_mask=(inputs != 0).long(),
                      labels=LABELS.masked_fill(LABELS == 0, -100)).loss
    torch.testing.assert_close(ours, expected)
    ours.backward()
    expected.backward()
    for (name, one), two in zip(model.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=name)


def test_smoothing_by_hand():
    logits = torch.tensor([[2.0, 0.0, -1.0]], dtype=torch.float32)
    log_p = torch.log_softmax(logits, dim=1)[0]
    expected = -(0.8 * log_p[0] + 0.1 * log_p[1] + 0.1 * log_p[2])
    found = smoothed_cross_entropy(logits, torch.tensor([0]), 0.2)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    plain = smoothed_cross_entropy(logits, torch.tensor([0]), 0.0)
    assert plain.item() == pytest.approx(-log_p[0].item(), rel=1e-6)


def test_the_decoder_begins_with_the_language_and_sees_no_token_it_writes():
    model = OBJECTIVE.build(VOCAB, Streams(0)).eval()
    logits, targets = predictions(model, INPUTS, LABELS)
    assert targets.tolist() == [20, 21, 3, 5, 22, 3, 5, 23, 24, 3, 5]
    other = LABELS.clone()
    other[0, 1] = 30  # its prediction, and those before it, cannot depend on it
    changed = predictions(model, INPUTS, other)[0]
    torch.testing.assert_close(changed[:2], logits[:2])
    assert not torch.allclose(changed[2], logits[2])
    tagged = LABELS.clone()
    tagged[0, 3] = 6  # the language to write in is read first
    assert not torch.allclose(predictions(model, INPUTS, tagged)[0][0], logits[0])
    with pytest.raises(ValueError, match="no token to write"):
        predictions(model, INPUTS, LABELS * 0)


def test_padding_changes_no_prediction():
    model = OBJECTIVE.build(VOCAB, Streams(0)).eval()
    alone, _ = predictions(model, INPUTS[1:2, :3], LABELS[1:2, :3])
    together, _ = predictions(model, INPUTS, LABELS)
    torch.testing.assert_close(together[4:7], alone)


def test_a_model_that_knows_nothing_is_at_the_entropy_of_the_vocabulary():
    model = OBJECTIVE.build(VOCAB, Streams(0)).eval()
    with torch.no_grad():
        model.lm_head.weight.zero_()
    loss = OBJECTIVE.loss(model, INPUTS, LABELS, Streams(0), 0)["loss"]
    assert loss.item() == pytest.approx(math.log(50), rel=1e-6)


def test_operations_are_those_that_torch_counts():
    model = OBJECTIVE.build(VOCAB, Streams(0)).train()
    inputs, labels = torch.randint(5, 50, (4, 12)), torch.randint(5, 50, (4, 9))
    with FlopCounterMode(display=False) as counter:
        OBJECTIVE.loss(model, inputs, labels, Streams(0), 0)["loss"].backward()
    assert training_flops(model.config, 4, 12, 9) == counter.get_total_flops()


def test_the_next_stage_begins_where_the_one_before_ended(tmp_path):
    before = OBJECTIVE.build(VOCAB, Streams(0)).eval()
    before.save_pretrained(tmp_path)
    after = Seq2Seq(model=partial(MODEL, dropout=0.3)).build(VOCAB, Streams(1)).eval()
    from_stage(after, tmp_path)
    for model in (before, after):
        assert model.lm_head.weight is model.model.shared.weight
    assert after.config.dropout == 0.3
    ours, theirs = (OBJECTIVE.loss(model, INPUTS, LABELS, Streams(0), 0)["loss"]
                    for model in (before, after))
    assert torch.equal(ours, theirs)
    loaded = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert torch.equal(loaded.lm_head.weight, before.lm_head.weight)
    wider = Seq2Seq(model=partial(MODEL, intermediate=32)).build(VOCAB, Streams(1))
    with pytest.raises(UserError, match=r"fc1.weight is \(24, 16\), expected \(32, 16\)"):
        from_stage(wider, tmp_path)
    with pytest.raises(UserError, match="no readable weights"):
        from_stage(after, tmp_path / "nowhere")


def test_mbart_large_has_its_published_size_and_is_built_without_memory():
    large = partial(mbart, hidden=1024, layers=12, heads=16, intermediate=4096, weights="none")
    vocab = VocabInfo(250027, 1, 3, 0, 2, 250026, (0, 1, 2, 3, 250026))
    batches = Translation(corpus="any", source="de", target="en", batch_size=2, source_length=16,
                          target_length=16)
    found, model = measure(Seq2Seq(model=large, smoothing=0.2),
                           partial(optimizers.adamw, lr=1e-3), batches, vocab, bf16=True)
    assert found.exported == found.trained == 610_851_840
    assert model.device.type == "meta"


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="heads = 3"):
        mbart(VOCAB, hidden=16, layers=1, heads=3, intermediate=8)
    with pytest.raises(UserError, match="smoothing = 0.5"):
        Seq2Seq(model=MODEL, smoothing=0.5)
