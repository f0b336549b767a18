"""The style: fixed and distinct colours, bundles that are small and escaped, plots whose texts do not overlap."""

import base64
import io
import itertools
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import color

from lab_utils.core import links
from lab_utils.data import taxonomy
from lab_utils.display import bundles, figures, style
from lab_utils.stats.intervals import Accuracy, Difference

MEDIUMS = sorted(name for members in taxonomy.SUPER_GROUPS.values() for name in members)


def texts_overlap(texts, renderer):
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    return [pair for pair in itertools.combinations(range(len(boxes)), 2) if boxes[pair[0]].overlaps(boxes[pair[1]])]


def drawn(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_renderer()


def test_the_29_mediums_have_colours_that_an_eye_tells_apart():
    rgb = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in style.class_colors(MEDIUMS).values()])
    lab = color.rgb2lab(rgb[None] / 255)[0]
    gaps = [color.deltaE_ciede2000(*pair) for pair in itertools.combinations(lab, 2)]
    assert len(rgb) == 29 and min(gaps) > 3.5


def test_a_medium_keeps_its_colour_whatever_else_is_shown():
    few = style.class_colors(["Wood", "my own class", "Bronze"])
    assert few["Bronze"] == style.class_colors(MEDIUMS)["Bronze"]
    assert list(few) == ["Wood", "my own class", "Bronze"]


def test_members_of_a_super_group_have_different_markers():
    markers = style.class_markers(MEDIUMS)
    for members in taxonomy.SUPER_GROUPS.values():
        assert len({markers[name] for name in members}) == len(members)


def test_the_cells_of_tables_get_evenly_darker():
    shades = style.cell_colors()(np.linspace(0, 1, 12))[:, :3]
    lightness = color.rgb2lab(shades[None])[0, :, 0]
    assert (np.diff(lightness) < -3).all()


@pytest.mark.parametrize("normalise", [True, False])
def test_the_texts_of_a_confusion_matrix_of_29_classes_do_not_overlap(normalise):
    counts = np.full((29, 29), 24) + np.diag(np.full(29, 676))
    figure = figures.confusion(counts, MEDIUMS, normalise=normalise)
    renderer, axes = drawn(figure), figure.axes[0]
    assert not texts_overlap(axes.get_xticklabels(), renderer)
    assert not texts_overlap(axes.get_yticklabels(), renderer)
    assert not texts_overlap(axes.texts, renderer)
    assert len(axes.texts) == 29 * 29


def test_confusion_rows_follow_their_names_when_they_are_reordered():
    counts = np.zeros((3, 3), int)
    counts[0, 1], counts[1, 1], counts[2, 0] = 4, 5, 6  # Woodcut is said to be Bronze four times
    figure = figures.confusion(counts, ["Woodcut", "Bronze", "Glass"], normalise=False)
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    texts = [text for text in axes.texts if text.get_text()]
    places = {text.get_text(): text.get_position() for text in texts}  # seaborn writes into the middle of a cell
    cells = {(names[int(y)], names[int(x)]): text for text, (x, y) in places.items()}
    assert cells == {("Woodcut", "Bronze"): "4", ("Bronze", "Bronze"): "5", ("Glass", "Woodcut"): "6"}


def test_bars_show_the_percent_of_an_accuracy_and_its_wilson_interval():
    figure = figures.bars_with_intervals({"a": Accuracy(30, 74), "b": Accuracy(60, 74)}, reported={"a": 50.0})
    axes = figure.axes[0]
    assert [round(patch.get_width(), 1) for patch in axes.patches] == [40.5, 81.1]
    low, high = axes.lines[0].get_xdata()
    assert (round(low, 1), round(high, 1)) == (30.1, 51.9)  # Wilson by hand
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"] == [50.0]


def test_long_row_names_and_numbers_of_bars_do_not_overlap():
    values = {f"{name} and a rather long addition": {"x": Accuracy(5, 10), "y": Accuracy(9, 10)} for name in MEDIUMS}
    figure = figures.bars_with_intervals(values)
    renderer, axes = drawn(figure), figure.axes[0]
    assert not texts_overlap(axes.get_yticklabels(), renderer)
    assert not texts_overlap(axes.texts, renderer)


