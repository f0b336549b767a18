"""Folders as people have them: which files count, what the classes and splits are, and what is asked back."""

import os
import re
from pathlib import Path

import pytest

from lab_utils.core.errors import LabError
from lab_utils.data import layout


def laid(root: Path, *files: str) -> Path:
    """Make empty files, their folders with them; a name that ends in `/` is a folder."""
    for name in files:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return root


def each(pattern: str, *names: str) -> list[str]:
    return [pattern.replace("*", name) for name in names]


TWO = each("*/1.jpg", "cat", "dog")
SPLIT = {"cat": {"train", "test"}, "dog": {"train", "test"}}


def of_split(train: str, test: str, *more: str) -> list[str]:
    return [f"{split}/{file}" for split in (train, test, *more) for file in TWO]


LAYOUTS = {  # files: {class: splits of its images}
    "plain": (TWO, {"cat": {""}, "dog": {""}}),
    "deeper folders belong to the class": (["cat/a/b/1.jpg", "dog/1.jpg"], {"cat": {""}, "dog": {""}}),
    "Training and Testing": (of_split("Training", "Testing"), SPLIT),
    "train and test set": (of_split("train_set", "Test Set"), SPLIT),
    "trainset and testset": (of_split("trainset", "testset"), SPLIT),
    "seg_train and seg_test, doubled": (of_split("seg_train/seg_train", "seg_test/seg_test"), SPLIT),
    "train and valid": (of_split("train", "valid"), {name: {"train", "val"} for name in SPLIT}),
    "TRAIN, Dev, tst": (of_split("TRAIN", "Dev", "tst"), {name: {"train", "val", "test"} for name in SPLIT}),
    "train_images and validation-data": (
        of_split("train_images", "validation-data"),
        {name: {"train", "val"} for name in SPLIT},
    ),
    "split below the class": (each("*/train/1.jpg", "cat", "dog") + each("*/test/1.jpg", "cat", "dog"), SPLIT),
    "train alone is no split": (each("train/*/1.jpg", "cat", "dog"), {"cat": {""}, "dog": {""}}),
    "a folder of notes beside the splits": ([*of_split("train", "test"), "annotations/list.xml"], SPLIT),
    "an empty val": ([*of_split("train", "test"), "val/"], SPLIT),
    "a class called train": (["plane/1.jpg", "train/1.jpg"], {"plane": {""}, "train": {""}}),
    "classes called testament and training shoes": (
        ["testament/1.jpg", "training shoes/1.jpg"],
        {"testament": {""}, "training shoes": {""}},
    ),
    "one name in every class": (["cat/2020/1.jpg", "dog/2020/1.jpg"], {"cat": {""}, "dog": {""}}),
    "blanks around, composed and decomposed": (
        ["train/ Caf\u00e9/1.jpg", "test/Cafe\u0301 /1.jpg"],
        {"Caf\u00e9": {"train", "test"}},
    ),
    "a blank for a name": ([" /1.jpg", "dog/1.jpg"], {" ": {""}, "dog": {""}}),
    "odd but good names": (
        ['a,b/"1".jpg', "a,b/#2.jpg", "NA/ 1 .jpg", "7/$x$.jpg", "7/\u732b.jpg"],
        {"a,b": {""}, "NA": {""}, "7": {""}},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_classes_and_splits_are_those_that_a_person_would_see(tmp_path, name):
    files, expected = LAYOUTS[name]
    pictures, _ = layout.read(laid(tmp_path, *files))
    splits: dict[str, set[str]] = {}
    for picture in pictures:
        splits.setdefault(picture.medium, set()).add(picture.subset)
    assert splits == expected
    assert {picture.file for picture in pictures} == {name for name in files if name.endswith(".jpg")}
    assert pictures == sorted(pictures, key=lambda picture: (picture.medium, picture.file))


QUESTIONS = {  # files: the sentence
    "same names below": (
        [f"{top}/{file}" for top in ("spring", "autumn") for file in TWO],
        r"autumn, spring hold folders of the same names, cat, dog: choose --class-level 1 if the classes are autumn, "
        r"spring, or --class-level 2 if they are cat, dog",
    ),
    "same names but for capitals": (
        ["a/Cat/1.jpg", "a/Dog/1.jpg", "b/cat/1.jpg", "b/dog/1.jpg"],
        r"a, b hold folders of the same names, cat, dog",
    ),
    "a third folder beside two splits": (
        [*of_split("train", "test"), "unlabelled/1.jpg"],
        r"has the splits test, train and beside them images in unlabelled",
    ),
    "a split without classes": (
        [*each("train/*/1.jpg", "cat", "dog"), "test/1.jpg", "test/2.jpg"],
        r"images lie in test without a class folder",
    ),
    "splits that hold images alone": (["train/1.jpg", "test/1.jpg"], r"images lie in test, train without a class"),
    "two spellings of one split": (of_split("val", "valid", "train"), r"two folders for val, val/ and valid/"),
    "one split beside other folders": (
        [*each("train/*/1.jpg", "cat", "dog"), "other/1.jpg"],
        r"train/ holds the folders cat, dog like a split, and beside it lies other: choose --class-level 1",
    ),
    "splits in some classes only": (
        ["cat/train/1.jpg", "cat/test/1.jpg", "dog/1.jpg"],
        r"cat holds split folders, other images lie beside them",
    ),
    "an empty class": ([*TWO, "cow/"], r"folders without an image: cow/"),
    "an empty class in a split": ([*of_split("train", "test"), "test/cow/"], r"without an image: test/cow/"),
    "a class of other files": ([*TWO, "notes/a.txt"], r"folders without an image: notes/"),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_can_be_read_in_two_ways_is_asked_back(tmp_path, name):
    files, words = QUESTIONS[name]
    with pytest.raises(LabError, match=words):
        layout.read(laid(tmp_path, *files))


@pytest.mark.parametrize("level, classes", [(1, {"spring", "autumn"}), (2, {"cat", "dog"})])
def test_the_choice_is_obeyed(tmp_path, level, classes):
    laid(tmp_path, *(f"{top}/{file}" for top in ("spring", "autumn") for file in TWO))
    pictures, _ = layout.read(tmp_path, level)
    assert {picture.medium for picture in pictures} == classes and {picture.subset for picture in pictures} == {""}


def test_level_1_makes_classes_of_splits_and_level_2_keeps_them(tmp_path):
    laid(tmp_path, *of_split("train", "test"))
    assert {picture.medium for picture in layout.read(tmp_path, 1)[0]} == {"train", "test"}
    assert {picture.subset for picture in layout.read(tmp_path, 2)[0]} == {"train", "test"}
    with pytest.raises(LabError, match="images lie in cow without a class folder"):
        layout.read(laid(tmp_path, "cow/1.jpg"), 2)


# ---- what is left out is counted and named ---------------------------------------------------------------------------
LEFT_OUT = {  # extra file: the note
    "cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg": "folders of the system's own: 1 (cat/@eaDir/)",
    "@eaDir/1.jpg": "folders of the system's own: 1 (@eaDir/)",
    "__MACOSX/cat/._1.jpg": "folders of the system's own: 1 (__MACOSX/)",
    "lost+found/": "folders of the system's own: 1 (lost+found/)",
    "dog/#recycle/old.jpg": "folders of the system's own: 1 (dog/#recycle/)",
    "System Volume Information/x.jpg": "folders of the system's own: 1 (System Volume Information/)",
    "cat/deep/@eaDir/2.jpg@SynoEAStream": "folders of the system's own: 1 (cat/deep/@eaDir/)",
    "dog/@Recycle/old.jpg": "folders of the system's own: 1 (dog/@Recycle/)",
    "Network Trash Folder/1.jpg": "folders of the system's own: 1 (Network Trash Folder/)",
    "cat/__pycache__/x.pyc": "folders of the system's own: 1 (cat/__pycache__/)",
    "cat/.ipynb_checkpoints/1-checkpoint.jpg": "hidden files and folders: 1 (cat/.ipynb_checkpoints)",
    "cat/.AppleDouble/1.jpg": "hidden files and folders: 1 (cat/.AppleDouble)",
    "dog/.DS_Store": "hidden files and folders: 1 (dog/.DS_Store)",
    "cat/model.keras": "files that are no pictures: 1 (cat/model.keras)",
    "cat/photos.zip": "files that are no pictures: 1 (cat/photos.zip)",
    "cat/1.jpg.xmp": "files that are no pictures: 1 (cat/1.jpg.xmp)",
    "cat/2.jpg.crdownload": "files of programs (settings, backups, unfinished downloads): 1 (cat/2.jpg.crdownload)",
    "cat/DESKTOP.INI": "files of programs (settings, backups, unfinished downloads): 1 (cat/DESKTOP.INI)",
    "cat/.thumbnails/1.jpg": "hidden files and folders: 1 (cat/.thumbnails)",
    "cat/._1.jpg": "hidden files and folders: 1 (cat/._1.jpg)",
    "cat/features.h5": "files that are no pictures: 1 (cat/features.h5)",
    "cat/film.mp4": "files that are no pictures: 1 (cat/film.mp4)",
    "cat/film.mpeg": "files that are no pictures: 1 (cat/film.mpeg)",
    "cat/list.csv": "files that are no pictures: 1 (cat/list.csv)",
    "cat/no suffix": "files that are no pictures: 1 (cat/no suffix)",
    "cat/Thumbs.db": "files of programs (settings, backups, unfinished downloads): 1 (cat/Thumbs.db)",
    "cat/2.jpg.part": "files of programs (settings, backups, unfinished downloads): 1 (cat/2.jpg.part)",
    "cat/1.jpg~": "files of programs (settings, backups, unfinished downloads): 1 (cat/1.jpg~)",
    "cover.jpg": "pictures in no class folder: 1 (cover.jpg)",
    "README.txt": "files that are no pictures: 1 (README.txt)",
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_helpers_and_other_files_are_left_out_and_named(tmp_path, name):
    pictures, notes = layout.read(laid(tmp_path, *TWO, name))
    assert [picture.file for picture in pictures] == TWO
    assert notes == [f"Left out, {LEFT_OUT[name]}."]


def test_many_files_left_out_are_counted_and_five_named(tmp_path):
    laid(tmp_path, *TWO, *(f"cat/{number}.txt" for number in range(8)))
    assert layout.read(tmp_path)[1] == [
        "Left out, files that are no pictures: 8 (cat/0.txt, cat/1.txt, cat/2.txt, cat/3.txt, cat/4.txt and 3 more)."
    ]


@pytest.mark.parametrize("name", ["cat/2.heic", "cat/2.HIF", "cat/2.nef", "cat/2.svg", "cat/2.jxl", "cat/2.eps"])
def test_pictures_that_may_not_be_readable_count_as_pictures(tmp_path, name):
    """So that decoding names them, with what to do, instead of calling them no images."""
    assert name in [picture.file for picture in layout.read(laid(tmp_path, *TWO, name))[0]]


@pytest.mark.parametrize("name", ["cat/DSC0001", "cat/photo.jpg_large", "cat/1.jpeg?w=1200", "cat/IMG.0001"])
def test_a_picture_without_a_known_suffix_is_told_by_its_content(tmp_path, name):
    laid(tmp_path, *TWO, name)
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    assert name in [picture.file for picture in layout.read(tmp_path)[0]]


# ---- links, rights, names --------------------------------------------------------------------------------------------
def test_a_class_folder_may_be_a_link(tmp_path):
    elsewhere = laid(tmp_path / "elsewhere", "1.jpg", "deep/2.jpg")
    root = laid(tmp_path / "root", "cat/1.jpg")
    (root / "dog").symlink_to(elsewhere)
    files = [picture.file for picture in layout.read(root)[0]]
    assert files == ["cat/1.jpg", "dog/1.jpg", "dog/deep/2.jpg"]


@pytest.mark.parametrize("target, named", [(".", ""), ("..", ""), ("../cat", ""), ("../dog", ""), ("../..", "root/")])
def test_a_link_to_a_folder_that_is_read_anyway_is_not_followed(tmp_path, target, named):
    root = laid(tmp_path / "root", *TWO)
    (root / "cat" / "again").symlink_to(target)
    pictures, notes = layout.read(root)
    assert [picture.file for picture in pictures] == TWO
    assert notes == [f"Left out, links to folders that are read elsewhere: 1 (cat/again/{named})."]


def test_folders_that_link_to_each_other_are_read_in_no_time(tmp_path):
    names = [f"{number:02d}" for number in range(30)]
    laid(tmp_path, *each("*/1.jpg", *names))
    for name in names:
        for other in names:
            (tmp_path / name / f"to {other}").symlink_to(tmp_path / other)
    assert len(layout.read(tmp_path)[0]) == 30


def test_a_broken_link_and_one_to_itself_are_left_to_the_reader_of_the_picture(tmp_path):
    root = laid(tmp_path, *TWO)
    (root / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
    (root / "cat" / "self.jpg").symlink_to("self.jpg")
    assert len(layout.read(root)[0]) == 4


def test_pipes_are_not_opened(tmp_path):
    os.mkfifo(laid(tmp_path, *TWO) / "cat" / "pipe.jpg")
    os.mkfifo(tmp_path / "cat" / "pipe")
    assert layout.read(tmp_path)[1] == ["Left out, pipes and devices: 2 (cat/pipe, cat/pipe.jpg)."]


def test_a_folder_that_can_not_be_read_is_named(tmp_path, monkeypatch):
    laid(tmp_path, *TWO, "cat/secret/2.jpg")
    real = os.scandir

    def scandir(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(layout.os, "scandir", scandir)
    with pytest.raises(LabError, match=re.escape("folders that can't be read, cat/secret/ (Permission denied)")):
        layout.read(tmp_path)


@pytest.mark.parametrize("name", ["lost+found", "@eaDir", "System Volume Information"])
def test_a_helpers_folder_that_can_not_be_read_stops_nothing(tmp_path, monkeypatch, name):
    laid(tmp_path, *TWO, f"cat/{name}/2.jpg", f"{name}/")
    real = os.scandir
    monkeypatch.setattr(layout.os, "scandir", lambda path: pytest.fail(path) if name in str(path) else real(path))
    pictures, notes = layout.read(tmp_path)
    assert [picture.file for picture in pictures] == TWO
    assert notes == [f"Left out, folders of the system's own: 2 ({name}/, cat/{name}/)."]


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines"])
def test_a_class_whose_name_can_not_be_stored_is_kept_for_the_reader_to_name(tmp_path, name):
    laid(tmp_path, *TWO)
    folder = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 (bytes)
    try:
        os.mkdir(folder)  # noqa: PTH102
    except OSError:
        pytest.skip("this file system has no such names")
    Path(os.fsdecode(folder), "1.jpg").touch()
    assert os.fsdecode(name) in {picture.medium for picture in layout.read(tmp_path)[0]}
    with pytest.raises(LabError, match=r"Folder .* has .*\(rename it\)"):
        layout.read(Path(os.fsdecode(folder)))
