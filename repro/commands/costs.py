"""What runs took, and what others will take: cost."""

from typing import Any

import click

from repro.commands.common import CLUSTER, JSON, PAPER, PROFILE, emit, paper_here, resolve_paper
from repro.errors import UserError


@click.command()
@PAPER
@PROFILE
@CLUSTER
@click.option("--forecast", "ahead", is_flag=True, help="Also where runs were made already.")
@click.option("--gpu", help="As in repro/devices.yaml. [default: the cluster's, A100]")
@click.option("--cpu", help="The processor meant, as runs recorded it. [default: this one]")
@click.option("--precision", help="fp32|bf16|fp16 in place of the runs' own.")
@click.option("--utilisation", metavar="LOW[-HIGH]", help="Share of the peak rate: 0.1-0.3.")
@click.option("--peak-tflops", type=click.FloatRange(min=0, min_open=True), metavar="N",
              help="Peak rate of a device, in place of its data sheet's.")
@click.option("--parallel", type=click.IntRange(min=1), metavar="N",
              help="Runs side by side. [default: on CPUs the workers; on GPUs all at once]")
@click.option("--calibrate", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="First time real updates here, so many seconds for each model.")
@click.option("--max-gpu-hours", type=click.FloatRange(min=0), metavar="N",
              help="Exit with 1 if it may take more.")
@click.option("--write", is_flag=True,
              help="Keep the forecast of the paper's own scale for the site, by data sheets alone.")
@JSON
def cost(paper: str | None, profile: str, cluster: str | None, ahead: bool, as_json: bool,
         max_gpu_hours: float | None, write: bool, **given: Any) -> None:
    """Say what a profile's runs took; where none was made, forecast it: time, GPU-hours, energy."""
    from repro.forecast import table
    from repro.forecast.forecast import check_budget

    found = paper_here(paper)
    found.check_profile(profile)
    chosen = any(value is not None for value in given.values())
    if write and (profile != "paper" or chosen):
        raise UserError("cost --write: keeps what follows from the settings alone: --profile paper,"
                        " and no other option")
    asked = ahead or write or chosen or max_gpu_hours is not None
    report = None if asked else _spent(found, profile)
    if report is None:
        report = _kept(found) if write else _forecast(found, profile, cluster, given)
    emit(report, as_json, table.render)
    if report["kind"] == "forecast":
        check_budget(report, max_gpu_hours)


def _spent(paper: Any, profile: str) -> dict[str, Any] | None:
    """Return what the finished runs took: those linked here, else what git keeps; None if none."""
    from repro import settings
    from repro.report import cost as costs

    runs = costs.runs_of(paper, profile, settings.load(paper.root).store)
    found = costs.gather(runs) if runs else costs.load(paper, profile)
    if found is None:
        return None
    where = "the store" if runs else str(costs.path_of(paper, profile).relative_to(paper.root))
    return {"paper": paper.slug, "profile": profile, "kind": "spent", "from": where, "cost": found}


def _forecast(paper: Any, profile: str, cluster: str | None, given: dict[str, Any]) -> Any:
    from repro import devices, settings
    from repro.forecast import calibrate, observed, work
    from repro.forecast.forecast import Forecast
    from repro.forecast.rates import Assumptions
    from repro.paper import Paper
    from repro.pipeline import machine
    from repro.pipeline.store import Store

    site = settings.load(paper.root, cluster=cluster)
    tree = resolve_paper(paper, profile).tree
    store = Store(site.store) if site.store.is_dir() else None
    left, done = work.missing(paper, profile, tree, store)
    calibrations = {}
    if given["calibrate"]:
        calibrations = calibrate.calibrate(paper, left, tree, given["calibrate"])
    assumed = Assumptions(
        cpu=given["cpu"] or machine.describe()["cpu"],
        gpu=devices.find(given["gpu"] or _gpu_of(cluster) or "A100"),
        precision=given["precision"],
        utilisation=_share(given["utilisation"]),
        peak=1e12 * given["peak_tflops"] if given["peak_tflops"] else None,
        calibrations=calibrations,
    )
    at_once = given["parallel"] or (
        None if cluster or any(one.on == work.CUDA for one in left) else site.workers)
    known = observed.gather(Paper.all(paper.root), site.store)
    return Forecast(paper, profile, left, done, known, assumed).report(at_once)


def _kept(paper: Any) -> Any:
    """Write and return the forecast that depends on settings and data sheets only."""
    from repro import devices
    from repro.forecast import work
    from repro.forecast.forecast import Forecast
    from repro.forecast.rates import Assumptions
    from repro.report import forecasts

    tree = resolve_paper(paper, forecasts.PROFILE).tree
    left, done = work.missing(paper, forecasts.PROFILE, tree, None)
    assumed = Assumptions(cpu="any", gpu=devices.find("A100"))
    report = Forecast(paper, forecasts.PROFILE, left, done, [], assumed).report(None)
    forecasts.write(paper, report, tree)
    return report


def _gpu_of(cluster: str | None) -> str | None:
    """Return the type of GPU that a cluster's file names, if it is one we know."""
    from repro import devices
    from repro.pipeline.cluster import Cluster

    name = Cluster.load(cluster).gres_type if cluster else None
    return name if name and devices.recognise(name) else None


def _share(text: str | None) -> Any:
    """Return `0.1-0.3` or `0.2` as a range. Raises UserError."""
    from repro.forecast.ranges import Range

    if text is None:
        return None
    try:
        sides = [float(side) for side in text.split("-")]
        found = Range(sides[0], sides[-1])
    except ValueError:
        sides, found = [], Range(0, 0)
    if len(sides) not in (1, 2) or not 0 < found.low <= found.high <= 1:
        raise UserError(f"--utilisation {text!r}: expected a share or a range of them, 0 < LOW <= "
                        "HIGH <= 1, for example 0.1-0.3")
    return found
