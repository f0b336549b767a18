"""The MAMe files: what is refused, and the known counts of the real metadata."""

import os
from pathlib import Path

import pandas as pd
import pytest

from lab_utils.chapters import metadata as metadata_table
from lab_utils.core.errors import LabError
from lab_utils.data import mame

HEADER = ",".join(mame.COLUMNS)
ROWS = [
    "a.jpg,Woven fabric ,Museum A,59.533.1,train,20,10,200,2.0",
    "b.jpg,Bronze,Museum A,59.533.2a,val,10,10,100,1.0",
    "c.jpg,Bronze,,JP7,test,10,20,200,0.5",
]
real = pytest.mark.skipif("MAME_ROOT" not in os.environ, reason="MAME_ROOT is not set")


def write(folder, rows=ROWS, labels="0,Bronze\n1,Woven fabric\n", header=HEADER, encoding="utf-8"):
    (folder / mame.DATASET).write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    (folder / mame.LABELS).write_text(labels, encoding="utf-8")
    return folder


def changed(column, value, row=1):
    cells = ROWS[row].split(",")
    cells[list(mame.COLUMNS.values()).index(column)] = value
    return [*ROWS[:row], ",".join(cells), *ROWS[row + 1 :]]


def test_labels_are_stripped_and_no_class_is_lost(tmp_path):
    rows, classes = mame.read(write(tmp_path))
    assert classes == ["Bronze", "Woven fabric"]
    assert rows["label"].tolist() == [1, 0, 0] and rows["medium"].tolist() == ["Woven fabric", "Bronze", "Bronze"]
    assert rows["museum"].tolist() == ["Museum A", "Museum A", ""]
    assert rows["width"].tolist() == [20, 10, 10] and rows["aspect"].tolist() == [2.0, 1.0, 0.5]


@pytest.mark.parametrize(
    "column, value, words",
    [
        ("subset", "dev", "line 3 .b.jpg.: 'dev' is no subset"),
        ("medium", "Bronce", "line 3 .b.jpg.: 'Bronce' is a label that MAMe_labels.csv does not have"),
        ("medium", "", "line 3 .b.jpg.: '' is an empty label"),
        ("file", "a.jpg", "line 3: 'a.jpg' stands there twice"),
        ("file", "../a.jpg", "line 3: '../a.jpg' is no plain file name"),
        ("file", "..", "line 3: '..' is no plain file name"),
        ("file", "b\x00.jpg", "is no plain file name"),
        ("file", "b\x1b[1m.jpg", "is no plain file name"),
        ("width", "wide", "line 3 .b.jpg.: 'wide' is no positive number for the width"),
        ("height", "", "line 3 .b.jpg.: '' is no positive number"),
        ("product", "-1", "is no positive number"),
        ("aspect", "inf", "is no positive number"),
    ],
)
def test_a_bad_cell_is_named_by_file_and_line(tmp_path, column, value, words):
    with pytest.raises(LabError, match=words) as caught:
        mame.read(write(tmp_path, changed(column, value)))
    assert str(caught.value).startswith(mame.DATASET) or "MAMe_labels" in words


def test_missing_column_is_named(tmp_path):
    with pytest.raises(LabError, match=r"MAMe_dataset.csv has no column 'Medium'"):
        mame.read(write(tmp_path, header=HEADER.replace("Medium", "Material")))


def test_empty_table_is_refused(tmp_path):
    with pytest.raises(LabError, match="holds no rows"):
        mame.read(write(tmp_path, []))
    (tmp_path / mame.DATASET).write_text("")
    with pytest.raises(LabError, match=r"MAMe_dataset.csv is empty"):
        mame.read(tmp_path)


def test_wrong_encoding_is_refused(tmp_path):
    with pytest.raises(LabError, match=r"MAMe_dataset.csv is not UTF-8"):
        mame.read(write(tmp_path, changed("museum", "Musée"), encoding="latin-1"))


def test_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    rows, _ = mame.read(write(tmp_path, encoding="utf-8-sig"))
    assert rows["file"].tolist() == ["a.jpg", "b.jpg", "c.jpg"]


def test_file_that_is_no_table_is_refused(tmp_path):
    with pytest.raises(LabError, match=r"MAMe_dataset.csv is no readable CSV"):
        mame.read(write(tmp_path, ["a,b", "x" + "," * 40]))


@pytest.mark.parametrize(
    "labels, words",
    [
        ("1,Bronze\n0,Woven fabric\n", "ids should be 0 to 1"),
        ("0,Bronze\n1,Bronze\n", "row 2: the name 'Bronze'"),
        ("0,Bronze\n1,\n", "row 2: the name ''"),
        ("Bronze\nWoven fabric\n", "two columns"),
        ("0,Bronze\n1,Woven fabric\n2,Gold\n", "no row of the class 'Gold'"),
    ],
)
def test_bad_labels_are_refused(tmp_path, labels, words):
    with pytest.raises(LabError, match=words):
        mame.read(write(tmp_path, labels=labels))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(LabError, match=r"holds no MAMe_dataset.csv"):
        mame.read(tmp_path)
    write(tmp_path)
    (tmp_path / mame.LABELS).unlink()
    with pytest.raises(LabError, match=r"holds no MAMe_labels.csv"):
        mame.read(tmp_path)


