"""Verdicts of chapter 03 on constructed evidence: every branch, with its words."""

import pytest

from lab_utils.claims import engine as claims
from lab_utils.stats.intervals import Accuracy, Difference, Estimate


def gap(value: float, half: float = 0.05) -> Difference:
    return Difference(value, value - half, value + half, 100)


@pytest.mark.parametrize(
    ("border", "more", "verdict", "words"),
    [
        (0.20, {"museum": 0.0, "lot": 0.0}, "supported", "middle more than an even map"),
        (0.20, {}, "supported", "no museum and no lot"),
        (0.20, {"museum": 0.3, "lot": 0.0}, "tie", "the features tell the museum."),
        (0.20, {"museum": 0.0, "lot": 0.3}, "tie", "the features tell the lot."),
        (0.20, {"museum": 0.3, "lot": 0.3}, "tie", "the museum and the lot."),
        (0.36, {"museum": 0.3}, "tie", "is not shown"),
        (0.36, {"museum": 0.0}, "tie", "is not shown"),
        (0.60, {"museum": 0.3}, "contradicted", "looks at the frame"),
    ],
)
def test_focus_on_content_needs_little_border_and_neither_museum_nor_lot(border, more, verdict, words):
    share = Estimate(border, border - 0.03, border + 0.03, 50, scale=100, unit=" %", digits=0)
    told = {name: gap(value) for name, value in more.items()}
    found = claims.check("focuses-on-content", border=share, area=0.36, more=told)
    assert found.verdict == verdict and words in found.sentence
    assert ("Content is used" in found.sentence) == (verdict == "tie" and border < 0.3)


@pytest.mark.parametrize(
    ("random", "output", "source", "verdict", "words"),
    [
        (39, 66, "sample", "contradicted", "without any task overlaps as well"),
        (39, 66, "mame", "contradicted", "no share of the tasks"),
        (4, 64, "sample", "not testable", "a number of MAMe's images"),
        (4, 66, "mame", "supported", "agrees"),
        (4, 20, "mame", "contradicted", "does not agree"),
    ],
)
def test_an_accuracy_that_random_weights_reach_too_is_no_overlap(random, output, source, verdict, words):
    evidence = {"output": Accuracy(output, 100), "random_weights": Accuracy(random, 100), "floor": Accuracy(3, 100)}
    found = claims.check("task-similarity-64", **evidence, printed=0.64, source=source)
    assert found.verdict == verdict and words in found.sentence and "64 %" in found.sentence


@pytest.mark.parametrize(("added", "verdict"), [(0.2, "supported"), (-0.2, "contradicted"), (0.01, "tie")])
def test_overlap_with_imagenet_is_pretrained_against_random(added, verdict):
    assert claims.check("imagenet-overlap", added=gap(added)).verdict == verdict
