"""push and pull: what arrives is what was sent, or nothing is there."""

import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from repro.cli import main
from repro.errors import UserError
from repro.pipeline import exchange, files, parcels
from repro.pipeline.audit import audit
from repro.pipeline.remotes import PREFIX, open_remote
from repro.pipeline.spec import digest
from repro.pipeline.store import Store


@pytest.fixture
def shelf(tmp_path):
    return tmp_path / "shelf"


@pytest.fixture
def remote(shelf, tmp_path):
    return open_remote(f"{shelf}/", tmp_path)


@pytest.fixture
def other(tmp_path):
    """The empty store of another machine."""
    return Store(tmp_path / "other")


def pushed(evaluated, remote):
    return exchange.push(evaluated.store, remote)


def bytes_of(store: Store) -> dict[str, str]:
    return {f"{entry.key}/{name}": files.sha256(entry.out / name)
            for entry in store.entries() for name in files.tree(entry.out)}


def manifest(shelf, key: str):
    return shelf / PREFIX / "runs" / key[:2] / f"{key}.json"


def an_object(shelf, text: str):
    """Return the file of the remote that holds this text."""
    found = [path for path in (shelf / PREFIX / "objects").glob("??/*")
             if path.read_text() == text]
    assert len(found) == 1
    return found[0]


def test_what_is_pushed_can_be_pulled_byte_by_byte(evaluated, remote, other):
    sent = pushed(evaluated, remote)
    assert (len(sent.moved), sent.there, sent.refused) == (7, 0, [])
    got = exchange.pull(other, remote, evaluated.root)
    assert sorted(got.moved) == sorted(sent.moved)
    assert (got.bytes, got.refused) == (sum(
        facts["bytes"] for entry in evaluated.store.entries()
        for facts in entry.read("done")["files"].values()), [])
    assert bytes_of(other) == bytes_of(evaluated.store)
    assert audit(other).damaged == []
    spec = evaluated.specs("pretrain")[0]
    record = other.entry(spec.key).read("run")
    assert (record["tokens"], record["pulled_from"]) == (30, str(remote))
    assert record["seconds"] == evaluated.store.entry(spec.key).read("run")["seconds"]


def test_asking_again_moves_nothing(evaluated, remote, other):
    pushed(evaluated, remote)
    again = pushed(evaluated, remote)
    assert (again.moved, again.there, again.files) == ([], 7, 0)
    exchange.pull(other, remote, evaluated.root)
    again = exchange.pull(other, remote, evaluated.root)
    assert (again.moved, again.there, again.refused) == ([], 7, [])


def test_equal_files_are_stored_once(evaluated, remote, shelf):
    pushed(evaluated, remote)
    objects = list((shelf / PREFIX / "objects").glob("??/*"))
    digests = {facts["sha256"] for entry in evaluated.store.entries()
               for facts in entry.read("done")["files"].values()}
    assert {path.name for path in objects} == digests
    assert list((shelf / PREFIX / "tmp").iterdir()) == []


def test_a_pulled_run_is_linked_without_running_anything(evaluated, remote):
    before = evaluated.out("eval")
    pushed(evaluated, remote)
    files.remove(evaluated.store.root)
    files.remove(evaluated.folder / "out")
    exchange.pull(evaluated.store, remote, evaluated.root)
    status, _ = evaluated.run("eval")
    assert (status, evaluated.out("eval")) == (0, before)
    assert evaluated.starts(evaluated.specs("eval")) == [0, 0]


def test_only_what_is_asked_for_moves(evaluated, remote, other):
    spec = evaluated.specs("eval")[0]
    pushed(evaluated, remote)
    got = exchange.pull(other, remote, evaluated.root, [spec.key, "0" * 64])
    assert (got.moved, got.absent) == ([spec.label], ["0" * 64])
    assert [entry.key for entry in other.entries()] == [spec.key]


