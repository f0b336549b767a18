"""Verdicts of chapter 05 on constructed evidence: every branch, with its words."""

import pytest

from lab_utils.analysis.seed_spread import SeedSpread
from lab_utils.analysis.variance import Decomposition
from lab_utils.claims import engine as claims
from lab_utils.stats.intervals import Accuracy, Difference, Estimate


def gap(value: float, half: float = 0.05) -> Difference:
    return Difference(value, value - half, value + half, 100)


def share(value: float, half: float = 0.05) -> Estimate:
    return Estimate(value, value - half, value + half, 100, scale=100, unit=" points", digits=1)


def accuracy(percent: float) -> Accuracy:
    return Accuracy(round(10 * percent), 1000)


@pytest.mark.parametrize(("value", "verdict"), [(0.1, "supported"), (-0.1, "contradicted"), (0.01, "tie")])
def test_voting_must_beat_the_best_single_classifier(value, verdict):
    found = claims.check("voting-best", difference=gap(value), single="Random forest")
    assert found.verdict == verdict and "Random forest" in found.sentence


@pytest.mark.parametrize(
    ("value", "deviation", "verdict"),
    [(-0.1, 0.02, "supported"), (0.1, 0.02, "contradicted"), (0.01, 0.0, "tie"), (-0.1, 0.05, "tie")],
)
def test_an_extractor_is_worse_only_beyond_interval_and_noise_floor(value, deviation, verdict):
    floor = SeedSpread(deviation, 0, 2 * deviation, 3)
    assert claims.check("b0-worse", difference=gap(value), others=3, floor=floor).verdict == verdict


@pytest.mark.parametrize(
    ("train", "held", "behind", "verdict", "words"),
    [
        (60, 55, gap(-0.39), "supported", "which others fit"),  # the textbook's case
        (95, 65, gap(-0.05, 0.02), "contradicted", "comes with new images"),
        (60, 55, gap(0.0), "contradicted", "before the classifier"),
        (80, 60, gap(-0.19), "tie", "Neither part"),
    ],
)
def test_underfitting_is_an_error_that_is_there_on_train_already(train, held, behind, verdict, words):
    evidence = {"train": accuracy(train), "held": accuracy(held), "behind": behind, "best": "Random forest"}
    found = claims.check("linear-svm-underfits", **evidence)
    assert found.verdict == verdict and words in found.sentence


@pytest.mark.parametrize(
    ("value", "verdict", "words"),
    [(0.2, "contradicted", "came with the reduction"), (-0.2, "supported", "not what makes"), (0, "tie", "not shown")],
)
def test_difficulty_is_the_reductions_where_all_columns_do_better(value, verdict, words):
    found = claims.check("difficult-to-separate", difference=gap(value), full=accuracy(70), reduced=accuracy(50))
    assert found.verdict == verdict and words in found.sentence


@pytest.mark.parametrize(
    ("loss", "removed", "tells", "verdict", "words"),
    [
        (share(0.10), gap(0.0, 0.02), gap(0.3), "contradicted", "use them"),
        (share(0.0, 0.02), gap(0.1), gap(0.3), "contradicted", "use them"),
        (share(0.0, 0.0), gap(0.0, 0.0), gap(0.3), "supported", "less than 5 points"),  # a loss of exactly nothing
        (share(0.0, 0.02), gap(0.0, 0.02), gap(0.0), "tie", "not shown to hold anything"),
        (share(0.04, 0.07), gap(0.0, 0.02), gap(0.3), "tie", "neither be shown nor ruled out"),
    ],
)
def test_external_features_are_ignored_only_if_they_say_something_and_cost_next_to_nothing(
    loss, removed, tells, verdict, words
):
    evidence = {"loss": loss, "removed": removed, "tells": tells, "alone": accuracy(34), "classifiers": ["A", "B"]}
    found = claims.check("external-features-ignored", **evidence)
    assert found.verdict == verdict and words in found.sentence
    assert "Mean of A, B" in found.sentence and str(loss) in found.sentence and str(removed) in found.sentence


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (gap(0.01, 0.03), "supported"),
        (gap(-0.2), "contradicted"),
        (gap(0.2), "contradicted"),
        (gap(-0.1, 0.15), "tie"),
    ],
)
def test_outputs_equal_features_only_if_the_whole_interval_is_small(difference, verdict):
    assert claims.check("dense-classifier-equal", difference=difference, where="here").verdict == verdict


