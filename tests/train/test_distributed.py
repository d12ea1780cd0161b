"""The same training in 1, 2 and 4 tasks, connected over loopback: the same bytes."""

import json
import os
import pickle
import runpy
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from repro.data.shards import write_corpus, write_manifest
from repro.errors import UserError
from repro.text import tokenizer as tokenizers
from repro.train.distributed import ALONE, TreeSum, World

TASK = Path(__file__).parent / "world_task.py"
PLAN, train, pretrained = map(runpy.run_path(str(TASK)).get, ("PLAN", "train", "pretrained"))


def start(folder, size, cases):
    """Run the cases in a job of several tasks; return case -> what each task ended in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tasks = []
    for rank in range(size):
        place = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, TASK, folder, *cases]
        environment = os.environ | {name: str(value) for name, value in place.items()}
        tasks.append(subprocess.Popen(command, env=environment))
    try:
        assert [task.wait(timeout=300) for task in tasks] == [0] * size
    finally:
        for task in tasks:
            task.kill()
    ended = [pickle.loads((folder / f"results.{rank}").read_bytes()) for rank in range(size)]
    return {case: [results[case] for results in ended] for case in cases}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return size -> a folder with a data artefact of a hundred short documents."""
    folders = {size: tmp_path_factory.mktemp(f"world{size}") for size in (1, 2, 4)}
    texts = [f"the cat number {i} sat on mat {i % 7}" for i in range(100)]
    tokenizer = tokenizers.wordpiece(texts, vocab_size=120)
    data = folders[1] / "data"
    data.mkdir()
    tokenizers.save(tokenizer, data)
    vocab = tokenizers.vocab_info(tokenizer)
    write_corpus(data / "corpora" / "lm", tokenizers.encode(tokenizer, texts), vocab, {})
    write_manifest(data)
    for size in (2, 4):
        shutil.copytree(data, folders[size] / "data")
    return folders


@pytest.fixture(scope="module")
def four(folders):
    cases = ["straight", "bucketed", "checkpointed", "stopped", "not_finite", "spoilt", "raised",
             "raised_first", "pretrain", "fsdp2_stopped"]
    return start(folders[4], 4, cases)


@pytest.fixture(scope="module")
def two(folders, four):
    for name in ("stopped", "fsdp2_stopped"):
        target = folders[2] / name.replace("stopped", "resumed")
        shutil.copytree(folders[4] / name, target)
    cases = ["straight", "resumed", "unshared", "pretrain", "fsdp2", "fsdp2_resumed",
             "fsdp2_refused"]
    return start(folders[2], 2, cases)


@pytest.fixture(scope="module")
def alone():
    torch.set_num_threads(1)
    return train()


@pytest.fixture(scope="module")
def alone_pretrained(folders):
    torch.set_num_threads(1)
    return pretrained(folders[1] / "data", folders[1] / "pretrain")


def summed(values):
    tree = TreeSum()
    for value in values:
        tree.add([torch.tensor(value)])
    return tree.total()[0].item()


def test_the_tree_adds_neighbours_first():
    # 2^24 + 1 is no float32: one after the other, both ones are lost.
    values = [2.0**24, 0.0, 1.0, 1.0]
    assert summed(values) == 2.0**24 + 2
    assert sum(map(torch.tensor, values)).item() == 2.0**24


@pytest.mark.parametrize("count", [1, 3, 6, 7, 12])
def test_any_count_is_summed_and_blocks_of_a_power_of_two_are_nodes_of_the_tree(count):
    values = torch.randn(count, generator=torch.Generator().manual_seed(count)).tolist()
    whole = summed(values)
    assert whole == pytest.approx(sum(values), abs=1e-5)
    for block in (b for b in (1, 2, 4) if count % b == 0):
        parts = [summed(values[i : i + block]) for i in range(0, count, block)]
        assert summed(parts) == whole


def test_a_missing_term_adds_nothing():
    tree = TreeSum()
    for terms in ([None, None], [torch.tensor(2.0), None], [torch.tensor(3.0), None]):
        tree.add(terms)
    assert tree.total() == [torch.tensor(5.0), None]


def test_tasks_share_an_update_as_consecutive_blocks():
    shares = [World(rank, 4).share(3, 8) for rank in range(4)]
    assert [list(share) for share in shares] == [[24, 25], [26, 27], [28, 29], [30, 31]]


@pytest.mark.parametrize("count,size", [(3, 2), (6, 2), (4, 3), (2, 4), (1, 2)])
def test_a_number_of_tasks_that_does_not_fit_is_refused(count, size):
    ALONE.check(count)
    with pytest.raises(UserError, match=f"accumulation = {count} with {size} tasks: .*: 1"):
        World(0, size).check(count)


