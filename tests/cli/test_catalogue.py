"""repro list and repro show, as people read them."""

from click.testing import CliRunner

from repro.cli import main


def call(*arguments: str) -> str:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_list_has_a_row_for_every_paper(suite) -> None:
    printed = call("list")
    for slug in ("electra", "tiny_lm"):
        assert f"│ {slug}" in printed
    assert "ELECTRA: Pre-training Text Encoders" in printed and "TODO" not in printed


def test_list_says_what_a_profile_was_not_asked(suite) -> None:
    printed = call("list", "--profile", "paper")
    assert printed.count("not run") == len(list(suite.glob("papers/*/paper.yaml")))


def test_show_has_claims_with_both_numbers_arms_data_and_commands(suite) -> None:
    printed = call("show", "electra")
    assert "75.1 → 79.9" in printed and "difference" in printed
    assert "[MASK]" in printed, "what a claim has in brackets is no markup"
    assert "generator_full" in printed and "CC BY-SA" in printed
    assert printed.splitlines()[-3:] == ["repro data fetch electra",
                                         "dvc repro papers/electra/dvc.yaml",
                                         "repro verdict electra"]


def test_show_lists_what_a_draft_still_needs_with_file_and_line(suite) -> None:
    call("new", "mine", "--template", "text")
    lines = (suite / "papers/mine/paper.yaml").read_text("utf-8").splitlines()
    number = 1 + next(i for i, line in enumerate(lines) if line.startswith("venue: TODO"))
    assert f"  papers/mine/paper.yaml:{number}: venue: TODO\n" in call("show", "mine")
    assert "TODO" in call("list")
