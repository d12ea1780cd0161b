"""The verdict reads the workspace: what was changed there is named, never judged."""

import pytest

from repro.errors import UserError
from repro.pipeline import files, workspace
from repro.pipeline.store import MANIFEST, RUNS


def change(path, old: str, new: str) -> None:
    files.write_text(path, path.read_text().replace(old, new))  # the store keeps its own


DAMAGES = {
    "a value": (lambda out: change(out / "seed1" / "rows.jsonl", "value", "valve"),
                "seed1/rows.jsonl: sha256 is not the one in its manifest"),
    "a value and its manifest": (
        lambda out: (change(out / "seed1" / "rows.jsonl", "value", "valve"),
                     change(out / "seed1" / MANIFEST, files.read_json(
                         out / "seed1" / MANIFEST)["files"]["rows.jsonl"],
                         files.sha256(out / "seed1" / "rows.jsonl"))),
        f"seed1/{MANIFEST}: sha256 is not the one in {RUNS}"),
    "rows gone": (lambda out: (out / "seed0" / "rows.jsonl").unlink(),
                  "seed0/rows.jsonl: sha256 is not the one in its manifest"),
    "a seed gone": (lambda out: files.remove(out / "seed0"), f"seed0: missing, but in {RUNS}"),
    "a seed more": (lambda out: files.link_tree(out / "seed0", out / "seed7"),
                    f"seed7: not in {RUNS}"),
    "no list": (lambda out: (out / RUNS).unlink(), f"{RUNS}: missing"),
    "another list": (lambda out: files.write_json(out / RUNS, {"seed0": 1}),
                     f"{RUNS}: runs: must be object of texts"),
    "a list of another shape": (lambda out: files.write_json(out / RUNS, []),
                                f"{RUNS}: runs: must be object of texts"),
}


@pytest.mark.parametrize("kind", list(DAMAGES))
def test_what_was_changed_in_the_workspace_is_not_judged(evaluated, kind):
    workspace.check(evaluated.paper, "mini")
    damage, wanted = DAMAGES[kind]
    out = evaluated.folder / "out" / "mini" / "plain" / "eval"
    damage(out)
    with pytest.raises(UserError) as caught:
        workspace.check(evaluated.paper, "mini")
    assert wanted in str(caught.value)
    assert str(caught.value).endswith("`repro run eval --profile mini --arm plain --paper toy`")
    files.remove(out)
    assert evaluated.run("eval")[0] == 0
    workspace.check(evaluated.paper, "mini")
