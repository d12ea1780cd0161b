"""Write an artefact as a folder that could be a repository of the hub. No network is used."""

import json
import shutil
from pathlib import Path
from typing import Any

from repro.config import resolved
from repro.errors import UserError
from repro.hub import cards
from repro.hub.cards import Origin
from repro.paper import Paper
from repro.pipeline.spec import RunSpec, expand
from repro.pipeline.stage import artefact_folder
from repro.pipeline.store import MANIFEST

TOLERANCE = 1e-3  # between logits of the exported model and those that were stored


def export(paper: Paper, arm: str, profile: str, stage: str, seed: int, target: Path,
           member: int = 0) -> list[str]:
    """Write the artefact of a run into the folder `target`; return a line for each folder made.

    stage: a training one gives one model, finetune one a task (in folders of their names), data
    the corpora and tasks. Raises UserError where the artefact is not there, was made with other
    settings, or keeps no weights; where target holds something; and where an exported model does
    not give the predictions that the run stored.
    """
    spec, folder = find(paper, arm, profile, stage, seed, member)
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target}: holds something; name a new folder")
    origin = Origin(paper, profile, spec.arm, stage, seed, spec.key, spec.config)
    if stage == "data":
        from repro.hub import datasets

        return datasets.write(folder, target, origin)
    if (folder / "predictions").is_dir():
        data, = (artefact_folder(origin.paper, run) for run in spec.inputs["data"])
        return write_tuned(origin, folder, data, target)
    return [write_pretrained(origin, folder, target)]


def find(paper: Paper, arm: str, profile: str, stage: str, seed: int, member: int
         ) -> tuple[RunSpec, Path]:
    """Return a run and the folder of its artefact, of just these settings. Raises UserError."""
    paper.check_profile(profile)
    paper.arm(arm, profile)
    source = paper.provider(arm, stage) if stage in paper.stages else arm
    paper.check_stage(source or arm, stage)
    tree = resolved.load(resolved.path_of(paper.root, paper.slug, profile))
    specs = expand(paper, tree, profile, stage, source or arm, [seed])
    if member >= len(specs):
        raise UserError(f"--member {member}: arm {arm!r} has {len(specs)} of them")
    spec = specs[member]
    folder = artefact_folder(paper, spec)
    path = folder / MANIFEST
    if not path.is_file() or json.loads(path.read_text("utf-8"))["key"] != spec.key:
        how = "was made with other settings" if path.is_file() else "is not there"
        raise UserError(f"{folder}: {how}; run `repro run {stage} --paper {paper.slug} --profile "
                        f"{profile} --arm {spec.arm}`")
    return spec, folder


def write_pretrained(origin: Origin, folder: Path, target: Path) -> str:
    """Write the model of a training artefact, as it is, with its card."""
    if not (folder / "model").is_dir():
        raise UserError(f"{folder}: holds no model; name a stage that trains one")
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((folder / "model").iterdir()):
        shutil.copyfile(path, target / path.name)
    cards.pretrained(origin, folder, target)
    return f"{target}: {_class_of(target)}, for AutoModel and AutoTokenizer"


def write_tuned(origin: Origin, folder: Path, data: Path, target: Path) -> list[str]:
    """Write the model of each task of a finetune artefact, as one of transformers' own classes.

    data: the data artefact, for the tokenizer and the test examples. Raises UserError as `export`.
    """
    from repro.evaluate import classifier

    told = json.loads((folder / "tasks.json").read_text("utf-8"))
    if not (folder / "tuned").is_dir():
        raise UserError(f"{folder}: keeps no weights; add `finetuning.finetune.keep_weights = True`"
                        f" to papers.{origin.paper.slug}.overrides of params.yaml and run again")
    lines = []
    for task, facts in told.items():
        source, place = folder / "tuned" / task, target / task
        encoder = classifier.load_encoder(source)
        model = _stock(encoder, source, origin.config, facts)
        place.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(place)
        for name in cards.tokenizer_files(data):
            shutil.copyfile(data / name, place / name)
        far = distance(place, folder, data, task, origin.config, origin.seed)
        if far > TOLERANCE:
            raise UserError(f"{place}: its logits differ by {far:.1e} from those the run stored")
        cards.tuned(origin, folder, place, task, facts, type(model).__name__, far)
        lines.append(f"{place}: {type(model).__name__}, logits within {far:.1e} of those stored")
    return lines


def _stock(encoder: Any, source: Path, config: dict[str, Any], facts: dict[str, Any]) -> Any:
    from safetensors.torch import load_file

    from repro.hub import heads

    head = load_file(source / "head.safetensors")
    return heads.stock(encoder, head, config["head"], config["pooling"], facts["kind"],
                       facts["labels"])


def distance(place: Path, folder: Path, data: Path, task: str, config: dict[str, Any],
             seed: int) -> float:
    """Return the largest difference between the logits of an exported model on the test examples
    of its run and those that the run stored."""
    import numpy as np
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )

    from repro.evaluate import examples
    from repro.evaluate.batching import evaluation_rows, gather

    budget = {name: config[name] for name in ("labels_per_class", "train_examples", "dev_examples",
                                              "test_examples")}
    loaded = examples.load(data, task, seed, **budget)
    tagging = loaded.kind == "tagging"
    auto = AutoModelForTokenClassification if tagging else AutoModelForSequenceClassification
    model = auto.from_pretrained(place, local_files_only=True).eval()
    stored = torch.from_numpy(np.load(folder / "predictions" / f"{task}.npy"))
    stored = stored.reshape(len(stored), -1)
    most = 0.0
    for rows_B in evaluation_rows(loaded.test.lengths_N, 64):
        batch = gather(loaded.test, rows_B)
        with torch.no_grad():
            logits = model(input_ids=batch.input_ids_BT, attention_mask=batch.keep_BT,
                           token_type_ids=batch.segments_BT).logits
        if tagging:
            logits = logits.flatten(0, 1)[batch.places_U]
        most = max(most, float((logits - stored[batch.units_U]).abs().max()))
    return most


def _class_of(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return (config.get("architectures") or ["model"])[0]
