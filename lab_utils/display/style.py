"""The one style of all figures: fixed class colours, words for names, readable in grey.

matplotlib is imported inside the functions, so that importing the module costs nothing.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.data.taxonomy import SUPER_GROUPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 6.7  # inches: the text width of the A4 report
DPI = 170  # of raster figures
SEQUENTIAL = "cividis"  # amounts in pictures: perceptual, and monotone in grey
HEAT = "inferno"  # class activation
INK, PAPER, GRID = "#1b1f24", "#ffffff", "#d9dde2"
SERIES = ("#1f5a8a", "#d1742b", "#4b8b5a", "#8a4f9e", "#b8a13a", "#5b6673", "#b0413e", "#3aa0a8")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo", "--")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
REPORTED = "#b0413e"  # numbers printed in the original or the paper

# The super-groups of the mediums: a hue for each, lightness for its members.
_HUES = {  # first and last hue of each super-group, degrees in OKLCH
    "metals": (235, 275),
    "ceramics and glass": (165, 215),
    "stone, wood and ivory": (110, 150),
    "prints": (5, 65),
    "drawings and photographs": (300, 335),
    "textiles and paintings": (80, 98),
}


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw what is inside in the report's style: matplotlib's own settings and ours, none of a `matplotlibrc`.

    Nothing is changed for anyone else.

    Plot functions are decorated by it (`@style()`), since matplotlib reads some settings when an artist is made.
    """
    import matplotlib

    settings = {
        "figure.figsize": (WIDTH, 3.6),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "font.size": 8.5,
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 8.5,
        "axes.edgecolor": "#8a929b",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": matplotlib.cycler(color=SERIES),
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "hatch.linewidth": 0.5,
        "image.cmap": SEQUENTIAL,
        "svg.hashsalt": "lab",
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # LaTeX or another font that somebody set for all figures could stop a chapter
        matplotlib.rcParams.update(settings)
        yield


def subplots(rows: int = 1, columns: int = 1, height: float = 3.6, **more: Any) -> tuple["Figure", Any]:
    """Figure and axes as wide as the page, `height` in inches; call it inside `style()`.

    The figure belongs to no pyplot window, so nothing has to be closed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(more.pop("width", WIDTH), height), layout="constrained")
    return figure, figure.subplots(rows, columns, **more)


def class_colors(classes: Sequence[str]) -> dict[str, str]:
    """One fixed colour for each class: a medium of MAMe always has the same one, whatever the others are.

    Args:
        classes: names; those that are no MAMe medium get hues spread over the circle in the given order.

    Returns:
        `{name: "#rrggbb"}` in the given order; hue says the super-group, lightness the member.
    """
    fixed = {
        name: _member_color(_HUES[group], place, len(members))
        for group, members in SUPER_GROUPS.items()
        for place, name in enumerate(members)
    }
    others = [name for name in classes if name not in fixed]
    spread = {
        name: _oklch((0.45, 0.62, 0.78)[place % 3], 0.12, 360 * place / len(others))
        for place, name in enumerate(others)
    }
    return {name: fixed.get(name) or spread[name] for name in classes}


def class_markers(classes: Sequence[str]) -> dict[str, str]:
    """A marker for each class, different within a super-group, so that a scatter can be read in grey."""
    places = {name: place for members in SUPER_GROUPS.values() for place, name in enumerate(members)}
    return {name: MARKERS[places.get(name, position) % len(MARKERS)] for position, name in enumerate(classes)}


def _member_color(hues: tuple[float, float], place: int, members: int) -> str:
    share = place / max(members - 1, 1)
    lightness = (0.40, 0.72, 0.52, 0.84, 0.34, 0.64, 0.46, 0.78)[place % 8]
    return _oklch(lightness, 0.15 - 0.10 * abs(lightness - 0.58), hues[0] + share * (hues[1] - hues[0]))


def _oklch(lightness: float, chroma: float, hue: float) -> str:
    """Hex colour of an OKLCH triple (Ottosson 2020), clipped to sRGB; hue in degrees."""
    a, b = chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))
    to_lms = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.291485548]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_rgb @ (to_lms @ np.array([lightness, a, b])) ** 3, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in encoded)


def cell_colors() -> Any:
    """Colour map of numbers in cells: even steps of lightness in OKLCH from paper to ink, so that it prints lightly."""
    from matplotlib.colors import LinearSegmentedColormap

    steps = np.linspace(0.985, 0.3, 32)
    blue = [_oklch(lightness, 0.13 * np.sin(np.pi * (1 - lightness)), 250) for lightness in steps]
    return LinearSegmentedColormap.from_list("cells", blue)
