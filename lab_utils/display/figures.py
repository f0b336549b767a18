"""The figures: plain arrays or `intervals` values in, a matplotlib figure in the one style out, intervals drawn.

Each figure says what it draws, for those who can't see it: that is its label (`figure.get_label()`), from which
`lab.show` takes the alternative text. Nothing here touches the disk; matplotlib and seaborn are imported inside the
functions, so that importing the module costs nothing.
"""

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.data.taxonomy import by_super_group, super_group
from lab_utils.display.style import (
    HATCHES,
    HEAT,
    INK,
    MARKERS,
    PAPER,
    REPORTED,
    SERIES,
    WIDTH,
    cell_colors,
    class_colors,
    class_markers,
    style,
    subplots,
)
from lab_utils.stats.intervals import Accuracy, Difference, Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


MOST_TITLES = 24  # of pictures that a figure's words name


def _told(figure: "Figure", words: str) -> "Figure":
    """The figure, with what it shows in words."""
    figure.set_label(words)
    return figure


# ---- shared plots ---------------------------------------------------------------------------------------------------
def percent(quantity: Accuracy | Estimate | Difference | float) -> tuple[float, float, float]:
    """Value, low and high of a quantity as they are drawn: accuracies and differences in percent, estimates scaled."""
    if isinstance(quantity, (int, float)):
        return (float(quantity),) * 3
    if isinstance(quantity, Estimate):
        return tuple(quantity.scale * part for part in (quantity.value, quantity.low, quantity.high))
    return 100 * quantity.value, 100 * quantity.low, 100 * quantity.high


@style()
def bars_with_intervals(
    values: Mapping[str, Any],
    xlabel: str = "accuracy (%), 95 % interval",
    reported: Mapping[str, Any] | None = None,
    references: Mapping[str, float] | None = None,
) -> "Figure":
    """Horizontal bars with their intervals and numbers.

    Args:
        values: `{row: quantity}`, or `{row: {series: quantity}}` for groups of bars.
        xlabel: of the axis, with unit.
        reported: numbers of the original or the paper in the axis' unit, nested like `values`; drawn as diamonds.
        references: `{name: position}` of vertical lines (chance, say).
    """
    rows = {row: item if isinstance(item, Mapping) else {"": item} for row, item in values.items()}
    series = list(dict.fromkeys(name for item in rows.values() for name in item))
    bars = sum(len(item) for item in rows.values())
    figure, axes = subplots(height=0.9 + (0.175 if bars <= 12 else 0.145) * bars + 0.12 * len(rows))
    position, ticks = 0.0, []
    for row, item in rows.items():
        ticks.append(position + (len(item) - 1) / 2)
        for name, quantity in item.items():
            _bar(axes, position, percent(quantity), series.index(name))
            _diamond(axes, position, _nested(reported, row, name))
            position += 1
        position += 0.6
    axes.set_yticks(ticks, [textwrap.fill(row, 32) for row in rows])
    axes.set(xlabel=xlabel, ylim=(position - 0.9, -0.75))
    axes.grid(axis="x")
    _reference_lines(axes, references or {})
    _bar_legend(axes, series if len(series) > 1 else [], bool(reported))
    return _told(figure, in_words(values))


def in_words(bars: Mapping[str, Any]) -> str:
    """Quantities by row, or by row and series, in words: the text beside a bar chart."""
    rows = {name: row if isinstance(row, Mapping) else {"": row} for name, row in bars.items()}
    return "; ".join(f"{name}: {', '.join(f'{k} {v}'.strip() for k, v in row.items())}" for name, row in rows.items())


