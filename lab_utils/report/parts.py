"""An executed notebook as a list of parts (text, code, figures, tables, verdicts ...) that HTML and PDF render alike.

All forms number from this list, so that Figure 4.2 is the same figure in all of them. Nothing here writes to the disk.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from lab_utils.core import escape, records
from lab_utils.report.tables import with_minus

NUMBERED = {"figure": "Figure", "table": "Table"}
STORY, FIRST, WORDS, LISTING = "story", "story-first", "story-words", "listing"  # a cell's tags (report/README.md)
_VERDICT = re.compile(r"\*\*(supported|contradicted|tie|not testable)\b[^*]*\*\*", re.IGNORECASE)
_NOTEBOOK_LINK = re.compile(r"(?:\./)?(\d\d)_\w+\.ipynb(?:#[^\s)\"']*)?")
_PROGRESS = re.compile(r"^  (epoch|download|step|activations)\b.*\n?", re.MULTILINE)  # for whoever waits
_NOT_BEGUN = re.compile(r"^Not yet: put your answer in place of the three dots\. ?(.*)$", re.MULTILINE)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_OUR_TABLE = re.compile(r'<table[^>]*class="[^"]*\b(lab-table|dataframe)\b')


@dataclass
class Part:
    """One piece of a chapter.

    Attributes:
        kind: markdown, code, text, figure, table, library, sentence, verdict, decision, error or box.
        text: markdown, code or plain text.
        data: MIME bundle of a figure or table.
        caption: of a figure or table, plain text.
        alt: content of a figure in words.
        label: short name that other text refers to.
        number: "4.2", where it is numbered.
        style: verdict of a verdict; "failed", "quiet" or "first" of a box; "whole" of a table with all its rows.
        fold: starts closed in a chapter's page.
        cell: number of the code cell it came from.
        story: belongs to the report, not only to the chapter's page.
    """

    kind: str
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    caption: str = ""
    alt: str = ""
    label: str = ""
    number: str = ""
    style: str = ""
    fold: bool = False
    cell: int = 0
    story: bool = False

    @property
    def name(self) -> str:
        """What a reader calls it: `Figure 4.2`."""
        return f"{NUMBERED[self.kind]} {self.number}" if self.number else ""

    @property
    def anchor(self) -> str:
        """Where links to it lead."""
        return f"{self.kind}-{self.number.replace('.', '-')}" if self.number else ""


@dataclass
class Chapter:
    """One chapter.

    Attributes:
        name: of the notebook.
        title: with its number, as in the notebook's first heading.
        state: ok, failed, running, not run, waiting, out of date or missing.
        seconds: it took.
        parts: in reading order.
        finished: when it was executed, in ISO's form; empty where that is not known.
    """

    name: str
    title: str
    state: str = "missing"
    seconds: float | None = None
    parts: list[Part] = field(default_factory=list)
    finished: str = ""

    @property
    def number(self) -> str:
        """Two digits, or empty for a section that is no notebook."""
        return self.name[:2] if self.name[:2].isdigit() else ""

    @property
    def anchor(self) -> str:
        """Where links to it lead."""
        return f"chapter-{self.number}" if self.number else self.name

    @property
    def is_empty(self) -> bool:
        """Whether all it has to show is a box that says why it was not run."""
        return all(part.kind == "box" for part in self.parts)


# ---- reading ---------------------------------------------------------------------------------------------------------
def read_chapter(
    name: str,
    notebook: nbformat.NotebookNode | None,
    status: Mapping[str, Any],
    source: nbformat.NotebookNode | None = None,
) -> Chapter:
    """Make a chapter from its executed notebook and its status.

    Args:
        name: of the notebook, `NN_words`.
        notebook: as executed, complete or not; None where there is none.
        status: `{state, seconds, error: {heading, cell, name, message, hint}}`, empty where the chapter was never run.
        source: the notebook as it is stored now. Its title stands where nothing was executed, and its cells' tags count
            beside those of the executed cells of the same id, so that a new tag needs no new run.
    """
    state = status.get("state", "missing" if notebook is None else "ok")
    chapter = Chapter(name, _stored_title(name, source), state, status.get("seconds"))
    if notebook is not None and state not in ("waiting", "running"):
        chapter.parts = _number(notebook_parts(notebook, _tags(source)), int(name[:2]))
        chapter.title = _take_title(chapter.parts) or chapter.title
        chapter.finished = str(notebook.metadata.get("papermill", {}).get("end_time") or "")
    if state != "ok":
        chapter.parts.insert(0, _box(state, name, status.get("error") or {}))
    return chapter


def _tags(source: nbformat.NotebookNode | None) -> dict[str, set[str]]:
    cells = source.cells if source is not None else []
    return {cell.get("id", ""): set(cell.metadata.get("tags", [])) for cell in cells}


def notebook_parts(notebook: nbformat.NotebookNode, stored: Mapping[str, set[str]] | None = None) -> list[Part]:
    """Parts of a notebook in order; progress bars and captions shown for JupyterLab are left out.

    Args:
        notebook: as executed.
        stored: tags by cell id of the notebook as it is stored now.
    """
    parts: list[Part] = []
    number = 0
    for cell in (cell for cell in notebook.cells if not _is_dropped(cell, notebook.cells)):
        tags = set(cell.metadata.get("tags", [])) | (stored or {}).get(cell.get("id", ""), set())
        if cell.cell_type == "markdown" and cell.source.strip():
            parts.append(Part("markdown", cell.source, story=STORY in tags))
        elif cell.cell_type == "code" and cell.source.strip():
            number += 1
            outputs = _output_parts(cell.get("outputs", []), number)
            _mark(outputs, tags)
            parts += [Part("code", cell.source, cell=number, story=LISTING in tags), *outputs]
    return parts


def _mark(outputs: list[Part], tags: set[str]) -> None:
    """Mark the outputs that belong to the story: all, the first figure and table with all words, or the words alone."""
    seen: set[str] = set()
    for part in outputs:
        pictured = part.kind in NUMBERED
        part.story = STORY in tags or bool(tags & {FIRST, WORDS} and not pictured)
        part.story |= FIRST in tags and pictured and part.kind not in seen
        seen.add(part.kind)


def _is_dropped(cell: nbformat.NotebookNode, cells: list[nbformat.NotebookNode]) -> bool:
    tags = cell.metadata.get("tags", [])
    injected = any("injected-parameters" in other.metadata.get("tags", []) for other in cells)
    return any(tag.startswith("papermill-error") for tag in tags) or ("parameters" in tags and injected)


def _output_parts(outputs: list[Any], cell: int) -> list[Part]:
    parts: list[Part] = []
    for part in filter(None, map(_output_part, outputs)):
        part.cell = cell
        if parts and part.kind == parts[-1].kind == "text":
            parts[-1].text += part.text
        else:
            parts.append(part)
    return parts


def _output_part(output: Any) -> Part | None:
    if output.output_type == "stream":
        text = _PROGRESS.sub("", _clean(output.text)) if output.name == "stdout" else ""
        text = _NOT_BEGUN.sub(lambda match: f"Hint: {match[1]}" if match[1] else "", text)
        return Part("text", text) if text.strip() else None
    if output.output_type == "error":
        return Part("error", f"{output.ename}: {_clean(output.evalue)}")
    return _display_part(dict(output.data), dict(output.get("metadata", {}).get("lab", {})))


def _display_part(data: dict[str, Any], about: dict[str, Any]) -> Part | None:
    kind = about.get("kind", "")
    if kind == "caption":
        return None
    more = {key: about[key] for key in ("caption", "alt", "label", "fold") if about.get(key)}
    if kind in ("figure", "table", "library"):
        return Part(kind, data=data, **more)
    text = text_of(data.get("text/markdown") or data.get("text/latex") or "")
    if text:
        verdict = _VERDICT.search(text) if kind == "verdict" else None
        kind = kind if kind in ("verdict", "decision") else "sentence"
        return Part(kind, with_minus(text), style=verdict[1].lower() if verdict else "")
    if any(mime.startswith("image/") for mime in data):
        return Part("figure", data=data, **more)
    if _OUR_TABLE.search(text_of(data.get("text/html", ""))):
        return Part("table", data=data)
    plain = _clean(text_of(data.get("text/plain", "")))
    return Part("text", plain) if plain.strip() else None


def text_of(value: Any) -> str:
    """Text of a notebook's field, which may be a list of lines."""
    return "".join(value) if isinstance(value, list) else str(value)


