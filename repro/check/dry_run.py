"""`repro check`: what a profile would train, held against the paper, before any job is queued."""

import json
import math
from pathlib import Path
from typing import Any

from repro.check.footprint import Footprint, measure
from repro.config.build import build
from repro.errors import UserError
from repro.paper import Paper
from repro.phases import pretrains
from repro.pipeline.cluster import Cluster
from repro.pipeline.slurm import options
from repro.pipeline.spec import RunSpec, closure, expand_all
from repro.text.tokenizer import VocabInfo
from repro.verdict import stated

PRETRAIN, DATA = "pretrain", "data"
CONTEXT = 512 * 2**20
METHOD = (
    "Memory per GPU: weights, optimiser state, and the most that one forward and backward pass of "
    "a batch holds, counted on the meta device with bf16 autocast's types and fused attention; "
    "partial gradient sums of accumulation; 0.5 GiB for the CUDA context. The allocator's "
    "fragmentation is not in it."
)
Tree = dict[str, Any]
Report = dict[str, Any]


def check(paper: Paper, profile: str, tree: Tree, cluster: Path | str | None = None) -> Report:
    """Return what the profile comes to: {right, problems, arms, differences, stages, method}.

    tree: its resolved settings. cluster: whose sbatch options are shown; None = those any site
    understands. No data and no GPU are touched. Raises UserError for an unreadable cluster file.
    """
    problems: list[str] = []
    made: dict[str, tuple[Footprint, int]] = {}
    arms = [_arm(paper, profile, tree, (arm, stage), made, problems)
            for arm in paper.arms_of(profile)
            for stage in tree["arms"].get(arm, {}) if pretrains(stage)]
    if profile == "paper":
        problems += stated.unexplained(paper, tree) + stated.silent(paper, tree)
    return {
        "paper": paper.slug,
        "profile": profile,
        "right": not problems,
        "problems": problems,
        "arms": arms,
        "differences": differences(paper, tree, profile),
        "stages": stages(paper, profile, tree, cluster),
        "method": METHOD,
    }


def _arm(
    paper: Paper,
    profile: str,
    tree: Tree,
    cell: tuple[str, str],
    made: dict[str, tuple[Footprint, int]],
    problems: list[str],
) -> Report:
    """Return the row of a phase of an arm; what is wrong with it is added to problems."""
    arm, stage = cell
    config = tree["arms"][arm][stage]["config"]
    need = paper.resources_of(profile, stage)
    row: Report = {"arm": arm, "stage": stage, "parameters": None, "paper": None, "fits": None}
    row |= amounts(config, paper.root)
    if "objective" not in config:
        return row | {"note": f"{config['_fn']} has no objective to build"}
    try:
        found, flops = _measured(paper, config, vocabulary(paper, tree, arm, stage), made)
    except UserError as error:
        problems.append(f"{arm}: cannot be built: {error}")
        return row
    row["parameters"] = {"exported": found.exported, "trained": found.trained}
    row["flops"] = flops * row["steps"] * row["accumulation"]
    row["memory"] = memory(found, config, need.tasks)
    if need.gpus and row["flops"]:
        seconds = need.minutes * 60 * need.gpus * need.tasks
        row["flops_per_gpu_second"] = row["flops"] / seconds
    if stage != PRETRAIN:  # the paper's size is that of the last phase
        return row
    return row | _against_the_paper(paper, arm, row["parameters"], problems)


def amounts(config: Tree, root: Path) -> Report:
    """Return steps, rows and tokens of an update, and tokens of the whole run."""
    accumulation, steps = config.get("accumulation", 1), config.get("steps", 0)
    batches = build(config["batches"], root)() if "batches" in config else None
    shape = batches.shape if batches else {}
    return {"steps": steps, "rows": shape.get("batch_size", 0) * accumulation,
            "accumulation": accumulation, "sequence_length": shape.get("sequence_length", 0),
            "tokens": steps * accumulation * batches.tokens if batches else 0}