def test_a_damaged_run_is_never_pushed(evaluated, remote, shelf, edit):
    spec = evaluated.specs("pretrain")[0]
    edit(evaluated.store.entry(spec.key).out / "encoder" / "model.json", "total", "t0tal")
    sent = pushed(evaluated, remote)
    assert len(sent.moved) == 6
    (line,) = sent.refused
    assert "model.json: sha256 is not the one stored" in line
    assert "moved to" in line
    assert not manifest(shelf, spec.key).exists()


@pytest.mark.parametrize("change", ["flipped", "truncated", "longer", "gone"])
def test_a_damaged_object_is_refused_and_the_run_is_not_there(evaluated, remote, shelf, other,
                                                              change):
    spec = evaluated.specs("pretrain")[0]
    text = (evaluated.store.entry(spec.key).out / "encoder" / "model.json").read_text()
    pushed(evaluated, remote)
    victim = an_object(shelf, text)
    match change:
        case "flipped":
            victim.write_text(text.replace("total", "t0tal"))
        case "truncated":
            victim.write_text(text[:-1])
        case "longer":
            victim.write_text(text + "0" * 5000)
        case "gone":
            victim.unlink()
    got = exchange.pull(other, remote, evaluated.root)
    assert len(got.moved) == 6
    (line,) = got.refused
    assert victim.name in line
    assert "\n" not in line
    assert not other.entry(spec.key).is_done
    assert not list(other.entry(spec.key).dir.rglob("model.json*"))
    if change != "flipped":  # then it is seen that the size is another, and the push is repeated
        manifest(shelf, spec.key).unlink()
        assert pushed(evaluated, remote).files == 1
        assert exchange.pull(other, remote, evaluated.root).moved == [spec.label]


def forged(shelf, key: str, **changes) -> None:
    """Change a manifest as somebody would who knows how they are made."""
    path = manifest(shelf, key)
    content = json.loads(path.read_text()) | changes
    content.pop("sha256")
    path.write_text(json.dumps(content | {"sha256": digest(content)}))


HOSTILE = {
    "other settings": ({"ingredients": {}}, "ingredients: stage is missing"),
    "a path that leaves": ({"files": {"../../x": {"sha256": "0" * 64, "bytes": 1}}},
                           "files: must be object of files"),
    "an absolute path": ({"files": {"/etc/x": {"sha256": "0" * 64, "bytes": 1}}},
                         "files: must be object of files"),
    "no files": ({"files": {}}, "files: must be those of an artefact"),
    "its own manifest": ({"files": {"MANIFEST.json": {"sha256": "0" * 64, "bytes": 1}}},
                         "files: must be those of an artefact"),
    "a digest that is a path": ({"files": {"x": {"sha256": "../../../../etc/passwd", "bytes": 1}}},
                                "files: must be object of files"),
    "a negative size": ({"files": {"x": {"sha256": "0" * 64, "bytes": -1}}},
                        "files: must be object of files"),
    "escape codes": ({"label": "toy\x1b[2J"}, "control characters"),
    "escape codes deep in the record": ({"run": {"cpu": "a", "x": [{"y": "\x07"}]}},
                                        "control characters"),
    "a record of other types": ({"run": {"seconds": "long"}}, "run: seconds: must be a number"),
    "a record of another run": ({"run": {"ingredients": {}}}, "ingredients does not belong there"),
    "a size no disk has": ({"files": {"x": {"sha256": "0" * 64, "bytes": 1 << 62}}},
                           "no space left on this disk"),
    "a file that is a folder too": (
        {"files": {name: {"sha256": "0" * 64, "bytes": 4} for name in ("x", "x/y")}},
        "files: must be those of an artefact"),
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_a_hostile_manifest_is_refused_in_one_line(evaluated, remote, shelf, other, kind):
    spec = evaluated.specs("pretrain")[0]
    pushed(evaluated, remote)
    changes, wanted = HOSTILE[kind]
    forged(shelf, spec.key, **changes)
    got = exchange.pull(other, remote, evaluated.root)
    (line,) = got.refused
    assert wanted in line
    assert line.isprintable()
    assert not other.entry(spec.key).is_done
    assert len(got.moved) == 6
    outside = [path for path in other.root.parent.rglob("*") if path.name in ("x", "passwd")
               and other.entry(spec.key).dir not in path.parents]
    assert outside == []


def test_a_manifest_with_another_name_in_it_is_refused(evaluated, remote, shelf, other):
    spec = evaluated.specs("pretrain")[0]
    pushed(evaluated, remote)
    path = manifest(shelf, spec.key)
    path.write_text(path.read_text().replace("encoder/model.json", "encoder/mode1.json"))
    got = exchange.pull(other, remote, evaluated.root, [spec.key])
    assert got.refused[0].endswith("sha256: its content is not the one stored; not taken")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"key": NaN}', "[" * 5000, "\xff"])
