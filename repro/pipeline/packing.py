"""Which runs go into one job together."""

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
    return Pack(f"repro-{specs[0].fp}", keys, tuple(spec.label for spec in specs),
                specs[0].numerics, specs[0].resources, str(root), tuple(jobs.values()))