def _clean(text: str) -> str:
    """Text without colours, and of a line that was overwritten only its last state."""
    lines = _ANSI.sub("", text_of(text)).split("\n")
    return "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)


def _number(parts: list[Part], chapter: int) -> list[Part]:
    counts = dict.fromkeys(NUMBERED, 0)
    for part in parts:
        if part.kind in NUMBERED and part.caption:
            counts[part.kind] += 1
            part.number = f"{chapter}.{counts[part.kind]}"
    return parts


# ---- headings --------------------------------------------------------------------------------------------------------
_TITLE = re.compile(r"^# +(.+)$", re.MULTILINE)
_FENCE = re.compile(r"^(?:```|~~~).*?^(?:```|~~~)\s*$", re.MULTILINE | re.DOTALL)
_NO_HEADING = re.compile(r"^(#{1,6})(?=[^#\s])", re.MULTILINE)


def readable_markdown(text: str) -> str:
    """Markdown in which a paragraph that begins with `#9` is no heading (nbconvert takes it for one)."""
    pieces, end = [], 0
    for fence in _FENCE.finditer(text):
        pieces += [_NO_HEADING.sub(r"\\\1", text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, _NO_HEADING.sub(r"\\\1", text[end:])])


def _stored_title(name: str, source: nbformat.NotebookNode | None) -> str:
    """The first heading of the notebook as it is stored; made of its name where it is not there."""
    for cell in source.cells if source is not None else []:
        if cell.cell_type == "markdown" and (match := _TITLE.search(cell.source)):
            return match[1].strip()
    words = name[3:].replace("_", " ")
    return f"{int(name[:2])} {words[:1].upper()}{words[1:]}"