def test_differences_are_drawn_in_points():
    assert figures.percent(Difference(-0.031, -0.05, -0.01, 300)) == pytest.approx((-3.1, -5, -1))


def test_the_titles_of_a_picture_sheet_do_not_overlap():
    titles = [f"{name}: Hand-colored engraving (0.99)" for name in MEDIUMS]
    figure = figures.picture_sheet([np.zeros((40, 60, 3), np.uint8)] * 29, titles)
    assert not texts_overlap([axes.title for axes in figure.axes], drawn(figure))


def test_a_sheet_of_unequal_lists_is_refused():
    with pytest.raises(ValueError, match="2 images, 1 maps"):
        figures.overlays([np.zeros((2, 2, 3))] * 2, [None], ["a", "b"])


def test_line_figures_are_vector_and_photographs_are_jpeg():
    lines = bundles.bundle(figures.curves({"accuracy": {"train": [0.1, 0.2]}}))
    assert {"image/png", "image/svg+xml"} <= set(lines)
    photos = bundles.bundle(figures.picture_sheet([np.zeros((8, 8, 3), np.uint8)], ["black"]))
    assert "image/jpeg" in photos and "image/svg+xml" not in photos


def test_the_same_figure_gives_the_same_bytes():
    first, second = (
        bundles.bundle(figures.scatter(np.arange(8.0).reshape(4, 2), ["Wood", "Clay"] * 2)) for _ in range(2)
    )
    assert first == second


def test_a_figure_is_as_wide_as_the_page_at_the_resolution_of_the_report():
    png = bundles.bundle(figures.box_plots({"a": [1, 2, 3], "b": [2, 3, 4]}, "score"))["image/png"]
    assert 900 < Image.open(io.BytesIO(base64.b64decode(png))).width < 1250


def test_an_interactive_figure_brings_its_twin():
    shown = bundles.bundle(bundles.Interactive("<div>plot</div>", figures.curves({"a": {"b": [1, 2]}})))
    assert shown["text/html"] == "<div>plot</div>" and "image/png" in shown


def words(figure):
    return bundles.words_of(figure)


def test_every_kind_of_figure_says_what_it_draws():
    history = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.1, 0.2], "clean_accuracy": [0.2, 0.3]})
    history["val_accuracy"] = [0.15, 0.25]
    assert words(figures.bars_with_intervals({"probe": Accuracy(30, 74)})).startswith("probe: 40.5 % (30.1 to 51.9")
    assert words(figures.curves({"loss": {"val": [3.0, 1.25]}})) == "loss: val from 3 to 1.25"
    counts = np.array([[8, 2], [0, 10]])
    told = words(figures.confusion(counts, ["Woodcut", "Bronze"]))
    assert "18 of 20 images of 2 classes" in told and "Woodcut is taken for Bronze (20 % of the class)" in told
    told = words(figures.heatmap_table(np.array([[1.0, 5.0], [7.0, 2.0]]), ["a", "b"], ["x", "y"], "percent"))
    assert told == "percent; the largest of each column: x: b (7); y: a (5)."
    assert words(figures.box_plots({"forest": [1, 2, 9]}, "points")) == "points: forest: median 2.0 of 3."
    pictures = [np.zeros((4, 4, 3), np.uint8)] * 2
    assert (
        words(figures.overlays(pictures, [None, np.zeros((2, 2))], ["a", "b"]))
        == "2 pictures, 1 with a heat map: a; b."
    )
    labels = ["Wood", "Clay", "Wood"]
    for points in (np.eye(3)[:, :2], np.eye(3)):
        figure = figures.scatter(points, labels, "UMAP")
        assert words(figure) == words(bundles.Interactive("<div></div>", figure)) == "3 points of 2 classes: UMAP."
    assert words(figures.maps_2d({"PCA": np.eye(3)[:, :2], "UMAP": np.eye(3)[:, :2]}, labels)).endswith("PCA; UMAP.")
    table = pd.DataFrame({"train": [5, 5], "val": [1, 2]}, index=["Gold", "Iron"])
    told = words(figures.class_counts(table))
    assert told == "13 images of 2 classes (train 10, val 3): from 6 (Gold) to 7 (Iron) a class."
    rows = pd.DataFrame({"medium": ["Gold"] * 3, "product": [1e6, 2e6, 9e6], "aspect": [1.0, 1.5, 2.0]})
    assert "from 2.0 (Gold) to 2.0 (Gold) megapixels" in words(figures.size_boxes(rows, ["Gold"]))
    assert "#1: val from 0.15 to 0.25" in words(figures.training_grid({"#1": history}))
    line = (np.array([2, 8]), np.array([20.0, 60.0]), np.array([10.0, 50.0]), np.array([30.0, 70.0]))
    told = words(figures.accuracy_by_size({"PCA": line}, {"all columns": 61.5}))
    assert "PCA: from 20 to 60 % with 2 to 8" in told and "all columns: 61.5" in told
    assert "net: 2 components" in words(figures.explained_variance({"net": np.array([0.5, 0.95, 1.0])}))
    bins = pd.DataFrame({"low": [0.0, 0.5], "high": [0.5, 1.0], "confidence": [0.4, 0.9], "n": [4, 6]})
    bins["accuracy"] = [Accuracy(2, 4), Accuracy(6, 6)]
    assert "50 % at 40 % (n = 4), 100 % at 90 % (n = 6)" in words(figures.reliability_diagram({"as it is": bins}))