def _measured(
    paper: Paper, config: Tree, vocab: VocabInfo, made: dict[str, tuple[Footprint, int]]
) -> tuple[Footprint, int]:
    """Return the footprint and the operations of one batch; equal models are built once."""
    bf16 = config.get("precision") == "bf16"
    parts = [config[name] for name in ("batches", "objective", "optimizer")]
    place = json.dumps([*parts, bf16, vocab.size])
    if place not in made:
        batches, objective = (build(part, paper.root)() for part in parts[:2])
        optimizer = build(config["optimizer"], paper.root)
        found, model = measure(objective, optimizer, batches, vocab, bf16=bf16)
        made[place] = found, objective.training_flops(model, **batches.shape)
    return made[place]


def vocabulary(paper: Paper, tree: Tree, arm: str, stage: str = PRETRAIN) -> VocabInfo:
    """Return the vocabulary that batches made without data name, else one of the size that the
    arm's data stage would make. Raises UserError."""
    config = tree["arms"].get(arm, {}).get(stage, {}).get("config", {})
    batches = build(config["batches"], paper.root)() if "batches" in config else None
    if hasattr(batches, "vocab"):
        return batches.vocab
    source = paper.provider(arm, DATA)
    size = stated.look_up(tree, source, DATA, "tokenizer.vocab_size") if source else None
    if not isinstance(size, int):
        raise UserError(f"data.tokenizer.vocab_size: is not set for arm {source or arm!r}, and "
                        "without data nothing else says how large the vocabulary is")
    return VocabInfo(size, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))


def memory(found: Footprint, config: Tree, tasks: int) -> dict[str, int | None]:
    """Return bytes per GPU by part, and their total (None where the working part is unknown)."""
    sharded = config.get("sharding") == "fsdp2"
    share = (config.get("world_size") or 1) if sharded else 1
    batches = max(1, config.get("accumulation", 1) // max(1, tasks))
    # The tree of partial sums holds one more gradient each time the batches of a task double.
    sums = math.floor(math.log2(batches)) + 1 if batches > 1 else 0
    parts = {
        "weights": found.weights // share,
        "optimizer": found.optimizer // share,
        "gradient_sums": sums * found.weights // share,
        "working": found.working,
        "context": CONTEXT,
    }
    known = None if found.working is None else sum(parts.values())
    return parts | {"total": known}


def _against_the_paper(
    paper: Paper, arm: str, counts: dict[str, int], problems: list[str]
) -> Report:
    """Return the paper's parameter count and whether ours fits it; {} where it names none."""
    given = paper.parameters.get(arm)
    if given is None:
        return {}
    ours = counts[given.of]
    fits = abs(ours - given.value) <= given.tolerance * given.value
    if not fits:
        problems.append(f"{arm}: {ours:,} parameters ({given.of}), the paper has {given.value:,.0f}"
                        f" ± {given.tolerance:.0%} ({given.source})")
    return {"paper": given.model_dump(), "fits": fits}


def differences(paper: Paper, tree: Tree, profile: str) -> list[Report]:
    """Return the stated settings that differ in a profile: key, arm, paper, ours, reason."""
    return [{"key": row.key, "arm": row.arm, "paper": row.paper, "ours": row.ours,
             "reason": row.deviation.reason if row.deviation else None}
            for row in stated.settings(paper, tree, profile) if row.differs]


def stages(paper: Paper, profile: str, tree: Tree, cluster: Path | str | None) -> list[Report]:
    """Return by stage what one job asks for, how many runs and jobs there are, and the most core-
    and GPU-hours that the requests come to."""
    site = Cluster.load(cluster) if cluster else Cluster(name="any")
    cells = expand_all(paper, tree, profile, tree["seeds"])
    runs = [specs[0] for specs in closure(s for made in cells.values() for s in made).values()]
    return [_stage(paper, profile, stage, [run for run in runs if run.stage == stage], site)
            for stage in paper.stages]


def _stage(paper: Paper, profile: str, stage: str, runs: list[RunSpec], site: Cluster) -> Report:
    need = paper.resources_of(profile, stage)
    flags = options(site, need, min(need.pack, len(runs)))
    hours = len(runs) * need.tasks * need.minutes / 60
    return {
        "stage": stage,
        "runs": len(runs),
        "jobs": math.ceil(len(runs) / need.pack),
        "need": need.model_dump(),
        "sbatch": [f"--{name}" if value is None else f"--{name}={value}"
                   for name, value in flags.items()],
        "core_hours": round(hours * need.cpus, 1),
        "gpu_hours": round(hours * need.gpus, 1),
    }