def _bar(axes: "Axes", position: float, point: tuple[float, float, float], series: int) -> None:
    value, low, high = point
    color = SERIES[series % len(SERIES)]
    axes.barh(
        position, value, 0.82, color=color, hatch=HATCHES[series % len(HATCHES)], edgecolor="#ffffff", linewidth=0.3
    )
    if high > low:
        axes.plot([low, high], [position] * 2, color=INK, lw=1.2, solid_capstyle="butt")
    text = (f"{value:.1f}" if abs(value) >= 1 or value == 0 else f"{value:.3f}").replace("-", "−")
    side = 1 if value >= 0 else -1
    edge = max(value, high) if side > 0 else min(value, low)
    align = "left" if side > 0 else "right"
    axes.annotate(
        text, (edge, position), (3 * side, 0), textcoords="offset points", va="center", ha=align, fontsize=7.5
    )


def _nested(values: Mapping[str, Any] | None, row: str, name: str) -> float | None:
    item = (values or {}).get(row)
    return item.get(name) if isinstance(item, Mapping) else item


def _diamond(axes: "Axes", position: float, value: float | None) -> None:
    if value is not None and not np.isnan(value):
        axes.plot(value, position, marker="D", ms=5, mfc="#ffffff", mec=REPORTED, mew=1.3, zorder=5)


def _reference_lines(axes: "Axes", references: Mapping[str, float]) -> None:
    for place, (name, value) in enumerate(references.items()):
        line = ("--", ":", "-.")[place % 3]
        axes.axvline(value, color=INK, lw=1, ls=line, label=f"{name} ({value:.3g})", zorder=1)


def _bar_legend(axes: "Axes", series: Sequence[str], reported: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(
            facecolor=SERIES[place % len(SERIES)], hatch=HATCHES[place % len(HATCHES)], edgecolor="#ffffff", label=name
        )
        for place, name in enumerate(series)
    ]
    if reported:
        handles.append(Line2D([], [], marker="D", ls="", ms=5, mfc="#ffffff", mec=REPORTED, mew=1.3, label="reported"))
    handles += axes.get_legend_handles_labels()[0]
    if handles:
        axes.figure.legend(handles=handles, loc="outside upper left", ncols=min(4, len(handles)))


@style()
def curves(
    panels: Mapping[str, Mapping[str, Any]],
    xlabel: str = "epoch",
    log: Sequence[str] = (),
    reported: Mapping[str, Mapping[str, float]] | None = None,
) -> "Figure":
    """Curves in one panel or several side by side.

    Args:
        panels: `{title: {label: y or (x, y) or (x, y, low, high)}}`, arrays of one length a curve; y alone starts at 1.
        xlabel: of all panels.
        log: titles of the panels with a logarithmic y axis.
        reported: `{title: {name: y}}`, levels printed in the original or the paper, drawn as red lines named so.
    """
    from matplotlib.ticker import MaxNLocator

    figure, grid = subplots(1, len(panels), height=2.9, squeeze=False)
    for axes, (title, lines) in zip(grid[0], panels.items(), strict=True):
        for place, (label, line) in enumerate(lines.items()):
            _curve(axes, label, line, place)
        for name, value in ((reported or {}).get(title) or {}).items():
            axes.axhline(value, color=REPORTED, lw=1, ls="-.", label=f"{name} (reported)")
        axes.set(title=title, xlabel=xlabel, yscale="log" if title in log else "linear")
        axes.xaxis.set_major_locator(MaxNLocator(integer=xlabel == "epoch"))
        axes.grid()
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best")
    told = {
        title: {label: _ends(line) for label, line in lines.items() if len(line)} for title, lines in panels.items()
    }
    return _told(figure, in_words(told))


def _ends(line: Any) -> str:
    """First and last value of a curve."""
    values = np.asarray(line[1] if isinstance(line, tuple) else line, float)
    return f"from {values[0]:.3g} to {values[-1]:.3g}"


def _curve(axes: "Axes", label: str, line: Any, place: int) -> None:
    x, y, *band = line if isinstance(line, tuple) else (np.arange(1, len(line) + 1), line)
    color, dash = SERIES[place % len(SERIES)], ("-", "--", "-.", ":")[place % 4]
    marker = MARKERS[place % len(MARKERS)] if len(np.atleast_1d(y)) <= 30 else ""
    axes.plot(x, y, color=color, ls=dash, marker=marker, ms=3.2, lw=1.5, label=label)
    if band:
        axes.fill_between(x, *band, color=color, alpha=0.18, lw=0)


