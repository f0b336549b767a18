"""Verdicts of chapter 05 on constructed evidence: every branch, with its words."""

import pytest

from lab_utils import claims
from lab_utils.quantities import Accuracy, Difference, Estimate


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
    ("value", "floor", "verdict"),
    [(-0.1, 0.02, "supported"), (0.1, 0.02, "contradicted"), (0.01, 0.0, "tie"), (-0.1, 0.15, "tie")],
)
def test_an_extractor_is_worse_only_beyond_interval_and_noise_floor(value, floor, verdict):
    assert claims.check("b0-worse", difference=gap(value), floor=share(floor), network="B0").verdict == verdict


@pytest.mark.parametrize(
    ("train", "held", "others", "verdict"),
    [(60, 59, 99, "supported"), (80, 60, 99, "contradicted"), (60, 59, 60, "tie")],
)
def test_underfitting_is_a_low_accuracy_on_train(train, held, others, verdict):
    evidence = {"train": accuracy(train), "held": accuracy(held), "others": accuracy(others)}
    assert claims.check("linear-svm-underfits", **evidence).verdict == verdict


@pytest.mark.parametrize(
    ("value", "verdict", "words"),
    [(0.2, "contradicted", "came with the reduction"), (-0.2, "supported", "not what makes"), (0, "tie", "not shown")],
)
def test_difficulty_is_the_reductions_where_all_columns_do_better(value, verdict, words):
    found = claims.check("difficult-to-separate", difference=gap(value), full=accuracy(70), reduced=accuracy(50))
    assert found.verdict == verdict and words in found.sentence


@pytest.mark.parametrize(
    ("loss", "alone", "verdict", "words"),
    [
        (0.10, 34, "contradicted", "uses them"),
        (0.00, 34, "supported", "does not use it"),
        (0.00, 5, "tie", "nothing in them"),
    ],
)
def test_external_features_are_ignored_only_if_they_say_something_and_shuffling_costs_nothing(
    loss, alone, verdict, words
):
    found = claims.check("external-features-ignored", loss=share(loss), alone=accuracy(alone), guess=accuracy(4.5))
    assert found.verdict == verdict and words in found.sentence


@pytest.mark.parametrize(("value", "verdict"), [(0.01, "supported"), (-0.2, "contradicted"), (0.2, "contradicted")])
def test_outputs_equal_features_only_in_a_tie(value, verdict):
    assert claims.check("dense-classifier-equal", difference=gap(value), where="here").verdict == verdict


@pytest.mark.parametrize(("spread", "verdict"), [(0.2, "supported"), (0.01, "contradicted"), (0.06, "tie")])
def test_extractors_differ_only_beyond_the_seeds_of_one(spread, verdict):
    assert claims.check("extractors-differ", spread=spread, floor=share(0.05, 0.03), networks=3).verdict == verdict


def test_one_extractor_is_no_comparison():
    assert claims.check("extractors-differ", spread=0.0, floor=share(0.05), networks=1).verdict == "not testable"


@pytest.mark.parametrize(("lead", "verdict"), [(0.5, "supported"), (-0.5, "contradicted"), (0.01, "tie")])
def test_features_or_classifier_is_decided_by_the_interval_of_the_lead(lead, verdict):
    evidence = {"features": share(0.5), "classifier": share(0.4), "lead": share(lead), "where": "here"}
    assert claims.check("features-not-classifier", **evidence).verdict == verdict


@pytest.mark.parametrize(
    ("leaky", "held", "verdict", "words"),
    [
        (95, 60, "contradicted", "labels went into the columns"),
        (61, 60, "supported", "No leak"),
        (40, 60, "contradicted", "val is easier"),
    ],
)
def test_cross_validation_before_the_folds_is_held_against_val(leaky, held, verdict, words):
    found = claims.check(
        "cv-scores-hold",
        leaky=accuracy(leaky),
        held=accuracy(held),
        honest=accuracy(58),
        honest_held=accuracy(60),
    )
    assert found.verdict == verdict and words in found.sentence and "-2 points" in found.sentence


@pytest.mark.parametrize(
    ("ordered", "shuffled", "verdict"), [(0.3, 0.02, "contradicted"), (0.09, 0.02, "tie"), (0.03, 0.02, "supported")]
)
def test_folds_in_order_are_harmless_only_if_they_spread_like_shuffled_ones(ordered, shuffled, verdict):
    evidence = {"ordered": gap(ordered), "shuffled": gap(shuffled), "museums": 0.7}
    assert claims.check("unshuffled-folds-harmless", **evidence).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.2, "supported"), (-0.2, "contradicted"), (0.01, "tie")])
def test_content_is_middle_against_border_of_equal_area(value, verdict):
    evidence = {"middle": accuracy(40), "border": accuracy(30), "guess": accuracy(4), "difference": gap(value)}
    assert claims.check("content-not-border", **evidence).verdict == verdict
