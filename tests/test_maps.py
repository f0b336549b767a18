"""Chapter 04's glue on a small run with known features: what it hands to claims, and says of little data."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lab_utils import claims, maps, profiles, records
from lab_utils.errors import NotRunError

CLASSES = ["Albumen photograph", "Bronze", "Hand-colored engraving", "Silk and metal thread", "Woven fabric"]


def lab_of(each: int, lots: bool = True, folder=None) -> SimpleNamespace:
    """What `Maps` needs of a lab: five classes around five corners, the photographs mostly of one lot."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), each)
    images = pd.DataFrame({"label": labels, "medium": np.array(CLASSES)[labels], "museum": "" if not lots else "Met"})
    images["file"] = [f"{place}.jpg" for place in range(len(labels))]
    images["lot"] = [
        ("63.350" if label == 0 and place % 3 else f"1.{place}") if lots else "" for place, label in enumerate(labels)
    ]
    features = (np.eye(30)[labels] * 9 + rng.normal(0, 1, (len(labels), 30))).astype(np.float32)
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
        need_images=lambda: None,
    )


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "FOLDER", tmp_path)
    return maps.Maps(lab_of(12))


def test_a_layout_is_made_once_and_then_loaded(opened, tmp_path, monkeypatch):
    made = opened["lite0"].layout("pca", 3)
    assert len(list(tmp_path.glob("pca-*.npz"))) == 1
    monkeypatch.setattr(maps.projections, "embed", None)  # a second making would fail
    assert (opened["lite0"].layout("pca", 3) == made).all()


def test_a_class_with_a_big_lot_is_also_judged_without_it(opened):
    evidence = maps.albumen(opened, opened["lite0"])
    assert evidence["lot"] == "Met 63.350" and evidence["lot_share"] == pytest.approx(8 / 12)
    verdict = claims.check("albumen-perfectly-clustered", **evidence)
    assert verdict.verdict in claims.VERDICTS and "63.350" in verdict.sentence


def test_unknown_lots_leave_the_class_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "FOLDER", tmp_path)
    opened = maps.Maps(lab_of(12, lots=False))
    evidence = maps.albumen(opened, opened["lite0"])
    assert evidence["lot"] == "" and evidence["without"] == []
    assert claims.check("albumen-perfectly-clustered", **evidence).verdict == "supported"
    assert "lot" not in maps.outlier_table(opened, opened["lite0"])


def test_claims_on_classes_with_few_images_are_not_testable_and_say_why(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "FOLDER", tmp_path)
    opened = maps.Maps(lab_of(4))
    space = opened["lite0"]
    checks = {
        "albumen-perfectly-clustered": maps.albumen(opened, space),
        "woven-fabric-divided": maps.division(opened, space),
        "woven-two-neighbourhoods": maps.woven_halves(opened, space)[1],
        "hand-colored-engraving-connects": maps.connection(opened, space, CLASSES[2], (CLASSES[0], CLASSES[4])),
    }
    for id, evidence in checks.items():
        verdict = claims.check(id, **evidence)
        assert verdict.verdict == "not testable" and "(4 are here)" in verdict.sentence


def test_ranks_of_neighbours_are_those_of_the_corners(opened):
    between = maps.connection(opened, opened["lite0"], CLASSES[2], (CLASSES[0], CLASSES[4]))
    shares = opened["lite0"].cohesion.neighbour_shares(5)[2]
    assert between["ranks"][CLASSES[0]] == 1 + (shares > shares[0]).sum() or shares[0] == 0


def test_reported_components_stand_below_those_of_the_run(opened):
    reported = pd.read_csv(records.PROJECT / "data" / "reported" / "components.csv")
    table = maps.components_table(opened, reported)
    assert table["source"].tolist() == ["here"] + ["reported"] * len(reported)
    assert table.iloc[0, 1] == opened["lite0"].components.reaching(0.9)


def test_missing_images_stop_the_chapter(opened):
    def missing():
        raise NotRunError("images are missing")

    lab = lab_of(12)
    lab.need_images = missing
    with pytest.raises(NotRunError):
        maps.Maps(lab)
