"""What ratios are made of."""

import common


def test_a_ratio_is_taken_within_a_repetition():
    ours, theirs = [{"x": 2.0}, {"x": 30.0}, {"x": 4.0}], [{"x": 1.0}, {"x": 10.0}, {"x": 4.0}]
    found = common.compared(ours, theirs, "x")
    assert found == {"ours": 4.0, "peer": 4.0, "ratio": 2.0, "lowest": 1.0, "highest": 3.0}


def test_repetitions_take_turns_forth_and_back():
    asked = []
    found = common.in_turn("ab", 3, lambda name: asked.append(name) or {"n": len(asked)})
    assert asked == ["a", "b", "b", "a", "a", "b"]
    assert [one["n"] for one in found["b"]] == [2, 3, 6]


def test_children_run_without_the_pins_of_ours_unless_they_are_asked_for(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert "ATEN_CPU_CAPABILITY" not in common.environment(2)
    pinned = common.environment(1, "portable")
    assert pinned["ATEN_CPU_CAPABILITY"] == "avx2" and pinned["OMP_NUM_THREADS"] == "1"
