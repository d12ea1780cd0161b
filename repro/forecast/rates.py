"""How long one run will take: a range, and from what it is known.

From the best there is, in this order: a calibration made just now; finished runs of the same shape
on the same kind of device; the rate of operations that runs of other shapes reached there; the peak
rate of the device times an assumed utilisation; what paper.yaml asks for.
"""

from dataclasses import dataclass, field

from repro.devices import Device
from repro.forecast.observed import Observation, same_device
from repro.forecast.ranges import Range
from repro.forecast.work import CUDA, Work

# Matrix units. Low: ELECTRA-Small's 4 days on a V100 are 3 % of its fp16 peak; such narrow models
# cannot fill them. High: one trillion parameters on A100s.
MATRIX = Range(0.03, 0.56)
MATRIX_SOURCE = "3 % (ELECTRA-Small on a V100) to 56 % (Korthikanti et al. 2022, 1T parameters)"
# Vector units, fp32 without TF32. ELECTRA-Small's 4 days are 26 %.
VECTOR = Range(0.15, 0.6)
VECTOR_SOURCE = "15 to 60 %, assumed (ELECTRA-Small on a V100: 26 %)"
ONE_RUN = Range(0.8, 1.2)  # of a single observation
SCALING = Range(1.0, 2.0)  # what several tasks lose to each other, times
LONG_S = 10.0  # shorter runs are mostly start-up and say little about rates
IDLE = Range(0.0, 60.0)


@dataclass(frozen=True)
class Calibration:
    """seconds_per_token of a shape, measured just now; startup: seconds before the first step, a
    run's share of loading the libraries included."""

    seconds_per_token: Range
    startup: float


@dataclass(frozen=True)
class Assumptions:
    """What a forecast takes for given. cpu, gpu: the devices meant. precision, utilisation, peak
    (operations a second): None = those of the run, MATRIX or VECTOR, and the device's own."""

    cpu: str
    gpu: Device
    precision: str | None = None
    utilisation: Range | None = None
    peak: float | None = None
    calibrations: dict[str, Calibration] = field(default_factory=dict)


def seconds(
    work: Work, observed: list[Observation], given: Assumptions
) -> tuple[Range, str]:
    """Return how long a run takes from its start to its end, and how that is known."""
    if work.idle:
        return IDLE, "takes no training step"
    name = given.gpu.name if work.on == CUDA else given.cpu
    here = [one for one in observed
            if one.stage == work.spec.stage and same_device(one.device, name)]
    return (_calibrated(work, given) or _same_shape(work, here) or _same_settings(work, here)
            or _same_stage(work, here) or _peak(work, given) or _request(work))


def _calibrated(work: Work, given: Assumptions) -> tuple[Range, str] | None:
    found = given.calibrations.get(work.shape) if work.shape else None
    if found is None:
        return None
    trained = _shared(work, found.seconds_per_token * work.tokens)
    return trained + Range(found.startup, found.startup), "calibration: steps timed here, just now"


def _same_shape(work: Work, here: list[Observation]) -> tuple[Range, str] | None:
    same = [one for one in here if work.shape and one.shape == work.shape and one.tokens]
    if not same:
        return None
    per_token = _spread([one.seconds / one.tokens for one in same])
    return _shared(work, per_token * work.tokens), f"tokens/s, same shape ({_sources(same)})"


def _same_settings(work: Work, here: list[Observation]) -> tuple[Range, str] | None:
    """Of what trains nothing that was counted: runs with just these settings, and on this data."""
    same = [one for one in here if not work.flops and one.section == work.section
            and (one.paper, one.profile) == (work.spec.paper, work.spec.profile)]
    if not same:
        return None
    return _spread([one.seconds for one in same]), f"time of runs so set ({_sources(same)})"


def _same_stage(work: Work, here: list[Observation]) -> tuple[Range, str] | None:
    others = [one for one in here if one.flops and one.seconds >= LONG_S]
    if not others or not work.flops:
        return None
    per_flop = _spread([one.seconds / one.flops for one in others])
    return (_shared(work, per_flop * work.flops),
            f"FLOP/s, other shapes on this device ({_sources(others)})")


def _peak(work: Work, given: Assumptions) -> tuple[Range, str] | None:
    """Return the time at the device's peak rate times a utilisation; None for processors, whose
    peak nobody named."""
    if not work.flops or (work.on != CUDA and given.peak is None):
        return None
    precision = given.precision or work.precision
    share = given.utilisation or utilisation(precision)
    peak = given.peak or given.gpu.peak_of(precision)
    at_once = max(1, work.devices if work.on == CUDA else work.cores)
    alone = work.flops / peak / at_once
    whose = "named by you" if given.peak else f"{given.gpu.name} {precision}, {given.gpu.source}"
    return (Range(alone / share.high, alone / share.low),
            f"FLOPs / ({peak / 1e12:.4g} TFLOP/s [{whose}] x {share.low:.0%} to {share.high:.0%})")


def utilisation(precision: str) -> Range:
    """Return the share of a GPU's peak rate that is assumed where nobody says."""
    return VECTOR if precision == "fp32" else MATRIX


def _request(work: Work) -> tuple[Range, str]:
    return (Range(0.0, 60.0 * work.spec.resources.minutes),
            "paper.yaml's request, an upper bound: its work is not known without the data")


def _shared(work: Work, alone: Range) -> Range:
    """Return the time of what one task would do alone when several share it."""
    tasks = work.spec.resources.tasks
    if tasks == 1:
        return alone
    return Range(alone.low * SCALING.low / tasks, alone.high * SCALING.high / tasks)


def _spread(values: list[float]) -> Range:
    """Return the range of what was seen; of a single value, a margin around it."""
    found = Range.of(values)
    if len(values) == 1:
        return Range(found.low * ONE_RUN.low, found.high * ONE_RUN.high)
    return found


def _sources(observed: list[Observation]) -> str:
    return f"{len(observed)} {' and '.join(sorted({one.source for one in observed}))}"
