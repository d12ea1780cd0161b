"""The body of a Slurm job: the runs, then a word to Slurm about how it went."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from repro.pipeline.execute import run_pack
from repro.pipeline.queue import command


def run_job(store: str, keys: list[str]) -> dict[str, str]:
    """Execute runs in order; called in every task. Told by USR2 that its time is up, the job goes
    back into the queue. It ends well in Slurm's eyes (so that jobs behind it start) when every run
    has ended and one at least is done."""
    with _received() as signals:
        ends = run_pack(store, keys)
        if int(os.environ.get("SLURM_PROCID", "0")) > 0:
            return ends
        if "interrupted" in ends.values() and signal.SIGUSR2 in signals():
            reply = command("scontrol", "requeue", os.environ["SLURM_JOB_ID"])
            print("requeued" if not reply.code else f"scontrol requeue: {reply.reason}", flush=True)
    if "interrupted" in ends.values() or "done" not in ends.values():
        sys.exit(1)
    return ends


@contextmanager
def _received() -> Iterator[Callable[[], bytes]]:
    """Note the numbers of the signals that come, whoever handles them."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def numbers() -> bytes:
        with suppress(BlockingIOError):
            return os.read(reader, 1 << 12)
        return b""

    try:
        yield numbers
    finally:
        signal.set_wakeup_fd(former)
        os.close(reader)
        os.close(writer)
