"""The body of a job: run one or more runs, one after the other, in this process.

The job trusts nothing that was said at submission: it reads the request again, recomputes key and
code digest, checks library versions and inputs, and holds the run's lock for as long as it writes.

In a job of several tasks each one calls `run_pack`. Task 0 alone decides, holds the lock and writes
into the store; the others train along where a stage shares its work, and end as task 0 says.
"""

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.context import RunContext
from repro.errors import Interrupted, UserError
from repro.phases import pretrains
from repro.pipeline import arithmetic, drill, files, machine, meter, processes, tasks
from repro.pipeline.store import CorruptedEntry, Entry, Store, check_request

if TYPE_CHECKING:
    from repro.train.rendezvous import Tasks

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)
_REPORT_EVERY_S = 1.0
_CHECKED: set[Path] = set()  # inputs this process has read through: runs of a pack share them


class Unready(UserError):
    """An input of a run is not finished: the same run may work later."""


def run_pack(store: str, keys: list[str]) -> dict[str, str]:
    """Execute runs in order; return key -> done, failed or interrupted, in every task of the job.
    One that fails does not stop the next; a stop signal interrupts the current one and leaves the
    others for later."""
    stop = threading.Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    home = Store(Path(store))
    entries = {key: home.entry(key) for key in keys}
    team, trouble = None, None
    try:
        team = tasks.meet()
    except UserError as error:
        trouble = error
    if tasks.rank() > 0:
        return {key: _assist(home, entry, stop, team) for key, entry in entries.items()}
    try:
        return {key: _execute(home, entry, stop, team, trouble) for key, entry in entries.items()}
    finally:
        if team is not None:
            team.leave()


def _execute(
    store: Store,
    entry: Entry,
    stop: threading.Event,
    team: "Tasks | None",
    trouble: UserError | None,
) -> str:
    """Do in task 0 what is to be done about a run; return its end, which the others hear of."""
    end = "failed"
    try:
        with files.locked(entry.exec_lock, give_up=stop.is_set) as held:
            if held and entry.is_done:
                end = "done"
            elif not held:  # another process runs it, and this one was told to stop
                end = "interrupted"
            elif stop.is_set():
                entry.write("interrupted", {"step": 0, "time": time.time()})
                end = "interrupted"
            else:
                end = _start(store, entry, stop, team, trouble)
        return end
    finally:
        if team is not None:
            team.tell(f"{entry.key} request", None)  # where it is shared, all have read that
            team.tell(f"{entry.key} end", end)


def _start(
    store: Store,
    entry: Entry,
    stop: threading.Event,
    team: "Tasks | None",
    trouble: UserError | None,
) -> str:
    entry.clear("failed", "interrupted")
    reporter = _Reporter(entry)
    scratch = entry.dir / "out.tmp"
    try:
        files.append_line(entry.starts, f"{_clock()} {_node()} {os.getpid()}")
        with _logging_to(entry.log):
            if trouble is not None:
                raise trouble
            files.remove(scratch)
            scratch.mkdir()
            request = entry.read("request")
            check_request(request, entry)
            if team is not None and pretrains(request["ingredients"]["stage"]):
                team.tell(f"{entry.key} request", request)
            report = drill.carried_out(entry, reporter)
            context = _run(store, entry, request, scratch, report, stop, team)
            entry.finish(scratch, _record(request, context, reporter, entry))
        files.remove(entry.checkpoints)
    except Interrupted:
        return _interrupted(entry, reporter)
    except BaseException as error:
        return _failed(entry, error)
    finally:
        reporter.meter.close()
        files.remove(scratch)
    return "done"


