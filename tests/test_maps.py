"""Chapter 04's glue on a small run with known features: what it hands to claims, and says of little data."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from lab_utils.analysis import projections
from lab_utils.chapters import maps
from lab_utils.claims.engine import Context, check
from lab_utils.core import profiles, records
from lab_utils.stats.intervals import Estimate

CLASSES = ["Albumen photograph", "Bronze", "Hand-colored engraving", "Silk and metal thread", "Woven fabric"]


def lab_of(each: int, lots: bool = True, given: np.ndarray | None = None) -> SimpleNamespace:
    """What `Sample` needs of a lab: five classes at five corners (or as given), the photographs mostly of one lot."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), each)
    images = pd.DataFrame({"label": labels, "medium": np.array(CLASSES)[labels], "museum": "" if not lots else "Met"})
    images["file"] = [f"{place}.jpg" for place in range(len(labels))]
    images["lot"] = [
        ("63.350" if label == 0 and place % 3 else f"1.{place}") if lots else "" for place, label in enumerate(labels)
    ]
    features = (
        given
        if given is not None
        else (np.eye(30)[labels] * 9 + rng.normal(0, 1, (len(labels), 30))).astype(np.float32)
    )
    return SimpleNamespace(
        settings=profiles.resolve("tiny"),
        images=images,
        classes=CLASSES,
        networks=("lite0",),
        table=SimpleNamespace(data_hash=f"{each}"),
        rows=lambda *_: np.arange(len(labels)),
        labels=lambda *_: labels,
        features=lambda name: features,
        title=lambda name: name,
    )


def space_of(lab: SimpleNamespace, network: str = "lite0") -> maps.Space:
    """A space as the notebook makes it."""
    sample = maps.Sample(lab)
    features = sample.features(network)
    return maps.Space(sample, network, features, PCA().fit_transform(features)[:, :100])


@pytest.fixture
def opened():
    return space_of(lab_of(12))


def test_a_class_that_only_its_big_lot_holds_together_is_not_pure_without_it():
    features = np.random.default_rng(0).normal(0, 0.01, (60, 30)) + np.eye(30)[np.repeat(np.arange(5), 12)] * 50
    strays = np.arange(7, 12)  # the images of Albumen that are not of the lot: each beside another class
    features[strays] = np.eye(30)[[1, 2, 3, 4, 1]] * 50 + 3 * np.eye(30)[[10, 11, 12, 13, 14]]
    lab = lab_of(12, given=features.astype(np.float32))
    lab.images.loc[:11, "lot"] = ["63.350"] * 7 + [f"1.{place}" for place in strays]
    evidence = maps.albumen(space_of(lab))
    assert evidence["lot"] == "Met 63.350" and evidence["lot_share"] == pytest.approx(7 / 12)
    whole, without = evidence["whole"], evidence["without"]
    assert whole.purity.value == pytest.approx(
        7 * 0.6 / 12
    )  # each of the lot has the six others of it nearest, of ten asked
    assert without.purity.value == 0 and (without.rank, without.classes) == (5, 5) and without.other.value == 1
    found = check("albumen-perfectly-clustered", Context("mame"), network="Net", **evidence)
    assert found.verdict == "contradicted" and "63.350" in found.sentence


def test_unknown_lots_leave_the_class_as_it_is():
    opened = space_of(lab_of(12, lots=False))
    evidence = maps.albumen(opened)
    assert evidence["lot"] == "" and "without" not in evidence
    assert check("albumen-perfectly-clustered", Context("mame"), network="Net", **evidence).verdict == "supported"
    assert "lot" not in maps.outlier_table(opened)


def test_claims_on_classes_with_few_images_are_not_testable_and_say_why():
    space = space_of(lab_of(4))
    checks = {
        "albumen-perfectly-clustered": maps.albumen(space),
        "woven-fabric-divided": maps.division(space),
        "woven-two-neighbourhoods": maps.woven_halves(space)[1],
        "hand-colored-engraving-connects": maps.connection(space, CLASSES[2], (CLASSES[0], CLASSES[4])),
    }
    for id, evidence in checks.items():
        verdict = check(id, Context("mame"), network="Net", **evidence)
        assert verdict.verdict == "not testable" and "(4 are here)" in verdict.sentence


def test_ranks_of_neighbours_are_those_of_the_distances():
    corners = np.zeros((5, 30))
    corners[[0, 1, 3, 4], [0, 1, 2, 0]] = [-5, 40, 60, 3]  # the engravings at 0, Woven fabric at 3, Albumen at 5
    features = corners[np.repeat(np.arange(5), 5)] + np.random.default_rng(0).normal(0, 0.1, (25, 30))
    opened = space_of(lab_of(5, given=features.astype(np.float32)))
    between = maps.connection(opened, CLASSES[2], (CLASSES[0], CLASSES[4]))
    assert between["ranks"] == {CLASSES[0]: 2, CLASSES[4]: 1} and between["first"] == [CLASSES[4], CLASSES[0]]
    nowhere = maps.connection(opened, CLASSES[2], (CLASSES[1], CLASSES[3]))
    assert set(nowhere["ranks"].values()) == {0}


def test_a_claim_is_tested_in_the_network_that_the_original_looked_at(opened):
    sample, spaces = opened.sample, {"lite0": opened}
    space, words = sample.asked("albumen-perfectly-clustered", spaces)
    assert space.network == "lite0" and "(in place of ResNet50)" in words["network"]
    spaces["resnet50"] = space_of(sample.lab, "resnet50")
    space, words = sample.asked("albumen-perfectly-clustered", spaces)
    assert (space.network, words) == ("resnet50", {"network": "resnet50"})
    assert sample.asked("features-show-outliers", spaces)[0].network == "lite0"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.2, "loses neighbours"), (-0.2, -0.01, "no picture of it"), (-0.1, 0.1, "not shown to lose")],
)
def test_the_decision_says_what_the_map_loses(low, high, words):
    _, because, _ = maps.decision_words(Estimate((low + high) / 2, low, high, 9), [0.9, 0.99], "Bronze")
    assert words in because and "0.99" in because


def test_mediums_of_test_images_are_not_shown_beside_duplicates(opened):
    lab = opened.sample.lab
    lab.images = lab.images.assign(subset=["train"] * 40 + ["val"] * 10 + ["test"] * 10, group="")
    lab.features = lambda name: np.tile(np.eye(30), (2, 1)).astype(np.float32)
    lab.rows = lambda *splits: np.flatnonzero(lab.images["subset"].isin(splits))
    pairs = maps.duplicates(opened)
    subset = lab.images["subset"].to_numpy()[pairs["second"]]
    assert set(subset) == {"val", "test"} and (pairs["second medium"] != "").tolist() == (subset == "val").tolist()


def test_reported_components_stand_below_those_of_the_run(opened):
    reported = pd.read_csv(records.PROJECT / "data" / "reported" / "components.csv")
    pca = PCA().fit(opened.features)
    table = maps.components_table(opened.sample, {"lite0": pca}, reported)
    assert table["source"].tolist() == ["here"] + ["reported"] * len(reported)
    assert table.iloc[0, 1] == projections.components_for(pca) < 30
