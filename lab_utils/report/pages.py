"""The pages of a run beside its report: one for each chapter in full, and the index with the state of all.

A chapter's page is written as soon as the chapter is done, so that the first can be read while the rest still runs.
"""

from pathlib import Path
from typing import Any

import nbformat

from lab_utils.core import records
from lab_utils.core.chapters import CHAPTERS
from lab_utils.core.profiles import Settings
from lab_utils.report import to_html
from lab_utils.report.parts import Chapter, Part, labelled, read_chapter, text_of
from lab_utils.report.to_html import Places

TITLE = "Transfer learning on MAMe"
STATES = {
    "ok": "done",
    "running": "running now",
    "failed": "FAILED",
    "not run": "not run on this data",
    "waiting": "not run: waits for a failed chapter",
    "out of date": "out of date: its numbers are from before",
    "missing": "not run yet",
}
REFRESH = 20  # seconds after which a page of an unfinished run loads itself again
LIBRARY = "plotly.min.js"


def write_chapter(settings: Settings, name: str) -> Path:
    """Write the page of one chapter as it stands, and the index; the page's file is returned.

    Args:
        settings: of the run.
        name: of the chapter, `NN_words`.

    Raises:
        LabError: a status file is unreadable, or the disk is full.
    """
    chapters = read_chapters(settings)
    place = [chapter.name for chapter in chapters].index(name)
    path = _write_page(settings, chapters, place)
    write_index(settings, chapters)
    return path


def write_chapters(settings: Settings, chapters: list[Chapter]) -> None:
    """Write the pages of all chapters, and the index."""
    for place in range(len(chapters)):
        _write_page(settings, chapters, place)
    write_index(settings, chapters)


def write_index(settings: Settings, chapters: list[Chapter] | None = None) -> Path:
    """Write `index.html` of a run, with the state of each chapter, and a page for each chapter that has none yet.

    Args:
        settings: of the run.
        chapters: of the run, where they are read already.
    """
    chapters = chapters or _states(settings)
    for place, chapter in enumerate(chapters):
        if not page_of(settings, chapter.name).is_file():
            _write_page(settings, chapters, place)
    has_report = (settings.report_folder / "report.html").is_file()
    done = sum(chapter.state == "ok" for chapter in chapters)
    unfinished = not has_report or any(chapter.state == "running" for chapter in chapters)
    html = to_html.render(
        "index.html.j2",
        Places(names=_names(chapters), folder="chapters/"),
        title=TITLE,
        subtitle=settings.title or settings.name,
        chapters=chapters,
        states=STATES,
        has_report=has_report,
        done=done,
        refresh=REFRESH if unfinished else 0,
    )
    return records.write_atomic(settings.report_folder / "index.html", html)


def page_of(settings: Settings, name: str) -> Path:
    """File of a chapter's page."""
    return settings.report_folder / "chapters" / f"{name}.html"


# ---- reading ---------------------------------------------------------------------------------------------------------
def read_chapters(settings: Settings) -> list[Chapter]:
    """All chapters of the lab in reading order, whatever state they are in."""
    return [_read(settings, name) for name in sorted(chapter.name for chapter in CHAPTERS)]


def _states(settings: Settings) -> list[Chapter]:
    """The chapters with titles and states alone, which is quick."""
    return [_read(settings, name, executed=False) for name in sorted(chapter.name for chapter in CHAPTERS)]


def _read(settings: Settings, name: str, executed: bool = True) -> Chapter:
    known = records.read_json(settings.run_folder / "status" / f"{name}.json", {})
    notebook = read_notebook(settings.report_folder / "notebooks" / f"{name}.ipynb") if executed else None
    return read_chapter(name, notebook, known, read_notebook(records.PROJECT / "notebooks" / f"{name}.ipynb"))


def read_notebook(path: Path) -> nbformat.NotebookNode | None:
    """A notebook, or None where there is none or it was cut off while being written."""
    try:
        return nbformat.read(path, as_version=4)
    except (FileNotFoundError, ValueError, nbformat.reader.NotJSONError):
        return None


# ---- writing ---------------------------------------------------------------------------------------------------------
def _names(chapters: list[Chapter]) -> dict[str, str]:
    return {chapter.number: chapter.name for chapter in chapters if chapter.number}


def _write_page(settings: Settings, chapters: list[Chapter], place: int) -> Path:
    chapter = chapters[place]
    own = frozenset(part.anchor for part in chapter.parts if part.anchor)
    libraries = _libraries(settings, chapter.parts)
    html = to_html.render(
        "chapter.html.j2",
        Places(labelled(chapters), _names(chapters), own),
        level=0,
        chapter=chapter,
        before=chapters[place - 1] if place else None,
        after=chapters[place + 1] if place + 1 < len(chapters) else None,
        subtitle=settings.title or settings.name,
        libraries=libraries,
        has_code=any(part.kind == "code" for part in chapter.parts),
        refresh=REFRESH if chapter.state in ("running", "missing") else 0,
    )
    path = page_of(settings, chapter.name)
    if not path.is_file() or path.read_text(encoding="utf-8") != html:
        records.write_atomic(path, html)
    return path


def _libraries(settings: Settings, parts: list[Part]) -> list[dict[str, str]]:
    """What interactive figures share: plotly in a file beside the pages, and outputs of kind `library`, each once."""
    shared = dict.fromkeys(text_of(part.data.get("text/html", "")) for part in parts if part.kind == "library")
    own: list[dict[str, Any]] = [{"html": text} for text in shared if "plotly.js v" not in text]
    figures = (text_of(part.data.get("text/html", "")) for part in parts if part.kind == "figure")
    if any("Plotly" in text for text in figures):
        _write_library(settings.report_folder / "chapters" / LIBRARY)
        own.insert(0, {"source": LIBRARY})
    return own


def _write_library(path: Path) -> None:
    import plotly

    mark = f"/* plotly {plotly.__version__} for the pages of this folder */\n"
    if path.is_file() and path.open(encoding="utf-8").readline() == mark:
        return
    from plotly.offline import get_plotlyjs

    records.write_atomic(path, mark + get_plotlyjs())
