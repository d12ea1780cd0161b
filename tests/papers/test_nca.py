"""What papers/nca adds to the core: automata by hand and against numpy, the filter, two phases."""

import gzip
import hashlib
import io
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate

from papers.nca.method import (
    TRUNCATED_STD,
    Automata,
    CellularRows,
    Rules,
    draw_rules,
    gzip_ratio,
    in_context,
    logits_of,
    patches,
    shuffled_patches,
    step,
)
from repro.check import dry_run
from repro.config import resolved
from repro.config.build import build
from repro.context import RunContext
from repro.data.causal import CausalRows
from repro.data.shards import write_corpus, write_manifest
from repro.errors import UserError
from repro.losses.causal_lm import CausalLM
from repro.nn.decoders import llama
from repro.nn.vocabularies import own_vocabulary
from repro.paper import Paper
from repro.pipeline import golden, trajectory
from repro.pipeline.spec import expand_all
from repro.text import tokenizer as tokenizers
from repro.train import schedules
from repro.train.optimizers import adamw
from repro.train.pretraining import pretrain
from repro.train.streams import Streams
from repro.train.transfer import carry_over

ROOT = Path(__file__).parents[2]
SMALL = partial(Automata, colours=4, side=8)
ANY, HIGH = SMALL(least=0.0), SMALL(least=0.285)
ROWS = partial(CellularRows, batch_size=4, sequence_length=60)
TINY = partial(own_vocabulary, decoder=partial(
    llama, hidden=16, layers=2, heads=2, intermediate=24, max_positions=256))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_rule_that_copies_the_left_neighbour_moves_the_grid_to_the_right():
    # Two colours are seen as (1, 0, 1, 0): channels 1 and 2 are colours 0 and 1.
    near, mix, out = torch.zeros(1, 4, 4, 3, 3), torch.zeros(1, 16, 4), torch.zeros(1, 2, 16)
    for colour in (0, 1):
        near[0, colour, 1 + colour, 1, 0] = mix[0, colour, colour] = out[0, colour, colour] = 1
    cells = torch.tensor([[[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]])
    moved = torch.tensor([[[0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0]]])
    assert torch.equal(step(Rules(near, mix, out), cells, 0.0, generator()), moved)
    assert torch.equal(step(Rules(near, mix, out), cells, 1e-4, generator()), moved)


@pytest.mark.parametrize(("colours", "side"), [(4, 8), (10, 12)])
def test_a_step_is_that_of_numpy_and_scipy(colours, side):
    rules = draw_rules(3, colours, generator())
    cells = torch.randint(0, colours, (3, side, side), generator=generator())
    found = logits_of(rules, cells)
    for rule in range(3):
        # Padding wraps every axis of (H, W, N), as in the authors' code.
        seen = np.pad(np.eye(colours)[cells[rule]], 1, mode="wrap")
        kernels = rules.near[rule].double().numpy().transpose(0, 2, 3, 1)
        near = np.concatenate([correlate(seen, k, mode="valid") for k in kernels], axis=-1)
        hidden = np.maximum(near @ rules.mix[rule].double().numpy().T, 0)
        expected = hidden @ rules.out[rule].double().numpy().T
        np.testing.assert_allclose(found[rule].permute(1, 2, 0).numpy(), expected, atol=1e-5)
        after = step(rules, cells, 0.0, generator())[rule].numpy()
        assert np.array_equal(after, expected.argmax(axis=-1))


def test_a_high_temperature_draws_from_the_softmax():
    rules = draw_rules(1, 4, generator())
    cells = torch.randint(0, 4, (1, 8, 8), generator=generator())
    random = generator(1)
    drawn = torch.stack([step(rules, cells, 1.0, random)[0] for _ in range(4000)])
    shares = torch.stack([(drawn == colour).float().mean(dim=0) for colour in range(4)])
    assert (shares - logits_of(rules, cells)[0].softmax(dim=0)).abs().max() < 0.04


def test_kernels_are_those_of_flax():
    rules = draw_rules(300, 10, generator())
    for kernel, fan_in in ((rules.near, 9 * 12), (rules.mix, 4), (rules.out, 16)):
        assert kernel.var().item() == pytest.approx(1 / fan_in, rel=0.03)
        assert kernel.abs().max().item() <= 2 * fan_in**-0.5 / TRUNCATED_STD + 1e-6


def test_patches_by_hand():
    frame = torch.tensor([[1, 2, 0, 0], [3, 0, 0, 1], [0, 0, 3, 3], [2, 0, 3, 3]])
    assert patches(frame[None, None], 4, 2).tolist() == [[[
        1 + 2 * 4 + 3 * 16, 64, 2 * 16, 255]]]
    assert patches(frame[None, None], 10, 2).tolist()[0][0][0] == 321


def test_the_ratio_is_that_of_gzip_and_falls_with_structure():
    random = torch.randint(0, 256, (10, 16), generator=generator())
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9) as file:
        file.write(random.numpy().astype("<i4").tobytes())
    assert gzip_ratio(random) == len(buffer.getvalue()) / 640
    still, constant = random[:1].expand(10, 16), torch.zeros(10, 16, dtype=torch.int64)
    assert gzip_ratio(constant) < 0.05 < gzip_ratio(still.contiguous()) < gzip_ratio(random)


