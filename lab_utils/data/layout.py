"""How a folder of pictures is laid out: which files are pictures, of which class and of which split."""

import os
import re
import stat
import unicodedata
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lab_utils.core import file_names
from lab_utils.core.errors import LabError
from lab_utils.data import file_kinds
from lab_utils.data.decoding import few

SPLITS = ("train", "val", "test")
SPELLINGS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "validating", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "evaluation", "holdout"), "test"),
}
FILLERS = {"set", "data", "dataset", "split", "images", "image", "imgs", "img", "seg"}  # `seg_train`, `Test Set`

Parts = tuple[str, ...]  # a path below the root, folder by folder


class ImageFile(NamedTuple):
    """A picture file: its path below the root with `/` between folders, its class, and its split ("": none given)."""

    file: str
    medium: str
    subset: str


@dataclass
class Contents:
    """What is in a folder, as paths below it; what is left out, by the reason in words."""

    pictures: list[Parts] = field(default_factory=list)
    folders: list[Parts] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)

    def leave_out(self, reason: str, parts: Parts, ending: str = "") -> None:
        """Note a file or folder that is not used."""
        self.left_out.setdefault(reason, []).append("/".join(parts) + ending)


def contents(root: Path) -> Contents:
    """Look through a folder at any depth. Links to folders are followed; each folder is read once, so loops end."""
    there, seen = Contents(), set[tuple[int, int]]()
    folders: deque[Parts] = deque([()])
    links: deque[Parts] = deque()  # read last: a folder counts where it really is
    while folders or links:
        parts = folders.popleft() if folders else links.popleft()
        try:
            here = root.joinpath(*parts).stat()
            entries = sorted(os.scandir(root.joinpath(*parts)), key=lambda entry: entry.name)
        except OSError as error:
            there.unreadable.append(f"{'/'.join(parts) or '.'}/ ({error.strerror})")
            continue
        if (here.st_dev, here.st_ino) in seen:
            there.leave_out("links to folders that are read elsewhere", parts, "/")
            continue
        seen.add((here.st_dev, here.st_ino))
        if parts:
            there.folders.append(parts)
        for entry in entries:
            own, sort = (*parts, entry.name), _sort(entry)
            if sort == "folder" and file_kinds.is_helper_folder(entry.name):
                there.leave_out("folders of the system's own", own, "/")
            elif entry.name.startswith("."):
                there.leave_out("hidden files and folders", own)
            elif sort == "folder":
                (links if entry.is_symlink() else folders).append(own)
            elif sort == "other":
                there.leave_out("pipes and devices", own)
            elif file_kinds.is_helper_file(entry.name):
                there.leave_out("files of programs (settings, backups, unfinished downloads)", own)
            elif file_kinds.is_picture(Path(entry)):
                there.pictures.append(own)
            else:
                there.leave_out("files that are no pictures", own)
    there.pictures.sort()
    return there


def _sort(entry: os.DirEntry) -> str:
    """`folder`, `file` (also where a link leads nowhere: it is named when it is read), or `other`."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def split_name(folder: str) -> str:
    """Which split a folder's name stands for (`Training`, `valid`, `test_set`, `seg_train`), or ""."""
    words = [word for word in re.split(r"[^a-z]+|set\b", folder.lower()) if word and word not in FILLERS]
    return SPELLINGS.get(words[0], "") if len(words) == 1 else ""


def read(root: Path, class_level: int | None = None) -> tuple[list[ImageFile], list[str]]:
    """Find the pictures of a folder, their classes and their splits.

    Classes are the folders in `root`, or those in split folders of it (`train/ val/ test/` and other spellings; the
    split may also lie below the class). Pictures at any depth below a class folder belong to it.

    Args:
        root: the folder.
        class_level: 1: the folders in `root` are the classes; 2: the folders in these are; None: told by the names.

    Returns:
        The pictures sorted by class and file, and notes on what was left out.

    Raises:
        LabError: a folder can't be read, a class folder has no picture, or the names leave open what the classes are.
    """
    if problem := file_names.problem(root):
        raise LabError(f"Folder {file_names.shown(root)} {problem}.")
    there = contents(root)
    if there.unreadable:
        names = ", ".join(map(file_names.shown, there.unreadable))
        raise LabError(f"{root} has folders that can't be read, {names}: get the right to read them or move them away.")
    for parts in there.pictures:
        if len(parts) == 1:
            there.leave_out("pictures in no class folder", parts)
    files = [parts for parts in there.pictures if len(parts) > 1]
    doubled = _doubled_splits(files)
    places = {parts: _without_double(parts[:-1], doubled) for parts in files}
    class_at, split_at = _levels(root, set(places.values()), class_level)
    _require_no_empty_class(root, there.folders, doubled, places.values(), class_at)
    pictures = [
        ImageFile(
            "/".join(parts), _class_name(place[class_at]), "" if split_at is None else split_name(place[split_at])
        )
        for parts, place in places.items()
    ]
    notes = [
        f"Left out, {reason}: {len(names)} ({few(list(map(file_names.shown, names)))})."
        for reason, names in sorted(there.left_out.items())
    ]
    given = {picture.subset for picture in pictures} - {""}
    if len(given) == 1:  # a single split is none
        pictures = [picture._replace(subset="") for picture in pictures]
        notes.append(f"The folder has {given.pop()} alone, which is no split.")
    return sorted(pictures, key=lambda picture: (picture.medium, picture.file)), notes


