"""Which edits of the code do the first 20 updates show?

    python bench/golden.py [--out bench/results/golden.json]

Each edit of tests/config/mutations.py that can change a training run is made in a copy of the code;
four arms of electra's mini profile are followed for 20 updates there, and compared with those of
the code as it is. One process loads the libraries; a forked one imports the edited code.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from repro import settings
from repro.config.resolve import resolve
from repro.paper import Paper
from repro.pipeline import golden
from repro.pipeline.environment import pinned
from repro.pipeline.progress import Lines
from repro.pipeline.spec import expand_all
from repro.pipeline.store import Store

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "config"))

from edited import affected, copy_to  # noqa: E402
from mutations import EXECUTED, HARMLESS, SILENT  # noqa: E402

ARMS = ("scratch", "bert", "electra", "replace_mlm")
STAGES = ("pretrain", "finetune")
READY = "REPRO_BENCH_PINNED"


def chains() -> list[dict[str, Any]]:
    """Return what is followed: the arms' chains, with their data made."""
    paper, found = Paper.find("electra", HERE.parent), settings.load(HERE.parent)
    tree = resolve(paper, "mini", numerics="portable", epoch=found.suite.epoch,
                   seeds=found.suite.seeds).tree
    cells = expand_all(paper, tree, "mini", found.suite.seeds[:1])
    wanted = [chain for chain in golden.chains_of(cells) if chain[0].arm in ARMS]
    golden.ensure_data(paper, wanted, found, Lines(sys.stderr))
    return [golden.request_of(chain, Store(found.store)) for chain in wanted]


def followed(root: Path, asked: list[dict[str, Any]], folder: Path) -> Any:
    """Return the trajectories by the code below root, or the error it ends in."""
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        try:
            for name in list(sys.modules):
                if name.partition(".")[0] in ("repro", "papers"):
                    del sys.modules[name]
            sys.path.insert(0, str(root))
            from repro.pipeline import trajectory
            from repro.train import determinism

            assert Path(trajectory.__file__).is_relative_to(root)
            determinism.configure("portable")
            result.write_text(json.dumps(trajectory.follow_all(asked, 0, root)))
        except BaseException as error:  # an edit may break the code: that is seen, too
            result.write_text(json.dumps(f"{type(error).__name__}: {error}"))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return json.loads(result.read_text())


def measure() -> dict[str, Any]:
    """Return {edits: lines, seen, of: how many can change what is followed, false_alarms}."""
    sys.dont_write_bytecode = True  # an edit within the second must not meet the bytecode before it
    import torch  # noqa: F401  what takes long to load, once
    import transformers.models.electra.modeling_electra  # noqa: F401

    asked, lines = chains(), []
    with tempfile.TemporaryDirectory(prefix="repro-golden-") as home:
        folder = Path(home)
        copy = copy_to(folder / "copy")
        before = followed(copy, asked, folder)
        assert before == followed(copy, asked, folder), "not even equal to themselves"
        for kind, file, old, new, truth in (*SILENT, *EXECUTED, *HARMLESS):
            can = any(arm in ARMS and stage in STAGES for stage, arm in affected(truth))
            path = copy / file
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
            after = followed(copy, asked, folder)
            path.write_text(text, encoding="utf-8")
            lines.append({"kind": kind, "file": file, "edit": new.strip().splitlines()[-1]
                          if new.strip() else f"without {old.strip()}",
                          "can": can, "seen": after != before})
            print(lines[-1], flush=True)
    return {
        "updates": 20,
        "arms": list(ARMS),
        "can_change": sum(line["can"] for line in lines),
        "seen": sum(line["can"] and line["seen"] for line in lines),
        "false_alarms": sum(line["seen"] and not line["can"] for line in lines),
        "not_seen": [line for line in lines if line["can"] and not line["seen"]],
        "edits": lines,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "golden.json")
    asked = parser.parse_args()
    if READY not in os.environ:  # the libraries read the pins when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], pinned("portable") | {READY: "1"})
    found = measure()
    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{found['seen']} of {found['can_change']} seen, {found['false_alarms']} false alarms")


if __name__ == "__main__":
    main()
