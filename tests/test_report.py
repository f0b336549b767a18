"""The report, made from small hand-made notebooks: numbering, boxes, no network, PDF content, phone width."""

import base64
import html
import json
import re
import shutil
import subprocess
import time
import urllib.request
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lab_utils.core import links, profiles, records, usage
from lab_utils.display import bundles, figures
from lab_utils.report import build, to_html, to_pdf
from lab_utils.report import front as report_front
from lab_utils.report import parts as report_parts
from lab_utils.report.parts import Cell, Grid, Part
from lab_utils.stats.intervals import Accuracy

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
needs_poppler = pytest.mark.skipif(not shutil.which("pdftotext"), reason="no pdftotext on this machine")


# ---- hand-made notebooks ---------------------------------------------------------------------------------------------
def shown(bundle, **about):
    caption = new_output("display_data", data={"text/markdown": "*caption*"}, metadata={"lab": {"kind": "caption"}})
    return [new_output("display_data", data=bundle, metadata={"lab": about}), caption]


def said(text, kind="sentence"):
    return new_output("display_data", data={"text/markdown": text}, metadata={"lab": {"kind": kind}})


def figure(caption, alt, label="", fold=False, interactive=False):
    drawn = figures.curves({"accuracy": {"val": [0.1, 0.4, 0.5]}})
    script = '<div id="plot"></div><script>Plotly.newPlot("plot", [{y: [1, 2, 3]}])</script>'
    bundle = bundles.bundle(bundles.Interactive(script, drawn) if interactive else drawn)
    return shown(bundle, kind="figure", caption=caption, alt=alt, label=label, fold=fold)


def table(frame, caption, label=""):
    return shown(bundles.table_bundle(frame), kind="table", caption=caption, label=label)


WIDE = pd.DataFrame({f"column_{number}_of_many": [np.pi, 1 / 3] for number in range(13)})
SIGNS = pd.DataFrame({"sign": ["Ελληνικά", "Кириллица", "漢字", "naïve <b>"], "accuracy": [Accuracy(3, 10)] * 4})


def notebooks():
    data = new_notebook(
        cells=[
            new_markdown_cell(
                "# 0 The data set\n\nEntropy $H = -\\sum_i p_i \\ln p_i$.\n\n$$L = \\ln 29$$\n\n"
                "See [chapter 4](04_projections.ipynb), [the curves](#curves) and [a lost one](#nowhere)."
            ),
            new_code_cell('RUN = "sample"', metadata={"tags": ["parameters"]}),
            new_code_cell('RUN = "hand-made"', metadata={"tags": ["injected-parameters"]}),
            new_code_cell(
                "counts = table.groupby('medium')",
                outputs=[
                    new_output("stream", name="stdout", text="  5%|x\r100%|xxxx\n  epoch 1/2  left 0:01\nready\n"),
                    new_output("stream", name="stderr", text="a warning that nobody needs\n"),
                    *table(SIGNS, "Signs of all kinds"),
                    *table(WIDE, "Thirteen columns", label="wide"),
                    said("**Tie** (slide 17: one is worse). A tie in a_b_c.", "verdict"),
                ],
            ),
            new_markdown_cell("## Exercises\n\n1. Change `leaf`.\n\n| a | b |\n|---|---|\n| 1 | two words and more |"),
        ]
    )
    maps = new_notebook(
        cells=[
            new_markdown_cell("# 4 Projections\n\nText."),
            new_code_cell("show()", outputs=figure("Curves", "one rising line", label="curves")),
            new_code_cell("turn()", outputs=figure("In three dimensions", "a cloud", interactive=True)),
            new_code_cell("more()", outputs=figure("Folded", "the same line", fold=True)),
        ]
    )
    failed = new_notebook(
        cells=[
            new_markdown_cell("papermill's own box", metadata={"tags": ["papermill-error-cell-tag"]}),
            new_markdown_cell("# 5 Classification\n\n## The noise floor"),
            new_code_cell(
                "broken()", outputs=[new_output("error", ename="LabError", evalue="\x1b[31mbad row 7.\x1b[0m")]
            ),
        ]
    )
    results = new_notebook(
        cells=[
            new_markdown_cell("# 14 Results"),
            new_markdown_cell("## Errata", metadata={"tags": ["front-matter"]}),
            new_code_cell(
                "plain text", outputs=table(pd.DataFrame({"where": [links.Link("figure", "#curves")]}), "Errata")
            ),
        ]
    )
    results.cells[2].metadata["tags"] = ["front-matter"]
    return {"00_dataset": data, "04_projections": maps, "05_classification": failed, "14_results": results}


