"""`repro cost` of what was not run yet: time, core-hours, GPU-hours and energy as ranges."""

from typing import Any

from repro import devices
from repro.errors import UserError
from repro.forecast import rates
from repro.forecast.observed import Observation
from repro.forecast.ranges import NOTHING, Range, total
from repro.forecast.rates import Assumptions
from repro.forecast.work import CUDA, Work
from repro.paper import Paper

# Of the figures for a device under full load; the rest of the time it waits.
POWER = Range(0.5, 1.0)
HOUR = 3600.0
Report = dict[str, Any]


class Forecast:
    """The runs of a profile with their times. done: how many are finished already."""

    def __init__(self, paper: Paper, profile: str, work: list[Work], done: int,
                 observed: list[Observation], given: Assumptions) -> None:
        self.paper, self.profile, self.work, self.done = paper, profile, work, done
        self.given = given
        self.times = {one.spec.key: rates.seconds(one, observed, given) for one in work}

    def seconds(self, work: Work) -> Range:
        return self.times[work.spec.key][0]

    def report(self, at_once: int | None) -> Report:
        """Return all of it as plain data. at_once: runs side by side; None = as many as can."""
        return {
            "paper": self.paper.slug,
            "profile": self.profile,
            "kind": "forecast",
            "runs": len(self.work),
            "done": self.done,
            "stages": [self._stage(stage) for stage in self.paper.stages
                       if any(one.spec.stage == stage for one in self.work)],
            "total": self._amounts(self.work),
            "wall_hours": {"at_once": at_once, "range": self.wall(at_once).json()},
            "assumed": self._assumed(),
            "too_short": self._too_short(),
            "paper_says": papers_own(self.paper, self.work, self.given)
            if self.profile == "paper" else [],
        }

    def wall(self, at_once: int | None) -> Range:
        """Return the hours from the first start to the last end, without waiting for a queue.

        No schedule is quicker than the longest chain of runs or than all work shared out evenly,
        and none that leaves nobody idle is slower than their sum (Graham 1966).
        """
        low, high = (self._longest(side) / HOUR for side in ("low", "high"))
        if at_once is None:
            return Range(low, high)
        work = total(map(self.seconds, self.work)) * (1 / HOUR / at_once)
        return Range(max(low, work.low), work.high + high * (1 - 1 / at_once))

    def _longest(self, side: str) -> float:
        ends: dict[str, float] = {}
        for one in self.work:  # in topological order
            before = max((ends.get(up.key, 0.0) for up in one.spec.upstream), default=0.0)
            ends[one.spec.key] = before + getattr(self.seconds(one), side)
        return max(ends.values(), default=0.0)

    def _stage(self, stage: str) -> Report:
        runs = [one for one in self.work if one.spec.stage == stage]
        arms: dict[str, list[Work]] = {}
        for one in runs:
            arms.setdefault(one.spec.arm, []).append(one)
        return {"stage": stage, **self._amounts(runs),
                "arms": [{"arm": arm, **self._amounts(group),
                          "from": self.times[group[0].spec.key][1]}
                         for arm, group in arms.items()]}

    def _amounts(self, runs: list[Work]) -> Report:
        """Return runs, model FLOPs, and ranges of seconds a run, core- and GPU-hours, and kWh."""
        times = list(map(self.seconds, runs))
        cores, gpus = (total(time * (count(one) / HOUR)
                             for one, time in zip(runs, times, strict=True))
                       for count in (lambda one: one.cores, lambda one: one.devices))
        watts = (cores * devices.WATTS_PER_CORE) + (gpus * self.given.gpu.watts)
        each = Range(min(t.low for t in times), max(t.high for t in times)) if times else NOTHING
        return {
            "runs": len(runs),
            "flops": sum(one.flops for one in runs),
            "tokens": sum(one.tokens for one in runs),
            "seconds_a_run": each.json(),
            "core_hours": cores.json(),
            "gpu_hours": gpus.json(),
            "energy_kwh": Range(watts.low * POWER.low, watts.high * POWER.high).json(1e-3),
        }

    def _assumed(self) -> list[str]:
        lines = []
        if any(one.on == CUDA for one in self.work):
            gpu = self.given.gpu
            lines.append(f"GPU: {gpu.name}, {gpu.watts:g} W ({gpu.source})")
            if self.given.utilisation is None:
                lines += [f"utilisation at {name}: {words}" for name, words in (
                    ("bf16 and fp16", rates.MATRIX_SOURCE), ("fp32", rates.VECTOR_SOURCE))]
        if any(one.on != CUDA for one in self.work):
            lines.append(f"CPU: {self.given.cpu}")
        return [*lines,
                f"energy: {POWER.low:.0%} to {POWER.high:.0%} of the GPUs' board power and of "
                f"{devices.WATTS_PER_CORE:g} W a core ({devices.CORE_SOURCE}); without memory and "
                "cooling",
                "core-hours: cores asked for, times wall time"]

    def _too_short(self) -> list[str]:
        """Return a line for each stage of an arm that may not end within what it asks for."""
        lines = []
        for one in self.work:
            time, need = self.seconds(one), one.spec.resources.minutes
            if time.high > 60 * need:
                word = "will not" if time.low > 60 * need else "may not"
                lines.append(f"{one.spec.stage} of {one.spec.arm}: {word} end within the {need} "
                             f"minutes of resources.{self.profile}.{one.spec.stage} (takes "
                             f"{time.low / 60:.0f} to {time.high / 60:.0f})")
        return list(dict.fromkeys(lines))


def papers_own(paper: Paper, work: list[Work], given: Assumptions) -> list[Report]:
    """Return for each arm whose cost the paper states: its figures, our FLOPs for the same run, the
    hours we forecast on its device, and the share of peak that its own figures come to."""
    found = []
    for arm, cost in paper.costs.items():
        run = next((one for one in work if one.spec.arm == arm and one.flops), None)
        row: Report = {"arm": arm, **cost.model_dump(), "our_flops": run.flops if run else None,
                       "our_hours": None, "within": None, "implied": {}}
        device = devices.recognise(cost.device or "")
        if device is not None:
            flops = cost.flops or (run.flops if run else None)
            row["implied"] = {} if flops is None else {
                precision: flops / (cost.hours * HOUR * cost.devices * peak)
                for precision, peak in device.peak.items()}
            if run is not None:
                precision = run.precision if run.precision in device.peak else "fp32"
                share = given.utilisation or rates.utilisation(precision)
                alone = run.flops / device.peak_of(precision) / cost.devices / HOUR
                hours = Range(alone / share.high, alone / share.low)
                row |= {"our_hours": hours.json(), "precision": precision,
                        "within": cost.hours in hours}
        found.append(row)
    return found


def check_budget(report: Report, gpu_hours: float | None) -> None:
    """Raise UserError if the GPU-hours may exceed a budget. report: of a forecast."""
    low, high = report["total"]["gpu_hours"]
    if gpu_hours is not None and high > gpu_hours:
        word = "are" if low > gpu_hours else "may be"
        raise UserError(f"--max-gpu-hours {gpu_hours:g}: {report['paper']} ({report['profile']}) "
                        f"{word} over it: {low:g} to {high:g} GPU-hours")
