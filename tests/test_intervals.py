"""Accuracies, estimates and differences: intervals against scipy and hand calculation."""

import numpy as np
import pytest
from scipy import stats

from lab_utils.stats.intervals import (
    Accuracy,
    Difference,
    Estimate,
    bootstrap_estimate,
    bootstrap_means,
    design_effect,
    paired_difference,
    wilson_interval,
)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (30, 74), (12180, 15657)])
def test_wilson_interval_agrees_with_scipy(successes, n):
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_interval_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match="proportion"):
        wilson_interval(successes, n)


def test_an_accuracy_never_prints_without_interval_and_n():
    assert str(Accuracy(30, 74)) == "40.5 % (30.1 to 51.9, n = 74)"


def test_accuracy_from_labels_counts_agreements():
    assert Accuracy.from_labels(np.array([1, 2, 3, 3]), np.array([1, 2, 0, 3])) == Accuracy(3, 4)
    with pytest.raises(ValueError, match="do not match"):
        Accuracy.from_labels(np.array([1, 2]), np.array([1]))


def test_the_facts_sheets_half_widths_are_reproduced():
    low, high = wilson_interval(round(0.85 * 1450), 1450)
    assert (high - low) / 2 == pytest.approx(0.018, abs=5e-4)
    low, high = wilson_interval(round(0.85 * 15657), 15657)
    assert (high - low) / 2 == pytest.approx(0.0056, abs=1e-4)


def test_newcombe_difference_matches_the_published_example():
    # Newcombe 1998, table II (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339
    difference = Accuracy(56, 70).minus(Accuracy(48, 80))
    assert (difference.low, difference.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert not difference.tie


def test_a_difference_inside_its_interval_is_called_a_tie():
    assert str(Difference(0.01, -0.02, 0.04, 100)).startswith("a tie")
    assert str(Difference(0.031, 0.004, 0.058, 100)) == "better by 3.1 points (0.4 to 5.8)"
    assert str(Difference(-0.031, -0.058, -0.004, 100)) == "worse by 3.1 points (0.4 to 5.8)"


def test_bootstrap_standard_error_matches_the_formula():
    values = np.random.default_rng(1).normal(size=400)
    assert bootstrap_means(values, resamples=4000).std() == pytest.approx(values.std() / 20, rel=0.06)


def test_bootstrap_by_group_widens_the_interval_of_duplicated_images():
    values = np.repeat(np.random.default_rng(2).integers(0, 2, 40), 10)
    groups = np.repeat(np.arange(40), 10)
    by_image, by_group = bootstrap_means(values), bootstrap_means(values, groups)
    assert by_group.std() == pytest.approx(by_image.std() * np.sqrt(10), rel=0.15)


def test_paired_difference_is_zero_for_equal_predictions_and_finds_a_clear_gain():
    truth = np.zeros(200, int)
    worse = np.r_[np.ones(60, int), np.zeros(140, int)]
    assert paired_difference(truth, worse, worse).value == 0
    gain = paired_difference(truth, truth, worse)
    assert gain.value == pytest.approx(0.3)
    assert not gain.tie


def test_estimates_say_whether_they_exclude_a_reference():
    estimate = bootstrap_estimate(np.array([1.0, 2.0, 3.0] * 50), scale=1, unit=" s")
    assert estimate.value == pytest.approx(2)
    assert estimate.excludes(1.5)
    assert not estimate.excludes(2)
    assert str(Estimate(0.5, 0.25, 0.75, 8, scale=100, unit=" %", digits=0)) == "50 % (25 to 75, n = 8)"


def _answers_by_lot(seed: int, lots: int = 60, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Right answers, and the lot of each: a lot has its own difficulty and 1 to 20 images."""
    rng = np.random.default_rng(seed)
    difficulty, sizes = 1 / (1 + np.exp(-rng.normal(0.8, spread, lots))), rng.integers(1, 21, lots)
    member = np.repeat(np.arange(lots), sizes)
    return rng.random(len(member)) < difficulty[member], member


def test_an_accuracys_interval_is_as_wide_as_a_bootstrap_over_lots():
    ratios = []
    for seed in range(20):
        right, lots = _answers_by_lot(seed)
        low, high = Accuracy.from_hits(right, "", lots).interval
        below, above = np.quantile(bootstrap_means(right, lots, seed, 4000), [0.025, 0.975])
        ratios.append((high - low) / (above - below))
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)
    assert max(np.abs(np.array(ratios) - 1)) < 0.12


def test_an_accuracys_interval_covers_the_truth_where_lots_are_drawn():
    truth = np.mean([_answers_by_lot(seed)[0].mean() for seed in range(1000, 1400)])
    covered, as_images = [], []
    for seed in range(400):
        right, lots = _answers_by_lot(seed)
        for kept, groups in ((covered, lots), (as_images, None)):
            low, high = Accuracy.from_hits(right, "", groups).interval
            kept.append(low <= truth <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)
    assert np.mean(as_images) < 0.85  # images of a lot are alike: drawn one by one they promise too much


def test_a_design_effect_is_one_where_lots_tell_nothing_and_the_lots_size_where_they_tell_all():
    singles = np.array([1, 0, 1, 1, 0])
    assert design_effect(singles, np.ones(5)) == pytest.approx(1)
    whole = np.array([20, 0, 20, 20, 0, 20, 0, 20])  # 160 images, but eight answers
    assert design_effect(whole, np.full(8, 20)) == pytest.approx(20 * (159 / 160) * 8 / 7)
    assert design_effect(np.full(6, 5), np.full(6, 10)) == 1  # more even than chance
    assert [design_effect(np.array(hits), np.array([4, 6])) for hits in ([0, 0], [4, 6])] == [1, 1]
    assert design_effect(np.array([3]), np.array([10])) == 1


def test_an_accuracy_comes_back_from_its_record():
    right, lots = _answers_by_lot(0)
    accuracy = Accuracy.from_hits(right, "run 6, test", lots)
    assert Accuracy.from_record(accuracy.to_record()) == accuracy and accuracy.effect > 1 and accuracy.lots == 60
    with pytest.raises(ValueError, match="lots do not match"):
        Accuracy.from_hits(right, "", lots[1:])