def test_files_are_found_one_folder_below_and_images_beside(tmp_path):
    (tmp_path / "metadata").mkdir()
    (tmp_path / "copies" / "data_256").mkdir(parents=True)
    write(tmp_path / "metadata")
    assert len(mame.read(tmp_path)[0]) == 3
    assert mame.image_folder(tmp_path) == tmp_path / "copies" / "data_256"


def test_folders_of_the_system_are_not_taken_for_the_data(tmp_path):
    """A NAS keeps thumbnails in `@eaDir/<file's name>/`, macOS's archives notes in `__MACOSX/<folder>/`."""
    for name in ("@eaDir", "__MACOSX", ".Trash"):
        (tmp_path / name / mame.DATASET).mkdir(parents=True)
        (tmp_path / name / "data_256").mkdir()
    (tmp_path / "zip" / "data_256").mkdir(parents=True)
    write(tmp_path / "zip")
    assert len(mame.read(tmp_path)[0]) == 3 and mame.image_folder(tmp_path) == tmp_path / "zip" / "data_256"


def test_other_counts_than_the_published_are_refused(tmp_path):
    rows, _ = mame.read(write(tmp_path))
    with pytest.raises(LabError, match="0 train images of 'Albumen photograph' where the published data set has 700"):
        mame.check_counts(rows)


@pytest.mark.parametrize(
    "number, lot, group",
    [
        ("59.533.1234", "59.533", "59.533.1234"),
        ("1984.433.193a, b", "1984.433", "1984.433.193"),
        ("1916.1873.b", "1916.1873", "1916.1873"),
        ("C.I.43.2.12a, b", "C.I.43.2", "C.I.43.2.12"),
        ("M.2003.12.1", "M.2003.12", "M.2003.12.1"),
        ("24.43(19r)", "24.43", "24.43(19r)"),
        ("JP1716", "", "JP1716"),
        ("174565-253033", "", "174565"),
        ("Burdick 230, N667.1", "", "Burdick 230, N667.1"),
    ],
)
def test_accession_numbers_are_read(number, lot, group):
    numbers, museums = pd.Series([number]), pd.Series(["A"])
    assert mame.lots(numbers, museums).tolist() == [lot]
    assert mame.groups(numbers, museums).tolist() == [group]


def test_a_number_that_two_museums_use_names_two_lots():
    found = mame.lots(pd.Series(["1982.3.1", "1982.3.2", "1990.1.1", ""]), pd.Series(["A", "B", "B", "C"]))
    assert found.tolist() == ["1982.3 (A)", "1982.3 (B)", "1990.1", ""]


# ---- the real metadata ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def metadata():
    return mame.read(Path(os.environ["MAME_ROOT"]))


@real
def test_real_metadata_has_the_published_counts(metadata):
    rows, classes = metadata
    mame.check_counts(rows)
    assert len(rows) == 37407 and len(classes) == 29
    assert rows["subset"].value_counts().to_dict() == {"train": 20300, "test": 15657, "val": 1450}


@real
def test_a_lost_class_of_the_real_metadata_is_noticed(metadata):
    rows, _ = metadata
    with pytest.raises(LabError, match="'Woven fabric' where the published data set has 700"):
        mame.check_counts(rows[rows["medium"] != "Woven fabric"])


@real
def test_real_toy_list_has_its_counts():
    rows, classes = mame.read(Path(os.environ["MAME_ROOT"]), toy=True)
    mame.check_counts(rows, toy=True)
    assert (len(rows), len(classes)) == (3480, 29)


@real
def test_real_lots_have_the_known_sizes(metadata):
    rows, _ = metadata
    in_class = rows.groupby(["medium", "lot"]).size()
    assert in_class["Hand-colored etching", "59.533"] == 1055
    assert in_class["Albumen photograph", "63.350"] == 749
    assert in_class["Ceramic", "2011.604"] == 338
    assert in_class["Silk and metal thread", "2002.494"] == pytest.approx(0.33 * 845, abs=5)
    lots = metadata_table.across_splits(rows, "lot").loc["all"]
    assert 0.56 <= lots["with one in train"] / lots["test images"] < 0.585


@real
def test_real_parts_of_one_object_have_the_known_counts(metadata):
    rows, _ = metadata
    rows = rows[~rows["museum"].str.startswith("Los")]
    parts = metadata_table.across_splits(rows, "group").loc["all"]
    assert (parts["groups"], parts["images in them"], parts["across splits"]) == (475, 1275, 297)
    assert parts["with one in train"] == 381


@real
def test_pictures_of_one_los_angeles_object_are_of_one_medium(metadata):
    rows, _ = metadata
    rows = rows[rows["museum"].str.startswith("Los")]
    assert (rows.groupby("group")["medium"].nunique() == 1).all()
    assert (rows["group"].value_counts() > 1).sum() == 368