# ---- inside ----------------------------------------------------------------------------------------------------------
def _levels(root: Path, places: set[Parts], class_level: int | None) -> tuple[int, int | None]:
    """At which level below the root the classes are (0 or 1), and at which the splits (None: there are none)."""
    below: dict[str, set[str]] = {}  # names of the folders in each folder of the root; "": pictures lie in it directly
    for place in places:
        below.setdefault(place[0], set()).add(place[1] if len(place) > 1 else "")
    splits = {top: split for top in sorted(below) if (split := split_name(top))}
    if class_level == 1:
        return 0, None
    if class_level == 2 or len(set(splits.values())) > 1 or (len(splits) == len(below) == 1 and _nested(below)):
        _require_classes_below(root, below, {} if class_level == 2 and len(splits) < len(below) else splits)
        return 1, 0 if len(splits) == len(below) else None
    inner = {top for top, names in below.items() if len({split_name(name) for name in names} - {""}) > 1}
    if inner == set(below) and all(split_name(name) for names in below.values() for name in names):
        return 0, 1
    if inner:
        raise LabError(
            f"{root}: {_listed(inner)} {'holds' if len(inner) == 1 else 'hold'} split folders, other images lie beside "
            "them: put the images of every class into such folders, or none."
        )
    for top in splits:
        if "" not in below[top] and len(below[top]) > 1:
            raise LabError(
                f"{root}: {top}/ holds the folders {_listed(below[top])} like a split, and beside it lies "
                f"{_listed(set(below) - {top})}: choose --class-level 1 if the classes are {_listed(below)}, or move "
                "what is no split away."
            )
    common = set.intersection(*({name.lower() for name in names} for names in below.values())) if below else set()
    if len(below) > 1 and len(common - {""}) > 1 and _nested(below):
        raise LabError(
            f"{root}: {_listed(below)} hold folders of the same names, {_listed(common)}: choose --class-level 1 if "
            f"the classes are {_listed(below)}, or --class-level 2 if they are {_listed(common)}."
        )
    return 0, None


def _nested(below: dict[str, set[str]]) -> bool:
    return all("" not in names for names in below.values())


def _require_classes_below(root: Path, below: dict[str, set[str]], splits: dict[str, str]) -> None:
    """Stop where a split is there twice, a folder is none, or pictures lie in a split without a class."""
    for split in set(splits.values()):
        same = [top for top in splits if splits[top] == split]
        if len(same) > 1:
            raise LabError(f"{root} has two folders for {split}, {same[0]}/ and {same[1]}/: keep one.")
    others = sorted(set(below) - set(splits)) if splits else []
    if others:
        raise LabError(
            f"{root} has the splits {_listed(splits)} and beside them images in {_listed(others)}: move these into a "
            "split or away, or choose --class-level 1 if all of them are classes."
        )
    bare = [top for top in sorted(below) if "" in below[top]]
    if bare:
        raise LabError(
            f"{root}: images lie in {_listed(bare)} without a class folder: put them into one folder a class, move "
            f"them away, or choose --class-level 1 if the classes are {_listed(below)}."
        )


def _doubled_splits(files: list[Parts]) -> set[str]:
    """Split folders that hold nothing but a folder of the same meaning (`seg_train/seg_train/`, as archives do)."""
    inside: dict[str, set[str]] = {}
    for parts in files:
        inside.setdefault(parts[0], set()).add(parts[1] if len(parts) > 2 else "")
    return {
        top
        for top, names in inside.items()
        if len(names) == 1 and split_name(top) and split_name(top) == split_name(next(iter(names)))
    }


def _without_double(place: Parts, doubled: set[str]) -> Parts:
    return place[:1] + place[2:] if place[0] in doubled else place


def _require_no_empty_class(
    root: Path, folders: list[Parts], doubled: set[str], places: Iterable[Parts], class_at: int
) -> None:
    filled = {place[: class_at + 1] for place in places}
    tops = {place[0] for place in filled}
    empty = [
        folder
        for folder in sorted(folders)
        if len(place := _without_double(folder, doubled)) == class_at + 1 and place not in filled
        if class_at == 0 or place[0] in tops or split_name(place[0])
    ]
    if empty:
        names = ", ".join(file_names.shown("/".join(folder)) + "/" for folder in empty)
        raise LabError(f"{root} has folders without an image: {names}: add images or remove them.")


def _class_name(folder: str) -> str:
    """A folder's name as the class's: composed characters (macOS decomposes them), no blanks around."""
    return unicodedata.normalize("NFC", folder.strip()) or folder


def _listed(names: Iterable[str]) -> str:
    return few(sorted(file_names.shown(name) for name in names if name))