@pytest.mark.parametrize(("arm", "low", "high"), [("nca", 0.36, 0.44), ("nca_low", 0.13, 0.21)])
def test_the_bands_of_mini_are_the_quantiles_that_the_card_says(arm, low, high):
    tree = resolved.load(ROOT / "papers" / "nca" / "resolved" / "mini")
    config = tree["arms"][arm]["prepretrain"]["config"]["batches"]["automata"]
    automata = build(config, ROOT)()
    ratios = automata.ratios(draw_rules(1500, automata.colours, generator()), generator(1))
    share = ((ratios > automata.least) & (ratios < automata.most)).float().mean().item()
    assert low < share < high
    assert arm == "nca" or (ratios <= automata.least).float().mean().item() > 0.15  # frozen rules


def test_every_row_is_a_trajectory_of_a_rule_of_its_own_inside_the_band():
    automata = SMALL(temperature=0.0, least=0.285)
    rules = automata.rules(6, generator())
    assert len(rules.out.flatten(1).unique(dim=0)) == 6
    tokens = automata.tokens_of(rules, 12, generator(1))
    digits = tokens[..., None] // 4 ** torch.arange(4) % 4
    cells = digits.view(6, 12, 4, 4, 2, 2).transpose(3, 4).reshape(6, 12, 8, 8)
    for now, after in zip(cells.unbind(1), cells.unbind(1)[1:], strict=False):
        assert torch.equal(step(rules, now, 0.0, generator()), after)
    assert not torch.equal(cells[0, 0], cells[0, -1])
    # Chosen on one roll-out, seen in another: all are far from frozen there, too.
    assert (automata.ratios(rules, generator(2)) > 0.05).all()


def test_batches_are_functions_of_seed_and_index():
    vocab, batch = ROWS(automata=ANY).open(None, Streams(3))
    assert (vocab.size, vocab.cls, vocab.sep) == (258, 256, 257)
    tokens, keep = batch(5)
    assert tokens.shape == (4, 60) and tokens.dtype == torch.int64
    assert torch.equal(tokens, batch(5)[0]) and not torch.equal(tokens, batch(6)[0])
    assert not torch.equal(tokens, ROWS(automata=ANY).open(None, Streams(4))[1](5)[0])
    # 16 patches and two delimiters a frame; the first frame is given.
    places = torch.arange(60) % 18
    assert (tokens[:, places == 0] == 256).all() and (tokens[:, places == 17] == 257).all()
    assert (tokens[:, (places > 0) & (places < 17)] < 256).all()
    assert keep[:, 18:].all() and not keep[:, :18].any()


