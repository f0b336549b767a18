import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lab_utils.chapters import baseline
from lab_utils.chapters.baseline import ScratchResult
from lab_utils.core import profiles
from lab_utils.core.profiles import Scratch
from lab_utils.networks import scratch_specs
from lab_utils.stats.intervals import Accuracy, Difference


def result_of(number, train, val, predicted=None):
    train, val = np.array(train, bool), np.array(val, bool)
    return ScratchResult(number, train, val, np.zeros(len(val), int) if predicted is None else np.array(predicted))


@pytest.mark.parametrize(
    "low, high, word",
    [
        (-0.05, 0.09, "Low"),
        (0.11, 0.19, "Medium"),
        (0.21, 0.4, "High"),
        (0.05, 0.4, "open (Low to High)"),
        (0.05, 0.15, "open (Low to Medium)"),
        (0.15, 0.25, "open (Medium to High)"),
    ],
)
def test_overfitting_has_a_word_only_where_the_whole_interval_agrees(low, high, word):
    assert baseline.overfitting(Difference((low + high) / 2, low, high, 100)) == word


def history_of(losses=(2.0, 1.0, 0.8, 0.8, 0.8)):
    """A training whose val loss is flat at the end."""
    return pd.DataFrame({"val_cross_entropy": losses, "clean_accuracy": 0.9})


def test_gap_is_clean_train_minus_val():
    assert result_of("1", [1, 1, 1, 0], [1, 0]).gap.value == pytest.approx(0.25)


