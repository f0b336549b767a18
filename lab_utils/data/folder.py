"""A folder of class folders as data source: which files, which classes, and a split that keeps look-alikes together."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lab_utils.core import file_names
from lab_utils.core.errors import LabError
from lab_utils.data import decoding, layout

SHARES = {"val": 0.2, "test": 0.2}  # the rest is train
NEAR = 4  # bits of 64 in which the perceptual hashes of near-identical images may differ


def read(
    root: Path,
    seed: int = 0,
    progress: Callable[[str], None] = print,
    skip_bad: bool = False,
    class_level: int | None = None,
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Read a folder of class folders, with or without `train/ val/ test/` above or below them.

    Args:
        root: the folder.
        seed: of the split, where the folder brings none, and of what a missing split takes from train.
        progress: gets a line now and then.
        skip_bad: leave out images that can't be read, with a note, instead of stopping.
        class_level: see `layout.read`.

    Returns:
        The rows sorted by class and file, the class names in label order, and notes for the report. Museum and lot are
        unknown (""); images that look nearly identical share their `group` and, in our split, their side.

    Raises:
        LabError: no such folder, names that leave the classes open, fewer than two classes, too few images in a class,
            or bad images (all named).
    """
    rows, notes = list_images(root, class_level)
    rows, left_out = examined(root, rows, progress, skip_bad)
    classes = sorted(set(rows["medium"]))
    completed = complete_splits(rows, seed)
    _require_every_class(rows, root)
    rows["label"] = rows["medium"].map({name: label for label, name in enumerate(classes)})
    rows["product"], rows["aspect"] = rows["width"] * rows["height"], rows["width"] / rows["height"]
    rows["museum"], rows["lot"], rows["object_id"] = "", "", rows["file"]
    return rows, classes, notes + left_out + completed + _look_alike_notes(rows)


