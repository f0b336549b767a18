"""Evaluation against scikit-learn, hand calculation and known answers."""

import numpy as np
import pytest
from notebook_cells import function_of
from sklearn import metrics as sklearn_metrics

from lab_utils.core.errors import LabError
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Accuracy, Estimate, quantile, wilson_interval

CLASSES = ["a", "b", "c", "never"]


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [100, 60, 20])
    return truth, np.where(rng.uniform(size=180) < 0.7, truth, rng.integers(0, 3, 180))


def test_matrix_equals_scikit_learns(labels) -> None:
    truth, predicted = labels
    counts = metrics.confusion_matrix(truth, predicted, 3)
    np.testing.assert_array_equal(counts, sklearn_metrics.confusion_matrix(truth, predicted))


def test_averages_equal_scikit_learns_and_lie_in_their_intervals(labels) -> None:
    truth, predicted = labels
    found = metrics.averages(metrics.confusion_matrix(truth, predicted, 3))
    weighted = sklearn_metrics.precision_recall_fscore_support(truth, predicted, average="weighted")
    wanted = {
        "accuracy": sklearn_metrics.accuracy_score(truth, predicted),
        "balanced accuracy": sklearn_metrics.balanced_accuracy_score(truth, predicted),
        "macro precision": sklearn_metrics.precision_score(truth, predicted, average="macro"),
        "macro F1": sklearn_metrics.f1_score(truth, predicted, average="macro"),
        **dict(zip(["weighted precision", "weighted recall", "weighted F1"], weighted[:3], strict=True)),
    }
    assert list(found) == list(metrics.AVERAGES) and set(wanted) == set(found)
    for name, value in wanted.items():
        assert found[name].value == pytest.approx(value), name
        assert found[name].low < value < found[name].high


def test_interval_of_accuracy_is_the_binomial_one(labels) -> None:
    truth, predicted = labels
    found = metrics.averages(metrics.confusion_matrix(truth, predicted, 3))["accuracy"]
    half = 1.96 * np.sqrt(found.value * (1 - found.value) / 180)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_a_class_without_images_lowers_no_average(labels) -> None:
    truth, predicted = labels
    three, four = (metrics.averages(metrics.confusion_matrix(truth, predicted, n)) for n in (3, 4))
    assert four["balanced accuracy"].value == pytest.approx(three["balanced accuracy"].value)


def test_names_on_wrong_rows_and_lost_classes_are_caught(labels) -> None:
    truth, predicted = labels
    support = metrics.confusion_matrix(truth, predicted, 3).sum(1)
    with pytest.raises(LabError, match="a: 100 images were evaluated, the table has 60"):
        metrics.check_support(support, CLASSES[:3], [60, 100, 20])
    with pytest.raises(LabError, match="a class was lost"):
        metrics.check_support(support, CLASSES, [100, 60, 20, 5])
    with pytest.raises(LabError, match="label 3 is outside 0 to 2"):
        metrics.confusion_matrix(truth, np.full(180, 3), 3)
    with pytest.raises(LabError, match="don't match"):
        metrics.confusion_matrix(truth, predicted[:-1], 3)


def test_groups_are_counted_apart_and_unknown_ones_left_out() -> None:
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    found = metrics.group_accuracies(truth, predicted, np.array(["x", "x", "x", ""]))
    assert {name: (one.successes, one.n) for name, one in found.items()} == {"x": (2, 3)}


def test_parts_of_the_images_are_told_and_never_subtracted() -> None:
    truth, predicted = np.arange(100) % 2, np.zeros(100, int)
    parts = metrics.group_accuracies(truth, predicted, np.repeat(["x", "y"], 50))
    for pair in ((parts["x"], parts["y"]), (Accuracy(1, 2), parts["y"]), (parts["x"], Accuracy(1, 2))):
        with pytest.raises(ValueError, match="other mixes of classes: use standardised_difference"):
            pair[0].minus(pair[1])


def test_lots_are_seen_unseen_or_unknown() -> None:
    found = metrics.seen_in_train(["59.533", "1.2", ""], ["59.533", ""])
    assert found.tolist() == ["lot seen in train", "lot not seen", ""]