@style()
def confusion(counts: np.ndarray, classes: Sequence[str], normalise: bool = True) -> "Figure":
    """Confusion matrix by super-group, with a number in each cell that holds at least one percent of its row.

    Args:
        counts: images, shape (C, C), truth in rows.
        classes: C names.
        normalise: show percent of each row; else counts, of one image and more.
    """
    import seaborn

    order = by_super_group(classes)
    counts, names = np.asarray(counts)[np.ix_(order, order)], [classes[place] for place in order]
    percent_of_row = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shown, few = percent_of_row if normalise else counts, len(names) <= 12
    numbers = np.where(shown >= (0.5 if normalise else 1), np.char.mod("%.0f", shown), "")
    side = min(WIDTH, 3.6 + 0.2 * len(names))
    figure, axes = subplots(height=side + 0.2, width=side)
    look = {"cmap": cell_colors(), "vmin": 0, "vmax": 100 if normalise else None, "square": True, "ax": axes}
    look |= {"annot": numbers, "fmt": "", "annot_kws": {"fontsize": 7.5 if few else 4.8}}
    look |= {"xticklabels": names, "yticklabels": names, "cbar_kws": {"shrink": 0.5, "aspect": 30, "pad": 0.02}}
    look["cbar_kws"]["label"] = "% of the true class" if normalise else "images"
    seaborn.heatmap(shown, **look)
    axes.set(xlabel="predicted", ylabel="true")
    axes.tick_params(axis="both", length=0, pad=2, labelsize=8 if few else 6.6)
    axes.tick_params(axis="x", rotation=90)
    axes.spines[:].set(visible=True, color=INK, linewidth=0.5)
    _group_lines(axes, [super_group(name) for name in names])
    return _told(figure, _confusion_words(counts, percent_of_row, names))


def _confusion_words(counts: np.ndarray, shares: np.ndarray, names: Sequence[str]) -> str:
    """How many images lie on the diagonal, and which class is most often taken for another."""
    away = np.where(np.eye(len(names), dtype=bool), 0, shares)
    row, column = np.unravel_index(int(away.argmax()), away.shape)
    words = f"{np.trace(counts):,} of {counts.sum():,} images of {len(names)} classes lie on the diagonal."
    most = f" Most often {names[row]} is taken for {names[column]} ({away[row, column]:.0f} % of the class)."
    return words + most * bool(away.any())


def _group_lines(axes: "Axes", groups: Sequence[str]) -> None:
    for place in (place for place in range(1, len(groups)) if groups[place] != groups[place - 1]):
        axes.axhline(place, color=INK, lw=0.5)
        axes.axvline(place, color=INK, lw=0.5)