def list_images(root: Path, class_level: int | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Find the pictures of the class folders, at any depth below them; see `layout.read`.

    Returns:
        Rows with file (relative to `root`), medium (the class folder's name), subset ("" without split folders), sorted
        by medium and file; and notes on what was left out.

    Raises:
        LabError: no such folder, fewer than two classes, or see `layout.read`.
    """
    if not root.is_dir():
        raise LabError(f"There is no folder {root}: give the folder that holds one folder a class.")
    pictures, notes = layout.read(root, class_level)
    rows = pd.DataFrame(pictures, columns=["file", "medium", "subset"], dtype=object)
    if (classes := rows["medium"].nunique()) < 2:
        raise LabError(f"{root} has {classes} class folders with images{_hint(root, rows)}: at least two are needed.")
    return rows, notes


def examined(
    root: Path, rows: pd.DataFrame, progress: Callable[[str], None] = print, skip_bad: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Decode the pictures of `list_images` and add what is seen.

    Args:
        root: the folder.
        rows: with file, medium and subset.
        progress: gets a line now and then.
        skip_bad: leave out images that can't be read, with a note, instead of stopping.

    Returns:
        The rows whose picture can be read, with width, height and group (the first of the images that look nearly the
        same) as well; and the note.

    Raises:
        LabError: bad images (all named), a class without any other, or the same file under two classes.
    """
    findings = decoding.examine_all(root, rows["file"], perceptual=True, progress=progress)
    findings, left_out = decoding.usable(findings, root, skip_bad)
    good = rows[rows["file"].isin(findings)].reset_index(drop=True).astype(str)
    if lost := sorted(set(rows["medium"]) - set(good["medium"])):
        names = ", ".join(map(file_names.shown, lost))
        raise LabError(f"{root}: no image of {names} can be read: repair these images or remove the folders.")
    seen = [findings[file] for file in good["file"]]
    refuse_two_classes(good.assign(digest=[finding.digest for finding in seen]), root)
    good["group"] = good["file"].to_numpy()[near_identical([finding.phash for finding in seen])]
    good["width"] = [finding.width for finding in seen]
    good["height"] = [finding.height for finding in seen]
    return good, left_out


def complete_splits(rows: pd.DataFrame, seed: int = 0) -> list[str]:
    """Fill the column subset in place: all of it where it is empty, else the splits that are missing, out of train.

    Args:
        rows: with medium, group and subset.
        seed: of the split.

    Returns:
        A note on what was taken from train.

    Raises:
        LabError: there are splits but no train, or a class has too few different images.
    """
    given = set(rows["subset"])
    if given == {""}:
        rows["subset"] = split(rows["medium"], rows["group"], seed)
        return []
    if "train" not in given:
        raise LabError(f"There are images for {' and '.join(sorted(given))} but none for train: add a folder train/.")
    missing = {name: share for name, share in SHARES.items() if name not in given}
    if not missing:
        return []
    train = rows[rows["subset"] == "train"]
    rows.loc[train.index, "subset"] = split(train["medium"], train["group"], seed, missing)
    counts = [f"{(rows['subset'] == name).sum()} for {name}" for name in missing]
    return [
        f"The folder has no {' and no '.join(missing)}: of the {len(train)} train images, "
        f"{' and '.join(counts)} were taken."
    ]


def near_identical(hashes: Sequence[str], most: int = NEAR) -> np.ndarray:
    """Join images whose perceptual hashes differ in at most `most` bits, directly or through others.

    Args:
        hashes: 64-bit perceptual hashes as hex digits, length n.
        most: Hamming distance, in bits.

    Returns:
        For each image the index of the first image of its group, shape (n,).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    bits = np.array([int(digits, 16) for digits in hashes], dtype=np.uint64)
    pairs = []
    for start in range(0, len(bits), 1000):  # in blocks: memory stays linear in n
        row, column = np.nonzero(np.bitwise_count(bits[start : start + 1000, None] ^ bits[None]) <= most)
        pairs.append((row + start, column))
    first, second = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(bits), len(bits)))
    _, component = connected_components(graph, directed=False)
    _, leader, member = np.unique(component, return_index=True, return_inverse=True)
    return leader[member]


def split(mediums: pd.Series, groups: pd.Series, seed: int = 0, shares: Mapping[str, float] = SHARES) -> pd.Series:
    """Split 60/20/20 into train, val, test, stratified by class, with whole groups on one side.

    Each class gets at least one image in each split. A group that spans classes goes to train, and so does the largest
    group of a class.

    Args:
        mediums: class of each image, shape (n,).
        groups: images that must stay together, shape (n,).
        seed: of the order within each class.
        shares: of the splits beside train.

    Returns:
        Subset of each image, with the index of `mediums`.

    Raises:
        LabError: classes with fewer different images than splits, all named.
    """
    subset = pd.Series("train", index=mediums.index)
    spanning = mediums.groupby(groups).transform("nunique") > 1
    too_few = []
    for number, medium in enumerate(sorted(set(mediums))):
        own = groups[(mediums == medium) & ~spanning].value_counts(sort=False).sort_index()
        in_train = int(((mediums == medium) & spanning).sum())
        if len(own) + bool(in_train) < len(shares) + 1:
            too_few.append(f"{medium} ({len(own) + bool(in_train)})")
            continue
        order = own.iloc[np.random.default_rng([seed, number]).permutation(len(own))]
        side = _sides(order.sort_values(ascending=False, kind="stable"), bool(in_train), shares)
        members = groups.isin(side) & (mediums == medium)
        subset[members] = groups[members].map(side)
    if too_few:
        raise LabError(
            f"Each class needs at least {'three' if len(shares) == 2 else 'two'} different images (near-identical "
            f"files count once) for {', '.join(['train', *shares])}; too few in {', '.join(too_few)}: add images or "
            "remove these folders."
        )
    return subset


def _sides(sizes: pd.Series, train_has_some: bool, shares: Mapping[str, float]) -> dict[str, str]:
    """Give val, then test, groups (name: size, the largest first) from the small end until each has its share."""
    left = list(sizes.items()) if train_has_some else list(sizes.items())[1:]
    side, splits = {}, list(shares.items())
    for position, (name, share) in enumerate(splits):
        filled, wanted = 0, max(1, round(share * int(sizes.sum())))
        while filled < wanted and len(left) > len(splits) - 1 - position:
            group, size = left.pop()
            side[group] = name
            filled += size
    return side


def _hint(root: Path, rows: pd.DataFrame) -> str:
    """Where the class folders seem to be, if all images lie in a single folder."""
    deeper = {tuple(Path(file).parts[:2]) for file in rows["file"] if len(Path(file).parts) > 2}
    if len({top for top, _ in deeper}) == 1 and len(deeper) > 1:
        return f" (give {root / next(iter(deeper))[0]} if the classes are the folders in it)"
    return ""


def refuse_two_classes(rows: pd.DataFrame, root: Path) -> None:
    """Stop where the same file lies under two classes; `rows` has file, medium, digest."""
    mixed = rows[rows.groupby("digest")["medium"].transform("nunique") > 1]
    if len(mixed):
        first, second = mixed[mixed["digest"] == mixed["digest"].iloc[0]].drop_duplicates("medium")["file"][:2]
        raise LabError(f"{root}: {first} and {second} are the same file under two classes: remove the wrong one.")


def _require_every_class(rows: pd.DataFrame, root: Path) -> None:
    counts = pd.crosstab(rows["medium"], rows["subset"])
    lacking = [f"{medium} in {subset}" for subset in counts for medium in counts.index[counts[subset] == 0]]
    if lacking:
        raise LabError(
            f"{root}: each class needs an image in train, val and test; there is none of {', '.join(lacking)}."
        )


def _look_alike_notes(rows: pd.DataFrame) -> list[str]:
    size = rows["group"].map(rows["group"].value_counts())
    alike = rows[size > 1]
    if alike.empty:
        return []
    groups = alike["group"].nunique()
    crossing = int((alike.groupby("group")["subset"].nunique() > 1).sum())
    sides = f"{crossing} of the groups lie across splits" if crossing else "each group lies in one split"
    return [
        f"{len(alike)} images look nearly like another one ({groups} {'group' if groups == 1 else 'groups'}); {sides}."
    ]
