"""Heads on small data: exact rotation, honest nesting, and the paired gain."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler, normalize

from lab_utils.analysis.small_data import (
    Candidate,
    Centroids,
    Fold,
    NestedResult,
    Standardised,
    coordinates,
    cross_scores,
    make_head,
    nested_cross_validation,
    ranked,
    stratified,
)
from lab_utils.core.errors import LabError


@pytest.fixture
def classes():
    """Five classes of twelve samples: `good` separates them, `noise` does not."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 12)
    good = rng.normal(size=(5, 300))[labels] + rng.normal(size=(60, 300))
    return {"good": good.astype(np.float32), "noise": rng.normal(size=(60, 200)).astype(np.float32)}, labels


def test_one_blocks_standardisation_is_scikit_learns_at_unit_length(classes):
    X = classes[0]["good"]
    expected = normalize(StandardScaler().fit_transform(X))
    assert Standardised.fit([X])([X]) == pytest.approx(expected, abs=1e-4)


def test_each_block_of_each_sample_gets_the_same_weight(classes):
    blocks = [classes[0]["good"], 1000 * classes[0]["noise"]]
    X = Standardised.fit(blocks)(blocks)
    assert (X[:, :300] ** 2).sum(1) == pytest.approx(np.full(60, 0.5), rel=1e-3)
    assert (X[:, 300:] ** 2).sum(1) == pytest.approx(np.full(60, 0.5), rel=1e-3)


def test_a_constant_column_becomes_zero_instead_of_infinite(classes):
    X = classes[0]["good"].copy()
    X[:, 3] = 7
    assert np.isfinite(Standardised.fit([X])([X])).all()
    assert (Standardised.fit([X])([X + 1])[:, 3] == 0).all()


def test_coordinates_keep_all_inner_products(classes):
    X, others = classes[0]["good"][:40], classes[0]["good"][40:]
    Z, Z_others = coordinates(X @ X.T, others @ X.T)
    assert Z.shape[1] <= len(X)
    products = Z @ Z.T
    assert products == pytest.approx(X @ X.T, rel=1e-3, abs=0.05)
    assert Z_others @ Z.T == pytest.approx(others @ X.T, rel=1e-3, abs=0.05)


def test_joined_blocks_weigh_as_one_standardised_matrix(classes):
    features, labels = classes
    train, test = np.arange(0, 60, 2), np.arange(1, 60, 2)
    scores = Fold(features, labels, train, test).scores(Candidate(("good", "noise"), "ridge", 0.3))
    blocks = [features["good"], features["noise"]]
    standardise = Standardised.fit([block[train] for block in blocks])
    X = standardise(blocks)
    direct = RidgeClassifier(alpha=0.3).fit(X[train], labels[train])
    assert scores == pytest.approx(direct.decision_function(X[test]), abs=1e-3)


def test_out_of_fold_scores_never_saw_their_image(classes):
    features, labels = classes
    own = np.eye(60, dtype=np.float32)  # each sample its own feature: nothing can be learnt for another one
    scores = cross_scores({"own": own}, labels, Candidate(("own",)), 3)
    assert (scores.argmax(1) == labels).mean() < 0.5
    assert (cross_scores(features, labels, Candidate(("good",)), 3).argmax(1) == labels).mean() > 0.8


def test_ridge_on_coordinates_scores_as_ridge_on_all_features(classes):
    features, labels = classes
    train, test = np.arange(0, 60, 2), np.arange(1, 60, 2)
    scores = Fold(features, labels, train, test).scores(Candidate(("good",), "ridge", 0.5))
    standardise = Standardised.fit([features["good"][train]])
    direct = RidgeClassifier(alpha=0.5).fit(standardise([features["good"][train]]), labels[train])
    assert scores == pytest.approx(direct.decision_function(standardise([features["good"][test]])), abs=1e-3)


