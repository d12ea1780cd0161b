"""Readers of parallel text: the same paragraph in two or more languages."""

import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from repro.data import assets
from repro.errors import UserError

# Language -> asset of its manual, and the folder of the language inside it.
MANUALS = {
    "de": ("libreoffice-help-de", "de"),
    "en": ("libreoffice-help-en-us", "en-US"),
    "fr": ("libreoffice-help-fr", "fr"),
    "it": ("libreoffice-help-it", "it"),
}
_ROOT = "usr/share/libreoffice/help"
_PARAGRAPH = re.compile(r'<(p|h[1-6])\s+id="([^"]+)"[^>]*>(.*?)</\1>', re.DOTALL)
# Keys have a second name on one system, hidden by a script; only the usual one is kept.
_OTHER_SYSTEM = re.compile(r'<span[^>]*class="MAC">.*?(?=<span[^>]*id="default)', re.DOTALL)
_TAG = re.compile(r"<[^>]+>")


class Parallel(NamedTuple):
    """One paragraph. texts: language -> its text; label: a class that all of them share; split:
    train, dev or test where that is published, "" where it is ours to choose."""

    id: str
    texts: dict[str, str]
    label: str = ""
    split: str = ""


def office_manual(
    *, languages: tuple[str, ...] = ("en", "de", "fr", "it"),
    version: str = "4:7.4.7-1+deb12u13",
) -> Iterator[Parallel]:
    """Yield the paragraphs of LibreOffice's manual that all languages have, paired by the ids that
    they carry in its pages; label: the application that the page is about, or "shared".

    Pages come in an order of their own, mixed over the applications. Raises UserError for a
    language without a manual here.
    """
    if unknown := sorted(set(languages) - set(MANUALS)):
        raise UserError(f"office_manual.languages: no manual in {unknown[0]!r}; there are "
                        f"{', '.join(MANUALS)}")
    books = {language: _pages(*MANUALS[language], version) for language in languages}
    common = set.intersection(*(set(pages) for pages, _ in books.values()))
    for page in sorted(common, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        sides = {}
        for language, (pages, folder) in books.items():
            sides[language] = _paragraphs(_checked(folder, page, *pages[page]))
        first, *others = sides.values()
        for key in first:
            if all(key in side for side in others):
                texts = {language: side[key] for language, side in sides.items()}
                yield Parallel(f"{page}#{key}", texts, page.partition("/")[0])


def hub_pairs(
    *, dataset: str, config: str, revision: str, source: str, target: str,
    splits: dict[str, str] | None = None,
) -> Iterator[Parallel]:
    """Yield the pairs of a hub data set with a `translation` column, with its own splits.

    splits: ours -> the data set's name; None: train, dev = validation, test.
    Raises UserError when it is not reachable.
    """
    import datasets

    names = splits or {"train": "train", "dev": "validation", "test": "test"}
    for ours, theirs in names.items():
        try:
            rows = datasets.load_dataset(dataset, config, split=theirs, revision=revision)
        except (OSError, ValueError) as error:
            raise UserError(
                f"data set {dataset} ({config}) at revision {revision} is neither in the hub cache "
                "nor reachable: run this stage once on a machine with network"
            ) from error
        for index, row in enumerate(rows):
            texts = {one: " ".join(row["translation"][one].split()) for one in (source, target)}
            yield Parallel(f"{config}/{theirs}/{index}", texts, split=ours)


def _pages(
    asset: str, folder: str, version: str
) -> tuple[dict[str, tuple[str, str]], Path]:
    """Return (page -> (member, sha256), folder of the asset)."""
    where = assets.path(asset, version)
    prefix = f"{_ROOT}/{folder}/text/"
    listed = (assets.manifest(assets.find(asset)) or {})["members"]
    return {name.removeprefix(prefix): (name, digest) for name, digest in listed.items()
            if name.startswith(prefix)}, where


def _checked(folder: Path, page: str, member: str, digest: str) -> str:
    try:
        content = (folder / member).read_bytes()
    except OSError as error:
        raise UserError(f"{folder / member}: {error.strerror}; fetch the asset again") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise UserError(f"{folder / member}: altered since it was fetched; fetch the asset again")
    return content.decode("utf-8")


def _paragraphs(page: str) -> dict[str, str]:
    """Return id -> text of a page's paragraphs and headings, on one line; empty ones left out."""
    found = {}
    for match in _PARAGRAPH.finditer(page):
        text = html.unescape(_TAG.sub("", _OTHER_SYSTEM.sub("", match[3])))
        if text := " ".join(text.split()):
            found.setdefault(match[2], text)
    return found