def test_equal_priors_undo_the_shift_of_a_rare_class() -> None:
    """A class of 10 among 1,000: recall .9, a tenth of the others called it; at equal priors .9 / (.9 + .1)."""
    counts = np.array([[9, 1], [100, 900]])
    assert counts[0, 0] / counts[:, 0].sum() == pytest.approx(9 / 109)
    np.testing.assert_allclose(metrics.precision_at_equal_priors(counts), [0.9, 0.9])
    assert np.isnan(metrics.precision_at_equal_priors(np.array([[0, 5], [0, 5]]))[0])


def test_rank_of_precision_is_sure_with_many_images_and_open_with_few() -> None:
    shares = np.diag([0.9, 0.8, 0.7, 0.6, 0.5]) + 0.1 * np.eye(5, k=1)
    shares[:, 0] += 1 - shares.sum(1)
    sure = metrics.precision_rank((10_000 * shares).astype(int), 4)
    assert sure.low == sure.value == sure.high and sure.n == 10_000
    few = metrics.precision_rank((5 * shares).round().astype(int), 4)
    assert few.low <= 2 and few.high == 5  # nearly any rank


def test_no_rank_is_told_of_three_things() -> None:
    three = metrics.precision_rank(np.array([[900, 100, 0], [300, 600, 100], [0, 0, 1000]]), 2)
    assert three.value == 3 and not three.has_interval
    assert not metrics.pair_rank(np.array([[5, 3, 0], [4, 5, 1], [0, 0, 10]]), 0, 1).has_interval


def test_a_rank_is_left_wide_where_lots_are_few() -> None:
    truth, lots = np.repeat(np.arange(6), 60), np.arange(360) // 30
    predicted = np.where(np.arange(360) % 60 < 20 + 6 * truth, truth, (truth + 1) % 6)
    counts, parts = metrics.confusion_matrix(truth, predicted, 6), metrics.group_confusions(truth, predicted, lots, 6)
    images, by_lot = (metrics.precision_rank(counts, 0, part) for part in (None, parts))
    assert by_lot.high - by_lot.low > images.high - images.low and images.value == by_lot.value


def test_ranks_hold_the_truth_where_bootstrapped_ones_did_not() -> None:
    """The pair that is confused most in truth, from 60 images a class: its rank 1 must be within the interval."""
    rng, held = np.random.default_rng(0), []
    shares = np.full((6, 6), 0.06) + np.eye(6) * 0.64
    shares[0, 1], shares[0, 0] = 0.16, 0.6
    for _ in range(100):
        counts = np.stack([rng.multinomial(60, row / row.sum()) for row in shares])
        rank = metrics.pair_rank(counts, 0, 1)
        held.append(rank.low <= 1 <= rank.high and rank.low <= rank.value <= rank.high)
    assert np.mean(held) > 0.95


def test_largest_confusions_and_pairs() -> None:
    counts = np.array([[10, 5, 0], [1, 20, 0], [0, 8, 72]])
    table = metrics.largest_confusions(counts, CLASSES, 10)
    assert table[["truth", "predicted", "count"]].to_numpy().tolist() == [["c", "b", 8], ["a", "b", 5], ["b", "a", 1]]
    assert table["share"][1] == pytest.approx(1 / 3)
    assert metrics.confused_pairs(counts) == [(0, 1), (1, 2)]


# ---- calibration -----------------------------------------------------------------------------------------------------
def test_calibration_error_of_two_bins_by_hand() -> None:
    """Four images at confidence .9, half right; six at .6, all right: (4·.4 + 6·.4) / 10."""
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 6)
    truth = np.array([0, 0, 1, 1] + [0] * 6)
    error, chance = metrics.calibration_error(probabilities, truth)
    assert error.value == pytest.approx(0.4) and not error.has_interval and str(error) == "0.400 (n = 10)"
    assert 0 < chance.low <= chance.value <= chance.high
    table = metrics.reliability(probabilities, truth)
    assert table["n"].tolist() == [6, 4] and [one.value for one in table["accuracy"]] == [1.0, 0.5]
    by_lot = metrics.reliability(probabilities, truth, lots=np.zeros(10))["accuracy"]
    assert [accuracy.lots for accuracy in by_lot] == [1, 1]


