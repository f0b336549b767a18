"""Checks of the exercises at a chapter's end: right or not yet, and never the answer (that is in `solutions`)."""

import os
import sys
from typing import Any

import numpy as np


def check(number: str, answer: Any) -> None:
    """Print `Right.` or `Not yet.`; the solution is never shown.

    The solution is computed from the notebook's own variables, so what a reader changed above counts.

    Args:
        number: of the exercise (`06.2`).
        answer: the reader's; `...` or None is an exercise not begun.

    Raises:
        LabError: there is no such exercise, or a cell above was not run.
        AssertionError: with LAB_EXERCISES=solve (so do the tests run every exercise, and `scripts/solutions.py` prints
            the solutions) a solution, given as the answer, is not right, or is no value that a reader could write.
    """
    solve = os.environ.get("LAB_EXERCISES") == "solve"
    if not solve and (answer is None or answer is ...):
        print("Not yet: put your answer in place of the three dots.")
        return
    from lab_utils import solutions  # a chapter that nobody answers in doesn't depend on it

    solution, notebook = solutions.find(number), sys._getframe(1).f_globals
    truth = solution.value(notebook)
    if solve:
        answer, truth = _writable(truth), solution.value(notebook)
        print(f"Exercise {number}: {answer}")
    right = _same(answer, truth, solution.tolerance, solution.within)
    assert right or not solve, f"{answer!r} is its own answer and not right"
    if not solve:
        print("Right." if right else "Not yet.")


def _same(answer: Any, truth: Any, tolerance: float, within: float = 0) -> bool:
    """Numbers within the tolerance, texts without case and blanks, sets in any order, the rest item by item."""
    if isinstance(truth, str):
        return isinstance(answer, str) and answer.strip().casefold() == truth.strip().casefold()
    if isinstance(truth, (set, frozenset)):
        return isinstance(answer, (set, frozenset, list, tuple)) and set(map(_plain, answer)) == set(map(_plain, truth))
    if isinstance(truth, (list, tuple)):
        same_length = isinstance(answer, (list, tuple, np.ndarray)) and len(answer) == len(truth)
        return same_length and all(
            _same(given, wanted, tolerance, within) for given, wanted in zip(answer, truth, strict=True)
        )
    try:
        given, wanted = np.asarray(answer, dtype=float), np.asarray(truth, dtype=float)
    except (TypeError, ValueError):
        return False
    bounds = {"rtol": 0, "atol": within} if within else {"rtol": tolerance, "atol": 1e-9}
    return given.shape == wanted.shape and bool(np.allclose(given, wanted, **bounds))


def _writable(truth: Any) -> Any:
    """The truth as a reader would write it: texts, numbers to four digits, or collections of these."""
    if isinstance(truth, (set, frozenset, list, tuple, np.ndarray)):
        assert len(truth), "an empty answer is none"
        return [_writable(item) for item in truth]
    if isinstance(truth, (str, bool, np.bool_)):
        return truth
    value = float(truth)
    assert np.isfinite(value), f"{truth!r} can't be written down as an answer"
    return float(f"{value:.4g}")


def _plain(value: Any) -> Any:
    return value.strip().casefold() if isinstance(value, str) else value