def test_shuffled_rows_keep_their_patches_and_lose_their_order():
    plain = ROWS(automata=HIGH).open(None, Streams(3))[1](0)[0]
    mixed = shuffled_patches(plain, 256, generator())
    assert not torch.equal(plain, mixed) and torch.equal(plain >= 256, mixed >= 256)
    assert torch.equal(plain.sort(dim=1).values, mixed.sort(dim=1).values)
    batch = ROWS(automata=HIGH, shuffled=True).open(None, Streams(3))[1](0)[0]
    assert not torch.equal(plain, batch)
    assert torch.equal(plain.sort(dim=1).values, batch.sort(dim=1).values)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: SMALL(side=9), "patches that fill a side"),
    (lambda: SMALL(least=0.5, most=0.4), "bounds in order"),
    (lambda: ROWS(automata=ANY, sequence_length=18), "a frame takes 18 tokens"),
    (lambda: ROWS(automata=ANY, batch_size=0), "batch_size = 0"),
])
def test_settings_out_of_range_are_errors(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_a_band_without_rules_is_an_error(monkeypatch):
    monkeypatch.setattr("papers.nca.method.MOST_DRAWS", 2)
    with pytest.raises(UserError, match="of 8 rules 0 have such a gzip ratio"):
        SMALL(least=0.9).rules(4, generator())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    texts = [f"the cat number {i} sat on mat {i % 7}" for i in range(100)]
    tokenizer = tokenizers.byte_bpe(texts, vocab_size=300)
    tokenizers.save(tokenizer, folder)
    vocab = tokenizers.vocab_info(tokenizer)
    ids = [np.array([*one, vocab.sep]) for one in tokenizers.encode(tokenizer, texts)]
    write_corpus(folder / "corpora" / "text", ids, vocab.dtype, {})
    write_manifest(folder)
    return folder


def phase(folder, stage, inputs, batches, steps, start=None):
    folder.mkdir(parents=True, exist_ok=True)
    ctx = RunContext(stage=stage, arm="arm", seed=3, out=folder / "out",
                     checkpoints=folder / "checkpoints", inputs=inputs)
    pretrain(ctx, batches=batches, objective=CausalLM(decoder=TINY), steps=steps, start=start,
             optimizer=partial(adamw, lr=0.01), schedule=schedules.cosine)
    return ctx.out


def language(data, folder, earlier=None):
    inputs = {"data": [data]} | ({"prepretrain": [earlier]} if earlier else {})
    rows = CausalRows(corpus="text", batch_size=4, sequence_length=12)
    return phase(folder, "pretrain", inputs, rows, 3, carry_over if earlier else None)


def automata(data, folder, steps):
    return phase(folder, "prepretrain", {"data": [data]}, ROWS(automata=ANY), steps)


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_first_phase_of_no_updates_is_training_from_scratch_in_the_same_bytes(data, tmp_path):
    scratch = language(data, tmp_path / "scratch")
    idle = language(data, tmp_path / "idle", automata(data, tmp_path / "none", 0))
    assert digests(idle) == digests(scratch)
    trained = language(data, tmp_path / "after", automata(data, tmp_path / "some", 2))
    assert digests(trained) != digests(scratch)
    first = [json.loads((out / "history.jsonl").read_text())["loss"] for out in (scratch, trained)]
    assert first[0] != first[1]


def test_the_same_frame_is_predicted_from_one_frame_or_from_many(data, tmp_path):
    out = automata(data, tmp_path, 2)
    ctx = RunContext(stage="eval", arm="arm", seed=3, out=tmp_path, checkpoints=tmp_path,
                     inputs={"prepretrain": [out]})
    few, many = (in_context(ctx, automata=ANY, frames=6, context=c, count=5) for c in (1, 5))
    assert few != many and all(0 <= one["token_accuracy"] <= 1 for one in (few, many))
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(out / "model")
    tokens = ANY.sequences(5, 6, Streams(3).generator("eval.cells"))[:, -2:].flatten(1)
    labels = tokens.masked_fill(torch.arange(36) < 19, -100)
    labels[:, -1] = -100
    with torch.no_grad():
        expected = model(input_ids=tokens, labels=labels).loss.item()
    assert few["nll"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UserError, match="context = 6: expected 1 to 5"):
        in_context(ctx, automata=ANY, frames=6, context=6)


def test_arms_share_the_first_phase_they_begin_from():
    paper, tree = Paper.find("nca", ROOT), resolved.load(ROOT / "papers/nca/resolved/mini")
    cells = expand_all(paper, tree, "mini", [0])
    (first,), (web,) = cells["prepretrain", "nca"], cells["pretrain", "nca"]
    assert list(web.inputs) == ["data", "prepretrain"]
    assert list(cells["pretrain", "scratch"][0].inputs) == ["data"]
    for arm in ("nca", "nca_reinit_attn", "nca_reinit_mlp", "nca_code"):
        assert cells["pretrain", arm][0].inputs["prepretrain"][0].key == first.key
    assert list(cells["eval", "nca"][0].inputs) == ["data", "pretrain"]
    assert cells["eval", "one_frame_seen"][0].inputs["prepretrain"][0].key == first.key
    keys = {cells["prepretrain", arm][0].key for arm in ("nca", "nca_low", "nat", "random_tokens")}
    assert len(keys) == 4


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_arms_of_a_claim_differ_in_what_comes_first_and_in_the_rate_alone(profile):
    arms = resolved.load(ROOT / "papers/nca/resolved" / profile)["arms"]
    language = {name: stages["pretrain"]["config"] for name, stages in arms.items()
                if "pretrain" in stages}
    for config in language.values():
        del config["start"], config["optimizer"]["lr"]
    for one in ("", "_math", "_code"):
        domain = [config for name, config in language.items()
                  if name.endswith(one or name) and (one or not name.endswith(("_math", "_code")))]
        assert len(domain) in (0, 3, 4, 7) and all(config == domain[0] for config in domain)
    first = [stages["prepretrain"]["config"] for stages in arms.values()
             if "prepretrain" in stages]
    tokens = {config["steps"] * config["accumulation"] * build(config["batches"], ROOT)().tokens
              for config in first}
    assert len(first) == 4 and len(tokens) == 1


def test_a_record_of_first_updates_reaches_the_second_phase_of_every_arm(
        data, tmp_path, monkeypatch):
    paper, tree = Paper.find("nca", ROOT), resolved.load(ROOT / "papers/nca/resolved/mini")
    chains = golden.chains_of(expand_all(paper, tree, "mini", [0]))
    named = {chain[-1].arm: [(run.arm, run.stage) for run in chain] for chain in chains}
    assert named["scratch"] == [("scratch", "pretrain")]
    assert named["nca_reinit_mlp"] == [("nca", "prepretrain"), ("nca_reinit_mlp", "pretrain")]
    trained = [arm for arm in paper.arms_of("mini") if "pretrain" in paper.stages_of(arm)]
    assert set(named) == set(trained)
    monkeypatch.setattr(trajectory, "STEPS", 2)
    chain = next(chain for chain in chains if chain[-1].arm == "nca_reinit_mlp")
    links = [{"arm": r.arm, "stage": r.stage, "config": r.config} for r in chain]
    known = {}
    first, second = found = trajectory.follow(links, [str(data)], 0, ROOT, tmp_path, known)
    assert len(first["loss"]) == len(second["loss"]) == 2 and first["state"] != second["state"]
    with pytest.MonkeyPatch.context() as patch:  # a beginning that is known is not made again
        patch.setattr(trajectory, "_start", None)
        assert trajectory.follow(links, [str(data)], 0, ROOT, tmp_path, known) == found


def test_the_dry_run_builds_both_phases_of_an_arm():
    whole = Paper.find("nca", ROOT)
    tree = resolved.load(ROOT / "papers/nca/resolved/paper")
    arms = ("scratch", "nca")
    tree["arms"] = {arm: tree["arms"][arm] for arm in arms}
    report = dry_run.check(whole.limited(arms, ()), "paper", tree)
    rows = {(row["arm"], row["stage"]): row for row in report["arms"]}
    assert list(rows) == [("scratch", "pretrain"), ("nca", "prepretrain"), ("nca", "pretrain")]
    # 24 layers of 4 x 2,048^2 and 3 x 2,048 x 8,192, their norms; twice 10,002 or 50,257 rows.
    body = 24 * (4 * 2048**2 + 3 * 2048 * 8192 + 2 * 2048) + 2048
    assert rows["nca", "prepretrain"]["parameters"]["trained"] == body + 2 * 10002 * 2048
    assert rows["nca", "pretrain"]["parameters"]["trained"] == body + 2 * 50257 * 2048
    assert rows["nca", "prepretrain"]["tokens"] == 163_840_000
