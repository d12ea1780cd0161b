"""The vision template: four files to edit, and the method begins as the baseline."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from repro.cli import main
from repro.config import resolved
from repro.config.build import build
from repro.text.tokenizer import VocabInfo
from repro.train.streams import Streams

ROOT = Path(__file__).parents[2]
VOCAB = VocabInfo(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=(0, 1, 2, 3, 4))
SLUG = "my_vision_paper"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A suite of one paper, made of the template; what `repro new` said of it."""
    shutil.copytree(ROOT / "repro", tmp_path / "repro",
                    ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "papers").mkdir()
    shutil.copy(ROOT / "papers" / "smoke.gin", tmp_path / "papers")
    params = (ROOT / "params.yaml").read_text("utf-8").partition("papers:")[0]
    (tmp_path / "params.yaml").write_text(params, "utf-8")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["new", SLUG, "--template", "vision", "--json"],
                              catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return tmp_path, json.loads(done.output)


def test_four_files_are_to_be_edited(made):
    root, told = made
    names = [Path(path).name for path in told["edit"]]
    assert sorted(names) == ["method.py", "mini.gin", "paper.gin", "paper.yaml"]
    for name in names:
        assert "TODO" in (root / "papers" / SLUG / name).read_text("utf-8"), name


def test_before_the_first_edit_the_method_is_the_baseline(made):
    root, _ = made
    arms = resolved.load(root / "papers" / SLUG / "resolved" / "mini")["arms"]
    spec = importlib.util.spec_from_file_location("written", root / "papers" / SLUG / "method.py")
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    settings = dict(arms["method"]["pretrain"]["config"]["objective"])
    assert settings.pop("_fn") == f"papers.{SLUG}.method.Invention"
    assert arms["baseline"]["pretrain"]["config"]["batches"] == \
        arms["method"]["pretrain"]["config"]["batches"]
    config = arms["baseline"]["pretrain"]["config"]["objective"]
    factory = build(settings["model"], ROOT)
    losses = []
    for objective in (build(config, ROOT)(), written.Invention(model=factory)):
        model = objective.build(VOCAB, Streams(0))
        losses.append(objective.loss(model, *batch(), Streams(0), 0)["loss"])
    assert torch.equal(*losses)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (4, 3, 96, 96), dtype=torch.uint8, generator=generator)
    tokens = torch.randint(5, 60, (4, 1, 8), generator=generator)
    tokens[..., 0], tokens[..., -1] = VOCAB.cls, VOCAB.sep
    return images, tokens
