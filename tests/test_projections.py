"""Maps and what is tested in the space: against hand calculations, brute force and data made to a known answer."""

import numpy as np
import pytest
import umap
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA

from lab_utils.analysis import cohesion, projections, separability
from lab_utils.analysis.lots import big_lot
from lab_utils.chapters import layouts
from lab_utils.core.errors import LabError

CLASSES = ["Bronze", "Gold", "Glass", "Porcelain", "Engraving", "Etching"]


def blobs(centres: np.ndarray, each: int = 15, spread: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points around centres (C, D) and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(centres)), each)
    return (centres[labels] + rng.normal(0, spread, (len(labels), centres.shape[1]))).astype(np.float32), labels


def test_the_sample_takes_at_most_so_many_of_each_class_in_table_order():
    rows, labels = np.arange(100, 160), np.repeat([0, 1, 2], [5, 20, 35])
    chosen = projections.sample_rows(labels, rows, 10, seed=1)
    assert np.bincount(labels[chosen - 100]).tolist() == [5, 10, 10]
    assert (np.diff(chosen) > 0).all()
    assert (chosen == projections.sample_rows(labels, rows, 10, seed=1)).all()
    assert (chosen != projections.sample_rows(labels, rows, 10, seed=2)).any()


def test_the_number_of_components_agrees_with_the_singular_values():
    features = np.random.default_rng(0).normal(size=(30, 8)) * np.arange(1, 9)
    values = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2
    by_hand = next(k for k in range(1, 9) if values[:k].sum() >= 0.9 * values.sum())
    assert projections.components_for(PCA().fit(features), 0.9) == by_hand
    assert projections.components_for(PCA().fit(features), 1.0) == 8


def test_too_few_images_for_a_map_are_one_sentence():
    with pytest.raises(LabError, match="9 train images are too few for a map"):
        projections.sample_rows(np.zeros(9, int), np.arange(9), 10)


def test_the_same_map_is_computed_once_and_another_seed_is_another(tmp_path, monkeypatch):
    monkeypatch.setattr(layouts, "FOLDER", tmp_path)
    points, labels = blobs(np.eye(6) * 4, each=8)
    mappers = [umap.UMAP(n_components=2, n_epochs=20, init="pca", random_state=seed) for seed in (3, 3, 4)]
    first, again, other = (layouts.fit_transform(mapper, points) for mapper in mappers)
    assert first.dtype == np.float32 and first.shape == (48, 2) and first.tobytes() == again.tobytes()
    assert (first != other).any() and len(list(tmp_path.glob("*.npz"))) == 2
    assert first.tobytes() == np.float32(mappers[0].fit_transform(points)).tobytes()  # the same bits anew
    told = layouts.fit_transform(mappers[0], points, labels)
    assert (told != first).any() and layouts.seconds(mappers[0], points) > 0


def test_images_without_a_place_on_a_map_are_not_kept(tmp_path, monkeypatch):
    class Lost(BaseEstimator):
        def fit_transform(self, X):
            return np.full((len(X), 2), np.nan)

    monkeypatch.setattr(layouts, "FOLDER", tmp_path)
    with pytest.raises(LabError, match="no place for 20 of 20 images"):
        layouts.fit_transform(Lost(), np.ones((20, 3)))
    assert not list(tmp_path.glob("*.npz"))


def test_trustworthiness_is_one_for_the_space_itself_and_lower_for_noise():
    points, _ = blobs(np.eye(6) * 4, each=8)
    noise = np.random.default_rng(1).normal(size=(48, 2))
    assert projections.trustworthiness(points, points) == 1
    assert projections.trustworthiness(points, noise) < 0.75


