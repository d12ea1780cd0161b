"""How the tasks of one job meet, and what one of them tells the others.

Apart from `repro.train.distributed`, which says what they compute: no result depends on how tasks
found each other, so this code is in no run's key.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch

from repro.errors import Interrupted, UserError
from repro.train.distributed import World

TIMEOUT = timedelta(minutes=10)  # for a message inside a run: longer than any checkpoint's writing
POLL_S = 0.05
LEAVE_S = 10.0
LOST = "lost the connection to"
GONE = f"{LOST} task 0 of this job: see its log"
_CONNECTION = ("gloo", "NCCL", "TCPStore", "Connection")  # in the errors of a broken message


class Tasks:
    """The tasks of one job, which meet at a store that task 0 serves.

    The store carries short messages for as long as the job lives; each run has a process group of
    its own, closed when a task fails, so that no other waits for it in vain.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Meet the others: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT say where.

        Raises UserError for a missing variable or when they cannot be reached.
        """
        from torch import distributed

        try:
            self.rank, self.size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
            address, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
            local_rank = int(environment.get("LOCAL_RANK", 0))
        except (KeyError, ValueError) as error:
            raise UserError(
                f"environment of a task: {error}: expected RANK, WORLD_SIZE, "
                "MASTER_ADDR and MASTER_PORT"
            ) from error
        self.broken = ""  # why no further run can have a world
        self.backend = "gloo"
        if torch.cuda.is_available():
            self.backend = "cpu:gloo,cuda:nccl"
            torch.cuda.set_device(local_rank % torch.cuda.device_count())
        try:
            self.store = distributed.TCPStore(
                address, port, self.size, self.rank == 0, timeout=TIMEOUT
            )
        except RuntimeError as error:
            raise UserError(
                f"task {self.rank}: the {self.size} tasks of this job did not meet at "
                f"{address}:{port}: {str(error).splitlines()[0]}"
            ) from error

    def tell(self, name: str, value: Any) -> None:
        """Leave a message (JSON) for the other tasks."""
        self.store.set(name, json.dumps(value))

    def hear(self, name: str) -> Any:
        """Wait for a message, however long, and return it. Raises UserError if task 0 is gone."""
        try:
            while not self.store.check([name]):
                time.sleep(POLL_S)
            return json.loads(self.store.get(name))
        except RuntimeError as error:
            raise UserError(GONE) from error

    def leave(self) -> None:
        """Say goodbye; task 0 waits for the others, who may still have to hear from it."""
        with suppress(RuntimeError):
            self.store.add("left", 1)
            end = time.monotonic() + LEAVE_S
            while self.rank == 0 and self.store.add("left", 0) < self.size:
                if time.monotonic() > end:
                    break
                time.sleep(POLL_S)

    @contextmanager
    def world(self, name: str) -> Iterator[World]:
        """Yield the world of one run. name: another for each run of the job.

        What ends the run in one task ends it in all: the first failure is raised where it
        happened and as a UserError with its message in the others.
        """
        from torch import distributed

        if self.broken:
            raise UserError(self.broken)
        store = distributed.PrefixStore(name, self.store)
        distributed.init_process_group(
            self.backend, store=store, rank=self.rank, world_size=self.size, timeout=TIMEOUT
        )
        world = World(self.rank, self.size)
        try:
            world.any(False)  # all are connected: from here on a death is noticed at once
            yield world
        except Interrupted:
            raise
        except BaseException as error:
            text = _told(error, self.rank)
            try:
                first = store.compare_set("failure", "", text).decode()
            except RuntimeError:
                first = GONE
            if LOST in first:
                self.broken = first
            if first == text and not self.broken:
                raise
            raise UserError(first) from error
        finally:
            with suppress(RuntimeError):
                distributed.destroy_process_group()


def _told(error: BaseException, rank: int) -> str:
    """Return the line by which the other tasks learn what ended this one."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if isinstance(error, RuntimeError) and any(word in text for word in _CONNECTION):
        return f"task {rank} {LOST} another task of this job: see their logs"
    return f"task {rank}: {type(error).__name__}: {text[:300]}"
