from pathlib import Path

import pytest

from repro.errors import UserError
from repro.settings import load


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "papers").mkdir()
    (tmp_path / ".repro").mkdir()
    return tmp_path


def test_without_files_the_defaults_hold(root: Path) -> None:
    found = load(root)
    assert found.suite.profiles == ["mini"]
    assert found.suite.seeds == [0, 1, 2, 3, 4]
    assert found.store == root / ".repro" / "store"
    assert found.workers >= 1
    assert found.overrides("electra") == []


def test_a_paper_may_have_numerics_of_its_own(root: Path) -> None:
    (root / "params.yaml").write_text("papers:\n  a:\n    numerics: universal\n  b: {}\n")
    found = load(root)
    assert [found.numerics(slug) for slug in "abc"] == ["universal", "portable", "portable"]


def test_flag_beats_environment_beats_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / ".repro" / "settings.yaml").write_text("workers: 3\nstore: /a\n")
    assert load(root).workers == 3
    monkeypatch.setenv("REPRO_WORKERS", "4")
    assert load(root).workers == 4
    assert load(root, workers=5).workers == 5
    assert load(root, workers=None).store == Path("/a")


def test_root_is_found_from_a_paper_directory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "papers" / "toy").mkdir()
    monkeypatch.chdir(root / "papers" / "toy")
    assert load().root == root


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite:\n  seedz: [1]\n", "params.yaml:2: suite.seedz: unknown key 'seedz' "
                                   "(did you mean 'seeds'?)"),
        ("suite:\n  seeds: [1, a]\n", "params.yaml:2: suite.seeds[1]: Value 'a' of type 'str'"),
        ("suite:\n  seeds: [1, 1]\n", "params.yaml:2: suite.seeds: must be distinct"),
        ("suite:\n  seeds: [-1]\n", "params.yaml:2: suite.seeds: must be 0 or more"),
        ("suite:\n  epoch: 1.5\n", "params.yaml:2: suite.epoch: Value '1.5'"),
        ("suite:\n  numerics: fast\n", "params.yaml:2: suite.numerics: must be one of portable"),
        ("papers:\n  a:\n    numerics: fast\n", "params.yaml:3: papers.a.numerics: must be one of"),
        ("suite:\n  epoch: ${x}\n", "params.yaml: no ${...} here"),
        ("papers:\n  a:\n    overides: []\n", "params.yaml:3: papers.a.overides: unknown key"),
        ("suit: 1\n", "params.yaml:1: suit: unknown key 'suit' (did you mean 'suite'?)"),
        ("suite: [\n", "params.yaml:2: not readable as YAML"),
        ("- 1\n", "params.yaml: must be a mapping"),
    ],
)
def test_a_mistake_in_params_names_file_line_and_key(root: Path, text: str, message: str) -> None:
    (root / "params.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load(root)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "place"), [
    ("suite:\n  seeds: [0, [], 2]\n", "params.yaml:2: suite.seeds[1]: must be one value, not []"),
    ("suite:\n  profiles: [[mini]]\n", "params.yaml:2: suite.profiles[0]: must be one value"),
    ("papers:\n  x:\n    overrides: [{a: b}]\n", "params.yaml:3: papers.x.overrides[0]: must be"),
])
def test_a_list_in_a_list_names_its_place(root: Path, text: str, place: str) -> None:
    (root / "params.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load(root)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers: two\n", "settings.yaml:1: workers: Value 'two'"),
        ("log_level: info\nworkerz: 2\n", "settings.yaml:2: workerz: unknown key 'workerz' "
                                          "(did you mean 'workers'?)"),
        ("workers: -1\n", "settings.yaml:1: workers: must be 0 or more"),
        ("executor: slrm\n", "settings.yaml:1: executor: must be one of local, slurm"),
        ("executor: slurm\n", "settings.yaml:1: executor: slurm needs `cluster`, a file"),
        ("snapshot: maybe\n", "settings.yaml:1: snapshot: Value 'maybe'"),
        ("workers\n", "settings.yaml: must be a mapping of keys, got str"),
        ("w\trs: 2\n", "settings.yaml: 'w\\trs': unknown key"),
    ],
)
def test_a_mistake_in_machine_settings_names_its_place(
    root: Path, text: str, message: str
) -> None:
    (root / ".repro" / "settings.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load(root)
    assert message in str(caught.value)


def test_a_mistake_in_the_environment_names_the_variable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPRO_WORKERS", "many")
    with pytest.raises(UserError, match="environment variable REPRO_WORKERS: workers: Value"):
        load(root)


def test_a_copy_that_dvc_works_in_has_the_store_of_its_workspace(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = root / ".dvc" / "tmp" / "exps" / "standalone" / "tmp7"
    (copy / "papers").mkdir(parents=True)
    (root / ".repro" / "settings.yaml").write_text("workers: 7\n")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert load(copy).store == copy / ".repro" / "store"
    monkeypatch.setenv("DVC_ROOT", str(root))
    found = load(copy)
    assert (found.root, found.store, found.workers) == (copy, root / ".repro" / "store", 7)
    # In an ordinary stage DVC names the workspace itself; another one's store is not ours.
    assert load(root).store == root / ".repro" / "store"
    monkeypatch.setenv("DVC_ROOT", "/somewhere/else")
    assert load(root).store == root / ".repro" / "store"
