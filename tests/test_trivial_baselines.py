"""Floors against hand counts, and on the real metadata against the known numbers."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.analysis import trivial_baselines
from lab_utils.chapters import metadata
from lab_utils.data import mame

real = pytest.mark.skipif("MAME_ROOT" not in os.environ, reason="MAME_ROOT is not set")


@pytest.fixture
def rows():
    """Train: museum A has labels 0 0 1, museum B 2; lot 5.1 of A has 1 1 in train."""
    table = pd.DataFrame(
        [
            ("train", "A", "3.3", 0),
            ("train", "A", "3.4", 0),
            ("train", "A", "3.3", 0),
            ("train", "A", "5.1", 1),
            ("train", "A", "5.1", 1),
            ("train", "B", "", 2),
            ("test", "A", "5.1", 1),
            ("test", "A", "8.8", 0),
            ("test", "B", "", 2),
            ("test", "C", "", 0),
            ("test", "", "", 1),
        ],
        columns=["subset", "museum", "lot", "label"],
    )
    table = table.assign(group="", file=[f"{place}.jpg" for place in range(len(table))])
    sizes = np.array([10, 11, 10, 50, 51, 90, 50, 10, 91, 10, 50])
    return table.assign(width=sizes, height=sizes, product=sizes**2, aspect=1.0)


def test_commonest_class_falls_back_from_lot_to_museum_to_all(rows):
    assert trivial_baselines.commonest(rows, [])[6:].tolist() == [0, 0, 0, 0, 0]
    assert trivial_baselines.commonest(rows, ["museum"])[6:].tolist() == [0, 0, 2, 0, 0]
    assert trivial_baselines.commonest(rows, ["lot", "museum"])[6:].tolist() == [1, 0, 2, 0, 0]


def test_of_equally_common_classes_the_first_is_guessed(rows):
    rows = rows.assign(label=[1, 0, 2, 2, 1, 0, 0, 0, 0, 0, 0])
    assert set(trivial_baselines.commonest(rows, [])) == {0}


def test_guesses_do_not_use_the_labels_of_val_and_test(rows):
    other = rows.assign(label=rows["label"].where(rows["subset"] == "train", 0))
    for name, labels in trivial_baselines.guesses(rows, trees=10, leaf=1).items():
        assert (labels == trivial_baselines.guesses(other, trees=10, leaf=1)[name]).all()


def test_forest_finds_a_class_by_its_size(rows):
    guessed = trivial_baselines.guesses(rows, trees=50, leaf=1)
    assert guessed[trivial_baselines.FOREST][6:].tolist() == [1, 0, 2, 0, 1]
    assert trivial_baselines.accuracies(rows, guessed, "test")[trivial_baselines.FOREST].successes == 5


def test_floors_that_the_data_do_not_allow_are_left_out(rows):
    assert set(trivial_baselines.guesses(rows.assign(museum="", lot=""), 5, 1)) == {
        trivial_baselines.ONE_CLASS,
        trivial_baselines.FOREST,
    }


def test_sentence_follows_the_numbers():
    truth = np.arange(400) % 4
    nothing, good = np.zeros(400, int), truth.copy()
    text = metadata.baselines_words(truth, {trivial_baselines.ONE_CLASS: nothing, trivial_baselines.FOREST: nothing}, 4)
    assert "Chance is 25.00 %" in text and "carry no signal that shows" in text and "lot" not in text
    everything = {
        trivial_baselines.ONE_CLASS: nothing,
        trivial_baselines.MUSEUM: nothing,
        trivial_baselines.FOREST: good,
    }
    everything |= {trivial_baselines.FOREST_MUSEUM: good, trivial_baselines.LOT: good}
    text = metadata.baselines_words(truth, everything, 4)
    assert "carry signal" in text and "4.0 times chance" in text and "a tie" in text
    assert "better by 75.0 points" in text and "lot seen" in text
    assert "lot seen" not in metadata.baselines_words(truth, everything | {trivial_baselines.LOT: nothing}, 4)


@real
def test_real_floors_are_the_known_ones():
    """3.45 % chance; 4.47, 8.15, 43 to 49, and (here with fewer trees, so ±1 point) 34.0 and 37.6 %."""
    rows, classes = mame.read(Path(os.environ["MAME_ROOT"]))
    found = trivial_baselines.accuracies(rows, trivial_baselines.guesses(rows, trees=40), "test")
    assert 100 / len(classes) == pytest.approx(3.45, abs=0.005)
    assert 100 * found[trivial_baselines.ONE_CLASS].value == pytest.approx(4.47, abs=0.005)
    assert 100 * found[trivial_baselines.MUSEUM].value == pytest.approx(8.15, abs=0.01)
    assert 43 <= 100 * found[trivial_baselines.LOT].value <= 49
    assert 100 * found[trivial_baselines.FOREST].value == pytest.approx(34.0, abs=1)
    assert 100 * found[trivial_baselines.FOREST_MUSEUM].value == pytest.approx(37.6, abs=1)
