"""`dvc.yaml` of a paper and of the suite, rendered from one template each.

The stages of a paper are matrices over profile x arm, in topological order. Arms whose stage reads
the same kind of inputs share one matrix; the largest such group carries the stage's own name
(`pretrain@mini-electra`), the others say how they differ
(`finetune_without_pretrain@mini-scratch`).
"""

from dataclasses import dataclass
from pathlib import Path

from repro.paper import PROFILES, Paper
from repro.pipeline.store import MANIFEST, RUNS
from repro.report.rendering import environment
from repro.report.results import CURVE_STAGE
from repro.verdict.collect import EVAL

PACKAGE = Path(__file__).parents[1]
# What `resolve` does not read of the package. Anything else may be a configurable, or turn gin into
# the resolved tree: a new room is depended on before anybody thinks of it.
ABOVE = frozenset((
    "check", "cli.py", "commands", "demo.py", "devices.py", "devices.yaml", "forecast", "hub",
    "pipeline", "places.py", "report", "scaffold", "settings.py", "trackers", "verdict",
))
CORE = tuple(sorted(path.name for path in PACKAGE.iterdir()
                    if path.name not in ABOVE | {"__pycache__"}))
# What the verdict is made with.
JUDGES = ("evaluate/rows.py", "metric_names.py", "paper.py", "references.py", "report/results.py",
          "schema.py", "verdict")


@dataclass(frozen=True)
class Group:
    """One matrix stage: `arms` whose `stage` reads `upstream`, (stage, arm or None = its own).
    profiles: None, or those the arms are limited to."""

    name: str
    stage: str
    arms: tuple[str, ...]
    upstream: tuple[tuple[str, str | None], ...]
    profiles: tuple[str, ...] | None

    @property
    def inputs(self) -> list[str]:
        """The files that say what it reads, one for a stage of an arm, as DVC templates."""
        return [f"out/${{item.profile}}/{source or '${item.arm}'}/{stage}/{index_of(stage)}"
                for stage, source in self.upstream]


def index_of(stage: str) -> str:
    """Return the file of a stage's directory that lists the sha256 of all it holds.

    DVC walks a directory anew for every stage that depends on it: with 37 stages that have nothing
    to do, this took half of the time.
    """
    return MANIFEST if stage == "data" else RUNS


def groups(paper: Paper) -> list[Group]:
    """Return the matrix stages of a paper in topological order."""
    found = []
    for stage in paper.stages:
        by_form: dict[tuple, list[str]] = {}
        for name, arm in paper.arms.items():
            if stage in paper.stages_of(name):
                upstream = tuple((s, None if source == name else source)
                                 for s, source in paper.upstream(name, stage).items())
                by_form.setdefault((upstream, _limits(paper, arm.profiles)), []).append(name)
        largest = max(by_form, key=lambda form: len(by_form[form]), default=None)
        for form, arms in by_form.items():
            name = stage if form == largest else _name(paper, stage, *form)
            if any(group.name == name for group in found):
                name += f"_{arms[0]}"
            found.append(Group(name, stage, tuple(arms), *form))
    return found


def _limits(paper: Paper, profiles: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if profiles is None or set(PROFILES) - {"smoke"} <= set(profiles):
        return None
    return profiles


def _name(
    paper: Paper,
    stage: str,
    upstream: tuple[tuple[str, str | None], ...],
    profiles: tuple[str, ...] | None,
) -> str:
    """Return a name that tells a smaller group from the others of its stage."""
    order = list(paper.stages)
    before = order[order.index(stage) - 1] if order.index(stage) else None
    name = stage
    if before and before not in dict(upstream):
        name += f"_without_{before}"
    sources = list(dict.fromkeys(source for _, source in upstream if source))
    if sources:
        name += f"_from_{'_'.join(sources)}"
    return name + (f"_in_{'_'.join(profiles)}" if profiles else "")


def stage_count(paper: Paper, profile: str) -> int:
    """Return how many stages one profile expands to; DVC's time grows with its square."""
    return 2 + sum(len(group.arms) for group in groups(paper))


def render(paper: Paper) -> str:
    """Return the text of papers/<slug>/dvc.yaml."""
    sources = sorted(p.name for p in paper.dir.iterdir() if p.suffix in (".gin", ".py"))
    found = groups(paper)
    ends = [f"out/${{item.profile}}/{arm}/{group.stage}/{index_of(group.stage)}"
            for group in found if group.stage in (CURVE_STAGE, EVAL) for arm in group.arms]
    return environment().get_template("dvc.yaml.j2").render(
        paper=paper,
        groups=found,
        resolve_deps=[*sources, "paper.yaml", "../smoke.gin", *(f"../../repro/{n}" for n in CORE)],
        verdict_deps=["paper.yaml", *(f"../../repro/{n}" for n in JUDGES), *ends],
    )


def render_suite(papers: list[Paper]) -> str:
    """Return the text of the top-level dvc.yaml: the board over all papers."""
    return environment().get_template("suite.dvc.yaml.j2").render(papers=papers)


def write(paper: Paper) -> Path:
    path = paper.dir / "dvc.yaml"
    path.write_text(render(paper), encoding="utf-8")
    return path


def write_suite(root: Path, papers: list[Paper]) -> Path:
    path = root / "dvc.yaml"
    path.write_text(render_suite(papers), encoding="utf-8")
    return path
