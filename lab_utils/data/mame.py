"""The MAMe files: the table of the data set, its labels, and what its accession numbers tell about objects and lots."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.core.records import PROJECT
from lab_utils.data.file_kinds import is_helper_folder
from lab_utils.data.splits import SPLITS

DATASET, TOY, LABELS = "MAMe_dataset.csv", "MAMe_toy_dataset.csv", "MAMe_labels.csv"
COLUMNS = {
    "Image file": "file",
    "Medium": "medium",
    "Museum": "museum",
    "Museum-based instance ID": "object_id",
    "Subset": "subset",
    "Width": "width",
    "Height": "height",
    "Product size": "product",
    "Aspect ratio": "aspect",
}
NUMBERS = ("width", "height", "product", "aspect")
LOT = re.compile(r"(?:[A-Za-z]+\.)*\d+\.\d+")
PART = re.compile(r"\.?[a-z](?:\s*[,–-]\s*[a-z])*$")
PICTURE = re.compile(r"(\d+)-\d+")


def find(folder: Path, *names: str) -> Path | None:
    """The first of `names` that is in `folder` or at most two folders below it (not in a system's own), or None."""
    for name in names:
        for place in (folder / name, *sorted(folder.glob(f"*/{name}")), *sorted(folder.glob(f"*/*/{name}"))):
            above = place.relative_to(folder).parts[:-1]
            if place.exists() and not any(part.startswith(".") or is_helper_folder(part) for part in above):
                return place
    return None


def image_folder(folder: Path, full_size: bool = False) -> Path:
    """Where the images are: `data_256/` or `data/`, in `folder` or one level below."""
    names = ("data", "data_256") if full_size else ("data_256", "data")
    return find(folder, *names) or folder / names[0]


def read(folder: Path, toy: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """Read and check the table and the labels.

    Args:
        folder: holds `MAMe_dataset.csv` (`MAMe_toy_dataset.csv`) and `MAMe_labels.csv`, or a folder in it does.
        toy: read the authors' own small subset.

    Returns:
        The rows in the file's order (columns: the values of `COLUMNS`, and label, lot, group), and the class names in
        label order. Labels are stripped: the data set file writes `"Woven fabric "`, the labels file does not.

    Raises:
        LabError: a file is missing or bad; the sentence names the file and the row.
    """
    name = TOY if toy else DATASET
    path, labels = find(folder, name), find(folder, LABELS)
    if path is None or labels is None:
        lacking = name if path is None else LABELS
        raise LabError(
            f"{folder} holds no {lacking}: point to the folder with the MAMe metadata (and data_256/ beside)."
        )
    classes = read_labels(labels)
    rows = check_rows(_read_csv(path), classes, path.name)
    rows["label"] = rows["medium"].map({medium: label for label, medium in enumerate(classes)})
    rows["lot"] = lots(rows["object_id"], rows["museum"])
    rows["group"] = groups(rows["object_id"], rows["museum"])
    return rows, classes


def read_labels(path: Path) -> list[str]:
    """Read `id,name` rows without header; class names in the order of their ids.

    Raises:
        LabError: ids are not 0, 1, 2, ... or a name is empty or double.
    """
    rows = _read_csv(path, header=None)
    if rows.shape[1] != 2 or len(rows) < 2:
        raise LabError(f"{path.name} should hold two columns, id and name, and at least two classes.")
    names = rows[1].str.strip()
    if rows[0].str.strip().tolist() != [str(number) for number in range(len(rows))]:
        raise LabError(f"{path.name}: the ids should be 0 to {len(rows) - 1} in order.")
    if (names == "").any() or names.duplicated().any():
        odd = names[(names == "") | names.duplicated()]
        raise LabError(f"{path.name}, row {odd.index[0] + 1}: the name {odd.iloc[0]!r} is empty or stands there twice.")
    return names.tolist()


def check_rows(table: pd.DataFrame, classes: list[str], name: str) -> pd.DataFrame:
    """Check the text of a table read from file `name` and turn its columns into the lab's.

    Raises:
        LabError: a column is missing, the table is empty, or a row is bad (named by its line in the file).
    """
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise LabError(f"{name} has no column {missing[0]!r}: it should have {', '.join(COLUMNS)}.")
    if table.empty:
        raise LabError(f"{name} holds no rows: it is empty but for its header.")
    rows = table[list(COLUMNS)].rename(columns=COLUMNS).apply(lambda column: column.str.strip())
    plain = rows["file"].str.fullmatch(r"[^/\\]*[^/\\.][^/\\]*") & rows["file"].map(str.isprintable)
    _refuse(rows, ~plain, name, "file", "is no plain file name")
    _refuse(rows, rows["file"].duplicated(), name, "file", "stands there twice")
    _refuse(rows, rows["medium"] == "", name, "medium", "is an empty label")
    _refuse(rows, ~rows["medium"].isin(classes), name, "medium", f"is a label that {LABELS} does not have")
    _refuse(rows, ~rows["subset"].isin(SPLITS), name, "subset", f"is no subset ({', '.join(SPLITS)})")
    for column in NUMBERS:
        values = pd.to_numeric(rows[column], errors="coerce")
        _refuse(rows, ~(values > 0) | np.isinf(values), name, column, f"is no positive number for the {column}")
        rows[column] = values
    unused = [medium for medium in classes if medium not in set(rows["medium"])]
    if unused:
        raise LabError(f"{name} has no row of the class {unused[0]!r}, which {LABELS} names.")
    return rows


def check_counts(rows: pd.DataFrame, toy: bool = False) -> None:
    """Compare images by class and split with those of the published data set (`data/reported/mame_counts.csv`).

    Raises:
        LabError: a class has another count: the file is not the published one, or rows were lost.
    """
    expected = pd.read_csv(PROJECT / "data" / "reported" / "mame_counts.csv", index_col="medium")
    counts = pd.crosstab(rows["medium"], rows["subset"])
    for subset in SPLITS:
        wanted = expected[f"toy_{subset}" if toy else subset]
        counted = counts.reindex(index=wanted.index, columns=SPLITS, fill_value=0)[subset]
        wrong = wanted.index[counted != wanted]
        if len(wrong) or len(counts) != len(expected):
            medium = (list(wrong) or sorted(set(counts.index) - set(expected.index)))[0]
            raise LabError(
                f"The table has {counted.get(medium, 0)} {subset} images of {medium!r} where the published data set "
                f"has {wanted.get(medium, 0)}: take the unchanged {TOY if toy else DATASET}."
            )


# ---- accession numbers ---------------------------------------------------------------------------------------------
def lots(numbers: pd.Series, museums: pd.Series) -> pd.Series:
    """Accession lot of each object: what a museum acquired together, the first two parts of a dotted number.

    `59.533.1234` and `59.533.17a` give `59.533`, `C.I.43.2.13` gives `C.I.43.2`, `1916.1873.b` gives `1916.1873` (a lot
    of one object: Cleveland's third part is a letter). Numbers that are not dotted (`JP1716`, Los Angeles'
    `174565-253033`) give "", unknown. A number that two museums use gets the museum's name behind it.
    """
    lot = numbers.map(lambda number: match[0] if (match := LOT.match(number)) else "")
    return _distinct(lot, museums)


def groups(numbers: pd.Series, museums: pd.Series) -> pd.Series:
    """Object that an image shows, parts counted as one: the number without its part suffix.

    `1984.433.193a, b` and `1984.433.193c` give `1984.433.193`, `1968.59.a` gives `1968.59`. Los Angeles' numbers are
    `object-picture` (several pictures of one object are always of one medium there), so the object is kept.
    """
    group = numbers.map(lambda number: match[1] if (match := PICTURE.fullmatch(number)) else PART.sub("", number))
    return _distinct(group, museums)


def _distinct(values: pd.Series, museums: pd.Series) -> pd.Series:
    shared = museums.groupby(values).transform("nunique") > 1
    return values.where(~shared | (values == ""), values + " (" + museums + ")")


# ---- inside --------------------------------------------------------------------------------------------------------
def _read_csv(path: Path, header: int | None = 0) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, header=header, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabError(f"{path.name} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from None
    except pd.errors.EmptyDataError:
        raise LabError(f"{path.name} is empty.") from None
    except (pd.errors.ParserError, OSError) as error:
        raise LabError(f"{path.name} is no readable CSV file ({error}).") from None


def _refuse(rows: pd.DataFrame, bad: pd.Series, name: str, column: str, why: str) -> None:
    if bad.any():
        at = int(np.argmax(bad.to_numpy()))
        more = f" ({int(bad.sum()) - 1:,} more rows like it)" if bad.sum() > 1 else ""
        file = f" ({rows['file'].iloc[at]})" if column != "file" else ""
        raise LabError(f"{name}, line {at + 2}{file}: {rows[column].iloc[at]!r} {why}{more}.")
