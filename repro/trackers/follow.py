"""Bring a tracker up to date with the store, once or for as long as runs live."""

import time
from collections.abc import Callable

from repro.pipeline.plans import Planned
from repro.pipeline.store import Store
from repro.trackers import runs
from repro.trackers.sinks import Sink


def update(sink: Sink, store: Store, planned: list[Planned]) -> tuple[int, int]:
    """Write every finished run that the tracker lacks; return how many, and how many it had."""
    written = had = 0
    for run in {one.key: one for one in planned}.values():
        entry = store.entry(run.key)
        if not entry.is_done:
            continue
        if sink.has(run):
            had += 1
        else:
            sink.write(runs.read(entry, run))
            written += 1
    return written, had


def follow(sink: Sink, store: Store, planned: Callable[[], list[Planned]], every_s: float = 2.0,
           wait: Callable[[float], None] = time.sleep) -> int:
    """Update until no planned run is being executed, adding what living ones say; return how many
    runs were written. planned: asked again each time, for runs may be added."""
    written, said = 0, {}
    while True:
        asked = planned()
        living = [run for run in asked if not store.entry(run.key).is_done
                  and store.entry(run.key).executing()]
        for run in living:
            found = runs.progress(store.entry(run.key))
            if found is not None and said.get(run.key) != found[0]:
                said[run.key] = found[0]
                sink.live(run, *found)
        written += update(sink, store, asked)[0]
        if not living:
            return written
        wait(every_s)
