"""status, logs, cancel and doctor on suites that were run."""

import io
import json
import subprocess
import sys
import time

import pytest

from repro.errors import UserError
from repro.pipeline import doctor, files, plans
from repro.pipeline import status as state
from repro.pipeline.submit import Request, submit


def test_a_fresh_suite_has_nothing_to_tell(suite):
    assert "nothing was asked for yet" in state.render(state.status(suite.settings()))


def test_status_counts_by_stage_and_arm(evaluated):
    evaluated.seeds([0, 1, 2])
    plans.note(evaluated.store, {("pretrain", "plain"): evaluated.specs("pretrain")})
    found = state.status(evaluated.settings())
    counts = {(cell.stage, cell.arm): cell.counts for cell in found.cells}
    assert counts[("pretrain", "plain")] == {"done": 2, "missing": 1}
    assert counts[("eval", "plain")] == {"done": 2}
    assert "toy@mini plain  pretrain  2 done, 1 missing" in state.render(found)
    assert json.loads(json.dumps(found.json()))["cells"][0]["paper"] == "toy"


def test_status_gives_the_reason_of_a_failure(evaluated):
    spec = evaluated.specs("eval")[0]
    entry = evaluated.store.entry(spec.key)
    entry.clear("done")
    entry.write("failed", {"error": "loss is not finite at step 12", "time": 0})
    text = state.render(state.status(evaluated.settings()))
    assert "1 done, 1 failed" in text
    assert "toy/eval@mini-plain seed0: loss is not finite at step 12" in text


def test_status_says_a_common_reason_once(evaluated):
    for spec in evaluated.specs("eval"):
        entry = evaluated.store.entry(spec.key)
        entry.clear("done")
        entry.write("failed", {"error": "its code changed", "time": 0})
    text = state.render(state.status(evaluated.settings()))
    assert text.endswith("\ntoy/eval@mini-plain seed0 and 1 more: its code changed")


def test_status_of_one_paper_leaves_out_the_others(evaluated):
    assert state.status(evaluated.settings(), ["other"]).cells == []


def test_status_of_a_hundred_papers_is_quick_and_needs_no_torch(evaluated):
    """1,800 finished runs; the figure is processor time, so that a busy machine does no harm."""
    home = evaluated.store.root / "plans"
    content = files.read_json(home / "toy@mini.json")
    runs = [content["plain/eval"][0]] * 18
    for number in range(100):
        files.write_json(home / f"p{number}@mini.json", {"plain/eval": runs}, durable=False)
    code = ("import sys, time; from repro.settings import load; from repro.pipeline import status;"
            "print(len(status.render(status.status(load(sys.argv[1])))) > 1000,"
            "time.process_time(), [m for m in ('torch', 'dvc', 'submitit', 'pydantic')"
            " if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code, str(evaluated.root)], capture_output=True,
                          text=True, check=True)
    enough, seconds, loaded = done.stdout.split(maxsplit=2)
    assert (enough, loaded.strip()) == ("True", "[]")
    assert float(seconds) < 0.5


def test_logs_are_found_by_label_and_by_key(evaluated):
    spec = evaluated.specs("pretrain")[1]
    for selector in ("toy/pretrain@mini-plain seed1", spec.fp):
        said = io.StringIO()
        state.logs(evaluated.settings(), selector, stream=said)
        assert said.getvalue().count("==>") == 1
        assert "from step 0" in said.getvalue()
    said = io.StringIO()
    state.logs(evaluated.settings(), "toy/pretrain", stream=said)
    assert said.getvalue().count("==> toy/pretrain@mini-plain") == 2


def test_an_unknown_run_comes_with_the_nearest_name(evaluated):
    with pytest.raises(UserError, match="no run 'toy/pretrian'.*did you mean 'toy/pretrain"):
        state.logs(evaluated.settings(), "toy/pretrian")
    with pytest.raises(UserError, match="no run 'to'"):
        state.cancel(evaluated.settings(), "to")


def test_a_log_is_followed_until_the_run_ends(evaluated, until):
    evaluated.resolve(pretrain={"steps": 20, "pause": 0.1})
    driver = evaluated.driver("pretrain")
    until(lambda: evaluated.running(evaluated.specs("pretrain")))
    with pytest.raises(UserError, match="means 2 living runs; follow one of"):
        state.logs(evaluated.settings(), "toy/pretrain", follow=True)
    said = io.StringIO()
    state.logs(evaluated.settings(), "toy/pretrain@mini-plain seed0", follow=True, stream=said)
    assert "from step 0" in said.getvalue()
    assert evaluated.store.entry(evaluated.specs("pretrain")[0].key).is_done
    driver.communicate()


def test_doctor_finds_a_sound_machine_and_names_what_is_not(suite):
    (suite.root / ".dvc").mkdir()
    (suite.root / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n    autostage = true\n"
        '[cache]\n    type = "reflink,hardlink,symlink"\n')
    found = {one.name: one for one in doctor.doctor(suite.settings())}
    assert found["python"].level == found["store"].level == found["torch"].level == "ok"
    assert found["links to workspace"].found == "hard links work"
    assert found["numerics"].found.startswith("portable: AVX2")
    assert found["dvc"].level == "warning"
    assert found["dvc"].advice == "dvc config core.autostage false"
    assert all(one.advice for one in found.values() if one.level != "ok")
    assert "autostage" in doctor.render(list(found.values()))


def test_doctor_names_a_store_it_cannot_write(suite):
    (suite.root / "file").write_text("")
    (found,) = doctor.check_store(suite.settings(store="file/store"))
    assert (found.name, found.level) == ("store", "error")
    assert "set another store" in found.advice


def test_a_submission_of_one_arm_leaves_out_the_others(evaluated):
    assert submit(Request(("toy",), "mini", ("plain",)), evaluated.settings()) == 0
    assert evaluated.starts(evaluated.specs("eval", "fast")) == [0, 0]
    with pytest.raises(UserError, match="unknown arm 'fats'"):
        submit(Request(("toy",), "mini", ("fats",)), evaluated.settings())
    with pytest.raises(UserError, match="unknown stage 'pretrian' .did you mean 'pretrain'"):
        submit(Request(("toy",), "mini", stages=("pretrian",)), evaluated.settings())


def test_a_detached_submission_finishes_every_paper_by_itself(evaluated, until):
    evaluated.keep_arms("plain", "twin", "fast")
    evaluated.resolve(eval={"scale": 3})
    began = time.monotonic()
    assert submit(Request(("toy",), "mini"), evaluated.settings(), detach=True) == 0
    assert time.monotonic() - began < 5
    wanted = evaluated.specs("eval") + evaluated.specs("eval", "fast")
    until(lambda: all(evaluated.store.entry(spec.key).is_done for spec in wanted), 60)
    (log,) = (evaluated.root / ".repro" / "drivers").iterdir()
    until(lambda: "done: toy/eval@mini-fast seed1" in log.read_text())
