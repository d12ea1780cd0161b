"""What a driver is asked to do from outside: go on, detach (runs go on without it) or cancel.

SIGINT cancels; at a terminal the first Ctrl-C asks, the second cancels, the third kills. SIGTERM
and SIGHUP detach: a dropped connection must not stop a run.
"""

import select
import signal
import sys
import threading
import time
from types import FrameType
from typing import Literal

Wish = Literal["ask", "cancel", "detach", "queued"]
EXIT_CODES = {"cancel": 130, "detach": 143}
_QUESTION = ("\nCtrl-C: d = detach (running jobs go on), c = cancel them (they save first), "
             "Enter = go on: ")


class Signals:
    """Context manager that turns signals into a wish. Only the main thread may use it to listen;
    in other threads it does nothing."""

    def __init__(self, interactive: bool | None = None) -> None:
        at_terminal = sys.stdin.isatty() and sys.stderr.isatty()
        self.interactive = at_terminal if interactive is None else interactive
        self.wish: Wish | None = None
        self.interrupts = 0
        self._former: dict[int, object] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._former[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGINT:
            self.wish = "detach"
            return
        self.interrupts += 1
        self.wish = "ask" if self.interactive and self.interrupts == 1 else "cancel"

    def sleep(self, seconds: float) -> None:
        """Wait; a signal ends the waiting at once."""
        before, end = (self.wish, self.interrupts), time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and (self.wish, self.interrupts) == before:
            time.sleep(min(left, 0.05))

    def answer(self) -> None:
        """Ask what a Ctrl-C meant and make that the wish (None = go on)."""
        sys.stderr.write(_QUESTION)
        sys.stderr.flush()
        while self.wish == "ask":
            readable, _, _ = select.select([sys.stdin], [], [], 0.1)
            if readable:
                said = sys.stdin.readline()
                chosen = said.strip().lower()[:1]
                self.wish = "detach" if chosen == "d" or not said else None
                self.wish = "cancel" if chosen == "c" else self.wish
                self.interrupts = 0
