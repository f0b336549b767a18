"""Classifiers: each shortcut against the plain library, each honest step against one that leaks, each bad input."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.model_selection import PredefinedSplit, StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from lab_utils.analysis import classification, classifiers, feature_tables, seed_spread, variance
from lab_utils.analysis.folds import as_many_folds, grouped_folds, museum_gap
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import Classification
from lab_utils.stats.intervals import Accuracy
from tests.notebook_cells import function_of


def to_umap(dimensions=8, seed=0, labels=True, epochs=100):
    """The notebook's own reduction."""
    use = Classification(umap_epochs=epochs, seed=seed)
    return function_of("05_classification", "to_umap", use=use, train=range(100))(dimensions, seed, labels)


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


@pytest.mark.parametrize("labels", [True, False])
def test_the_originals_table_does_not_change_on_train_when_other_images_do(labels):
    X, y = blobs(60)
    rows, images = np.arange(40), image_table(60)
    changed = X.copy()
    changed[50:] += 7
    hidden = np.where(np.arange(60) < 40, y, classification.UNSEEN)
    first, second = (
        classification.original_table(features, images, hidden, rows, to_umap(3, labels=labels, epochs=20))
        for features in (X, changed)
    )
    assert list(first)[4:] == ["umap_0", "umap_1", "umap_2"] and first.shape == (60, 7)
    np.testing.assert_array_equal(first[:40], second[:40])


def test_supervised_umap_separates_pure_noise_on_the_images_it_saw_and_nowhere_else():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 30)).astype(np.float32), np.tile(np.arange(5), 60)
    reduce = to_umap(4)
    told, others = reduce.fit_transform(X[:200], y[:200]), reduce.transform(X[200:])
    model = SVC().fit(told, y[:200])
    assert model.score(told, y[:200]) > 0.6 and model.score(others, y[200:]) < 0.4
    blind = to_umap(4, labels=False).fit_transform(X[:200], y[:200])
    assert SVC().fit(blind, y[:200]).score(blind, y[:200]) < 0.6


def test_fewer_images_than_neighbours_still_reduce_and_too_few_are_one_sentence():
    X, y = blobs(15, classes=2)
    table = classification.original_table(X, image_table(15), y, np.arange(12), to_umap(2, epochs=10))
    assert np.isfinite(table).all(axis=None)
    with pytest.raises(LabError, match="2 train images can't be reduced"):
        classification.original_table(X, image_table(15), y, np.arange(2), PCA(3))


def test_an_image_without_a_place_on_the_umap_is_named():
    class Lost(BaseEstimator):
        def fit_transform(self, X, _):
            return np.zeros((len(X), 2))

        def transform(self, X):
            return np.full((len(X), 2), np.nan)

    X, y = blobs(20)
    with pytest.raises(LabError, match="no place for 4 of 20 images \\(first: row 16\\)"):
        classification.original_table(X, image_table(20), y, np.arange(16), Lost())


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
ORDERED = StratifiedKFold(5)


def test_original_folds_keep_the_tables_order_within_each_class():
    y = np.repeat([0, 1], 10)
    held = [sorted(out.tolist()) for _, out in classification.positions(ORDERED, np.arange(20), y)]
    assert held == [[2 * i, 2 * i + 1, 10 + 2 * i, 11 + 2 * i] for i in range(5)]


def test_grouped_folds_never_put_a_lot_on_both_sides_and_cover_every_row_once():
    rng = np.random.default_rng(0)
    y, lots = rng.integers(0, 4, 200), np.array([f"lot {i}" for i in rng.integers(0, 40, 200)], object)
    rows, named = np.arange(20, 200), lots.copy()
    lots[:30] = ""
    shuffled = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for folds in (grouped_folds(y, lots, rows), classification.positions(shuffled, rows, y, named)):
        assert sorted(np.concatenate([out for _, out in folds])) == rows.tolist()
        for fit, out in folds:
            assert not (set(lots[fit]) & set(lots[out]) - {""})


def test_where_lots_are_unknown_the_folds_are_shuffled_and_it_is_said():
    y, alone = np.repeat([0, 1], 20), np.arange(40)
    folds = grouped_folds(y, np.full(40, ""), np.arange(40))
    assert len(folds) == 5 and "folds divide single images" in as_many_folds(5, y, alone)[1]
    assert sorted(folds[0][1]) != sorted(classification.positions(ORDERED, np.arange(40), y)[0][1])


def test_classes_and_lots_fewer_than_folds_mean_fewer_folds_and_a_note():
    y = np.array([0, 0, 0, 1, 1, 1, 2])
    assert as_many_folds(5, y) == (3, "3 folds instead of 5: no class has more train images.")
    number, note = as_many_folds(5, np.repeat([0, 1], 10), np.repeat(["a", "b"], 10))
    assert number == 2 and note == "2 folds instead of 5: there are no more lots."
    assert len(grouped_folds(y, np.full(7, ""), np.arange(7))) == 3


