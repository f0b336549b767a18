"""Classifiers: each shortcut against the plain library, each honest step against one that leaks, each bad input."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs
from sklearn.svm import SVC

from lab_utils.analysis import classification, classifiers, feature_tables, reductions, seed_spread, umaps, variance
from lab_utils.analysis.folds import Folds, grouped_folds, museum_gap, original_folds
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Accuracy


def blobs(n=240, classes=6, width=20, spread=4.0, seed=0):
    X, y = make_blobs(n, width, centers=classes, cluster_std=spread, random_state=seed)
    return X.astype(np.float32), y


def image_table(n, museum=None, lot=None, seed=0):
    rng = np.random.default_rng(seed)
    width, height = rng.integers(500, 4000, (2, n))
    table = pd.DataFrame({"width": width, "height": height, "product": width * height, "aspect": width / height})
    return table.assign(museum=museum if museum is not None else "", lot=lot if lot is not None else "")


# ---- tables ---------------------------------------------------------------------------------------------------------
def test_external_columns_carry_the_originals_names_and_one_column_a_museum():
    table = classification.external_columns(image_table(4, museum=["B", "A", "B", ""]))
    assert list(table) == ["Width", "Height", "Product size", "Aspect ratio", "Museum_A", "Museum_B", "Museum_unknown"]
    assert table["Museum_B"].tolist() == [1, 0, 1, 0] and table["Museum_unknown"].tolist() == [0, 0, 0, 1]


def test_where_no_museum_is_known_there_is_no_museum_column():
    assert list(classification.external_columns(image_table(3))) == ["Width", "Height", "Product size", "Aspect ratio"]


def test_standardising_looks_at_the_given_rows_only_and_zeroes_constant_columns():
    X = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 9.0]], np.float32)
    assert feature_tables.standardise(X, np.array([0, 1])).tolist() == [[-1, 0], [1, 0], [98, 0]]


@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_standardising_does_not_depend_on_the_scale_of_a_column(scale):
    X, rows = np.random.default_rng(0).normal(3, 1, (3000, 4)), np.arange(20)
    np.testing.assert_allclose(
        feature_tables.standardise(X * scale, rows), feature_tables.standardise(X, rows), rtol=1e-5
    )
    np.testing.assert_allclose(feature_tables.standardise(X, rows), (X - X[rows].mean(0)) / X[rows].std(0), rtol=1e-5)


@pytest.mark.parametrize("method", ["pca", "umap", "supervised umap"])
def test_a_reduction_does_not_change_when_other_rows_do(method):
    X, y = blobs(60)
    rows = np.arange(40)
    changed = X.copy()
    changed[50:] += 7
    hidden = np.where(np.arange(60) < 40, y, classification.UNSEEN)
    reduction = reductions.Reduction(method, 3, epochs=20)
    first, second = reduction.apply(X, hidden, rows), reduction.apply(changed, hidden, rows)
    assert first.shape == (60, 3)
    np.testing.assert_array_equal(first[:40], second[:40])


def test_supervised_umap_separates_pure_noise_on_the_rows_it_saw_and_nowhere_else():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 30)).astype(np.float32), np.tile(np.arange(5), 60)
    rows = np.arange(200)
    table = reductions.Reduction("supervised umap", 4, epochs=100).apply(X, y, rows)
    model = SVC().fit(table[rows], y[rows])
    assert (model.predict(table[rows]) == y[rows]).mean() > 0.6
    assert (model.predict(table[200:]) == y[200:]).mean() < 0.4


@pytest.mark.parametrize(("n", "dimensions"), [(5, 8), (12, 8), (3, 2)])
def test_fewer_images_than_neighbours_or_components_still_reduce(n, dimensions):
    X, y = blobs(n + 3, classes=2)
    for method in ("umap", "pca"):
        reduced = reductions.Reduction(method, dimensions, epochs=10).apply(X, y, np.arange(n))
        assert len(reduced) == n + 3 and np.isfinite(reduced).all()


def test_umap_on_two_images_is_refused_in_one_sentence():
    X, y = blobs(6)
    with pytest.raises(LabError, match="at least 3 images to fit on, there are 2"):
        reductions.Reduction("umap", 2).apply(X, y, np.arange(2))


def test_an_image_without_a_place_on_the_umap_is_named(monkeypatch):
    class Lost:
        def __init__(self, **_):
            pass

        def fit_transform(self, X, _):
            return np.zeros((len(X), 2))

        def transform(self, X):
            return np.full((len(X), 2), np.nan)

    monkeypatch.setattr(umaps, "umap_class", lambda: Lost)
    X, y = blobs(20)
    with pytest.raises(LabError, match="no place for 4 of 20 images \\(first: row 16\\)"):
        reductions.Reduction("umap", 2).apply(X, y, np.arange(16))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda X: np.where(np.arange(10)[:, None] == 4, np.nan, X), "not finite in 1 of 10 rows \\(first: row 4\\)"),
        (lambda X: np.where(X > -1e9, np.inf, X), "not finite in 10 of 10"),
        (lambda X: np.ones_like(X), "the same in all 10 rows"),
        (lambda X: X[:, :0], "shape \\(10, 0\\)"),
        (lambda X: X[0], "one row an image"),
    ],
)
def test_features_no_classifier_can_use_are_refused_in_one_sentence(damage, words):
    X = np.random.default_rng(0).normal(size=(10, 3))
    with pytest.raises(LabError, match=words):
        feature_tables.check_features(damage(X))


# ---- folds ----------------------------------------------------------------------------------------------------------
def test_original_folds_keep_the_tables_order_within_each_class():
    y = np.repeat([0, 1], 10)
    held = [sorted(out.tolist()) for _, out in original_folds(y, np.arange(20))]
    assert held == [[2 * i, 2 * i + 1, 10 + 2 * i, 11 + 2 * i] for i in range(5)]


def test_grouped_folds_never_put_a_lot_on_both_sides_and_cover_every_row_once():
    rng = np.random.default_rng(0)
    y, lots = rng.integers(0, 4, 200), np.array([f"lot {i}" for i in rng.integers(0, 40, 200)], object)
    lots[:30] = ""
    rows = np.arange(20, 200)
    folds = grouped_folds(y, lots, rows)
    assert sorted(np.concatenate([out for _, out in folds])) == rows.tolist() and folds.note == ""
    for fit, out in folds:
        assert not (set(lots[fit]) & set(lots[out]) - {""})


def test_where_lots_are_unknown_the_folds_are_shuffled_and_say_so():
    y = np.repeat([0, 1], 20)
    folds = grouped_folds(y, np.full(40, ""), np.arange(40))
    assert len(folds) == 5 and "shuffled by image, not grouped by lot" in folds.note
    assert sorted(next(iter(folds))[1]) != sorted(next(iter(original_folds(y, np.arange(40))))[1])


def test_classes_smaller_than_the_number_of_folds_mean_fewer_folds_and_a_note():
    y = np.array([0, 0, 0, 1, 1, 1, 2])
    for folds in (original_folds(y, np.arange(7)), grouped_folds(y, np.full(7, ""), np.arange(7))):
        assert len(folds) == 3 and "3 folds instead of 5" in folds.note


def test_no_folds_of_classes_with_one_image_each():
    with pytest.raises(LabError, match="two train images"):
        original_folds(np.arange(4), np.arange(4))


def test_one_lot_for_everything_cannot_be_grouped():
    with pytest.raises(LabError, match="need 5 lots, there are 1"):
        grouped_folds(np.repeat([0, 1], 10), np.full(20, "1963.350"), np.arange(20))


@pytest.mark.skipif(not os.environ.get("MAME_ROOT"), reason="MAME_ROOT is not set: real metadata needed")
def test_unshuffled_folds_of_mame_differ_in_museum_as_the_facts_say():
    table = pd.read_csv(Path(os.environ["MAME_ROOT"]) / "MAMe_dataset.csv")
    train = table[table["Subset"] == "train"].reset_index(drop=True)
    y, metropolitan = pd.factorize(train["Medium"])[0], train["Museum"].str.startswith("Metropolitan")
    shares = [metropolitan.iloc[out].mean() for _, out in original_folds(y, np.arange(len(y)))]
    assert shares[0] == pytest.approx(0.97, abs=0.005) and shares[4] == pytest.approx(0.25, abs=0.005)


# ---- the comparison -------------------------------------------------------------------------------------------------
def test_compare_uses_no_label_outside_the_rows_it_may_fit_on():
    X, y = blobs(100)
    rows = np.arange(60)
    hidden = np.where(np.arange(100) < 60, y, classification.UNSEEN)
    result = classification.compare(
        lambda fit: classification.full_views(X, fit, 10), hidden, rows, classifiers.full_classifiers(20, 5, 10)
    )
    assert result.accuracy("Ridge", y[60:], np.arange(60, 100)).value > 0.8
    assert set(result.predictions) == {"XGBoost", "Linear SVM", "Random forest", "RBF SVM", "Ridge", "Voting"}
    assert all((guess >= 0).all() for guess in result.predictions.values())


def test_cross_validation_scores_each_train_row_once_by_models_that_did_not_see_it():
    X, y = blobs(90)
    rows, seen = np.arange(60), []

    def tables(fit):
        seen.append(fit)
        return {"all": X}

    folds = grouped_folds(y, np.full(90, ""), rows)
    result = classification.compare(tables, y, rows, {"Ridge": classifiers.EstimatorOnView(classifiers.Ridge())}, folds)
    assert result.cv("Ridge").n == 60 and len(result.folds["Ridge"]) == 5
    assert (result.held["Ridge"][60:] == classification.UNSEEN).all() and (result.held["Ridge"][:60] >= 0).all()
    assert [len(fit) for fit in seen[:-1]] == [48] * 5 and len(seen[-1]) == 60


def test_the_originals_protocol_leaks_and_the_repaired_one_does_not():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(260, 30)).astype(np.float32), np.tile(np.arange(4), 65)
    rows, reduction = np.arange(200), reductions.Reduction("supervised umap", 8, epochs=100)
    few = {"RBF SVM": classifiers.EstimatorOnView(SVC())}
    there, table = classification.as_in_the_original(X, image_table(260), y, rows, reduction=reduction, classifiers=few)
    folds = grouped_folds(y, np.full(260, ""), rows)
    here = classification.done_right(X, y, rows, folds, reduction=reduction, classifiers=few)
    assert there.cv("RBF SVM").value > 0.6  # pure noise: nothing above 0.25 can be earned
    assert here.cv("RBF SVM").value < 0.4
    assert there.accuracy("RBF SVM", y[200:], np.arange(200, 260)).value < 0.45
    assert [name for name in table if name.startswith("umap_")] == [f"umap_{i}" for i in range(8)]


def test_a_fold_of_one_class_predicts_that_class_and_a_class_missing_from_a_fold_is_no_error():
    X, y = blobs(30, classes=3)
    y = np.sort(y)
    folds = Folds(((np.flatnonzero(y == 0), np.flatnonzero(y > 0)), (np.flatnonzero(y != 1), np.flatnonzero(y == 1))))
    result = classification.compare(
        lambda fit: {"all": X}, y, np.arange(30), classifiers.original_classifiers(3, 5), folds
    )
    for name, parts in result.folds.items():
        assert [part.successes for part in parts] == [0, 0], name
    assert set(result.held["Linear SVM"][y > 1]) == {0}


def test_importances_have_a_row_a_column_and_a_column_a_tree_ensemble():
    X, y = blobs(80, width=4)
    result = classification.compare(lambda fit: {"all": X}, y, np.arange(80), classifiers.original_classifiers(3, 5))
    table = classification.importances(result, list("abcd"))
    assert table.shape == (4, 2) and list(table) == ["XGBoost", "Random forest"]
    np.testing.assert_allclose(table.sum(), 1, atol=1e-5)


# ---- decomposition and noise ----------------------------------------------------------------------------------------
def test_the_decomposition_is_the_analysis_of_variance_by_hand():
    cells = np.array([[0.2, 0.4], [0.6, 1.0]])  # row means .3 .8, column means .4 .7, grand .55
    order = np.random.default_rng(0).permutation(2000)  # so many images that their noise is next to nothing
    correct = np.stack([[order < 2000 * cell for cell in row] for row in cells])
    found = variance.decompose(correct)
    total = ((cells - 0.55) ** 2).sum()
    assert found.features.value == pytest.approx(2 * 2 * 0.25**2 / total, abs=0.01)
    assert found.classifier.value == pytest.approx(2 * 2 * 0.15**2 / total, abs=0.01)
    assert found.interaction.value == pytest.approx(4 * 0.05**2 / total, abs=0.01)
    assert found.lead.value == pytest.approx(found.features.value - found.classifier.value)
    assert found.reduction is None and found.spread.value == pytest.approx((total / 4) ** 0.5)


def test_a_jump_between_reductions_is_not_booked_on_the_features():
    rng = np.random.default_rng(0)
    chance = 0.3 + 0.3 * np.arange(2)[None, :, None, None] + np.array([0, 0.1])[None, None, :, None]
    correct = rng.random((3, 2, 2, 1000)) < chance
    found = variance.decompose(correct)
    assert found.reduction.value == pytest.approx(0.9, abs=0.05) and found.features.value < 0.05
    assert found.classifier.value == pytest.approx(0.1, abs=0.05) and found.lead.high < 0


def test_without_any_effect_neither_features_nor_classifier_lead():
    leads = []
    for seed in range(8):
        correct = np.random.default_rng(seed).random((8, 3, 60)) < 0.6
        leads.append(variance.decompose(correct, seed=seed).lead)
    assert sum(not lead.low <= 0 <= lead.high for lead in leads) <= 1
    assert (
        abs(np.mean([lead.value for lead in leads])) < 0.35
    )  # eight rows against three columns: no advantage of the eight


def test_the_decomposition_tells_features_from_classifiers_on_enough_images():
    rng = np.random.default_rng(0)
    chance = np.array([0.3, 0.6, 0.9])[:, None, None] + np.array([0, 0.02])[None, :, None]
    found = variance.decompose(rng.random((3, 2, 600)) < chance)
    assert found.lead.low > 0 and found.features.value > 0.9
    turned = variance.decompose((rng.random((3, 2, 600)) < chance).transpose(1, 0, 2))
    assert turned.lead.high < 0


def test_a_decomposition_needs_two_of_each():
    with pytest.raises(LabError, match="two feature sets and two classifiers"):
        variance.decompose(np.ones((1, 3, 5)))


def test_the_noise_floor_is_the_standard_deviation_between_seeds():
    runs = {"seed": [{"A": Accuracy(5, 10), "B": Accuracy(6, 10)}, {"A": Accuracy(7, 10), "B": Accuracy(6, 10)}]}
    table, floor = seed_spread.noise_floor(runs)
    assert (floor.smallest, floor.largest) == pytest.approx((0, 0.02**0.5)) and len(table) == 4
    assert floor.value == pytest.approx(0.1) and floor.seeds == 2 and "10.0 points" in str(floor)
    assert floor.between(2) == pytest.approx(1.96 * 0.1 * 1.5**0.5, rel=1e-3) and floor.to_record()[
        "value"
    ] == pytest.approx(0.1)


def test_chance_runs_keep_the_protocol_and_change_the_seed_only():
    X, y = blobs(90, classes=3)
    train, val = np.arange(60), np.arange(60, 90)
    options = {
        "reduction": reductions.Reduction("supervised umap", 2, epochs=20),
        "classifiers": {"A": classifiers.EstimatorOnView(SVC())},
    }
    runs = seed_spread.chance_runs(X, image_table(90), y, train, val, seeds=2, **options)
    plain, _ = classification.as_in_the_original(X, image_table(90), y, train, folds=0, **options)
    assert list(runs) == ["UMAP seed", "split seed"] and [len(several) for several in runs.values()] == [2, 2]
    assert runs["UMAP seed"][0] == runs["split seed"][0]
    assert runs["UMAP seed"][0]["A"].value == plain.accuracy("A", y[val], val).value


def test_a_new_split_keeps_the_size_of_each_class_and_no_image_twice():
    y = np.array([0] * 9 + [1] * 5 + [0] * 3 + [1] * 3 + [9] * 4)
    train, val = np.arange(14), np.arange(14, 20)
    fit, held = seed_spread.resplit(y, train, val, seed=1)
    assert sorted([*fit, *held]) == list(range(20)) and (np.sort(y[fit]) == np.sort(y[train])).all()
    assert fit.tolist() != train.tolist()


def test_a_stratified_part_has_as_many_of_each_class():
    y = np.repeat(np.arange(4), 25)
    part = classification.stratified_part(y, np.arange(100), 20)
    assert np.bincount(y[part]).tolist() == [5, 5, 5, 5] and (np.diff(part) > 0).all()
    assert classification.stratified_part(y, np.arange(10), 20).tolist() == list(range(10))


def test_component_steps_are_powers_of_two_and_the_most_itself():
    assert classification.component_steps(637) == [
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        637,
    ] and classification.component_steps(2) == [2]


def test_accuracy_by_dimension_falls_when_dimensions_do():
    X, y = blobs(200, classes=8, width=10, spread=1.0)
    found = classification.accuracy_by_dimension(
        X, y, np.arange(120), np.arange(120, 200), [reductions.Reduction("pca", d) for d in (1, 8)]
    )
    one, eight = (accuracy.value for accuracy in found.values())
    assert eight > one + 0.1


# ---- what is read off results ---------------------------------------------------------------------------------------
def result_of(**predictions):
    return classification.CVResult({name: np.array(guess) for name, guess in predictions.items()}, {}, {})


def test_the_best_is_chosen_on_the_given_rows():
    result, truth = result_of(A=[0, 0, 1, 1], B=[1, 0, 0, 0], Voting=[0, 0, 0, 0]), np.zeros(4, int)
    assert classification.best(result, truth, np.arange(4)) == "Voting"
    assert classification.best(result, truth[:2], np.arange(2)) == "A"


def test_what_is_said_of_train_comes_from_the_fitted_estimator_and_not_from_the_stored_labels():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.integers(5, 8, 60)
    result = classification.compare(
        lambda fit: {"all": X}, y, np.arange(60), {"Ridge": classifiers.EstimatorOnView(classifiers.Ridge())}
    )
    found = classification.train_guesses(result, X, y, np.arange(60))["Ridge"]
    assert 0.2 < (found == y).mean() < 0.8 and set(found) <= {5, 6, 7}


def test_the_best_single_classifier_by_cross_validation_is_no_vote():
    folds = {"A": [Accuracy(5, 10)], "B": [Accuracy(7, 10)], "Voting": [Accuracy(9, 10)]}
    assert classification.best_by_cv(classification.CVResult({}, folds, {})) == "B"


def test_fold_and_museum_gaps_by_hand():
    folds = Folds(((np.array([2, 3]), np.array([0, 1])), (np.array([0, 1]), np.array([2, 3]))))
    result = classification.CVResult({}, {"A": [Accuracy(1, 10), Accuracy(9, 10), Accuracy(5, 10)]}, {})
    assert classification.fold_gap(result, "A").value == pytest.approx(0.8)
    assert museum_gap(np.array(["M", "M", "M", "L"]), folds) == 0.5
    assert museum_gap(np.array(["", "", "", ""]), folds) == 0


def test_a_mean_difference_is_the_gap_between_means():
    truth, one = np.zeros(4, int), np.array([0, 0, 0, 1])
    found = classification.mean_difference(truth, [one], [np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])])
    assert found.value == pytest.approx(0.75 - (0.25 + 0.5) / 2) and found.low <= found.value <= found.high
    lots = np.array(["x", "x", "y", "y"])  # both lots alike: nothing varies
    assert classification.mean_difference(truth, [np.array([0, 1, 0, 1])], [np.ones(4)], lots=lots).low == 0.5


def test_confusion_between_and_within_super_groups_by_hand():
    between, within = classification.group_confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 2, 2]), ["a", "a", "b"])
    assert (between.successes, between.n) == (3, 4) and (within.successes, within.n) == (2, 3)
    assert classification.group_confusion(np.array([0]), np.array([2]), ["a", "a", "b"])[1] is None


def test_labels_that_were_not_placed_are_unseen():
    assert classification.masked_labels(4, np.array([1, 2]), np.array([7, 8])).tolist() == [-1, 7, 8, -1]


# ---- real photographs -----------------------------------------------------------------------------------------------
@pytest.mark.skipif(not os.environ.get("LAB_PHOTOS"), reason="LAB_PHOTOS is not set: real photographs needed")
def test_on_real_photos_the_plain_probe_lies_clearly_above_both_umaps_in_the_same_folds(tmp_path):
    from lab_utils.stats.intervals import paired_difference
    from lab_utils.training import features

    paths = sorted(path for path in Path(os.environ["LAB_PHOTOS"]).glob("*/*") if path.is_file())
    _, y = np.unique([path.parent.name for path in paths], return_inverse=True)
    found = features.extract("lite0", paths, data_hash="photos of the test", layers=["penultimate"], folder=tmp_path)
    X, rows = np.array(found["penultimate"]), np.arange(len(y))
    folds = grouped_folds(y, np.full(len(y), ""), rows)
    probe = classification.done_right(
        X, y, rows, folds, classifiers={"Ridge": classifiers.EstimatorOnView(classifiers.Ridge())}
    )
    assert len(folds) == 5 and 0.27 < probe.cv("Ridge").value < 0.45
    for method in ("umap", "supervised umap"):
        svm = {"RBF SVM": classifiers.EstimatorOnView(SVC())}
        reduced = classification.done_right(
            X, y, rows, folds, reduction=reductions.Reduction(method, 8), classifiers=svm
        )
        gap = paired_difference(y, probe.held["Ridge"], reduced.held["RBF SVM"])
        assert gap.low > 0.05, f"{method}: {gap}"
