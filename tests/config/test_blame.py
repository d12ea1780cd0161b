import json

import pytest

from repro.config.blame import blame, render
from repro.config.resolve import resolve
from repro.errors import UserError


@pytest.fixture
def resolved(project):
    project.gin(project.both)
    project.mini("optimizers.adamw.lr = 2e-3\nelectra/optimizers.adamw.lr = 5e-4\n")
    return resolve(project.paper("bert", "electra"), "mini")


def test_the_line_and_what_it_overrode(project, resolved):
    mini, paper = "papers/demo/mini.gin", "papers/demo/paper.gin"
    first, second = blame(resolved, "pretrain.optimizer.lr")
    assert (first.path, first.arms, first.value) == ("pretrain.optimizer.lr", ("bert",), "0.002")
    assert first.origin == f"{mini}:8"
    assert first.overrode == (f"0.001 ({project.line('adamw.lr', paper)})",)
    assert (second.arms, second.value, second.origin) == (("electra",), "0.0005", f"{mini}:9")
    assert second.overrode == (f"0.002 ({mini}:8)", first.overrode[0])


@pytest.mark.parametrize("pattern, count", [("lr", 3), ("pretrain.lr", 2), ("electra:lr", 2),
                                            ("finetune.optimizer.lr", 1), ("opt*.lr", 3)])
def test_parts_of_a_path_may_be_left_out(resolved, pattern, count):
    assert len(blame(resolved, pattern)) == count


def test_a_setting_all_arms_share_is_one_row_and_a_default_names_the_code(project, resolved):
    (row,) = blame(resolved, "pretrain.optimizer.decay")
    place = project.line("def adamw", "repro/train/optimizers.py")
    assert row.arms == () and row.origin == f"default {place}" and row.overrode == ()


def test_a_chosen_function_is_a_setting(project, resolved):
    bert, electra = blame(resolved, "objective")
    assert (bert.value, electra.value) == ("MaskedLM", "Detection")
    assert electra.origin == project.line("@method.Detection()")


def test_table_and_json(resolved):
    rows = blame(resolved, "pretrain.lr")
    lines = render(rows).splitlines()
    assert lines[0].split() == ["setting", "value", "set", "at", "overrode"]
    assert lines[2].startswith("pretrain.optimizer.lr [bert]     0.002   papers/demo/mini.gin:8")
    assert lines[4].strip() == rows[1].overrode[1]
    assert json.loads(render(rows, "json"))[0]["origin"] == "papers/demo/mini.gin:8"


@pytest.mark.parametrize("pattern, message", [
    ("optimzer.lr", "no setting matches 'optimzer.lr' (did you mean 'pretrain.optimizer.lr', 'fin"),
    ("stesp", "no setting matches 'stesp' (did you mean 'pretrain.steps'?)"),
    ("bret:lr", "unknown arm 'bret' (did you mean 'bert'?)"),
])
def test_an_unknown_setting_is_a_clear_error(resolved, pattern, message):
    with pytest.raises(UserError) as caught:
        blame(resolved, pattern)
    assert message in str(caught.value)