@style()
def heatmap_table(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    pattern: str = "{:.0f}",
) -> "Figure":
    """A table of numbers on coloured cells.

    Args:
        values: shape (R, C); NaN cells stay empty.
        rows: R names.
        columns: C names; they are turned upright when they are many or long.
        label: what the numbers are, with unit.
        pattern: how a number is written.
    """
    import seaborn

    values, names = np.asarray(values, dtype=float), list(columns)
    if len(columns) <= 8:
        columns = [textwrap.fill(name, max(9, 64 // len(columns)), break_long_words=False) for name in columns]
    longest = max(len(line) for name in columns for line in name.splitlines())
    upright = longest * len(columns) > 70
    figure, axes = subplots(height=1.2 + 0.18 * len(rows) + (0.055 * longest if upright else 0))
    look = {"cmap": cell_colors(), "xticklabels": columns, "yticklabels": list(rows), "ax": axes}
    look |= {"annot": [[pattern.format(value) for value in row] for row in values], "fmt": "", "mask": np.isnan(values)}
    look |= {"annot_kws": {"fontsize": 7 if len(columns) <= 16 else 5.5}}
    seaborn.heatmap(values, **look, cbar_kws={"shrink": 0.7, "aspect": 30, "pad": 0.02, "label": label})
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0, rotation=90 if upright else 0, labelsize=7 if upright else 8)
    axes.tick_params(axis="y", length=0, rotation=0, labelsize=7.5)
    tops = [
        (rows[int(values[:, k].argmax())], values[:, k].max())
        for k in range(len(names))
        if np.isfinite(values[:, k]).all()
    ]
    told = [f"{name}: {row} ({pattern.format(value)})" for name, (row, value) in zip(names, tops, strict=False)]
    return _told(figure, f"{label}; the largest of each column: {'; '.join(told[:MOST_TITLES])}.")


@style()
def box_plots(groups: Mapping[str, Sequence[float]], ylabel: str) -> "Figure":
    """Box plots with every value drawn beside its box.

    Args:
        groups: `{name: values}`.
        ylabel: of the values, with unit.
    """
    import seaborn

    figure, axes = subplots(height=3.2)
    names = [textwrap.fill(name, max(10, 70 // len(groups)), break_long_words=False) for name in groups]
    table = pd.DataFrame({"name": np.repeat(names, [len(values) for values in groups.values()])})
    table["value"] = np.concatenate([np.asarray(values, float) for values in groups.values()])
    shown = {"data": table, "x": "name", "y": "value", "hue": "name", "order": names, "hue_order": names, "ax": axes}
    colors = [SERIES[place % len(SERIES)] for place in range(len(names))]
    seaborn.boxplot(**shown, palette=colors, width=0.5, fill=False, linewidth=1.2, showfliers=False, legend=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # many equal values find no place side by side and lie on each other
        seaborn.swarmplot(**shown, palette=colors, size=3.5, legend=False)
    axes.set(xlabel="", ylabel=ylabel)
    axes.grid(axis="y")
    told = {name: f"median {np.median(values):.1f} of {len(values)}" for name, values in groups.items()}
    return _told(figure, f"{ylabel}: {in_words(told)}.")


@style()
def picture_sheet(images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 6) -> "Figure":
    """Pictures in rows with a short title over each.

    Args:
        images: N arrays (H, W, 3) or (H, W), uint8 or floats in 0 to 1; sizes may differ.
        titles: N texts, wrapped to the width of a picture.
        columns: pictures in a row.
    """
    return overlays(images, [None] * len(images), titles, columns)


@style()
def overlays(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray | None],
    titles: Sequence[str],
    columns: int = 6,
) -> "Figure":
    """Pictures in rows with a heat map laid over each; a grid of image and networks is a sheet with that many columns.

    Args:
        images: N arrays (H, W, 3) or (H, W), uint8 or floats in 0 to 1.
        maps: N arrays (h, w) in 0 to 1, or None to show the picture alone.
        titles: N texts.
        columns: pictures in a row.

    Raises:
        ValueError: images, maps and titles are not of one length, or there are none.
    """
    if not len(images) or len({len(images), len(maps), len(titles)}) != 1:
        raise ValueError(f"{len(images)} images, {len(maps)} maps and {len(titles)} titles: one of each is needed.")
    columns = min(columns, len(images))
    wrapped = [textwrap.fill(str(title), max(8, 100 // columns)) for title in titles]
    lines = max(title.count("\n") + 1 for title in wrapped)
    rows = -(-len(images) // columns)
    figure, grid = subplots(rows, columns, height=rows * (min(2.4, WIDTH / columns) + 0.13 * lines), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for place, (axes, image) in enumerate(zip(grid.flat, images, strict=False)):
        _picture(axes, image, maps[place])
        axes.set_title(wrapped[place], fontsize=7, fontweight="normal", loc="center", pad=2)
    mapped = sum(heat is not None for heat in maps)
    named = list(dict.fromkeys(str(title) for title in titles if title))[:MOST_TITLES]
    words = f"{len(images)} pictures{f', {mapped} with a heat map' if mapped else ''}"
    return _told(figure, f"{words}: {'; '.join(named)}." if named else f"{words}.")


def _picture(axes: "Axes", image: np.ndarray, heat: np.ndarray | None) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="lanczos")
    if heat is not None:
        box = (-0.5, width - 0.5, height - 0.5, -0.5)
        axes.imshow(heat, cmap=HEAT, vmin=0, vmax=1, alpha=0.5, extent=box, interpolation="bilinear")


@style()
def scatter(points: np.ndarray, labels: Sequence[str], title: str = "", axes_names: Sequence[str] = ()) -> "Figure":
    """Points in two or three dimensions, coloured and marked by class, with a legend in super-group order.

    Args:
        points: shape (N, 2) or (N, 3).
        labels: N class names (or any grouping, such as museums).
        title: over the plot.
        axes_names: of the dimensions.
    """
    points, labels = np.asarray(points), np.asarray(labels).astype(str)
    solid = points.shape[1] == 3
    figure, axes = subplots(height=4.4, subplot_kw={"projection": "3d"} if solid else None)
    names = _by_group(labels)
    if solid:
        _points_in_space(axes, points, labels, names)
    else:
        _points(axes, points, labels, names, size=11, legend=True)
        axes.get_legend().remove()
    axes.set_title(title)
    for dimension, name in zip("xyz", axes_names, strict=False):
        axes.set(**{f"{dimension}label": name})
    axes.tick_params(labelsize=6.5)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside right center",
        fontsize=7,
        labelspacing=0.35,
        handletextpad=0.2,
        markerscale=1.6,
    )
    return _told(figure, _points_words(points, names, [title]))


def _by_group(labels: np.ndarray) -> list[str]:
    """The names that occur, by super-group."""
    names = sorted(set(labels))
    return [names[place] for place in by_super_group(names)]


def _points(
    axes: "Axes", points: np.ndarray, labels: np.ndarray, names: Sequence[str], size: float, legend: bool
) -> None:
    """Points (N, 2) coloured and marked by class."""
    import seaborn

    look = {"hue": labels, "hue_order": names, "palette": class_colors(names)}
    look |= {"style": labels, "style_order": names, "markers": class_markers(names)}
    seaborn.scatterplot(x=points[:, 0], y=points[:, 1], s=size, linewidth=0, legend=legend, ax=axes, **look)


def _points_in_space(axes: "Axes", points: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> None:
    """The same in three dimensions, which seaborn doesn't draw."""
    colors, markers = class_colors(names), class_markers(names)
    for name in names:
        drawn = points[labels == name]
        axes.scatter(*drawn.T, s=11, c=colors[name], marker=markers[name], linewidths=0, alpha=0.85, label=name)


def _points_words(points: np.ndarray, names: Sequence[str], titles: Sequence[str]) -> str:
    shown = "; ".join(filter(None, titles))
    return f"{len(points):,} points of {len(names)} classes{f': {shown}' if shown else ''}."


# ---- chapter 00 -----------------------------------------------------------------------------------------------------
@style()
def class_counts(table: pd.DataFrame) -> "Figure":
    """Images by class and split as bars laid end to end.

    Args:
        table: counts, index the classes, columns the splits.
    """
    figure, axes = subplots(height=1.0 + 0.14 * len(table))
    start = np.zeros(len(table))
    for place, split in enumerate(table):
        style_of = {"color": SERIES[place], "hatch": HATCHES[place], "edgecolor": PAPER, "linewidth": 0.3}
        axes.barh(table.index, table[split], 0.8, start, label=split, **style_of)
        start = start + table[split].to_numpy()
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    axes.set_xlabel("images")
    axes.grid(axis="x")
    figure.legend(loc="outside upper right", ncols=len(table.columns))
    whole, splits = table.sum(1), ", ".join(f"{split} {table[split].sum():,}" for split in table)
    words = f"{whole.sum():,} images of {len(table)} classes ({splits}): from {whole.min():,} ({whole.idxmin()})"
    return _told(figure, f"{words} to {whole.max():,} ({whole.idxmax()}) a class.")


@style()
def size_boxes(rows: pd.DataFrame, classes: Sequence[str]) -> "Figure":
    """Pixels and aspect ratio of the originals by class: median, half of the images (box), nine tenths (line).

    Args:
        rows: with medium, product (pixels) and aspect (width / height).
        classes: names in the order of the rows.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure, (left, right) = subplots(1, 2, height=1.1 + 0.19 * len(classes), sharey=True)
    _quantile_rows(left, rows["product"] / 1e6, rows["medium"], classes)
    _quantile_rows(right, rows["aspect"], rows["medium"], classes)
    left.axvline(256 * 256 / 1e6, color=REPORTED, ls="--", lw=1, label="256×256 pixels")
    right.axvline(1, color=REPORTED, ls=":", lw=1.2, label="square")
    left.set(xscale="log", xlabel="megapixels of the original")
    right.set(xscale="log", xlabel="width / height")
    right.set_xlim(min(0.45, right.get_xlim()[0]), max(2.2, right.get_xlim()[1]))
    left.set_xlim(0.8 * left.get_xlim()[0], max(2, left.get_xlim()[1]))
    left.xaxis.set_major_locator(FixedLocator([0.01, 0.1, 1, 10, 100]))
    right.xaxis.set_major_locator(FixedLocator([0.25, 0.5, 1, 2, 4]))
    for axes in (left, right):
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(axis="x")
    left.set_yticks(range(len(classes)), classes, fontsize=7.5)
    left.set_ylim(len(classes) - 0.4, -0.6)
    figure.legend(loc="outside upper right", ncols=2)
    medians = rows.groupby("medium")[["product", "aspect"]].median()
    size, aspect = medians["product"] / 1e6, medians["aspect"]
    return _told(
        figure,
        f"Medians by class: from {size.min():.1f} ({size.idxmin()}) to {size.max():.1f} ({size.idxmax()}) megapixels; "
        f"width / height from {aspect.min():.2f} ({aspect.idxmin()}) to {aspect.max():.2f} ({aspect.idxmax()}).",
    )


def _quantile_rows(axes: "Axes", values: pd.Series, names: pd.Series, classes: Sequence[str]) -> None:
    colors = class_colors(classes)
    axes.tick_params(axis="y", length=0)
    for place, name in enumerate(classes):
        low, first, median, third, high = values[names == name].quantile([0.05, 0.25, 0.5, 0.75, 0.95])
        axes.plot([low, high], [place, place], color=INK, lw=0.7)
        axes.barh(place, third - first, 0.62, first, color=colors[name], edgecolor=INK, linewidth=0.4)
        axes.plot([median, median], [place - 0.31, place + 0.31], color=INK, lw=1.6)


# ---- chapter 01 -----------------------------------------------------------------------------------------------------
@style()
def training_grid(histories: Mapping[str, pd.DataFrame]) -> "Figure":
    """Accuracy by epoch of several networks, one small panel each, four in a row, with one legend.

    Args:
        histories: `{title: history}` with columns epoch, accuracy (training-time), clean_accuracy, val_accuracy.
    """
    columns = 4
    rows = -(-len(histories) // columns)
    figure, grid = subplots(rows, columns, height=1.45 * rows + 0.5, sharey=True, squeeze=False)
    lines = {"train, while training": "accuracy", "train, clean": "clean_accuracy", "val": "val_accuracy"}
    for axes, (title, history) in zip(grid.flat, histories.items(), strict=False):
        for place, (label, column) in enumerate(lines.items()):
            _curve(axes, label, (history["epoch"].to_numpy(), history[column].to_numpy()), place)
        axes.set_title(textwrap.fill(title, 20), fontsize=8)
        axes.set(ylim=(0, 1.02))
        axes.grid()
    for axes in list(grid.flat)[len(histories) :]:
        axes.axis("off")
    figure.supxlabel("epoch", fontsize=8.5)
    figure.supylabel("accuracy", fontsize=8.5)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    ends = {title: f"val {_ends(history['val_accuracy'].to_numpy())}" for title, history in histories.items()}
    return _told(figure, f"Accuracy by epoch: {in_words(ends)}.")


# ---- chapter 05 -----------------------------------------------------------------------------------------------------
@style()
def accuracy_by_size(lines: Mapping[str, tuple[np.ndarray, ...]], references: Mapping[str, float]) -> "Figure":
    """Accuracy over the number of dimensions on a logarithmic axis, with intervals.

    Args:
        lines: `{method: (dimensions, accuracy, low, high)}`, in percent.
        references: `{name: percent}` of horizontal lines.
    """
    figure, axes = subplots(height=3.2)
    for place, (label, line) in enumerate(lines.items()):
        _curve(axes, label, line, place)
    for name, value in references.items():
        axes.axhline(value, color=INK, lw=0.9, ls=":", label=f"{name} ({value:.1f})")
    sizes = sorted({int(size) for line in lines.values() for size in line[0]})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes], rotation=90 if len(sizes) > 12 else 0)
    axes.minorticks_off()
    axes.set(xlabel="dimensions", ylabel="accuracy on val (%)")
    axes.grid()
    axes.legend(loc="lower right")
    told = {label: f"{_ends(line)} % with {int(line[0][0])} to {int(line[0][-1])}" for label, line in lines.items()}
    return _told(figure, f"Accuracy by dimensions: {in_words(told)}; {in_words(references)}.")


# ---- chapter 04 -----------------------------------------------------------------------------------------------------
@style()
def explained_variance(cumulative: Mapping[str, np.ndarray]) -> "Figure":
    """Cumulative explained variance by number of components, a line a network, marked where it reaches 0.9.

    Args:
        cumulative: `{network: (components,)}`, shares in 0 to 1.
    """
    figure, axes = subplots(height=2.5)
    for place, (name, values) in enumerate(cumulative.items()):
        color, reached = SERIES[place % len(SERIES)], int(np.searchsorted(values, 0.9 - 1e-12))
        axes.plot(np.arange(1, len(values) + 1), values, color=color, label=f"{name}: {reached + 1}")
        axes.plot(reached + 1, values[reached], MARKERS[place % len(MARKERS)], color=color)
    axes.axhline(0.9, color=REPORTED, ls=":", lw=1)
    axes.set(xlabel="principal components", ylabel="variance explained", ylim=(0, 1.02), xlim=(0, None))
    axes.legend(loc="lower right", title="components for 0.9")
    told = {name: f"{int(np.searchsorted(values, 0.9 - 1e-12)) + 1} components" for name, values in cumulative.items()}
    return _told(figure, f"Nine tenths of the variance: {in_words(told)}.")


@style()
def maps_2d(layouts: Mapping[str, np.ndarray], labels: Sequence[str]) -> "Figure":
    """Maps side by side, coloured and marked by class, with one legend below.

    Args:
        layouts: `{title: (N, 2)}`.
        labels: N class names.
    """
    labels = np.asarray(labels).astype(str)
    names = _by_group(labels)
    rows = -(-len(names) // 5)
    figure, grid = subplots(1, len(layouts), height=2.5 + 0.17 * rows, squeeze=False)
    for place, (axes, (title, points)) in enumerate(zip(grid.flat, layouts.items(), strict=True)):
        _points(axes, np.asarray(points), labels, names, size=7, legend=place == 0)
        axes.set_title(textwrap.fill(title, 100 // len(layouts) // 3 + 12), fontsize=8)
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
    handles = grid.flat[0].get_legend_handles_labels()
    grid.flat[0].get_legend().remove()
    figure.legend(*handles, loc="outside lower center", ncols=5, fontsize=6.5, markerscale=1.6, handletextpad=0.1)
    return _told(figure, _points_words(labels, names, list(layouts)))


# ---- chapters 11 and 14: calibration ---------------------------------------------------------------------------------
@style()
def reliability_diagram(tables: Mapping[str, pd.DataFrame]) -> "Figure":
    """Accuracy against confidence with intervals, and the images by confidence.

    Args:
        tables: `{name: table of metrics.reliability}`, two or three.
    """
    figure, (left, right) = subplots(1, 2, height=3.1)
    left.plot([0, 100], [0, 100], color=INK, lw=0.9, ls=":", label="as sure as right")
    for place, (name, table) in enumerate(tables.items()):
        points = np.array([percent(accuracy) for accuracy in table["accuracy"]])
        errors = np.abs(points[:, 1:] - points[:, :1]).T
        color, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
        confidence = 100 * table["confidence"]
        left.errorbar(confidence, points[:, 0], errors, color=color, marker=marker, ms=4, lw=1.2, elinewidth=0.8)
        left.lines[-1].set_label(name)
        bins = round(1 / (table["high"] - table["low"]).iloc[0])
        counts = np.bincount((table["low"] * bins).round().astype(int), table["n"], minlength=bins)
        edges = np.linspace(0, 100, bins + 1)
        right.stairs(counts, edges, color=color, lw=1.5, ls=("-", "--", "-.")[place % 3], label=name)
    left.set(xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 101), ylim=(0, 101))
    right.set(xlabel="confidence (%)", ylabel="images", xlim=(0, 101))
    left.grid()
    right.grid()
    handles = [*right.get_legend_handles_labels()[0], left.lines[0]]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    told = {name: _reliability_words(table) for name, table in tables.items()}
    return _told(figure, f"Accuracy by confidence: {in_words(told)}.")


def _reliability_words(table: pd.DataFrame) -> str:
    bins = zip(table["confidence"], table["accuracy"], table["n"], strict=True)
    return ", ".join(f"{percent(right)[0]:.0f} % at {100 * sure:.0f} % (n = {n})" for sure, right, n in bins)


# ---- chapter 15 -----------------------------------------------------------------------------------------------------
@style()
def accuracy_against_cost(points: Sequence[Any], best: Sequence[Any]) -> "Figure":
    """Accuracy against the seconds that a user pays, with the recipes numbered that no cheaper one reaches.

    Args:
        points: `recommendation.Cost`.
        best: those on the front, numbered and listed in the legend.
    """
    figure, axes = subplots(height=4.2)
    for cost in points:
        value, low, high = percent(cost.accuracy)
        color = "C0" if cost in best else "0.6"
        axes.vlines(cost.paid, low, high, color=color, linewidth=0.7, alpha=0.6)
        axes.scatter(cost.paid, value, s=22, color=color, zorder=3)
    line = [(cost.paid, percent(cost.accuracy)[0]) for cost in best]
    if line:
        axes.step(*zip(*line, strict=True), where="post", color="C0", linewidth=1)
    for number, (place, cost) in enumerate(zip(line, best, strict=True), 1):
        axes.annotate(str(number), place, xytext=(-3, 5), textcoords="offset points", ha="right", color="C0")
        axes.plot([], [], " ", label=f"{number}  {textwrap.fill(f'{cost.recipe} ({cost.chapter})', 34)}")
    axes.set(xscale="log", xlabel="seconds in all (logarithmic)", ylabel="accuracy (%), 95 % interval")
    if best:
        figure.legend(loc="outside right upper", fontsize=7, handlelength=0, title="front (chapter)")
    told = {cost.recipe: f"{cost.accuracy} after {cost.paid:.3g} s" for cost in best}
    return _told(figure, f"{len(points)} recipes; no cheaper one reaches: {in_words(told)}.")
