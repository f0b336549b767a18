"""A folder of class folders: which files, classes and errors, and the properties of its split."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lab_utils.core.errors import LabError
from lab_utils.data import file_kinds, folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("lab_utils.core.records.PROJECT", tmp_path_factory.mktemp("project"))


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC).save(path)
    return path


def class_folders(root, classes=("bronze", "glass"), each=5, below=""):
    for number, name in enumerate(classes):
        for index in range(each):
            picture(root / below / name / f"{name}_{index}.png", 1000 * hash_of(below) + 100 * number + index)
    return root


def hash_of(text):
    return sum(map(ord, text))


def test_classes_files_and_sizes_come_from_the_folder(tmp_path):
    rows, classes, notes = folder.read(class_folders(tmp_path))
    assert classes == ["bronze", "glass"] and notes == []
    assert rows["file"].tolist() == sorted(rows["file"]) and len(rows) == 10
    assert set(rows["width"]) == {64} and set(rows["height"]) == {48} and set(rows["product"]) == {64 * 48}
    assert (rows["museum"] == "").all() and (rows["lot"] == "").all()
    assert (rows["label"] == (rows["medium"] == "glass")).all()


def test_split_is_60_20_20_seeded_and_stratified():
    mediums = pd.Series(["a"] * 100 + ["b"] * 10 + ["c"] * 3)
    own = pd.Series([f"{number:03d}" for number in range(113)])
    subset = folder.split(mediums, own, seed=1)
    counts = pd.crosstab(mediums, subset)[["train", "val", "test"]].to_numpy().tolist()
    assert counts == [[60, 20, 20], [6, 2, 2], [1, 1, 1]]
    assert subset.equals(folder.split(mediums, own, seed=1))
    assert not subset.equals(folder.split(mediums, own, seed=2))


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_on_one_side_and_every_class_is_in_every_split(seed):
    rng = np.random.default_rng(seed)
    mediums = pd.Series(rng.choice(["a", "b", "c"], 60))
    groups = mediums + pd.Series(rng.integers(0, 8, 60).astype(str))
    groups[rng.choice(60, 6, replace=False)] = "in several classes"
    subset = folder.split(mediums, groups, seed)
    assert (subset.groupby(groups).nunique() == 1).all()
    assert (pd.crosstab(mediums, subset) > 0).all(axis=None)


def test_near_identical_copies_lie_in_one_split(tmp_path):
    class_folders(tmp_path, each=6)
    first = Image.open(tmp_path / "bronze" / "bronze_0.png")
    for index in range(3):
        first.resize((60 - index, 46)).save(tmp_path / "bronze" / f"copy_{index}.jpg", quality=80)
    rows, _, notes = folder.read(tmp_path)
    copies = rows[rows["file"].str.contains("copy|bronze_0")]
    assert copies["group"].nunique() == 1 and copies["subset"].nunique() == 1
    assert notes == ["4 images look nearly like another one (1 group); each group lies in one split."]


def test_hamming_distance_joins_through_others():
    hashes = [f"{value:016x}" for value in (0b0, 0b1111, 0b11111111, 0xFFFF << 40)]
    assert folder.near_identical(hashes, most=4).tolist() == [0, 0, 0, 3]
    assert folder.near_identical(hashes, most=3).tolist() == [0, 1, 2, 3]


def test_too_few_images_name_the_classes(tmp_path):
    class_folders(tmp_path, ("bronze", "glass", "gold"), each=4)
    for name, kept in (("glass", 2), ("gold", 1)):
        for path in sorted((tmp_path / name).iterdir())[kept:]:
            path.unlink()
    with pytest.raises(LabError, match=r"too few in glass \(2\), gold \(1\)"):
        folder.read(tmp_path)


def test_three_copies_of_one_image_are_too_few(tmp_path):
    class_folders(tmp_path)
    for index in range(3):
        picture(tmp_path / "gold" / f"{index}.png", 77)
    with pytest.raises(LabError, match=r"too few in gold \(1\)"):
        folder.read(tmp_path)


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Train", "validation", "TEST")])
def test_split_folders_are_kept(tmp_path, names):
    for name in names:
        class_folders(tmp_path, each=2, below=name)
    rows, classes, _ = folder.read(tmp_path)
    assert classes == ["bronze", "glass"]
    assert rows["subset"].tolist() == [
        {"tr": "train", "va": "val", "te": "test"}[file[:2].lower()] for file in rows["file"]
    ]


def test_look_alikes_across_given_splits_are_told(tmp_path):
    for name in ("train", "val", "test"):
        class_folders(tmp_path, each=2, below=name)
    (tmp_path / "test/glass/again.png").write_bytes((tmp_path / "train/glass/glass_0.png").read_bytes())
    assert "1 of the groups lie across splits" in folder.read(tmp_path)[2][0]


def test_a_missing_val_is_taken_from_train_and_told(tmp_path):
    class_folders(tmp_path, each=10, below="train")
    class_folders(tmp_path, each=2, below="test")
    rows, _, notes = folder.read(tmp_path)
    assert notes == ["The folder has no val: of the 20 train images, 4 for val were taken."]
    counts = pd.crosstab(rows["medium"], rows["subset"])[["train", "val", "test"]].to_numpy().tolist()
    assert counts == [[8, 2, 2], [8, 2, 2]]
    assert (rows["subset"] == "test").equals(rows["file"].str.startswith("test/"))
    assert rows.equals(folder.read(tmp_path)[0]) and not rows.equals(folder.read(tmp_path, seed=1)[0])


def test_look_alikes_stay_together_when_val_is_taken_from_train(tmp_path):
    class_folders(tmp_path, each=4, below="train")
    class_folders(tmp_path, each=2, below="test")
    first = Image.open(tmp_path / "train/bronze/bronze_0.png")
    for index in range(3):
        first.resize((60 - index, 46)).save(tmp_path / f"train/bronze/copy_{index}.jpg", quality=80)
    rows = folder.read(tmp_path)[0]
    assert rows.loc[rows["file"].str.contains("train/bronze/(?:copy|bronze_0)"), "subset"].nunique() == 1


def test_missing_val_and_test_are_both_taken_from_train(tmp_path):
    class_folders(tmp_path, each=10, below="training")
    class_folders(tmp_path, each=1, below="validation")
    rows, _, notes = folder.read(tmp_path)
    assert notes == ["The folder has no test: of the 20 train images, 4 for test were taken."]
    assert pd.crosstab(rows["medium"], rows["subset"])[["train", "val", "test"]].to_numpy().tolist() == [[8, 1, 2]] * 2


def test_a_train_too_small_to_give_a_val_and_a_folder_without_train_are_refused(tmp_path):
    class_folders(tmp_path, each=1, below="train")
    class_folders(tmp_path, each=2, below="test")
    with pytest.raises(LabError, match=r"at least two different images .* for train, val; too few in bronze \(1\)"):
        folder.read(tmp_path)
    (tmp_path / "train").rename(tmp_path / "val")
    with pytest.raises(LabError, match=r"images for test and val but none for train"):
        folder.read(tmp_path)


def test_a_class_that_a_split_lacks_is_named(tmp_path):
    for name in ("train", "val", "test"):
        class_folders(tmp_path, ("bronze", "glass") if name != "val" else ("bronze",), each=2, below=name)
    with pytest.raises(LabError, match="there is none of glass in val"):
        folder.read(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    assert folder.read(class_folders(tmp_path, ("plane", "train")))[1] == ["plane", "train"]


def test_other_files_and_hidden_files_are_left_out_with_a_note(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "SOURCES.csv").write_text("file,source\n")
    (tmp_path / "glass" / "notes.txt").write_text("mine")
    (tmp_path / "glass" / ".hidden.png").write_text("")
    rows, _, notes = folder.read(tmp_path)
    assert len(rows) == 10 and notes == [
        "Left out, files that are no pictures: 2 (SOURCES.csv, glass/notes.txt).",
        "Left out, hidden files and folders: 1 (glass/.hidden.png).",
    ]


def test_bad_images_are_all_named(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "glass" / "a.jpg").write_text("no image")
    (tmp_path / "bronze" / "b.png").write_bytes(b"")
    with pytest.raises(LabError, match=r"^2 images") as caught:
        folder.read(tmp_path)
    assert "glass/a.jpg is not an image" in str(caught.value) and "bronze/b.png is an empty file" in str(caught.value)


def test_bad_images_are_left_out_and_counted_where_that_is_asked_for(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "glass" / "a.jpg").write_text("no image")
    (tmp_path / "glass" / "drawing.svg").write_text("<svg/>")
    rows, classes, notes = folder.read(tmp_path, skip_bad=True)
    assert len(rows) == 10 and classes == ["bronze", "glass"]
    assert notes[0].startswith("2 of 12 images can't be read and were left out: glass/a.jpg is not an image")
    assert "glass/drawing.svg is an SVG drawing" in notes[0]


def test_a_class_that_is_lost_with_its_bad_images_stops_the_run(tmp_path):
    class_folders(tmp_path, ("bronze", "glass", "gold"))
    for path in (tmp_path / "gold").iterdir():
        path.write_bytes(b"")
    with pytest.raises(LabError, match="no image of gold can be read"):
        folder.read(tmp_path, skip_bad=True)


def test_a_heic_photo_counts_like_any_other(tmp_path):
    class_folders(tmp_path, each=2)
    file_kinds.formats()  # lets Pillow write HEIF
    for name in ("bronze", "glass"):
        Image.open(tmp_path / name / f"{name}_0.png").rotate(90, expand=True).save(tmp_path / name / "IMG_1.HEIC")
    rows, _, notes = folder.read(tmp_path)
    assert len(rows) == 6 and notes == [] and set(rows[rows["file"].str.endswith("HEIC")]["width"]) == {48}


@pytest.mark.parametrize(
    "sizes, splits",
    [
        ([3] * 2, [[1, 1, 1]] * 2),
        ([10] * 3, [[6, 2, 2]] * 3),
        ([5] * 29, [[3, 1, 1]] * 29),
        ([3, 200], [[1, 1, 1], [120, 40, 40]]),
        ([3] * 120, [[1, 1, 1]] * 120),
        ([4, 7], [[2, 1, 1], [5, 1, 1]]),
    ],
)
def test_small_and_uneven_folders_get_every_class_into_every_split(tmp_path, sizes, splits):
    for number, size in enumerate(sizes):
        for index in range(size):
            picture(tmp_path / f"{number:03d}" / f"{index}.png", 1000 * number + index)
    rows, _, notes = folder.read(tmp_path)
    assert pd.crosstab(rows["medium"], rows["subset"])[["train", "val", "test"]].to_numpy().tolist() == splits
    assert notes == []


def test_one_file_under_two_classes_is_refused(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "glass" / "other.png").write_bytes((tmp_path / "bronze" / "bronze_1.png").read_bytes())
    with pytest.raises(LabError, match=r"bronze/bronze_1.png and glass/other.png are the same file"):
        folder.read(tmp_path)


@pytest.mark.parametrize("classes", [(), ("bronze",)])
def test_fewer_than_two_classes_are_refused(tmp_path, classes):
    with pytest.raises(LabError, match=f"has {len(classes)} class folders"):
        folder.read(class_folders(tmp_path, classes))


def test_a_folder_above_the_class_folders_is_told_which_to_give(tmp_path):
    class_folders(tmp_path, below="my photos")
    with pytest.raises(LabError, match=r"has 1 class folders with images \(give .*/my photos if the classes are"):
        folder.read(tmp_path)
    assert folder.read(tmp_path, class_level=2)[1] == ["bronze", "glass"]


def test_empty_class_folders_and_no_folder_are_refused(tmp_path):
    with pytest.raises(LabError, match="There is no folder"):
        folder.read(tmp_path / "absent")
    (class_folders(tmp_path) / "gold").mkdir()
    with pytest.raises(LabError, match="without an image: gold/"):
        folder.read(tmp_path)


@pytest.mark.skipif("LAB_PHOTOS" not in os.environ, reason="LAB_PHOTOS is not set")
def test_real_photos_have_every_class_in_every_split():
    rows, classes, _ = folder.read(Path(os.environ["LAB_PHOTOS"]))
    assert len(rows) == 157 and len(classes) == 29
    assert (pd.crosstab(rows["medium"], rows["subset"]) > 0).all(axis=None)
