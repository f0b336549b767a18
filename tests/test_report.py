"""The report, made from small hand-made notebooks: its story, its pages, no network, PDF, phone, escaping."""

import base64
import dataclasses
import html
import io
import json
import re
import shutil
import subprocess
import time
import urllib.request
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lab_utils.claims import engine, schema
from lab_utils.core import escape, links, profiles, records
from lab_utils.display import bundles, figures, style
from lab_utils.report import build, front, hand_in, ladder, pages, slides, story, tables, to_html, to_pdf
from lab_utils.report import ledger as report_ledger
from lab_utils.report import parts as report_parts
from lab_utils.report.parts import Chapter, Part
from lab_utils.report.tables import Cell, Grid
from lab_utils.report.to_html import Places
from lab_utils.report.to_pdf import Head
from lab_utils.stats.intervals import Accuracy, Difference, Estimate

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
needs_poppler = pytest.mark.skipif(not shutil.which("pdftotext"), reason="no pdftotext on this machine")
# every sign that means something to Markdown, HTML, Typst, matplotlib's formulas, YAML or a shell, and what a user may
# well call a file
SIGNS = "\"' \\ # $x$ [a](b) *b* __init__.py <i>d</i> @e `f` & ~ ^ | {g} ! % : - + = > ; ? , . / #9 1. --"


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


def tagged(tag, cell):
    cell.metadata["tags"] = [tag]
    return cell


WIDE = pd.DataFrame({f"column_{number}_of_many": [np.pi, 1 / 3] for number in range(13)})
SCRIPTS = pd.DataFrame(
    {"sign": ["Ελληνικά", "Кириллица", "漢字", "عربي", "😀", "naïve <b>"], "share": [Accuracy(3, 10)] * 6}
)
HANDMADE = ("00_dataset", "04_projections", "05_classification", "14_results")


def notebooks():
    data = new_notebook(
        cells=[
            tagged(
                "story",
                new_markdown_cell(
                    "# 0 The data set\n\n#9 is no heading. Entropy $H = -\\sum_i p_i \\ln p_i$.\n\n$$L = \\ln 29$$\n\n"
                    "See [chapter 4](04_projections.ipynb), [the curves](#curves) and [a lost one](#nowhere).\n\n"
                    "**Expectation.** A bet that only students see.\n\n## Counted"
                ),
            ),
            new_code_cell('RUN = "sample"', metadata={"tags": ["parameters"]}),
            new_code_cell('RUN = "hand-made"', metadata={"tags": ["injected-parameters"]}),
            tagged(
                "story",
                new_code_cell(
                    "counts = table.groupby('medium')",
                    outputs=[
                        new_output("stream", name="stdout", text="  5%|x\r100%|xxxx\n  epoch 1/2  left 0:01\nready\n"),
                        new_output("stream", name="stderr", text="a warning that nobody needs\n"),
                        *table(SCRIPTS, "Signs of all scripts"),
                        *table(WIDE, "Thirteen columns", label="wide"),
                        said(
                            "**Tie** (slide 17: one is worse). A tie (+1.2 points, -3.0 to +4.0) in a_b_c.", "verdict"
                        ),
                    ],
                ),
            ),
            new_markdown_cell("## Exercises\n\n**1. Change `leaf`.** Do it.\n\n| a | b |\n|---|---|\n| 1 | words |"),
            new_code_cell(
                "answer = ...\nexercises.check(answer, 3)",
                id="exercise-1",
                outputs=[
                    new_output(
                        "stream",
                        name="stdout",
                        text="Not yet: put your answer in place of the three dots. Look at the leaf.\n",
                    )
                ],
            ),
        ]
    )
    maps = new_notebook(
        cells=[
            new_markdown_cell("# 4 Projections\n\nText."),
            tagged("story", new_code_cell("show()", outputs=figure("Curves", "one rising line", label="curves"))),
            tagged(
                "story", new_code_cell("turn()", outputs=figure("In three dimensions", "a cloud", interactive=True))
            ),
            new_code_cell("more()", outputs=figure("Folded", "the same line", fold=True)),
            tagged(
                "story-first",
                new_code_cell("two()", outputs=[*figure("First of two", "a line"), *figure("Second", "a line")]),
            ),
            tagged(
                "story-words", new_code_cell("both()", outputs=[*figure("No picture", "a line"), said("But words.")])
            ),
            tagged("listing", new_code_cell("def build():\n    return network")),
        ],
        metadata={"papermill": {"end_time": "2026-03-05T10:00:00"}},
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
            tagged(
                "story",
                new_code_cell(
                    "links", outputs=table(pd.DataFrame({"where": [links.Link("figure", "#curves")]}), "Links")
                ),
            ),
        ]
    )
    return dict(zip(HANDMADE, (data, maps, failed, results), strict=True))


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
    "06_fine_tuning_run1": {"state": "running"},
    "13_grad_cam": {"state": "not run", "seconds": 1.0, "error": {"message": "9 of 10 images are missing."}},
    "12_fine_tuned_features": {
        "state": "waiting",
        "error": {"message": "Waits for 11_fine_tuning_run6, which failed."},
    },
}


def cost(recipe, successes, split="val", seconds=3.0):
    value = records.plain(Accuracy(successes, 74, recipe))
    about = {"recipe": recipe, "split": split, "seconds": seconds, "before": {"decoding": {"seconds": 1.0}}}
    return {"id": f"cost: {recipe}, {split}", "kind": "cost", "value": value} | about


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    patch = pytest.MonkeyPatch()
    patch.setattr(profiles, "PROJECT", root)
    settings = profiles.Settings(name="hand-made", profile="sample", title="hand-made notebooks", course="A course")
    for name, content in notebooks().items():
        path = settings.report_folder / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(content, path)
    for name, state in STATES.items():
        records.write_json(settings.run_folder / "status" / f"{name}.json", {"chapter": name, **state})
    about = {"git": "abc1234", "data": "d" * 16, "versions": {"python": "3.11"}, "seconds": 3.0}
    costs = {
        "01_baseline": cost("#5 from scratch", 20),
        "06_fine_tuning_run1": cost("Net, run 1", 40),
        "07_fine_tuning_run2": cost("Net, run 2", 50),
    }
    for name in ("14_results", *costs):
        results = {"chapter": name, "provenance": about, "records": [costs[name]] if name in costs else []}
        records.write_json(settings.report_folder / "results" / f"{name}.json", results)
    yield settings
    patch.undo()


