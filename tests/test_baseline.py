import numpy as np
import pandas as pd
import pytest

from lab_utils import baseline
from lab_utils.baseline import Outcome
from lab_utils.quantities import Accuracy, Difference


def made(number, train, val, predicted=None):
    train, val = np.array(train, bool), np.array(val, bool)
    return Outcome(number, train, val, np.zeros(len(val), int) if predicted is None else np.array(predicted))


@pytest.mark.parametrize("low, word", [(0.05, "Low"), (0.15, "Medium"), (0.21, "High")])
def test_overfitting_is_judged_by_the_lower_end_of_the_gap(low, word):
    assert baseline.overfitting(Difference(0.25, low, 0.4, 100)) == word


def test_gap_is_clean_train_minus_val():
    assert made("1", [1, 1, 1, 0], [1, 0]).gap.value == pytest.approx(0.25)


def test_gap_change_is_the_difference_of_the_gaps_and_zero_for_a_network_with_itself():
    first, second = (
        made("6", [1] * 90 + [0] * 10, [1] * 50 + [0] * 50),
        made("10", [1] * 70 + [0] * 30, [1] * 60 + [0] * 40),
    )
    change = baseline.gap_change(first, second)
    assert change.value == pytest.approx(second.gap.value - first.gap.value) and change.high < 0
    same = baseline.gap_change(first, first)
    assert same.value == 0 and same.tie


def test_unrelated_images_have_neither_lot_nor_object_in_train():
    images = pd.DataFrame(
        {
            "subset": ["train", "train", "test", "test", "test", "test"],
            "lot": ["a", "", "a", "b", "", ""],
            "group": ["", "g", "", "", "g", ""],
        }
    )
    assert baseline.unrelated(images).tolist()[2:] == [False, True, False, True]


def test_related_words_split_the_accuracy():
    text = baseline.related_words(Accuracy(60, 100), Accuracy(20, 50))
    assert str(Accuracy(40, 50)) in text and "better" in text
    assert "No test image" in baseline.related_words(Accuracy(60, 100), Accuracy(60, 100))
    assert "can't be split" in baseline.related_words(Accuracy(60, 100), None)


def test_rank_of_a_pair_counts_both_directions():
    counts = np.array([[5, 3, 0], [4, 5, 1], [0, 0, 10]])
    assert baseline.pair_rank(counts, ["a", "b", "c"], "b", "a") == 1
    assert baseline.pair_rank(counts, ["a", "b", "c"], "b", "c") == 2
    assert baseline.pair_rank(counts, ["a", "b", "c"], "a", "c") == 0  # never confused, so in no order
    assert baseline.pair_rank(np.diag([5, 5, 5]), ["a", "b", "c"], "a", "b") == 0
    assert baseline.pair_rank(counts, ["a", "b", "c"], "a", "x") is None
    assert baseline.confusion_table(counts, ["a", "b", "c"])["pair"].tolist() == ["a / b", "b / c"]


def test_table_shows_mixed_rows_as_two_networks_beside_the_printed_numbers():
    from lab_utils.records import PROJECT

    outcomes = {number: made(number, [1] * 8 + [0] * 2, [1] * 5 + [0] * 5) for number in baseline.ROWS}
    reported = pd.read_csv(PROJECT / "data" / "reported" / "scratch.csv")
    table = baseline.table(outcomes, {number: Accuracy(3, 10) for number in baseline.ROWS}, reported)
    assert table.loc[table["row"] == "3-4", "network"].tolist() == ["#3", "#4"]
    assert table.loc[table["network"] == "#13", "test (reported)"].item() == "67.0"
    assert table["row"].nunique() == 9
    text = baseline.judged_words(outcomes, reported)
    assert f"of {len(baseline.ROWS)} networks" in text


def test_steps_are_judged_on_the_same_images():
    truth = np.zeros(200, int)
    numbers = {number for step in baseline.STEPS for number in step}
    outcomes = {number: made(number, [1] * 10, truth == 0, truth) for number in numbers}
    outcomes["1"] = made("1", [1] * 10, [0] * 200, truth + 1)
    text = baseline.step_words(truth, outcomes)
    assert "helped: #1 → #2" in text and "are ties: #2 → #3" in text and "hurt" not in text
    table = baseline.steps(truth, outcomes, dict.fromkeys(numbers, "idea"))
    assert table["val, points"][0].startswith("+100.0") and len(table) == len(baseline.STEPS)
