"""What the generator put into the sample beside the mediums: backdrops, marks of lots, sizes. A check with a truth.

None of it can be *found* by a network as if it were a fact about museums: it was planted. But a method that looks for
such signals can be asked how much of it it recovers, and whether it finds anything where nothing was planted.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lab_utils.core.profiles import Data
from lab_utils.data import mame_facts
from lab_utils.sample import generator
from lab_utils.sample.render import PAINTED_PANELS, TECHNIQUES

WHITE, BLACK = 0.14, 0.12  # shares of backdrops that are the same in all museums (`canvas.backdrop`)
WINDOW = 0.005  # relative: sizes are whole pixels
QUANTILES = {"aspect": "aspect_", "megapixels": "megapixels_"}


def planted(data: Data, files: Sequence[str]) -> pd.DataFrame:
    """What is in the pictures of the sample beside the medium.

    Args:
        data: the run's settings, from which the sample is planned again.
        files: names of its images, n.

    Returns:
        n rows: `backdrop`, whether the picture shows a backdrop whose tone differs by museum; `mark`, the kind of mark
        at the border that its lot shares with a common look (`ruler`, `number`, …), or "".
    """
    pictures = {picture.file: picture for picture in generator.plan(data.images, data.classes, data.seed)}
    asked = [pictures[name] for name in files]
    backdrops = [_shows_backdrop(picture, data.seed) for picture in asked]
    return pd.DataFrame({"backdrop": backdrops, "mark": [picture.give_away for picture in asked]})


def _shows_backdrop(picture: generator.Picture, seed: int) -> bool:
    """Whether the picture has a backdrop, and none of the white and black ones: as `render` draws by its style."""
    style = generator.style_of(picture, seed)
    if picture.medium in TECHNIQUES or (picture.medium == "Polychromed wood" and style.random() < PAINTED_PANELS):
        return False
    return not (style.random() < WHITE or style.random() < BLACK)


def guesses_by_size(rows: pd.DataFrame, classes: Sequence[str], with_museum: bool = True) -> np.ndarray:
    """The best guess of the medium from width and height (and museum) for whoever knows how sizes were drawn.

    Args:
        rows: the image table (columns medium, museum, subset, width, height); mediums of train rows are counted.
        classes: names in label order.
        with_museum: whether the museum of each image is known too.

    Returns:
        Labels, shape (n,).
    """
    facts = mame_facts.by_museum().set_index(["medium", "museum"])
    train = rows[rows["subset"] == "train"].groupby(["medium", "museum"]).size()
    sizes = {"aspect": rows["width"] / rows["height"], "megapixels": rows["width"] * rows["height"] / 1e6}
    scores = np.zeros((len(rows), len(classes)))
    for (medium, museum), images in train.items():
        chance = float(images) * np.ones(len(rows))
        for name, start in QUANTILES.items():
            ends = facts.loc[medium, museum].filter(like=start).to_numpy(float)
            known = np.concatenate([[ends[0] * 0.95], ends, [ends[-1] * 1.05]])
            below, above = (
                np.interp(sizes[name] * factor, known, (0.0, *generator.QUANTILES, 1.0))
                for factor in (1 - WINDOW, 1 + WINDOW)
            )
            chance *= above - below
        scores[:, list(classes).index(medium)] += chance * ((rows["museum"] == museum) if with_museum else 1.0)
    return scores.argmax(1)
