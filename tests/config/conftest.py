"""A small suite in a temporary directory: a core, a paper `demo`, a stand-in for its paper.yaml."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

CORE = {
    "repro/__init__.py": "",
    "repro/train/__init__.py": "",
    "repro/train/pretraining.py": '''
from collections.abc import Callable
from typing import Literal

from repro.train.objective import Objective


def pretrain(
    ctx,
    *,
    steps: int,
    objective: Objective,
    optimizer: Callable[..., object],
    clip: float | None = 1.0,
    precision: Literal["fp32", "bf16"] = "fp32",
    sizes: tuple[int, ...] = (1, 2),
    names: list[str] = [],
    weights: dict[str, float] = {},
    packed: bool = True,
    corpus: str = "leads",
) -> None:
    """Pre-train."""
    ctx.append((steps, objective, optimizer, clip, sizes, names, weights))
''',
    "repro/train/objective.py": '''
from typing import Protocol


class Objective(Protocol):
    def loss(self, batch): ...
''',
    "repro/train/optimizers.py": '''
def adamw(model, *, lr: float, betas: tuple[float, float] = (0.9, 0.999), decay: float = 0.01):
    return ("adamw", model, lr, betas, decay)


def sgd(model, *, lr: float = 0.1):
    return ("sgd", model, lr)
''',
    "repro/nn/__init__.py": "from repro.nn.encoders import electra\n",
    "repro/nn/encoders.py": '''
def electra(vocab, *, hidden: int = 64, layers: int = 2, inner=None):
    return ("electra", vocab, hidden, layers)
''',
    "repro/evaluate/finetuning.py": '''
from collections.abc import Callable

from repro.train.optimizers import sgd


def finetune(ctx, *, epochs: int = 3, optimizer: Callable[..., object] = sgd) -> None:
    """Fine-tune."""
''',
    "papers/demo/method.py": '''
from collections.abc import Callable
from dataclasses import dataclass

from repro.train.objective import Objective


class MaskedLM:
    def __init__(self, *, encoder: Callable[..., object], probability: float = 0.15) -> None:
        self.encoder, self.probability = encoder, probability

    def loss(self, batch):
        return batch


@dataclass(kw_only=True)
class Detection(MaskedLM):
    encoder: Callable[..., object]
    generator: Callable[..., object]
    weight: float = 50.0


class Nested:
    def __init__(self, *, inner: Objective | None = None) -> None:
        self.inner = inner
''',
}

HEAD = """\
from __gin__ import dynamic_registration
from repro.train import optimizers
from repro.train import pretraining
from repro.evaluate import finetuning
from repro.nn import encoders
from papers.demo import method
"""

BODY = """\
STEPS = 100
pretraining.pretrain.steps = %STEPS
pretraining.pretrain.optimizer = @optimizers.adamw
bert/pretraining.pretrain.objective = @method.MaskedLM()
optimizers.adamw.lr = 1e-3
method.MaskedLM.encoder = @encoders.electra
"""

BOTH = BODY + """\
electra/pretraining.pretrain.objective = @method.Detection()
method.Detection.encoder = @encoders.electra
method.Detection.generator = @generator/encoders.electra
"""

STAGES = {
    "pretrain": "repro.train.pretraining.pretrain",
    "finetune": "repro.evaluate.finetuning.finetune",
}
PAPER_YAML = "slug: demo\nstages:\n" + "".join(f"  {s}: {f}\n" for s, f in STAGES.items())


@dataclass
class Arm:
    stages: tuple[str, ...] | None = None
    profiles: tuple[str, ...] | None = None


@dataclass
class Paper:
    """What the resolver asks of `repro.paper.Paper`."""

    root: Path
    slug: str = "demo"
    arms: dict[str, Arm] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=lambda: dict(STAGES))

    @property
    def dir(self) -> Path:
        return self.root / "papers" / self.slug

    def gin_files(self, profile: str) -> list[Path]:
        if profile == "smoke":
            return [self.dir / "mini.gin", self.root / "papers" / "smoke.gin"]
        return [self.dir / f"{profile}.gin"]

    def arms_of(self, profile: str) -> dict[str, Arm]:
        return {name: arm for name, arm in self.arms.items()
                if arm.profiles is None or profile in arm.profiles}


class Project:
    """Writes files below a root and makes the stand-in paper."""

    head, body, both = HEAD, BODY, BOTH

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write({**CORE, "papers/demo/paper.yaml": PAPER_YAML})

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def gin(self, text: str, name: str = "papers/demo/paper.gin", head: str = HEAD) -> None:
        self.write({name: head + text})

    def mini(self, text: str) -> None:
        self.gin("include 'papers/demo/paper.gin'\n" + text, "papers/demo/mini.gin")

    def line(self, text: str, name: str = "papers/demo/paper.gin") -> str:
        """Return file:line of the last line of a file that holds a text."""
        lines = (self.root / name).read_text(encoding="utf-8").splitlines()
        return f"{name}:{max(i for i, line in enumerate(lines, 1) if text in line)}"

    def paper(self, *arms: str, **more: Arm) -> Paper:
        return Paper(self.root, arms={name: Arm() for name in arms} | more)

    arm = Arm


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
