"""What is fuzzed: files that people write, and files that runs leave. Each target knows a sound
state of its files, how they are used, and what an answer to damage may be."""

import importlib.util
import io
import json
import logging
import re
import shutil
import tokenize
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mutation

from repro import settings, yaml
from repro.errors import UserError
from repro.paper import Paper
from repro.pipeline import files

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Target:
    """files: those that are damaged, one at a time. use: what a user does with them; returns what
    he gets. artefact: any other bytes must be refused, else: what he gets may change with them.
    harmless: whether a change of the text may leave everything as it was (a comment)."""

    name: str
    files: list[Path]
    kinds: dict[str, Callable]
    use: Callable[[], Any]
    harmless: Callable[[bytes, bytes], bool]
    artefact: bool = False
    also: Callable[[Any], bool] = lambda _: False  # other answers that are right
    around: list[Path] = field(default_factory=list)  # what use may move away
    left: list[Path] = field(default_factory=list)  # what it may leave
    sound: dict[Path, bytes] = field(default_factory=dict)
    before: Any = None

    def begin(self) -> "Target":
        """Remember the sound state."""
        self.sound = {path: path.read_bytes() for path in (*self.files, *self.around)}
        self.before = self.use()
        assert self.use() == self.before, f"{self.name}: not the same twice"
        return self


def try_one(target: Target, path: Path, damaged: bytes) -> str:
    """Return what came of one damaged file: refused, harmless or changed; or a defect, which starts
    with DEFECT and says which."""
    path.chmod(0o644)
    path.write_bytes(damaged)
    try:
        got = target.use()
    except UserError as error:
        return _judge_message(str(error), path, target)
    except BaseException as error:  # noqa: BLE001 - whatever reaches a user
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"DEFECT trace: {type(error).__name__}: {error}"
    finally:
        _restore(target)
    if got == target.before:
        same = target.harmless(target.sound[path], damaged)
        return "harmless" if same else "DEFECT silent: changed, accepted, and without effect"
    if target.artefact and not target.also(got):
        return "DEFECT silent: a damaged artefact gave another result"
    return "changed"


def _restore(target: Target) -> None:
    for path, data in target.sound.items():
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                path.chmod(0o644)
            path.write_bytes(data)
    for path in target.left:
        files.remove(path)


def _judge_message(text: str, path: Path, target: Target) -> str:
    lines = text.split("\n") if path.suffix == ".gin" else [text]  # a line for each problem
    for line in lines:
        if not line.isprintable():
            return f"DEFECT message: not one printable line: {text!r}"
        if len(line) > 1200:
            return f"DEFECT message: {len(line)} characters: {line[:200]!r}"
        if not any(name in line for one in target.files for name in (one.name, one.parent.name)):
            return f"DEFECT message: does not name {path.name}: {line!r}"
        if path.suffix == ".gin" and not re.search(r"\.(gin|yaml):\d+: ", line):
            return f"DEFECT message: names no line: {line!r}"
    return "refused"


# What people write


@contextmanager
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def suite(folder: Path) -> Path:
    """Copy the papers and the core, as far as settings are concerned."""
    for name in ("papers", "repro"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(
            "out", "__pycache__", "results", "static", "dvc.lock"))
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    return folder


def paper_file(root: Path) -> Target:
    """electra's paper.yaml."""
    folder = root / "papers" / "electra"

    def use() -> Any:
        return Paper.load(folder).model_dump(mode="json")

    return Target("paper.yaml", [folder / "paper.yaml"], mutation.TEXT, use, _same_yaml)


def params_file(root: Path) -> Target:
    """params.yaml, with settings of this machine beside it."""
    machine = root / ".repro" / "settings.yaml"
    machine.parent.mkdir()
    machine.write_text("executor: local\nworkers: 2\nstore: .repro/store\nquota: 20GB\n"
                       "log_level: info\nsnapshot: false\n")

    def use() -> Any:
        found = settings.load(root)
        return json.loads(json.dumps(vars(found), default=lambda one: getattr(
            one, "__dict__", str(one))))

    return Target("params.yaml and settings.yaml", [root / "params.yaml", machine], mutation.TEXT,
                  use, _same_yaml)


def gin_files(root: Path) -> Target:
    """The gin files of tiny_lm in all profiles, and the smoke overrides."""
    from repro.config.resolve import resolve

    folder = root / "papers" / "tiny_lm"
    for other in (root / "papers").iterdir():  # which would be looked through, too
        if other.is_dir() and other != folder:
            shutil.rmtree(other)
    found = settings.load(root).suite

    def use() -> Any:
        paper = Paper.load(folder)
        return [resolve(paper, profile, numerics=found.numerics, epoch=found.epoch,
                        seeds=found.seeds, overrides=[]).tree
                for profile in ("mini", "paper", "smoke")]

    return Target("gin", [*sorted(folder.glob("*.gin")), root / "papers" / "smoke.gin"],
                  mutation.TEXT, use, _same_gin)


def resolved_files(root: Path) -> Target:
    """The resolved settings of electra: the keys of all runs they mean."""
    from repro.pipeline.spec import expand_all
    from repro.pipeline.stage import load_tree

    paper = Paper.load(root / "papers" / "electra")
    suite = settings.load(root).suite

    def use() -> Any:
        cells = expand_all(paper, load_tree(paper, "mini", suite), "mini", suite.seeds)
        return {f"{stage} {arm}": [spec.key for spec in runs]
                for (stage, arm), runs in cells.items()}

    return Target("resolved", sorted((paper.dir / "resolved" / "mini").glob("*.json")),
                  mutation.JSON, use, same_json)


