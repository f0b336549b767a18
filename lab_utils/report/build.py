"""Executed notebooks and records of a run → the report in HTML and PDF, a page for each chapter, and the index.

`build(settings)` works on what is there: chapters that failed get a red box, those that were not run a grey one.
"""

import dataclasses
from pathlib import Path
from typing import Any

from lab_utils.core import records
from lab_utils.core.profiles import Settings
from lab_utils.report import front, ledger, pages, slides, story, to_html, to_pdf
from lab_utils.report.parts import Chapter, Part, labelled, results_of
from lab_utils.report.tables import MOST_ROWS
from lab_utils.report.to_html import Places
from lab_utils.report.to_pdf import Head


@dataclasses.dataclass(frozen=True)
class Report:
    """All that the report shows, whatever the medium.

    Attributes:
        head: title, subtitle, course and date.
        first: parts of the first page.
        index: parts after the contents.
        chapters: as the report shows them, ledger, provenance and references included.
        full: the chapters in full, as their pages show them.
    """

    head: Head
    first: list[Part]
    index: list[Part]
    chapters: list[Chapter]
    full: list[Chapter]


def build(settings: Settings) -> tuple[Path, Path]:
    """Build `report.html` and `report.pdf` of a run, the pages of its chapters, and the index.

    Args:
        settings: of the run.

    Returns:
        The two files.

    Raises:
        LabError: a results or status file is unreadable, Typst refuses the document, or the disk is full.
    """
    folder = settings.report_folder
    report = collect(settings)
    if warning := story.too_long(report.chapters):
        print(warning)
    html = records.write_atomic(folder / "report.html", as_html(report))
    pages.write_chapters(settings, report.full)
    pdf = records.write_atomic(folder / "report.pdf", as_pdf(report))
    return html, pdf


def collect(settings: Settings) -> Report:
    """Read what a run has made, and choose and write what the report shows of it."""
    full = pages.read_chapters(settings)
    results = results_of(settings.report_folder, full)
    manifest = records.read_json(settings.run_folder / "data.json", {})
    lines = ledger.lines(results)
    told = [story.story_of(chapter) for chapter in full]
    key = records.content_hash([[dataclasses.asdict(chapter) for chapter in told], results, manifest, settings])
    ends = [
        front.ledger_chapter(lines),
        front.errors_chapter(lines),
        front.provenance_chapter(settings, results, key),
        front.references_chapter(records.reported("references")),
    ]
    head = Head(pages.TITLE, settings.title or settings.name, front.line(settings, full))
    first = front.first_page(settings, manifest, results, full, lines)
    return Report(head, first, [slides.part(settings, told)], [*told, *ends], full)


def as_html(report: Report) -> str:
    """The report as one page that needs no other file."""
    own = frozenset(part.anchor for chapter in report.chapters for part in chapter.parts if part.anchor)
    names = {chapter.number: chapter.name for chapter in report.full}
    places = Places(labelled(report.full), names, own, inside=True, folder="chapters/")
    about: dict[str, Any] = {**vars(report.head), "chapters": report.chapters, "front": [*report.first, *report.index]}
    return to_html.render("report.html.j2", places, report=about, most=MOST_ROWS)


def as_pdf(report: Report) -> bytes:
    """The report as PDF."""
    return to_pdf.render(report.head, report.first, report.index, report.chapters, labelled(report.full))
