"""Tables and sentences about the image table against hand counts, in every case they know."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.chapters import metadata
from lab_utils.data import mame

real = pytest.mark.skipif("MAME_ROOT" not in os.environ, reason="MAME_ROOT is not set")


def table(rows, columns=("medium", "subset", "museum", "lot", "group")):
    made = pd.DataFrame(rows, columns=list(columns))
    made["file"] = [f"{number}.jpg" for number in range(len(made))]
    return made


ROWS = table(
    [
        ("Gold", "train", "A", "1.1", "1.1.1"),
        ("Gold", "train", "A", "1.1", "1.1.2"),
        ("Gold", "test", "A", "1.1", "1.1.1"),
        ("Iron", "train", "B", "2.2", "2.2.1"),
        ("Iron", "val", "B", "", "x"),
        ("Iron", "test", "B", "", "y"),
        ("Iron", "test", "A", "7.7", "7.7.1"),
    ]
)


def test_counts_hold_every_class_and_split():
    found = metadata.counts(ROWS, ["Gold", "Iron", "Wood"])
    assert found.to_numpy().tolist() == [[2, 0, 1], [1, 1, 2], [0, 0, 0]]


def test_counts_sentence_tells_balanced_from_unbalanced():
    even = pd.DataFrame({"train": [5, 5], "val": [2, 2], "test": [3, 3]}, index=["Gold", "Iron"])
    assert "All splits are balanced" in metadata.counts_words(even)
    text = metadata.counts_words(even.assign(test=[1, 3]))
    assert "val is balanced and test is not" in text and "from 1 (Gold) to 3 (Iron)" in text
    assert "A large class weighs more" in metadata.counts_words(even.assign(val=[1, 3]))


def test_cramers_v_against_its_formula_by_hand():
    counts = np.array([[10, 20], [30, 5]])
    n, chi2 = 65, 65 * (10 * 5 - 20 * 30) ** 2 / (30 * 35 * 40 * 25)
    phi, size = chi2 / n - 1 / (n - 1), 2 - 1 / (n - 1)
    assert metadata.cramers_v(counts) == pytest.approx(np.sqrt(phi / (size - 1)))


def test_cramers_v_is_one_for_a_function_and_near_zero_for_chance():
    assert metadata.cramers_v(np.diag([50, 60, 70])) == pytest.approx(1, abs=0.01)
    rng = np.random.default_rng(0)
    noise = [metadata.cramers_v(np.bincount(rng.integers(0, 40, 200), minlength=40).reshape(10, 4)) for _ in range(50)]
    assert np.mean(noise) < 0.08  # uncorrected it would be near 0.2
    assert np.isnan(metadata.cramers_v(np.array([[3, 4]])))


@pytest.mark.parametrize("v, word", [(0.05, "negligible"), (0.1, "weak"), (0.25, "moderate"), (0.4, "strong")])
def test_association_has_cohens_words(v, word):
    assert metadata.association_in_words(v, 3) == word


def test_museum_sentence_knows_no_one_and_several_museums():
    classes = ["Gold", "Iron"]
    assert "No museum is known" in metadata.museum_words(metadata.by_museum(ROWS.assign(museum=""), classes))
    assert "from one (A)" in metadata.museum_words(metadata.by_museum(ROWS.assign(museum="A"), classes))
    one_sided = pd.DataFrame({"A": [90, 0], "B": [10, 100]}, index=classes)
    assert "**strong**" in metadata.museum_words(one_sided) and "a confounder" in metadata.museum_words(one_sided)
    even = pd.DataFrame({"A": [50, 50], "B": [50, 50]}, index=classes)
    assert "**negligible**" in metadata.museum_words(even) and "tells little" in metadata.museum_words(even)


def test_sizes_sentence_tells_large_from_small_originals():
    large = pd.DataFrame({"medium": "Gold", "product": [256 * 256 * 100.0] * 2, "aspect": [4.0, 1.0]})
    text = metadata.sizes_words(large)
    assert "keeps 1.0 % of its pixels" in text and "50 % of the images are longer than 2 : 1" in text
    assert "None of the originals" in metadata.sizes_words(large.assign(product=100.0))
    found = metadata.sizes(large, ["Gold"]).loc["Gold"]
    assert found["pixels kept (%)"] == pytest.approx(1) and found["longer than 2 : 1 (%)"] == 50


def test_groups_across_splits_are_counted_by_museum():
    lots = metadata.across_splits(ROWS, "lot")
    assert lots.loc["A"].tolist() == [1, 3, 1, 2, 1]
    assert lots.loc["B"].tolist() == [0, 0, 0, 1, 0]
    assert lots.loc["all"].tolist() == [1, 3, 1, 3, 1]
    assert metadata.across_splits(ROWS, "group").loc["all"].tolist() == [1, 2, 1, 3, 1]


def test_largest_lot_is_by_share_of_its_class():
    top = metadata.largest_lots(ROWS, 1).iloc[0]
    assert (top["medium"], top["lot"], top["images"], top["test"], top["share"]) == ("Gold", "1.1", 3, 1, 1.0)


def test_lot_and_sibling_sentences_have_their_branches():
    assert "33 % of the 3 test images share a lot" in metadata.lots_words(ROWS)
    assert "No accession lot is known" in metadata.lots_words(ROWS.assign(lot=""))
    assert "1 test images (33.3 %) have a sibling" in metadata.siblings_words(ROWS)
    assert "No two images" in metadata.siblings_words(ROWS.assign(group=ROWS["file"]))
    together = ROWS.assign(group=["g", "g", *ROWS["file"][2:]])
    assert "no test image has a sibling" in metadata.siblings_words(together)


def test_examples_are_the_first_val_image_of_each_class_else_the_first():
    rows = ROWS.assign(has_image=True)
    found = metadata.examples(rows, ["Gold", "Iron", "Wood"], most=5)
    assert found["file"].tolist() == ["0.jpg", "4.jpg"]
    without = metadata.examples(rows.assign(has_image=[False, *[True] * 6]), ["Gold", "Iron"], most=1)
    assert without["file"].tolist() == ["1.jpg"]


@real
def test_real_museums_are_associated_with_the_mediums_as_known():
    rows, classes = mame.read(Path(os.environ["MAME_ROOT"]))
    museums = metadata.by_museum(rows, classes)
    assert museums.sum().tolist() == [24911, 6965, 5531]
    share = museums.div(museums.sum(axis=1), axis=0)["Metropolitan Museum of Art"]
    assert share["Albumen photograph"] > 0.995 and share["Hand-colored etching"] == pytest.approx(0.998, abs=0.001)
    assert share["Clay"] == pytest.approx(0.99, abs=0.006)
    assert "**strong**" in metadata.museum_words(museums)
