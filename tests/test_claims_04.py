"""Claims of chapter 04 decide both ways, and say when they cannot."""

import numpy as np
import pytest

from lab_utils.analysis.cohesion import Division, Standing
from lab_utils.analysis.outliers import Cluster
from lab_utils.analysis.separability import Separability
from lab_utils.claims import engine as claims
from lab_utils.stats.intervals import Accuracy, Difference, Estimate


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
        (parted(300, 0.5), "contradicted"),  # random groups don't matter where so many are on the wrong side
    ],
)
def test_separable_needs_held_out_images_and_better_than_random_groups(space, verdict):
    found = claims.check(
        "three-groups-separable", spaces={"feature space": space, "3-D PCA": parted(400, 0.05)}, network="VGG16"
    )
    assert found.verdict == verdict and str(space.held) in found.sentence and found.sentence.startswith("VGG16: ")


def test_a_missing_group_is_not_testable():
    assert claims.check("three-groups-separable", spaces=None, network="VGG16").verdict == "not testable"


def standing(purity: Estimate, other: float = 0.9) -> Standing:
    return Standing(purity, 0.4, 1, 3, 29, "Faience", shares(other))


@pytest.mark.parametrize(
    ("whole", "without", "verdict"),
    [
        (standing(shares(0.99, 0.01)), standing(shares(0.98, 0.01)), "supported"),
        (standing(shares(0.99, 0.01)), standing(shares(0.70)), "contradicted"),
        (standing(shares(0.98, 0.01), other=0.99), None, "supported"),  # overlapping intervals: a shared first place
        (standing(shares(0.90, 0.02), other=0.99), None, "contradicted"),
        (standing(shares(0.95)), None, "tie"),
    ],
)
def test_perfect_clustering_holds_without_the_big_lot_too(whole, without, verdict):
    evidence = {"lot": "63.350", "lot_share": 0.52, "network": "ResNet50"}
    found = claims.check(
        "albumen-perfectly-clustered", whole=whole, **({"without": without} if without else {}), **evidence
    )
    assert found.verdict == verdict
    assert ("63.350" in found.sentence) and found.sentence.count("silhouette 0.40, rank 3") == 1 + bool(without)
    assert ("Without" in found.sentence) == bool(without) and "Faience" in found.sentence


def test_without_albumen_the_claim_is_not_testable():
    assert claims.check("albumen-perfectly-clustered", whole=None).verdict == "not testable"


@pytest.mark.parametrize(
    ("ranks", "verdict"),
    [((1, 3), "supported"), ((1, 9), "tie"), ((7, 9), "contradicted"), ((None, 9), "contradicted")],
)
def test_connecting_means_both_among_the_first_three(ranks, verdict):
    named = dict(zip(("Albumen photograph", "Woven fabric"), ranks, strict=True))
    assert (
        claims.check("hand-colored-engraving-connects", ranks=named, first=["x"], network="ResNet50").verdict == verdict
    )


@pytest.mark.parametrize(
    ("first", "second", "rank", "verdict", "words"),
    [
        (45, 45, 1, "supported", "divided between both"),
        (45, 45, 20, "tie", "so are many"),
        (0, 0, 1, "contradicted", "not divided in two"),  # all of its images lie halfway
        (90, 5, 9, "contradicted", "not divided in two"),
        (45, 25, 1, "tie", "can't tell"),
    ],
)
def test_divided_means_a_quarter_of_the_images_on_either_side(first, second, rank, verdict, words):
    division = Division(shares(0.5), Accuracy(first, 100), Accuracy(second, 100), rank, 29)
    found = claims.check("woven-fabric-divided", division=division, network="ResNet50")
    assert found.verdict == verdict and words in found.sentence and f"number {rank} of 29" in found.sentence


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
    assert claims.check("woven-two-neighbourhoods", near=near, network="B0").verdict == verdict


def cluster(lot: str, lot_share: float, share: float = 1.0) -> Cluster:
    return Cluster(np.arange(8), 3.0, share, 0, lot, lot_share, 3)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([cluster("a", 0.2)] * 8 + [cluster("b", 0.9)], "supported"),
        ([cluster("a", 0.9)] * 6, "contradicted"),
        ([cluster("a", 0.2)] * 7 + [cluster("b", 0.9)] * 3, "tie"),  # 7 to 3: p = 0.34
        ([cluster("a", 0.2)], "tie"),
        ([], "not testable"),
        ([cluster("", 0.0)], "not testable"),
    ],
)
def test_a_category_is_more_than_one_lot(found, verdict):
    assert (
        claims.check("outliers-own-category", clusters=found, classes=["Faience"], network="ResNet50").verdict
        == verdict
    )


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