def test_no_folds_of_classes_with_one_image_each_or_of_one_lot():
    with pytest.raises(LabError, match="two train images"):
        as_many_folds(5, np.arange(4))
    with pytest.raises(LabError, match="at least 2 lots, there is 1"):
        as_many_folds(5, np.repeat([0, 1], 10), np.full(20, "1963.350"))
    with pytest.raises(LabError, match="need 5 lots, there are 1"):
        grouped_folds(np.repeat([0, 1], 10), np.full(20, "1963.350"), np.arange(20))


@pytest.mark.skipif(not os.environ.get("MAME_ROOT"), reason="MAME_ROOT is not set: real metadata needed")
def test_unshuffled_folds_of_mame_differ_in_museum_as_the_facts_say():
    table = pd.read_csv(Path(os.environ["MAME_ROOT"]) / "MAMe_dataset.csv")
    train = table[table["Subset"] == "train"].reset_index(drop=True)
    y, metropolitan = pd.factorize(train["Medium"])[0], train["Museum"].str.startswith("Metropolitan")
    folds = classification.positions(ORDERED, np.arange(len(y)), y)
    shares = [metropolitan.iloc[out].mean() for _, out in folds]
    assert shares[0] == pytest.approx(0.97, abs=0.005) and shares[4] == pytest.approx(0.25, abs=0.005)


# ---- the comparison -------------------------------------------------------------------------------------------------
RIDGE = make_pipeline(StandardScaler(), classifiers.Ridge())


def test_evaluating_uses_no_label_outside_the_rows_it_may_fit_on():
    X, y = blobs(100)
    rows = np.arange(60)
    hidden = np.where(np.arange(100) < 60, y, classification.UNSEEN)
    models = classifiers.full_classifiers(20, 10, 5, 10)
    result = classification.evaluate(models, X, hidden, rows, voters=[name for name in models if name != "Ridge"])
    assert (result.answers["Ridge"][60:] == y[60:]).mean() > 0.8
    assert set(result.answers) == {"XGBoost", "Linear SVM", "Random forest", "RBF SVM", "Ridge", "Voting"}
    assert all((guess[60:] >= 0).all() and (guess[:60] == -1).all() for guess in result.answers.values())


def test_cross_validated_answers_are_those_of_scikit_learn_and_val_is_answered_by_the_fit_on_all_of_train():
    X, y = blobs(90, spread=9.0)
    rows, folds = np.arange(60), StratifiedKFold(5, shuffle=True, random_state=0)
    result = classification.evaluate({"Ridge": RIDGE}, X, y, rows, folds)
    theirs = cross_val_predict(RIDGE, X[:60], y[:60], cv=folds)
    assert (result.answers["Ridge"][:60] == theirs).all() and (theirs != y[:60]).any()
    assert (result.answers["Ridge"][60:] == RIDGE.fit(X[:60], y[:60]).predict(X[60:])).all()
    assert result.cv("Ridge").n == 60 and [fold.n for fold in result.folds("Ridge")] == [12] * 5
    assert "Voting" not in result.answers  # one classifier is no vote


def test_seconds_of_the_table_are_added_once_to_every_classifier_and_to_the_vote():
    X, y = blobs(90)
    models, table = {"A": RIDGE, "B": classifiers.Ridge()}, pd.DataFrame(X)
    table.attrs["seconds"] = 100.0
    seconds = classification.evaluate(models, table, y, np.arange(60)).seconds
    assert all(100 < value < 150 for value in seconds.values()) and set(seconds) == {"A", "B", "Voting"}


def test_the_originals_protocol_leaks_and_the_repaired_one_does_not():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(260, 30)).astype(np.float32), np.tile(np.arange(4), 65)
    train, val = np.arange(200), np.arange(200, 260)
    table = classification.original_table(X, image_table(260), y, train, to_umap()).to_numpy()
    there = classification.evaluate({"RBF SVM": SVC()}, table, y, train, ORDERED)
    grouped = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    pipeline = {"RBF SVM": make_pipeline(to_umap(), SVC())}
    here = classification.evaluate(pipeline, X, y, train, grouped, np.arange(260))
    assert there.cv("RBF SVM").value > 0.6  # pure noise: nothing above 0.25 can be earned
    assert here.cv("RBF SVM").value < 0.4
    assert there.accuracy("RBF SVM", val).value < 0.45
    assert here.minus("RBF SVM", "RBF SVM", train, there).high < -0.2


def test_a_fold_of_one_class_predicts_that_class_and_a_class_missing_from_a_fold_is_no_error():
    X, y = blobs(30, classes=3)
    y = np.sort(y)
    folds = PredefinedSplit(np.where(y == 0, -1, 0))  # fitted on class 0, scored on the two others
    result = classification.evaluate(classifiers.original_classifiers(3, 5), X, y, np.arange(30), folds)
    for name in result.answers:
        assert [part.successes for part in result.folds(name)] == [0], name
    assert set(result.answers["Linear SVM"][y > 0]) == {0}


