"""Sentences and comparisons of fine-tuning runs, on constructed histories where the truth is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lab_utils import recipes, run_study
from lab_utils.quantities import Difference
from lab_utils.records import PROJECT

REPORTED = pd.read_csv(PROJECT / "data" / "reported" / "fine_tuning.csv")
LABELS = np.arange(400) % 4


def made(name: str, right: list[float], sure: float = 0.7, train: list[float] | None = None) -> run_study.Study:
    """A run whose val accuracy by epoch is `right`; wrong answers name the next class, all with confidence `sure`."""
    answers = np.stack([np.where(np.arange(400) < 400 * share, LABELS, (LABELS + 1) % 4) for share in right])
    probabilities = np.full((*answers.shape, 4), (1 - sure) / 3)
    np.put_along_axis(probabilities, answers[..., None], sure, axis=2)
    losses = -np.log(np.take_along_axis(probabilities, LABELS[None, :, None], axis=2)).mean((1, 2))
    clean = train or right
    history = pd.DataFrame(
        {
            "accuracy": np.array(clean) - 0.1,
            "clean_accuracy": clean,
            "cross_entropy": losses,
            "clean_cross_entropy": losses,
            "penalty": 0.0,
            "val_accuracy": right,
            "val_cross_entropy": losses,
        }
    )
    run = SimpleNamespace(
        recipe=SimpleNamespace(name=name),
        history=history,
        best_epoch=int(np.argmax(right)) + 1,
        seconds=2.0,
        val_probabilities=lambda: probabilities,
    )
    return run_study.Study(run, LABELS, 400, np.arange(400).astype(str))


def test_accuracies_count_the_constructed_answers():
    one = made("run 1", [0.25, 0.75, 0.5], train=[0.3, 0.8, 0.9])
    assert one.val.successes == 300
    assert one.val_at_end.successes == 200
    assert one.train_at_end.successes == 360
    assert one.counted_at_end.successes == 320


def test_a_large_gap_is_called_high_and_no_gap_none():
    assert "overfitting: high" in run_study.gap_words(made("a", [0.5, 0.5, 0.5], train=[0.9, 0.9, 0.9]))
    assert "overfitting: none" in run_study.gap_words(made("a", [0.8, 0.8, 0.8], train=[0.8, 0.8, 0.8]))


def test_val_above_counted_train_and_level_with_clean_train_is_told_apart():
    words = run_study.order_words(made("a", [0.8, 0.8, 0.8]))
    assert "val lies above train" in words
    assert "it lies level with train" in words
    assert "counted accuracy 10.0 points" in words


@pytest.mark.parametrize(
    ("right", "word"), [([0.2, 0.4, 0.6, 0.8], "still falling"), ([0.8, 0.6, 0.4, 0.2], "rising: the best")]
)
def test_the_trend_is_named_by_its_direction(right, word):
    assert word in run_study.trend_words(made("a", right))


def test_no_rise_is_said_where_the_loss_is_lowest_at_the_end():
    assert "no rise to explain" in run_study.rise_words(made("a", [0.2, 0.4, 0.6]))


def test_a_rise_is_put_on_the_wrong_answers_that_carry_it():
    words = run_study.rise_words(made("a", [0.8, 0.7, 0.6]))
    assert "Images that are wrong at the end carry 100 % of the rise" in words


def test_equal_runs_are_a_tie_and_a_clear_gain_is_none():
    low, high = made("run 1", [0.5, 0.5, 0.5]), made("run 2", [0.6, 0.7, 0.8])
    assert run_study.compare(low, low).tie
    assert run_study.compare(high, low).value == pytest.approx(0.3)
    assert run_study.compare_loss(high, low).high < 0
    assert [one.tie for one in run_study.steps([low, low, high])] == [True, False]


def test_the_grid_names_only_differences_beyond_their_interval():
    base = made("run 6", [0.5, 0.5, 0.5])
    words = run_study.grid_words(base, {"wider": made("wider", [0.8, 0.8, 0.8]), "same": base})
    assert "wider" in words
    assert "same" not in words
    assert "all are ties" in run_study.grid_words(base, {"same": base})


def test_the_grid_changes_one_setting_at_a_time():
    settings = SimpleNamespace(grid=2)
    base, *others = run_study.grid_recipes(settings)
    assert len(others) == 6
    assert all(len(recipes.changed(base, one)) == 1 for one in others)


def test_a_perfectly_overconfident_run_gets_a_temperature_above_one():
    calibrated = run_study.calibration(made("a", [0.6, 0.6, 0.6], sure=0.99))
    assert calibrated.temperature > 1.5
    assert calibrated.changed == 0
    assert calibrated.after.value < calibrated.before.value
    assert calibrated.after_ece.value < calibrated.before_ece.value


@pytest.mark.parametrize("number", range(1, 7))
def test_every_reported_sentence_says_that_it_is_reported(number):
    words = run_study.reported_words(REPORTED, number)
    row = REPORTED.set_index("run").loc[str(number)]
    assert words.startswith("Reported by the original (slide")
    assert f"{row['val_end']:.3f}" in words
    assert ("no val accuracy" in words) == pd.isna(row["val_printed"])


def test_changed_settings_are_named():
    words = run_study.changes_words(2)
    assert "learning rate" in words
    assert "head" in words
    assert "can't be put down to any one" in words


def test_the_table_of_runs_keeps_reported_numbers_apart():
    runs = [made(f"run {k}", [0.5, 0.5, 0.5]) for k in range(1, 7)]
    table = run_study.runs_table(runs, REPORTED)
    assert list(table["reported val, printed"]) == ["0.74", "0.76", "0.75", "not printed", "0.77", "0.78"]
    assert table["against the run before"].iloc[1].tie


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.3, "pays on these data"),
        (-0.3, -0.1, "costs accuracy on these data"),
        (-0.1, 0.1, "a tie on these data"),
    ],
)
def test_a_decision_says_what_the_step_before_it_gave(low, high, words):
    assert words in run_study.follow("longer", Difference((low + high) / 2, low, high, 9))
