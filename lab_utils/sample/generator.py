"""The embedded sample: a structural twin of MAMe that a seed makes, without network or photographs.

The table is drawn from facts about MAMe's metadata (`data/mame_facts.csv`: images by medium, museum and split,
quantiles of sizes; `data/mame_lots.csv`: the accession lots that dominate a medium); the pictures come from `render`.
Nothing of a real image is in it, and its figures say nothing about MAMe.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.core.records import write_atomic
from lab_utils.data import mame_facts

Images = int | Literal["all"]
SPLITS = ("train", "val", "test")
SHARES = {"train": 0.49, "val": 0.18, "test": 0.33}  # MAMe: .54, .04, .42; a val of 4 % would be too small to choose on
FIRST_CLASSES = (  # the order in which a smaller sample takes mediums: confusable pairs first, then one of each kind
    *("Engraving", "Etching", "Woven fabric", "Silk and metal thread", "Albumen photograph", "Bronze", "Ceramic"),
    *("Hand-colored engraving", "Oil on canvas", "Polychromed wood", "Marble", "Limestone"),
)
HEADER = (
    *("Image file", "Medium", "Museum", "Museum-based instance ID", "Subset"),
    *("Width", "Height", "Product size", "Aspect ratio"),
)
SMALL_LOTS = 0.45  # chance that an image joins a small lot that is already there
POOLED_LOTS = 0.12  # chance that it joins a lot that several mediums share
SIBLINGS = 0.03  # share of the objects that get a second image
JPEG_QUALITY = 88


@dataclass
class Drawing:
    """One row of the sample before it is drawn."""

    medium: str
    museum: str
    subset: str
    lot: str = ""
    give_away: str = ""
    accession: str = ""
    object_key: str = ""
    file: str = ""
    width: int = 0
    height: int = 0


def generate(
    folder: Path | str,
    *,
    images: Images = 1300,
    long_side: int = 320,
    classes: int | None = None,
    seed: int = 0,
    progress: Callable[[str], object] = print,
    workers: int | None = None,
) -> Path:
    """Write the sample in MAMe's layout: `MAMe_dataset.csv`, `MAMe_labels.csv`, `data_256/*`.

    Args:
        folder: where to; the table is written last, so that a folder with a table is complete.
        images: about how many images, at least 12 a class; `all`: as many as MAMe has of each medium, museum and split.
        long_side: of the files, in pixels; the table's sizes are those of an original, as in MAMe.
        classes: only so many mediums, in the order of `class_names`; None: all 29.
        seed: the same seed gives the same bytes, whatever `workers` is.
        progress: called with a sentence now and then.
        workers: processes; default one a core.

    Returns:
        `folder`.

    Raises:
        LabError: too few images or classes.
    """
    folder = Path(folder)
    pictures = plan(images, classes, seed)
    seeds = np.random.SeedSequence(seed).spawn(len(pictures))
    progress(f"drawing {len(pictures):,} images of {classes or 29} mediums")
    (folder / "data_256").mkdir(parents=True, exist_ok=True)
    draw = partial(_draw, folder=folder / "data_256", long_side=long_side, seed=seed)
    for done in _mapped(draw, list(zip(pictures, seeds, strict=True)), workers):
        if done % 500 == 0:
            progress(f"{done:,} images drawn")
    names = sorted({picture.medium for picture in pictures})
    labels = "".join(f"{label},{name}\n" for label, name in enumerate(names))
    write_atomic(folder / "MAMe_labels.csv", labels)
    write_atomic(folder / "MAMe_dataset.csv", _table(pictures).to_csv(index=False, lineterminator="\n"))
    return folder


def class_names(classes: int | None = None) -> list[str]:
    """The mediums of a sample of so many classes: `FIRST_CLASSES`, then the others by alphabet.

    Raises:
        LabError: fewer than 2 or more than 29 were asked for.
    """
    everything = sorted(mame_facts.by_museum()["medium"].unique())
    ordered = list(FIRST_CLASSES) + [name for name in everything if name not in FIRST_CLASSES]
    if classes is not None and not 2 <= classes <= len(ordered):
        raise LabError(f"data.classes is {classes}: the sample has 2 to {len(ordered)} classes.")
    return ordered[:classes]


def plan(images: Images, classes: int | None, seed: int) -> list[Drawing]:
    """Draw the sample's table, in the original's order: by split, then medium, then museum.

    Raises:
        LabError: fewer than 12 images a class.
    """
    names = class_names(classes)
    if images != "all" and images < 12 * len(names):
        raise LabError(f"data.images is {images}: {len(names)} classes need at least {12 * len(names)}.")
    rng = np.random.default_rng([seed, 0 if images == "all" else images, len(names)])
    table = mame_facts.by_museum()
    pictures = [picture for split in SPLITS for picture in _split_rows(table, names, images, split)]
    for name in names:
        members = [picture for picture in pictures if picture.medium == name]
        _assign_lots(members, table, rng)
        _assign_sizes(members, table, rng)
    _number(pictures, rng)
    _pair_siblings(pictures, rng)
    for picture in pictures:
        ending = ".jpeg" if picture.museum.startswith("The Cleveland") else ".jpg"
        picture.file = (picture.file or picture.accession.replace("(", "-").replace(")", "")) + ending
    return pictures


def _split_rows(table: pd.DataFrame, names: list[str], images: Images, split: str) -> Iterator[Drawing]:
    counts = table.pivot(index="medium", columns="museum", values=split).loc[names].fillna(0)
    of_class = counts.sum(axis=1)
    wanted = of_class.astype(int)
    if images != "all":
        wanted = np.maximum(3, np.round(images * SHARES[split] * of_class / of_class.sum())).astype(int)
    for name in names:
        parts = apportion(counts.loc[name].to_numpy(), int(wanted[name]))
        for museum in np.argsort(-parts, kind="stable"):
            yield from (Drawing(name, counts.columns[museum], split) for _ in range(parts[museum]))


def apportion(weights: np.ndarray, total: int) -> np.ndarray:
    """Split `total` in whole numbers in proportion to `weights` (n,), by largest remainders."""
    exact = np.asarray(weights, float) / np.sum(weights) * total
    parts = np.floor(exact).astype(int)
    parts[np.argsort(parts - exact, kind="stable")[: total - parts.sum()]] += 1
    return parts


def _assign_lots(members: list[Drawing], table: pd.DataFrame, rng: np.random.Generator) -> None:
    """Give dominant lots their share of the medium in their museum; the others go to small lots, many of one image."""
    lots, small = mame_facts.big_lots(), {}
    lots = dict(iter(lots[lots.medium == members[0].medium].groupby("museum")))
    cells = table[table.medium == members[0].medium].set_index("museum")[list(SPLITS)].sum(axis=1)
    shares = {museum: np.cumsum(rows["images"].to_numpy() / cells[museum]) for museum, rows in lots.items()}
    for picture in members:
        if picture.museum.startswith("Los Angeles"):
            continue
        upto = shares.get(picture.museum, ())
        pick = np.searchsorted(upto, rng.random())
        if pick < len(upto):
            picture.lot, picture.give_away = lots[picture.museum][["lot", "give_away"]].iloc[pick]
        else:
            picture.lot = _small_lot(picture.museum, small.setdefault(picture.museum, []), rng)


def _small_lot(museum: str, there: list[str], rng: np.random.Generator) -> str:
    chance = rng.random()
    if chance < POOLED_LOTS:
        return f"19{rng.integers(10, 14)}.{museum.startswith('The') + 7}"
    if there and chance < POOLED_LOTS + SMALL_LOTS:
        return there[rng.integers(len(there))]
    year = rng.integers(1900, 2019)
    there.append(f"{year if museum.startswith('The') or year > 1969 else year - 1900}.{rng.integers(400, 999)}")
    return there[-1]


def _assign_sizes(members: list[Drawing], table: pd.DataFrame, rng: np.random.Generator) -> None:
    """Draw original sizes in pixels from the quantiles of the medium in its museum."""
    rows = table[table.medium == members[0].medium].set_index("museum")
    known = {
        museum: [_widened(row.filter(like=name).to_numpy(float)) for name in ("aspect_", "megapixels_")]
        for museum, row in rows.iterrows()
    }
    for picture in members:
        aspect, area = (
            np.interp(rng.random(), (0.0, *mame_facts.QUANTILES, 1.0), values) for values in known[picture.museum]
        )
        picture.width = int(np.clip(np.sqrt(area * 1e6 * aspect), 120, 12000))
        picture.height = int(np.clip(picture.width / aspect, 120, 12000))


def _widened(quantiles: np.ndarray) -> np.ndarray:
    return np.concatenate([[quantiles[0] * 0.95], quantiles, [quantiles[-1] * 1.05]])


def _number(pictures: list[Drawing], rng: np.random.Generator) -> None:
    """Give each picture a unique accession number in its museum's manner, and a file number where it has one."""
    numbers = rng.permutation(len(pictures))
    for picture, number in zip(pictures, numbers, strict=True):
        if picture.museum.startswith("Los Angeles"):
            picture.accession = f"{170000 + 37 * number}-{20000 + 91 * number}"
        else:
            picture.accession = f"{picture.lot}.{number + 1}"
            picture.file = f"{300000 + 101 * number}" if picture.museum.startswith("Metropolitan") else ""
        picture.object_key = picture.accession


