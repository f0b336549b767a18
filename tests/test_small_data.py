"""The linear model for few images and its nested accuracy; and the benchmark's nested comparison."""

import importlib.util

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from lab_utils.analysis import small_data
from lab_utils.core.records import PROJECT


@pytest.fixture
def classes():
    """Five classes of twelve samples in 60 dimensions, well apart; their labels; each sample a group of its own."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 12)
    X = (rng.normal(size=(5, 60))[labels] + rng.normal(size=(60, 60))).astype(np.float32)
    return X, labels, np.arange(60)


def test_folds_hold_every_image_once_and_never_part_a_group(classes):
    _, labels, _ = classes
    groups = np.arange(60) // 2
    pairs = small_data.folds(labels, groups)
    assert sorted(np.concatenate([test for _, test in pairs])) == list(range(60))
    for train, test in pairs:
        assert not {*groups[train]} & {*groups[test]}
        assert {*labels[train]} == {*range(5)}


def test_folds_are_as_many_as_the_largest_class_has_different_images():
    assert len(small_data.folds(np.repeat([0, 1], 6), np.arange(12) // 2)) == 3
    assert small_data.folds(np.repeat([0, 1], 3), np.array([0, 0, 0, 1, 1, 1])) == []


def test_a_class_of_two_images_is_in_every_train_part():
    for seed in range(20):
        labels = np.repeat([0, 1, 2], [20, 9, 2])
        assert all(2 in labels[train] for train, _ in small_data.folds(labels, np.arange(31), seed))


def test_the_penalty_is_the_one_that_hand_written_folds_choose(classes):
    X, labels, groups = classes
    hits = []
    for strength in small_data.STRENGTHS:
        ridge = RidgeClassifier(alpha=strength * float(X.var(0).sum()))
        scores = [
            ridge.fit(X[train], labels[train]).score(X[test], labels[test])
            for train, test in small_data.folds(labels, groups)
        ]
        hits.append(np.mean(scores))
    chosen = small_data.fit_ridge(X, labels, groups).alpha / float(X.var(0).sum())
    assert chosen == pytest.approx(small_data.STRENGTHS[int(np.argmax(hits))])


def test_noise_gets_a_stronger_penalty_than_what_separates_the_classes():
    rng = np.random.default_rng(1)
    labels, groups = np.repeat([0, 1], 60), np.arange(120)
    clear = (labels[:, None] + 0.001 * rng.normal(size=(120, 200))).astype(np.float32)
    hidden = rng.normal(size=(120, 200)).astype(np.float32)
    hidden[:, 0] += 1.5 * labels
    weak, strong = (small_data.fit_ridge(X, labels, groups).alpha / X.var(0).sum() for X in (clear, hidden))
    assert weak == pytest.approx(small_data.STRENGTHS[0])  # all are right: the strongest of equals
    assert strong > 0


def test_units_of_the_features_change_nothing(classes):
    X, labels, groups = classes
    plain = small_data.nested_predictions(X, labels, groups)
    for factor in (64, 2.0**-40):
        scaled = (factor * X).astype(np.float32)
        assert np.array_equal(plain, small_data.nested_predictions(scaled, labels, groups))
    assert (plain == labels).mean() > 0.8


def test_a_feature_that_hardly_varied_among_few_images_does_not_decide_on_a_new_one(classes):
    """Standardised, this column would be a thousand spreads away and outweigh the 60 that separate the classes."""
    X, labels, groups = classes
    rare = np.concatenate([X, 1e-4 * np.arange(60, dtype=np.float32)[:, None] / 60], axis=1)
    model = small_data.fit_ridge(rare, labels, groups)
    new = rare.copy()
    new[:, -1] = 0.5
    assert (model.predict(new) == model.predict(rare)).all()


def test_nested_predictions_never_saw_their_image():
    """Each sample is its own feature, so nothing can be learnt for another one."""
    labels = np.repeat(np.arange(5), 12)
    assert (small_data.nested_predictions(np.eye(60, dtype=np.float32), labels, np.arange(60)) == labels).mean() < 0.3


def test_images_saved_twice_with_random_labels_stay_near_chance():
    """The cheat that grouping prevents: with the copies as images of their own, random labels can be learnt."""
    rng = np.random.default_rng(2)
    X, labels = rng.normal(size=(60, 200)).astype(np.float32), np.repeat([0, 1], 30)
    twice = np.concatenate([X, X + 0.01 * rng.normal(size=X.shape).astype(np.float32)])
    both, copies = np.tile(labels, 2), np.tile(np.arange(60), 2)
    honest = (small_data.nested_predictions(twice, both, copies) == both).mean()
    fooled = (small_data.nested_predictions(twice, both, np.arange(120)) == both).mean()
    assert 0.3 < honest < 0.7
    assert fooled > 0.85


def test_two_classes_give_two_columns_and_an_unseen_class_the_lowest_score():
    X = np.array([[0.0], [1], [10], [11]])
    ridge = RidgeClassifier().fit(X, [0, 0, 2, 2])
    scores = small_data.scores_of(ridge, X, 4)
    assert scores.shape == (4, 4)
    assert scores.argmax(1).tolist() == [0, 0, 2, 2]
    assert (scores[:, [1, 3]] == scores.min(1, keepdims=True)).all()


def test_scores_out_of_fold_are_those_of_models_fitted_without_the_fold(classes):
    X, labels, groups = classes
    scores = small_data.out_of_fold_scores(X, labels, groups, 5.0)
    for train, test in small_data.folds(labels, groups):
        expected = RidgeClassifier(alpha=5.0).fit(X[train], labels[train]).decision_function(X[test])
        assert scores[test] == pytest.approx(expected)


# ---- the benchmark's comparison --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("small_data_benchmark", PROJECT / "benchmarks" / "small_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compared(benchmark, sets, recipes, labels, repeats=1):
    groups = np.arange(len(labels))
    benchmark.nested(
        sets, recipes, labels, repeats, lambda rows, seed: small_data.folds(labels[rows], groups[rows], seed)
    )
    return recipes


def test_coordinates_keep_all_inner_products_of_blocks_of_equal_length(benchmark, classes):
    X = classes[0]
    train, test = np.arange(0, 60, 2), np.arange(1, 60, 2)
    inside, outside = benchmark.FeatureSet([X, 1000 * X[:, ::-1]], "as they are").coordinates(train, test)
    joined = np.concatenate([X, 1000 * X[:, ::-1]], axis=1).astype(float)
    joined -= joined[train].mean(0)
    joined /= np.sqrt(np.square(joined[train]).sum(1).mean())
    assert outside @ inside.T == pytest.approx(joined[test] @ joined[train].T, abs=1e-3)


def test_a_true_gain_is_found_and_the_choice_inside_takes_it(benchmark, classes):
    X, labels, _ = classes
    noise = np.random.default_rng(3).normal(size=(60, 60))
    sets = {"good": benchmark.FeatureSet([X]), "noise": benchmark.FeatureSet([noise])}
    recipes = [benchmark.Recipe(name, [(name, benchmark.RIDGE[2])]) for name in sets]
    recipes += [benchmark.Recipe("chosen", [(name, head) for name in sets for head in benchmark.HEADS])]
    good, bad, chosen = compared(benchmark, sets, recipes, labels)
    assert good.minus(bad).low > 0.3
    assert chosen.minus(bad).low > 0.3
    assert all(name == "good" for name, _ in chosen.chosen)
    wide, narrow = good.minus(bad, 10), good.minus(bad)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_choosing_inside_among_noise_does_not_beat_chance_where_choosing_by_the_result_does(benchmark):
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 30)
    sets = {f"noise {k}": benchmark.FeatureSet([rng.normal(size=(60, 3))]) for k in range(30)}
    single = [benchmark.Recipe(name, [(name, "nearest centroid")]) for name in sets]
    chosen = benchmark.Recipe("chosen", [(name, "nearest centroid") for name in sets])
    compared(benchmark, sets, [*single, chosen], labels, repeats=2)
    low, high = chosen.accuracy().interval
    assert low < 0.5 < high
    assert max(recipe.accuracy().interval[0] for recipe in single) > 0.5
