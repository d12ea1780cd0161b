"""The files of one paper as the draft of another.

What a draft takes over is structure: arms, tasks, gates, the form of claims, data, sizes, settings.
What it does not take over is what the other paper says of itself: title, authors, the words and
numbers of claims, the sources of hyper-parameters, notes, measured costs. In their place stands
TODO, and where the old text helps, it follows with its origin.
"""

import re
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

TODO = "TODO"
# Blocks of paper.yaml that a draft takes over; others speak of the other paper's results.
TAKEN = ("stages", "arms", "tasks", "gates", "claims", "data", "stated", "unstated", "deviations",
         "resources")


def renamed(text: str, old: str, new: str) -> str:
    """Return a text with the imports, includes and paths of papers/old made those of papers/new."""
    return re.sub(rf"\bpapers([./]){re.escape(old)}\b", rf"papers\1{new}", text)


def source(text: str, old: str, new: str) -> str:
    """Return a gin or Python file of the paper `old` for `new`; its first line says what to do."""
    first, _, rest = text.partition("\n")
    if first.startswith("# "):
        return _mark(old, first.removeprefix("# "), "# ") + "\n" + renamed(rest, old, new)
    head = "" if TODO in first else f"# {TODO}: this is papers/{old}; keep what the paper needs\n"
    return head + renamed(text, old, new)


def card(text: str, old: str, new: str, about: dict[str, str], of_paper: bool = True) -> str:
    """Return paper.yaml of `old` as a draft of `new`. about: title and family where they are known.
    of_paper: `old` is a paper, whose own statements must not become those of another one; else a
    template, which has none."""
    editor = YAML()
    editor.width = 4096
    editor.preserve_quotes = True
    editor.indent(mapping=2, sequence=4, offset=2)
    # Of the paper's own modules only: its texts go on to speak of the paper they were written for.
    content = editor.load(text.replace(f" papers.{old}.", f" papers.{new}."))
    head = _head(new, about.get("title", f"{TODO}: title"), about.get("family", content["family"]))
    for name in [name for name in content if name not in TAKEN]:
        del content[name]
    if of_paper:
        _mark_all(content, old)
    buffer = StringIO()
    editor.dump(content, buffer)
    return f"{head}\n{buffer.getvalue()}"


def with_paper(text: str, slug: str) -> str:
    """Return params.yaml with an entry for a paper."""
    editor = YAML()
    editor.width = 4096
    editor.preserve_quotes = True
    content = editor.load(text) or {}
    content["papers"] = content.get("papers") or {}
    content["papers"][slug] = {"overrides": []}
    buffer = StringIO()
    editor.dump(content, buffer)
    return buffer.getvalue()


def _head(slug: str, title: str, family: str) -> str:
    """Return who the paper is by, all of it still to be filled in but what is given."""
    return (f"slug: {slug}\n"
            f"title: {_quoted(title)}\n"
            f"# {TODO} arxiv: \"0000.00000\"\n"
            f"venue: {TODO}\n"
            f"year: 1950  # {TODO}\n"
            f"authors: [{TODO}]\n"
            f"# {TODO} code: github.com/...\n"
            f"family: {family}\n")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _mark_all(content: Any, old: str) -> None:
    for claim in content.get("claims", ()):
        claim["text"] = _mark(old, claim["text"])
        if isinstance(claim.get("scale"), dict):
            claim["scale"]["untestable"] = _mark(old, claim["scale"]["untestable"])
        for name in ("baseline", "method", "levels"):
            claim["paper"].pop(name, None)
        claim["paper"]["metric"] = claim["paper"]["source"] = TODO
    for entry in content.get("stated", {}).values():
        if TODO not in entry["source"]:
            entry["source"] = f"{TODO}: this is the value of papers/{old}"
    for key, follows in content.get("unstated", {}).items():
        content["unstated"][key] = _mark(old, follows)
    for entry in content.get("deviations", ()):
        # The value of a setting is stated above; anything else only the other paper can have said.
        if entry["key"].count(".") < 2:
            entry["paper"] = TODO
        entry["reason"] = _mark(old, entry["reason"])


def _mark(old: str, text: str, prefix: str = "") -> str:
    """Return a text of the paper `old` as one that is to be replaced; a draft's own stay."""
    return prefix + (text if TODO in text else f"{TODO} (papers/{old}: {text})")
