"""Executed notebooks and records of a run → one HTML and one PDF.

`build(settings)` works on what is there: chapters that failed get a red box, those that were not run a grey one.
"""

from pathlib import Path
from typing import Any

import nbformat

from lab_utils.core import records
from lab_utils.core.chapters import CHAPTERS
from lab_utils.core.profiles import Settings
from lab_utils.report import to_html, to_pdf
from lab_utils.report.front import TITLE, errata_parts, front_parts, provenance_parts, references_chapter
from lab_utils.report.parts import Chapter, Part, read_chapter


def build(settings: Settings) -> tuple[Path, Path]:
    """Build `report.html` and `report.pdf` of a run from its executed notebooks, records and states.

    Returns:
        The two files.

    Raises:
        LabError: a results or status file is unreadable, or the disk is full.
    """
    folder = settings.report_folder
    html, pdf = folder / "report.html", folder / "report.pdf"
    subtitle, chapters = settings.title or settings.name, read_chapters(settings)
    front = _front(settings, chapters)
    chapters.append(references_chapter(records.reported("references")))
    records.write_atomic(html, to_html.render(TITLE, subtitle, front, chapters))
    records.write_atomic(pdf, to_pdf.render(TITLE, subtitle, front, chapters))
    return html, pdf


def read_chapters(settings: Settings) -> list[Chapter]:
    """All chapters of the lab in reading order, whatever state they are in."""
    return [_read(settings, name) for name in sorted(chapter.name for chapter in CHAPTERS)]


def _read(settings: Settings, name: str) -> Chapter:
    status = records.read_json(settings.run_folder / "status" / f"{name}.json", {})
    return read_chapter(name, _notebook(settings.report_folder / "notebooks" / f"{name}.ipynb"), status)


def _results(settings: Settings, chapters: list[Chapter]) -> dict[str, dict[str, Any]]:
    """Records by chapter, of those whose numbers are of this run as it is now."""
    names = [chapter.name for chapter in chapters if chapter.state not in ("waiting", "out of date")]
    there = {name: records.read_json(settings.report_folder / "results" / f"{name}.json", {}) for name in names}
    return {name: content for name, content in there.items() if content}


def _front(settings: Settings, chapters: list[Chapter]) -> list[Part]:
    """The first page, then what chapters tagged `front-matter` (errata and ledger), then provenance."""
    results, manifest = _results(settings, chapters), records.read_json(settings.run_folder / "data.json", {})
    key = records.content_hash([settings, manifest, results, chapters])
    current = [chapter for chapter in chapters if chapter.state != "out of date"]
    moved = [part for chapter in current for part in chapter.parts if part.front and part.kind != "code"]
    for chapter in current:
        chapter.parts = [part for part in chapter.parts if not part.front or part.kind == "code"]
    first = front_parts(settings, manifest, results, chapters)
    if not any(part.kind == "table" for part in moved):  # chapter 14 was not run, or failed before it came to them
        moved = errata_parts(results)
    return [*first, *moved, *provenance_parts(settings, results, key)]


def _notebook(path: Path) -> nbformat.NotebookNode | None:
    """The executed notebook, or None where there is none or it was cut off while being written."""
    try:
        return nbformat.read(path, as_version=4)
    except (FileNotFoundError, ValueError, nbformat.reader.NotJSONError):
        return None
