"""Claims of chapter 01, each verdict on constructed evidence."""

import pytest

from lab_utils.claims import engine as claims
from lab_utils.stats.intervals import Difference, Estimate


def gap(value: float, half: float = 0.05) -> Difference:
    return Difference(value, value - half, value + half, 500)


@pytest.mark.parametrize(
    "first, second, verdict",
    [(0.5, 0.4, "supported"), (0.5, 0.1, "contradicted"), (0.5, 0.22, "tie"), (0.05, 0.02, "contradicted")],
)
def test_both_first_networks_must_overfit_strongly(first, second, verdict):
    got = claims.check("scratch-overfits", gaps={"1": gap(first), "2": gap(second)}, high=0.2)
    assert got.verdict == verdict and got.chapter == "01"


BOTH = [
    ((-0.2, -0.2), "supported"),
    ((-0.2, 0.2), "contradicted"),
    ((0.2, -0.2), "contradicted"),
    ((-0.2, -0.01), "tie"),
]


@pytest.mark.parametrize("values, verdict", BOTH)
def test_regularisation_must_lower_the_gap_of_both_networks(values, verdict):
    changes = dict(zip(("8", "10"), map(gap, values), strict=True))
    assert claims.check("regularisation-lowers-gap", changes=changes).verdict == verdict


@pytest.mark.parametrize("values, verdict", BOTH)
def test_both_augmented_networks_must_have_smaller_gaps_than_the_others(values, verdict):
    changes = dict(zip(("11", "12"), map(gap, values), strict=True))
    got = claims.check("augmentation-low-overfitting", changes=changes, plain=["2", "6"])
    assert got.verdict == verdict and "#12" in got.sentence and "#2, #6" in got.sentence


@pytest.mark.parametrize("changes, plain", [({}, ["2"]), ({"12": gap(-0.2)}, [])])
def test_networks_that_learnt_nothing_decide_nothing_on_augmentation(changes, plain):
    assert claims.check("augmentation-low-overfitting", changes=changes, plain=plain).verdict == "not testable"


@pytest.mark.parametrize(
    "total, dropout, penalties, order, verdict, words",
    [
        (-0.3, -0.1, -0.3, 0.0, "supported", "penalties are the cause"),
        (-0.3, -0.3, -0.1, -0.2, "contradicted", "place before BatchNorm is part of it"),
        (-0.3, -0.3, -0.1, 0.0, "contradicted", "makes no difference"),
        (-0.3, -0.3, -0.1, 0.2, "contradicted", "place is not the reason"),
        (-0.3, -0.1, -0.1, 0.0, "tie", "stays open"),
        (-0.3, 0.2, 0.0, 0.0, "tie", "stays open"),
        (-0.3, 0.0, 0.2, 0.0, "tie", "stays open"),
        (0.0, -0.1, -0.3, 0.0, "tie", "nothing to explain"),
        (0.3, -0.1, -0.3, 0.0, "tie", "nothing to explain"),
    ],
)
def test_cause_of_the_failure_of_9_is_what_costs_more_and_costs_at_all(
    total, dropout, penalties, order, verdict, words
):
    parts = {"dropout": gap(dropout), "penalties": gap(penalties), "order": gap(order)}
    got = claims.check("too-much-regularisation", total=gap(total), between=gap(penalties - dropout), **parts)
    assert got.verdict == verdict and words in got.sentence


@pytest.mark.parametrize("value, verdict", [(0.2, "supported"), (-0.2, "contradicted"), (0.01, "tie")])
def test_ensemble_must_beat_the_best_single_network(value, verdict):
    assert claims.check("ensemble-best-scratch", difference=gap(value), rival="6").verdict == verdict


@pytest.mark.parametrize("value, verdict", [(0.6, "supported"), (0.2, "contradicted"), (0.37, "tie")])
def test_border_share_is_judged_against_an_even_map(value, verdict):
    share = Estimate(value, value - 0.02, value + 0.02, 200)
    assert claims.check("scratch-focus-on-background", share=share, even=0.36).verdict == verdict


def rank(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 40, digits=0)


@pytest.mark.parametrize(
    "ranks, verdict",
    [
        ({"a/b": rank(1, 1, 3), "c/d": rank(4, 2, 5)}, "supported"),
        ({"a/b": rank(1, 1, 3), "c/d": rank(12, 6, 30)}, "contradicted"),
        ({"a/b": rank(1, 1, 3), "c/d": rank(5, 2, 9)}, "tie"),
        ({"a/b": rank(1, 1, 3), "c/d": 0}, "contradicted"),
        ({"a/b": rank(2, 1, 4), "c/d": None}, "supported"),
        ({"a/b": None, "c/d": None}, "not testable"),
    ],
)
def test_confused_pairs_must_be_among_the_first_beyond_the_interval(ranks, verdict):
    assert claims.check("most-confused-classes", ranks=ranks, among=5).verdict == verdict