def _pair_siblings(pictures: list[Drawing], rng: np.random.Generator) -> None:
    """Make some pictures parts a, b of one object: same lot, museum and medium, often on two sides of a split."""
    order = rng.permutation(len(pictures))
    waiting: dict[tuple[str, str], Drawing] = {}
    pairs, wanted = 0, round(SIBLINGS * len(pictures) / 2)
    for picture in (pictures[i] for i in order):
        first = waiting.pop((picture.medium, picture.lot), None) if picture.lot else None
        if first is None:
            waiting[picture.medium, picture.lot] = picture
        elif pairs < wanted:
            base = first.accession
            first.accession, picture.accession, picture.object_key = base + "a", base + "b", first.object_key
            picture.lot, picture.give_away, pairs = first.lot, first.give_away, pairs + 1


def _table(pictures: list[Drawing]) -> pd.DataFrame:
    rows = [
        (
            *(
                picture.file,
                picture.medium + " " * (picture.medium == "Woven fabric"),
                picture.museum,
                picture.accession,
                picture.subset,
            ),
            *(
                float(picture.width),
                float(picture.height),
                float(picture.width * picture.height),
                round(picture.width / picture.height, 4),
            ),
        )
        for picture in pictures
    ]
    return pd.DataFrame(rows, columns=list(HEADER))


def _draw(job: tuple[Drawing, np.random.SeedSequence], folder: Path, long_side: int, seed: int) -> None:
    from PIL import Image

    from lab_utils.sample.render import render

    picture, sequence = job
    aspect, style = picture.width / picture.height, style_of(picture, seed)
    pixels = render(
        picture.medium, np.random.default_rng(sequence), long_side, aspect, picture.museum, picture.give_away, style
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    write_atomic(folder / picture.file, buffer.getvalue())


def style_of(picture: Drawing, seed: int) -> np.random.Generator:
    """Draws of what parts of one object, or pictures of a lot with a mark, have in common."""
    return np.random.default_rng([seed, crc32((picture.lot if picture.give_away else picture.object_key).encode())])


def _mapped(draw: Callable, jobs: list, workers: int | None) -> Iterator[int]:
    from joblib import Parallel, cpu_count, delayed

    workers = 1 if len(jobs) < 100 else workers or cpu_count()
    parallel = Parallel(n_jobs=workers, return_as="generator", batch_size=16)
    yield from (done for done, _ in enumerate(parallel(delayed(draw)(job) for job in jobs), 1))
