"""The suite board: one entry per paper, built or planned, and what the claims come to."""

from pathlib import Path
from typing import Any

from repro import yaml
from repro.paper import Paper
from repro.report import cost
from repro.report.board import NOT_RUN
from repro.report.results import load_verdict
from repro.report.site import provenance
from repro.report.site.claims import claim_views, headline
from repro.verdict.judge import VERDICTS

PLANNED = Path(__file__).with_name("planned.yaml")
# The largest scale that has been judged speaks for a paper.
PROFILES = ("paper", "gpu", "mini")
Entry = dict[str, Any]


def judged(paper: Paper) -> list[str]:
    """Return the profiles with a committed verdict, the largest scale first."""
    return [profile for profile in PROFILES if load_verdict(paper, profile) is not None]


def entries(papers: list[Paper], planned: dict[str, dict[str, str]]) -> list[Entry]:
    """Return an entry per paper: those with a directory first, then the others in their order.

    planned: slug -> {title, family}. An entry has slug, title, family, built; a built one also
    profile, verdict, counts, claims, headline, exact, cost and deviations.
    """
    built = {paper.slug: _built(paper) for paper in papers}
    waiting = [{"slug": slug, "title": about["title"], "family": about["family"], "built": False}
               for slug, about in planned.items() if slug not in built]
    return [*built.values(), *waiting]


def _built(paper: Paper) -> Entry:
    profiles = judged(paper)
    entry: Entry = {
        "slug": paper.slug, "title": paper.title, "family": paper.family, "built": True,
        "claims": len(paper.claims), "deviations": len(paper.deviations),
        "exact": provenance.certificate(paper), "profile": None, "verdict": NOT_RUN,
        "counts": {}, "headline": None, "cost": None, "seeds": 0,
    }
    if not profiles:
        return entry
    profile = profiles[0]
    report = load_verdict(paper, profile)
    return entry | {
        "profile": profile, "verdict": report["verdict"], "counts": report["counts"],
        "headline": headline(claim_views(paper, report)), "cost": cost.load(paper, profile),
        "seeds": len(report["seeds"]),
    }


def summary(found: list[Entry]) -> dict[str, Any]:
    """Return {papers, built, claims: verdict -> number of claims over all built papers}."""
    return {
        "papers": len(found),
        "built": sum(entry["built"] for entry in found),
        "claims": {name: sum(entry["counts"].get(name, 0) for entry in found if entry["built"])
                   for name in VERDICTS},
    }


def load_planned() -> dict[str, dict[str, str]]:
    """Return slug -> {title, family} of every paper the suite means to hold."""
    return yaml.load(PLANNED)
