"""What the page of one paper shows, gathered from the files of its directory."""

from typing import Any

from repro.data.assets import registered
from repro.paper import Paper
from repro.report import card, cost, forecasts
from repro.report.results import load_verdict, task_table
from repro.report.site import curves, provenance, settings
from repro.report.site.board import judged
from repro.report.site.claims import claim_views
from repro.schema import Source

CURVE_ROWS = 40
View = dict[str, Any]


def page(paper: Paper) -> View:
    """Return everything the template of a paper's page reads."""
    profiles = judged(paper)
    return {
        "paper": paper,
        "profiles": [profile_view(paper, profile) for profile in profiles],
        "arms": _arms(paper),
        "settings": card.settings_table(paper),
        "data": [_data_row(profile, source) for profile, sources in paper.data.items()
                 for source in sources],
        "certificate": provenance.certificate(paper),
        "forecast": forecasts.load(paper),
    }


def profile_view(paper: Paper, profile: str) -> View:
    """Return the results of one judged profile: claims, curves, measurements, cost, origin."""
    report = load_verdict(paper, profile)
    tasks = [entry | {"primary": entry["metric"] == paper.tasks[entry["task"]].metric}
             for entry in task_table(paper, profile)]
    found = curves.read(paper, profile)
    tree = provenance.load_tree(paper, profile)
    return {
        "name": profile,
        "report": report,
        "claims": claim_views(paper, report),
        "panels": curves.panels(found),
        "curve_arms": list(found),
        "curve_rows": _thinned(curves.table(found)),
        "tasks": tasks,
        "arms": [arm for arm in paper.arms if any(arm in entry["arms"] for entry in tasks)],
        "cost": cost.load(paper, profile),
        "settings": settings.arm_table(paper, profile, _configured(paper, profile, tree)),
        "provenance": None if tree is None else provenance.provenance(
            paper, profile, tree, report["seeds"]),
    }


def _configured(paper: Paper, profile: str, tree: dict[str, Any] | None) -> list[str]:
    """Return the arms of a profile that have resolved settings."""
    return [arm for arm in paper.arms_of(profile) if tree and arm in tree["arms"]]


def _thinned(rows: list[View]) -> list[View]:
    """Return at most CURVE_ROWS rows, the last among them: a page stays small."""
    if len(rows) <= CURVE_ROWS:
        return rows
    last = len(rows) - 1
    return [rows[round(index * last / (CURVE_ROWS - 1))] for index in range(CURVE_ROWS)]


def _arms(paper: Paper) -> list[View]:
    return [{"name": name, "role": arm.role, "about": arm.about, "members": arm.members,
             "profiles": arm.profiles,
             "inputs": ", ".join(f"{stage} of {source}" for stage, source in arm.inputs.items())}
            for name, arm in paper.arms.items()]


def _data_row(profile: str, source: Source) -> View:
    """Return a data set with origin, version, licence and checksum."""
    if source.asset is not None:
        asset = registered()[source.asset]
        return {"profile": profile, "name": asset.name, "licence": asset.licence,
                "origin": f"{asset.registry} {asset.version} ({asset.kind})",
                "check": f"sha256 {asset.sha256}", "use": source.use or asset.used_for}
    config = f" ({source.config})" if source.config else ""
    return {"profile": profile, "name": f"{source.hub}{config}", "licence": source.licence,
            "origin": "Hugging Face hub", "check": f"revision {source.revision}",
            "use": source.use or ""}
