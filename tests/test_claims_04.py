"""Claims of chapter 04 decide both ways, and say when they cannot."""

import numpy as np
import pytest

from lab_utils import claims
from lab_utils.outliers import Cluster
from lab_utils.projections import Separability
from lab_utils.quantities import Accuracy, Difference, Estimate


def parted(right: int, p: float) -> Separability:
    return Separability(Accuracy(right, 400), Accuracy(400, 400), 0.6, p, 19)


def shares(value: float, half: float = 0.03) -> Estimate:
    """A mean of shares that prints itself in percent."""
    return Estimate(value, value - half, min(value + half, 1), 40, scale=100, unit=" %", digits=1)


@pytest.mark.parametrize(
    ("space", "verdict"),
    [
        (parted(398, 0.05), "supported"),
        (parted(300, 0.05), "contradicted"),
        (parted(383, 0.05), "tie"),
        (parted(398, 0.5), "tie"),
    ],
)
def test_separable_needs_held_out_images_and_better_than_random_groups(space, verdict):
    found = claims.check("three-groups-separable", spaces={"feature space": space, "3-D PCA": parted(400, 0.05)})
    assert found.verdict == verdict and str(space.held) in found.sentence


def test_a_missing_group_is_not_testable():
    assert claims.check("three-groups-separable", spaces=None).verdict == "not testable"


@pytest.mark.parametrize(
    ("purity", "rank", "without", "verdict"),
    [
        (shares(0.99, 0.01), 1, [shares(0.98, 0.01)], "supported"),
        (shares(0.99, 0.01), 1, [shares(0.70)], "contradicted"),
        (shares(0.99, 0.01), 2, [], "contradicted"),
        (shares(0.95), 1, [], "tie"),
    ],
)
def test_perfect_clustering_holds_without_the_big_lot_too(purity, rank, without, verdict):
    found = claims.check(
        "albumen-perfectly-clustered",
        **{"purity": purity, "rank": rank, "silhouette_rank": 1, "classes": 29},
        **{"lot": "63.350", "lot_share": 0.52, "without": without},
    )
    assert found.verdict == verdict
    assert ("63.350" in found.sentence) and ("without" in found.sentence)


def test_without_albumen_the_claim_is_not_testable():
    assert claims.check("albumen-perfectly-clustered", purity=None).verdict == "not testable"


@pytest.mark.parametrize(
    ("ranks", "verdict"),
    [((1, 3), "supported"), ((1, 9), "tie"), ((7, 9), "contradicted"), ((None, 9), "contradicted")],
)
def test_connecting_means_both_among_the_first_three(ranks, verdict):
    named = dict(zip(("Albumen photograph", "Woven fabric"), ranks, strict=True))
    assert claims.check("hand-colored-engraving-connects", ranks=named, first=["x"]).verdict == verdict


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.5, "supported"), (0.9, "contradicted"), (0.1, "contradicted"), (0.26, "tie")]
)
def test_divided_means_a_quarter_on_each_side(share, verdict):
    assert claims.check("woven-fabric-divided", share=shares(share)).verdict == verdict


@pytest.mark.parametrize(
    ("near", "verdict"),
    [
        ([["Porcelain", "Etching"], ["Silk and metal thread"]], "supported"),
        ([["Silk and metal thread"], ["Hand-colored engraving"]], "supported"),
        ([["Silk and metal thread"], ["Wood"]], "tie"),
        ([["Silk and metal thread", "Porcelain"], ["Silk and metal thread", "Ceramic"]], "tie"),
        ([["Wood"], []], "contradicted"),
    ],
)
def test_two_neighbourhoods_in_any_order(near, verdict):
    assert claims.check("woven-two-neighbourhoods", near=near).verdict == verdict


def cluster(lot: str, lot_share: float, share: float = 1.0) -> Cluster:
    return Cluster(np.arange(8), 3.0, share, 0, lot, lot_share, 3)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([cluster("a", 0.2)], "supported"),
        ([cluster("a", 0.9)], "contradicted"),
        ([cluster("a", 0.2), cluster("b", 0.9)], "tie"),
        ([], "not testable"),
        ([cluster("", 0.0)], "not testable"),
    ],
)
def test_a_category_is_more_than_one_lot(found, verdict):
    assert claims.check("outliers-own-category", clusters=found, classes=["Faience"]).verdict == verdict


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (Difference(0.3, 0.1, 0.5, 20), "supported"),
        (Difference(-0.3, -0.5, -0.1, 20), "contradicted"),
        (Difference(0.1, -0.1, 0.3, 20), "tie"),
    ],
)
def test_outliers_teach_something_if_their_reasons_are_commoner(difference, verdict):
    found = claims.check("features-show-outliers", share=Accuracy(9, 20), difference=difference)
    assert found.verdict == verdict and "n = 20" in found.sentence