def test_a_manifest_that_is_none_is_refused(evaluated, remote, shelf, other, text):
    spec = evaluated.specs("eval")[0]
    pushed(evaluated, remote)
    manifest(shelf, spec.key).write_bytes(text.encode("latin-1"))
    got = exchange.pull(other, remote, evaluated.root, [spec.key])
    (line,) = got.refused
    assert f"runs/{spec.key[:2]}/{spec.key}.json" in line
    assert list(other.entries()) == []


def test_a_manifest_without_end_is_not_read_whole(evaluated, remote, shelf, other, monkeypatch):
    spec = evaluated.specs("eval")[0]
    pushed(evaluated, remote)
    monkeypatch.setattr(parcels, "MOST_BYTES", 100)
    got = exchange.pull(other, remote, evaluated.root, [spec.key])
    assert "longer than 100 bytes; not taken" in got.refused[0]


def test_the_same_key_with_other_bytes_is_reported_by_both_sides(evaluated, remote, other):
    spec = evaluated.specs("eval")[0]
    pushed(evaluated, remote)
    entry = other.prepare(spec, evaluated.root)
    (entry.dir / "out.tmp").mkdir()
    (entry.dir / "out.tmp" / "rows.jsonl").write_text("other")
    entry.finish(entry.dir / "out.tmp", {"key": spec.key, "label": spec.label,
                                         "ingredients": spec.ingredients})
    for found in (exchange.push(other, remote), exchange.pull(other, remote, evaluated.root,
                                                              [spec.key])):
        (line,) = found.refused
        assert "rows.jsonl is not the same here" in line
    assert (entry.out / "rows.jsonl").read_text() == "other"


def test_a_pull_that_was_broken_off_goes_on_where_it_stood(evaluated, remote, shelf, other):
    spec = evaluated.specs("finetune")[0]
    evaluated.resolve(finetune={"tasks": ["colour", "shape"]})
    evaluated.run("finetune")
    (spec, _) = evaluated.specs("finetune")
    pushed(evaluated, remote)
    victim = an_object(shelf, (evaluated.store.entry(spec.key).out / "shape.json").read_text())
    text = victim.read_text()
    victim.unlink()
    assert len(exchange.pull(other, remote, evaluated.root, [spec.key]).refused) == 1
    victim.write_text(text)
    got = exchange.pull(other, remote, evaluated.root, [spec.key])
    assert (got.moved, got.files) == ([spec.label], 1)  # colour.json was there


def test_a_damaged_run_here_is_replaced_by_the_remotes(evaluated, remote, edit):
    spec = evaluated.specs("eval")[0]
    pushed(evaluated, remote)
    before = bytes_of(evaluated.store)
    edit(evaluated.store.entry(spec.key).out / "rows.jsonl", "value", "valve")
    said = []
    got = exchange.pull(evaluated.store, remote, evaluated.root, [spec.key], said.append)
    assert got.moved == [spec.label]
    assert "rows.jsonl: sha256" in said[0]
    assert bytes_of(evaluated.store) == before


def test_a_run_being_made_here_is_left_alone(evaluated, remote, other):
    spec = evaluated.specs("eval")[0]
    pushed(evaluated, remote)
    entry = other.prepare(spec, evaluated.root)
    with files.locked(entry.exec_lock):
        got = exchange.pull(other, remote, evaluated.root, [spec.key])
    assert "is being made here now; not taken" in got.refused[0]


# Remotes


