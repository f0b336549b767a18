"""The interactive map: its size, what may stand in a page, and how it behaves in a browser."""

import base64
import io
import json
import re
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from test_report import Browser, needs_chromium

from lab_utils.core.errors import LabError
from lab_utils.display import interactive

SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")


def table_of(n: int) -> tuple[str, str]:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (n, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    classes = [("Bronze", "Etching", "Glass")[place % 3] for place in range(n)]
    museums = [("A <b>museum</b>", "")[place % 2] for place in range(n)]
    return interactive.image_table(grey, [f"{place}.jpg" for place in range(n)], classes, museums)


def figure_of(table: str, n: int, maps: int = 2):
    rng = np.random.default_rng(1)
    layouts = {f"map {place}": rng.normal(size=(n, 3)) for place in range(maps)}
    axes = dict.fromkeys(layouts, ("x", "y", "z"))
    return interactive.scatter_3d(table, range(n), layouts, plt.figure(), axes)


def test_three_thousand_thumbnails_fit_in_a_megabyte_and_a_figure_in_three_tenths():
    table, script = table_of(2900)
    assert len(script) <= 1_000_000
    assert len(figure_of(table, 2900, 4).html) <= 300_000


def test_more_thumbnails_than_have_room_are_refused(monkeypatch):
    monkeypatch.setattr(interactive, "MOST", 20_000)
    noise = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), np.uint8)
    with pytest.raises(LabError, match="do not fit"):
        interactive.image_table(noise, ["x"] * 200, ["c"] * 200, [""] * 200)


def test_the_sprite_holds_each_picture_at_its_place():
    pictures = np.zeros((5, 32, 32, 3), np.uint8)
    pictures[3] = (250, 10, 10)
    _, script = interactive.image_table(pictures, list("abcde"), ["c"] * 5, [""] * 5)
    data = re.search(r"data:image/webp;base64,([^\"]+)", script)[1]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    assert sheet.shape == (64, 96, 3)
    assert sheet[48, 16, 0] > 220 and sheet[16, 16].max() < 30


def test_names_from_files_cannot_break_out_of_the_script():
    _, script = interactive.image_table(np.zeros((1, 32, 32, 3), np.uint8), ["</script><b>"], ["c"], ["m"])
    assert script.count("</script>") == 1


def test_equal_figures_have_equal_html_and_nothing_is_asked_from_a_network():
    table, script = table_of(30)
    one, two = figure_of(table, 30), figure_of(table, 30)
    assert one.html == two.html
    assert "http" not in one.html + script


@pytest.fixture
def page(tmp_path):
    """The figure in a page, opened."""
    pytest.importorskip("websocket")
    table, script = table_of(400)
    file = tmp_path / "page.html"
    parts = ("<!doctype html><meta charset=utf-8>", interactive.plotly_library(), script, figure_of(table, 400).html)
    file.write_text("".join(parts), encoding="utf-8")
    browser = Browser(tmp_path / "browser", 900, *SOFTWARE_GL)
    browser.open(file)
    for _ in range(200):
        if browser.run("document.querySelector('.lab-map').dataset.ready === 'yes'"):
            break
        time.sleep(0.1)
    yield browser
    browser.close()


def names(browser) -> list[str]:
    return json.loads(browser.run("JSON.stringify(document.querySelector('.lab-plot').data.map((one) => one.name))"))


def choose(browser, place: int, value: str) -> None:
    browser.run(
        f"(() => {{const one = document.querySelectorAll('.lab-map select')[{place}]; one.value = {json.dumps(value)};"
        "one.dispatchEvent(new Event('change'));})()"
    )


@needs_chromium
def test_switches_change_colours_and_maps_without_errors_or_requests(page):
    assert names(page) == ["Bronze", "Etching", "Glass"]
    before = page.run("document.querySelector('.lab-plot').data[0].x[0]")
    choose(page, 1, "museum")
    assert names(page) == ["A <b>museum</b>", "museum unknown"]
    choose(page, 1, "class")
    choose(page, 0, "map 1")
    assert page.run("document.querySelector('.lab-plot').data[0].x[0]") != before
    assert page.requests() == [] and page.errors() == []


@needs_chromium
def test_the_pointer_on_a_point_shows_picture_file_class_and_museum(page):
    rng = np.random.default_rng(0)
    for _ in range(300):  # around the middle of the cloud a point is soon met
        x, y = rng.normal((390, 270), (60, 40))
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if page.run("document.querySelector('.lab-tip').style.display") == "flex":
            break
    lines = "[...document.querySelector('.lab-tip').lastChild.children].map((one) => one.textContent)"
    tip = json.loads(page.run(f"JSON.stringify({lines})"))
    assert re.fullmatch(r"\d+\.jpg", tip[0])
    assert tip[1] == ("Bronze", "Etching", "Glass")[int(tip[0][:-4]) % 3]
    assert tip[2] == ("A <b>museum</b>", "museum unknown")[int(tip[0][:-4]) % 2]
    shown = page.run("getComputedStyle(document.querySelector('.lab-thumb')).backgroundImage")
    assert shown.startswith('url("data:image/webp')
    left, top = page.run("getComputedStyle(document.querySelector('.lab-thumb')).backgroundPosition").split()
    place, across = int(tip[0][:-4]), 20  # 400 tiles of 32 pixels, 20 a row: the tile must be that of the named file
    assert (-float(left[:-2]), -float(top[:-2])) == (32 * (place % across), 32 * (place // across))
    assert page.errors() == []


@needs_chromium
@pytest.mark.parametrize("missing", ["library", "table"])
def test_a_figure_without_what_it_shares_says_what_to_do(tmp_path, missing):
    pytest.importorskip("websocket")
    table, script = table_of(30)
    parts = {"library": "<script>window.Plotly={}</script>", "table": script, "figure": figure_of(table, 30).html}
    file = tmp_path / "page.html"
    shown = [text for name, text in parts.items() if name != missing]
    file.write_text("<!doctype html><meta charset=utf-8>" + "".join(shown), encoding="utf-8")
    browser = Browser(tmp_path / "browser", 900)
    browser.open(file)
    try:
        assert "trust this notebook" in browser.run("document.querySelector('.lab-plot').textContent")
        assert browser.errors() == []
    finally:
        browser.close()
