"""Claims of chapters 13 and 14, and the arithmetic ones: each decided both ways on constructed data."""

import pandas as pd
import pytest

from lab_utils.claims import engine as claims
from lab_utils.claims import reported_arithmetic
from lab_utils.claims.original_claims import ORIGINAL_CLAIMS
from lab_utils.core import records
from lab_utils.stats.intervals import Accuracy, Difference, Estimate


def reported(name: str) -> pd.DataFrame:
    return pd.read_csv(records.PROJECT / "data" / "reported" / f"{name}.csv")


def difference(value: float, half: float = 0.01) -> Difference:
    return Difference(value, value - half, value + half, 100)


def estimate(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value, value - half, value + half, 100)


def test_every_arithmetic_claim_is_decided_from_the_printed_numbers() -> None:
    found = {one.claim: one for one in reported_arithmetic.verdicts(reported)}
    assert set(found) == {one.id for one in ORIGINAL_CLAIMS if one.arithmetic}
    assert all(one.verdict != "not testable" and one.evidence for one in found.values())


@pytest.mark.parametrize(
    ("id", "verdict", "words"),
    [
        ("report-accuracy-follows", "contradicted", "0.778, printed is 0.79"),
        ("report-macro-follows", "contradicted", "0.753 / 0.792 / 0.761, printed is 0.77 / 0.79 / 0.77"),
        ("report-weighted-follows", "contradicted", "0.796 / 0.778 / 0.781, printed is 0.80 / 0.79 / 0.79"),
        ("diagonal-agrees-with-accuracy", "contradicted", "12,180 of 15,657 images, 0.7779"),
        ("printed-vgg16-parameters", "contradicted", "up to fc1 117,479,232, up to fc2 134,260,544"),
        (
            "overfitting-labels-consistent",
            "contradicted",
            "#2 is called High at a gap of 21 points and #5-6 Medium at 24",
        ),
        ("rows-are-single-networks", "contradicted", "row 5-6"),
        ("slide-17-follows-figure", "contradicted", "ResNet50 0.644 instead of 0.647"),
        ("printed-b0-worse", "tie", "can't be told"),
        ("printed-runs-differ", "tie", "neighbours that differ: none"),
        ("printed-features-beat-head", "contradicted", "own head"),
        ("below-papers-vgg16", "contradicted", "worse by"),
        ("val-carries-over", "supported", "balanced test 79.2 %"),
        ("printed-accuracies-follow-curves", "contradicted", "run 5 0.77 where the curve ends at 0.792"),
        ("printed-9-regularised-too-much", "contradicted", "#9 24 points, #10 10 points"),
        ("printed-cv-scores-hold", "contradicted", "lowest of all 0.80 against 0.65; linear SVM 0.80 against 0.60"),
        ("printed-folds-agree", "contradicted", "XGBoost -16 points; Linear SVM -26 points"),
        ("printed-importances-ignore", "contradicted", "0.07, where an even share of 15 columns is 0.07"),
        ("slide-22-best-follows-figure", "contradicted", "EfficientNetB3 Voting, where XGBoost is the highest bar"),
        ("printed-fine-tuned-features-help", "tie", "EfficientNetB3 a tie (-0.1 points"),
        ("printed-lower-rate-improves", "contradicted", "val ends at 0.645 after 0.776"),
        ("printed-l2-fits-curves", "contradicted", "run 3 starts at 1.65, its L2 alone is 101"),
        ("printed-sample-of-100", "supported", "84 to 123 images a class"),
        ("variable-shape-helps", "tie", "1 are better with variable shape, 2 worse, 4 tie"),
    ],
)
def test_known_errors_of_the_original_are_found(id: str, verdict: str, words: str) -> None:
    found = next(one for one in reported_arithmetic.verdicts(reported) if one.claim == id)
    assert (found.verdict, words in found.sentence) == (verdict, True), found.sentence


def test_the_penalty_of_a_layer_before_training_is_that_of_keras() -> None:
    """Against Keras's own start and `l2`, on a layer small enough to be quick."""
    import keras

    layer = keras.layers.Dense(64, kernel_regularizer=keras.regularizers.l2(0.1))
    layer.build((None, 2048))
    assert float(layer.losses[0]) == pytest.approx(reported_arithmetic.first_layer_penalty(0.1, 64, 2048), rel=0.03)