@pytest.fixture(scope="module")
def built(settings):
    return build.build(settings)


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


@pytest.fixture(scope="module")
def page(built):
    return Page.of(built[0].read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def chapter_pages(built):
    return {
        path.stem: Page.of(path.read_text(encoding="utf-8")) for path in (built[0].parent / "chapters").glob("*.html")
    }


@pytest.fixture(scope="module")
def pdf_text(built):
    return subprocess.run(["pdftotext", "-layout", built[1], "-"], capture_output=True, text=True, check=True).stdout


def rendered(*parts, title="0 Data"):
    """A report of one chapter in both media."""
    chapter = Chapter("00_dataset", title, "ok", parts=list(parts))
    about = {"title": "t", "subtitle": "s", "line": "", "chapters": [chapter], "front": []}
    page = to_html.render("report.html.j2", Places(), report=about, most=tables.MOST_ROWS)
    return Page.of(page), to_pdf.render(Head("t", "s"), [], [], [chapter])


def text_of_pdf(content, tmp_path, *options):
    path = tmp_path / "some.pdf"
    path.write_bytes(content)
    return subprocess.run(["pdftotext", *options, path, "-"], capture_output=True, text=True, check=True).stdout


# ---- the story -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(path.stem for path in (records.PROJECT / "notebooks").glob("*.ipynb")))
def test_each_notebook_has_a_story(name):
    notebook = nbformat.read(records.PROJECT / "notebooks" / f"{name}.ipynb", as_version=4)
    tags = [(cell.cell_type, tag) for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    known = {report_parts.STORY, report_parts.FIRST, report_parts.WORDS, report_parts.LISTING, "parameters"}
    assert {tag for _, tag in tags} <= known
    assert ("markdown", "story") in tags and any(kind == "code" and tag.startswith("story") for kind, tag in tags)
    exercises = next(
        (place for place, cell in enumerate(notebook.cells) if cell.source.startswith("## Exercises")),
        len(notebook.cells),
    )
    assert not any(cell.metadata.get("tags") for cell in notebook.cells[exercises:])


def test_three_chapters_list_code():
    listed = [
        path.stem[:2]
        for path in sorted((records.PROJECT / "notebooks").glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        if report_parts.LISTING in cell.metadata.get("tags", [])
    ]
    assert listed == ["01", "06", "13"]


def test_tags_choose_what_is_in_the_story(page):
    for words in ("Figure 4.1", "Figure 4.2", "First of two", "But words.", "return network", "Entropy"):
        assert words in page.text
    for words in ("Folded", "Second.", "No picture", "A bet that only students see", "groupby", "100%|xxxx", "Hint"):
        assert words not in page.text


def test_tags_of_the_stored_notebook_count_without_a_new_run():
    executed = new_notebook(cells=[new_code_cell("x", id="one", outputs=[said("words")])])
    stored = new_notebook(cells=[tagged("story", new_code_cell("x", id="one"))])
    assert [part.story for part in report_parts.read_chapter("00_a", executed, {}, stored).parts] == [False, True]


def test_a_heading_comes_along_with_what_stands_under_it_and_not_alone():
    chapter = Chapter(
        "00_a",
        "0 A",
        parts=[
            Part("markdown", "Text.\n\n## Full", story=True),
            Part("sentence", "said", story=True),
            Part("markdown", "## Empty\n\nNot told."),
            Part("markdown", "## Other"),
            Part("sentence", "not told"),
            Part("figure", story=True),
            Part("markdown", "Limit.\n\n## Decision", story=True),
            Part("decision", "not told"),
        ],
    )
    told = [part.text for part in story.story_of(chapter).parts]
    assert told == ["Text.", "## Full", "said", "## Other", "", "Limit."]


def test_sentences_of_the_story_leave_their_intervals_to_tables():
    told = (
        f"{Accuracy(20, 74)} against {Estimate(0.5, 0.4, 0.6, 9)}: {Difference(0.1, 0.02, 0.2, 74)}; a slope (2 to 5)"
    )
    assert story.without_intervals(told) == "27.0 % against 0.50: better by 10.0 points; a slope"
    assert story.without_intervals(str(Difference(0.01, -0.1, 0.1, 74))) == "a tie (+1.0 points)"


def test_a_verdict_of_the_story_leaves_the_reason_of_all_drawings_to_the_first_page():
    reason = "**Not testable** here: these are drawings, and the claim is about museum photographs."
    told = f"Slide 3 says “x”. {reason}\n\nWhat the method shows here: A is better (2.0 to 5.0)."
    assert story.in_short(told) == "Slide 3 says “x”. **Not testable**. Here: A is better."
    other = "Slide 3 says “x”. **Not testable** here: the epochs are too few."
    assert story.in_short(other) == other


def test_words_are_counted_in_text_captions_and_tables_and_too_many_are_told():
    frame = pd.DataFrame({"run": ["a", "b"], "val": [Accuracy(20, 74), Accuracy(37, 74)]})
    table = Part("table", data=bundles.table_bundle(frame), caption="Two runs")
    short = Chapter("01_x", "1 Short", "ok", parts=[Part("markdown", "Three words here."), table])
    assert story.words([short]) == 3 + 5 + (1 + 2 + 3) + 2 * 3  # text, caption with n, head, rows
    assert story.too_long([short]) == ""
    long = Chapter("02_x", "2 Long", "ok", parts=[Part("markdown", "word " * story.MOST_WORDS)])
    assert "12,020 words" in story.too_long([short, long]) and "2 Long (12,000)" in story.too_long([short, long])


def test_a_line_of_the_ledger_is_a_line():
    said = "“" + "word " * 20 + "end”"
    assert (
        front._one_line(said) == "“" + "word " * (front.LEDGER_WORDS - 1) + "word …”"
        and front._one_line("“It is so”") == "“It is so”"
    )


def test_the_slide_index_is_complete_and_its_chapters_exist(settings):
    known = {chapter.number for chapter in pages.read_chapters(settings)} | {"", "references", "ledger"}
    assert [slide["slide"] for slide in slides.slides()] == list(range(1, 37))
    assert {str(slide.get("chapter", "")) for slide in slides.slides()} <= known
    assert [slide["slide"] for slide in slides.slides() if not slide.get("chapter")] == [1, 2, 5, 25]


def test_the_slide_index_says_what_was_reproduced_and_what_was_not_run(settings):
    full = [story.story_of(chapter) for chapter in pages.read_chapters(settings)]
    grid = tables.parse(slides.part(settings, full).data["text/html"])
    states = {row[0].text: row[3].text for row in grid.rows[1:]}
    assert states["17"] == states["31"] == "not run" and states["10"] == "stand-in" and states["35"] == "listed"
    own = settings.model_copy(update={"networks": profiles.Networks(names=("resnet50",))})
    grid = tables.parse(slides.part(own, full).data["text/html"])
    assert {row[0].text: row[3].text for row in grid.rows[1:]}["10"] == "reproduced"


# ---- the first page --------------------------------------------------------------------------------------------------
def test_the_first_page_says_what_was_run_asks_and_counts_claims(page):
    opening = page.source[: page.source.index('id="chapter-00"')]
    for words in (
        "A course · 5 March 2026",
        "no number here says anything about MAMe",
        "Question.",
        "Where each slide is",
    ):
        assert words in opening
    counted = re.search(
        r"(\d+) claims of the original: (\d+) supported, (\d+) contradicted \(.*?\), (\d+) ties?, (\d+) not", opening
    )
    numbers = [int(number) for number in counted.groups()]
    assert numbers[0] == sum(numbers[1:]) == len(report_ledger.lines({}))


def test_the_ladder_takes_one_value_a_rung_and_the_best_of_several(settings):
    steps = {
        one.name: one
        for one in ladder.rungs(report_parts.results_of(settings.report_folder, pages.read_chapters(settings)))
    }
    assert steps["Fine-tuning #2"].value == pytest.approx(50 / 74) and steps["Fine-tuning #2"].split == "val"
    assert steps["From scratch, #5"].seconds == 4.0  # a second of decoding comes before
    assert steps["Fine-tuning #3"].value is None and steps["Fine-tuning #3"].reported == 0.75
    assert ladder.best(list(steps.values())).name == "Fine-tuning #2"


def test_further_improvements_are_two_rungs_what_trains_no_block_and_what_does():
    values = {
        "frozen features, ridge: all joined": 0.8,
        "ensemble of fine-tuned networks": 0.6,
        "net, linear probe": 0.7,
    }
    values |= {"net, + label smoothing": 0.65, "lab_utils.predict, 4 images a class": 0.9}
    costs = [
        {"kind": "cost", "recipe": recipe, "value": {"value": value}, "seconds": 1.0, "before": {}, "split": "val"}
        for recipe, value in values.items()
    ]
    rungs = ladder.rungs({"15_further_improvements": {"records": costs}})
    further = {rung.kind: (rung.value, rung.note) for rung in rungs if rung.name.startswith("Further")}
    assert further["frozen"] == (0.9, "lab_utils.predict, 4 images a class")
    assert further["fine-tuned"] == (0.65, "net, + label smoothing")


def test_printed_numbers_share_a_panel_with_photographs_of_mame_only():
    steps = [ladder.Rung("one", "frozen", 0.5, 0.4, 0.6, 10, "val", reported=0.7)]
    own, both = (ladder._drawn(steps, together) for together in (False, True))
    assert [axes.get_visible() for axes in own.axes] == [True, True]
    assert [axes.get_visible() for axes in both.axes] == [True, False]
    assert own.axes[1].get_xlabel() == "reported on MAMe (%)"


def test_findings_are_the_best_step_then_decided_claims_then_what_the_method_shows_here():
    def line(claim, verdict, sentence, here=""):
        return report_ledger.LedgerLine(claim, 1, "w", verdict, sentence, "05", here=here)

    lines = [
        line("cv-scores-hold", "not testable", "Drawings.", here="It misleads by 33.1 points."),
        line("difficult-to-separate", "contradicted", "They part at 80.0 %."),
        line("other", "tie", "Not listed."),
        line("steady-improvement", "not testable", "Drawings."),
    ]
    steps = [ladder.Rung("one", "frozen", 0.5, 0.4, 0.6, 10, "val", chapter="05")]
    told = front.findings(steps, lines)
    assert "reaches" not in told[0]
    steps += [ladder.Rung(f"#{value}", "fine-tuned", value, 0.1, 0.6, 10, "val") for value in (0.4, 0.3)]
    assert "the best fine-tuned network reaches 40.0 %" in front.findings(steps, lines)[0]
    assert [words in sentence for words, sentence in zip(("50.0", "They part", "It misleads"), told, strict=True)] == [
        True
    ] * 3
    assert all(sentence.count("05_classification.ipynb") == 1 for sentence in told)


def test_test_readings_are_told_in_a_sentence(settings):
    def read(*models):
        return {"id": str(models), "kind": "test read", "models": models, "choice": "on val", "value": 9}

    results = {"01_baseline": {"records": [read("a"), read("b")]}, "13_grad_cam": {"records": [read("b", "c")]}}
    told = front.provenance_chapter(settings, results, "key").parts[0].text
    assert "3 fitted models were read on test, 4 readings in all; read more than once: b." in told
    assert "No test labels were read." in front.provenance_chapter(settings, {}, "key").parts[0].text


def test_the_ledger_has_a_line_for_each_claim_and_errors_only_what_printed_numbers_contradict():
    lines = report_ledger.lines({})
    why, table = front.ledger_chapter(lines).parts
    grid = tables.parse(table.data["text/html"])
    assert len(grid.rows) == len(lines) + 1
    assert why.text.startswith(f"**Not testable here**: {sum(line.verdict == 'not testable' for line in lines)}. For")
    wrong = tables.parse(front.errors_chapter(lines).parts[0].data["text/html"])
    assert len(wrong.rows) - 1 == sum(one.arithmetic and one.verdict == "contradicted" for one in lines) > 10
    assert "diagonal of the matrix gives an accuracy of 0.778" in " ".join(
        cell.text for row in wrong.rows for cell in row
    )


def test_what_open_claims_lack_is_taken_from_what_the_engine_says():
    claim = next(claim for claim in schema.claims().values() if {"photographs", "trained"} <= {*claim.needs})
    record = {"kind": "verdict", "value": dataclasses.asdict(engine.not_run(claim, "no reason"))}

    def lacks(context):
        short = pd.DataFrame({"clean_accuracy": [0.1] * 4, "val_cross_entropy": [1.0] * 4, "epoch": range(4)})
        record["value"]["sentence"] = f"{engine._unmet(claim, context, {'net': short})[0]}."
        told = report_ledger.lines({"01_baseline": {"records": [record]}})
        return next(line.lacks for line in told if line.claim == claim.id)

    assert lacks(engine.Context("sample")) == lacks(engine.Context("folder", ("my cats",))) == "photographs"
    assert lacks(engine.Context("mame")) == "training"


# ---- HTML ------------------------------------------------------------------------------------------------------------
def test_nothing_in_any_page_is_fetched_from_a_network(page, chapter_pages, built):
    index = Page.of((built[0].parent / "index.html").read_text(encoding="utf-8"))
    for one in (page, index, *chapter_pages.values()):
        fetched = [
            value
            for tag, attributes in one.tags
            for name, value in attributes.items()
            if name in ("src", "srcset", "data", "poster") or (name == "href" and tag != "a")
        ]
        assert all(value.startswith(("data:", "#")) or value == pages.LIBRARY for value in fetched)
        styles = re.findall(r"<style>(.*?)</style>", one.source, re.DOTALL)
        assert styles and not any(re.search(r"@import|url\(", style) for style in styles)
        policy = next(
            meta["content"] for meta in one.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
        )
        assert "default-src 'none'" in policy and "http" not in policy


def test_every_page_that_the_lab_writes_has_the_policy_that_forbids_the_network():
    templates = Path(to_html.__file__).parent / "templates" / "report"
    made = [path.read_text() for path in templates.glob("*.html.j2") if "<html" in path.read_text()]
    assert len(made) == 4 and all(text.count("{{ parts.head(") == 1 for text in made)
    policy = re.search(r'Policy" content="(.*?)\{\{', (templates / "parts.html.j2").read_text())[1]
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"https?:|\*|'self'|unsafe-eval|connect-src|script-src|frame-src|object-src", policy)


def test_the_report_holds_no_script_and_is_small(page):
    assert not page.all("script") and len(page.source) < 1_000_000


def test_every_picture_has_an_alternative_text(page, chapter_pages):
    assert all(picture["alt"] for picture in page.all("img")) and len(page.all("img")) == 4
    assert all(picture["alt"] for one in chapter_pages.values() for picture in one.all("img"))


def test_figures_have_the_same_numbers_in_story_and_chapter(page, chapter_pages):
    assert "Figure 4.4" in page.text and "Figure 4.3" not in page.text
    for number in range(1, 7):
        assert f"Figure 4.{number}" in chapter_pages["04_projections"].text


def test_ids_are_unique_and_every_inner_link_arrives(page, chapter_pages):
    for one in (page, *chapter_pages.values()):
        ids = [attributes["id"] for _, attributes in one.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        targets = {link["href"][1:] for link in one.all("a") if link.get("href", "").startswith("#")}
        assert targets - set(ids) <= {"nowhere"}


def test_links_lead_inside_the_report_and_between_the_pages_of_chapters(page, chapter_pages):
    assert 'href="#chapter-04">chapter 4</a>' in page.source
    assert 'href="#figure-4-1">Figure 4.1</a>' in page.source
    assert 'href="04_projections.html">chapter 4</a>' in chapter_pages["00_dataset"].source
    assert 'href="04_projections.html#figure-4-1">Figure 4.1</a>' in chapter_pages["00_dataset"].source
    assert ".ipynb" not in page.source.replace("notebooks/05_classification.ipynb", "")


def test_formulas_are_mathml_and_a_paragraph_with_a_number_sign_is_no_heading(page):
    assert len(page.all("math")) == 2 and "$" not in page.text
    assert "<p>#9 is no heading." in page.source


def test_a_failed_chapter_has_a_red_box_with_cell_heading_error_and_command(page):
    box = html.unescape(re.search(r'<div class="box failed".*?</div>', page.source, re.DOTALL)[0])
    for words in ("cell 1", "The noise floor", "LabError: bad row 7.", "jupyter lab notebooks/05_classification.ipynb"):
        assert words in box
    assert "papermill" not in page.text and "\x1b" not in page.source


def test_chapters_that_were_not_run_say_why(page):
    assert "9 of 10 images are missing." in page.text
    assert "Waits for 11_fine_tuning_run6, which failed." in page.text
    assert "./run_all.sh --only 01" in page.text


def test_the_chapters_stand_in_reading_order(page):
    order = [attributes["id"] for attributes in page.all("section") if "id" in attributes]
    ends = ["ledger", "errors", "provenance", "references"]
    assert order == [*(f"chapter-{number:02d}" for number in range(16)), *ends]


def test_the_references_are_the_last_section_with_every_address_as_a_link(page):
    section = html.unescape(page.source[page.source.index('id="references"') :])
    addresses = {link.get("href") for link in Page.of(section).all("a")}
    assert set(records.reported("references")["url"]) <= addresses
    assert "[1] Parés, F." in Page.of(section).text


def test_a_chapters_page_has_code_exercises_and_its_neighbours(chapter_pages):
    data = chapter_pages["00_dataset"]
    assert "groupby" in data.text and "Hint: Look at the leaf." in data.text and "three dots" not in data.text
    code = html.unescape(re.sub("<[^>]+>", "", data.source))
    assert 'RUN = "hand-made"' in code and 'RUN = "sample"' not in code
    assert "a warning that nobody needs" not in data.text and "100%|xxxx" in data.text and "epoch 1/2" not in data.text
    relations = {link["rel"]: link["href"] for link in chapter_pages["04_projections"].all("a") if "rel" in link}
    assert relations == {"prev": "03_task_similarity.html", "next": "05_classification.html"}
    assert {link.get("href") for link in data.all("a")} >= {"../index.html"}


def test_plotly_lies_once_beside_the_pages_and_only_those_with_maps_load_it(built, chapter_pages):
    library = built[0].parent / "chapters" / pages.LIBRARY
    assert "plotly.js v" in library.read_text(encoding="utf-8")[:500]
    loading = [name for name, one in chapter_pages.items() if {"src": pages.LIBRARY} in one.all("script")]
    assert loading == ["04_projections"]


def test_the_index_has_the_state_of_every_chapter_and_each_has_a_page(built, chapter_pages):
    text = Page.of((built[0].parent / "index.html").read_text(encoding="utf-8")).text
    assert len(chapter_pages) == 16
    for words in ("running now", "FAILED", "not run on this data", "3 of 16 chapters are done", "0:12"):
        assert words in text


def test_the_index_is_there_before_any_chapter_and_loads_itself_again(settings):
    early = settings.model_copy(update={"name": "early"})
    page = Page.of(pages.write_index(early).read_text(encoding="utf-8"))
    assert "0 of 16 chapters are done" in page.text and any("refresh" in str(meta) for meta in page.all("meta"))
    records.write_json(early.run_folder / "status" / "04_projections.json", {"state": "ok", "seconds": 61})
    path = early.report_folder / "notebooks" / "04_projections.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebooks()["04_projections"], path)
    written = Page.of(pages.write_chapter(early, "04_projections").read_text(encoding="utf-8"))
    assert "Figure 4.1" in written.text and not any("refresh" in str(meta) for meta in written.all("meta"))
    index = Page.of((early.report_folder / "index.html").read_text(encoding="utf-8"))
    assert "1 of 16 chapters are done" in index.text and "1:01" in index.text


def test_outputs_of_kind_library_appear_once_on_a_page(settings):
    library = Part("library", data={"text/html": "<script>var thumbnails = 1;</script>"})
    assert len(pages._libraries(settings, [library, library])) == 1


# ---- tables ----------------------------------------------------------------------------------------------------------
def grid_of(frame):
    return tables.tidy(tables.parse(bundles.table_bundle(frame)["text/html"]))


def texts(grid):
    return [[cell.text.replace("\u00a0", " ") for cell in row] for row in grid.rows]


def test_an_interval_has_a_column_of_its_own_and_a_common_n_is_said_once_in_the_caption():
    grid = grid_of(pd.DataFrame({"run": ["a", "b"], "val": [Accuracy(20, 74), Accuracy(37, 74)]}))
    shown = texts(grid)
    assert shown[0] == ["run", "val (%)", "95 % interval"]
    assert shown[1][:2] == ["a", "27.0"] and shown[2] == ["b", "50.0", "38.9–61.1"]
    assert grid.counted("Two runs") == "Two runs. n = 74"
    assert grid.counted("Two runs (n = 74)") == "Two runs (n = 74)"


def test_different_n_in_a_caption_name_their_columns():
    frame = pd.DataFrame({"val": [Accuracy(20, 74)], "again": [Accuracy(21, 74)], "test": [Accuracy(3, 9)]})
    assert grid_of(frame).counted("Runs.") == "Runs. n = 74 (val, again), 9 (test)"


def test_differing_n_get_a_column_and_differences_a_sign():
    frame = pd.DataFrame({"of": ["a", "b"], "gain": [Difference(-0.1, -0.2, -0.02, 9), Difference(0.01, -0.1, 0.1, 9)]})
    assert texts(grid_of(frame))[1:] == [["a", "−10.0", "−20.0 to −2.0"], ["b", "+1.0 tie", "−10.0 to +10.0"]]
    frame = pd.DataFrame({"of": ["a", "b"], "share": [Accuracy(1, 10), Accuracy(3, 9)]})
    assert texts(grid_of(frame))[0] == ["of", "share (%)", "95 % interval", "n"]


def test_in_a_wide_table_the_interval_stands_beneath_its_value():
    frame = pd.DataFrame({"run": ["a"]} | {f"split {number}": [Accuracy(20, 74)] for number in range(4)})
    grid = grid_of(frame)
    assert len(grid.rows[0]) == 5 and grid.rows[1][1].below == "18.2–38.1"


def test_a_column_of_words_and_quantities_is_left_alone():
    frame = pd.DataFrame({"value": [Accuracy(20, 74), "a long explanation why there is no number"]})
    assert texts(grid_of(frame))[1] == [str(Accuracy(20, 74))]


def test_a_column_of_numbers_has_one_number_of_decimals_but_small_numbers_and_names_stay():
    frame = pd.DataFrame({"share": [0.5, 1.0, 0.0], "rate": [5e-5, 1e-4, 0.1], "lot": ["59.533", "63.3", "1"]})
    shown = texts(grid_of(frame))
    assert [row[0] for row in shown[1:]] == ["0.50", "1.00", "0.00"] or [row[0] for row in shown[1:]] == [
        "0.5",
        "1.0",
        "0.0",
    ]
    assert [row[1] for row in shown[1:]] == ["5e-05", "0.0001", "0.1"]
    assert [row[2] for row in shown[1:]] == ["59.533", "63.3", "1"]


def test_no_column_is_called_index():
    frame = pd.DataFrame({"images": [1, 2]}, index=["a", "b"])
    html_table = bundles.table_bundle(frame, index=True)["text/html"]
    assert texts(tables.tidy(tables.parse(html_table)))[0] == ["", "images"]


@pytest.mark.parametrize("classes", [2, 29, 120, 400])
def test_tables_and_figures_of_many_classes_are_cut_in_the_report(classes, tmp_path):
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (200, 60 * classes)).save(buffer, "PNG")
    tall = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
    frame = pd.DataFrame({"class": [f"class {number}" for number in range(classes)], "images": range(classes)})
    page, pdf = rendered(
        Part("table", data=bundles.table_bundle(frame), caption="Counts"),
        Part("figure", data=tall, caption="Tall", alt="x"),
    )
    left = classes - tables.MOST_ROWS
    assert (f"{left:,} more rows" in page.text) == (left > 0)
    assert len(page.source) < 300_000 and pdf.startswith(b"%PDF")
    height, width = (int(page.all("img")[0][side]) for side in ("height", "width"))
    assert height <= 1.61 * width


def test_a_table_too_wide_for_a_line_is_stacked_in_pieces_that_fit():
    words = [f"unbreakableword{letter}" for letter in "abcdefghijkl"]
    grid = Grid([[Cell(word) for word in words], [Cell("x") for _ in words]], 1)
    pieces = to_pdf.stacked(grid)
    assert len(pieces) > 1
    for piece, size, widths in pieces:
        assert piece.rows[0][0].text == words[0] and size >= 8
        assert sum(widths) + to_pdf._GUTTER * len(widths) <= to_pdf.TEXT_WIDTH + 0.1
    assert [cell.text for piece, _, _ in pieces for cell in piece.rows[0][1:]] == words[1:]


# ---- escaping --------------------------------------------------------------------------------------------------------
def test_a_name_with_every_special_sign_stays_itself_in_html(tmp_path):
    sentence = f"The class {escape.markdown(SIGNS)} is rare."
    frame = pd.DataFrame({SIGNS: [SIGNS]})
    parts = [
        Part("sentence", sentence),
        Part("markdown", sentence),
        Part("table", data=bundles.table_bundle(frame), caption=SIGNS),
        Part("figure", data=bundles.bundle(figures.curves({"a": {"b": [1, 2]}})), caption=SIGNS, alt=SIGNS),
        Part("text", SIGNS, story=True),
        Part("error", SIGNS),
    ]
    page, _ = rendered(*parts, title=escape.markdown(SIGNS))
    assert page.text.count(SIGNS) >= 7  # title, sentence, text, head, cell, captions, error
    assert {attributes.get("alt") for attributes in page.all("img")} == {SIGNS}
    assert not [tag for tag, _ in page.tags if tag in ("i", "em", "strong", "code")]


@needs_poppler
def test_a_name_with_every_special_sign_stays_itself_in_the_pdf(tmp_path):
    frame = pd.DataFrame({SIGNS: [SIGNS]})
    parts = [
        Part("sentence", f"Sentence {escape.markdown(SIGNS)} ends."),
        Part("table", data=bundles.table_bundle(frame), caption=SIGNS),
        Part("figure", data=bundles.bundle(figures.curves({"a": {"b": [1, 2]}})), caption=SIGNS, alt=SIGNS),
        Part("code", SIGNS, cell=1),
        Part("error", SIGNS),
    ]
    made = to_pdf.render(Head(SIGNS, SIGNS, SIGNS), [], [], [Chapter("00_dataset", "0 Data", "ok", parts=parts)])
    packed = re.sub(r"[\s\u200b-]", "", text_of_pdf(made, tmp_path))
    assert packed.count(re.sub(r"[\s-]", "", SIGNS)) >= 6
    assert f"Sentence{re.sub(r'[ -]', '', SIGNS)}ends." in packed


UNESCAPED = ("#panic()", "$", "__init__.py", "<script>", "a_b*c", "]", "#[", "**a**.b", "*a*(b)", "[a](https://b.c)[d]")


@pytest.mark.parametrize("text", [*UNESCAPED, "```", "&amp;", "\\"])
def test_unescaped_signs_in_a_sentence_never_break_the_pdf(text):
    made = to_pdf.render(Head("t", "s"), [], [], [Chapter("00_dataset", "0", "ok", parts=[Part("sentence", text)])])
    assert made.startswith(b"%PDF")


def test_escaped_text_is_read_back_by_each_medium():
    assert html.unescape(escape.html(SIGNS)) == SIGNS
    assert json.loads(escape.typst(SIGNS)) == SIGNS and "\x07" not in escape.typst("a\x07b")
    assert re.sub(r"\\(.)", r"\1", escape.markdown(SIGNS)) == SIGNS
    assert escape.markdown("# two\nlines") == "\\# two lines"
    assert escape.formula("a $x$") == r"a \$x\$"


def test_links_of_scripts_are_no_links():
    places = Places()
    assert places.href("javascript:alert(1)") == "" and places.href("https://example.org") == "https://example.org"
    page, _ = rendered(Part("sentence", "[go](javascript:alert(1))"))
    assert not [link for link in page.all("a") if "javascript" in link.get("href", "")]


# ---- PDF -------------------------------------------------------------------------------------------------------------
@needs_poppler
def test_the_pdf_is_a4_with_title_contents_and_page_numbers(built, pdf_text):
    about = subprocess.run(["pdfinfo", built[1]], capture_output=True, text=True, check=True).stdout
    assert "(A4)" in about and re.search(r"Title: +Transfer learning on MAMe: hand-made notebooks", about)
    assert "Contents" in pdf_text and re.search(r"\b2 */ *\d+", pdf_text)


@needs_poppler
def test_letters_and_margins_of_the_pdf_are_large_enough(built, tmp_path):
    boxes = subprocess.run(["pdftotext", "-bbox", built[1], "-"], capture_output=True, text=True, check=True).stdout
    margin = 20 / 25.4 * 72
    for leaf in re.findall(r'<page width="([\d.]+)" height="([\d.]+)">(.*?)</page>', boxes, re.DOTALL):
        edges = re.findall(r'xMin="([\d.]+)" yMin="[\d.]+" xMax="([\d.]+)"', leaf[2])
        assert min(float(left) for left, _ in edges) >= margin - 1
        assert max(float(right) for _, right in edges) <= float(leaf[0]) - margin + 1
    source = (to_pdf.TEMPLATE).read_text(encoding="utf-8")
    assert "size: 10pt, fill: ink" in source and min(to_pdf.SIZES) >= 8
    assert min(float(size) for size in re.findall(r"size: ([\d.]+)pt", source)) >= 8


@needs_poppler
def test_the_pdf_has_what_the_story_has_and_no_more(pdf_text):
    for words in ("Figure 4.1. Curves.", "Table 0.2. Thirteen columns.", "LabError: bad row 7.", "return network"):
        assert words in pdf_text
    for words in ("Folded", "groupby", "A bet that only students see", "Hint:"):
        assert words not in pdf_text


@needs_poppler
def test_the_pdf_prints_every_reference(built):
    inside = ("-x", "0", "-y", "60", "-W", "600", "-H", "725")  # a URL may go over to the next page
    words = ["pdftotext", "-raw", *inside, built[1], "-"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    packed = re.sub(r"[\s\u200b-]", "", text)
    listed = packed[packed.rindex("Oftheoriginal") :]
    bare = [
        url.partition("://")[2].removeprefix("www.").replace("-", "") for url in records.reported("references")["url"]
    ]
    assert [url for url in bare if url not in listed] == []


@needs_poppler
def test_other_scripts_stand_in_latin_letters_with_a_note(pdf_text):
    for words in ("Ελληνικά", "Кириллица", "naïve <b>", "‹HanZi›", "in Latin letters, between"):
        assert words in pdf_text
    assert "漢" not in pdf_text


@needs_poppler
def test_no_word_of_a_wide_table_leaves_the_page(built):
    boxes = subprocess.run(["pdftotext", "-bbox", built[1], "-"], capture_output=True, text=True, check=True).stdout
    assert boxes.count(">3.14<") >= 13


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-1.5 to +4.6", "−1.5 to +4.6"),
        ("(-0.08)", "(−0.08)"),
        ("3-4", "3-4"),
        ("1e-05", "1e-05"),
        ("run-1 #5-6", "run-1 #5-6"),
    ],
)
def test_a_negative_number_has_a_minus_and_a_name_keeps_its_hyphen(text, shown):
    assert tables.with_minus(text) == shown


def test_long_names_may_break_in_tables_but_short_ones_do_not():
    assert to_pdf.breakable("fine_tuning_run6_features") == "fine_\u200btuning_\u200brun6_\u200bfeatures"
    assert to_pdf.breakable("EfficientNetB0") == "Efficient\u200bNet\u200bB0"
    assert to_pdf.breakable("a_b 0.5") == "a_b 0.5"


@needs_poppler
def test_figures_stand_where_the_chapter_has_them_and_only_those_without_room_let_text_go_first(tmp_path):
    def large(number):
        return Part("figure", data=bundles.bundle(style.subplots(height=4.5)[0]), caption="Picture", number=number)

    parts = [Part("markdown", "First words."), large("1.1"), Part("markdown", "Second words."), large("1.2")]
    parts += [Part("markdown", "Third words."), Part("markdown", "## Next"), large("1.3")]
    text = text_of_pdf(rendered(*parts)[1], tmp_path, "-layout")
    order = ("First", "Figure 1.1", "Second", "Third", "Figure 1.2", "Next", "Figure 1.3")
    places = [text.index(words) for words in order]
    assert places == sorted(places)


# ---- building --------------------------------------------------------------------------------------------------------
def test_the_same_run_gives_the_same_bytes(settings, built):
    whole = [path.read_bytes() for path in built]
    built[1].write_bytes(b"half")
    assert [path.read_bytes() for path in build.build(settings)] == whole


def test_a_half_written_notebook_counts_as_missing(settings, built):
    path = settings.report_folder / "notebooks" / "01_baseline.ipynb"
    path.write_text('{"cells": [', encoding="utf-8")
    chapters = {one.name: one for one in pages.read_chapters(settings)}
    path.unlink()
    assert chapters["01_baseline"].state == "missing" and chapters["01_baseline"].title.startswith("1 Baseline")


def test_a_run_without_anything_still_gets_its_report(settings):
    empty = settings.model_copy(update={"name": "empty"})
    page, pdf = build.build(empty)
    assert "Not run yet" in page.read_text(encoding="utf-8") and pdf.read_bytes().startswith(b"%PDF")


def test_a_chapter_that_was_not_run_has_the_title_of_its_notebook():
    stored = new_notebook(cells=[new_markdown_cell("# 13 Grad-CAM: where?")])
    assert report_parts.read_chapter("13_grad_cam", None, {}, stored).title == "13 Grad-CAM: where?"
    assert report_parts.read_chapter("99_not_there", None, {}).title == "99 Not there"


# ---- handing in ------------------------------------------------------------------------------------------------------
def test_what_is_handed_in_holds_report_chapters_notebooks_and_a_grading_sheet(settings, built):
    with zipfile.ZipFile(hand_in.hand_in(settings, "Zoë <b>")) as archive:
        names = archive.namelist()
        sheet = archive.read("hand-made/grading.html").decode()
        rows = archive.read("hand-made/grading.csv").decode().splitlines()
    for name in ("report.html", "report.pdf", "index.html", "chapters/04_projections.html", "results/14_results.json"):
        assert f"hand-made/{name}" in names
    assert "Zoë &lt;b&gt;" in sheet and rows[0] == "student,run,chapter,kind,what,state"


def test_exercises_are_right_where_the_saved_or_the_executed_notebook_says_so():
    def cells(text):
        outputs = [new_output("stream", name="stdout", text=text)] if text else []
        return [
            new_markdown_cell("**1. Change the `leaf`.** Do it."),
            new_code_cell("exercises.check(answer)", id="e", outputs=outputs),
        ]

    def state(saved, executed):
        return hand_in.exercises("00", new_notebook(cells=cells(saved)), new_notebook(cells=cells(executed)))[0]

    assert (
        state("Right.\n", "Not yet. Hint.\n").state == "right" and state("", "Not yet.").what == "1. Change the `leaf`"
    )
    assert state("", "Not yet.").state == "not yet" and state("", "").state == "not run"


def test_changed_added_and_removed_cells_are_listed():
    def cell(id, source):
        return new_code_cell(source, id=id)

    given = new_notebook(cells=[cell("same", "a"), cell("changed", "b"), cell("gone", "c")])
    saved = new_notebook(cells=[cell("same", "a"), cell("changed", "b = 2"), cell("new", "\nd = 3")])
    rows = {(row.what, row.state) for row in hand_in.changes("06", given, saved)}
    assert rows == {("b = 2", "changed"), ("c", "removed"), ("d = 3", "added")}


def test_no_cell_of_the_sheet_is_a_formula_for_a_spreadsheet(settings):
    row = hand_in.Row("06", "cell", "=1+1", "changed")
    assert "'=1+1" in hand_in.as_csv(settings, "-x", [row]) and "'-x" in hand_in.as_csv(settings, "-x", [row])


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
def test_the_pages_load_without_errors_or_requests_and_fit_the_screen(browser, built):
    folder = built[0].parent
    for path in (built[0], folder / "index.html", folder / "chapters" / "04_projections.html"):
        browser.open(path)
        assert browser.run("document.documentElement.scrollWidth <= window.innerWidth")
        assert browser.run(
            "[...document.images].every(one => one.complete && (one.naturalWidth > 0 || !one.offsetParent))"
        )
    assert browser.run("document.querySelectorAll('#plot .main-svg').length") > 0  # the interactive figure was drawn
    browser.run("document.getElementById('codes').click()")
    assert browser.run("[...document.querySelectorAll('details.code')].every(one => one.open)")
    assert not browser.errors() and not browser.requests()


@needs_chromium
def test_on_a_phone_the_rows_of_a_table_are_stacked_and_the_contents_folded(browser, built):
    browser.open(built[0])
    is_phone = browser.run("window.innerWidth < 600")
    stacked = browser.run("getComputedStyle(document.querySelector('.scroll td')).display") == "flex"
    assert stacked == is_phone
    assert (browser.run("document.querySelector('nav.top').offsetHeight") > 0) == is_phone
    assert (browser.run("document.querySelector('nav.side').offsetHeight") > 0) != is_phone


@needs_chromium
def test_the_page_is_dark_where_the_reader_prefers_it(browser, built):
    browser.open(built[0])
    paper = "getComputedStyle(document.body).backgroundColor"
    assert browser.run(paper) == "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert browser.run(paper) != "rgb(255, 255, 255)"


@needs_chromium
def test_in_print_the_twin_stands_for_the_interactive_figure(browser, built):
    browser.open(built[0].parent / "chapters" / "04_projections.html")
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.querySelector('.live')).display") == "none"
    assert browser.run("getComputedStyle(document.querySelector('img.twin')).display") != "none"
    printed = browser.call("Page.printToPDF", preferCSSPageSize=True)["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")


