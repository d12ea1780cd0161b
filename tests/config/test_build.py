import sys

import pytest

from repro.config.build import build
from repro.config.resolve import resolve
from repro.errors import UserError

METHOD = """
from collections.abc import Callable
from dataclasses import dataclass
from os import system
from typing import Any

SEEN = []


class Part:
    def __init__(self, *, size: float, tags: list[str] = []) -> None:
        self.size, self.tags = size, tags


@dataclass(kw_only=True)
class Whole:
    part: Part
    make: Callable[..., Any]
    shape: tuple[int, ...] = (1, 2)


def scale(x, *, by: float = 2.0, part: Part | None = None):
    return x * by, part


def run(ctx, *, whole: Whole, table: dict[str, tuple[int, ...]], deep: list[Any]) -> None:
    ctx.append((whole, table, deep))
"""

GIN = """
from __gin__ import dynamic_registration
from papers.{slug} import method
method.run.whole = @method.Whole()
method.run.table = {{'a': (1, 2)}}
method.run.deep = [[1], @method.Part()]
method.Whole.part = @method.Part()
method.Whole.make = @method.scale
method.scale.part = @method.Part()
method.Part.size = 3
"""


@pytest.fixture
def section(project, request):
    """The config of a section of a paper of its own: Python keeps modules by name."""
    slug = "built_" + "".join(c for c in request.node.name if c.isalnum())
    project.write({f"papers/{slug}/method.py": METHOD, f"papers/{slug}/paper.gin":
                   GIN.format(slug=slug)})
    paper = project.paper("a")
    paper.slug, paper.stages = slug, {"run": f"papers.{slug}.method.run"}
    path = list(sys.path)
    yield project.root, resolve(paper, "paper").tree["arms"]["a"]["run"]["config"]
    sys.path[:] = path
    for name in [name for name in sys.modules if name.startswith(f"papers.{slug}")]:
        del sys.modules[name]


def call(root, config):
    seen = []
    build(config, root)(seen)
    return seen[0]


def test_a_resolved_section_becomes_a_call(section):
    whole, table, deep = call(*section)
    assert type(whole).__name__ == "Whole" and whole.part.size == 3.0
    assert whole.shape == (1, 2) and table == {"a": (1, 2)}
    assert deep[0] == [1] and deep[1].size == 3.0
    product, part = whole.make(5)
    assert product == 10.0 and part.size == 3.0


def test_references_are_called_with_positionals_and_refuse_bound_keywords(section):
    whole, _, _ = call(*section)
    with pytest.raises(UserError, match="'by' is a setting of the configuration"):
        whole.make(5, by=3)


def test_calls_share_no_state(section):
    root, config = section
    function, first, second = build(config, root), [], []
    function(first)
    first[0][0].part.tags.append("changed")
    first[0][2][0].append(9)
    function(second)
    assert second[0][0].part.tags == [] and second[0][2][0] == [1]
    whole = second[0][0]
    assert whole.make(1)[1] is not whole.make(1)[1]


@pytest.mark.parametrize("target", [
    "os.system", "builtins.eval", "system", "repro.config.build.sys", "{own}.system",
    "repro.config.build.importlib.import_module", "repro.config.build.__build_class__",
    "repro.nowhere.f", "repro.config.build.nothing"])
def test_only_what_repro_and_papers_define_can_be_built(section, target):
    root, config = section
    target = target.format(own=config["_fn"].rpartition(".")[0])
    with pytest.raises(UserError, match="can be built|cannot be imported"):
        build({"_fn": target}, root)
    with pytest.raises(UserError, match="can be built|cannot be imported"):
        build(config | {"whole": {"_fn": target}}, root)


def test_a_tree_that_does_not_fit_the_code_is_refused_before_anything_runs(section):
    root, config = section
    part = config["whole"]["part"]
    with pytest.raises(UserError, match="unknown setting 'sise'.*did you mean 'size'"):
        build(config | {"whole": config["whole"] | {"part": part | {"sise": 3}}}, root)
    with pytest.raises(UserError, match="setting 'deep' is missing"):
        build({name: value for name, value in config.items() if name != "deep"}, root)
    with pytest.raises(UserError, match="size expects float, got 'x'"):
        build(config | {"whole": config["whole"] | {"part": part | {"size": "x"}}}, root)


def test_code_of_another_copy_of_the_project_is_refused(section):
    """The digest was taken of the project's `repro`; what would run is the installed one."""
    root, _ = section
    (root / "repro" / "errors.py").write_text("class UserError(ValueError): ...\n")
    with pytest.raises(UserError, match="repro.errors is imported from .* but this project has"):
        build({"_ref": "repro.errors.UserError"}, root)