@pytest.mark.parametrize(("spread", "verdict"), [(0.2, "supported"), (0.01, "contradicted"), (0.06, "tie")])
def test_extractors_differ_only_beyond_the_seeds_of_one(spread, verdict):
    floor = SeedSpread(0.05, 0.02, 0.08, 3)
    assert claims.check("extractors-differ", spread=spread, floor=floor, networks=3).verdict == verdict


def test_one_extractor_is_no_comparison():
    floor = SeedSpread(0.05, 0.02, 0.08, 3)
    assert claims.check("extractors-differ", spread=0.0, floor=floor, networks=1).verdict == "not testable"


@pytest.mark.parametrize(
    ("eight", "full", "verdict"),
    [
        (0.5, 0.5, "supported"),
        (-0.5, -0.5, "contradicted"),
        (-0.5, 0.5, "tie"),
        (0.5, 0.01, "tie"),
        (-0.3, 0.0, "contradicted"),
    ],
)
def test_features_must_lead_on_both_kinds_of_columns_and_the_reduction_stands_apart(eight, full, verdict):
    def split(lead: float, reduction: Estimate | None = None) -> Decomposition:
        return Decomposition(share(0.5), share(0.4), reduction, share(0.1), share(lead), share(0.1))

    parts = {"eight": split(eight), "full": split(full), "both": split(0.9, share(0.88))}
    found = claims.check("features-not-classifier", where="On val", **parts)
    assert found.verdict == verdict and "the reduction carries 88.0" in found.sentence


@pytest.mark.parametrize(
    ("leaky", "leak", "verdict", "words"),
    [
        (95, gap(0.3), "contradicted", "went into the columns"),
        (60, gap(0.0), "supported", "agree to within five points"),
        (40, gap(0.0), "contradicted", "not shown to be leakage"),
        (63, gap(0.05), "tie", "too wide"),
    ],
)
def test_cross_validation_before_the_folds_is_held_against_val(leaky, leak, verdict, words):
    evidence = {"leaky": accuracy(leaky), "held": accuracy(60), "honest": accuracy(58), "leak": leak}
    found = claims.check("cv-scores-hold", **evidence)
    assert found.verdict == verdict and words in found.sentence


@pytest.mark.parametrize(
    ("ordered", "shuffled", "half", "verdict"),
    [(0.3, 0.02, 0.05, "contradicted"), (0.038, 0.015, 0.075, "tie"), (0.02, 0.02, 0.02, "supported")],
)
def test_folds_in_order_are_harmless_only_where_harm_is_ruled_out(ordered, shuffled, half, verdict):
    evidence = {"ordered": gap(ordered, half), "shuffled": gap(shuffled, half), "museums": 0.7}
    assert claims.check("unshuffled-folds-harmless", **evidence).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.2, "supported"), (-0.2, "contradicted"), (0.01, "tie")])
@pytest.mark.parametrize(("tells", "words"), [(0.2, "tells more than nothing"), (0.0, "not shown to tell anything")])
def test_content_is_middle_against_border_of_equal_area(value, verdict, tells, words):
    evidence = {"middle": accuracy(40), "border": accuracy(30), "tells": gap(tells), "difference": gap(value)}
    found = claims.check("content-not-border", **evidence)
    assert found.verdict == verdict and (words in found.sentence or verdict == "contradicted")
