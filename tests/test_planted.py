"""What was planted in the sample: the truth against the pictures themselves, and what methods recover of it."""

import numpy as np
import pandas as pd
import pytest

from lab_utils.analysis import trivial_baselines
from lab_utils.chapters import planted
from lab_utils.core.profiles import Data
from lab_utils.sample import generator, truth
from lab_utils.sample.render import render

DATA = Data(images=150, classes=12)


@pytest.fixture(scope="module")
def pictures() -> list[generator.Drawing]:
    return generator.plan(DATA.images, DATA.classes, DATA.seed)


def drawn(picture: generator.Drawing, museum: str, mark: str) -> np.ndarray:
    """The picture as it would be, photographed by a museum and with a mark."""
    style, aspect = generator.style_of(picture, DATA.seed), picture.width / picture.height
    return render(picture.medium, np.random.default_rng(1), 32, aspect, museum, mark, style)


def test_a_backdrop_is_planted_where_another_museum_would_change_the_picture(pictures):
    known = truth.planted(DATA, [picture.file for picture in pictures])
    changed = [
        not np.array_equal(drawn(picture, "Los Angeles", ""), drawn(picture, "The Cleveland", ""))
        for picture in pictures
    ]
    assert known["backdrop"].tolist() == changed
    assert 20 < sum(changed) < 130


def test_marks_are_those_that_the_pictures_show(pictures):
    known = truth.planted(DATA, [picture.file for picture in pictures[::-1]])[::-1]
    assert known["mark"].tolist() == [picture.give_away for picture in pictures]
    marked = next(picture for picture in pictures if picture.give_away)
    assert not np.array_equal(drawn(marked, "x", marked.give_away), drawn(marked, "x", ""))


def test_who_knows_how_sizes_were_drawn_guesses_better_than_a_forest():
    rows = pd.DataFrame(vars(picture) for picture in generator.plan(3000, None, 0))
    classes = sorted(rows["medium"].unique())
    rows["label"] = rows["medium"].map(classes.index)
    rows["product"], rows["aspect"] = rows["width"] * rows["height"], rows["width"] / rows["height"]
    held = (rows["subset"] != "train").to_numpy()
    right = {
        "both": planted.guesses_by_size(rows, classes)[held] == rows["label"][held],
        "sizes": planted.guesses_by_size(rows, classes, with_museum=False)[held] == rows["label"][held],
    }
    forest = trivial_baselines.forest(rows, [*trivial_baselines.SIZES, "museum"], trees=40)[held] == rows["label"][held]
    assert right["both"].mean() > right["sizes"].mean() + 0.02
    assert right["both"].mean() > forest.mean() > 0.1


# ---- in words --------------------------------------------------------------------------------------------------------
PLANTED = pd.DataFrame({"backdrop": np.repeat([True, False], 60), "mark": ["ruler", "", ""] * 40})


def test_nothing_is_said_of_photographs():
    array = np.zeros(3)
    assert planted.museum_words(None, *[array] * 4) == planted.marks_words(None, "net", *[array] * 3) == ""
    assert planted.lots_words(None, *[array] * 4) == ""


def test_the_museum_is_found_where_a_backdrop_was_planted_and_nowhere_else():
    museum, medium = np.array(["A", "B"] * 60), np.full(120, "A")
    read = np.where(PLANTED["backdrop"], museum, medium)
    words = planted.museum_words(PLANTED, museum, read, medium, np.arange(120))
    assert "60 of these 120 show a backdrop" in words
    assert "in the 60 with such a backdrop the features are better by 50.0 points" in words
    assert "in the 40 with neither backdrop nor mark the features are a tie" in words


def test_marks_are_counted_by_lot_against_unmarked_images_of_the_class():
    shares = np.where(PLANTED["mark"] == "ruler", 0.5, 0.3) + np.linspace(0, 0.01, 120)
    lots = np.where(PLANTED["mark"] == "ruler", np.arange(120) // 12, np.arange(120) + 100)
    words = planted.marks_words(PLANTED, "net", shares, np.zeros(120, int), lots)
    assert "border of 40 of these 120 images" in words and "for 10 of 10 such lots" in words
    assert "for 0 of 10" in planted.marks_words(PLANTED, "net", 1 - shares, np.zeros(120, int), lots)
    assert "none of the marks" in planted.marks_words(PLANTED.assign(mark=""), "net", shares, np.zeros(120, int), lots)


def test_seen_lots_are_compared_apart_where_they_were_given_a_common_look():
    sides = np.array(["lot seen in train", "lot seen in train", "lot not seen"] * 40, object)
    right = (PLANTED["mark"] == "ruler").to_numpy() | (np.arange(120) % 2 == 0)
    words = planted.lots_words(PLANTED, right, np.zeros(120, int), sides, np.arange(120))
    assert "images of seen lots with a common look (40) are better by 50.0 points" in words
    assert "with a common number only (40) are a tie" in words


def test_sizes_say_how_much_of_what_was_planted_a_forest_recovers():
    rows = pd.DataFrame(vars(picture) for picture in generator.plan(1300, None, 0))
    classes = sorted(rows["medium"].unique())
    rows = rows.assign(label=rows["medium"].map(classes.index), group="")
    best, nothing = planted.guesses_by_size(rows, classes), np.zeros(len(rows), int)
    names = trivial_baselines.ONE_CLASS, trivial_baselines.FOREST_MUSEUM, trivial_baselines.LOT
    told = planted.sizes_words(rows, classes, dict(zip(names, (nothing, best, rows["label"].to_numpy()), strict=True)))
    assert f"the {names[1]} recovers 100 % (100 to 100" in told  # not the lot, which here is always right
    assert "recovers 0 % (0 to 0" in planted.sizes_words(rows, classes, dict.fromkeys(names, nothing))


def test_the_museums_association_that_was_planted_stands_beside_what_is_shown():
    rows = pd.DataFrame(vars(picture) for picture in generator.plan(1300, None, 0))
    words, strength = planted.museums_words(rows, sorted(rows["medium"].unique()))
    assert strength["shown"] == pytest.approx(strength["planted"], abs=0.05) and 0.3 < strength["planted"] < 0.9
    assert f"{strength['planted']:.2f} (Cramér's V)" in words
