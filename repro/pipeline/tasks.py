"""How the tasks of a job find each other: what submitit, or the plain variables, say."""

import os
import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from repro.errors import UserError

if TYPE_CHECKING:
    from repro.train.rendezvous import Tasks

PLAIN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def rank() -> int:
    """Return the number of this task in its job, from 0."""
    return int(_place().get("RANK", 0))


def meet() -> "Tasks | None":
    """Return the tasks of this job once all are there, None where this is its only one.

    Raises UserError when they do not meet.
    """
    place = _place()
    if int(place.get("WORLD_SIZE", 1)) == 1:
        return None
    from repro.train.rendezvous import Tasks

    return Tasks({**place, "MASTER_ADDR": _address(place["MASTER_ADDR"])})


def _place() -> Mapping[str, str]:
    """Return RANK, WORLD_SIZE, ...; nothing where a job can only have one task."""
    if all(name in os.environ for name in PLAIN):
        return os.environ
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
        return {}
    from submitit.helpers import TorchDistributedEnvironment

    here = TorchDistributedEnvironment()
    return {
        "RANK": str(here.rank),
        "WORLD_SIZE": str(here.world_size),
        "LOCAL_RANK": str(here.local_rank),
        "MASTER_ADDR": here.master_addr,
        "MASTER_PORT": str(here.master_port),
    }


def _address(node: str) -> str:
    """Return a name of a node that resolves: the one Slurm itself calls where its own does not."""
    try:
        socket.getaddrinfo(node, None)
        return node
    except OSError as error:
        from repro.pipeline.queue import command

        reply = command("scontrol", "show", "node", "--oneliner", node)
        if found := re.search(r"\bNodeAddr=(\S+)", reply.out):
            return found[1]
        raise UserError(f"node {node}: its name does not resolve ({error}), and scontrol does not "
                        f"know its address: {reply.reason}") from error