def test_a_calibrated_network_lies_within_what_chance_makes_of_one_and_a_sure_one_above() -> None:
    rng, inside, above = np.random.default_rng(0), 0, 0
    for seed in range(100):
        likely = rng.uniform(0.5, 1, 230)
        probabilities = np.stack([likely, 1 - likely], axis=1)
        honest, sure = ((rng.random(230) >= likely - too_sure).astype(int) for too_sure in (0, 0.15))
        error, chance = metrics.calibration_error(probabilities, honest, seed=seed, draws=200)
        inside += chance.low <= error.value <= chance.high
        above += metrics.calibration_error(probabilities, sure, seed=seed, draws=200)[0].value > chance.high
    assert 89 <= inside <= 99 and above > 90


def test_cross_entropy_equals_scikit_learns_also_of_several_epochs(labels) -> None:
    truth, _ = labels
    epochs = np.random.default_rng(1).dirichlet([1, 1, 1], (2, 180))
    losses = metrics.cross_entropy(np.log(epochs) + 7, truth)
    assert losses.shape == (2, 180)
    for part, probabilities in zip(losses, epochs, strict=True):
        assert part.mean() == pytest.approx(sklearn_metrics.log_loss(truth, probabilities))


def test_a_surely_wrong_answer_costs_its_distance_in_logits_and_no_less() -> None:
    assert metrics.cross_entropy(np.array([[800.0, 0.0]], np.float32), np.array([1])) == pytest.approx([800])
    assert metrics.softmax(np.array([[800.0, 800.0], [0.0, np.log(3)]])) == pytest.approx(
        np.array([[0.5, 0.5], [0.25, 0.75]])
    )


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_temperature_finds_the_factor_that_logits_were_multiplied_by(factor: float) -> None:
    rng = np.random.default_rng(2)
    honest = rng.dirichlet(np.full(5, 0.5), 20000)
    truth = (rng.uniform(size=(20000, 1)) > honest.cumsum(1)).sum(1)
    found = metrics.temperature(factor * np.log(honest), truth)
    assert found == pytest.approx(factor, rel=0.06)
    fitted_temperature = function_of("14_results", "fitted_temperature")
    assert fitted_temperature(factor * np.log(honest), truth) == pytest.approx(found, abs=1e-4)


# ---- comparisons -----------------------------------------------------------------------------------------------------
def test_difference_of_independent_estimates_is_that_of_accuracies() -> None:
    one, other = Accuracy(80, 100), Accuracy(700, 1000)
    as_estimates = [Estimate(part.value, *part.interval, part.n) for part in (one, other)]
    found, wanted = metrics.independent_difference(*as_estimates), one.minus(other)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))


def test_parts_that_differ_most_are_named_at_one_mix_of_classes_and_widened_for_the_choice() -> None:
    """Museum a has the easy class, b the hard one: only c is worse within a class."""
    cells = [("a", 0, 90, 81), ("a", 1, 10, 5), ("b", 0, 10, 9), ("b", 1, 90, 45), ("c", 0, 50, 20), ("c", 1, 50, 10)]
    parts = np.concatenate([np.full(n, part) for part, _, n, _ in cells])
    labels = np.concatenate([np.full(n, label) for _, label, n, _ in cells])
    right = np.concatenate([np.arange(n) < hits for *_, n, hits in cells])
    lots = np.arange(len(labels))
    best, worst, gap, classes = metrics.largest_difference(right, labels, parts, lots)
    assert (worst, classes) == ("c", 2) and best in "ab" and gap.low > 0
    both = np.isin(parts, [best, worst])
    alone = metrics.standardised_difference(right[both], labels[both], parts[both] == best, lots[both])[0]
    assert gap.value == pytest.approx(alone.value)
    assert (gap.high - gap.low) / (alone.high - alone.low) == pytest.approx(2.394 / 1.960, rel=0.02)
    two = np.isin(parts, ["a", "b"])
    assert metrics.largest_difference(right[two], labels[two], parts[two], lots[two])[2].value == pytest.approx(0)
    assert metrics.largest_difference(right, labels, np.where(labels == 0, "a", "b"), lots) is None


