"""`make demo`: the cheapest claim of the suite that two cores can decide in minutes.

Its runs are ordinary runs of the mini profile, in the ordinary store: a later `dvc repro` of the
paper finds them finished.
"""

import click

from repro import settings
from repro.commands.common import resolve_paper
from repro.config.resolved import path_of
from repro.data import fetching
from repro.paper import Paper
from repro.pipeline.spec import expand
from repro.pipeline.stage import link_artefacts, load_tree
from repro.pipeline.store import Store
from repro.pipeline.submit import Request, submit
from repro.report import terminal
from repro.verdict import collect, judge

PAPER, CLAIM, PROFILE = "tiny_lm", "pretraining_helps", "mini"


def run_demo(workers: int | None = None) -> int:
    """Fetch the data, run both arms of one claim over all seeds, print its verdict.

    Returns an exit code: 0 when the verdict could be made, whatever it says.
    """
    paper = Paper.find(PAPER)
    found = settings.load(paper.root, workers=workers)
    claim = next(claim for claim in paper.claims if claim.id == CLAIM)
    arms = (claim.baseline.arm, claim.method.arm)
    click.echo(f"{paper.title} ({paper.venue} {paper.year}): {claim.text}")
    fetching.fetch([PAPER], found.assets, root=found.root, say=click.echo)
    resolve_paper(paper, PROFILE).write(path_of(found.root, PAPER, PROFILE))
    code = submit(Request((PAPER,), PROFILE, arms, wait=True), found)
    if code:
        return code
    tree, store = load_tree(paper, PROFILE, found.suite), Store(found.store)
    for arm in arms:
        specs = expand(paper, tree, PROFILE, "eval", arm, found.suite.seeds)
        link_artefacts(paper, specs, store)
    part = paper.limited(arms, (CLAIM,))
    click.echo(terminal.verdict(judge.judge(part, PROFILE, collect.collect(part, PROFILE))))
    click.echo(f"all claims: dvc repro papers/{PAPER}/dvc.yaml")
    return 0
