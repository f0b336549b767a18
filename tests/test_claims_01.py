"""Claims of chapter 01, each verdict on constructed evidence."""

import pytest

from lab_utils import claims
from lab_utils.quantities import Difference, Estimate


def gap(value: float, half: float = 0.05) -> Difference:
    return Difference(value, value - half, value + half, 500)


@pytest.mark.parametrize(
    "first, second, verdict",
    [(0.5, 0.4, "supported"), (0.5, 0.1, "contradicted"), (0.5, 0.22, "tie"), (0.05, 0.02, "contradicted")],
)
def test_both_first_networks_must_overfit_strongly(first, second, verdict):
    got = claims.check("scratch-overfits", gaps={"1": gap(first), "2": gap(second)}, high=0.2)
    assert got.verdict == verdict and got.chapter == "01"


@pytest.mark.parametrize("value, verdict", [(-0.2, "supported"), (0.2, "contradicted"), (-0.01, "tie")])
def test_regularisation_must_lower_the_gap(value, verdict):
    assert claims.check("regularisation-lowers-gap", change=gap(value)).verdict == verdict


@pytest.mark.parametrize("value, verdict", [(-0.2, "supported"), (0.2, "contradicted"), (0.01, "tie")])
def test_augmented_networks_must_have_the_smallest_gaps(value, verdict):
    got = claims.check("augmentation-low-overfitting", change=gap(value), augmented="12", plain="2")
    assert got.verdict == verdict and "#12" in got.sentence and "#2" in got.sentence


@pytest.mark.parametrize(
    "total, between, verdict, words",
    [
        (-0.3, -0.2, "supported", "penalties are the cause"),
        (-0.3, 0.2, "contradicted", "dropout before BatchNorm is the cause"),
        (-0.3, 0.0, "tie", "stays open"),
        (0.0, -0.2, "tie", "nothing to explain"),
        (0.3, -0.2, "tie", "nothing to explain"),
    ],
)
def test_cause_of_the_failure_of_9_is_what_costs_more(total, between, verdict, words):
    parts = {"dropout": gap(-0.1), "penalties": gap(-0.1 + between)}
    got = claims.check("too-much-regularisation", total=gap(total), between=gap(between), **parts)
    assert got.verdict == verdict and words in got.sentence


@pytest.mark.parametrize("value, verdict", [(0.2, "supported"), (-0.2, "contradicted"), (0.01, "tie")])
def test_ensemble_must_beat_the_best_single_network(value, verdict):
    assert claims.check("ensemble-best-scratch", difference=gap(value), rival="6").verdict == verdict


@pytest.mark.parametrize("value, verdict", [(0.6, "supported"), (0.2, "contradicted"), (0.37, "tie")])
def test_border_share_is_judged_against_an_even_map(value, verdict):
    share = Estimate(value, value - 0.02, value + 0.02, 200)
    assert claims.check("scratch-focus-on-background", share=share, even=0.36).verdict == verdict


@pytest.mark.parametrize(
    "ranks, verdict",
    [
        ({"a/b": 1, "c/d": 5}, "supported"),
        ({"a/b": 1, "c/d": 6}, "contradicted"),
        ({"a/b": 2, "c/d": None}, "supported"),
        ({"a/b": None, "c/d": None}, "not testable"),
    ],
)
def test_confused_pairs_must_be_among_the_first(ranks, verdict):
    assert claims.check("most-confused-classes", ranks=ranks, among=5).verdict == verdict
