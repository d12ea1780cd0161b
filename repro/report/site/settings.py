"""The settings of a paper's arms side by side, and against what the paper states."""

from collections import Counter
from typing import Any

from repro.config import diff as differ
from repro.config.tables import named
from repro.paper import Paper

MISSING = "–"


def arm_table(paper: Paper, profile: str, arms: list[str]) -> dict[str, Any]:
    """Return what differs between arms: {arms, rows: [{path, cells: [{text, usual}]}], hidden}.

    An arm that reads another one's stage has that one's settings there. usual: the value most arms
    have. hidden: rows left out, at the defaults of functions that only some arms use.
    """
    if len(arms) < 2:
        return {"arms": arms, "rows": [], "hidden": 0}
    specs = [f"{paper.slug}:{arm}" for arm in arms]
    found = differ.diff(specs, root=paper.root, profile=profile)
    rows = [(row.path, _values(paper, arms, row), row.default) for row in found.rows]
    rows = [row for row in rows if len(set(row[1])) > 1]
    return {
        "arms": arms,
        "rows": [{"path": path, "cells": _cells(texts)} for path, texts, hide in rows if not hide],
        "hidden": sum(hide for _, _, hide in rows),
    }


def _values(paper: Paper, arms: list[str], row: differ.Row) -> list[str]:
    """Return the setting of each arm as text, its own or of the arm whose stage it reads."""
    stage = row.path.partition(".")[0]
    given = {arm: next(iter(values.values())) for arm, values in zip(arms, row.values, strict=True)
             if values}
    providers = [paper.provider(arm, stage) for arm in arms]
    return [named(given[provider]) if provider in given else MISSING for provider in providers]


def _cells(texts: list[str]) -> list[dict[str, Any]]:
    usual, count = Counter(texts).most_common(1)[0]
    return [{"text": text, "usual": text == MISSING or (text == usual and count > 1)}
            for text in texts]
