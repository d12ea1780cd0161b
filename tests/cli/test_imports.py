"""What a quick command may not load: asked of the interpreter, never of a clock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPUTING = {"torch", "transformers", "tokenizers", "datasets", "sklearn", "dvc", "submitit",
             "matplotlib"}
LOADING = COMPUTING | {"numpy", "scipy", "pydantic", "jinja2", "rich", "gin"}
# Command -> what it may not load.
QUICK = {
    "--help": LOADING | {"omegaconf", "ruamel"},
    "--version": LOADING | {"omegaconf", "ruamel"},
    "submit --help": LOADING | {"omegaconf", "ruamel"},
    "completion bash": LOADING | {"omegaconf", "ruamel"},
    "list": COMPUTING | {"numpy", "scipy", "gin"},
    "show electra": COMPUTING | {"numpy", "scipy", "gin"},
    "status": LOADING,
    "logs electra/nothing@mini": LOADING,
    "verdict electra": COMPUTING,
    "diff electra tiny_lm": COMPUTING | {"numpy", "scipy"},
    "blame electra pretrain.optimizer.lr": COMPUTING | {"numpy", "scipy"},
    "resolve electra --profile nothing": COMPUTING | {"numpy", "scipy"},
}
PROBE = """
import atexit, json, sys
tops = lambda: sorted({name.partition(".")[0] for name in sys.modules})
atexit.register(lambda: print("LOADED", json.dumps(tops())))
sys.argv = ["repro", *sys.argv[1:]]
from repro.cli import main
main()
"""


def loaded(words: list[str], **environment: str) -> set[str]:
    """Return the top-level packages that a command has loaded when it ends."""
    done = subprocess.run([sys.executable, "-c", PROBE, *words], cwd=ROOT, text=True,
                          capture_output=True, env={"PATH": "/usr/bin:/bin", **environment})
    last = done.stdout.splitlines()[-1] if done.stdout else done.stderr
    assert last.startswith("LOADED "), done.stderr
    return set(json.loads(last.removeprefix("LOADED ")))


@pytest.mark.parametrize("command", QUICK)
def test_a_quick_command_loads_nothing_heavy(tmp_path, command) -> None:
    found = loaded(command.split(), HOME=str(tmp_path), REPRO_STORE=str(tmp_path / "store"))
    assert "click" in found
    assert found & QUICK[command] == set()


@pytest.mark.parametrize("line", ["repro sub", "repro verdict ele", "repro submit electra --arm e",
                                  "repro run --paper electra --profile m"])
def test_a_tab_loads_nothing_heavy(tmp_path, line) -> None:
    found = loaded([], HOME=str(tmp_path), _REPRO_COMPLETE="bash_complete", COMP_WORDS=line,
                   COMP_CWORD=str(len(line.split()) - 1))
    assert found & LOADING == set()