DECLINED = "the NVIDIA card is not used: LAB_GPU=0 declines it"


@pytest.mark.parametrize(
    ("hardware", "words"),
    [
        ({"cores": 2, "gpu": ""}, "2 processor cores without a graphics card"),
        ({"cores": 16, "gpu": "NVIDIA H100"}, "NVIDIA H100"),
        (
            {"cores": 2, "gpu": "", "gpu_unused": "The NVIDIA card is not used: LAB_GPU=0 declines it."},
            f"2 processor cores without a graphics card ({escape.markdown(DECLINED)})",
        ),
    ],
)
def test_the_device_stands_in_the_report_and_why_a_card_is_not_used(hardware, words):
    results = {"01_baseline": {"provenance": {"hardware": hardware}}, "04_projections": {}}
    assert front._device(results) == words
    unused = hardware.get("gpu_unused", "no graphics card used").rstrip(".")
    assert front._machine(hardware).endswith(hardware["gpu"] or unused)


NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9]*.ipynb"))


def long_sentences(text: str, most: int = 30) -> list[str]:
    """Sentences of a text with more words than `most`; a semicolon and a new paragraph or item end one, too."""
    plain = re.sub(r"`[^`]*`", "code", re.sub(r"\]\([^)]*\)", "]", text))
    sentences = re.split(r"(?<=[.!?;])[\s*_”\"]+|\n\s*\n|\n(?=[-#|>\d])", plain)
    return [" ".join(sentence.split()) for sentence in sentences if len(sentence.split()) > most]