def _assist(store: Store, entry: Entry, stop: threading.Event, team: "Tasks | None") -> str:
    """Follow task 0 through a run in another task; leaves nothing but a log. Returns its end."""
    if team is None:
        return "failed"
    scratch = Path(tempfile.mkdtemp(prefix="repro-"))
    log = entry.log.with_suffix(f".rank{team.rank}{entry.log.suffix}")
    try:
        if request := team.hear(f"{entry.key} request"):
            with suppress(Exception, Interrupted), _logging_to(log):
                _run(store, entry, request, scratch, _silent, stop, team)
        return team.hear(f"{entry.key} end")
    except UserError as error:  # task 0 is gone
        print(error, file=sys.stderr, flush=True)
        return "failed"
    finally:
        files.remove(scratch)


def _run(
    store: Store,
    entry: Entry,
    request: dict[str, Any],
    out: Path,
    on_report: Callable[..., None],
    stop: threading.Event,
    team: "Tasks | None",
) -> RunContext:
    """Check that the run can be what was asked for, and run it, with the others where they share
    it; return the context it ran in."""
    made_of = request["ingredients"]
    together = team is not None and pretrains(made_of["stage"])
    with team.world(entry.key) if together else nullcontext() as world:
        check_versions(made_of["versions"])
        root = Path(request["root"])
        check_code(made_of["config"], made_of["code"], root)
        if made_of["numerics"] is not None:
            arithmetic.configure(made_of["numerics"])
        context = RunContext(
            stage=made_of["stage"],
            arm=request["arm"],
            seed=made_of["seed"] or 0,
            member=made_of["member"],
            inputs={stage: [_input(store, key) for key in keys]
                    for stage, keys in made_of["inputs"].items()},
            out=out,
            checkpoints=entry.checkpoints,
            on_report=on_report,
            stop_requested=stop.is_set,
            world=world,
        )
        from repro.config.build import build

        build(made_of["config"], root)(context)
    return context


def check_versions(wanted: dict[str, str]) -> None:
    """Raise UserError if a library (or Python) is not the version the run was resolved for."""
    for name, version in wanted.items():
        if name == "python":
            here = ".".join(map(str, sys.version_info[: version.count(".") + 1]))
        else:
            try:
                here = metadata.version(name)
            except metadata.PackageNotFoundError:
                here = "missing"
        if here.partition("+")[0] != version.partition("+")[0]:
            raise UserError(f"versions.{name}: resolved for {version}, here is {here}: install "
                            "requirements.lock, or resolve again with `repro resolve`")


def check_code(config: dict[str, Any], expected: str, root: Path) -> None:
    """Raise UserError if the code a section reaches is not what it was when resolved."""
    from repro.config.code import section_digest
    from repro.config.source import Sources

    here = section_digest(config, Sources(root))
    if here != expected:
        raise UserError(f"{config['_fn']}: its code changed since this run was resolved (digest "
                        f"{expected}, now {here}): run `repro resolve` and start it again")


def _input(store: Store, key: str) -> Path:
    """Return the artefact of an input, every byte of it checked (once by each process)."""
    entry = store.entry(key)
    try:
        finished = store.checked(key, full=entry.dir not in _CHECKED)
    except CorruptedEntry as error:
        raise Unready(f"{error}; it must be made again") from error
    if not finished:
        raise Unready(f"{entry.dir}: an input of this run is not finished")
    _CHECKED.add(entry.dir)
    return entry.out


def _record(
    request: dict[str, Any], context: RunContext, reporter: "_Reporter", entry: Entry
) -> dict[str, Any]:
    """Return what run.json holds beside the digests of the outputs."""
    size = 1 if context.world is None else context.world.size
    return {
        **{name: request[name] for name in ("key", "label", "ingredients")},
        "host": _node(),
        "tasks": size,
        **machine.describe(),
        "arithmetic": _arithmetic(request["ingredients"]["numerics"]),
        "finished": _clock(),
        "starts": len(entry.starts.read_text(encoding="utf-8").splitlines()),
        **meter.record(reporter.meter.totals(), size),
        "tokens": context.totals.get("tokens", 0),
        "flops": context.totals.get("flops", 0),
        "measurements": context.measurements,
        "state": state_of(entry.checkpoints),
    }


