"""Which runs go into one job together."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from repro.pipeline.jobs import Job, Pack
from repro.pipeline.spec import RunSpec


def pack_runs(
    specs: Sequence[RunSpec],
    size: Callable[[int, int], int],
    root: Path,
    after: Mapping[str, tuple[Job, ...]],
) -> list[Pack]:
    """Return equal runs of one stage packed together, in the order given.

    size(runs, most): how many go into one job. after: key -> the living jobs a run waits for; runs
    that wait for the same are packed first, so that a pack waits for as little as possible.
    """
    groups: dict[tuple[object, ...], list[RunSpec]] = {}
    for spec in specs:
        same = (spec.paper, spec.profile, spec.stage, spec.numerics, spec.resources,
                tuple(sorted(job["name"] for job in after.get(spec.key, ()))))
        groups.setdefault(same, []).append(spec)
    packs = []
    for some in groups.values():
        step = size(len(some), some[0].resources.pack)
        for first in range(0, len(some), step):
            packs.append(_pack(some[first:first + step], root, after))
    return packs


def _pack(specs: list[RunSpec], root: Path, after: Mapping[str, tuple[Job, ...]]) -> Pack:
    keys = tuple(spec.key for spec in specs)
    jobs = {job["name"]: job for key in keys for job in after.get(key, ())}
    return Pack(f"repro-{specs[0].fp}", keys, title(specs), specs[0].numerics, specs[0].resources,
                str(root), tuple(jobs.values()))


def title(specs: Sequence[RunSpec]) -> str:
    """Return what people call these runs, of characters that are safe in any queue:
    electra.pretrain@mini-rtd.seed0, electra.finetune@mini-mlm+rtd.seed0+1."""
    parts = [(f"{spec.paper}.{spec.stage}@{spec.profile}", spec.arm, spec.folder) for spec in specs]
    head, arms, folders = (list(dict.fromkeys(some)) for some in zip(*parts, strict=True))
    text = f"{'+'.join(head)}-{'+'.join(arms)}.{'+'.join(folders)}".rstrip(".")
    return re.sub(r"[^A-Za-z0-9@.+_-]", "_", text)
