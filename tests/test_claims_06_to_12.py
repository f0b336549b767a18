"""Verdicts of the fine-tuning chapters, decided both ways on constructed evidence."""

import pytest

from lab_utils.claims.engine import check
from lab_utils.stats.intervals import Accuracy, Difference, Estimate

UP, DOWN, TIE = (
    Difference(0.1, 0.05, 0.15, 100),
    Difference(-0.1, -0.15, -0.05, 100),
    Difference(0.01, -0.04, 0.06, 100),
)
SAME = Difference(0.0, -0.02, 0.02, 2000)
RISE, FALL, LEVEL = Estimate(0.1, 0.05, 0.15, 8), Estimate(-0.1, -0.15, -0.05, 8), Estimate(0.0, -0.1, 0.1, 8)
FLAT = Estimate(0.0, -0.005, 0.005, 8)
PARTS = {"right": RISE, "wrong": RISE, "surer_right": FALL, "surer_wrong": FALL}
EPOCHS = {"accurate": 7, "lowest": 3}
WOVEN = {"recalls": {"Silk": "50 %, then 60 %", "Woven": "50 %, then 60 %"}}

CASES = [
    ("freeze-first-blocks", {"difference": UP, "frozen": "3", "other": "5"}, "supported"),
    ("freeze-first-blocks", {"difference": DOWN, "frozen": "3", "other": "5"}, "contradicted"),
    ("freeze-first-blocks", {"difference": TIE, "frozen": "3", "other": "5"}, "tie"),
    ("lower-rate-improves", {"difference": UP, "changed": ["rate", "batch"]}, "supported"),
    ("lower-rate-improves", {"difference": DOWN, "changed": ["rate", "batch"]}, "contradicted"),
    ("lower-rate-improves", {"difference": TIE, "changed": ["rate", "batch"]}, "tie"),
    ("val-loss-not-decreasing", {"slope": FALL}, "contradicted"),
    ("val-loss-not-decreasing", {"slope": RISE}, "supported"),
    ("val-loss-not-decreasing", {"slope": FLAT}, "supported"),
    ("val-loss-not-decreasing", {"slope": LEVEL}, "tie"),
    ("l2-helps-loss", {"loss": FALL, "accuracy": SAME}, "supported"),
    ("l2-helps-loss", {"loss": FALL, "accuracy": TIE}, "tie"),
    ("l2-helps-loss", {"loss": FALL, "accuracy": UP}, "contradicted"),
    ("l2-helps-loss", {"loss": RISE, "accuracy": TIE}, "contradicted"),
    ("l2-helps-loss", {"loss": LEVEL, "accuracy": TIE}, "tie"),
    ("wider-head-worse", {"difference": DOWN, "widths": "8"}, "supported"),
    ("wider-head-worse", {"difference": UP, "widths": "8"}, "contradicted"),
    ("wider-head-worse", {"difference": TIE, "widths": "8"}, "tie"),
    ("run4-too-hard-training", {"counted": UP, "clean": DOWN, "above": 8, "epochs": 8}, "contradicted"),
    ("run4-too-hard-training", {"counted": UP, "clean": UP, "above": 8, "epochs": 8}, "supported"),
    ("run4-too-hard-training", {"counted": UP, "clean": TIE, "above": 8, "epochs": 8}, "tie"),
    ("run4-too-hard-training", {"counted": UP, "clean": UP, "above": 6, "epochs": 8}, "tie"),
    ("run4-too-hard-training", {"counted": UP, "clean": UP, "above": 1, "epochs": 8}, "contradicted"),
    ("run4-too-hard-training", {"counted": DOWN, "clean": DOWN, "above": 6, "epochs": 8}, "contradicted"),
    ("run5-too-hard-at-first", {"counted": UP, "clean": UP, "above": 3, "epochs": 3}, "supported"),
    ("run5-too-hard-at-first", {"counted": UP, "clean": DOWN, "above": 3, "epochs": 3}, "contradicted"),
    ("run5-loss-still-falling", {"slope": FALL}, "supported"),
    ("run5-loss-still-falling", {"slope": RISE}, "contradicted"),
    ("run5-loss-still-falling", {"slope": LEVEL}, "tie"),
    ("run5-could-be-regularised", {"gap": UP}, "supported"),
    ("run5-could-be-regularised", {"gap": DOWN}, "contradicted"),
    ("run5-could-be-regularised", {"gap": TIE}, "tie"),
    ("run5-could-be-regularised", {"gap": SAME}, "contradicted"),
    ("loss-rises-accuracy-rises", {"loss": RISE, "accuracy": RISE}, "supported"),
    ("loss-rises-accuracy-rises", {"loss": FALL, "accuracy": RISE}, "contradicted"),
    ("loss-rises-accuracy-rises", {"loss": LEVEL, "accuracy": RISE}, "tie"),
    ("loss-rises-less-sure", {"total": RISE, "balance": RISE, **PARTS}, "supported"),
    ("loss-rises-less-sure", {"total": RISE, "balance": FALL, **PARTS}, "contradicted"),
    ("loss-rises-less-sure", {"total": RISE, "balance": LEVEL, **PARTS}, "tie"),
    ("loss-rises-less-sure", {"total": Estimate(0.02, -0.1, 0.1, 8), "balance": FALL, **PARTS}, "tie"),
    ("loss-rises-less-sure", {"total": FALL, "balance": FALL, **PARTS}, "not testable"),
    ("accuracy-against-confidence", {**EPOCHS, "accuracy": UP, "before": RISE, "after": RISE}, "supported"),
    ("accuracy-against-confidence", {**EPOCHS, "accuracy": TIE, "before": RISE, "after": RISE}, "tie"),
    ("accuracy-against-confidence", {**EPOCHS, "accuracy": UP, "before": RISE, "after": LEVEL}, "tie"),
    ("accuracy-against-confidence", {**EPOCHS, "accuracy": UP, "before": RISE, "after": FLAT}, "contradicted"),
    ("accuracy-against-confidence", {**EPOCHS, "accuracy": UP, "before": RISE, "after": FALL}, "contradicted"),
    (
        "accuracy-against-confidence",
        {"accurate": 3, "lowest": 3, "accuracy": SAME, "before": FLAT, "after": FLAT},
        "not testable",
    ),
    ("run6-best", {"difference": UP, "other": "run 5"}, "supported"),
    ("run6-best", {"difference": DOWN, "other": "run 5"}, "contradicted"),
    ("run6-best", {"difference": TIE, "other": "run 5"}, "tie"),
    ("steady-improvement", {"overall": UP, "steps": [TIE, UP]}, "supported"),
    ("steady-improvement", {"overall": UP, "steps": [UP, DOWN, UP]}, "contradicted"),
    ("steady-improvement", {"overall": DOWN, "steps": [TIE]}, "contradicted"),
    ("steady-improvement", {"overall": TIE, "steps": [TIE]}, "tie"),
    ("clearer-separability", {"val": UP, "test": UP, "train": UP}, "supported"),
    ("clearer-separability", {"val": DOWN, "test": DOWN, "train": UP}, "contradicted"),
    ("clearer-separability", {"val": TIE, "test": UP, "train": UP}, "tie"),
    ("silk-not-solved", {"gains": {"Silk": UP, "Woven": UP}, **WOVEN}, "contradicted"),
    ("silk-not-solved", {"gains": {"Silk": DOWN, "Woven": SAME}, **WOVEN}, "supported"),
    ("silk-not-solved", {"gains": {"Silk": TIE}, **WOVEN}, "tie"),
    ("silk-not-solved", {"gains": {"Silk": UP, "Woven": SAME}, **WOVEN}, "tie"),
    ("linear-svm-hero", {"before": DOWN, "after": UP}, "supported"),
    ("linear-svm-hero", {"before": DOWN, "after": SAME}, "supported"),
    ("linear-svm-hero", {"before": DOWN, "after": TIE}, "tie"),
    ("linear-svm-hero", {"before": TIE, "after": UP}, "tie"),
    ("linear-svm-hero", {"before": SAME, "after": UP}, "contradicted"),
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


@pytest.mark.parametrize(("change", "word"), [(RISE, "became surer of wrong ones"), (FALL, "less sure of wrong ones")])
def test_how_sure_the_network_is_of_its_errors_is_said_by_the_sign(change, word):
    parts = {**PARTS, "surer_wrong": change}
    assert word in check("loss-rises-less-sure", total=RISE, balance=FALL, **parts).sentence


def test_what_changed_between_the_runs_is_said_as_given():
    sentence = check("lower-rate-improves", difference=UP, changed=["learning rate", "epochs"]).sentence
    assert "learning rate, epochs" in sentence and "head" not in sentence


def test_rises_and_falls_are_counted_apart():
    sentence = check("steady-improvement", overall=UP, steps=[UP, DOWN, UP, TIE]).sentence
    assert "2 clearly rise, 1 clearly fall, 1 are ties" in sentence
