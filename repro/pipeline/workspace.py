"""Artefacts in the workspace, where they lie unguarded: what is read there is what was linked."""

from collections.abc import Mapping
from pathlib import Path

from repro.errors import UserError
from repro.paper import Paper, iterate_cells
from repro.pipeline import files, records
from repro.pipeline.store import MANIFEST, RUNS

READ = {"eval": "rows.jsonl", "pretrain": "history.jsonl"}  # by the verdict, of each run


def check(paper: Paper, profile: str, wanted: Mapping[str, str] = READ) -> None:
    """Check one file of every run below out/<profile>/, by stage, against the digests it was linked
    with. Stages that were not run are passed over. Raises UserError naming what was changed."""
    for stage, arm in iterate_cells(paper, profile):
        folder = paper.dir / "out" / profile / arm / stage
        if stage in wanted and folder.is_dir():
            try:
                _check_runs(folder, wanted[stage])
            except UserError as error:
                cell = f"repro run {stage} --profile {profile} --arm {arm} --paper {paper.slug}"
                raise UserError(f"{error}; delete {folder} and `{cell}`") from error


def _check_runs(folder: Path, name: str) -> None:
    runs = files.read_json(folder / RUNS)
    if runs is None:
        raise UserError(f"{folder / RUNS}: missing")
    records.check_fields({"runs": records.TEXTS}, {"runs": runs}, folder / RUNS)
    there = {path.name for path in folder.iterdir() if path.is_dir()}
    for run in sorted(there ^ runs.keys()):
        raise UserError(f"{folder / run}: {'not in' if run in there else 'missing, but in'} {RUNS}")
    for run, digest in runs.items():
        path = folder / run / MANIFEST
        manifest = files.read_json(path)
        if manifest is None or files.sha256(path) != digest:
            raise UserError(f"{path}: sha256 is not the one in {RUNS}")
        stored = records.check_fields({"files": records.TEXTS}, manifest, path)["files"].get(name)
        path = folder / run / name
        if (files.sha256(path) if path.is_file() else None) != stored:
            raise UserError(f"{path}: sha256 is not the one in its manifest")
