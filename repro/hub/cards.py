"""Cards of models and data sets, with the metadata that the hub reads."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import (
    DatasetCard,
    DatasetCardData,
    EvalResult,
    ModelCard,
    ModelCardData,
)

from repro.paper import Paper
from repro.report.card import data_table
from repro.report.rendering import environment
from repro.schema import in_profile

TEMPLATES = Path(__file__).parent / "templates"
PIPELINES = {"classification": "text-classification", "pair": "text-classification",
             "regression": "text-classification", "tagging": "token-classification"}
AUTO = {"tagging": "AutoModelForTokenClassification"}
SEQUENCE = "AutoModelForSequenceClassification"


@dataclass(frozen=True)
class Origin:
    """Which run an exported folder comes from. config: the settings of its stage."""

    paper: Paper
    profile: str
    arm: str
    stage: str
    seed: int
    key: str
    config: dict[str, Any]


def pretrained(origin: Origin, folder: Path, target: Path) -> None:
    """Write README.md of a model that one training stage made. folder: its artefact."""
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    data = _model_data(origin, pipeline_tag="feature-extraction")
    _write_model(target, data, origin, auto="AutoModel", summary=summary, task=None, facts=None,
                 far=None)


def tuned(origin: Origin, folder: Path, target: Path, task: str, facts: dict[str, Any],
          model: str, far: float) -> None:
    """Write README.md of a model fine-tuned on a task, with what it reached there."""
    results = [EvalResult(
        task_type=PIPELINES[facts["kind"]], dataset_type=f"{origin.paper.slug}-{task}",
        dataset_name=task, dataset_split="test", metric_type=row["metric"],
        metric_value=row["value"])
        for row in rows(origin, task)]
    data = _model_data(origin, pipeline_tag=PIPELINES[facts["kind"]],
                       model_name=f"{origin.paper.slug}-{origin.arm}-{task}",
                       eval_results=results or None,
                       metrics=[result.metric_type for result in results] or None)
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    _write_model(target, data, origin, auto=AUTO.get(facts["kind"], SEQUENCE), summary=summary,
                 task=task, facts=facts | {"class": model}, far=far)


def dataset(origin: Origin, target: Path, parts: list[dict[str, Any]]) -> None:
    """Write README.md of a data artefact. parts: name, kind, about, data_files and sizes."""
    configs = [{"config_name": part["name"],
                "data_files": [{"split": split, "path": path}
                               for split, path in part["data_files"].items()]} for part in parts]
    data = DatasetCardData(
        license="other", pretty_name=f"{origin.paper.title}: data of the {origin.profile} profile",
        tags=_tags(origin), configs=configs, license_name="of-the-sources", config_names=None)
    text = _render("dataset.md.j2", data, origin, parts=parts)
    _save(DatasetCard(text), target)


def rows(origin: Origin, task: str) -> list[dict[str, Any]]:
    """Return what this very run reached on a task, from the results in git; [] if none."""
    from repro.verdict import collect

    path = origin.paper.dir / "results" / f"{origin.profile}.rows.jsonl"
    if not path.is_file():
        return []
    return [row for row in collect.load(origin.paper, origin.profile)
            if (row["arm"], row["seed"], row["task"]) == (origin.arm, origin.seed, task)]


def tokenizer_files(data: Path) -> list[str]:
    """Return the tokenizer's files of a data artefact."""
    from repro.text.tokenizer import FILES

    return [name for name in FILES if (data / name).is_file()]


def sources(origin: Origin) -> list[dict[str, Any]]:
    """Return the data sets of the run's profile with origin, licence and use."""
    found = [row for row in data_table(origin.paper) if row["profile"] == origin.profile]
    if not found and in_profile(("mini",), origin.profile):
        found = [row for row in data_table(origin.paper) if row["profile"] == "mini"]
    return found


def _model_data(origin: Origin, **fields: Any) -> ModelCardData:
    hub = [source.hub for source in origin.paper.data.get(origin.profile, ()) if source.hub]
    return ModelCardData(library_name="transformers", license="other",
                         license_name="of-the-training-data", datasets=hub or None,
                         tags=_tags(origin), **fields)


def _tags(origin: Origin) -> list[str]:
    found = ["reproduction", origin.paper.slug, origin.arm]
    return [*found, f"arxiv:{origin.paper.arxiv}"] if origin.paper.arxiv else found


def _write_model(target: Path, data: ModelCardData, origin: Origin, **told: Any) -> None:
    _save(ModelCard(_render("model.md.j2", data, origin, **told)), target)


def _render(template: str, data: Any, origin: Origin, **told: Any) -> str:
    text = environment(TEMPLATES).get_template(template).render(
        origin=origin, arm=origin.paper.arms[origin.arm], sources=sources(origin), **told)
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def _save(card: ModelCard, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    card.save(target / "README.md")
