"""Verdicts of chapter 03 on constructed evidence: every branch, with its words."""

import pytest

from lab_utils import claims
from lab_utils.quantities import Accuracy, Difference, Estimate


def gap(value: float, half: float = 0.05) -> Difference:
    return Difference(value, value - half, value + half, 100)


@pytest.mark.parametrize(
    ("border", "museum", "verdict", "words"),
    [
        (0.20, gap(0.0), "supported", "middle more than chance"),
        (0.20, None, "supported", "middle more than chance"),
        (0.20, gap(0.3), "tie", "reads the museum"),
        (0.36, gap(0.0), "tie", "not shown"),
        (0.60, gap(0.3), "contradicted", "looks at the frame"),
    ],
)
def test_focus_on_content_needs_little_border_and_no_museum(border, museum, verdict, words):
    share = Estimate(border, border - 0.03, border + 0.03, 50, scale=100, unit=" %", digits=0)
    known = [museum] if museum else []
    found = claims.check("focuses-on-content", border=share, area=0.36, museum=known)
    assert found.verdict == verdict and words in found.sentence


@pytest.mark.parametrize(("added", "verdict"), [(0.62, "supported"), (0.3, "contradicted"), (0.9, "contradicted")])
def test_the_overlap_is_what_pretraining_adds_not_what_the_probe_reaches(added, verdict):
    found = claims.check(
        "task-similarity-64",
        output=Accuracy(64, 100),
        random_weights=Accuracy(10, 100),
        added=gap(added),
        printed=0.64,
    )
    assert found.verdict == verdict and "random weights" in found.sentence and "64 %" in found.sentence


@pytest.mark.parametrize(("added", "verdict"), [(0.2, "supported"), (-0.2, "contradicted"), (0.01, "tie")])
def test_overlap_with_imagenet_is_pretrained_against_random(added, verdict):
    assert claims.check("imagenet-overlap", added=gap(added)).verdict == verdict
