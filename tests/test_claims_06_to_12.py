"""Verdicts of the fine-tuning chapters, decided both ways on constructed evidence."""

import pytest

from lab_utils.claims import check
from lab_utils.quantities import Accuracy, Difference, Estimate

UP, DOWN, TIE = (
    Difference(0.1, 0.05, 0.15, 100),
    Difference(-0.1, -0.15, -0.05, 100),
    Difference(0.01, -0.04, 0.06, 100),
)
RISE, FALL, LEVEL = Estimate(0.1, 0.05, 0.15, 8), Estimate(-0.1, -0.15, -0.05, 8), Estimate(0.0, -0.1, 0.1, 8)

CASES = [
    ("freeze-first-blocks", {"difference": UP, "frozen": "3", "other": "5"}, "supported"),
    ("freeze-first-blocks", {"difference": DOWN, "frozen": "3", "other": "5"}, "contradicted"),
    ("freeze-first-blocks", {"difference": TIE, "frozen": "3", "other": "5"}, "tie"),
    ("lower-rate-improves", {"difference": UP}, "supported"),
    ("lower-rate-improves", {"difference": DOWN}, "contradicted"),
    ("lower-rate-improves", {"difference": TIE}, "tie"),
    ("val-loss-not-decreasing", {"slope": FALL}, "contradicted"),
    ("val-loss-not-decreasing", {"slope": RISE}, "supported"),
    ("val-loss-not-decreasing", {"slope": LEVEL}, "supported"),
    ("l2-helps-loss", {"loss": FALL, "accuracy": TIE}, "supported"),
    ("l2-helps-loss", {"loss": FALL, "accuracy": UP}, "contradicted"),
    ("l2-helps-loss", {"loss": RISE, "accuracy": TIE}, "contradicted"),
    ("l2-helps-loss", {"loss": LEVEL, "accuracy": TIE}, "tie"),
    ("wider-head-worse", {"difference": DOWN, "widths": "8"}, "supported"),
    ("wider-head-worse", {"difference": UP, "widths": "8"}, "contradicted"),
    ("wider-head-worse", {"difference": TIE, "widths": "8"}, "tie"),
    ("run4-too-hard-training", {"counted": UP, "clean": DOWN}, "contradicted"),
    ("run4-too-hard-training", {"counted": UP, "clean": UP}, "supported"),
    ("run4-too-hard-training", {"counted": UP, "clean": TIE}, "tie"),
    ("run4-too-hard-training", {"counted": DOWN, "clean": DOWN}, "contradicted"),
    ("run5-loss-still-falling", {"slope": FALL}, "supported"),
    ("run5-loss-still-falling", {"slope": RISE}, "contradicted"),
    ("run5-loss-still-falling", {"slope": LEVEL}, "tie"),
    ("run5-could-be-regularised", {"gap": UP}, "supported"),
    ("run5-could-be-regularised", {"gap": DOWN}, "contradicted"),
    ("run5-could-be-regularised", {"gap": TIE}, "tie"),
    ("loss-rises-accuracy-rises", {"loss": RISE, "accuracy": RISE}, "supported"),
    ("loss-rises-accuracy-rises", {"loss": FALL, "accuracy": RISE}, "contradicted"),
    ("loss-rises-accuracy-rises", {"loss": LEVEL, "accuracy": RISE}, "tie"),
    ("loss-rises-less-sure", {"total": 1.0, "right": 0.9, "wrong": 0.1, "confidence_wrong": 0.0}, "supported"),
    ("loss-rises-less-sure", {"total": 1.0, "right": -0.2, "wrong": 1.2, "confidence_wrong": 0.1}, "contradicted"),
    ("loss-rises-less-sure", {"total": -1.0, "right": -1.0, "wrong": 0.0, "confidence_wrong": 0.0}, "not testable"),
    ("accuracy-against-confidence", {"before": RISE, "after": FALL, "temperature": 2.0, "changed": 0}, "contradicted"),
    ("accuracy-against-confidence", {"before": FALL, "after": RISE, "temperature": 1.0, "changed": 0}, "tie"),
    ("run6-best", {"difference": UP, "other": "run 5"}, "supported"),
    ("run6-best", {"difference": DOWN, "other": "run 5"}, "contradicted"),
    ("run6-best", {"difference": TIE, "other": "run 5"}, "tie"),
    ("steady-improvement", {"overall": UP, "steps": [TIE, UP]}, "supported"),
    ("steady-improvement", {"overall": DOWN, "steps": [TIE]}, "contradicted"),
    ("steady-improvement", {"overall": TIE, "steps": [TIE]}, "tie"),
    ("clearer-separability", {"val": UP, "test": UP, "train": UP}, "supported"),
    ("clearer-separability", {"val": DOWN, "test": DOWN, "train": UP}, "contradicted"),
    ("clearer-separability", {"val": TIE, "test": UP, "train": UP}, "tie"),
    ("silk-not-solved", {"before": Accuracy(20, 95), "after": Accuracy(80, 95), "name": "Silk"}, "contradicted"),
    ("silk-not-solved", {"before": Accuracy(50, 95), "after": Accuracy(52, 95), "name": "Silk"}, "supported"),
    ("silk-not-solved", {"before": Accuracy(80, 95), "after": Accuracy(20, 95), "name": "Silk"}, "supported"),
    ("linear-svm-hero", {"before": DOWN, "after": UP}, "supported"),
    ("linear-svm-hero", {"before": TIE, "after": UP}, "contradicted"),
    ("linear-svm-hero", {"before": DOWN, "after": DOWN}, "contradicted"),
    ("fine-tuned-features-help", {"difference": UP, "classifier": "SVM"}, "supported"),
    ("fine-tuned-features-help", {"difference": DOWN, "classifier": "SVM"}, "contradicted"),
    ("fine-tuned-features-help", {"difference": TIE, "classifier": "SVM"}, "tie"),
    (
        "final-result-by-features",
        {"difference": DOWN, "route": Accuracy(1, 9), "head": Accuracy(2, 9)},
        "contradicted",
    ),
    ("final-result-by-features", {"difference": UP, "route": Accuracy(1, 9), "head": Accuracy(2, 9)}, "supported"),
    ("final-result-by-features", {"difference": TIE, "route": Accuracy(1, 9), "head": Accuracy(2, 9)}, "tie"),
]


@pytest.mark.parametrize(("id", "evidence", "verdict"), CASES)
def test_the_verdict_follows_the_evidence(id, evidence, verdict):
    given = check(id, **evidence)
    assert given.verdict == verdict
    assert len(given.sentence) > 20