# What runs leave


def checkpoints(folder: Path) -> Target:
    """Two checkpoints: what comes back is one of them, bit by bit, or nothing."""
    import torch

    from repro.train import checkpoint

    for step in (10, 20):
        tensors = {name: torch.arange(60.0) * step for name in ("weight", "moment")}
        checkpoint.save(folder, checkpoint.Checkpoint(step, tensors, {"loss": [1 / step, 0.25]}))

    def use() -> Any:
        with quiet():
            found = checkpoint.load_latest(folder)
        return found and [found.step, found.state,
                          {name: one.tolist() for name, one in sorted(found.tensors.items())}]

    newest = sorted((folder / "step-000000020").iterdir())
    target = Target("checkpoint", newest, mutation.BYTES | mutation.JSON, use, same_json, True)
    shutil.move(folder / "step-000000020", folder / "away")
    former = use()
    shutil.move(folder / "away", folder / "step-000000020")
    target.also = lambda got: got == former
    return target


def certificate(root: Path) -> Target:
    """The certificate of exactness that a paper commits."""
    from repro.pipeline import verify

    paper = Paper.load(root / "papers" / "electra")
    run = {"key": "0" * 64, "bytes": "1" * 64}
    path = verify.write({
        "paper": "electra", "profile": "smoke", "seeds": [0], "numerics": "portable",
        "arithmetic": {"exp": "2" * 16}, "features": ["avx2"], "versions": {"torch": "2.13.0"},
        "ways": {"alone": {"about": "one worker", "runs": 1, "files": 2, "states": 1, "ended": {}}},
        "runs": {"electra/data@smoke-bert": run}, "identical": True, "mismatches": []}, paper)
    return Target("certificate", [path], mutation.BYTES | mutation.JSON,
                  lambda: verify.committed(paper), same_json, True)


def shards(folder: Path) -> Target:
    """A data artefact: a corpus, an encoded task, a vocabulary."""
    import numpy as np

    from repro.data import shards as data
    from repro.text import tokenizer

    texts = ["the cat sat on the mat", "a dog barked at the cat"] * 9
    tokenizer.save(tokenizer.wordpiece(texts, vocab_size=60), folder)
    rows = [np.arange(5, 5 + n, dtype=np.uint16) for n in (3, 1, 4, 9)]
    data.write_corpus(folder / "corpora" / "toy", rows, np.dtype(np.uint16), {})
    split = data.Split(np.ones((4, 6), np.uint16), np.zeros((4, 6), np.uint8),
                        np.zeros(4, np.int64))
    data.write_task(folder / "tasks" / "topic", {"kind": "classification"},
                     {name: split for name in data.SPLITS})
    data.write_manifest(folder)

    def use() -> Any:
        data._digest.cache_clear()
        corpus, task = data.open_corpus(folder, "toy"), data.open_task(folder, "topic")
        return [corpus.tokens.tolist(), corpus.offsets.tolist(), corpus.meta, str(corpus.vocab),
                task.info, [[np.asarray(getattr(one, name)).tolist() for name in vars(one)]
                            for one in (task.train, task.dev, task.test)]]

    # The other two files of the tokeniser are for transformers; nothing here reads them.
    paths = sorted(path for path in folder.rglob("*") if path.is_file()
                   and path.name not in ("tokenizer_config.json", "special_tokens_map.json"))
    return Target("token shards", paths, mutation.BYTES, use, same_json, True)


def _same_yaml(old: bytes, new: bytes) -> bool:
    """Return whether two texts are the same data, or the second leaves something out that stood at
    its default."""
    with suppress(UserError, UnicodeDecodeError):
        return _within(yaml.loads(new.decode()), yaml.loads(old.decode()))
    return False


def _within(new: Any, old: Any) -> bool:
    if isinstance(new, dict) and isinstance(old, dict):
        return all(key in old and _within(new[key], old[key]) for key in new)
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(map(_within, new, old))
    return new == old or new in (None, [], {}) or old in (None, [], {})


def same_json(old: bytes, new: bytes) -> bool:
    with suppress(ValueError):
        return json.dumps(json.loads(old)) == json.dumps(json.loads(new))
    return False


def _same_gin(old: bytes, new: bytes) -> bool:
    """Return whether the statements of the second text are among those of the first: comments,
    spaces, order, repeated lines and lines that said what is so anyway."""
    return _statements(new) <= _statements(old)


def _statements(data: bytes) -> set[str]:
    found, now = set(), ""
    with suppress(tokenize.TokenError, IndentationError, SyntaxError):
        for token in tokenize.tokenize(io.BytesIO(data).readline):
            if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
                found.add(now)
                now = ""
            elif token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING,
                                    tokenize.INDENT, tokenize.DEDENT):
                now += f" {_literal(token.string)}"
    return found - {""}


def _literal(text: str) -> str:
    with suppress(ValueError):
        return repr(float(text))
    return text


def toy() -> Any:
    """Return the module that makes the toy suite of the pipeline's tests."""
    path = ROOT / "tests" / "pipeline" / "conftest.py"
    spec = importlib.util.spec_from_file_location("toy_suite", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
