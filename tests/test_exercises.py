"""An exercise's check says right or not yet and never gives the answer away."""

import numpy as np
import pytest

from lab_utils import exercises


@pytest.mark.parametrize("answer", [None, ...])
def test_an_exercise_not_begun_is_not_yet_and_computes_nothing(answer, capsys):
    assert not exercises.check(answer, lambda: pytest.fail("computed"), "Count them.")
    assert capsys.readouterr().out == "Not yet: put your answer in place of the three dots. Count them.\n"


@pytest.mark.parametrize(
    "answer, truth",
    [
        (0.5, 0.502),
        ("  gold ", "Gold"),
        (["Iron", "gold"], {"Gold", "iron"}),
        ([1, 2.001], (1, 2)),
        (np.array([1.0, 2.0]), np.array([1.0, 2.0])),
        (True, True),
    ],
)
def test_right_answers(answer, truth, capsys):
    assert exercises.check(answer, lambda: truth) and capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(
    "answer, truth",
    [
        (0.5, 0.6),
        ("gold", "Iron"),
        (3, "Iron"),
        ("three", 3),
        ([1, 2, 3], [1, 2]),
        ({"a": 1}, 4217),
        (["x"], {"y"}),
        (np.ones(3), np.ones(4)),
    ],
)
def test_wrong_answers_of_any_type_are_not_yet_and_the_truth_is_not_shown(answer, truth, capsys):
    assert not exercises.check(answer, truth, "Look again.")
    text = capsys.readouterr().out
    assert text == "Not yet. Look again.\n"


@pytest.mark.parametrize("truth", [1234567, 0.123456, "Gold", {"Iron", "Gold"}, (1, 2.00001), np.float32(2.5), True])
def test_solving_gives_the_truth_as_a_reader_would_write_it(truth, monkeypatch):
    monkeypatch.setenv("LAB_EXERCISES", "solve")
    assert exercises.check(..., lambda: truth)


@pytest.mark.parametrize("truth", [np.nan, set(), None, object()])
def test_a_truth_that_nobody_can_write_fails_the_tests(truth, monkeypatch):
    monkeypatch.setenv("LAB_EXERCISES", "solve")
    with pytest.raises((AssertionError, TypeError)):
        exercises.check(..., lambda: truth)


def test_comparing_knows_a_tie():
    assert [exercises.compared(1, two) for two in (0.5, 1, 2)] == ["higher", "equal", "lower"]


def test_an_answer_within_so_many_points_counts():
    assert exercises.check(66, 70.4, within=5) and not exercises.check(65, 70.4, within=5)