STATES = {
    "00_dataset": {"state": "ok", "seconds": 12.3},
    "04_projections": {"state": "ok", "seconds": 2.0},
    "14_results": {"state": "ok", "seconds": 1.0},
    "05_classification": {
        "state": "failed",
        "seconds": 1.0,
        "error": {
            "heading": "The noise floor",
            "cell": 1,
            "name": "LabError",
            "message": "bad row 7.",
            "hint": "Open it by: .venv/bin/jupyter lab notebooks/05_classification.ipynb",
        },
    },
    "13_grad_cam": {"state": "not run", "seconds": 1.0, "error": {"message": "9 of 10 images are missing."}},
    "12_fine_tuned_features": {
        "state": "waiting",
        "error": {"message": "Waits for 11_fine_tuning_run6, which failed."},
    },
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    patch = pytest.MonkeyPatch()
    patch.setattr(profiles, "PROJECT", root)
    made = profiles.Settings(name="hand-made", profile="sample", title="hand-made notebooks")
    for name, content in notebooks().items():
        path = made.report_folder / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(content, path)
    for name, state in STATES.items():
        records.write_json(made.run_folder / "status" / f"{name}.json", {"chapter": name, **state})
    best = Accuracy(30, 74, "linear SVM on Lite0, test").to_record()
    entry = {"id": "best", "kind": "headline", "label": "The best", "value": best}
    about = {"git": "abc1234", "data": "d" * 16, "versions": {"python": "3.11"}, "seconds": 3.0}
    verdict = {"id": "claim: x", "kind": "verdict", "value": {"verdict": "tie"}}
    results = {"chapter": "14_results", "provenance": about, "records": [entry, verdict]}
    records.write_json(made.report_folder / "results" / "14_results.json", results)
    yield made
    patch.undo()


@pytest.fixture(scope="module")
def built(settings):
    return build.build(settings)


@pytest.fixture(scope="module")
def page(built):
    return Page.of(built[0].read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pdf_text(built):
    return subprocess.run(["pdftotext", "-layout", built[1], "-"], capture_output=True, text=True, check=True).stdout


class Page(HTMLParser):
    """Tags with their attributes, ids, and the visible text of a page (scripts and styles left out)."""

    @classmethod
    def of(cls, source):
        page = cls()
        page.feed(source)
        page.source = source
        return page

    def __init__(self):
        super().__init__()
        self.tags, self.text, self.hidden = [], "", 0

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        self.text += "" if self.hidden else data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


# ---- HTML ------------------------------------------------------------------------------------------------------------
def test_nothing_in_the_html_is_fetched_from_a_network(page):
    fetched = [
        (tag, value)
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "srcset", "data", "poster") or (name == "href" and tag != "a")
    ]
    assert fetched and all(value.startswith(("data:", "#")) for _, value in fetched)
    styles = re.findall(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert styles and not any(re.search(r"@import|url\(", style) for style in styles)


def test_every_picture_has_an_alternative_text(page):
    pictures = page.all("img")
    assert len(pictures) == 3 and {picture["alt"] for picture in pictures} == {
        "one rising line",
        "a cloud",
        "the same line",
    }


def test_figures_and_tables_are_numbered_by_chapter(page):
    for name in ("Figure 4.1", "Figure 4.2", "Figure 4.3", "Table 0.1", "Table 0.2", "Table 14.1"):
        assert name in page.text
    assert "Figure 4.4" not in page.text


def test_ids_are_unique_and_every_inner_link_but_the_lost_one_arrives(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"][1:] for link in page.all("a") if link.get("href", "").startswith("#")}
    assert targets - set(ids) == {"nowhere"}


def test_links_to_notebooks_and_labels_become_links_inside_the_report(page):
    assert 'href="#chapter-04">chapter 4</a>' in page.source
    assert 'href="#figure-4-1">Figure 4.1</a>' in page.source
    assert ".ipynb#" not in page.source and 'href="04_projections' not in page.source


def test_formulas_are_mathml(page):
    assert len(page.all("math")) == 2 and "$" not in page.text


def test_a_failed_chapter_has_a_red_box_with_cell_heading_error_and_command(page):
    box = re.search(r'<div class="box failed".*?</div>', page.source, re.DOTALL)[0]
    for words in ("cell 1", "The noise floor", "LabError: bad row 7.", "jupyter lab notebooks/05_classification.ipynb"):
        assert words in html.unescape(box)
    assert "papermill" not in page.text and "\x1b" not in page.source


def test_chapters_that_were_not_run_say_why(page):
    assert "9 of 10 images are missing." in page.text
    assert "Waits for 11_fine_tuning_run6, which failed." in page.text
    assert "./run_all.sh --only 01" in page.text


def test_the_chapters_stand_in_reading_order(page):
    order = [attributes["id"] for attributes in page.all("section") if "id" in attributes]
    assert order == [*(f"chapter-{number:02d}" for number in range(16)), "references"]


def test_the_references_are_the_last_section_with_every_address_as_a_link(page):
    section = html.unescape(page.source[page.source.index('id="references"') :])
    links = {link.get("href") for link in Page.of(section).all("a")}
    assert set(records.reported("references")["url"]) <= links
    assert "[1] Parés, F." in Page.of(section).text


def test_the_first_page_has_the_headline_the_states_and_the_provenance(page):
    front = page.source[: page.source.index('id="chapter-00"')]
    for words in (
        "Read this first",
        "say nothing about MAMe",
        "The best",
        "40.5\u00a0% (",
        "FAILED",
        "abc1234",
        "1 tie",
    ):
        assert words in front


def test_the_first_page_counts_the_readings_of_test_labels(settings):
    def read(*models):
        return {"id": str(models), "kind": "test read", "models": models, "choice": "on val", "value": 9}

    results = {"01_baseline": {"records": [read("a"), read("b")]}, "13_grad_cam": {"records": [read("b", "c")]}}
    words = report_front.read_first(settings, {}, results, [])
    assert "opened 3 times, for 3 fitted models in all; read more than once: b." in words
    assert "No test labels were read." in report_front.read_first(settings, {}, {}, [])


def test_errata_on_printed_numbers_stand_in_front_where_chapter_14_made_none(settings, tmp_path):
    bare = settings.model_copy(update={"name": "bare"})
    records.write_json(
        bare.run_folder / "status" / "14_results.json", {"state": "waiting", "error": {"message": "Waits for 11."}}
    )
    front = build._front(bare, build.read_chapters(bare))
    words = " ".join([part.text for part in front] + [str(part.data.get("text/html", "")) for part in front])
    assert "Errata of the original" in words and "diagonal of the matrix gives an accuracy of 0.778" in words
    assert words.count(">its own numbers<") > 10 and ">this run<" not in words


def test_cells_tagged_front_matter_move_to_the_front_and_keep_their_number(page):
    assert page.source.index("Table 14.1") < page.source.index('id="chapter-00"')
    assert page.source.count('id="table-14-1"') == 1


def test_verdicts_carry_their_colour_and_printed_noise_is_gone(page):
    assert '<div class="verdict tie">' in page.source
    assert "a warning that nobody needs" not in page.text and "5%|x" not in page.text and "100%|xxxx" in page.text
    assert "epoch 1/2" not in page.text


def test_only_the_parameters_that_were_used_are_shown(page):
    code = html.unescape(re.sub("<[^>]+>", "", page.source))
    assert 'RUN = "hand-made"' in code and 'RUN = "sample"' not in code


def test_plotly_is_inlined_once_and_only_where_an_interactive_figure_needs_it(page):
    assert page.source.count("plotly.js v") == 1
    quiet = to_html.render("t", "s", [], [report_parts.Chapter("00_dataset", "0 Data")])
    assert "plotly.js v" not in quiet


def test_outputs_of_kind_library_appear_once_for_the_whole_report():
    library = Part("library", data={"text/html": "<script>var thumbnails = 1;</script>"})
    chapters = [report_parts.Chapter(name, name, "ok", parts=[library]) for name in ("04_projections", "12_other")]
    assert to_html.render("t", "s", [], chapters).count("var thumbnails") == 1


def test_markup_in_names_and_sentences_is_text():
    sentence = Part("sentence", "The class <img src=x onerror=alert(1)> is rare.")
    chapter = report_parts.Chapter("00_dataset", "0 <b>Data</b>", "ok", parts=[sentence])
    tags = Page.of(to_html.render("<i>t</i>", "s", [], [chapter])).tags
    assert not [tag for tag, _ in tags if tag in ("img", "b", "i")]


# ---- PDF -------------------------------------------------------------------------------------------------------------
@needs_poppler
def test_the_pdf_is_a4_with_title_contents_and_page_numbers(built, pdf_text):
    about = subprocess.run(["pdfinfo", built[1]], capture_output=True, text=True, check=True).stdout
    assert "(A4)" in about and re.search(r"Title: +Transfer learning on MAMe: hand-made notebooks", about)
    assert "Contents" in pdf_text and re.search(r"\b2 */ *\d+", pdf_text)


@needs_poppler
def test_the_pdf_has_the_numbered_figures_tables_boxes_and_the_code(pdf_text):
    for words in ("Figure 4.3. Folded.", "Table 0.2. Thirteen columns.", "LabError: bad row 7.", "9 of 10 images"):
        assert words in pdf_text
    assert "Appendix" in pdf_text and "counts = table.groupby('medium')" in pdf_text


@needs_poppler
def test_the_pdf_prints_every_reference_before_the_appendix(built):
    text = subprocess.run(["pdftotext", "-raw", built[1], "-"], capture_output=True, text=True, check=True).stdout
    packed = re.sub(r"[\s\u200b]", "", text)
    listed = packed[packed.rindex("Oftheoriginal") : packed.rindex("Appendix:thecode")]
    assert [url for url in records.reported("references")["url"] if url not in listed] == []


@needs_poppler
def test_every_figure_is_in_the_pdf(built):
    listed = subprocess.run(["pdftotext", built[1], "-"], capture_output=True, text=True, check=True).stdout
    assert len(set(re.findall(r"Figure 4\.\d\.", listed))) == 3


@needs_poppler
def test_latin_greek_and_cyrillic_are_shown_and_other_signs_as_code_points(pdf_text):
    for words in ("Ελληνικά", "Кириллица", "naïve <b>", "‹U+6F22›‹U+5B57›", "stand in this PDF as their code points"):
        assert words in pdf_text


@needs_poppler
def test_no_word_of_a_wide_table_leaves_the_page(built):
    boxes = subprocess.run(["pdftotext", "-bbox", built[1], "-"], capture_output=True, text=True, check=True).stdout
    for leaf in re.findall(r'<page width="([\d.]+)"(.*?)</page>', boxes, re.DOTALL):
        rights = [float(edge) for edge in re.findall(r'xMax="([\d.]+)"', leaf[1])]
        assert max(rights, default=0) <= float(leaf[0]) - 30
    assert boxes.count(">3.142<") == 13


def test_a_wide_table_gets_smaller_letters_before_its_page_is_turned():
    def grid(columns, word):
        return Grid([[Cell(word) for _ in range(columns)]] * 3, 1)

    few, more, many = (to_pdf.table_layout(grid(columns, "ten letter")) for columns in (3, 14, 40))
    assert few[0] == 9.0 and not few[2]
    assert more[0] < 9.0 and not more[2]
    assert many[2]
    for size, widths, turned in (few, more, many):
        assert sum(widths) <= to_pdf.TEXT_WIDTH[turned] + 0.1 and size >= 5


def test_long_names_may_break_in_tables_but_short_ones_do_not():
    assert to_pdf.breakable("fine_tuning_run6_features") == "fine_\u200btuning_\u200brun6_\u200bfeatures"
    assert to_pdf.breakable("a_b 0.5") == "a_b 0.5"


@pytest.mark.parametrize("text", ['"quotes" \\ # $x$ [a] *b* _c_ <d> @e `f`', "#panic()", "$"])
def test_signs_that_mean_something_to_typst_are_text(text):
    parts = [
        Part("table", data=bundles.table_bundle(pd.DataFrame({text: [text]})), caption=text),
        Part("text", text),
        Part("code", text, cell=1),
        Part("figure", data=bundles.bundle(figures.curves({"a": {"b": [1, 2]}})), caption=text, alt=text),
    ]
    made = to_pdf.render(text, text, [], [report_parts.Chapter("00_dataset", text, "ok", parts=parts)])
    assert made.startswith(b"%PDF")


# ---- building --------------------------------------------------------------------------------------------------------
def test_the_same_notebooks_and_records_give_the_same_bytes(settings, built):
    whole = [path.read_bytes() for path in built]
    built[1].write_bytes(b"half")
    assert [path.read_bytes() for path in build.build(settings)] == whole


def test_all_that_a_report_is_made_from_is_recorded_also_what_is_not_there_yet(settings, built, monkeypatch):
    with usage.recording() as used:
        build.build(settings)
    assert {"settings title", "file data/reported/references.csv"} <= set(used)
    assert any(name.endswith("templates/report/style.css") for name in used)
    monkeypatch.setattr(usage, "PROJECT", profiles.PROJECT)  # where the notebooks of this test are
    with usage.recording() as used:
        build._front(settings, build.read_chapters(settings))
    used = usage.complete(used, settings)
    assert {"results of 14_results", "file report/hand-made/notebooks/00_dataset.ipynb"} <= set(used)
    assert used["file report/hand-made/notebooks/01_baseline.ipynb"] == used["results of 02_paper_baselines"] == ""
    assert not usage.changed(used, settings)
    records.write_json(settings.run_folder / "status" / "01_baseline.json", {"state": "ok"})
    assert usage.changed(used, settings) == ["file data/runs/hand-made/status/01_baseline.json"]
    (settings.run_folder / "status" / "01_baseline.json").unlink()


def test_a_chapter_that_is_out_of_date_says_so_and_gives_nothing_to_the_first_page(settings):
    words = "Its numbers are from before: pictures."
    status = {"state": "out of date", "error": {"message": words}}
    chapters = [
        report_parts.read_chapter("14_results", notebooks()["14_results"], about) for about in (status, {"state": "ok"})
    ]
    late, current = chapters
    assert late.parts[0].text == f"**Out of date.** {words}" and len(late.parts) == len(current.parts) + 1
    assert not build._results(settings, [late]) and build._results(settings, [current])
    assert report_front._not_complete(chapters) == ["Out of date, with numbers from before: chapters 14."]


def test_a_half_written_notebook_counts_as_missing(settings, built):
    path = settings.report_folder / "notebooks" / "01_baseline.ipynb"
    path.write_text('{"cells": [', encoding="utf-8")
    chapters = {one.name: one for one in build.read_chapters(settings)}
    path.unlink()
    assert (
        chapters["01_baseline"].state == "missing"
        and chapters["01_baseline"].title == "1 Baseline: networks from scratch"
    )


def test_a_run_without_anything_still_gets_its_report(settings):
    empty = settings.model_copy(update={"name": "empty"})
    page, pdf = build.build(empty)
    assert "Not run yet" in page.read_text(encoding="utf-8") and pdf.read_bytes().startswith(b"%PDF")


# ---- in a browser ----------------------------------------------------------------------------------------------------
class Browser:
    """A headless Chromium driven by its DevTools protocol."""

    def __init__(self, folder, width, *more):
        import websocket

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--remote-allow-origins=*"]
        self.process = subprocess.Popen(
            [CHROMIUM, *flags, *more, f"--user-data-dir={folder}", "about:blank"], stderr=subprocess.DEVNULL
        )
        port = self._port(folder / "DevToolsActivePort")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            address = next(tab for tab in json.load(answer) if tab["type"] == "page")["webSocketDebuggerUrl"]
        self.socket, self.sent, self.events = websocket.create_connection(address, timeout=60), 0, []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )

    def _port(self, path):
        for _ in range(300):
            if path.is_file() and path.read_text():
                return path.read_text().splitlines()[0]
            time.sleep(0.1)
        raise RuntimeError("Chromium did not start")

    def call(self, method, **params):
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.sent:
                return message["result"]
            self.events.append(message)

    def open(self, path):
        self.call("Page.navigate", url=path.as_uri())
        for _ in range(300):
            if self.run("document.readyState") == "complete":
                return
            time.sleep(0.1)

    def run(self, script):
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def requests(self):
        sent = [one["params"]["request"]["url"] for one in self.events if one["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("file:", "data:", "blob:", "about:"))]

    def errors(self):
        wrong = [one for one in self.events if one["method"] == "Runtime.exceptionThrown"]
        logged = [one for one in self.events if one["method"] == "Log.entryAdded"]
        return wrong + [one for one in logged if one["params"]["entry"]["level"] == "error"]

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(params=[390, 1280], ids=["phone", "desktop"])
def browser(request, tmp_path):
    pytest.importorskip("websocket")
    opened = Browser(tmp_path / "browser", request.param)
    yield opened
    opened.close()


@needs_chromium
def test_the_page_loads_without_errors_or_requests_and_fits_the_screen(browser, built):
    browser.open(built[0])
    assert browser.run("document.querySelectorAll('#plot .main-svg').length") > 0  # the interactive figure was drawn
    assert browser.run("document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.run("[...document.images].every(one => one.complete && (one.naturalWidth > 0 || !one.offsetParent))")
    browser.run("document.getElementById('codes').click()")
    assert browser.run("[...document.querySelectorAll('details.code')].every(one => one.open)")
    assert not browser.errors() and not browser.requests()


@needs_chromium
def test_the_contents_open_by_their_button_on_a_phone(browser, built):
    browser.open(built[0])
    is_phone = browser.run("window.innerWidth < 600")
    shown_at_first = browser.run("document.getElementById('entries').offsetHeight > 0")
    assert shown_at_first != is_phone
    browser.run("document.getElementById('menu').click()")
    assert browser.run("document.getElementById('entries').offsetHeight > 0")


@needs_chromium
def test_in_print_the_twin_stands_for_the_interactive_figure(browser, built):
    browser.open(built[0])
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.querySelector('.live')).display") == "none"
    assert browser.run("getComputedStyle(document.querySelector('img.twin')).display") != "none"
    printed = browser.call("Page.printToPDF", preferCSSPageSize=True)["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")


def test_a_chapter_that_was_not_run_has_the_title_of_its_notebook():
    assert report_parts.read_chapter("13_grad_cam", None, {}).title.startswith("13 Grad-CAM: ")
    assert report_parts.read_chapter("99_not_there", None, {}).title == "99 Not there"
