"""The suite's board: the verdicts of all papers of one profile, as markdown and JSON."""

import json
from pathlib import Path
from typing import Any

from repro.paper import Paper
from repro.report.markdown import cell
from repro.report.results import load_verdict
from repro.verdict.judge import VERDICTS

NOT_RUN = "not run"


def gather(papers: list[Paper], profile: str) -> list[dict[str, Any]]:
    """Return one entry per paper: verdict, counts over its claims, seeds. exact: None until runs
    have been repeated and compared byte for byte."""
    entries = []
    for paper in papers:
        report = load_verdict(paper, profile) or {}
        entries.append({
            "paper": paper.slug,
            "title": paper.title,
            "claims": len(paper.claims),
            "verdict": report.get("verdict", NOT_RUN),
            "counts": report.get("counts", {}),
            "seeds": len(report.get("seeds", [])),
            "exact": None,
        })
    return entries


def render(entries: list[dict[str, Any]], profile: str) -> str:
    """Return the board as a markdown table."""
    head = ["paper", "claims", *VERDICTS, "seeds", "exact", "verdict"]
    lines = [f"# Board: {profile}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for entry in entries:
        counts = [str(entry["counts"].get(name, "")) for name in VERDICTS]
        name = f"[{entry['paper']}](../papers/{entry['paper']}/README.md)"
        exact = "n/a" if entry["exact"] is None else str(entry["exact"])
        cells = [name, str(entry["claims"]), *counts, str(entry["seeds"] or ""), exact,
                 cell(entry["verdict"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(root: Path, papers: list[Paper], profile: str) -> list[dict[str, Any]]:
    """Write results/board.<profile>.md and .json at the suite's root; return the entries."""
    entries = gather(papers, profile)
    folder = root / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"board.{profile}.md").write_text(render(entries, profile), encoding="utf-8")
    text = json.dumps({"profile": profile, "papers": entries}, indent=1, ensure_ascii=False)
    (folder / f"board.{profile}.json").write_text(text + "\n", encoding="utf-8")
    return entries
