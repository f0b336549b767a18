"""An exercise's check says right or not yet and never gives the answer away."""

import numpy as np
import pytest

from lab_utils import exercises, solutions
from lab_utils.core.errors import LabError
from lab_utils.solutions import Solution


@pytest.fixture
def solved_by(monkeypatch):
    """Let a function be the solution of exercise 06.1."""

    def keep(function, **options):
        monkeypatch.setitem(solutions.SOLUTIONS, "06.1", Solution("06.1", function, **options))

    return keep


@pytest.mark.parametrize("answer", [None, ...])
def test_an_exercise_not_begun_is_not_yet_and_computes_nothing(answer, solved_by, capsys):
    solved_by(lambda: pytest.fail("computed"))
    exercises.check("06.1", answer)
    assert capsys.readouterr().out == "Not yet: put your answer in place of the three dots.\n"


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
def test_right_answers(answer, truth, solved_by, capsys):
    solved_by(lambda: truth)
    exercises.check("06.1", answer)
    assert capsys.readouterr().out == "Right.\n"


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
def test_wrong_answers_of_any_type_are_not_yet_and_the_truth_is_not_shown(answer, truth, solved_by, capsys):
    solved_by(lambda: truth)
    exercises.check("06.1", answer)
    assert capsys.readouterr().out == "Not yet.\n"


def test_an_answer_within_so_many_points_counts(solved_by, capsys):
    solved_by(lambda: 70.4, within=5)
    for answer in (66, 65):
        exercises.check("06.1", answer)
    assert capsys.readouterr().out == "Right.\nNot yet.\n"


def test_the_solution_is_computed_from_the_variables_of_the_notebook_that_asks(solved_by, capsys):
    solved_by(lambda width, height: width * height)
    notebook = {"exercises": exercises, "width": 3, "height": 4}
    exec('exercises.check("06.1", 12)', notebook)
    notebook["height"] = 5
    exec('exercises.check("06.1", 12)', notebook)
    assert capsys.readouterr().out == "Right.\nNot yet.\n"
    del notebook["width"]
    with pytest.raises(LabError, match=r"Exercise 06\.1 needs 'width' of a cell above: run the cells above first\."):
        exec('exercises.check("06.1", 12)', notebook)


def test_an_exercise_that_does_not_exist_is_a_sentence():
    with pytest.raises(LabError, match=r"There is no exercise '6\.1'; there are 00\.1, "):
        exercises.check("6.1", 12)


@pytest.mark.parametrize("truth", [1234567, 0.123456, "Gold", {"Iron", "Gold"}, (1, 2.00001), np.float32(2.5), True])
def test_solving_gives_the_truth_as_a_reader_would_write_it(truth, solved_by, monkeypatch, capsys):
    solved_by(lambda: truth)
    monkeypatch.setenv("LAB_EXERCISES", "solve")
    exercises.check("06.1", ...)
    assert capsys.readouterr().out.startswith("Exercise 06.1: ")


@pytest.mark.parametrize("truth", [np.nan, set(), None, object()])
def test_a_truth_that_nobody_can_write_fails_the_tests(truth, solved_by, monkeypatch):
    solved_by(lambda: truth)
    monkeypatch.setenv("LAB_EXERCISES", "solve")
    with pytest.raises((AssertionError, TypeError)):
        exercises.check("06.1", ...)


def test_comparing_knows_a_tie():
    assert [solutions.compared(1, other) for other in (0.5, 1, 2)] == ["higher", "equal", "lower"]