def test_values_between_0_and_1_are_compared_within_classes_too() -> None:
    labels, first = np.repeat([0, 1], 20), np.tile([True, False], 20)
    values = 0.5 * labels + 0.1 * first + np.tile([0.0, 0.0, 0.05, 0.05], 10)
    gap, _ = metrics.standardised_difference(values, labels, first, np.arange(40))
    assert gap.value == pytest.approx(0.1) and 0 < gap.low < 0.1 < gap.high


# ---- lots ------------------------------------------------------------------------------------------------------------
def test_parts_of_other_mixes_that_are_equal_within_classes_do_not_differ() -> None:
    """Class 0 is easy and mostly seen, class 1 hard and mostly unseen: accuracies differ, classes don't (Simpson)."""
    cells = [(0, True, 90, 81), (0, False, 10, 9), (1, True, 10, 5), (1, False, 90, 45)]  # class, seen, images, right
    labels = np.concatenate([np.full(n, label) for label, _, n, _ in cells])
    seen = np.concatenate([np.full(n, part) for _, part, n, _ in cells])
    right = np.concatenate([np.arange(n) < hits for _, _, n, hits in cells])
    assert right[seen].mean() - right[~seen].mean() == pytest.approx(0.32)
    gap, classes = metrics.standardised_difference(right, labels, seen, np.arange(200))
    assert (gap.value, gap.tie, classes) == (pytest.approx(0), True, 2)


def test_difference_within_classes_is_weighted_by_the_second_part() -> None:
    labels, seen = np.array([0, 0, 1, 1, 0, 1, 1, 1, 2]), np.array([1, 1, 1, 1, 0, 0, 0, 0, 0], bool)
    right = np.array([1, 1, 1, 0, 0, 1, 0, 0, 1])  # class 0: 1 against 0; class 1: 1/2 against 1/3; class 2: not seen
    gap, classes = metrics.standardised_difference(right, labels, seen, np.arange(9))
    assert (gap.value, classes) == (pytest.approx((1 * 1 + 3 * (1 / 2 - 1 / 3)) / 4), 2)
    assert metrics.standardised_difference(right, labels, labels == 0, np.arange(9)) is None


def test_intervals_by_lot_are_wider_where_images_of_a_lot_are_alike() -> None:
    truth = np.tile([0, 1], 100)
    lots = np.repeat(np.arange(10), 20)
    predicted = np.where(lots < 7, truth, 1 - truth)  # whole lots are right or wrong
    counts = metrics.confusion_matrix(truth, predicted, 2)
    parts = metrics.group_confusions(truth, predicted, lots, 2)
    assert np.array_equal(parts.sum(0), counts)
    images, by_lot = (metrics.averages(counts, parts=part)["accuracy"] for part in (None, parts))
    assert images.value == by_lot.value == 0.7
    low, high = wilson_interval(0.7 * 9, 9, quantile(10))  # ten draws of a lot (one goes to their mean), not 200 images
    assert (by_lot.low, by_lot.high) == pytest.approx((low, high), abs=0.001)
    assert by_lot.high - by_lot.low > 3 * (images.high - images.low)


def test_the_rows_accuracy_and_weighted_recall_carry_the_one_interval_of_an_accuracy(labels) -> None:
    truth, predicted = labels
    lots = np.arange(len(truth)) // 7
    counts, parts = (
        metrics.confusion_matrix(truth, predicted, 3),
        metrics.group_confusions(truth, predicted, lots, 3),
    )
    for groups, by_lot in ((None, None), (lots, parts)):
        accuracy = Accuracy.from_labels(truth, predicted, "", groups)
        rows = metrics.averages(counts, parts=by_lot)
        for name in ("accuracy", "weighted recall"):
            assert (rows[name].low, rows[name].high) == accuracy.interval
