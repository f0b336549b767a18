"""A folder of class folders as data source: which files, which classes, and a split that keeps look-alikes together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lab_utils.core.errors import LabError
from lab_utils.data import decoding

SHARES = {"val": 0.2, "test": 0.2}  # the rest is train
SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
NEAR = 4  # bits of 64 in which the perceptual hashes of near-identical images may differ


def read(
    root: Path, seed: int = 0, progress: Callable[[str], None] = print
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Read a folder of class folders, with or without `train/ val/ test/` above them.

    Args:
        root: the folder.
        seed: of the split, where the folder brings none.
        progress: gets a line now and then.

    Returns:
        The rows sorted by class and file, the class names in label order, and notes for the report. Museum and lot are
        unknown (""); images that look nearly identical share their `group` and, in our split, their side.

    Raises:
        LabError: no such folder, fewer than two classes, too few images in a class, or bad images (all named).
    """
    if not root.is_dir():
        raise LabError(f"There is no folder {root}: give the folder that holds one folder a class.")
    rows, notes = list_images(root)
    classes = sorted(set(rows["medium"]))
    if len(classes) < 2:
        raise LabError(f"{root} has {len(classes)} class folders with images: at least two are needed.")
    found = decoding.examine_all(root, rows["file"], perceptual=True, progress=progress)
    decoding.require_good(found, root)
    rows["digest"] = [found[file].digest for file in rows["file"]]
    refuse_two_classes(rows, root)
    rows["group"] = rows["file"].to_numpy()[near_identical([found[file].phash for file in rows["file"]])]
    rows["width"] = [found[file].width for file in rows["file"]]
    rows["height"] = [found[file].height for file in rows["file"]]
    if (rows["subset"] == "").all():
        rows["subset"] = split(rows["medium"], rows["group"], seed)
    else:
        _require_every_class(rows, root)
    rows["label"] = rows["medium"].map({name: label for label, name in enumerate(classes)})
    rows["product"], rows["aspect"] = rows["width"] * rows["height"], rows["width"] / rows["height"]
    rows["museum"], rows["lot"], rows["object_id"] = "", "", rows["file"]
    return rows.drop(columns="digest"), classes, notes + _look_alike_notes(rows)


def list_images(root: Path) -> tuple[pd.DataFrame, list[str]]:
    """Find the image files of the class folders, by suffix, at any depth below them; hidden files are left out.

    Returns:
        Rows with file (relative to `root`), medium (the class folder's name), subset ("" without split folders), sorted
        by medium and file; and a note on files that are no images by their suffix.

    Raises:
        LabError: some but not all of `train/ val/ test/` are there or two of one meaning, or class folders are empty.
    """
    splits = _split_folders(root)
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    rows, others, empty = [], [], []
    for subset, folder in splits.items():
        for class_folder in _folders(folder):
            for path in sorted(class_folder.rglob("*")):
                if path.is_dir() or any(part.startswith(".") for part in path.relative_to(root).parts):
                    continue
                file = path.relative_to(root).as_posix()
                if path.suffix.lower() in known:
                    rows.append((file, class_folder.name.strip(), subset))
                else:
                    others.append(file)
            if not rows or rows[-1][1] != class_folder.name.strip():
                empty.append(f"{class_folder.relative_to(root).as_posix()}/")
    if empty:
        raise LabError(f"{root} has folders without an image: {', '.join(empty)}: add images or remove them.")
    table = pd.DataFrame(rows, columns=["file", "medium", "subset"]).sort_values(["medium", "file"], ignore_index=True)
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    return table, [f"Left out, because they are no images: {', '.join(others[:5])}{more}."] if others else []


