"""Wrong hyper-parameters put into the papers' own gin files: every one must be caught by holding
the resolved `paper` profile against what paper.yaml says the paper states."""

import shutil
from pathlib import Path

import pytest

from repro.config.resolve import resolve
from repro.paper import Paper
from repro.verdict import stated

ROOT = Path(__file__).parents[2]
ELECTRA = [
    ("paper.gin", "encoders.electra.hidden = 256", "encoders.electra.hidden = 512"),
    ("paper.gin", "encoders.electra.layers = 12", "encoders.electra.layers = 6"),
    ("paper.gin", "encoders.electra.embedding = 128", "encoders.electra.embedding = 256"),
    ("paper.gin", "generator/encoders.electra.hidden = 64",
     "generator/encoders.electra.hidden = 128"),
    ("paper.gin", "steps = 1000000", "steps = 100000"),
    ("paper.gin", "batch_size = 128", "batch_size = 256"),
    ("paper.gin", "optimizers.adamw.lr = 5e-4", "optimizers.adamw.lr = 2e-4"),
    ("paper.gin", "warmup_steps = 10000", "warmup_steps = 1000"),
    ("paper.gin", "learning_rates = (3e-4,)", "learning_rates = (1e-4,)"),
    ("paper.gin", "layer_decay = 0.8", "layer_decay = 0.9"),
    ("paper.gin", "vocab_size = 30522", "vocab_size = 32000"),
    # A deviation tells what ours is: it must be true, too.
    ("arms.gin", "steps = 1450000", "steps = 1250000"),
]
TINY_LM = [
    ("paper.gin", "encoders.bert.layers = 6", "encoders.bert.layers = 12"),
    ("paper.gin", "optimizers.adamw.lr = 5e-5", "optimizers.adamw.lr = 1e-4"),
    ("paper.gin", "epochs = 50", "epochs = 40"),
    ("paper.gin", "batch_size = 32", "batch_size = 64"),
    ("arms.gin", "steps = 31250", "steps = 62500"),
]
SEEDED = [("electra", *mistake) for mistake in ELECTRA] + [
    ("tiny_lm", *mistake) for mistake in TINY_LM]


def problems(folder):
    """What the contract of a paper says of its settings as the files are now."""
    paper = Paper.load(folder)
    tree = resolve(paper, "paper", numerics="portable").tree
    return stated.unexplained(paper, tree) + stated.silent(paper, tree)


@pytest.fixture
def copied(tmp_path):
    """copied(slug) -> the folder of a paper in a suite of its own, with this suite's code."""
    (tmp_path / "repro").symlink_to(ROOT / "repro")
    (tmp_path / "papers").mkdir()
    shutil.copy(ROOT / "papers" / "smoke.gin", tmp_path / "papers")

    def copy(slug):
        folder = tmp_path / "papers" / slug
        shutil.copytree(ROOT / "papers" / slug, folder,
                        ignore=shutil.ignore_patterns("out", "results", "resolved"))
        return folder

    return copy


@pytest.mark.parametrize("slug", ["electra", "tiny_lm"])
def test_the_papers_as_they_are_have_no_such_problem(copied, slug):
    assert problems(copied(slug)) == []


@pytest.mark.parametrize(("slug", "file", "right", "wrong"), SEEDED,
                         ids=[f"{m[0]}: {m[3]}" for m in SEEDED])
def test_a_wrong_hyper_parameter_is_caught(copied, slug, file, right, wrong):
    path = copied(slug) / file
    text = path.read_text("utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong, 1), "utf-8")
    setting, _, _ = right.partition(" = ")
    found = problems(path.parent)
    last = setting.rpartition(".")[2]
    assert any(last in line for line in found), found
