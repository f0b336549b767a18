"""Executed notebooks and records of a run → one HTML and one PDF.

`build(settings)` works on what is there: chapters that failed get a red box, those that were not run a grey one. It
does nothing when the content is that of the report already built.
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
from lab_utils.runner import stamps

TEMPLATES = Path(__file__).parent / "templates" / "report"
REPORTED = records.PROJECT / "data" / "reported"


def build(settings: Settings, force: bool = False) -> tuple[Path, Path]:
    """Build `report.html` and `report.pdf` of a run from its executed notebooks, records and states.

    Args:
        settings: of the run.
        force: build even when nothing has changed.

    Returns:
        The two files.

    Raises:
        LabError: a results or status file is unreadable, or the disk is full.
    """
    folder = settings.report_folder
    html, pdf, stamp = folder / "report.html", folder / "report.pdf", folder / "report.json"
    key = content_key(settings)
    if not force and _is_built(html, pdf, stamp, key):
        return html, pdf
    subtitle, chapters = settings.title or settings.name, read_chapters(settings)
    front = _front(settings, chapters, key)
    chapters.append(references_chapter(records.reported("references")))
    records.write_atomic(html, to_html.render(TITLE, subtitle, front, chapters))
    records.write_atomic(pdf, to_pdf.render(TITLE, subtitle, front, chapters))
    records.write_json(stamp, {"key": key, "html": records.file_hash(html), "pdf": records.file_hash(pdf)})
    return html, pdf


def content_key(settings: Settings) -> str:
    """Hash of all that the report is made from: notebooks without their time stamps, records, states, our own code."""
    notebooks = [_notebook_content(path) for path in _files(settings.report_folder / "notebooks", "*.ipynb")]
    states = [records.read_json(path) for path in _files(settings.run_folder / "status", "*.json")]
    results = [records.read_json(path) for path in _files(settings.report_folder / "results", "*.json")]
    files = [records.file_hash(path) for path in (*_files(TEMPLATES, "*"), *_files(REPORTED, "*.csv"))]
    code = stamps.modules_of(["import lab_utils.report.build"], records.PROJECT / "lab_utils")
    return records.content_hash([settings, _manifest(settings), notebooks, states, results, files, code])


def read_chapters(settings: Settings) -> list[Chapter]:
    """All chapters of the lab in reading order, whatever state they are in."""
    return [_read(settings, name) for name in sorted(chapter.name for chapter in CHAPTERS)]


def _read(settings: Settings, name: str) -> Chapter:
    status = settings.run_folder / "status" / f"{name}.json"
    notebook = _notebook(settings.report_folder / "notebooks" / f"{name}.ipynb")
    return read_chapter(name, notebook, records.read_json(status) if status.is_file() else {})


def _front(settings: Settings, chapters: list[Chapter], key: str) -> list[Part]:
    """The first page, then what chapters tagged `front-matter` (errata and ledger), then provenance."""
    results = {path.stem: records.read_json(path) for path in _files(settings.report_folder / "results", "*.json")}
    moved = [part for chapter in chapters for part in chapter.parts if part.front and part.kind != "code"]
    for chapter in chapters:
        chapter.parts = [part for part in chapter.parts if not part.front or part.kind == "code"]
    first = front_parts(settings, _manifest(settings), results, chapters)
    if not any(part.kind == "table" for part in moved):  # chapter 14 was not run, or failed before it came to them
        moved = errata_parts(results)
    return [*first, *moved, *provenance_parts(settings, results, key)]


def _is_built(html: Path, pdf: Path, stamp: Path, key: str) -> bool:
    if not (html.is_file() and pdf.is_file() and stamp.is_file()):
        return False
    built = records.read_json(stamp)
    return built == {"key": key, "html": records.file_hash(html), "pdf": records.file_hash(pdf)}


def _notebook(path: Path) -> nbformat.NotebookNode | None:
    """The executed notebook, or None where there is none or it was cut off while being written."""
    try:
        return nbformat.read(path, as_version=4)
    except (FileNotFoundError, ValueError, nbformat.reader.NotJSONError):
        return None


def _notebook_content(path: Path) -> list[Any]:
    notebook = _notebook(path)
    cells = notebook.cells if notebook else []
    return [path.stem, *([cell.cell_type, cell.source, cell.get("outputs", [])] for cell in cells)]


def _manifest(settings: Settings) -> dict[str, Any]:
    path = settings.run_folder / "data.json"
    return records.read_json(path) if path.is_file() else {}


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file()) if folder.is_dir() else []
