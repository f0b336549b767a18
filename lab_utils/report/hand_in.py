"""All of a run in one file to hand in, with a sheet for whoever grades it.

The sheet tells what a student did: cells that differ from the notebooks as they were given out, bets against what came
out, and exercises that are right or not yet. It judges nothing else.
"""

import csv
import io
import re
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import nbformat

from lab_utils.core import records
from lab_utils.core.chapters import CHAPTERS
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import Settings
from lab_utils.report import pages, to_html
from lab_utils.report.parts import entries, results_of, text_of
from lab_utils.report.to_html import Places

RIGHT, NOT_YET, NOT_RUN = "right", "not yet", "not run"
_EXERCISE = re.compile(r"^\*\*(\d+\. .+?)\*\*", re.MULTILINE)
_ANSWER = re.compile(r"^(Right|Not yet)\b", re.MULTILINE)
_OWN = ("report.html", "report.pdf", "index.html")


@dataclass(frozen=True)
class Row:
    """One line of the grading sheet.

    Attributes:
        chapter: number of the notebook.
        kind: exercise, bet or cell.
        what: its title, or the first line of the cell.
        state: right, not yet, not run; hit, missed; changed, added or removed.
    """

    chapter: str
    kind: str
    what: str
    state: str


def hand_in(settings: Settings, student: str = "", given_out: str | None = None) -> Path:
    """Write `<run>.zip` beside the report: report, chapters' pages, records, notebooks and the grading sheet.

    Args:
        settings: of the run.
        student: whose work it is.
        given_out: revision of git that holds the notebooks as they were given out; default what was cloned.

    Returns:
        The zip file.

    Raises:
        LabError: the report is not there yet, or the disk is full.
    """
    folder = settings.report_folder
    if not (folder / "report.html").is_file():
        raise LabError(f"{folder / 'report.html'} is missing: run ./run_all.sh to its end before --zip.")
    rows = grading(settings, given_out)
    target = folder / f"{settings.name}.zip"
    with records.atomic_path(target) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for source, name in _files(folder):
            archive.write(source, f"{settings.name}/{name}")
        archive.writestr(f"{settings.name}/grading.html", as_html(settings, student, rows))
        archive.writestr(f"{settings.name}/grading.csv", as_csv(settings, student, rows))
    return target


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files to hand in, with their names in the archive."""
    for name in _OWN:
        if (folder / name).is_file():
            yield folder / name, name
    for kind, pattern in (("chapters", "*"), ("results", "*.json"), ("notebooks", "*.ipynb")):
        yield from ((path, f"{kind}/{path.name}") for path in sorted((folder / kind).glob(pattern)))
    stored = sorted((records.PROJECT / "notebooks").glob("*.ipynb"))
    yield from ((path, f"notebooks as saved/{path.name}") for path in stored)


# ---- what a student did ----------------------------------------------------------------------------------------------
def grading(settings: Settings, given_out: str | None = None) -> list[Row]:
    """Exercises, bets and changed cells of all chapters.

    Args:
        settings: of the run.
        given_out: revision of git that holds the notebooks as they were given out; default what was cloned.
    """
    revision = given_out or _cloned()
    rows: list[Row] = []
    for name in sorted(chapter.name for chapter in CHAPTERS):
        saved = pages.read_notebook(records.PROJECT / "notebooks" / f"{name}.ipynb")
        executed = pages.read_notebook(settings.report_folder / "notebooks" / f"{name}.ipynb")
        rows += exercises(name[:2], saved, executed)
        rows += changes(name[:2], _given(name, revision), saved)
    return [*rows, *_bets(settings)]


def exercises(number: str, saved: nbformat.NotebookNode | None, executed: nbformat.NotebookNode | None) -> list[Row]:
    """State of each exercise of a chapter: right where it is so in the saved or in the executed notebook.

    Args:
        number: of the chapter.
        saved: the notebook as the student saved it.
        executed: the notebook as the run executed it.
    """
    outputs = {cell.get("id"): _answers(cell) for cell in (executed.cells if executed else [])}
    rows, title = [], ""
    for cell in (saved or executed).cells if saved or executed else []:
        if cell.cell_type == "markdown":
            titles = _EXERCISE.findall(cell.source)
            title = titles[-1] if titles else title
        elif "exercises.check(" in cell.source:
            answers = [*_answers(cell), *outputs.get(cell.get("id"), [])]
            state = RIGHT if "Right" in answers else NOT_YET if answers else NOT_RUN
            rows.append(Row(number, "exercise", title.rstrip("."), state))
    return rows


def _answers(cell: nbformat.NotebookNode) -> list[str]:
    texts = (text_of(output.get("text", "")) for output in cell.get("outputs", []) if output.output_type == "stream")
    return [answer for text in texts for answer in _ANSWER.findall(text)]


def changes(number: str, given: nbformat.NotebookNode | None, saved: nbformat.NotebookNode | None) -> list[Row]:
    """Code cells that differ from the notebook as it was given out.

    Args:
        number: of the chapter.
        given: the notebook as it was given out; None where that is not known.
        saved: the notebook as the student saved it.
    """
    if given is None or saved is None:
        return []
    before, after = (
        {cell.get("id"): cell.source for cell in notebook.cells if cell.cell_type == "code"}
        for notebook in (given, saved)
    )
    rows = [Row(number, "cell", _first_line(text), "removed") for id, text in before.items() if id not in after]
    for id, text in after.items():
        if before.get(id) != text and text.strip():
            rows.append(Row(number, "cell", _first_line(text), "changed" if id in before else "added"))
    return rows


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:80]


def _bets(settings: Settings) -> list[Row]:
    """Records of kind `bet`: what was bet (`value`), what came out (`outcome`), and whether it was met (`hit`)."""
    rows = []
    for entry in entries(results_of(settings.report_folder, pages.read_chapters(settings)), "bet"):
        what = f"{entry['id']}: {entry['value']}, came out {entry.get('outcome', 'not known')}"
        rows.append(Row(entry["chapter"][:2], "bet", what, "hit" if entry.get("hit") else "missed"))
    return rows


def _cloned() -> str:
    """The revision that was cloned: that of the remote branch where there is one, else the last one."""
    return "origin/HEAD" if _git("rev-parse", "--verify", "--quiet", "origin/HEAD") else "HEAD"


def _given(name: str, revision: str) -> nbformat.NotebookNode | None:
    text = _git("show", f"{revision}:notebooks/{name}.ipynb")
    return nbformat.reads(text, as_version=4) if text else None


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=records.PROJECT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout


# ---- the sheet -------------------------------------------------------------------------------------------------------
def as_csv(settings: Settings, student: str, rows: list[Row]) -> str:
    """The sheet for a spreadsheet: student, run, chapter, kind, what and state of each line."""
    buffer = io.StringIO()
    table = csv.writer(buffer)
    table.writerow(["student", "run", *(field.name for field in fields(Row))])
    for row in rows:
        table.writerow([_harmless(text) for text in (student, settings.name, *astuple(row))])
    return buffer.getvalue()


def _harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def as_html(settings: Settings, student: str, rows: list[Row]) -> str:
    """The sheet as a page."""
    return to_html.render(
        "grading.html.j2",
        Places(names={name[:2]: name for name in (chapter.name for chapter in CHAPTERS)}, folder="chapters/"),
        title=pages.TITLE,
        subtitle=settings.title or settings.name,
        student=student,
        counts=_counts(rows),
        rows=rows,
        compared=bool(_git("rev-parse", "--verify", "--quiet", "HEAD")),
    )


def _counts(rows: list[Row]) -> dict[str, Any]:
    done = [row for row in rows if row.kind == "exercise"]
    bets = [row for row in rows if row.kind == "bet"]
    return {
        "exercises right": f"{sum(row.state == RIGHT for row in done)} of {len(done)}",
        "bets met": f"{sum(row.state == 'hit' for row in bets)} of {len(bets)}" if bets else "none was recorded",
        "cells that differ from the notebooks given out": sum(row.kind == "cell" for row in rows),
    }
