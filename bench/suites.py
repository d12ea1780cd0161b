"""Suites of as many papers as one likes: copies of papers of this repository."""

import os
import shutil
from pathlib import Path

from repro import yaml

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns("out", "__pycache__")
INDEX = {True: "MANIFEST.json", False: "runs.json"}  # of an artefact: of data, of other stages


def renamed(root: Path, sources: tuple[str, ...], papers: int) -> None:
    """Make a suite of so many papers at root, each under a slug of its own."""
    (root / "repro").symlink_to(ROOT / "repro")
    (root / "papers").mkdir()
    shutil.copy(ROOT / "params.yaml", root)
    shutil.copy(ROOT / "papers" / "smoke.gin", root / "papers")
    for number in range(papers):
        source = sources[number % len(sources)]
        slug = f"{source}_{number}"
        folder = root / "papers" / slug
        shutil.copytree(ROOT / "papers" / source, folder, ignore=LEFT_OUT)
        for path in (*folder.glob("*.gin"), folder / "dvc.lock", folder / "paper.yaml"):
            text = path.read_text("utf-8")
            for old in ("slug: {}", "papers.{} ", "papers/{}/"):
                text = text.replace(old.format(source), old.format(slug))
            path.write_text(text, "utf-8")


def workspace(root: Path, sources: tuple[str, ...]) -> None:
    """Make a workspace with the papers of `sources`, and as many small files in their out/ as their
    lock files say that real runs left there."""
    for name in ("repro", "papers"):
        (root / name).mkdir()
    shutil.copytree(ROOT / "repro", root / "repro", ignore=LEFT_OUT, dirs_exist_ok=True)
    for name in ("params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, root)
    shutil.copy(ROOT / "papers" / "smoke.gin", root / "papers")
    for source in sources:
        folder = root / "papers" / source
        shutil.copytree(ROOT / "papers" / source, folder, ignore=LEFT_OUT)
        for stage in yaml.load(folder / "dvc.lock")["stages"].values():
            for out in stage["outs"]:
                if out["path"].startswith("out/"):
                    _artefact(folder / out["path"], out["nfiles"])


def copies(root: Path, source: str, numbers: range) -> None:
    """Add copies of a paper of a workspace, as finished as it is: DVC does not know that the slug
    in paper.yaml is not the folder's name."""
    for number in numbers:
        shutil.copytree(root / "papers" / source, root / "papers" / f"{source}_{number}",
                        copy_function=os.link)


def _artefact(folder: Path, files: int) -> None:
    folder.mkdir(parents=True)
    (folder / INDEX[folder.name == "data"]).write_text(f'{{"{folder}": 1}}\n')
    for number in range(files - 1):
        (folder / f"seed{number % 5}").mkdir(exist_ok=True)
        (folder / f"seed{number % 5}" / f"{number}.json").write_text(f'{{"{folder}": {number}}}\n')
