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


def drive_job(asked: str) -> None:
    """Body of a driver that is a job itself: told that its time is up it leaves the runs alone and
    comes back through the queue."""
    from repro.pipeline.submit import run_text

    # What a driver hears as "leave"; submitit would take USR2 for the end of the job.
    signal.signal(signal.SIGUSR2, lambda *_: signal.raise_signal(signal.SIGTERM))
    with _received() as signals:
        code = run_text(asked)
        if signal.SIGUSR2 in signals():
            command("scontrol", "requeue", os.environ["SLURM_JOB_ID"])
    sys.exit(code)


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
