"""That all loops of bench/throughput.py have the same to do: models, examples, units counted."""

import pytest
import torch
from loops import artefacts, collating, models, ours, plain, trainer
from loops.setting import SETTING, UNITS, How

from repro.train.streams import Streams

ROWS = 8
PRE_TRAINED = [task for task in UNITS if task != "finetune"]


def sizes(module: torch.nn.Module) -> list[tuple[int, ...]]:
    return sorted(tuple(parameter.shape) for parameter in module.parameters())


@pytest.mark.parametrize("task", PRE_TRAINED)
def test_the_peer_trains_a_model_of_the_same_shapes(task, tmp_path):
    artefacts.write(task, tmp_path, ROWS)
    vocab, _ = ours.batches_of(task, ROWS).open(tmp_path, Streams(0))
    with torch.device("meta"):
        assert sizes(models.build(task)) == sizes(ours.objective_of(task).build(vocab, Streams(0)))


@pytest.mark.parametrize("task", PRE_TRAINED)
def test_a_batch_counts_for_the_same_units(task, tmp_path):
    """Of masked or infilled inputs the length is drawn; there the counts differ by a little."""
    artefacts.write(task, tmp_path, ROWS)
    _, batch = ours.batches_of(task, ROWS).open(tmp_path, Streams(0))
    counted = ours.UNITS_OF[task](*batch(0))
    theirs = collating.units(task, collating.collator(task)(collating.examples(task, ROWS)))
    assert counted == pytest.approx(theirs, rel=0.05 if task == "seq2seq" else 0)


def test_the_peers_crops_and_frames_have_the_shapes_of_ours(tmp_path):
    speech = collating.collator("ctc")(collating.examples("ctc", ROWS))
    assert speech["input_features"].shape[-1] == SETTING["mels"] * SETTING["stack"]
    images = collating.collator("contrastive")(collating.examples("contrastive", ROWS))
    assert images["pixel_values"].shape == (ROWS, 3, SETTING["image_size"], SETTING["image_size"])


@pytest.mark.parametrize("task", UNITS)
def test_each_loop_trains_each_task(task):
    how = How(numerics=ours.FREE, grouped=True)
    clocks = {loop.__name__: loop.run(task, 2, 4, how) for loop in (ours, plain, trainer)}
    for name, clock in clocks.items():
        assert len(clock.entries) == 2, name
        assert clock.entries[1].units > clock.entries[0].units > 0, name
