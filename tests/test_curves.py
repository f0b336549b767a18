"""Trends and the split of a rising loss, against scipy, statsmodels-like hand calculation and constructed histories."""

import numpy as np
import pytest
from scipy import stats

from lab_utils.core.errors import LabError
from lab_utils.stats.curves import after_minimum, confidence, direction, has_trend, overfitting, rise_since_best, trend
from lab_utils.stats.intervals import Accuracy


def test_trend_of_a_noisy_line_covers_its_slope():
    rng = np.random.default_rng(0)
    slope = trend(0.3 * np.arange(30) + rng.normal(0, 0.1, 30), last=30)
    assert slope.low < 0.3 < slope.high
    assert direction(slope) == "rising"


def test_trend_matches_the_hand_calculation():
    # y = 1, 2, 4, 4, 6: slope 1.2, residuals 0, -0.2, 0.6, -0.6, 0.2; they go up and down, so nothing is widened
    slope = trend(np.array([1.0, 2.0, 4.0, 4.0, 6.0]), 5)
    assert slope.value == pytest.approx(1.2)
    assert slope.high - slope.value == pytest.approx(3.18245 * np.sqrt(0.8 / 3 / 10), rel=1e-4)


def test_epochs_whose_errors_hang_together_leave_more_doubt():
    rng, covered = np.random.default_rng(0), {"widened": 0, "plain": 0}
    for _ in range(300):
        errors = np.convolve(rng.normal(size=26), 0.5 ** np.arange(6), "valid")
        slope, plain = trend(errors, 20), stats.linregress(np.arange(20), errors[-20:])
        covered["widened"] += not slope.excludes(0)
        covered["plain"] += abs(plain.slope) <= stats.t.ppf(0.975, 18) * plain.stderr
    assert covered["widened"] > 250 > covered["plain"]


def test_trend_looks_at_the_end_of_the_curve():
    falling_then_rising = np.r_[np.linspace(5, 1, 20), np.linspace(1, 2, 20)]
    assert direction(trend(falling_then_rising)) == "rising"


def test_a_flat_curve_neither_rises_nor_falls():
    assert direction(trend(np.ones(10))) == "undecided"


def test_the_part_after_the_minimum_begins_at_the_minimum():
    curve = np.array([5.0, 1.0, 3.0, 2.0])
    assert list(curve[-after_minimum(curve) :]) == [1.0, 3.0, 2.0]
    assert after_minimum(np.array([3.0, 2.0, 1.0])) == 1


@pytest.mark.parametrize("epochs", [3, 4])
def test_three_or_four_epochs_make_no_slope(epochs):
    with pytest.raises(LabError, match=f"at least 5 epochs and there are {epochs} to use"):
        trend(np.arange(2.0 * epochs))
    assert not has_trend(2 * epochs) and has_trend(10)


def history(*epochs):
    """Logits of two classes from the probability of class 1, for each epoch and image."""
    sure = np.array(epochs)
    return np.log(np.stack([1 - sure, sure], axis=-1))


def test_confidence_is_split_by_right_and_wrong():
    split = confidence(history([0.9, 0.8, 0.3, 0.1]), np.array([1, 1, 1, 1]))
    assert split.share_right == pytest.approx([0.5])
    assert split.confidence_right == pytest.approx([0.85])
    assert split.confidence_wrong == pytest.approx([0.8])
    assert split.loss == pytest.approx([-np.log([0.9, 0.8, 0.3, 0.1]).mean()])


def test_no_wrong_prediction_gives_nan_and_still_the_right_loss():
    split = confidence(history([0.9, 0.8]), np.array([1, 1]))
    assert np.isnan(split.confidence_wrong[0])
    assert split.loss == pytest.approx([-np.log([0.9, 0.8]).mean()])


def test_a_rise_by_overconfident_errors_is_put_on_the_wrong_predictions():
    # accuracy rises (image 2 turns right), loss rises because image 3 becomes surely wrong; by hand:
    change = -np.log([0.9, 0.55, 0.001]) + np.log([0.8, 0.45, 0.4])
    rise = rise_since_best(history([0.8, 0.45, 0.4], [0.9, 0.55, 0.001]), np.array([1, 1, 1]))
    assert (rise.start, rise.end) == (0, 1)
    assert rise.total.value == pytest.approx(change.mean())
    assert rise.wrong.value == pytest.approx(change[2] / 3)
    assert rise.right.value == pytest.approx(change[:2].sum() / 3)
    assert rise.balance.value == pytest.approx(rise.right.value - rise.wrong.value)
    assert rise.accuracy.value == pytest.approx(1 / 3)
    assert rise.surer_wrong.value == pytest.approx(0.999 - 0.6)
    assert rise.surer_right.value == pytest.approx((0.9 - 0.8) / 2)  # image 2: 0.55 then and now


def test_a_rise_by_less_sure_right_predictions_is_put_on_the_right_ones():
    rise = rise_since_best(history([0.95, 0.95, 0.4], [0.6, 0.6, 0.4]), np.array([1, 1, 1]))
    assert rise.right.value == pytest.approx(rise.total.value)
    assert rise.wrong.value == pytest.approx(0)
    assert rise.surer_right.value == pytest.approx(-0.35)


def test_a_rise_that_one_of_few_images_carries_is_not_shown_and_one_that_all_carry_is():
    one = rise_since_best(history([0.9, 0.9, 0.9, 0.9], [0.91, 0.91, 0.91, 0.5]), np.ones(4, int))
    assert one.total.value > 0 and not one.shown
    assert rise_since_best(history([0.9, 0.9, 0.9, 0.8], [0.7, 0.6, 0.6, 0.7]), np.ones(4, int)).shown


def test_images_of_one_lot_count_once_in_the_interval():
    rng = np.random.default_rng(0)
    after = np.repeat(rng.uniform(0.3, 0.9, 10), 20)
    epochs = history(np.full(200, 0.65), after)
    free = rise_since_best(epochs, np.ones(200, int)).total
    tied = rise_since_best(epochs, np.ones(200, int), np.repeat(np.arange(10), 20)).total
    assert tied.high - tied.low > 2 * (free.high - free.low)


def test_a_loss_that_is_lowest_at_the_end_has_not_risen():
    rise = rise_since_best(history([0.5, 0.5], [0.9, 0.9]), np.array([1, 1]))
    assert rise.start == rise.end
    assert rise.total.value == 0
    assert not rise.shown
    assert rise.surer_wrong.n == 0


@pytest.mark.parametrize(
    ("train", "val", "judged"), [(97, 31, "High"), (78, 63, "Medium"), (66, 62, "Low"), (59, 63, "Low")]
)
def test_overfitting_is_judged_by_the_gap_where_its_whole_interval_agrees(train, val, judged):
    gap = Accuracy(100 * train, 10_000).minus(Accuracy(100 * val, 10_000))
    assert overfitting(gap) == judged


def test_a_gap_with_a_wide_interval_is_open_and_not_called_low():
    assert overfitting(Accuracy(80, 100).minus(Accuracy(72, 100))) == "open (Low to Medium)"
    assert overfitting(Accuracy(80, 100).minus(Accuracy(55, 100))) == "open (Medium to High)"
