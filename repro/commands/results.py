"""What the rows say: verdict, board, report; and the rendered files."""

import sys
from pathlib import Path

import click

from repro.commands import completing
from repro.commands.common import JSON, PAPER, PAPERS, PROFILE, emit, paper_here, write_resolved


@click.command()
@PAPER
@PROFILE
@click.option("--claim", "claims", multiple=True, help="Only these claims.",
              shell_complete=completing.claims)
@click.option("--write", is_flag=True, help="Collect rows and write results/ (what DVC calls).")
@JSON
def verdict(paper: str | None, profile: str, claims: tuple[str, ...], write: bool,
            as_json: bool) -> None:
    """Say whether the claims hold. Exit: 0 reproduced, 2 inconclusive, 3 contradicted, 1 error."""
    from repro import settings
    from repro.pipeline import workspace
    from repro.report import card, cost, results, terminal
    from repro.verdict import collect, judge

    found = paper_here(paper)
    if write:
        workspace.check(found, profile)
        report = results.write(found, profile)
        cost.write(found, profile, cost.runs_of(found, profile, settings.load(found.root).store))
        card.write(found)
    else:
        report = judge.judge(found, profile, collect.load(found, profile))
    report = judge.limited(report, claims)
    emit(report, as_json, terminal.verdict)
    sys.exit(0 if write else judge.exit_code(report))


@click.command()
@PAPERS
@JSON
def render(papers: tuple[str, ...], as_json: bool) -> None:
    """Write the rendered files anew: resolved settings, dvc.yaml and README.md of papers, and the
    suite's dvc.yaml."""
    from repro.paper import Paper, find_root
    from repro.report import card, dvcfile

    chosen = [Paper.find(name) for name in papers] or Paper.all()
    written = []
    for paper in chosen:
        written += [write_resolved(paper, profile) for profile in paper.profiles]
        written += [dvcfile.write(paper), card.write(paper)]
    written.append(dvcfile.write_suite(find_root(), Paper.all()))
    if as_json:
        emit({"written": written}, as_json, str)


@click.command()
@PROFILE
@JSON
def board(profile: str, as_json: bool) -> None:
    """Gather all verdicts into results/board.<profile>.md and .json."""
    from repro.paper import Paper, find_root
    from repro.report import board as boards

    entries = boards.write(find_root(), Paper.all(), profile)
    emit(entries, as_json, lambda found: boards.render(found, profile))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Default: site/ of the suite.")
@JSON
def report(out: Path | None, as_json: bool) -> None:
    """Write the static site: the suite's board and a page per paper."""
    from repro.paper import find_root
    from repro.report.site.build import build, summary

    target = out or find_root() / "site"
    emit(build(find_root(), target), as_json, lambda pages: summary(target, pages))
