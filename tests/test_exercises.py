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