def near_identical(hashes: list[str], most: int = NEAR) -> np.ndarray:
    """Join images whose perceptual hashes differ in at most `most` bits, directly or through others.

    Args:
        hashes: 64-bit perceptual hashes as hex digits, length n.
        most: Hamming distance, in bits.

    Returns:
        For each image the index of the first image of its group, shape (n,).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    bits = np.array([int(one, 16) for one in hashes], dtype=np.uint64)
    pairs = []
    for start in range(0, len(bits), 1000):  # in blocks: memory stays linear in n
        row, column = np.nonzero(np.bitwise_count(bits[start : start + 1000, None] ^ bits[None]) <= most)
        pairs.append((row + start, column))
    first, second = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(len(bits), len(bits)))
    _, component = connected_components(graph, directed=False)
    _, leader, member = np.unique(component, return_index=True, return_inverse=True)
    return leader[member]


def split(mediums: pd.Series, groups: pd.Series, seed: int = 0) -> pd.Series:
    """Split 60/20/20 into train, val, test, stratified by class, with whole groups on one side.

    Each class gets at least one image in each split. A group that spans classes goes to train, and so does the largest
    group of a class.

    Args:
        mediums: class of each image, shape (n,).
        groups: images that must stay together, shape (n,).
        seed: of the order within each class.

    Returns:
        Subset of each image, with the index of `mediums`.

    Raises:
        LabError: classes with fewer than three different images, all named.
    """
    subset = pd.Series("train", index=mediums.index)
    spanning = mediums.groupby(groups).transform("nunique") > 1
    too_few = []
    for number, medium in enumerate(sorted(set(mediums))):
        own = groups[(mediums == medium) & ~spanning].value_counts(sort=False).sort_index()
        in_train = int(((mediums == medium) & spanning).sum())
        if len(own) + bool(in_train) < 3:
            too_few.append(f"{medium} ({len(own) + bool(in_train)})")
            continue
        order = own.iloc[np.random.default_rng([seed, number]).permutation(len(own))]
        side = _sides(order.sort_values(ascending=False, kind="stable"), bool(in_train))
        members = groups.isin(side) & (mediums == medium)
        subset[members] = groups[members].map(side)
    if too_few:
        raise LabError(
            "Each class needs at least three different images (near-identical files count once), one for each split; "
            f"too few in {', '.join(too_few)}: add images or remove these folders."
        )
    return subset


def _sides(sizes: pd.Series, train_has_some: bool) -> dict[str, str]:
    """Give val, then test, groups (name: size, the largest first) from the small end until each has its share."""
    left = list(sizes.items()) if train_has_some else list(sizes.items())[1:]
    side, splits = {}, list(SHARES.items())
    for position, (name, share) in enumerate(splits):
        filled, wanted = 0, max(1, round(share * int(sizes.sum())))
        while filled < wanted and len(left) > len(splits) - 1 - position:
            group, size = left.pop()
            side[group] = name
            filled += size
    return side


def _split_folders(root: Path) -> dict[str, Path]:
    """Folders of the splits, `{subset: folder}`, or `{"": root}` where the class folders lie in `root` itself."""
    found: dict[str, Path] = {}
    for folder in _folders(root):
        name = SPLIT_NAMES.get(folder.name.lower())
        if name and _folders(folder):
            if name in found:
                raise LabError(f"{root} has two folders for {name}, {found[name].name}/ and {folder.name}/: keep one.")
            found[name] = folder
    missing = [name for name in ("train", "val", "test") if name not in found]
    if found and missing:
        raise LabError(
            f"{root} has {', '.join(sorted(found))} but no {' and no '.join(missing)} folder: add it, or put the class "
            "folders directly into the folder and let the lab split them."
        )
    return {name: found[name] for name in ("train", "val", "test")} if found else {"": root}


def _folders(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))


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
    crossing = int((alike.groupby("group")["subset"].nunique() > 1).sum())
    sides = f"{crossing} of the groups lie across splits" if crossing else "each group lies in one split"
    return [f"{len(alike)} images look nearly like another one ({alike['group'].nunique()} groups); {sides}."]
