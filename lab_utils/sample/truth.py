"""What the generator put into the sample beside the mediums: backdrops and marks of lots. A check with a truth.

None of it can be *found* by a network as if it were a fact about museums: it was planted. But a method that looks for
such signals can be asked how much of it it recovers, and whether it finds anything where nothing was planted.
"""

from collections.abc import Sequence

import pandas as pd

from lab_utils.core.profiles import Data
from lab_utils.sample import generator
from lab_utils.sample.render import PAINTED_PANELS, TECHNIQUES

WHITE, BLACK = 0.14, 0.12  # shares of backdrops that are the same in all museums (`canvas.backdrop`)


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


def _shows_backdrop(picture: generator.Drawing, seed: int) -> bool:
    """Whether the picture has a backdrop, and none of the white and black ones: as `render` draws by its style."""
    style = generator.style_of(picture, seed)
    if picture.medium in TECHNIQUES or (picture.medium == "Polychromed wood" and style.random() < PAINTED_PANELS):
        return False
    return not (style.random() < WHITE or style.random() < BLACK)