def test_a_url_and_the_name_of_a_dvc_remote_work_like_a_folder(evaluated, tmp_path, other):
    shutil.rmtree(evaluated.root / ".dvc", ignore_errors=True)
    (evaluated.root / ".dvc").mkdir()
    (evaluated.root / ".dvc" / "config").write_text(
        f"[core]\n no_scm = true\n['remote \"lab\"']\n url = {tmp_path / 'lab'}\n")
    lab = open_remote("lab", evaluated.root)
    assert str(lab) == "DVC remote lab"
    assert len(pushed(evaluated, lab).moved) == 7
    assert (tmp_path / "lab" / PREFIX / "runs").is_dir()
    url = open_remote(f"file://{tmp_path / 'lab'}", evaluated.root)
    assert len(exchange.pull(other, url, evaluated.root).moved) == 7
    memory = open_remote("memory://shelf", evaluated.root)
    assert len(exchange.push(other, memory).moved) == 7
    third = Store(tmp_path / "third")
    assert len(exchange.pull(third, memory, evaluated.root).moved) == 7
    assert bytes_of(third) == bytes_of(evaluated.store)
    with pytest.raises(UserError, match=r"'lap': no remote of DVC's .*did you mean 'lab'.*\./lap"):
        open_remote("lap", evaluated.root)


def test_runs_are_pulled_from_a_plain_web_server(evaluated, remote, shelf, other):
    """A published folder is enough: names are known beforehand, nothing is listed."""
    pushed(evaluated, remote)
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(shelf)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        web = open_remote(f"http://name:secret@127.0.0.1:{server.server_port}", evaluated.root)
        assert str(web) == f"http://127.0.0.1:{server.server_port}"
        keys = [spec.key for spec in evaluated.specs("eval")]
        got = exchange.pull(other, web, evaluated.root, [*keys, "0" * 64])
        assert (len(got.moved), got.absent, got.refused) == (2, ["0" * 64], [])
    finally:
        server.shutdown()
        server.server_close()
    (line, _) = exchange.pull(Store(other.root / "x"), web, evaluated.root, keys).refused
    assert line.startswith(f"{web}: runs/")
    assert "secret" not in line


@pytest.mark.parametrize(("name", "wanted"), [
    ("nosuch://bucket", "remote nosuch://bucket: ValueError"),
    ("nowhere", "'nowhere': no remote of DVC's configuration, no URL and no folder"),
    ("s3://key:secret@bucket/x", "remote s3://bucket/x: ImportError: Install s3fs"),
])
def test_a_remote_that_cannot_be_opened_is_one_line(suite, name, wanted):
    with pytest.raises(UserError) as caught:
        open_remote(name, suite.root)
    assert wanted in str(caught.value)
    assert "secret" not in str(caught.value)


# Commands


def test_the_commands(evaluated, shelf, monkeypatch):
    monkeypatch.chdir(evaluated.root)

    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["store", *words], catch_exceptions=False)
        return done.exit_code, done.output

    assert call("push", f"{shelf}/", "toy", "--arm", "plain", "--stage", "eval", "--json")[0] == 0
    assert len(list((shelf / PREFIX / "runs").glob("??/*.json"))) == 2
    code, said = call("push", f"{shelf}/")
    assert code == 0
    assert "pushed 5 runs (5 files, 0.0 MB); 2 were there already, 0 refused" in said
    files.remove(evaluated.store.root)
    code, said = call("pull", f"{shelf}/", "toy", "--stage", "pretrain", "--arm", "plain", "--json")
    assert (code, len(json.loads(said)["moved"])) == (0, 2)
    assert call("pull", f"{shelf}/", "--all")[1].splitlines()[-1].startswith("pulled 5 runs")
    for wrong, wanted in ((("pull", "x/"), "name papers or keys, or --all"),
                          (("pull", "x/", "--key", "12"), "must be the 64 digits"),
                          (("push", "x/", "--arm", "plain"), "need a paper"),
                          (("pull", "x/", "tot"), "did you mean 'toy'"),
                          (("pull", "x/", "toy", "--arm", "plane"), "did you mean 'plain'")):
        code, said = call(*wrong)
        assert (code, wanted in said) == (1, True), said
