import io

import pytest

from repro.pipeline.progress import (
    Display,
    Estimate,
    Lines,
    Row,
    Table,
    View,
    choose,
    duration,
    time_left,
)


def view(suite, **changes):
    pretrain, waiting = suite.specs("pretrain")
    row = Row(pretrain.label, "running", 40, 100, 2.5, 12_345.6, 90.0)
    facts = {"rows": [row], "active": [pretrain], "counts": {"done": 1}, "waiting": [waiting],
             "total": 3, "workers": 2}
    return View(**(facts | changes))


def test_a_line_tells_step_loss_speed_and_time_left(suite):
    said = io.StringIO()
    lines = Lines(said, every_s=0.0)
    lines.begin(view(suite))
    lines.update(view(suite))
    first, second = said.getvalue().splitlines()
    assert first == "3 runs: 1 done, 2 to do, 2 side by side"
    # 90 s of the active one and the 2 minutes' budget of the other, on two workers.
    assert second == ("[1/3] toy/pretrain@mini-plain seed0 40/100 loss 2.500 12,346 tokens/s "
                      "2 min left; about 2 min left")


def test_lines_come_at_intervals_only(suite):
    said = io.StringIO()
    lines = Lines(said, every_s=60.0)
    lines.begin(view(suite))
    for _ in range(100):
        lines.update(view(suite))
    assert len(said.getvalue().splitlines()) == 1


def test_nothing_to_do_says_nothing(suite):
    said = io.StringIO()
    Lines(said).begin(view(suite, rows=[], active=[], waiting=[], total=1))
    assert said.getvalue() == ""


def test_what_finished_runs_took_replaces_the_budget(suite):
    estimate = Estimate()
    first, second = suite.specs("pretrain")
    assert estimate.seconds(second) == 120
    estimate.learn(first, 30.0)
    assert estimate.seconds(second) == 30
    # Other stages are believed to keep the same ratio to their budget.
    assert estimate.seconds(suite.specs("eval")[0]) == 60 * 30 / 120


def test_time_left_follows_from_the_speed():
    assert time_left({"step": 40, "total": 100, "steps_per_s": 2.0}) == 30
    assert time_left({"step": 40, "total": 100}) is None


def test_the_table_shows_each_active_run_and_one_bar(suite):
    said = io.StringIO()
    table = Table(said)
    table.console.width = 120
    table.console.print(table._picture(view(suite)))
    text = said.getvalue()
    assert "toy/pretrain@mini-plain seed0" in text
    for part in ("40/100", "2.500", "12,346", "2 min", "1/3 runs", "about 2 min left"):
        assert part in text


def test_only_quiet_is_quiet_and_only_a_terminal_gets_a_table():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert type(choose("quiet", Terminal())) is Display
    assert type(choose("info", Terminal())) is Table
    assert type(choose("info", io.StringIO())) is Lines


def test_a_terminal_that_went_away_stops_nothing():
    gone = io.StringIO()
    gone.close()
    Lines(gone).say("detached")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.44, "0.4 s"), (35.2, "35 s"), (250, "4 min"), (7500, "2 h 05 min")],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
