"""The image table of a run: MAMe's files, a folder of class folders, or the generated sample, all in one form."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import Data, Settings
from lab_utils.data import decoding, mame

COLUMNS = [
    *("file", "medium", "museum", "subset", "width", "height", "product", "aspect"),
    *("object_id", "lot", "group", "path", "has_image", "label"),
]
TEXT = ("file", "medium", "museum", "subset", "object_id", "lot", "group")
VERSION = 1  # of the stored table; raise it when its making changes

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Table:
    """One row an image.

    Attributes:
        rows: the columns `COLUMNS`, in the source's order. width and height are the original's in pixels, product
            width x height, aspect width / height; museum, lot and group may be "" (unknown); path is absolute.
        classes: names of the mediums in label order.
        data_hash: of the table and of the bytes of all image files.
        source: `sample`, `folder`, `mame` or `mame-toy`.
        notes: sentences for the report's first page.
    """

    rows: pd.DataFrame
    classes: list[str]
    data_hash: str
    source: str
    notes: list[str] = field(default_factory=list)


def open_table(settings: Settings) -> Table | None:
    """Read the run's table; None where it is missing or where the data settings have changed since it was stored."""
    manifest = settings.run_folder / "data.json"
    if not manifest.is_file():
        return None
    about = records.read_json(manifest)
    if about.get("made_from") != _made_from(settings.data):
        return None
    text = dict.fromkeys(TEXT, str)
    rows = pd.read_csv(settings.run_folder / "images.csv", dtype=text, keep_default_na=False, encoding="utf-8")
    return Table(
        _with_paths(rows, Path(about["root"])), *(about[key] for key in ("classes", "data_hash", "source", "notes"))
    )


def store(
    settings: Settings, rows: pd.DataFrame, classes: list[str], root: Path, notes: list[str], progress: Progress = print
) -> Table:
    """Check every row and image of a source, and store the table of the run.

    Writes `data/runs/<run>/images.csv` and its manifest `data.json`. Every image is decoded once, in threads; what was
    checked before is not opened again while its size and time stay, so a second call is quick at any size. The data
    hash covers the table and the SHA-256 of all image bytes.

    Args:
        settings: of the run.
        rows: one row an image, the columns `COLUMNS` but for `path` and `has_image`.
        classes: names in label order.
        root: folder that the column `file` is relative to.
        notes: sentences for the report.
        progress: gets a line now and then.

    Raises:
        LabError: bad input, in one sentence that names the file or row; all bad images are named at once.
    """
    rows, classes = limit(rows, classes, settings.data)
    rows["has_image"] = [(root / name).is_file() for name in rows["file"]]
    notes = notes + _missing_images(rows, root, settings.data.partial)
    there = rows.loc[rows["has_image"], "file"]
    findings = decoding.examine_all(root, there, perceptual=settings.data.source == "folder", progress=progress)
    findings, left_out = decoding.usable(findings, root, settings.data.skip_bad)
    rows, notes = rows[~rows["has_image"] | rows["file"].isin(findings)], notes + left_out
    stored = rows[[column for column in COLUMNS if column != "path"]].reset_index(drop=True)
    text = stored.to_csv(index=False)
    data_hash = records.content_hash(
        [decoding.VERSION, text, classes, [finding.digest for finding in findings.values()]]
    )
    source = "mame-toy" if settings.data.source == "mame" and settings.data.toy else settings.data.source
    about = {"made_from": _made_from(settings.data), "source": source, "data_hash": data_hash, "root": str(root)}
    counts = {subset: int((stored["subset"] == subset).sum()) for subset in mame.SUBSETS}
    records.write_if_changed(settings.run_folder / "images.csv", text)
    records.write_json(
        settings.run_folder / "data.json", {**about, "classes": classes, "notes": notes, "images": counts}
    )
    return Table(_with_paths(stored, root), classes, data_hash, source, notes)


def limit(rows: pd.DataFrame, classes: list[str], data: Data) -> tuple[pd.DataFrame, list[str]]:
    """Keep the first `data.classes` classes and at most `data.cap` images a class and split (drawn by `data.seed`)."""
    if data.classes is not None:
        classes = classes[: data.classes]
        rows = rows[rows["label"] < len(classes)]
    if data.cap is not None:
        order = pd.Series(np.random.default_rng(data.seed).random(len(rows)), index=rows.index)
        rank = order.groupby([rows["label"], rows["subset"]]).rank(method="first")
        rows = rows[rank <= data.cap]
    return rows.reset_index(drop=True), classes


def fold_groups(rows: pd.DataFrame) -> np.ndarray:
    """What must stay together in grouped folds: the accession lot where it is known, else the object, shape (n,)."""
    known = rows["lot"] != ""
    return (
        ("lot " + rows["lot"]).where(known, "object " + rows["group"].where(rows["group"] != "", rows["file"]))
    ).to_numpy()


# ---- inside --------------------------------------------------------------------------------------------------------
def _missing_images(rows: pd.DataFrame, root: Path, partial: bool) -> list[str]:
    lacking = rows.loc[~rows["has_image"], "file"]
    if lacking.empty:
        return []
    count = f"{len(lacking):,} of {len(rows):,} images"
    if not partial:
        first = ", ".join(lacking[:10])
        raise LabError(
            f"{count} are missing in {root} (the first: {first}): get the whole archive, or go on with what is "
            "there by --partial."
        )
    return [f"{count} are missing: chapters that need every picture were not run, chapter 00 uses all rows."]


def _made_from(data: Data) -> str:
    return records.content_hash([VERSION, data])


def _with_paths(rows: pd.DataFrame, root: Path) -> pd.DataFrame:
    return rows.assign(path=[str(root / name) for name in rows["file"]])[COLUMNS]
