"""Checks of the exercises at a chapter's end: right or not yet, a hint, and never the answer."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np


def check(
    answer: Any, truth: Any | Callable[[], Any], hint: str = "", tolerance: float = 0.01, within: float = 0
) -> bool:
    """Compare an answer with the truth and print `Right.` or `Not yet.`; the truth is never shown.

    Args:
        answer: the reader's; `...` or None is an exercise not begun.
        truth: the right answer, or a function without arguments that computes it (called only for a given answer).
        hint: printed while the answer is missing or wrong.
        tolerance: relative to the truth, for numbers; not used where `within` is given.
        within: distance that counts as right as well, in the answer's unit.

    Returns:
        Whether the answer is right.

    Raises:
        AssertionError: with LAB_EXERCISES=solve (so do the tests run every exercise) the truth, given as the answer,
            is not right, or is no value that a reader could write.
    """
    if os.environ.get("LAB_EXERCISES") == "solve":
        answer = _writable(truth() if callable(truth) else truth)
        assert _same(answer, truth() if callable(truth) else truth, tolerance, within), (
            f"{answer!r} is its own answer and not right"
        )
        return True
    if answer is None or answer is ...:
        print(f"Not yet: put your answer in place of the three dots. {hint}".strip())
        return False
    right = _same(answer, truth() if callable(truth) else truth, tolerance, within)
    print("Right." if right else f"Not yet. {hint}".strip())
    return right


def compared(first: float, second: float) -> str:
    """How the first number stands to the second: `higher`, `lower` or `equal`."""
    return "equal" if first == second else "higher" if first > second else "lower"


def _same(answer: Any, truth: Any, tolerance: float, within: float = 0) -> bool:
    """Numbers within the tolerance, texts without case and blanks, sets in any order, the rest item by item."""
    if isinstance(truth, str):
        return isinstance(answer, str) and answer.strip().casefold() == truth.strip().casefold()
    if isinstance(truth, (set, frozenset)):
        return isinstance(answer, (set, frozenset, list, tuple)) and set(map(_plain, answer)) == set(map(_plain, truth))
    if isinstance(truth, (list, tuple)):
        same_length = isinstance(answer, (list, tuple, np.ndarray)) and len(answer) == len(truth)
        return same_length and all(
            _same(one, other, tolerance, within) for one, other in zip(answer, truth, strict=True)
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
        return [_writable(one) for one in truth]
    if isinstance(truth, (str, bool, np.bool_)):
        return truth
    value = float(truth)
    assert np.isfinite(value), f"{truth!r} can't be written down as an answer"
    return float(f"{value:.4g}")


def _plain(value: Any) -> Any:
    return value.strip().casefold() if isinstance(value, str) else value
