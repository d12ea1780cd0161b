"""Code digests under edits: how many changes they miss, how many recomputations are needless.

    python bench/code_digests.py [--out bench/results/code_digests.json]

The edits are those of tests/config/mutations.py; what each can change was written down by hand.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "config"))

from edited import SECTIONS, account, copy_to  # noqa: E402
from mutations import EXECUTED, HARMLESS, SILENT  # noqa: E402

CLASSES = {"not executed": SILENT, "executed": EXECUTED, "executed, result unchanged": HARMLESS}
CONFIDENCE = 0.95


def measure() -> dict[str, Any]:
    """Return the account of every edit, and the totals of every class of edits."""
    with tempfile.TemporaryDirectory(prefix="repro-edited-") as folder:
        copy = copy_to(Path(folder))
        lines = {name: account(copy, edits) for name, edits in CLASSES.items()}
    everything = [line for some in lines.values() for line in some]
    return {"sections": len(SECTIONS), "edits": len(everything),
            "classes": {name: totals(some) for name, some in lines.items()},
            "all": totals(everything), "lines": lines}


def totals(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return sums over edits, and both error rates: missed of the sections an edit can change (with
    the largest rate that as many misses are likely under, one-sided 95 %), needless of the others.
    """
    true = sum(line["true"] for line in lines)
    missed = sum(len(line["missed"]) for line in lines)
    needless = sum(line["needless"] for line in lines)
    others = len(lines) * len(SECTIONS) - true
    wrong = sum(bool(line["missed"]) for line in lines)
    can = sum(bool(line["true"]) for line in lines)
    return {"edits": len(lines), "can_change": can, "true": true, "missed": missed,
            "edits_missed": wrong, "edits_missed_at_most": None if wrong or not can
            else round(1 - (1 - CONFIDENCE) ** (1 / can), 4),
            "others": others, "needless": needless,
            "needless_rate": round(needless / others, 4) if others else None}


def render(found: dict[str, Any]) -> str:
    """Return the totals and every edit with an error as Markdown."""
    lines = ["# Code digests under edits\n",
             f"Rendered by `bench/code_digests.py`: {found['edits']} edits of "
             "tests/config/mutations.py, each against the "
             f"{found['sections']} sections (stage of an arm) of electra's mini profile.\n",
             "| edits of code that is | edits | sections they can change | missed "
             "| other sections | needlessly recomputed |", "|---|---|---|---|---|---|"]
    for name, one in [*found["classes"].items(), ("**all**", found["all"])]:
        lines.append(f"| {name} | {one['edits']} | {one['true']} | {one['missed']} "
                     f"| {one['others']} | {one['needless']} ({one['needless_rate']:.1%}) |")
    every = found["all"]
    bound = every["edits_missed_at_most"]
    lines.append(f"\nEdits that can change something and were missed: {every['edits_missed']} of "
                 f"{every['can_change']}" + (f" (95 %: at most {bound:.1%} of such edits)."
                                             if bound is not None else "."))
    lines += ["\n## Edits that recompute needlessly\n", "| edit | file | can change | recomputed |",
              "|---|---|---|---|"]
    lines += [f"| {line['kind']} | {line['file']} | {line['true']} | {line['recomputed']} |"
              for some in found["lines"].values() for line in some if line["needless"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "code_digests.json")
    asked = parser.parse_args()
    found = measure()
    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    asked.out.with_suffix(".md").write_text(render(found), encoding="utf-8")
    print(render(found))


if __name__ == "__main__":
    main()
