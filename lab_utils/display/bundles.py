"""What a notebook displays: figures and tables as MIME bundles, the same bytes for the same content."""

import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core.links import Link
from lab_utils.display.style import DPI, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Interactive:
    """An interactive figure with its static twin.

    What several figures share (a table of thumbnails; plotly.js for JupyterLab) is displayed once as an output with
    metadata `{"lab": {"kind": "library"}}`: the report puts such outputs into its head, each once, and adds plotly.js
    itself where a figure uses it.

    Attributes:
        html: fragment for HTML and JupyterLab; it may use `window.Plotly` but loads nothing from a network.
        twin: matplotlib figure that shows the same in print.
    """

    html: str
    twin: "Figure"


def bundle(figure: "Figure | Interactive") -> dict[str, Any]:
    """MIME bundle of a figure: JPEG where it holds photographs, else PNG, and SVG too where it is little but lines.

    An interactive figure adds its HTML.

    Raises:
        TypeError: it is neither a matplotlib figure nor `Interactive`.
    """
    import base64

    if isinstance(figure, Interactive):
        return {"text/html": figure.html, **bundle(figure.twin)}
    if not hasattr(figure, "savefig"):
        raise TypeError(f"a figure is a matplotlib Figure or bundles.Interactive, not {type(figure).__name__}.")
    kind = "jpeg" if _holds_photographs(figure) else "png"
    shown = {f"image/{kind}": base64.b64encode(_raster(figure, kind)).decode()}
    if _is_line_drawing(figure):
        shown["image/svg+xml"] = _saved(figure, "svg", metadata={"Date": None, "Creator": None}).decode()
    return {**shown, "text/plain": "<figure>"}


def words_of(figure: "Figure | Interactive") -> str:
    """What a figure of `figures` says that it shows; "" for any other."""
    return str((figure.twin if isinstance(figure, Interactive) else figure).get_label())


@style()
def _saved(figure: "Figure", kind: str, **more: Any) -> bytes:
    """Bytes of a figure; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, bbox_inches="tight", pad_inches=0.04, **more)
    return buffer.getvalue()


def _raster(figure: "Figure", kind: str) -> bytes:
    """PNG of 256 colours, a third of the usual size, or JPEG."""
    if kind == "jpeg":
        return _saved(figure, kind, pil_kwargs={"quality": 88, "optimize": True})
    from PIL import Image

    buffer = io.BytesIO()
    drawn = Image.open(io.BytesIO(_saved(figure, "png"))).convert("RGB")
    drawn.quantize(256, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def _holds_photographs(figure: "Figure") -> bool:
    return any(np.ndim(image.get_array()) == 3 for axes in figure.axes for image in axes.images)


def _is_line_drawing(figure: "Figure", most: int = 600) -> bool:
    """Whether a figure holds no pictures and so few points and texts that SVG stays small."""
    from matplotlib.collections import QuadMesh

    drawn = [artist for axes in figure.axes for artist in axes.get_children()]
    if any(axes.images or hasattr(axes, "get_zlim") for axes in figure.axes):
        return False
    if any(isinstance(artist, QuadMesh) for artist in drawn):
        return False
    points = sum(len(artist.get_offsets()) for artist in drawn if hasattr(artist, "get_offsets"))
    return points + sum(len(artist.get_xdata()) for axes in figure.axes for artist in axes.lines) + len(drawn) < most


def table_bundle(table: pd.DataFrame, index: bool = False) -> dict[str, Any]:
    """MIME bundle of a data frame: escaped HTML (numbers to the right, `Link` cells as links) and plain text.

    Cells may be `Accuracy`, `Estimate`, `Difference` or any object that prints itself; missing values show as a dash.
    """
    shown = table.reset_index() if index else table
    right = [pd.api.types.is_numeric_dtype(shown[name]) for name in shown] if shown.columns.is_unique else []
    right = right or [False] * shown.shape[1]
    sides = ["right" if number else "left" for number in right]
    names = [" · ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in shown.columns]
    head = "".join(
        f'<th style="text-align: {side}">{html.escape(name)}</th>' for side, name in zip(sides, names, strict=True)
    )
    rows = "\n".join(_html_row(row, sides) for row in shown.itertuples(index=False, name=None))
    text = pd.DataFrame(
        [[cell(item) for item in row] for row in shown.itertuples(index=False, name=None)], columns=names
    )
    return {
        "text/html": f'<table class="lab-table">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>',
        "text/plain": text.to_string(index=False),
    }


def cell(value: Any) -> str:
    """A table cell as text: whole numbers with thousands separators, others with four significant digits."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def _html_row(row: Iterable[Any], sides: Sequence[str]) -> str:
    cells = (f'<td style="text-align: {side}">{_html_cell(item)}</td>' for side, item in zip(sides, row, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _html_cell(value: Any) -> str:
    text = html.escape(cell(value))
    return f'<a href="{html.escape(value.href)}">{text}</a>' if isinstance(value, Link) else text
