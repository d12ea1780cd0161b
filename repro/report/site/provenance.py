"""Where results come from: settings and code by digest, versions, keys, files, certificates.

Nothing here asks git: a copy of the files is enough to tell what was run.
"""

import hashlib
import re
from typing import Any

from repro import yaml
from repro.config import resolved
from repro.errors import UserError
from repro.paper import Paper
from repro.pipeline import verify
from repro.pipeline.spec import SHORT, expand_all
from repro.report.results import results_dir

COMMAND = re.compile(r"repro run (?P<stage>\w+) --profile (?P<profile>\w+) --arm (?P<arm>\w+)$")
CERTIFIED = ("profile", "identical", "mismatches", "ways", "cpu", "numerics")
Tree = dict[str, Any]


def provenance(
    paper: Paper, profile: str, tree: Tree, seeds: list[int]
) -> dict[str, Any]:
    """Return versions, numerics, code digests, keys, files and how current the results are.

    tree: the resolved settings as they are now. seeds: those of the results. The keys are what
    these settings make; `current` says for how many stages of arms DVC recorded just them.
    """
    return {
        "versions": tree["versions"],
        "numerics": tree["numerics"],
        "code": code_digests(tree),
        "keys": keys(paper, profile, tree, seeds),
        "files": files(paper, profile),
        "current": current(paper, profile, tree),
    }


def code_digests(tree: Tree) -> list[dict[str, Any]]:
    """Return stage, digest of the code it reaches, and the arms that run just that code."""
    found: dict[tuple[str, str], list[str]] = {}
    for arm, stages in tree["arms"].items():
        for stage, section in stages.items():
            found.setdefault((stage, section["code"]), []).append(arm)
    order = {stage: index for index, (stage, _) in enumerate(reversed(found))}
    rows = sorted(found.items(), key=lambda item: order[item[0][0]])
    return [{"stage": stage, "digest": digest, "arms": arms} for (stage, digest), arms in rows]


def keys(
    paper: Paper, profile: str, tree: Tree, seeds: list[int]
) -> list[dict[str, Any]]:
    """Return stage, arm and the short keys of its runs; [] where the settings are of other arms."""
    try:
        runs = expand_all(paper, tree, profile, seeds)
    except UserError:
        return []
    return [{"stage": stage, "arm": arm, "keys": [run.key[:SHORT] for run in specs]}
            for (stage, arm), specs in runs.items()]


def files(paper: Paper, profile: str) -> list[dict[str, Any]]:
    """Return name, bytes and sha256 of the result files that others follow from."""
    found = []
    for kind in ("rows.jsonl", "verdict.json"):
        path = results_dir(paper) / f"{profile}.{kind}"
        if path.is_file():
            content = path.read_bytes()
            found.append({"name": f"results/{path.name}", "bytes": len(content),
                          "sha256": hashlib.sha256(content).hexdigest()})
    return found


def current(paper: Paper, profile: str, tree: Tree) -> dict[str, int] | None:
    """Return {stages: recorded in dvc.lock for this profile, same: of these, made with the settings
    and the code that are resolved now}; None without a lock."""
    path = paper.dir / "dvc.lock"
    if not path.is_file():
        return None
    recorded = []
    for stage in (yaml.load(path).get("stages") or {}).values():
        match = COMMAND.match(stage["cmd"])
        if match and match["profile"] == profile:
            now = tree["arms"].get(match["arm"], {}).get(match["stage"])
            recorded.append(_section(stage, match["arm"], match["stage"]) == now)
    return {"stages": len(recorded), "same": sum(recorded)} if recorded else None


def _section(stage: dict[str, Any], arm: str, name: str) -> Any:
    """Return the resolved section that a stage of dvc.lock was run with."""
    for file, values in (stage.get("params") or {}).items():
        if file.startswith("resolved/"):
            return values.get(f"stages.{name}", values.get(f"arms.{arm}.{name}"))
    return None


def load_tree(paper: Paper, profile: str) -> Tree | None:
    """Return the resolved settings of a profile, None where there are none."""
    folder = resolved.path_of(paper.root, paper.slug, profile)
    return resolved.load(folder) if folder.exists() else None


def certificate(paper: Paper) -> dict[str, Any] | None:
    """Return the certificate of exactness that `repro verify` wrote, None where there is none.

    {identical, mismatches: lines, runs: how many were compared, ways: name -> account, profile,
    cpu, numerics}. Raises UserError for a file that is not as it was written.
    """
    found = verify.committed(paper)
    if found is None:
        return None
    return {**{name: found[name] for name in CERTIFIED}, "runs": len(found["runs"])}
