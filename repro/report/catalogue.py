"""What the suite holds, for `repro list` and `repro show`: plain data, from committed files."""

from typing import Any

from repro.paper import Paper
from repro.report import card, cost
from repro.report.board import NOT_RUN
from repro.report.results import load_verdict
from repro.report.todos import todos
from repro.schema import Claim, Side

Entry = dict[str, Any]


def listing(papers: list[Paper], profile: str) -> list[Entry]:
    """Return an entry per paper: what it is, and what a profile's runs have said and cost.

    verdict `not run`, no counts and cost None where the profile has no committed verdict."""
    return [_headline(paper, profile) for paper in papers]


def _headline(paper: Paper, profile: str) -> Entry:
    report = load_verdict(paper, profile) or {}
    return {
        "paper": paper.slug, "title": paper.title, "family": paper.family, "year": paper.year,
        "n_arms": len(paper.arms_of(profile)), "n_claims": len(paper.claims), "profile": profile,
        "profiles": list(paper.profiles), "verdict": report.get("verdict", NOT_RUN),
        "counts": report.get("counts", {}), "seeds": len(report.get("seeds", [])),
        "cost": _cost(paper, profile), "n_todo": len(todos(paper)),
    }


def _cost(paper: Paper, profile: str) -> Entry | None:
    found = cost.load(paper, profile)
    return found and {name: found[name] for name in ("runs", "total_seconds", "peak_mb")}


def describe(paper: Paper, profile: str) -> Entry:
    """Return all there is to say about one paper: the fields of `listing` and, beside them, who
    wrote it, stages, arms, tasks, claims with the paper's numbers and ours, data, resources, what
    is still to be filled in, and the commands that run it. Raises UserError for a profile that the
    paper has not."""
    paper.check_profile(profile)
    report = load_verdict(paper, profile) or {}
    judged = {claim["id"]: claim for claim in report.get("claims", [])}
    return _headline(paper, profile) | {
        "authors": list(paper.authors), "venue": paper.venue, "arxiv": paper.arxiv,
        "code": paper.code,
        "stages": dict(paper.stages),
        "arms": {name: _arm(paper, name) for name in paper.arms_of(profile)},
        "tasks": {name: {"about": paper.tasks[name].about, "metric": paper.tasks[name].metric}
                  for name in paper.tasks_in(profile)},
        "claims": [_claim(claim, judged.get(claim.id)) for claim in paper.claims],
        "data": card.data_table(paper),
        "resources": {name: {stage: need.model_dump() for stage, need in stages.items()}
                      for name, stages in paper.resources.items()},
        "deviations": len(paper.deviations),
        "todo": todos(paper),
        "run": commands(paper, profile),
    }


def _arm(paper: Paper, name: str) -> Entry:
    arm = paper.arms[name]
    return {"role": arm.role, "about": arm.about, "stages": list(paper.stages_of(name)),
            "inputs": dict(arm.inputs), "members": arm.members}


def _claim(claim: Claim, judged: Entry | None) -> Entry:
    """Return a claim as paper.yaml has it, and what its verdict rests on."""
    found: Entry = {
        "id": claim.id, "text": claim.text, "kind": claim.kind, "direction": claim.direction,
        "baseline": _side(claim.baseline), "method": _side(claim.method),
        "levels": [[level.arm, level.level] for level in claim.levels],
        "gate": claim.gate, "paper": claim.paper.model_dump(mode="json"),
        "stated": card.papers_numbers(claim.paper.model_dump()),
        "verdict": NOT_RUN, "reason": None, "ours": [], "numbers": [],
    }
    if judged is None:
        return found
    ours = [{"tasks": part["tasks"], **part["estimate"]} for part in judged["parts"]]
    return found | {"verdict": judged["verdict"], "reason": judged["reason"], "ours": ours,
                    "numbers": card.claim_cells(judged)["numbers"]}


def _side(side: Side | None) -> str | None:
    return side and side.arm


def commands(paper: Paper, profile: str) -> list[str]:
    """Return the commands that fetch a paper's data, run a profile, and ask for the verdict, which
    smoke never has."""
    fetch, here = f"repro data fetch {paper.slug}", f"papers/{paper.slug}/dvc.yaml"
    if profile == "smoke":
        return [fetch, f"repro submit {paper.slug} --local --profile smoke"]
    if profile == "mini":
        return [fetch, f"dvc repro {here}", f"repro verdict {paper.slug}"]
    return [f"dvc exp run -S 'params.yaml:suite.profiles=[{profile}]' {here}",
            f"repro verdict {paper.slug} --profile {profile}"]
