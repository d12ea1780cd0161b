"""Write the site: index.html, papers/<slug>.html and two static files. No date, no host: the same
inputs make the same bytes."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from repro.errors import UserError
from repro.paper import Paper
from repro.report import forecasts, markdown
from repro.report.rendering import environment
from repro.report.site import board, curves, forest
from repro.report.site.page import page
from repro.verdict.judge import VERDICTS

HERE = Path(__file__).parent
MARK = '<meta name="generator" content="repro report">'
STATIC = ("style.css", "site.js")


def build(root: Path, out: Path) -> dict[str, int]:
    """Write the site of the suite at root into the folder out; return path -> bytes.

    A former site there is replaced. Raises UserError if out holds something else, or if a paper's
    files are broken.
    """
    pages = render(root)
    _check_target(out)
    for path in out.glob("papers/*.html"):
        if f"papers/{path.name}" not in pages:
            path.unlink()
    for name, text in pages.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return {name: len(text.encode()) for name, text in pages.items()}


def summary(out: Path, pages: dict[str, int]) -> str:
    """Return one line on what `build` wrote."""
    return f"{out / 'index.html'}: {len(pages)} files, {sum(pages.values()) / 1000:.0f} kB"


def render(root: Path) -> dict[str, str]:
    """Return the whole site: path below its folder -> text."""
    papers = Paper.all(root)
    templates = _templates()
    found = board.entries(papers, board.load_planned())
    index = templates.get_template("board.html.j2").render(
        entries=found, summary=board.summary(found), here="",
        families=sorted({entry["family"] for entry in found}))
    pages = {"index.html": index}
    for paper in papers:
        pages[f"papers/{paper.slug}.html"] = templates.get_template("paper.html.j2").render(
            here="../", **page(paper))
    pages |= {f"static/{name}": (HERE / "static" / name).read_text("utf-8") for name in STATIC}
    return pages


def _check_target(out: Path) -> None:
    """Raise UserError unless out is free: absent, empty, or a former site."""
    if not out.exists():
        return
    index = out / "index.html"
    if not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder for the site")
    if any(out.iterdir()) and not (index.is_file() and MARK in index.read_text("utf-8", "replace")):
        raise UserError(f"{out}: holds something else than a site made here; name another folder")


def _templates() -> Environment:
    made = environment(HERE / "templates", html=True)
    made.globals |= {"VERDICTS": VERDICTS, "MARK": Markup(MARK), "forest": forest,
                     "curves": curves, "forecasts": forecasts}
    for name in ("number", "interval", "duration", "energy", "count"):
        made.filters[name] = _with_true_minus(getattr(markdown, name))
    made.filters["minus"] = lambda text: str(text).replace("-", "−")
    made.filters["plain"] = plain
    made.filters["effect"] = effect
    made.filters["ticked"] = ticked
    made.filters["breakable"] = breakable
    return made


def _with_true_minus(function: Any) -> Any:
    return lambda *args: function(*args).replace("-", "−")


def effect(value: float | None) -> str:
    """Return an effect of the paper as it would print it: signed, no more digits than it has."""
    return "–" if value is None else f"{value:+.4g}".replace("-", "−")


def plain(value: Any) -> str:
    """Return a value of paper.yaml as text; unlike a markdown cell, nothing is escaped."""
    return markdown.cell(value).replace("\\|", "|")


def ticked(text: str) -> Markup:
    """Return text with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def breakable(path: str) -> Markup:
    """Return a dotted path that may break after its dots."""
    return Markup(str(escape(path)).replace(".", ".<wbr>"))