def test_purity_and_neighbour_shares_agree_with_counting():
    points, labels = blobs(np.array([[0.0, 0], [3, 0], [0, 9]]), each=6, spread=1.0)
    found = cohesion.cohesion(points, labels, 4)
    for place in range(len(points)):
        distance = np.linalg.norm(points - points[place], axis=1)
        distance[place] = np.inf
        nearest = labels[np.argsort(distance)[:4]]
        assert found.purity[place] == np.mean(nearest == labels[place])
    shares = found.neighbour_shares(3)
    assert shares[0, 1] > shares[0, 2] and shares[0, 0] == 0


def test_a_class_of_two_that_are_nearest_to_each_other_is_pure():
    points = np.array([[0.0], [0.1], [5], [6], [7], [8], [9]])
    found = cohesion.cohesion(points, np.array([0, 0, 1, 1, 1, 1, 1]), 5)
    assert found.of(0).value == 1 and found.of(1).value == 1


def test_the_tightest_class_has_rank_one():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 0.05, (12, 3)), rng.normal(1, 1.5, (12, 3)), rng.normal(1, 1.5, (12, 3))])
    table = cohesion.cohesion(points, np.repeat([0, 1, 2], 12), 5).table(["tight", "loose", "other"])
    assert table.index[0] == "tight" and table.loc["tight", ["purity rank", "silhouette rank"]].tolist() == [1, 1]


def test_cohesion_needs_two_classes():
    with pytest.raises(LabError, match="two classes"):
        cohesion.cohesion(np.random.default_rng(0).normal(size=(10, 3)), np.zeros(10, int))


def test_groups_far_apart_are_separable_and_better_than_random_groups():
    centres = np.array([[0, 0, 0], [0, 1.2, 0], [8, 0, 0], [8, 1.2, 0], [0, 0, 8], [0, 1.2, 8]], float)
    points, labels = blobs(centres)
    found = separability.separability(points, labels, CLASSES)
    assert found.held.value == found.fitted.value == 1
    assert found.chance.value < 0.95 and found.chance.n == 999
    assert 0.04 < found.p < 0.1  # 6 of the 90 permutations give the same groups


def test_noise_is_not_separable():
    points, labels = blobs(np.zeros((6, 3)), each=20)
    found = separability.separability(points, labels, CLASSES, permutations=99)
    assert found.held.interval[1] < 0.6 and found.p > 0.05


def test_a_thousand_permutations_take_one_factorisation_a_fold(monkeypatch):
    from scipy import linalg

    solved = []
    solve = linalg.solve
    monkeypatch.setattr(linalg, "solve", lambda *given, **more: solved.append(1) or solve(*given, **more))
    points, labels = blobs(np.eye(6) * 4)
    assert separability.separability(points, labels, CLASSES, permutations=999).p == 1 and len(solved) == 5


def test_hyperplanes_of_groups_are_scikit_learns_ridge_on_their_columns():
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold

    points, labels = blobs(np.random.default_rng(1).normal(size=(6, 5)) * 2, each=20)
    found = separability.separability(points, labels, CLASSES, permutations=4)
    group, scaled = separability.group_of(CLASSES)[labels], points / points.std()
    alone, right = np.array([f" {place}" for place in range(len(labels))]), []
    for fit, held in GroupKFold(5, shuffle=True, random_state=0).split(scaled, labels, alone):
        ridge = Ridge(alpha=separability.RIDGE * len(fit)).fit(scaled[fit], np.eye(3)[group[fit]])
        right += (ridge.predict(scaled[held]).argmax(1) == group[held]).tolist()
    assert found.held.successes == sum(right)


def test_lots_that_give_the_group_away_stay_in_one_fold():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20)
    lots = np.array([f"{label}.{k // 5}" for label in range(6) for k in range(20)])
    mark = {lot: rng.normal(size=12) * 5 for lot in np.unique(lots)}
    points = np.array([mark[lot] for lot in lots]) + rng.normal(0, 0.1, (120, 12))
    with_lots, without = (
        separability.separability(points, labels, CLASSES, lots=given, permutations=4) for given in (lots, None)
    )
    assert with_lots.held.value < without.held.value - 0.2


