"""Interactive maps: a 3-D scatter with the picture on hover, working without network in the report and in JupyterLab.

Plotly shows no pictures on hover by itself; a small handler (`interactive.js`) does. Thumbnails, files, classes
and museums stand once in a table of the page (`image_table`, an output of kind `library`); a figure carries positions
in that table and coordinates only.
"""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.core.records import content_hash
from lab_utils.display.bundles import Interactive
from lab_utils.display.style import SERIES, class_colors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 32  # pixels of a thumbnail
MOST = 1_000_000  # bytes of the table
STEPS = 4095  # coordinates are whole numbers from 0 to this


def plotly_library() -> str:
    """plotly.js as a script, for JupyterLab; the report keeps one of it."""
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"


def image_table(
    pictures: np.ndarray, files: Sequence[str], classes: Sequence[str], museums: Sequence[str]
) -> tuple[str, str]:
    """The page's table of images, as a script.

    Args:
        pictures: thumbnails, uint8 (N, 32, 32, 3).
        files: N names.
        classes: N names.
        museums: N names, "" for unknown.

    Returns:
        The table's name, to be given to `scatter_3d`, and the script (below 1 MB).

    Raises:
        LabError: there are too many images for a megabyte.
    """
    groups = {
        "class": [str(value) for value in classes],
        "museum": [str(value) or "museum unknown" for value in museums],
    }
    names = {group: sorted(set(values)) for group, values in groups.items()}
    colours = {
        "class": class_colors(names["class"]),
        "museum": {name: SERIES[place % len(SERIES)] for place, name in enumerate(names["museum"])},
    }
    table = {"files": [str(value) for value in files], "names": names, "colours": colours, "side": SIDE}
    table["columns"] = {name: [names[name].index(value) for value in values] for name, values in groups.items()}
    table["across"] = max(1, int(np.ceil(np.sqrt(len(pictures)))))
    room = MOST - len(json.dumps(table)) - 500
    table["sprite"] = _sprite(pictures, table["across"], room)
    key = content_hash(table)
    text = f"window.LAB=window.LAB||{{images:{{}}}};window.LAB.images[{json.dumps(key)}]={_script(table)};"
    return key, f"<script>{text}</script>"


def _sprite(pictures: np.ndarray, across: int, room: int) -> str:
    """All thumbnails as tiles of one WebP picture, a data address of at most `room` characters."""
    from PIL import Image

    down = -(-len(pictures) // across)
    tiles = np.zeros((down * across, SIDE, SIDE, 3), np.uint8)
    tiles[: len(pictures)] = pictures
    sheet = tiles.reshape(down, across, SIDE, SIDE, 3).swapaxes(1, 2).reshape(down * SIDE, across * SIDE, 3)
    for quality in (60, 40, 20, 5):
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "WEBP", quality=quality, method=4)
        address = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
        if len(address) <= room:
            return address
    raise LabError(f"The thumbnails of {len(pictures):,} images do not fit in a megabyte: lower projections.per_class.")


def scatter_3d(
    table: str, places: Sequence[int], maps: Mapping[str, np.ndarray], twin: "Figure", axes: Mapping[str, Sequence[str]]
) -> Interactive:
    """An interactive 3-D figure with switches of map and colour; hover shows picture, file, class and museum.

    Args:
        table: name of the page's table of images.
        places: of the points in that table, N.
        maps: `{title: (N, 3)}`; the first is shown.
        twin: the static figure for print.
        axes: `{title: names of the three axes}`.

    Returns:
        Figure whose HTML stays below 0.3 MB for 3,000 points and four maps.
    """
    spec = {"table": table, "places": [int(place) for place in places]}
    spec["maps"] = {title: {"points": _whole(points), "axes": list(axes[title])} for title, points in maps.items()}
    spec["id"] = f"map-{content_hash(spec, 12)}"
    handler = Path(__file__).with_suffix(".js").read_text(encoding="utf-8").replace("(SPEC);", f"({_script(spec)});")
    label = "font:13px sans-serif;margin-right:1em"
    tip = (
        "display:none;position:absolute;z-index:9;pointer-events:none;gap:8px;width:210px;padding:6px;background:#fff;"
        "color:#1b1f24;border:1px solid #888;font:12px sans-serif;overflow-wrap:anywhere"
    )
    return Interactive(
        f'<div id="{spec["id"]}" class="lab-map" style="position:relative">'
        f'<label style="{label}">Map <select>{_options(maps)}</select></label>'
        f'<label style="{label}">Colour <select>{_options(("class", "museum"))}</select></label>'
        f'<div class="lab-plot"></div><div class="lab-tip" style="{tip}"></div></div><script>{handler}</script>',
        twin,
    )


def _whole(points: np.ndarray) -> list[int]:
    low = points.min(0)
    return np.round((points - low) / max(float((points - low).max()), 1e-12) * STEPS).astype(int).ravel().tolist()


def _options(names: Sequence[str] | Mapping[str, object]) -> str:
    return "".join(f"<option>{html.escape(name)}</option>" for name in names)


def _script(value: object) -> str:
    """JSON that can stand inside a script element."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