def test_gap_change_is_the_difference_of_the_gaps_and_zero_for_a_network_with_itself():
    first, second = (
        result_of("6", [1] * 90 + [0] * 10, [1] * 50 + [0] * 50),
        result_of("10", [1] * 70 + [0] * 30, [1] * 60 + [0] * 40),
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
    parts = (Accuracy(60, 100), Accuracy(20, 50), Accuracy(40, 50))
    text = baseline.related_words(*parts, (Difference(0.1, 0.02, 0.18, 40), 3))
    assert str(Accuracy(40, 50)) in text and "mix of classes (3 have both) the related ones are better by 10.0" in text
    assert "can't be compared" in baseline.related_words(*parts)
    assert "No test image" in baseline.related_words(Accuracy(60, 100), Accuracy(60, 100), None)
    assert "can't be split" in baseline.related_words(Accuracy(60, 100), None, None)


def test_rank_of_a_pair_counts_both_directions_and_has_an_interval():
    counts = np.array([[5, 3, 0], [4, 5, 1], [0, 0, 10]])
    ranks = [baseline.pair_rank(counts, ["a", "b", "c"], *pair) for pair in (("b", "a"), ("b", "c"), ("a", "c"))]
    assert [rank.value for rank in ranks] == [1, 2, 3]
    assert not ranks[1].has_interval and ranks[1].n == 20  # three pairs are no ranking
    assert baseline.pair_rank(np.diag([5, 5, 5]), ["a", "b", "c"], "a", "b").value == 2  # none is ever confused
    assert baseline.pair_rank(counts, ["a", "b", "c"], "a", "x") is None
    assert baseline.confusion_table(counts, ["a", "b", "c"])["pair"].tolist() == ["a / b", "b / c"]


def test_pairs_confused_equally_often_share_a_rank_whatever_their_order():
    counts = np.array([[8, 1, 1, 0], [0, 9, 1, 0], [0, 0, 10, 0], [3, 0, 0, 7]])
    names = ["a", "b", "c", "d"]
    shared = [baseline.pair_rank(counts, names, *pair).value for pair in (("a", "b"), ("a", "c"), ("b", "c"))]
    assert shared == [3, 3, 3] and baseline.pair_rank(counts, names, "a", "d").value == 1
    few, many = (baseline.pair_rank(n * counts, names, "a", "d") for n in (1, 100))
    assert few.high > 1 and (many.low, many.high) == (1, 1)


def test_a_gap_widens_where_images_of_a_lot_answer_alike():
    train, val = np.repeat([1, 1, 1, 0], 25), np.repeat([1, 0, 1, 0], 25)
    lots = np.repeat(list("abcd"), 25)
    alone, whole = result_of("1", train, val), ScratchResult("1", train, val, val, {"train": lots, "val": lots})
    assert alone.gap.value == whole.gap.value == pytest.approx(0.25)
    assert whole.gap.high - whole.gap.low > 3 * (alone.gap.high - alone.gap.low)


def test_augmented_gaps_are_held_against_the_mean_gap_of_the_plain_networks_that_learnt():
    results = {number: result_of(number, [1] * 60 + [0] * 40, [1] * 40 + [0] * 60) for number in baseline.ROWS}
    results["2"] = result_of("2", [1] * 80 + [0] * 20, [1] * 20 + [0] * 80)
    results["3"] = result_of("3", [0] * 100, [0] * 100)  # no gap, as it has learnt nothing
    results["12"] = result_of("12", [1] * 41 + [0] * 59, [1] * 40 + [0] * 60)
    results["11"] = results["3"]
    changes = baseline.augmentation_changes(results, 10)
    plain = ["1", "2", "4", "5", "6", "8", "10"]
    assert changes["plain"] == plain and list(changes["changes"]) == ["12"]
    assert changes["changes"]["12"].value == pytest.approx(0.01 - np.mean([0.6 if n == "2" else 0.2 for n in plain]))
    assert baseline.augmentation_changes(results, 1) == {"changes": {}, "plain": []}


def test_table_shows_mixed_rows_as_two_networks_beside_the_printed_numbers():
    from lab_utils.core.records import PROJECT

    results = {number: result_of(number, [1] * 8 + [0] * 2, [1] * 5 + [0] * 5) for number in baseline.ROWS}
    reported = pd.read_csv(PROJECT / "data" / "reported" / "scratch.csv")
    table = baseline.table(results, {number: Accuracy(3, 10) for number in baseline.ROWS}, reported)
    assert table.loc[table["row"] == "3-4", "network"].tolist() == ["#3", "#4"]
    assert table.loc[table["network"] == "#13", "test (reported)"].item() == "67.0"
    assert table["row"].nunique() == 9
    text = baseline.judged_words(results, reported)
    counts = re.search(
        r"agrees with (\d+) of the 11 printed labels(?:, differs on (\d+) .*)? and leaves (\d+) open", text
    )
    assert sum(int(count or 0) for count in counts.groups()) == len(baseline.ROWS) == 11


def test_steps_are_judged_on_the_same_images():
    truth = np.zeros(200, int)
    numbers = {number for step in baseline.STEPS for number in step}
    results = {number: result_of(number, [1] * 10, truth == 0, truth) for number in numbers}
    results["1"] = result_of("1", [1] * 10, [0] * 200, truth + 1)
    found = baseline.steps(truth, {number: history_of() for number in numbers}, results, Scratch())
    text = baseline.step_words(found)
    assert "helped: #1 → #2" in text and "are ties: #2 → #3" in text and "hurt" not in text
    table = baseline.steps_table(found)
    assert table["val, points"][0].startswith("+100.0") and len(table) == len(baseline.STEPS)


def test_a_step_is_put_down_to_a_setting_only_where_that_alone_changed_and_both_were_trained():
    truth = np.zeros(200, int)
    results = {number: result_of(number, [1] * 10, [0] * 200, truth + 1) for pair in baseline.STEPS for number in pair}
    results["11"] = result_of("11", [1] * 10, truth == 0, truth)
    trained = {number: history_of() for number in results}
    step = {step.name: step for step in baseline.steps(truth, trained, results, Scratch())}
    assert step["#1 → #2"].changed == ["convolutions"] == [step["#1 → #2"].cause]
    assert {"penalties", "dropout"} <= set(step["#6 → #7"].changed) and step["#6 → #7"].cause == ""
    assert "augmentation" in step["#10 → #11"].changed and step["#10 → #11"].cause == ""
    assert step["#10 → #13"].changed == ["the average of several networks"]
    trained["1"] = history_of([3.0, 2.5, 2.0, 1.5])  # still falls: no step from it says anything
    short = baseline.steps(truth, trained, results, Scratch())
    assert short[0].cause == "" and "#1" in short[0].short
    assert baseline.steps_table(short)["put down to"][0] == "no: #1 cut short"
    assert "None of them says what a setting does" in baseline.step_words(short) and "#1 (its val loss" in (
        baseline.step_words(short)
    )


def test_only_settings_that_differ_as_trained_here_count_as_changed():
    """#3 has a hundred times #4's rate; a profile that caps both at one rate leaves BatchNorm as the only change."""
    as_printed, capped = Scratch(), Scratch(learning_rate=1000, max_learning_rate=1e-3)
    pair = [scratch_specs.spec_of(number) for number in "34"]
    assert baseline.changed(*pair, as_printed) == ["BatchNorm", "learning rate"]
    assert baseline.changed(*pair, capped) == ["BatchNorm"]


def test_the_arms_show_accuracy_while_training_of_the_best_epoch_beside_the_clean_one():

    one = SimpleNamespace(best_epoch=2, history=pd.DataFrame({"accuracy": [0.1, 0.7, 0.9]}))
    results = {number: result_of(number, [1] * 30 + [0] * 70, [1] * 20 + [0] * 80) for number in baseline.NINE}
    table = baseline.arms_table(dict.fromkeys(baseline.NINE, one), results)
    assert table["train, while training"].tolist() == ["70.0 %"] * 5
    assert table["train, clean"].str.startswith("30.0 %").all() and table["network"][2] == "#9, dropout after BatchNorm"


def test_plan_scales_epochs_rate_and_batch_as_said():
    settings = profiles.Scratch(epochs=0.1, max_epochs=5, batch=32, learning_rate=10, max_learning_rate=2e-3)
    seven, eleven, two = (baseline.plan(scratch_specs.spec_of(i), settings) for i in (7, 11, 2))
    assert (seven.epochs, seven.batch, seven.learning_rate) == (2, 32, pytest.approx(5e-4))
    assert eleven.epochs == 5 and two.learning_rate == 2e-3
    text = baseline.scaling(settings)
    assert "epochs × 0.1, 5 at most" in text and "× 10, 0.002 at most" in text and "windows cut" in text


def test_table_names_what_the_original_does_not_print():
    table = baseline.specs_table([scratch_specs.spec_of(i) for i in (7, 13)], profiles.Scratch())
    assert table["not printed there"].tolist() == ["epochs, penalties, dropout", ""]
    assert table["layers"].tolist()[1] == "average of #10 and #12"
