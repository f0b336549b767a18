"""The headline's tables and evidence on constructed predictions."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import classification_report

from lab_utils.chapters import results
from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.stats import metrics

CLASSES = ["Engraving", "Etching", "Silk and metal thread", "Mine"]


def reported(name: str) -> pd.DataFrame:
    return pd.read_csv(records.PROJECT / "data" / "reported" / f"{name}.csv")


@pytest.fixture
def one() -> results.Headline:
    """100 test images: half of 40 engravings are called etchings, 4 etchings silk; all 4 of silk are right."""
    truth = np.repeat([0, 1, 2, 3], [40, 40, 4, 16])
    predicted = truth.copy()
    predicted[:20] = 1
    predicted[40:44] = 2
    probabilities = np.full((100, 4), 0.1)
    probabilities[np.arange(100), predicted] = 0.7
    return results.Headline("net", CLASSES, probabilities, truth, probabilities, truth, 8)


def test_report_has_reported_columns_where_classes_coincide(one) -> None:
    labels = {"labels": range(4), "target_names": CLASSES, "output_dict": True}
    report = pd.DataFrame(classification_report(one.truth, one.predicted, **labels)).T.loc[CLASSES]
    table = results.report_beside(report, reported("report")).set_index("class")
    assert table.loc["Engraving", "reported P"] == 0.79 and np.isnan(table.loc["Mine", "reported P"])
    assert table.loc["Engraving", "recall"] == 0.5
    assert table.loc["Engraving", "ΔF"] == pytest.approx(2 / 3 - 0.73, abs=0.006)


def lab_of(source: str = "mame", missing: int = 0, cap: int | None = None) -> SimpleNamespace:
    settings = SimpleNamespace(data=SimpleNamespace(cap=cap, classes=None))
    return SimpleNamespace(table=SimpleNamespace(source=source), missing=missing, settings=settings)


def test_on_the_whole_of_mame_the_support_is_that_of_the_original() -> None:
    printed_rows = reported("report").query("row == 'class'")
    same = printed_rows.set_index("name")[["support"]]
    assert "class by class" in results.check_reported_support(same, reported("report"), lab_of())
    swapped = same.rename({"Bronze": "Clay", "Clay": "Bronze"})
    with pytest.raises(LabError, match="Clay: 700 images were evaluated, the table has 313"):
        results.check_reported_support(swapped, reported("report"), lab_of())
    for other in (lab_of("sample"), lab_of(missing=2), lab_of(cap=5)):
        assert "class by class" not in results.check_reported_support(swapped, reported("report"), other)


def test_averages_stand_beside_printed_and_recomputed_ones(one) -> None:
    table = results.averages_beside(metrics.averages(one.counts), reported).set_index("average")
    assert list(table.index) == [
        *("accuracy", "balanced accuracy", "macro precision", "macro F1"),
        *("weighted precision", "weighted recall", "weighted F1"),
    ]
    assert table.loc["accuracy", ["reported", "from the reported rows"]].tolist() == [0.79, "0.778"]
    assert table.loc["balanced accuracy", ["reported", "from the reported rows"]].tolist() == [0.79, "0.792"]


def test_ranks_of_printed_pairs_are_places_in_the_table_above(one) -> None:
    predicted = np.array([1, 1, 2, 2, 2, 0])  # by count Engraving → Silk leads, by share Silk → Engraving
    truth = np.array([0, 0, 0, 0, 0, 2])
    chances = np.eye(4)[predicted]
    net = results.Headline("net", CLASSES, chances, truth, chances, truth, 8)
    ranks = results.pair_ranks(net, reported("confusions"))
    table = metrics.largest_confusions(net.counts, CLASSES)
    assert table["predicted"].tolist().index("Etching") + 1 == ranks["Engraving → Etching"] == 2
    assert ranks["Oil on canvas → Polychromed wood"] is None


def test_a_classifier_without_errors_confuses_no_printed_pair(one) -> None:
    right = np.eye(4)[one.truth]
    perfect = results.Headline("net", CLASSES, right, one.truth, right, one.truth, 8)
    ranks = results.pair_ranks(perfect, reported("confusions"))
    assert ranks["Engraving → Etching"] == 0
    assert {rank for rank in ranks.values() if rank is not None} == {0}


def test_rare_class_is_judged_at_equal_priors(one) -> None:
    evidence = results.precision_evidence(one, reported("report"))
    assert evidence["name"] == "Silk and metal thread"
    assert evidence["plain"] == pytest.approx(0.5)
    assert evidence["equal"] == pytest.approx(1 / 1.1)
    assert evidence["value"].value == 2 and not evidence["value"].has_interval  # four classes are no ranking
    assert evidence["reference"] == 1.5  # the end of the lowest fifth of four classes
    table = results.priors_table(one, reported("report"), rows=1)
    assert table["class"].tolist() == ["Silk and metal thread"]


def test_a_class_that_is_not_here_gives_no_evidence(one) -> None:
    renamed = results.Headline(**{**vars(one), "classes": ["a", "b", "c", "d"]})
    assert results.precision_evidence(renamed, reported("report")) == {"value": None}


def test_groups_are_museums_lots_and_objects(one) -> None:
    images = pd.DataFrame(
        {
            "subset": ["train"] * 2 + ["test"] * 100,
            "museum": ["A"] * 2 + ["A"] * 50 + ["B"] * 50,
            "lot": ["1.1", "1.2"] + ["1.1", "1.2"] * 30 + ["9.8", "9.9"] * 15 + [""] * 10,
            "group": ["o1", ""] + ["o1"] * 5 + [""] * 95,
            "file": [f"{number}.jpg" for number in range(102)],
        }
    )
    rows = {"train": np.arange(2), "test": np.arange(2, 102)}
    lab = SimpleNamespace(images=images, rows=lambda split: rows[split])
    found = results.group_accuracies(lab, one)
    assert {name: part.n for name, part in found["museum"].items()} == {"A": 50, "B": 50}
    assert {name: part.n for name, part in found["lot"].items()} == {"lot seen in train": 60, "lot not seen": 30}
    assert found["object"]["sibling image seen in train"].n == 5
    assert found["object"]["sibling image not seen"].n == 95
    evidence = results.lots_evidence(lab, one, found["lot"])
    assert (evidence["seen"].n, evidence["unseen"].n, evidence["classes"]) == (60, 30, 1)  # class 1 is on both sides
    whole = replace(one, lots={"val": None, "test": np.arange(100)})
    museums = results.museums_evidence(lab, whole)
    assert museums["value"].value >= 0 and {museums["best"], museums["worst"]} == {"A", "B"}
    images["museum"] = "A"
    assert results.museums_evidence(lab, whole) == {"value": None}
    assert results.lot_confusions(lab, one).shape[0] == 14 and results.lot_confusions(lab, one).sum() == 100


def test_calibration_words_follow_the_temperature(one) -> None:
    table = results.calibration_table(one, 2.0)
    assert table["accuracy"].map(str).nunique() == 1
    assert "too sure" in results.calibration_words(table, 2.0)
    assert "not sure enough" in results.calibration_words(table, 0.5)


def test_most_confused_pairs_come_with_both_directions(one) -> None:
    table = results.pairs_table(one, 1)
    assert table.iloc[0, :2].tolist() == ["Engraving", "Etching"]
    assert (table.iloc[0, 2].successes, table.iloc[0, 2].n) == (20, 40)
