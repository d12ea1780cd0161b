"""What the shell may complete: papers, arms, stages, profiles, claims, settings, runs.

Read as plain text and YAML, never checked: a completion has to be quick, and a broken paper.yaml
must not get in its way.
"""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from repro import scaffold
from repro.errors import UserError

BREAKS = ":@"
ALL_PROFILES = ("paper", "gpu", "mini", "smoke")
Names = dict[str, str]
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Bash(BashComplete):
    """bash takes electra:bert for three words, and replaces only the last of them: put them
    together again, and offer what follows the last mark."""

    kept = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        args, word = super().get_completion_args()
        joined: list[str] = []
        for one in (*args, word):
            marks = (one, joined[-1][-1:]) if joined else ()
            if one and any(mark and mark in BREAKS for mark in marks):
                joined[-1] += one
            else:
                joined.append(one)
        *args, word = joined
        # What readline replaces begins behind a colon, but at an @.
        self.kept = max(word.rfind(":") + 1, word.rfind("@"), 0)
        return args, word

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value[self.kept:]}"


add_completion_class(Bash)


def _completes(names: Callable[[click.Context, str], Names]) -> Complete:
    """Turn a function that returns name -> help into one that click calls. Whatever is wrong with
    the suite, there is only nothing to complete."""

    @functools.wraps(names)
    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        found: Names = {}
        with suppress(UserError, OSError, ValueError):
            found = names(ctx, incomplete)
        given = ctx.params.get(param.name)
        used = given if isinstance(given, tuple) else ()
        return [CompletionItem(name, help=about or None) for name, about in found.items()
                if name.startswith(incomplete) and name not in used]

    return complete


def _root() -> Path:
    from repro.settings import find_root

    return find_root()


def _title(file: Path) -> str:
    """Return what follows `title:` in a paper.yaml, without reading all of it as YAML."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("title:"):
                return line.removeprefix("title:").strip().strip("\"'")
    return ""


def _slugs() -> Names:
    return {file.parent.name: _title(file)
            for file in sorted((_root() / "papers").glob("*/paper.yaml"))}


def _meant(ctx: click.Context) -> list[Path]:
    """Return the directories of the papers on the line; else this one, else all."""
    named = ctx.params.get("papers") or ctx.params.get("paper") or ()
    named = (named,) if isinstance(named, str) else named
    # Behind an option without its value click leaves the words of the line where they are.
    named = named or [word for word in ctx.args if (_folder(word) / "paper.yaml").is_file()]
    if not named and Path("paper.yaml").is_file():
        return [Path.cwd()]
    return [_folder(name) for name in named or _slugs()]


def _folder(slug: str) -> Path:
    return _root() / "papers" / slug


def _part(folders: list[Path], key: str) -> Iterator[tuple[str, Any]]:
    """Yield name and content of what a block of these papers' paper.yaml holds."""
    from repro import yaml

    for folder in folders:
        card = yaml.load(folder / "paper.yaml")
        found = card.get(key) if isinstance(card, dict) else None
        if isinstance(found, dict):
            yield from found.items()
        for one in found if isinstance(found, list) else ():
            if isinstance(one, dict) and "id" in one:
                yield str(one["id"]), one


def _about(content: Any, key: str) -> str:
    return str(content.get(key, "")) if isinstance(content, dict) else str(content)


def _profiles(folders: list[Path]) -> list[str]:
    """Return the profiles that some of the papers have a gin file for; smoke comes with mini."""
    return [name for name in ALL_PROFILES
            if any((folder / f"{name.replace('smoke', 'mini')}.gin").is_file()
                   for folder in folders)]


@_completes
def papers(ctx: click.Context, word: str) -> Names:
    return _slugs()


@_completes
def planned(ctx: click.Context, word: str) -> Names:
    """The papers that the suite means to hold and has not."""
    from repro import yaml

    file = Path(scaffold.__file__).parents[1] / "report" / "site" / "planned.yaml"
    there = _slugs()
    return {slug: about["title"] for slug, about in yaml.load(file).items() if slug not in there}


@_completes
def arms(ctx: click.Context, word: str) -> Names:
    return _arms(_meant(ctx))


def _arms(folders: list[Path]) -> Names:
    return {name: _about(arm, "about") for name, arm in _part(folders, "arms")}


@_completes
def stages(ctx: click.Context, word: str) -> Names:
    return {name: str(entry) for name, entry in _part(_meant(ctx), "stages")}


@_completes
def claims(ctx: click.Context, word: str) -> Names:
    return {name: _about(claim, "text") for name, claim in _part(_meant(ctx), "claims")}


@_completes
def profiles(ctx: click.Context, word: str) -> Names:
    return dict.fromkeys(_profiles(_meant(ctx)), "")


@_completes
def assets(ctx: click.Context, word: str) -> Names:
    """Papers, and the assets that their mini profiles name."""
    from repro.data.assets import registered

    return _slugs() | {name: asset.used_for for name, asset in registered().items()}


@_completes
def templates(ctx: click.Context, word: str) -> Names:
    return dict.fromkeys(scaffold.templates(), "")


@_completes
def specs(ctx: click.Context, word: str) -> Names:
    """PAPER[:ARM], PAPER/PROFILE."""
    slug, colon, _ = word.partition(":")
    if colon:
        return {f"{slug}:{name}": about for name, about in _arms([_folder(slug)]).items()}
    slug, slash, _ = word.partition("/")
    if slash:
        return dict.fromkeys([f"{slug}/{name}" for name in _profiles([_folder(slug)])], "")
    return _slugs()


@_completes
def runs(ctx: click.Context, word: str) -> Names:
    """Papers, then the cells of the one that the word begins with."""
    slug, slash, _ = word.partition("/")
    if not slash:
        return _slugs()
    folder = _folder(slug)
    stages = [stage for stage, _ in _part([folder], "stages")]
    arms = list(_part([folder], "arms"))
    return {f"{slug}/{stage}@{profile}-{name}": _about(arm, "about")
            for stage in stages for profile in _profiles([folder])
            for name, arm in arms
            if not isinstance(arm, dict) or stage in (arm.get("stages") or stages)}


@_completes
def settings(ctx: click.Context, word: str) -> Names:
    """The settings of a resolved profile, stage first."""
    profile = ctx.params.get("profile") or "mini"
    found: Names = {}
    for folder in _meant(ctx):
        for file in sorted((folder / "resolved" / profile).glob("*.json")):
            for stage, section in json.loads(file.read_text(encoding="utf-8"))["stages"].items():
                found |= dict.fromkeys(_paths(section["config"], stage), "")
    return found


def _paths(node: Any, path: str) -> Iterator[str]:
    if not isinstance(node, dict):
        yield path
        return
    for name, value in node.items():
        if not name.startswith("_"):
            yield from _paths(value, f"{path}.{name}")
