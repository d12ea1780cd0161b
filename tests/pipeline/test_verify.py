"""`repro verify` on the toy paper: what is equal is found equal, and what is not is named."""

import io

import pytest

from repro.errors import UserError
from repro.pipeline import drill, verify
from repro.pipeline.progress import Display
from repro.pipeline.store import Store

RESUMES = "json.loads(state.read_text()) if state.exists() else (0, ctx.seed + ctx.member)"


def certificate(suite, said=None):
    return verify.verify(suite.paper, "mini", suite.settings(), Display(said or io.StringIO()),
                         seeds=[0, 1], arms=["plain"])


def left_behind(suite):
    return list(suite.settings().store.parent.glob("verify-*"))


def test_runs_that_were_ended_and_resumed_leave_the_same_bytes(suite):
    suite.resolve(pretrain={"steps": 20})
    said = io.StringIO()
    found = certificate(suite, said)
    assert found["identical"] and found["mismatches"] == []
    assert found["seeds"] == [0, 1] and found["numerics"] is found["arithmetic"] is None
    assert found["cpu"] and found["libc"]
    alone, disturbed = found["ways"]["alone"], found["ways"]["disturbed"]
    assert alone["runs"] == disturbed["runs"] == 7
    assert alone["ended"] == {}
    assert sum(disturbed["ended"].values()) == 2
    assert "identical in every way" in verify.render(found)
    assert "vanished" not in said.getvalue()
    assert left_behind(suite) == []


def test_a_method_that_does_not_resume_where_it_stood_is_found_out(suite, edit):
    edit(suite.folder / "method.py", RESUMES, RESUMES.replace(
        "json.loads(state.read_text()) if", "(json.loads(state.read_text())[0], 7) if"))
    suite.resolve(pretrain={"steps": 20})
    found = certificate(suite)
    assert not found["identical"]
    assert ("toy/pretrain@mini-plain seed0: files encoder/model.json differs between alone and "
            "disturbed") in found["mismatches"]
    assert "NOT IDENTICAL" in verify.render(found)
    assert [str(path) for path in left_behind(suite)] == [found["kept"]]


def test_a_clock_in_an_artefact_is_found_out(suite, edit):
    edit(suite.folder / "method.py", "json.dumps(list(range(words)))",
         "json.dumps([time.time_ns()])")
    suite.resolve()
    lines = certificate(suite)["mismatches"]
    assert ("toy/data@mini-plain: files words.json differs between alone and disturbed") in lines


def test_a_run_that_cannot_be_made_is_an_error(suite):
    suite.resolve(pretrain={"fail_at": 1, "fail_seed": 1})
    with pytest.raises(UserError, match="verify, alone: .* seed1: loss is not finite at step 1"):
        certificate(suite)


def test_a_run_that_dies_at_every_start_is_given_up_and_named(suite):
    suite.resolve(pretrain={"fail_at": 1, "fail_seed": 1, "error": "exit"})
    with pytest.raises(UserError, match="verify, alone: .* not finished, the first is toy/pretrain"
                                        "@mini-plain seed1"):
        certificate(suite)


def two(**changes):
    """Return a certificate, and one of another machine with some things changed."""
    one = {"cpu": "A", "features": ["avx2"], "libc": "glibc 2.36",
           "arithmetic": {"linear": "1", "gelu": "2"},
           "runs": {"toy/pretrain@mini-plain seed0": {"key": "k", "bytes": "x"},
                    "toy/eval@mini-plain seed0": {"key": "l", "bytes": "y"}}}
    return one, {**one, "cpu": "B", **changes}


def test_a_machine_that_calculates_otherwise_is_named_with_the_operations():
    now, then = two(arithmetic={"linear": "9", "gelu": "2"}, features=["avx2", "avx512f"])
    assert verify.against(now, then)[0] == (
        "the arithmetic of this machine (A, avx2, glibc 2.36) is not that of the committed "
        "certificate (B, avx512f, glibc 2.36): linear")
    assert len(verify.against(*two())) == 1


def test_equal_keys_with_other_bytes_than_the_committed_ones_are_named():
    now, then = two(runs={"toy/pretrain@mini-plain seed0": {"key": "k", "bytes": "z"},
                          "toy/eval@mini-plain seed0": {"key": "m", "bytes": "n"}})
    assert verify.against(now, then) == [
        "1 runs have the key they have in the committed certificate; 1 of them other bytes: "
        "toy/pretrain@mini-plain seed0"]


def test_a_certificate_that_was_written_is_read_and_another_file_refused(suite):
    suite.resolve()
    assert verify.committed(suite.paper) is None
    written = certificate(suite)
    path = verify.write(written, suite.paper)
    assert verify.committed(suite.paper) == written
    assert "7 runs have the key they have" in verify.render(written, written)
    assert "0 of them other bytes" in verify.render(written, written)
    for wrong, said in (("{}", "not a certificate"), ("[]", "not a certificate"),
                        (path.read_text().replace("true", "false"), "sha256: its content was")):
        path.write_text(wrong)
        with pytest.raises(UserError, match=rf"certificate.json: {said} .*run `repro verify toy`"):
            verify.committed(suite.paper)


@pytest.mark.parametrize("fraction, name", [(1.0, "SIGKILL"), (-0.1, "SIGTERM"), (0.5, "SIGHUP")])
def test_a_fault_that_could_never_happen_cannot_be_planned(tmp_path, fraction, name):
    entry = Store(tmp_path / "store").entry("a" * 64)
    with pytest.raises(ValueError, match="expected one of"):
        drill.plan(entry, fraction, name)


def test_a_fault_happens_once(tmp_path, monkeypatch):
    sent, heard = [], []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append(number.name))
    entry = Store(tmp_path / "store").entry("a" * 64)
    drill.plan(entry, 0.5, "SIGTERM")
    report = drill.carried_out(entry, lambda **values: heard.append(values["step"]))
    for step in range(1, 5):
        report(step=step, total=4)
    assert (sent, heard) == (["SIGTERM"], [1, 2, 3, 4])
    assert drill.carried_out(entry, print) is print