def _take_title(parts: list[Part]) -> str:
    """Take the first `# ` heading out of the parts, and lower any further ones."""
    title = ""
    for part in (part for part in parts if part.kind == "markdown"):
        if not title and (match := _TITLE.search(part.text)):
            title = match[1].strip()
            part.text = part.text.replace(match[0], "", 1).lstrip("\n")
        part.text = re.sub(r"^# +", "## ", part.text, flags=re.MULTILINE) if title else part.text
    return title


# ---- boxes -----------------------------------------------------------------------------------------------------------
def _box(state: str, name: str, error: Mapping[str, Any]) -> Part:
    """The box over a chapter that did not run to its end."""
    command = f"./run_all.sh --only {name[:2]}"
    message = escape.markdown(_clean(str(error.get("message", ""))))
    if state == "failed":
        heading = f" under “{escape.markdown(error['heading'])}”" if error.get("heading") else ""
        where = f"cell {error['cell']}" if error.get("cell") else "an unknown cell"
        text = (
            f"**This chapter failed** in {where}{heading}.\n\n{_quoted(error)}\n\n"
            f"{_hint(error)} Run it again with `{command}`."
        )
        return Part("box", text, style="failed")
    sentence = {
        "not run": f"**Not run on this data.** {message}",
        "waiting": f"**Not run.** {message or 'It waits for a chapter that failed.'}",
        "out of date": f"**Out of date.** {message}",
        "running": "**Running now.** This page is written when the chapter is done.",
    }.get(state, f"**Not run yet.** `{command}` runs it.")
    return Part("box", sentence.strip(), style="quiet")


def _hint(error: Mapping[str, Any]) -> str:
    """What to do, with the command that opens the notebook as code."""
    hint = str(error.get("hint") or "")
    command = re.match(r"^(?:(.*) )?Open it by: ([^`]+)$", hint)
    if command is None:
        return escape.markdown(hint)
    return " ".join(filter(None, [escape.markdown(command[1] or ""), f"Open it by: `{command[2]}`."]))


def _quoted(error: Mapping[str, Any]) -> str:
    name, message = error.get("name", ""), _clean(str(error.get("message", "")))
    lines = f"{name}: {message}".strip(": ").splitlines() or ["no message"]
    return "\n".join(f"> {escape.markdown(line)}" for line in lines[:12])


# ---- links -----------------------------------------------------------------------------------------------------------
def chapter_number(target: str) -> str:
    """Number of the chapter that a link (`05_classification.ipynb`) leads to; empty where it leads elsewhere."""
    match = _NOTEBOOK_LINK.fullmatch(target)
    return match[1] if match else ""


def labelled(chapters: list[Chapter]) -> dict[str, tuple[Chapter, Part]]:
    """Figures and tables by their labels, and by chapter and label (`06-curves`), since labels may recur."""
    return {
        label: (chapter, part)
        for chapter in chapters
        for part in chapter.parts
        if part.label and part.number
        for label in (part.label, f"{chapter.number}-{part.label}")
    }


# ---- records ---------------------------------------------------------------------------------------------------------
def entries(results: Mapping[str, Mapping[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Records of one kind over all chapters in reading order, each with its chapter.

    Args:
        results: content of the results files by chapter.
        kind: of the records.
    """
    return [
        {**entry, "chapter": name}
        for name, content in sorted(results.items())
        for entry in content.get("records", [])
        if entry.get("kind") == kind
    ]


def results_of(folder: Path, chapters: Iterable[Chapter]) -> dict[str, dict[str, Any]]:
    """Records by chapter, of those whose numbers are of this run as it is now.

    Args:
        folder: the run's report folder.
        chapters: of the run.
    """
    names = [chapter.name for chapter in chapters if chapter.state not in ("waiting", "out of date")]
    there = {name: records.read_json(folder / "results" / f"{name}.json", {}) for name in sorted(names)}
    return {name: content for name, content in there.items() if content}