def test_something_else_than_a_figure_is_refused():
    with pytest.raises(TypeError, match="not list"):
        bundles.bundle([])


class Cells(HTMLParser):
    """Collects the texts of table cells and the addresses of links."""

    def __init__(self):
        super().__init__()
        self.cells, self.links = [], []

    def handle_starttag(self, tag, attrs):
        if tag in ("td", "th"):
            self.cells.append("")
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data):
        if self.cells and data.strip():
            self.cells[-1] += data


def test_a_table_escapes_its_cells_and_prints_quantities_with_their_intervals():
    table = pd.DataFrame(
        {"<b>name": ["<script>alert(1)</script>", None], "accuracy": [Accuracy(3, 10), Accuracy(4, 10)], "n": [1234, 7]}
    )
    shown = bundles.table_bundle(table)
    parser = Cells()
    parser.feed(shown["text/html"])
    assert "<script>" not in shown["text/html"] and "<b>" not in shown["text/html"]
    assert parser.cells[:4] == ["<b>name", "accuracy", "n", "<script>alert(1)</script>"]
    assert parser.cells[4].startswith("30.0 % (") and "n = 10)" in parser.cells[4]
    assert parser.cells[5:7] == ["1,234", "–"]


def test_a_long_cell_is_not_cut_and_the_index_can_be_shown():
    table = pd.DataFrame({"text": ["x" * 300]}, index=pd.Index(["row name"], name="key"))
    shown = bundles.table_bundle(table, index=True)["text/html"]
    assert "x" * 300 in shown and "row name" in shown and "key" in shown


def test_a_link_cell_leads_to_the_notebook():
    parser = Cells()
    parser.feed(
        bundles.table_bundle(pd.DataFrame({"where": [links.Link("chapter 5", "05_classification")]}))["text/html"]
    )
    assert parser.links == ["05_classification.ipynb"] and parser.cells[-1] == "chapter 5"


# ---- chapter 00 -----------------------------------------------------------------------------------------------------
def test_bars_of_class_counts_end_at_the_number_of_images():
    table = pd.DataFrame({"train": [5, 5], "val": [1, 2], "test": [3, 0]}, index=["Gold", "Iron"])
    axes = figures.class_counts(table).axes[0]
    ends = {}
    for bar in axes.patches:
        ends[round(bar.get_y(), 3)] = bar.get_x() + bar.get_width()
    assert sorted(ends.values()) == [7, 9]


def test_size_boxes_span_the_quartiles():
    values = np.arange(1, 101) * 1e6
    rows = pd.DataFrame({"medium": ["Gold"] * 100, "product": values, "aspect": np.linspace(0.5, 2, 100)})
    left, right = figures.size_boxes(rows, ["Gold"]).axes
    box = left.patches[0]
    assert box.get_x() == pytest.approx(25.75) and box.get_x() + box.get_width() == pytest.approx(75.25)
    assert right.patches[0].get_x() == pytest.approx(0.875)