def test_every_task_refuses_it_alike(two):
    assert len(set(two["unshared"])) == 1
    assert two["unshared"][0].startswith("UserError: accumulation = 3 with 2 tasks")


@pytest.mark.parametrize("world", ["two", "four"])
def test_the_batches_are_those_of_one_process_each_in_one_task(alone, world, request):
    shares = [batches for _, batches, _ in request.getfixturevalue(world)["straight"]]
    assert sum(map(len, shares)) == PLAN.steps * PLAN.accumulation
    assert dict(sorted(item for share in shares for item in share.items())) == alone[1]


@pytest.mark.parametrize("world", ["two", "four"])
def test_history_weights_moments_and_averages_are_those_of_one_process(alone, world, request):
    for history, _, tensors in request.getfixturevalue(world)["straight"]:
        assert history == alone[0] and len(history) == PLAN.steps
        assert tensors == alone[2]


def test_the_size_of_the_messages_changes_no_bit(alone, four):
    assert four["bucketed"][0][2] == alone[2]


def test_checkpoints_are_those_of_one_process(four, folders, tmp_path):
    train(folder=tmp_path)
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        theirs = folders[4] / "checkpointed" / path.relative_to(tmp_path)
        assert theirs.read_bytes() == path.read_bytes()


def test_a_stop_request_in_one_task_stops_all_at_one_step(four):
    assert four["stopped"] == ["Interrupted: stopped on request after step 23 of 50"] * 4


def test_a_checkpoint_of_four_tasks_goes_on_in_one_and_in_two(alone, two, four, folders, tmp_path):
    shutil.copytree(folders[4] / "stopped", tmp_path / "resumed")
    history, batches, tensors = train(folder=tmp_path / "resumed")
    assert min(batches) == 23 * PLAN.accumulation
    assert (history, tensors) == (alone[0], alone[2])
    for history, batches, tensors in two["resumed"]:
        assert min(batches) >= 23 * PLAN.accumulation
        assert (history, tensors) == (alone[0], alone[2])


def test_a_loss_that_is_not_finite_in_one_task_ends_all_with_one_message(four):
    (message,) = set(four["not_finite"])
    assert message == "UserError: step 8: the loss is not finite (loss = nan, root = nan)"


def test_a_method_that_makes_the_tasks_differ_is_found_at_the_next_checkpoint(four):
    (message,) = set(four["spoilt"])
    assert message.startswith("UserError: seen: differs between the 4 tasks")


@pytest.mark.parametrize("case,rank", [("raised", 3), ("raised_first", 0)])
def test_an_error_in_one_task_ends_all_with_its_message(four, case, rank):
    expected = [f"UserError: task {rank}: ZeroDivisionError: of one task"] * 4
    expected[rank] = "ZeroDivisionError: of one task"
    assert four[case] == expected


def test_the_artefact_of_pretrain_is_that_of_one_process(two, four, alone_pretrained):
    for files, *others in (two["pretrain"], four["pretrain"]):
        assert files == alone_pretrained
        assert others == [{}] * len(others)


@pytest.mark.parametrize("case", ["fsdp2", "fsdp2_resumed"])
def test_fsdp2_agrees_up_to_rounding_also_from_a_checkpoint_of_four(two, alone_pretrained, case):
    files, other = two[case]
    assert other == {} and files.keys() == alone_pretrained.keys()
    losses = [[entry["loss"] for entry in map(json.loads, f["history.jsonl"].splitlines())]
              for f in (files, alone_pretrained)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    ours, theirs = (load(f["model/model.safetensors"]) for f in (files, alone_pretrained))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-5, atol=2e-6)


def test_a_sharded_checkpoint_goes_on_in_one_process(four, folders, alone_pretrained, tmp_path):
    assert set(four["fsdp2_stopped"]) == {"Interrupted: stopped on request after step 8 of 20"}
    shutil.copytree(folders[4] / "fsdp2_stopped" / "checkpoints", tmp_path / "checkpoints")
    files = pretrained(folders[4] / "data", tmp_path, sharding="fsdp2", world_size=1)
    ours, theirs = (load(f["model/model.safetensors"]) for f in (files, alone_pretrained))
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-5, atol=2e-6)


def test_fsdp2_fixes_the_number_of_tasks(two, folders, tmp_path):
    (message,) = set(two["fsdp2_refused"])
    assert message.startswith("UserError: world_size = 3: this run has 2 tasks")
    data = folders[1] / "data"
    for settings in ({"sharding": "fsdp2"}, {"world_size": 2}):
        with pytest.raises(UserError, match="expected a world_size with fsdp2"):
            pretrained(data, tmp_path, **settings)