def _arithmetic(numerics: str | None) -> str | None:
    """Return the digest of this process's arithmetic: where it is another, bytes may be too."""
    if numerics is None:
        return None
    from repro.pipeline import fingerprint

    return fingerprint.summary(fingerprint.arithmetic())


def state_of(checkpoints: Path) -> dict[str, str]:
    """Return file -> sha256 of the newest checkpoint of every folder below: where training stood at
    its end (weights, optimiser state, position, history)."""
    found: dict[str, str] = {}
    for path in sorted(checkpoints.rglob("step-*/manifest.json")):  # a later step replaces
        where = path.parent.parent.relative_to(checkpoints)
        for name, sha256 in (files.read_json(path) or {}).items():
            found[(where / name).as_posix()] = sha256
    return found


def _interrupted(entry: Entry, reporter: "_Reporter") -> str:
    reporter.write()
    entry.write("interrupted", {"step": reporter.last.get("step", 0),
                                "total": reporter.last.get("total", 0), "time": time.time()})
    return "interrupted"


def _failed(entry: Entry, error: BaseException) -> str:
    files.remove(entry.dir / "out.tmp")  # on a full disk: room for the next line
    message = explain(error, entry)
    entry.write("failed", {"error": message, "kind": type(error).__name__, "time": time.time(),
                           "host": _node(), "log": str(entry.log)})
    return "failed"


def explain(error: BaseException, entry: Entry) -> str:
    """Return one readable line for whatever ended a run."""
    text = " ".join(str(error).split())
    full = getattr(error, "errno", None) in files.FULL or "No space left on device" in text
    if full or _is_full(entry.dir):
        return files.disk_full(getattr(error, "filename", None) or entry.dir)
    if isinstance(error, UserError):
        return text
    if isinstance(error, MemoryError):
        text = f"out of memory {text}".strip()
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename and f.filename != __file__]
    where = f" (at {own[-1].filename}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {text[:300]}{where}"


def _is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < 1 << 16


def _silent(**_: Any) -> None:
    return None


class _Reporter:
    """Keeps progress.json: what the run said last and has taken, at most once a second; a resumed
    run goes on counting where the killed one stood."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.last: dict[str, Any] = {}
        with suppress(UserError):
            self.last = entry.read("progress") or {}
        self.meter = meter.Meter(self.last.get("spent"))
        self.written = time.monotonic()
        self.mark = ("", 0, 0, self.written)  # phase, step, tokens, when: speeds count from here
        self.write()

    def __call__(
        self, *, step: int, total: int, loss: float | None, tokens: int, phase: str
    ) -> None:
        now = time.monotonic()
        speeds = {}
        if self.mark[0] != phase or step <= self.mark[1]:
            self.mark = (phase, step, tokens, now)
        else:
            _, first_step, first_tokens, since = self.mark
            passed = max(now - since, 1e-6)
            speeds = {"steps_per_s": round((step - first_step) / passed, 4),
                      "tokens_per_s": round((tokens - first_tokens) / passed, 1)}
        self.last = {"step": step, "total": total, "loss": loss, "phase": phase, **speeds}
        if now - self.written >= _REPORT_EVERY_S or step >= total:
            self.write()

    def write(self) -> None:
        self.written = time.monotonic()
        self.last |= {"spent": self.meter.totals(), "time": time.time(), "pid": os.getpid()}
        with suppress(UserError):  # a full disk stops the run where its results are written
            self.entry.write("progress", self.last, durable=False)


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send standard output and error of this process, libraries included, to the run's log."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    print(f"--- {_clock()} {_node()} pid {os.getpid()}", flush=True)
    try:
        yield
    except Interrupted:
        print("--- stopped on request", flush=True)
        raise
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        for number, former in zip((1, 2), saved, strict=True):
            os.dup2(former, number)
            os.close(former)


def _clock() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _node() -> str:
    """Return Slurm's name for this machine, which need not be the machine's own."""
    return os.environ.get("SLURMD_NODENAME") or processes.host()