def test_sentences_of_more_than_thirty_words_are_found():
    assert long_sentences("word " * 31 + "end.") == ["word " * 31 + "end."]
    assert long_sentences("word " * 20 + "end; " + "word " * 20 + "end.") == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_storys_own_sentences_have_at_most_thirty_words(path):
    cells = nbformat.read(path, 4).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown" and "story" in cell.metadata.get("tags", [])]
    chapter = Chapter(path.stem, path.stem, "ok", parts=[Part("markdown", text, story=True) for text in texts])
    told = [part.text for part in story.story_of(chapter).parts]
    assert [sentence for text in told for sentence in long_sentences(text)] == []
    assert long_sentences(front._HOW_TO_READ) == []


def test_code_in_text_can_be_scrolled_by_keys_and_its_comments_have_contrast():
    assert '<pre tabindex="0">' in to_html._Markdown().convert("```\nx → y\n```")

    def luminance(code: str) -> float:  # WCAG 2
        parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light = str(to_html._styles()).split("@media (prefers-color-scheme: dark)")[0]
    comment = re.search(r"\.highlight \.c1 {[^}]*color: (#[0-9A-Fa-f]{6})", light)[1]
    assert (luminance("#f5f7f9") + 0.05) / (luminance(comment) + 0.05) >= 4.5