LOTS = {"seen": Accuracy(780, 1000), "unseen": Accuracy(600, 1000), "classes": 20}
AGREEING = {
    "rescaled-inputs-suffice": {"difference": difference(0.005)},
    "report-accuracy-follows": {"printed": 0.78, "accuracy": Accuracy(778, 1000)},
    "report-macro-follows": {"printed": {"f1": 0.76}, "recomputed": {"f1": 0.761}},
    "diagonal-agrees-with-accuracy": {"printed": 0.78, "diagonal": Accuracy(778, 1000)},
    "overfitting-labels-consistent": {"gaps": {"1": 0.6, "2": 0.1}, "labels": {"1": "High", "2": "Low"}},
    "rows-are-single-networks": {"rows": {"3-4": (0.7, 0.5)}, "members": {"3-4": {"3": (0.9, 0.6), "4": (0.7, 0.5)}}},
    "variable-shape-helps": {"differences": {"a": difference(0.05), "b": difference(0.04), "c": difference(0.001)}},
    "printed-vgg16-parameters": {"printed": 134_260_544, "sizes": reported_arithmetic.vgg16_parameters()},
    "slide-17-follows-figure": {"table": {"a": 0.644}, "figure": {"a": 0.6441}},
    "printed-b0-worse": {"differences": {"one": difference(-0.05), "two": difference(-0.03)}},
    "printed-features-beat-head": {"features": Accuracy(800, 1000), "head": Accuracy(700, 1000)},
    "printed-runs-differ": {"steps": {"2 after 1": difference(0.04)}, "overall": difference(0.04)},
    "printed-accuracies-follow-curves": {"printed": {"1": 0.77}, "curves": {"1": 0.767}},
    "below-papers-vgg16": {"lab": Accuracy(850, 1000), "paper": Accuracy(800, 1000)},
    "val-carries-over": {"val": Accuracy(7800, 10000), "balanced": estimate(0.79)},
    "printed-9-regularised-too-much": {"gaps": {"9": 0.05, "10": 0.10}},
    "printed-sample-of-100": {"smallest": 84, "largest": 123, "wanted": 100, "classes": 29},
    "printed-cv-scores-hold": {"pairs": {"svm": (Accuracy(810, 1000), Accuracy(800, 1000))}},
    "printed-folds-agree": {"gaps": {"svm": difference(-0.005)}},
    "printed-importances-ignore": {"importances": {"museum": 0.004}, "columns": 15},
    "slide-22-best-follows-figure": {"table": {"net": "Voting"}, "figure": {"net": "Voting"}},
    "printed-fine-tuned-features-help": {"differences": {"a": difference(0.1), "b": difference(0.05)}},
    "printed-l2-fits-curves": {"penalties": {"5": 100.8}, "starts": {"5": 98.0}},
    "printed-lower-rate-improves": {"difference": difference(0.05), "before": 0.7, "after": 0.75},
    "smarter-focused": {
        "gains": {"Grad-CAM": estimate(0.1), "HiResCAM, all shrunk": estimate(0.08)},
        "pretrained": estimate(0.7),
        "scratch": estimate(0.6),
        "network": "Lite0",
    },
    "val-predicts-test": {"val": Accuracy(7800, 10000), "balanced": estimate(0.79)},
    "hard-pairs-recur": {"ranks": {"a → b": 3, "b → a": None}, "among": 10},
    "low-precision-is-difficulty": {"name": "Silk", "plain": 0.2, "equal": 0.3, "rank": estimate(2), "classes": 29},
    "unseen-lots-as-good": {**LOTS, "same_mix": difference(0.006)},
    "one-accuracy-for-all-museums": {"accuracies": {"x": Accuracy(7800, 10000), "y": Accuracy(7740, 10000)}},
}
DISAGREEING = {
    "rescaled-inputs-suffice": {"difference": difference(0.2)},
    "smarter-focused": {**AGREEING["smarter-focused"], "gains": {"Grad-CAM": estimate(-0.1)}},
    "val-predicts-test": {"val": Accuracy(60, 100), "balanced": estimate(0.79)},
    "hard-pairs-recur": {"ranks": {"a → b": 30, "b → a": 0}, "among": 10},
    "printed-9-regularised-too-much": {"gaps": {"9": 0.24, "10": 0.10}},
    "printed-sample-of-100": {"smallest": 60, "largest": 123, "wanted": 100, "classes": 29},
    "printed-fine-tuned-features-help": {"differences": {"a": difference(0.1), "b": difference(-0.05)}},
    "printed-l2-fits-curves": {"penalties": {"5": 100.8}, "starts": {"5": 1.65}},
    "printed-folds-agree": {"gaps": {"svm": difference(-0.05)}},
    "printed-cv-scores-hold": {"pairs": {"svm": (Accuracy(810, 1000), Accuracy(600, 1000))}},
    "printed-lower-rate-improves": {"difference": difference(-0.05), "before": 0.75, "after": 0.7},
    "low-precision-is-difficulty": {"name": "Silk", "plain": 0.2, "equal": 0.7, "rank": estimate(20), "classes": 29},
    "unseen-lots-as-good": {**LOTS, "same_mix": difference(0.2)},
    "one-accuracy-for-all-museums": {"accuracies": {"x": Accuracy(780, 1000), "y": Accuracy(560, 1000)}},
    "printed-b0-worse": {"differences": {"one": difference(0.05)}},
    "printed-features-beat-head": {"features": Accuracy(700, 1000), "head": Accuracy(800, 1000)},
    "printed-runs-differ": {"steps": {"2 after 1": difference(-0.04)}, "overall": difference(-0.04)},
    "variable-shape-helps": {"differences": {"a": difference(-0.05), "b": difference(-0.04)}},
    "val-carries-over": {"val": Accuracy(60, 100), "balanced": estimate(0.79)},
}
BETWEEN = {
    "rescaled-inputs-suffice": {"difference": difference(0.01, 0.2)},
    "low-precision-is-difficulty": {**AGREEING["low-precision-is-difficulty"], "rank": estimate(4, 8)},
    "val-predicts-test": {"val": Accuracy(78, 100), "balanced": estimate(0.79)},
    "unseen-lots-as-good": {**LOTS, "same_mix": difference(0.02, 0.1)},
    "one-accuracy-for-all-museums": {"accuracies": {"x": Accuracy(78, 100), "y": Accuracy(76, 100)}},
    "smarter-focused": {
        **AGREEING["smarter-focused"],
        "gains": {"Grad-CAM": estimate(0.1), "HiResCAM, all shrunk": estimate(-0.1)},
    },
    "hard-pairs-recur": {"ranks": {"a → b": 3, "b → a": 40}, "among": 10},
    "below-papers-vgg16": {"lab": Accuracy(800, 1000), "paper": Accuracy(801, 1000)},
    "printed-features-beat-head": {"features": Accuracy(700, 1000), "head": Accuracy(701, 1000)},
}


@pytest.mark.parametrize("id", AGREEING)
def test_a_claim_that_is_true_is_supported(id: str) -> None:
    assert claims.check(id, **AGREEING[id]).verdict == "supported"


@pytest.mark.parametrize("id", DISAGREEING)
def test_a_claim_that_is_false_is_contradicted(id: str) -> None:
    found = claims.check(id, **DISAGREEING[id])
    assert found.verdict == "contradicted"
    assert found.sentence != claims.check(id, **AGREEING[id]).sentence


@pytest.mark.parametrize("id", BETWEEN)
def test_a_difference_within_the_interval_is_a_tie(id: str) -> None:
    assert claims.check(id, **BETWEEN[id]).verdict == "tie"


def test_what_the_data_do_not_hold_is_not_testable() -> None:
    unknown = claims.check("hard-pairs-recur", ranks={"a → b": None}, among=10)
    one_museum = claims.check("one-accuracy-for-all-museums", accuracies={"x": Accuracy(1, 2)})
    assert {unknown.verdict, one_museum.verdict} == {"not testable"}
