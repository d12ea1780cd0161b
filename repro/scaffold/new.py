"""Write papers/<slug>/: the files people edit, as a draft, and everything that is rendered."""

import keyword
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.naming import nearest
from repro.paper import Paper
from repro.report import card, dvcfile, todos
from repro.report.catalogue import commands
from repro.report.site.board import load_planned
from repro.scaffold import TEMPLATES, draft, templates
from repro.settings import load_params

Resolve = Callable[[Paper, str], Path]


def model(root: Path, like: str | None, template: str | None) -> Path:
    """Return the directory to start from. Raises UserError unless it is one paper or template."""
    if (like is None) == (template is None):
        raise UserError("new: either --like PAPER or --template "
                        f"{'|'.join(templates())} (`repro list` shows the papers)")
    if like is not None:
        return Paper.find(like, root).dir
    if template not in templates():
        raise UserError(f"unknown template {template!r}{nearest(template, templates())}")
    return TEMPLATES / template


def check_slug(root: Path, slug: str) -> None:
    """Raise UserError unless a paper can have this name here."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", slug) or keyword.iskeyword(slug):
        raise UserError(f"{slug!r}: a paper is named by lower-case letters, digits and _, a letter "
                        "first, and is no Python keyword: `my_paper`")
    if (root / "papers" / slug).exists() or (root / "papers" / f"{slug}.gin").exists():
        raise UserError(f"papers/{slug} is there already")


def create(root: Path, slug: str, start: Path, resolve: Resolve) -> dict[str, Any]:
    """Write a paper that starts as the directory `start`; return {paper, from, files, edit, todo,
    run}, paths relative to root.

    resolve(paper, profile) writes resolved settings. What cannot be resolved or rendered is taken
    back, params.yaml included, and the error passed on.
    """
    check_slug(root, slug)
    folder, params = root / "papers" / slug, root / "params.yaml"
    load_params(params)
    before = params.read_bytes() if params.is_file() else b""
    try:
        _write(folder, start, of_paper=start.parent != TEMPLATES)
        params.write_text(draft.with_paper(before.decode(), slug), encoding="utf-8")
        paper = _render(root, folder, resolve)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        params.write_bytes(before) if before else params.unlink(missing_ok=True)
        raise
    return {
        "paper": slug,
        "from": start.name,
        "edit": [path.relative_to(root).as_posix() for path in todos.sources(folder)],
        "files": sorted(path.relative_to(root).as_posix() for path in folder.rglob("*")
                        if path.is_file()),
        "todo": len(todos.todos(paper)),
        "run": [f"repro check {slug}", *commands(paper, "smoke")],
    }


def _write(folder: Path, start: Path, of_paper: bool) -> None:
    """Write the files that people edit."""
    old, slug = start.name, folder.name
    folder.mkdir()
    for path in todos.sources(start):
        text = path.read_text(encoding="utf-8")
        if path.name == "paper.yaml":
            about = load_planned().get(slug, {})
            text = draft.card(text, old, slug, about, of_paper)
        else:
            text = (draft.source if of_paper else draft.renamed)(text, old, slug)
        (folder / path.name).write_text(text, encoding="utf-8")


def _render(root: Path, folder: Path, resolve: Resolve) -> Paper:
    """Write the rendered files of a paper, and the suite's dvc.yaml."""
    paper = Paper.load(folder)
    for profile in paper.profiles:
        resolve(paper, profile)
    dvcfile.write(paper)
    card.write(paper)
    dvcfile.write_suite(root, Paper.all(root))
    return paper
