"""`slurm/clusters/*.yaml`: what a Slurm site wants to be told, checked when it is read."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from repro import yaml
from repro.errors import UserError
from repro.naming import nearest
from repro.settings import misuse

Word = Annotated[str, StringConstraints(pattern=r"^[^\s'\"]+$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Option = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]
# What the suite decides itself, so that `extra` cannot take it back.
RESERVED = ("array", "dependency", "job-name", "kill-on-invalid-dep", "open-mode", "output", "time",
            "signal", "requeue", "chdir")


class Cluster(BaseModel):
    """One Slurm site. Nothing here enters a key: where a run happens does not change what it is.

    gpu_partition: for runs that ask for GPUs (default: partition). gres_type: the site's name of
    its GPU in `gres/gpu:<type>`. gpu_flag: how GPUs are asked for. array_throttle: tasks of one
    array at a time, 0 = no limit. max_jobs: jobs of ours in the queue at a time. signal_s: so many
    seconds before its limit a job is told to save. time_factor: times the minutes of paper.yaml.
    setup: shell lines before Python starts. container: argument list put before the interpreter.
    store, assets: where the machine settings do not say. poll_s: seconds between two looks at the
    queue. use_srun: false where steps are not allowed (one task per job then). extra: further
    options of sbatch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Word
    partition: Word | None = None
    gpu_partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    reservation: Word | None = None
    gres_type: Word | None = None
    gpu_flag: Literal["gres", "gpus-per-node"] = "gres"
    exclusive: bool = False
    requeue: bool = True
    array_throttle: int = Field(default=0, ge=0)
    max_jobs: int = Field(default=500, ge=1)
    signal_s: int = Field(default=120, ge=1, le=65535)
    time_factor: float = Field(default=1.0, gt=0, strict=False)
    setup: list[str] = []
    container: list[str] = []
    python: str | None = None
    env: dict[Variable, str] = {}
    store: str | None = None
    assets: str | None = None
    poll_s: float = Field(default=10.0, gt=0, strict=False)
    use_srun: bool = True
    extra: dict[Option, str | int | bool] = {}

    @field_validator("extra")
    @classmethod
    def _not_reserved(cls, extra: dict[str, Any]) -> dict[str, Any]:
        for option in extra:
            if option in RESERVED:
                raise ValueError(f"{option} is set by the suite itself")
        return extra

    @classmethod
    def load(cls, path: Path | str) -> "Cluster":
        """Return the profile in a file. Raises UserError with file, line and key."""
        path = Path(path)
        if not path.is_file():
            beside = sorted(other.name for other in path.parent.glob("*.yaml"))
            raise UserError(f"cluster {path}: no such file{nearest(path.name, beside)}")
        content = yaml.load(path)
        if not isinstance(content, dict):
            raise UserError(f"{path}: must be a mapping of keys, got {type(content).__name__}")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise misuse(path, *_explain(error.errors())) from error


def _explain(errors: list[Any]) -> tuple[str, str]:
    """Return (key, message) of the first problem; an unknown key says more than a missing one."""
    error = min(errors, key=lambda one: one["type"] == "missing")
    key = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        return key, f"unknown key {name!r}{nearest(name, Cluster.model_fields)}"
    if error["type"] == "missing":
        return key, "is missing"
    message = error["msg"].replace("Input should be", "must be").removeprefix("Value error, ")
    return key, f"{message[0].lower()}{message[1:]}, got {error['input']!r}"
