"""Sentences and comparisons of fine-tuning runs, on constructed histories where the truth is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lab_utils.chapters import (
    fine_tuning_results,
    frozen_probe,
    headline_run,
    results,
    run_chapter,
    run_diagnosis,
)
from lab_utils.core.profiles import FineTuning
from lab_utils.core.records import PROJECT
from lab_utils.stats.intervals import Difference

REPORTED = pd.read_csv(PROJECT / "data" / "reported" / "fine_tuning.csv")
LABELS = np.arange(400) % 4
AS_PRINTED = FineTuning(networks=("vgg16",), size=256, pooling="flatten")
BASE = {"network": "VGG16", "input size": 256, "preprocessing": "as pretrained", "frozen blocks": 3}
BASE |= {"pooling": "flatten", "head": (512, 256), "L2": 0.0, "learning rate": 5e-5, "batch": 192, "epochs": 10}


def result_of(
    name: str, right: list[float], sure: float = 0.7, train: list[float] | None = None, dropout: float = 0.5, **settings
) -> fine_tuning_results.FineTuningResult:
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
        history=history,
        best_epoch=int(np.argmax(right)) + 1,
        seconds=2.0,
        val_logits=lambda: np.log(probabilities),
    )
    groups, settings = np.arange(400).astype(str), BASE | {"dropout": dropout} | settings
    return fine_tuning_results.FineTuningResult(
        name, "VGG16", run, settings, LABELS, groups, np.arange(1000).astype(str)
    )


def test_accuracies_count_the_constructed_answers():
    one = result_of("run 1", [0.25, 0.75, 0.5], train=[0.3, 0.8, 0.9])
    assert one.val.successes == 300
    assert one.val_at_end.successes == 200
    assert one.train_at_end.successes == 360
    assert (one.counted_at_end.successes, one.counted_at_end.n) == (800, 1000)


def test_train_accuracies_draw_lots_as_alike_as_those_of_val():
    """Val's lots of ten are right or wrong as one, so train's are taken to be: they tell less than single images."""
    run = result_of("run 1", [0.5, 0.5], train=[0.6, 0.8])
    lots = np.repeat(np.arange(40), 10).astype(str)
    by_lot = replace(run, groups=lots, train_groups=np.repeat(np.arange(100), 10).astype(str))
    for name in ("train_at_end", "counted_at_end"):
        alone, together = getattr(run, name), getattr(by_lot, name)
        assert (alone.value, alone.n) == (together.value, together.n)
        assert (together.high - together.low) > 1.5 * (alone.high - alone.low), name
    assert by_lot.counted_at_end.effect > by_lot.train_at_end.effect > 3  # a sample of train has smaller lots
    assert all(mean.effect > 2 for mean in by_lot.mean_accuracies(2).values())


def test_means_over_the_first_epochs_leave_the_last_ones_out():
    found = result_of("run 1", [0.25, 0.75, 0.5], train=[0.3, 0.8, 0.9]).mean_accuracies(2)
    assert {name: (one.successes, one.n) for name, one in found.items()} == {
        "counted": (450, 1000),
        "clean": (220, 400),
        "val": (200, 400),
    }


def test_a_large_gap_is_called_high_and_an_open_one_open():
    assert "overfitting: High" in run_diagnosis.gap_words(result_of("a", [0.5, 0.5, 0.5], train=[0.9, 0.9, 0.9]))
    assert "overfitting: open" in run_diagnosis.gap_words(result_of("a", [0.7, 0.7, 0.7], train=[0.8, 0.8, 0.8]))


def test_val_above_counted_train_and_not_told_from_clean_train_is_told_apart():
    words = run_diagnosis.order_words(result_of("a", [0.8, 0.8, 0.8]))
    assert "(all 1,000 train images) val lies above it" in words
    assert "(400 of them) it can't be told from it" in words
    assert "dropout and the weights' movement" in words


def test_a_run_without_dropout_is_not_said_to_pay_for_it():
    words = run_diagnosis.order_words(result_of("a", [0.8, 0.8, 0.8], dropout=0.0))
    assert "no dropout in this run" in words and "dropout and" not in words


def test_epochs_with_val_above_the_counted_accuracy_are_counted():
    one = result_of("a", [0.5, 0.6, 0.7, 0.8], train=[0.5, 0.6, 0.9, 0.95])  # counted .4 .5 .8 .85
    whole, early = run_diagnosis.above_train(one), run_diagnosis.above_train(one, 2)
    assert (whole["above"], whole["epochs"]) == (2, 4) and whole["counted"].value == pytest.approx(-0.05)
    assert (early["above"], early["epochs"]) == (2, 2) and early["counted"].value == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("right", "word"),
    [
        (np.linspace(0.1, 0.9, 10), "still falling"),
        (np.linspace(0.9, 0.1, 10), "rising: the best"),
        ([0.2, 0.4, 0.6, 0.8], "4 epochs are too few"),
    ],
)
def test_the_trend_is_named_by_its_direction(right, word):
    assert word in run_diagnosis.trend_words(result_of("a", right))


def test_no_rise_is_said_where_the_loss_is_lowest_at_the_end():
    assert "no rise to explain" in run_diagnosis.rise_words(result_of("a", [0.2, 0.4, 0.6]))


def test_a_rise_is_put_on_the_wrong_answers_that_carry_it():
    words = run_diagnosis.rise_words(result_of("a", [0.8, 0.7, 0.6]))
    assert "right at the end carry 0.000 nats" in words


def test_equal_runs_are_a_tie_and_a_clear_gain_is_none():
    low, high = result_of("run 1", [0.5, 0.5, 0.5]), result_of("run 2", [0.6, 0.7, 0.8])
    assert fine_tuning_results.compare(low, low).tie
    assert fine_tuning_results.compare(high, low).value == pytest.approx(0.3)
    assert fine_tuning_results.compare_loss(high, low).high < 0
    assert [one.tie for one in fine_tuning_results.steps([low, low, high])] == [True, False]


def test_the_grid_names_only_differences_beyond_their_interval():
    base = result_of("run 6", [0.5, 0.5, 0.5])
    words = headline_run.grid_words(base, {"wider": result_of("wider", [0.8, 0.8, 0.8]), "same": base})
    assert "wider" in words
    assert "same" not in words
    assert "all are ties" in headline_run.grid_words(base, {"same": base})


def test_a_variant_is_named_by_its_setting_and_value():
    assert headline_run.variant("run 6", learning_rate=1e-5) == "run 6, learning rate 1e-05"
    assert headline_run.variant("run 6", l2=0.0) == "run 6, L2 0"
    assert headline_run.variant("run 6", head=(1024, 256)) == "run 6, head 1024 + 256"


def test_a_perfectly_overconfident_run_gets_a_temperature_above_one():
    calibrated = headline_run.calibration(result_of("a", [0.6, 0.6, 0.6], sure=0.99))
    assert calibrated.temperature > 1.5
    assert calibrated.after.value < calibrated.before.value
    assert calibrated.after_ece.value < calibrated.before_ece.value


@pytest.mark.parametrize("number", range(1, 7))
def test_every_reported_sentence_says_that_it_is_reported(number):
    words = run_chapter.reported_words(number)
    row = REPORTED.set_index("run").loc[str(number)]
    assert words.startswith("Reported (slide")
    assert f"{row['val_end']:.3f}" in words
    assert ("no val accuracy" in words) == pd.isna(row["val_printed"])


def test_settings_on_the_slide_and_here_stand_side_by_side_and_changes_are_marked():
    before, after = result_of("run 2", [0.5], dropout=0.0), result_of("run 3", [0.5], dropout=0.5, batch=250, L2=0.1)
    table = fine_tuning_results.settings_table(after, before).set_index("setting")
    assert list(table.columns[:4]) == [f"run {k}, {where}" for where in ("reported", "here") for k in (2, 3)]
    assert table.loc["epochs"].tolist() == ["10", "9", "10", "10", "slide"]
    assert table.loc["L2"].tolist() == ["not reported", "0.1", "0", "0.1", "slide and here"]
    assert table.loc["head"].tolist() == ["512 + 256"] * 4 + [""]
    assert "3 settings change at once" in run_chapter.changes_words(after, before)
    assert fine_tuning_results.changed(before, after) == ["L2", "dropout", "batch"]


def test_the_first_run_is_compared_with_none():
    first = result_of("run 1", [0.5])
    assert run_chapter.changes_words(first, None) == ""
    assert list(fine_tuning_results.settings_table(first).columns) == ["setting", "run 1, reported", "run 1, here"]


def test_settings_are_read_from_the_network_that_was_trained():
    import keras
    from notebook_cells import function_of

    from lab_utils.networks import backbones
    from lab_utils.training.setup import FineTuningSetup

    here = FineTuningSetup("run 1", "lite0", "random", 32, 4, "average", 3e-4, 8, 2)
    lab = SimpleNamespace(blocks=lambda model: backbones.blocks_of(model, model.name), classes=["a", "b", "c"])
    build = function_of("06_fine_tuning_run1", "build", here=here, lab=lab)
    model = build(head=(16, 8), l2=0.2, dropout=0.25)
    model.compile(keras.optimizers.Adam(7e-4), "sparse_categorical_crossentropy")
    run = SimpleNamespace(given=model, settings={"batch": 8, "epochs": 2})
    settings = fine_tuning_results.settings_of(run, here)
    assert (settings["head"], settings["L2"], settings["dropout"]) == ((16, 8), pytest.approx(0.2), 0.25)
    assert settings["learning rate"] == pytest.approx(7e-4)
    assert (settings["frozen blocks"], settings["pooling"], settings["input size"]) == (4, "average", 32)
    assert settings["preprocessing"] == "as pretrained" and settings.keys() == fine_tuning_results.SETTINGS.keys()
    other = build(head=(), frozen=5, prepare=keras.layers.Rescaling(1 / 255))
    other.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    settings = fine_tuning_results.settings_of(SimpleNamespace(given=other, settings=run.settings), here)
    assert (settings["head"], settings["frozen blocks"], settings["preprocessing"]) == ((), 5, "1/255")


def lab_like(source: str = "mame", weights: str = "imagenet", missing: int = 0, tuning: FineTuning = AS_PRINTED):
    """As much of a lab as the comparison with the original asks for."""
    settings = SimpleNamespace(fine_tuning=tuning, networks=SimpleNamespace(weights=weights))
    table = SimpleNamespace(source=source)
    return SimpleNamespace(table=table, settings=settings, missing=missing)


@pytest.mark.parametrize(
    ("lab", "word"),
    [
        (lab_like("mame-toy"), "other images"),
        (lab_like("sample"), "other images"),
        (lab_like(weights="random"), "random weights"),
        (lab_like(missing=1), "missing images"),
        (lab_like(tuning=AS_PRINTED.model_copy(update={"cap": 5})), "at most 5 train images"),
        (lab_like(tuning=AS_PRINTED.model_copy(update={"networks": ("lite0",)})), "another network"),
        (lab_like(tuning=AS_PRINTED.model_copy(update={"runs": {}})), "shortened in this profile"),
    ],
)
def test_only_all_of_mame_with_its_network_as_printed_is_like_the_original(lab, word):
    assert any(word in reason for reason in fine_tuning_results.unlike_the_original(lab))
    assert headline_run.diamonds(lab, REPORTED) is None
    assert "can be compared" not in results.comparable_words(lab)


def test_the_printed_values_are_drawn_where_the_runs_are_like_the_originals():
    assert fine_tuning_results.like_the_original(lab_like())
    assert "can be compared" in results.comparable_words(lab_like())
    assert headline_run.diamonds(lab_like(), REPORTED)["run 6"] == pytest.approx(78)


@pytest.mark.parametrize("number", range(1, 7))
def test_the_plotted_start_of_the_loss_stands_beside_ours_where_it_is_known(number):
    words = run_chapter.start_words(result_of("a", [0.5, 0.5, 0.5]), number)
    known = REPORTED.set_index("run").loc[str(number), "loss_start"]
    assert ("reported" in words) == pd.notna(known)
    assert pd.isna(known) or f"near {known:g}" in words
    peak = REPORTED.set_index("run").loc[str(number), "val_peak"]
    assert run_chapter.reported_levels(number)["accuracy"].get("val, highest") == (peak if peak > 0 else None)


def test_the_table_of_runs_keeps_reported_numbers_apart():
    runs = [result_of(f"run {k}", [0.5, 0.5, 0.5]) for k in range(1, 7)]
    table = headline_run.runs_table(runs, REPORTED)
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
    assert words in run_chapter.follow("longer", Difference((low + high) / 2, low, high, 9))


@pytest.mark.parametrize(
    ("ours", "other", "words"),
    [
        (0.5, 0.8, "is clearly better, so the chapters that follow describe the original's last recipe"),
        (0.5, 0.5, "no other run is clearly better"),
        (0.8, 0.5, "it is the best on val"),
    ],
)
def test_the_decision_on_the_headline_follows_its_evidence(ours, other, words):
    one, best = result_of("run 6", [ours] * 3), result_of("run 2", [other] * 3)
    gap = fine_tuning_results.compare(one, best, 5)
    what, because, instead = headline_run.headline_decision(one, best, "three seeds", gap)
    assert words in what
    assert str(gap) in because
    assert ("by luck" in instead) == (ours == other)


@pytest.mark.parametrize(
    ("ours", "probe", "words"),
    [(0.5, 0.9, "under-trained"), (0.5, 0.5, "not shown to add"), (0.9, 0.5, "Fine-tuning adds")],
)
def test_a_run_below_its_own_frozen_features_is_called_under_trained(ours, probe, words):
    answers = result_of("probe", [probe]).predicted()
    assert words in frozen_probe.probe_words(result_of("run 6", [ours] * 3), answers, "a linear SVM")


def test_a_rise_after_the_lowest_loss_is_tested_from_there_on():
    assert run_diagnosis.slopes_after_minimum(result_of("a", [0.2, 0.3, 0.4, 0.5, 0.6])) is None
    assert run_diagnosis.slopes_after_minimum(result_of("a", [0.2, 0.6, 0.5, 0.4, 0.3])) is None
    early = run_diagnosis.slopes_after_minimum(result_of("a", [0.2, 0.6, 0.5, 0.4, 0.3, 0.2]))
    assert early["val loss"].low > 0 > early["val accuracy"].high
    assert early["val loss"].n == 5


# ---- confidence
def test_halves_share_no_lot_and_are_about_equal():
    groups = np.repeat(np.arange(12), [1, 9, 3, 3, 5, 2, 7, 1, 1, 8, 4, 6])
    half = headline_run.halves(groups, seed=3)
    assert not set(groups[half]) & set(groups[~half])
    assert abs(half.sum() - (~half).sum()) <= 9


def test_one_lot_alone_is_not_tempered_by_itself():
    plain = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert np.array_equal(headline_run.softened(plain, np.array([0, 0]), np.array([True, True])), plain)


def two_epochs(first: float, second: float, right: tuple[int, int]) -> fine_tuning_results.FineTuningResult:
    """Two epochs of 200 images whose answers have the confidence `first` and `second`; so many are right."""
    labels = np.zeros(200, int)
    epochs = []
    for sure, count in zip((first, second), right, strict=True):
        true_class = np.where(np.arange(200) < count, sure, 1 - sure)
        epochs.append(np.stack([true_class, 1 - true_class], axis=1))
    probabilities = np.stack(epochs)
    losses = -np.log(probabilities[..., 0]).mean(1)
    history = pd.DataFrame({"val_cross_entropy": losses, "val_accuracy": np.array(right) / 200})
    run = SimpleNamespace(history=history, best_epoch=2, val_logits=lambda: np.log(probabilities))
    groups = np.arange(200).astype(str)
    return fine_tuning_results.FineTuningResult("a", "VGG16", run, BASE, labels, groups, groups)


def test_an_overconfident_accurate_epoch_is_cured_by_a_temperature():
    found = headline_run.trade(two_epochs(0.8, 0.999, (150, 160)))
    assert (found["accurate"], found["lowest"]) == (2, 1)
    assert found["before"].low > 0
    # as sure as they are right: binary entropies of 0.75 and 0.8, the second lower
    assert found["after"].value == pytest.approx(-0.062, abs=0.03)
    assert found["accuracy"].value == pytest.approx(0.05)


def test_two_epochs_make_no_trend_and_stop_no_chapter():
    short = result_of("a", [0.4, 0.5])
    assert "too few" in run_diagnosis.trend_words(short)
    assert run_diagnosis.val_loss_slope(short) is None
    assert run_diagnosis.val_loss_slope(result_of("a", [0.2, 0.4, 0.6, 0.8])) is None
    assert run_diagnosis.val_loss_slope(result_of("a", list(np.linspace(0.1, 0.9, 10)))).high < 0
    assert list(run_diagnosis.histories(short)) == [short.name]


def test_what_runs_share_before_training_counts_once():
    def run(rows, name="", seconds=0.0):
        front = {"name": name, "seconds": seconds} if name else {}
        return SimpleNamespace(rows=lambda split: range(rows), front=front)

    lab = SimpleNamespace(preparation=lambda size, images: {"decoding": images / size})
    whole, one, two, other = run(40), run(40, "a", 2.0), run(30, "a", 2.0), run(40, "b", 5.0)
    assert fine_tuning_results.preparation(lab, 10, whole) == {"decoding": 4.0}
    assert fine_tuning_results.preparation(lab, 10, one, two) == {"decoding": 4.0, "frozen blocks": 2.0}
    assert fine_tuning_results.preparation(lab, 10, whole, one, other, two)["frozen blocks"] == 7.0
