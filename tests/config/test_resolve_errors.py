"""Every mistake is one line that starts with file and line."""

import pytest

from repro.config.resolve import resolve
from repro.errors import UserError

ARMS = ("bert", "electra")


def errors(project, profile="paper", overrides=None, arms=ARMS):
    with pytest.raises(UserError) as caught:
        resolve(project.paper(*arms), profile, overrides=overrides)
    return str(caught.value).splitlines()


CASES = {
    "syntax": ("encoders.electra.hidden = 2*3", "syntax error: Expected newline."),
    "include missing": ("include 'papers/demo/none.gin'", "include must stand before the first"),
    "module": ("from repro.train import pretrainning", "unknown module 'repro.train.pretrainning' "
               "(did you mean 'repro.train.pretraining'?)"),
    "third party": ("import torch", "torch is not ours: only modules of repro and papers.demo can"),
    "other paper": ("from papers.other import method as m", "papers.other.method belongs to another"
                    " paper: move what is shared into repro"),
    "function import": ("from repro.train.optimizers import sgd", "repro.train.optimizers.sgd is no"
                        " module: import repro.train.optimizers and bind optimizers.sgd"),
    "not imported": ("optimisers.adamw.decay = 0.1", "unknown name 'optimisers' in "
                     "'optimisers.adamw': not imported in this file (did you mean 'optimizers'?)"),
    "configurable": ("optimizers.adam.decay = 0.1", "unknown configurable 'adam' in "
                     "repro.train.optimizers (did you mean 'adamw'?)"),
    "reference": ("finetuning.finetune.optimizer = @optimizers.sdg", "unknown configurable 'sdg' in"
                  " repro.train.optimizers (did you mean 'sgd'?)"),
    "parameter": ("optimizers.adamw.dekay = 0.1", "unknown parameter 'dekay' of "
                  "repro.train.optimizers.adamw (did you mean 'decay'?)"),
    "positional": ("optimizers.adamw.model = 3", "'model' of repro.train.optimizers.adamw is "
                   "supplied by the caller and cannot be bound"),
    "scope": ("finetnue/optimizers.sgd.lr = 1.0", "unknown scope 'finetnue': no arm, stage or "
              "reference scope (did you mean 'finetune'?)"),
    "scope order": ("pretrain/bert/optimizers.adamw.lr = 1.0", "scope 'pretrain/bert': write "
                    "arm/stage/reference, each once"),
    "dead": ("method.Nested.inner = None", "method.Nested.inner has no effect: nothing that runs "
             "uses papers.demo.method.Nested"),
    "dead scope": ("bert/method.Detection.weight = 2.0", "bert/method.Detection.weight has no "
                   "effect: nothing that runs uses papers.demo.method.Detection in scope 'bert'"),
    "macro unused": ("STEPZ = 3", "macro STEPZ is never used (did you mean 'STEPS'?)"),
    "macro undefined": ("pretraining.pretrain.clip = %STEP", "undefined macro %STEP "
                        "(did you mean 'STEPS'?)"),
    "macro cycle": ("A = %B\nB = %A\npretraining.pretrain.clip = %A", "macro goes round: "
                    "A -> B -> A"),
    "str for int": ("encoders.electra.layers = 'two'", "electra.layers expects int, got 'two'"),
    "float for int": ("encoders.electra.layers = 2.0", "electra.layers expects int, got 2.0"),
    "bool for int": ("encoders.electra.layers = True", "electra.layers expects int, got True"),
    "int for str": ("pretraining.pretrain.corpus = 3", "pretrain.corpus expects str, got 3"),
    "int for bool": ("pretraining.pretrain.packed = 1", "pretrain.packed expects bool, got 1"),
    "None": ("optimizers.adamw.decay = None", "adamw.decay expects float, got None"),
    "infinite": ("optimizers.adamw.decay = 1e999", "adamw.decay expects float, got inf (not a "
                 "finite number)"),
    "literal": ("pretraining.pretrain.precision = 'bf61'", "pretrain.precision expects "
                "Literal['fp32', 'bf16'], got 'bf61' (did you mean 'bf16'?)"),
    "tuple of one": ("pretraining.pretrain.sizes = (3)", "pretrain.sizes expects tuple[int, ...], "
                     "got 3 (a tuple of one is written (3,))"),
    "tuple element": ("pretraining.pretrain.sizes = (3, 'a')", "pretrain.sizes expects "
                      "tuple[int, ...], got (3, 'a') ([1] is 'a', not int)"),
    "tuple length": ("optimizers.adamw.betas = (0.9,)", "adamw.betas expects tuple[float, float], "
                     "got (0.9,) (1 elements, not 2)"),
    "list element": ("pretraining.pretrain.names = ['a', 2]", "pretrain.names expects list[str], "
                     "got ['a', 2] ([1] is 2, not str)"),
    "dict element": ("pretraining.pretrain.weights = {'a': 'b'}", "pretrain.weights expects "
                     "dict[str, float], got {'a': 'b'} (['a'] is 'b', not float)"),
    "dict key": ("encoders.electra.inner = {'_fn': 1}", "a dictionary key must be text or a whole "
                 "number, not '_fn'"),
    "literal for reference": ("finetuning.finetune.optimizer = 'sgd'", "finetune.optimizer expects "
                              "Callable[..., object], got 'sgd' (a reference (@...) is expected "
                              "here)"),
    "reference for literal": ("pretraining.pretrain.clip = @optimizers.sgd", "pretrain.clip expects"
                              " float | None, got @optimizers.sgd"),
    "built too early": ("finetuning.finetune.optimizer = @optimizers.sgd()", "@optimizers.sgd() is "
                        "built without arguments, but 'model' is supplied by the caller: write "
                        "@optimizers.sgd"),
    "not built": ("method.Nested.inner = @method.MaskedLM\n"
                  "bert/pretrain/pretraining.pretrain.objective = @method.Nested",
                  "pretrain.objective expects Objective, got @method.Nested (an object is expected:"
                  " write @method.Nested())"),
    "scope is an arm": ("finetuning.finetune.optimizer = @bert/optimizers.sgd", "reference scope "
                        "'bert' is also the name of an arm"),
    "REQUIRED": ("finetuning.finetune.epochs = %gin.REQUIRED", "evaluate.finetuning.finetune.epochs"
                 " is REQUIRED and has no value (stage finetune)"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_named_with_its_line(project, case):
    text, message = CASES[case]
    project.gin(project.both + text + "\n")
    found = errors(project)
    last = project.line(text.splitlines()[-1])
    assert any(line.startswith(f"{last}: {message}") for line in found), found
    assert all(line.partition(": ")[0].rpartition(":")[2].isdigit() for line in found), found


def test_mistakes_have_no_consequences_of_their_own(project):
    """One mistake, one line, wherever that can be."""
    more = {"not built", "include missing"}
    for case in CASES.keys() - more:
        project.gin(project.both + CASES[case][0] + "\n")
        assert len(errors(project)) == 1, case


def test_all_mistakes_are_reported_in_order(project):
    project.gin(project.both + "encoders.electra.layers = 'two'\nUNUSED = 1\n"
                "bret/encoders.electra.hidden = 3\nmethod.Nested.inner = None\n")
    start = project.line("layers = 'two'")
    line = int(start.rpartition(":")[2])
    assert [e.partition(": ")[0] for e in errors(project)] == [
        f"papers/demo/paper.gin:{line + i}" for i in range(4)]


def test_a_missing_setting_is_named_where_its_owner_is_referred_to(project):
    project.gin(project.both.replace("optimizers.adamw.lr = 1e-3\n", ""))
    assert errors(project) == [
        f"{project.line('@optimizers.adamw')}: train.optimizers.adamw.lr is REQUIRED and has no "
        "value (stage pretrain)"]


def test_a_missing_setting_of_the_entry_function_names_paper_yaml_and_the_arms(project):
    project.gin(project.body)
    assert errors(project) == [
        "papers/demo/paper.yaml:3: train.pretraining.pretrain.objective is REQUIRED and has no "
        "value (stage pretrain, arm electra)"]


def test_a_binding_repeated_in_a_file_is_shadowed(project):
    project.gin(project.both + "optimizers.adamw.lr = 1.0\nSTEPS = 5\n")
    first = [f"papers/demo/paper.gin:{n}" for n in (11, 7)]
    assert errors(project) == [
        f"{project.line('lr = 1.0')}: optimizers.adamw.lr shadows the same binding at {first[0]}",
        f"{project.line('STEPS = 5')}: macro STEPS shadows the same binding at {first[1]}",
    ]


def test_a_binding_that_stronger_scopes_always_beat_is_dead(project):
    project.gin(project.both + "pretraining.pretrain.objective = @method.MaskedLM()\n")
    (found,) = errors(project)
    assert found.startswith(project.line("pretrain.objective") + ": pretraining.pretrain.objective "
                            "has no effect: bert/pretraining.pretrain.objective")


def test_a_reference_cycle_is_named(project):
    project.gin(project.both + "bert/pretrain/pretraining.pretrain.objective = @method.Nested()\n"
                "method.Nested.inner = @method.Nested()\n")
    found = errors(project)
    assert (f"{project.line('Nested.inner')}: reference goes round: papers.demo.method.Nested -> "
            "papers.demo.method.Nested") in found


def test_an_unknown_entry_function_is_an_error_of_paper_yaml(project):
    project.gin(project.body)
    paper = project.paper("bert")
    paper.stages["finetune"] = "repro.evaluate.finetuning.fine_tune"
    project.write({"papers/demo/paper.yaml":
                   "stages:\n  finetune: repro.evaluate.finetuning.fine_tune\n"})
    with pytest.raises(UserError, match=r"^papers/demo/paper.yaml:2: stages.finetune: unknown "
                       r"configurable 'fine_tune' .*did you mean 'finetune'"):
        resolve(paper, "paper")


def test_wrong_overrides_name_their_place_in_params_yaml(project):
    project.gin(project.both)
    place = "params.yaml: papers.demo.overrides"
    found = errors(project, overrides=[
        "pretraining.pretrain.stepz = 3", "finetuning.finetune.epochs = 'x'",
        "bret/pretraining.pretrain.steps = 3", "unknown.finetune.epochs = 3",
        "method.Nested.inner = None"])
    assert [line.startswith(f"{place}[{i}]: ") for i, line in enumerate(found)] == [True] * 5
    assert errors(project, overrides=["a b", "x.y:\n  z = 1\n  w = 2\n", "include 'a'"]) == [
        f"{place}[0]: syntax error: Couldn't parse statement, expected ':' or '='.",
        f"{place}[1]: must be one binding, got 'x.y:\\n  z = 1\\n  w = 2\\n'",
        f"{place}[2]: must be one binding, got \"include 'a'\""]


def test_a_missing_include_and_a_circle_are_errors(project):
    project.gin(project.both)
    project.gin("include 'papers/demo/papr.gin'\n", "papers/demo/mini.gin", head="")
    assert errors(project, "mini") == [
        "papers/demo/mini.gin:1: cannot read papers/demo/papr.gin: No such file or directory"]
    project.gin("include 'papers/demo/mini.gin'\n", "papers/demo/mini.gin", head="")
    assert errors(project, "mini") == [
        "papers/demo/mini.gin:1: include goes round: papers/demo/mini.gin"]


@pytest.mark.parametrize("name", ["../outside.gin", "/etc/hostname", "papers/../../outside.gin"])
def test_an_include_cannot_leave_the_project(project, name):
    (project.root.parent / "outside.gin").write_text("x = 1\n")
    project.gin(project.both)
    project.gin(f"include '{name}'\n", "papers/demo/mini.gin", head="")
    assert errors(project, "mini") == [
        f"papers/demo/mini.gin:1: include {name!r} lies outside the project"]


def test_a_file_that_binds_must_ask_for_dynamic_registration(project):
    project.gin(project.both, head=project.head.replace(
        "from __gin__ import dynamic_registration\n", "\n"))
    assert errors(project) == [
        f"{project.line('%STEPS')}: missing at the top of the file: "
        "from __gin__ import dynamic_registration"]


def test_a_default_that_breaks_its_annotation_is_an_error_of_the_python_file(project):
    project.gin(project.body)
    text = (project.root / "repro/train/optimizers.py").read_text()
    text = text.replace("lr: float = 0.1", "lr: float = None")
    project.write({"repro/train/optimizers.py": text})
    found = errors(project, arms=("bert",))
    place = project.line("def sgd", "repro/train/optimizers.py")
    assert f"{place}: the default of 'lr' is None, its annotation says float" in found