def test_centroids_agree_with_scikit_learn_on_unit_vectors(classes):
    X, labels = classes[0]["good"], classes[1]
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    ours = Centroids().fit(X, labels).decision_function(X).argmax(1)
    assert (ours == NearestCentroid().fit(X, labels).predict(X)).mean() > 0.95


def test_two_classes_give_two_columns(classes):
    features, labels = classes
    keep = np.flatnonzero(labels < 2)
    scores = Fold(features, labels, keep[::2], keep[1::2]).scores(Candidate(("good",), "svm", 1.0))
    assert scores.shape == (12, 2)


def test_the_inner_folds_choose_the_block_that_separates(classes):
    features, labels = classes
    tried = [Candidate(("noise",)), Candidate(("good",))]
    for repeats in (1, 3):
        assert [one.blocks for one in ranked(features, labels, tried, 2, 0, repeats)] == [("good",), ("noise",)]


def test_candidates_vote_by_scores_of_the_same_spread(classes):
    """By hand: the mean of standardised scores, so that a head of large numbers does not outvote the others."""
    features, labels = classes
    train, test = np.arange(0, 60, 2), np.arange(1, 60, 2)
    fold = Fold(features, labels, train, test)
    both = [Candidate(("good",), "ridge", 0.1), Candidate(("noise",), "centroid")]
    scores = [fold.scores(one) for one in both]
    by_hand = sum((one - one.mean()) / one.std() for one in scores).argmax(1)
    assert np.array_equal(fold.voted(both), by_hand)
    assert np.array_equal(fold.voted(both[:1]), scores[0].argmax(1))


def test_averages_are_read_as_an_embedding_made_on_train(classes):
    from lab_utils.training.features import full_network_embedding

    features, labels = classes
    train, test = np.arange(0, 60, 2), np.arange(1, 60, 2)
    fold = Fold({"n averages": features["good"]}, labels, train, test)
    expected = full_network_embedding(features["good"], train).astype(np.float32)
    X = Standardised.fit([expected[train]])([expected])
    assert fold.products("n averages")[1] == pytest.approx(X[test] @ X[train].T, abs=1e-5)


def test_several_are_chosen_together_where_it_is_asked(classes):
    features, labels = classes
    tried = [Candidate(("noise",)), Candidate(("good",)), Candidate(("good",), "centroid")]
    result = nested_cross_validation(features, labels, tried, tried[0], repeats=1, inner_repeats=2, together=2)
    assert len(result.chosen) == 6
    assert result.gain().value > 0.3


def test_nested_validation_finds_a_true_gain_and_calls_none_a_tie(classes):
    features, labels = classes
    gain = nested_cross_validation(features, labels, [Candidate(("good",))], Candidate(("noise",)), repeats=1).gain()
    assert gain.value > 0.3
    assert not gain.tie
    none = nested_cross_validation(features, labels, [Candidate(("noise",))], Candidate(("noise",)), repeats=1).gain()
    assert none.value == 0
    assert none.tie


def test_choosing_among_noise_does_not_beat_chance(classes):
    """The optimism that nesting removes: forty useless candidates, the best of which looks good inside."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 30)
    features = {f"n{k}": rng.normal(size=(60, 3)) for k in range(40)}
    tried = [Candidate((name,)) for name in features]
    result = nested_cross_validation(features, labels, tried, tried[0], repeats=3)
    low, high = result.accuracy().interval
    assert low < 0.5 < high


def test_a_class_smaller_than_the_folds_is_named():
    with pytest.raises(LabError, match="Classes 1 have fewer than 3"):
        stratified(np.array([0, 0, 0, 1, 1]), 3, 0)


def test_an_unknown_head_lists_the_heads():
    with pytest.raises(LabError, match="ridge, svm, kernel, centroid"):
        make_head("forest", 1)


def test_accuracy_over_repeats_keeps_the_number_of_images():
    hits = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    assert NestedResult(hits, hits).accuracy().n == 4
    assert NestedResult(hits, hits).accuracy().successes == 3