def test_the_vote_is_the_one_of_scikit_learns_voting_classifier():
    X, y = blobs(160, spread=9.0)
    members = {"a": LinearSVC(random_state=0), "b": SVC(), "c": RandomForestClassifier(10, random_state=0)}
    theirs = VotingClassifier(list(members.items())).fit(X[:100], y[:100]).predict(X[100:])
    ours = classification.evaluate(members, X, y, np.arange(100)).answers["Voting"]
    assert (ours[100:] == theirs).all()


def test_importances_have_a_row_a_column_and_a_column_a_tree_ensemble():
    X, y = blobs(80, width=4)
    result = classification.evaluate(classifiers.original_classifiers(3, 5), X, y, np.arange(80))
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
    options = {"reduce": lambda seed: to_umap(2, seed, epochs=20), "classifiers": {"A": SVC()}}
    runs = seed_spread.chance_runs(X, image_table(90), y, train, val, seeds=2, **options)
    table = classification.original_table(X, image_table(90), y, train, to_umap(2, 0, epochs=20))
    plain = classification.evaluate({"A": SVC()}, table.to_numpy(), y, train)
    assert list(runs) == ["UMAP seed", "split seed"] and [len(several) for several in runs.values()] == [2, 2]
    assert runs["UMAP seed"][0] == runs["split seed"][0]
    assert runs["UMAP seed"][0]["A"].value == plain.accuracy("A", val).value


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
    assert classification.component_steps(637) == [2, 4, 8, 16, 32, 64, 128, 256, 637]
    assert classification.component_steps(2) == [2]


# ---- what is read off results ---------------------------------------------------------------------------------------
def result_of(labels, train=(), held=(), **answers):
    rows = tuple(np.array(part) for part in held)
    return classification.Result(
        {name: np.array(guess) for name, guess in answers.items()}, {}, {}, np.array(train, int), rows, np.array(labels)
    )


def test_the_best_is_chosen_on_the_given_rows():
    result = result_of([0, 0, 0, 0], A=[0, 0, 1, 1], B=[1, 0, 0, 0], Voting=[0, 0, 0, 0])
    assert classification.best(result, np.arange(4)) == "Voting"
    assert classification.best(result, np.arange(2)) == "A"


def test_what_is_said_of_train_comes_from_the_fitted_classifier_and_not_from_the_stored_answers():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.integers(5, 8, 60)
    result = classification.evaluate({"Ridge": RIDGE}, X, y, np.arange(60))
    guess = result.fitted["Ridge"].predict(X)
    assert 0.2 < (guess == y).mean() < 0.8 and set(guess) <= {5, 6, 7}
    assert (result.answers["Ridge"] == classification.UNSEEN).all()


def test_the_best_single_classifier_by_cross_validation_is_no_vote():
    result = result_of([0] * 4, range(4), A=[0, 1, 1, 1], B=[0, 0, 1, 1], Voting=[0, 0, 0, 0])
    assert classification.best_by_cv(result) == "B"


def test_fold_and_museum_gaps_by_hand():
    held = ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    result = result_of([0] * 10, range(10), held, A=[0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    assert classification.fold_gap(result, "A").value == pytest.approx(0.8)
    assert museum_gap(np.array(["M", "M", "M", "L"]), [np.array([0, 1]), np.array([2, 3])]) == 0.5
    assert museum_gap(np.array(["", "", "", ""]), [np.array([0, 1])]) == 0


def test_a_pair_picked_from_many_has_a_wider_interval():
    rng = np.random.default_rng(0)
    result = result_of([0] * 200, A=rng.random(200) < 0.3, B=rng.random(200) < 0.4)
    one, many = (result.minus("A", "B", np.arange(200), comparisons=number) for number in (1, 20))
    assert one.value == many.value and many.low < one.low < one.high < many.high


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


# ---- real photographs -----------------------------------------------------------------------------------------------
@pytest.mark.skipif(not os.environ.get("LAB_PHOTOS"), reason="LAB_PHOTOS is not set: real photographs needed")
def test_on_real_photos_the_plain_probe_lies_clearly_above_both_umaps_in_the_same_folds(tmp_path):
    from lab_utils.training import features

    paths = sorted(path for path in Path(os.environ["LAB_PHOTOS"]).glob("*/*") if path.is_file())
    _, y = np.unique([path.parent.name for path in paths], return_inverse=True)
    found = features.extract("lite0", paths, data_hash="photos of the test", layers=["penultimate"], folder=tmp_path)
    X, rows = np.array(found["penultimate"]), np.arange(len(y))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    probe = classification.evaluate({"Ridge": RIDGE}, X, y, rows, folds)
    assert len(probe.held) == 5 and 0.27 < probe.cv("Ridge").value < 0.45
    for labels in (True, False):
        svm = {"RBF SVM": make_pipeline(to_umap(labels=labels), SVC())}
        reduced = classification.evaluate(svm, X, y, rows, folds)
        gap = probe.minus("Ridge", "RBF SVM", rows, reduced)
        assert gap.low > 0.05, f"labels: {labels}: {gap}"
