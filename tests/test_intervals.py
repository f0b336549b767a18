"""Accuracies, estimates and differences: intervals against scipy and hand calculation."""

import numpy as np
import pytest
from scipy import stats

from lab_utils.stats.intervals import (
    Accuracy,
    Difference,
    Estimate,
    bootstrap_means,
    design_effect,
    difference_of_gains,
    effective_number,
    jackknife,
    lot_likeness,
    mean_estimate,
    paired_difference,
    quantile,
    sums_by_lot,
    variance_of_mean,
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


def test_accuracies_that_say_they_are_of_one_split_are_not_compared_as_if_images_differed():
    with pytest.raises(ValueError, match="same images: use paired_difference"):
        Accuracy(80, 100, "run 1, val").minus(Accuracy(70, 100, "run 2, val"))
    assert Accuracy(80, 100, "run 1, train").minus(Accuracy(70, 100, "run 1, val")).value == pytest.approx(0.1)


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
    estimate = mean_estimate(np.array([1.0, 2.0, 3.0] * 50), unit=" s")
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
        few = quantile(Accuracy.from_hits(right, "", lots).effective) / quantile(0)  # 60 lots leave their spread unsure
        ratios.append((high - low) / (above - below) / few)
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
    # where nothing varies, or there is one lot, a lot counts once
    assert [design_effect(np.array(hits), np.array([5, 5])) for hits in ([0, 0], [5, 5])] == [5, 5]
    assert design_effect(np.array([3]), np.array([10])) == 10


def test_an_accuracy_comes_back_from_its_record():
    right, lots = _answers_by_lot(0)
    accuracy = Accuracy.from_hits(right, "run 6, test", lots)
    assert Accuracy.from_record(accuracy.to_record()) == accuracy and accuracy.effect > 1 and accuracy.lots == 60
    with pytest.raises(ValueError, match="lots do not match"):
        Accuracy.from_hits(right, "", lots[1:])


# ---- differences on the same images ----------------------------------------------------------------------------------
def test_a_paired_difference_is_bonett_and_prices_interval_by_hand() -> None:
    """60 of 200 gained, 20 lost: p̃ = 61/202 and 21/202, their difference ± 1.96 √((p̃₁ + p̃₂ − (p̃₁ − p̃₂)²) / 202)."""
    gain = difference_of_gains(np.repeat([1.0, -1.0, 0.0], [60, 20, 120]))
    first, second = 61 / 202, 21 / 202
    half = 1.959964 * np.sqrt((first + second - (first - second) ** 2) / 202)
    assert gain.value == pytest.approx(0.2)
    assert (gain.low, gain.high) == pytest.approx((first - second - half, first - second + half), abs=1e-6)


def test_four_images_of_two_hundred_are_a_tie_and_eight_are_none() -> None:
    """An exact test gives p = 0.125 and 0.008; a bootstrap would call both clear."""
    few, more = (difference_of_gains(np.repeat([1.0, 0.0], [n, 200 - n])) for n in (4, 8))
    assert few.tie and not more.tie
    assert np.quantile(bootstrap_means(np.repeat([1.0, 0.0], [4, 196])), 0.025) > 0


def test_things_that_answer_alike_are_a_tie_with_a_width_and_lots_count_once() -> None:
    none = difference_of_gains(np.zeros(200))
    by_lot = difference_of_gains(np.zeros(200), "", np.repeat(np.arange(20), 10))
    assert none.value == 0 and -0.02 < none.low < 0 < none.high < 0.02
    assert by_lot.high > 8 * none.high


def test_a_difference_picked_among_many_is_widened() -> None:
    rng = np.random.default_rng(0)
    gain = rng.choice([1.0, 0.0, -1.0], 300, p=[0.2, 0.7, 0.1])
    one, ten = (difference_of_gains(gain, comparisons=n) for n in (1, 10))
    assert (ten.high - ten.low) / (one.high - one.low) == pytest.approx(stats.norm.ppf(1 - 0.0025) / 1.959964, rel=1e-6)
    swapped = one.reversed()
    assert (swapped.value, swapped.low, swapped.high) == (-one.value, -one.high, -one.low)


# ---- means -----------------------------------------------------------------------------------------------------------
def test_a_mean_has_students_interval_and_stays_within_what_it_can_be() -> None:
    values = np.random.default_rng(3).normal(size=12)
    mean, known = mean_estimate(values), stats.ttest_1samp(values, 0).confidence_interval()
    assert (mean.low, mean.high) == pytest.approx((known.low, known.high))
    assert mean_estimate(np.array([1.0, 1.0, 0.7]), within=(0, 1)).high == 1


def test_a_mean_of_one_lot_has_no_interval_and_says_none() -> None:
    one = mean_estimate(np.array([0.5, 0.7]), "purity", np.array(["a", "a"]), digits=1)
    assert not one.has_interval and not one.excludes(0.0)
    assert str(one) == "0.6 (n = 2)"


def test_variance_over_lots_equals_that_of_lot_means_where_lots_are_of_one_size() -> None:
    values = np.random.default_rng(4).normal(size=(30, 5))
    totals, sizes = sums_by_lot(values.ravel(), np.repeat(np.arange(30), 5))
    assert variance_of_mean(totals, sizes) == pytest.approx(values.mean(1).var(ddof=1) / 30)
    assert effective_number(sizes) == 30
    assert effective_number(np.array([9, 1])) == pytest.approx(100 / 82)


def test_the_jackknife_of_a_mean_is_its_linearised_interval() -> None:
    values = np.random.default_rng(5).normal(size=80)
    mean, without = values.mean(), (values.sum() - values) / 79
    low, high = jackknife(np.array([mean]), without[None], np.ones(80))
    estimate = mean_estimate(values)
    assert (low[0], high[0]) == pytest.approx((estimate.low, estimate.high))
    assert np.isnan(jackknife(np.ones(1), np.ones((1, 1)), np.ones(1))).all()


# ---- answers that are not kept ---------------------------------------------------------------------------------------
def test_the_likeness_of_lots_gives_the_interval_that_the_answers_would() -> None:
    """Counts alone, with the likeness of other images of the same kind: nearly as wide as from the answers."""
    ratios = []
    for seed in range(40):
        right, lots = _answers_by_lot(seed)
        others, other_lots = _answers_by_lot(seed + 500)
        known = Accuracy.from_hits(right, "", lots)
        told = Accuracy.from_likeness(right.mean(), lot_likeness(others, other_lots), lots)
        ratios.append((told.high - told.low) / (known.high - known.low))
        assert (told.successes, told.n, told.lots) == (known.successes, known.n, 60)
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


def test_likeness_is_all_where_a_lot_answers_as_one_and_a_sample_has_smaller_lots() -> None:
    lots = np.repeat(np.arange(20), 10)
    right = np.repeat(np.arange(20) % 2, 10)
    assert lot_likeness(right, lots) == pytest.approx(1, abs=0.06)
    whole, half = (Accuracy.from_likeness(0.5, 1.0, lots, n=n) for n in (None, 100))
    assert (whole.effect, half.effect) == (10, pytest.approx(5.5))
    assert lot_likeness(right, np.arange(200)) == 0
