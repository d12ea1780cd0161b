"""`repro run STAGE --profile P --arm A`: the command of a DVC stage."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from repro.config import resolved
from repro.errors import UserError
from repro.paper import Paper
from repro.pipeline import files, gc, plans, snapshot
from repro.pipeline.ensure import Outcome, ensure
from repro.pipeline.holds import Hold
from repro.pipeline.launch import fleet_of, launcher_of
from repro.pipeline.lease import Lease
from repro.pipeline.progress import Display, choose
from repro.pipeline.spec import RunSpec, closure, expand
from repro.pipeline.store import MANIFEST, RUNS, CorruptedEntry, Store
from repro.settings import Settings, Suite

_ATTEMPTS = 3  # at linking artefacts that turn out to be damaged


def run_stage(
    paper: Paper,
    stage: str,
    profile: str,
    arm: str,
    settings: Settings,
    display: Display | None = None,
) -> int:
    """Finish the runs of one stage of an arm and link their artefacts into the workspace, at
    `out/<profile>/<arm>/<stage>`; return the exit code (0, 1, 75, 130, 143).

    Nothing is linked unless all runs are finished. Raises UserError for what the user must mend.
    """
    display = display or choose(settings.log_level)
    store = Store(settings.store)
    tree = load_tree(paper, profile, settings.suite)
    specs = expand(paper, tree, profile, stage, arm, settings.suite.seeds)
    grows = not all(store.entry(key).is_done for key in closure(specs))
    for _ in range(_ATTEMPTS):
        try:
            outcome = drive(specs, {(stage, arm): specs}, [paper], settings, store, display,
                            then=lambda: link_artefacts(paper, specs, store))
        except CorruptedEntry as error:
            display.say(f"damaged: {error}; it is made again")
            continue
        if outcome.exit_code:
            return outcome.exit_code
        break
    else:
        raise UserError(f"store {store.root}: artefacts were damaged {_ATTEMPTS} times in a row; "
                        "check the disk (`repro doctor`)")
    if grows:
        gc.tidy(settings, display.say)
    return 0


def drive(
    specs: Sequence[RunSpec],
    cells: dict[tuple[str, str], list[RunSpec]],
    papers: Iterable[Paper],
    settings: Settings,
    store: Store,
    display: Display,
    *,
    alone: bool = True,
    queue_only: bool = False,
    then: Callable[[], None] | None = None,
) -> Outcome:
    """Ensure runs of some papers. cells: what to note as planned. alone: while no other host works
    in this workspace. queue_only: leave when every run has a job. then: what to do with runs that
    all ended well, while no gc deletes them."""
    folders = {paper.slug: paper for paper in papers}
    fleet = fleet_of(store)
    launcher = launcher_of(settings, fleet)
    plans.note(store, cells)
    root = snapshot.take(settings.root, store) if settings.snapshot else settings.root
    needed = Hold(store, closure(specs))
    with Lease(settings.root) if alone else nullcontext() as lease, needed as hold:
        def tick() -> None:
            hold.renew()
            if lease:
                lease.renew()

        outcome = ensure(
            specs,
            store=store,
            fleet=fleet,
            launcher=launcher,
            root=root,
            display=display,
            places=lambda spec: [artefact_folder(folders[spec.paper], spec)],
            tick=tick,
            queue_only=queue_only and launcher.links,
        )
        if then is not None and not outcome.exit_code:
            then()
        return outcome


def load_tree(paper: Paper, profile: str, suite: Suite) -> dict[str, Any]:
    """Return the resolved tree of a profile. Raises UserError when there is none, or when the suite
    has other seeds or another epoch since."""
    paper.check_profile(profile)
    folder = resolved.path_of(paper.root, paper.slug, profile)
    tree = resolved.load(folder)
    for name in ("seeds", "epoch"):
        if tree[name] != (here := getattr(suite, name)):
            raise UserError(f"{folder}: {name}: resolved for {tree[name]}, params.yaml has {here}: "
                            f"run `repro resolve {paper.slug} --profile {profile}`")
    return tree


def artefact_folder(paper: Paper, spec: RunSpec) -> Path:
    """Return where the workspace holds a run's artefact."""
    return paper.dir / "out" / spec.profile / spec.arm / spec.stage / spec.folder


def link_artefacts(paper: Paper, specs: Sequence[RunSpec], store: Store) -> None:
    """Make the stage's directory hold exactly these runs' artefacts, and RUNS, which says what they
    are: later stages depend on that one file, whatever the runs consist of. Raises CorruptedEntry.
    """
    for spec in specs:
        store.link(spec.key, artefact_folder(paper, spec))
    if specs[0].folder:
        stage_folder = artefact_folder(paper, specs[0]).parent
        expected = {spec.folder for spec in specs}
        for path in stage_folder.iterdir():
            if path.name not in expected:
                files.remove(path)
        digests = {name: files.sha256(stage_folder / name / MANIFEST) for name in expected}
        files.write_json(stage_folder / RUNS, dict(sorted(digests.items())))


def leave_empty(paper: Paper, stage: str, profile: str, arm: str) -> None:
    """Leave the stage's directory with an index of no runs, for an arm that the profile lacks: DVC
    knows one graph for all profiles. Raises UserError if the arm has no such stage."""
    paper.check_stage(arm, stage)
    folder = paper.dir / "out" / profile / arm / stage
    files.remove(folder)
    folder.mkdir(parents=True)
    files.write_json(folder / (MANIFEST if stage == "data" else RUNS), {})