def test_groups_that_a_hyperplane_parts_are_separable_where_discriminants_err():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    points, labels = blobs(np.array([[0, 0], [0, 1], [3, 0], [3, 1], [0, 40], [0, 41]], float), spread=0.2)
    points[labels == 2, 0] += np.linspace(0, 60, 15)  # a long tail on the right side of the plane
    group = labels // 2
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(points, group)
    assert (
        lda.score(points, group) < 1
        and separability.separability(points, labels, CLASSES, permutations=4).fitted.value == 1
    )


def test_fewer_than_three_groups_are_not_tested():
    points, labels = blobs(np.eye(4) * 4)
    assert separability.separability(points, labels, CLASSES[:4]) is None
    assert separability.separability(points, labels, ["cat", "dog", "cow", "pig"]) is None


def test_one_lot_for_all_images_is_not_tested():
    points, labels = blobs(np.eye(6) * 4)
    assert separability.separability(points, labels, CLASSES, lots=["1963.350"] * len(points)) is None


def test_the_big_lot_is_the_commonest_known_one():
    lots = ["a", "a", "", "", "", "b"]
    assert big_lot(lots, np.array([1, 1, 1, 1, 0, 1], bool)) == ("a", 0.4)
    assert big_lot(["", ""], np.ones(2, bool)) == ("", 0.0)


NAMES = ["Woven fabric", "Bronze", "Engraving"]


def test_a_class_of_two_parts_is_divided_and_more_than_others():
    points, labels = blobs(np.array([[0.0, 0], [30, 0], [0.5, 0], [30.5, 0]]), each=8, spread=0.2)
    labels = np.array([0, 0, 1, 2])[labels]
    found = cohesion.divided(cohesion.cohesion(points, labels, 12), 0, NAMES)
    assert found.share.value == pytest.approx(0.5)
    assert (found.first.successes, found.second.successes, found.first.n) == (8, 8, 16)
    assert found.rank == 1


def test_a_class_halfway_between_two_groups_is_not_divided():
    points, labels = blobs(np.array([[0.0, 0], [-1, 0], [1, 0]]), each=20, spread=0.05)
    found = cohesion.divided(cohesion.cohesion(points, labels, 59), 0, NAMES)
    assert found.share.value == pytest.approx(0.5) and found.first.successes == found.second.successes == 0


def test_a_leaning_class_has_one_side_and_without_groups_there_is_no_division():
    leaning, labels = blobs(np.array([[-1.0, 0], [-1, 0.5], [30, 0]]), each=20, spread=0.5)
    found = cohesion.divided(cohesion.cohesion(leaning, labels), 0, NAMES)
    assert found.share.value == 1 and found.first.value == 1 and found.second.successes == 0
    assert cohesion.divided(cohesion.cohesion(leaning, labels), 0, ["x", "y", "z"]) is None


def test_the_interval_of_purity_draws_whole_lots():
    points, labels = blobs(np.array([[0.0, 0], [1, 0]]), each=20, spread=1)
    found = cohesion.cohesion(points, labels)
    lots = np.array(["a"] * 20 + [""] * 20)
    one, many = found.of(0, lots=lots), found.of(0)
    assert not one.has_interval and many.low < many.high  # a single lot says nothing of its spread
    assert found.standing(0, ["first", "second"], lots).rival == "second"


def test_halves_find_two_clumps_and_their_neighbours():
    points, labels = blobs(np.array([[0.0, 0], [10, 0], [0, 1.0], [10, 1.0]]), each=8)
    labels = np.array([0, 0, 1, 2])[labels]
    side = cohesion.halves(points, np.flatnonzero(labels == 0))
    assert len(set(side[:8])) == len(set(side[8:])) == 1 and side[0] != side[-1]
    found = cohesion.cohesion(points, labels, 12)
    assert cohesion.nearest_classes(found, np.arange(8), ["w", "first", "second"], 1) == ["first"]
