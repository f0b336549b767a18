"""An executed notebook as a list of parts (text, code, figures, tables, verdicts ...) that HTML and PDF render alike.

Both forms number from this list, so that Figure 4.2 is the same figure in both. Nothing here touches the disk.
"""

import base64
import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import nbformat

from lab_utils.core import records
from lab_utils.display.style import DPI

NUMBERED = {"figure": "Figure", "table": "Table"}
FRONT_TAG = "front-matter"
_VERDICT = re.compile(r"\*\*(supported|contradicted|tie|not testable)\*\*", re.IGNORECASE)
_NOTEBOOK_LINK = re.compile(r"(?:\./)?(\d\d)_\w+\.ipynb(?:#[^\s)\"']*)?")
_UNITS = re.compile(r"(?<=\d) (?=%)|(?<=\bn) (?==)|(?<=\bn =) (?=\d)|(?<=\d) (?=points)")  # no line ends there
_PROGRESS = re.compile(
    r"^  (epoch|download|step|activations)\b.*\n?", re.MULTILINE
)  # for whoever waits, not for readers
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Part:
    """One piece of a chapter.

    Attributes:
        kind: markdown, code, text, figure, table, interactive, library, sentence, verdict, decision, error or box.
        text: markdown, code or plain text.
        data: MIME bundle of a figure or table.
        caption: of a figure or table, plain text.
        alt: content of a figure in words.
        label: short name that other text refers to.
        number: "4.2", where it is numbered.
        style: verdict of a verdict; "failed" or "quiet" of a box.
        fold: starts closed in the HTML.
        cell: number of the code cell it came from.
        front: belongs to the front of the report.
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
    front: bool = False

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
    """One chapter of the report.

    Attributes:
        name: of the notebook.
        title: with its number, as in the notebook's first heading.
        state: ok, failed, not run, waiting, out of date or missing.
        seconds: it took.
        parts: in reading order.
        message: why it failed or was not run.
    """

    name: str
    title: str
    state: str = "missing"
    seconds: float | None = None
    parts: list[Part] = field(default_factory=list)
    message: str = ""

    @property
    def anchor(self) -> str:
        """Where links to it lead."""
        return f"chapter-{self.name[:2]}" if self.name[:2].isdigit() else self.name

    @property
    def is_empty(self) -> bool:
        """Whether all it has to show is a box that says why it was not run."""
        return all(part.kind == "box" for part in self.parts)

    @property
    def sections(self) -> list[str]:
        """Second-level headings."""
        texts = (part.text for part in self.parts if part.kind == "markdown")
        return [match[1].strip() for text in texts for match in re.finditer(r"^## +(.+?) *#*$", text, re.MULTILINE)]


def read_chapter(name: str, notebook: nbformat.NotebookNode | None, status: dict[str, Any]) -> Chapter:
    """Make a chapter from its executed notebook and its status.

    Args:
        name: of the notebook, `NN_words`.
        notebook: as executed, complete or not; None where there is none.
        status: `{state, seconds, error: {heading, cell, name, message, hint}}`, empty where the chapter was never run.
    """
    state = status.get("state", "missing" if notebook is None else "ok")
    one = Chapter(name, _default_title(name), state, status.get("seconds"))
    error = status.get("error") or {}
    one.message = str(error.get("message", ""))
    if notebook is not None and state != "waiting":
        one.parts = _number(notebook_parts(notebook), int(name[:2]))
        one.title = _take_title(one.parts) or one.title
    if state != "ok":
        one.parts.insert(0, _box(state, name, error))
    return one


def notebook_parts(notebook: nbformat.NotebookNode) -> list[Part]:
    """Parts of a notebook in order; progress bars and captions shown for JupyterLab are left out."""
    parts: list[Part] = []
    cells = [cell for cell in notebook.cells if not _is_dropped(cell, notebook.cells)]
    number = 0
    for cell in cells:
        made: list[Part] = []
        if cell.cell_type == "markdown" and cell.source.strip():
            made = [Part("markdown", cell.source)]
        elif cell.cell_type == "code" and cell.source.strip():
            number += 1
            made = [Part("code", cell.source, cell=number), *_output_parts(cell.get("outputs", []), number)]
        front = FRONT_TAG in cell.metadata.get("tags", [])
        parts += [part for part in made if _set_front(part, front)]
    return parts


def _set_front(part: Part, front: bool) -> Part:
    part.front = front
    return part


def _is_dropped(cell: nbformat.NotebookNode, cells: list[nbformat.NotebookNode]) -> bool:
    tags = cell.metadata.get("tags", [])
    injected = any("injected-parameters" in other.metadata.get("tags", []) for other in cells)
    return any(tag.startswith("papermill-error") for tag in tags) or ("parameters" in tags and injected)


def _output_parts(outputs: list[Any], cell: int) -> list[Part]:
    parts: list[Part] = []
    for output in outputs:
        part = _output_part(output)
        if part is None:
            continue
        part.cell = cell
        if part.kind == parts[-1].kind == "text" if parts else False:
            parts[-1].text += part.text
        else:
            parts.append(part)
    return parts


def _output_part(output: Any) -> Part | None:
    if output.output_type == "stream":
        text = _PROGRESS.sub("", _clean(output.text)) if output.name == "stdout" else ""
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
        found = _VERDICT.search(text) if kind == "verdict" else None
        return Part(
            kind if kind in ("verdict", "decision") else "sentence", text, style=found[1].lower() if found else ""
        )
    if any(mime.startswith("image/") for mime in data):
        return Part("figure", data=data, **more)
    if "<table" in text_of(data.get("text/html", "")):
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


_HEADING = re.compile(r"^# +(.+)$", re.MULTILINE)


def _default_title(name: str) -> str:
    """The first heading of the notebook as it is written; made of its name where it is not there."""
    source = records.PROJECT / "notebooks" / f"{name}.ipynb"
    if source.is_file():
        for cell in nbformat.read(source, as_version=4).cells:
            if cell.cell_type == "markdown" and (match := _HEADING.search(cell.source)):
                return match[1].strip()
    words = name[3:].replace("_", " ")
    return f"{int(name[:2])} {words[:1].upper()}{words[1:]}"


def _take_title(parts: list[Part]) -> str:
    """Take the first `# ` heading out of the parts, and lower any further ones."""
    title = ""
    for part in parts:
        if part.kind != "markdown":
            continue
        if not title and (match := _HEADING.search(part.text)):
            title = match[1].strip()
            part.text = part.text.replace(match[0], "", 1).lstrip("\n")
        part.text = re.sub(r"^# +", "## ", part.text, flags=re.MULTILINE) if title else part.text
    return title


def _box(state: str, name: str, error: dict[str, Any]) -> Part:
    """The box over a chapter that did not run to its end."""
    command = f"./run_all.sh --only {name[:2]}"
    if state == "failed":
        heading = f" under “{error['heading']}”" if error.get("heading") else ""
        where = f"cell {error['cell']}" if error.get("cell") else "an unknown cell"
        text = (
            f"**This chapter failed** in {where}{heading}.\n\n{_quoted(error)}\n\n"
            f"{_hint(error)} Run it again with `{command}`."
        )
        return Part("box", text, style="failed")
    sentence = {
        "not run": f"**Not run on this data.** {error.get('message', '')}",
        "waiting": f"**Not run.** {error.get('message') or 'It waits for a chapter that failed.'}",
        "out of date": f"**Out of date.** {error.get('message', '')}",
    }.get(state, f"**Not run yet.** `{command}` runs it.")
    return Part("box", sentence.strip(), style="quiet")


def _hint(error: dict[str, Any]) -> str:
    """What to do, with the command that opens the notebook as code."""
    return re.sub(r"^(Open it by|.* Open it by): ([^`]+)$", r"\1 `\2`.", error.get("hint") or "")


def _quoted(error: dict[str, Any]) -> str:
    name, message = error.get("name", ""), _clean(str(error.get("message", "")))
    lines = f"{name}: {message}".strip(": ").splitlines() or ["no message"]
    return "\n".join(f"> {line}" for line in lines[:12])


# ---- links -----------------------------------------------------------------------------------------------------------
def link_to_anchor(text: str) -> str:
    """Links to notebooks (`05_classification.ipynb`), turned into links to the chapters of the report."""
    return _NOTEBOOK_LINK.sub(lambda match: f"#chapter-{match[1]}", text)


def references(chapters: list[Chapter]) -> dict[str, Part]:
    """Figures and tables by their labels, and by chapter and label (`06-curves`), since labels may recur."""
    return {
        label: part
        for chapter in chapters
        for part in chapter.parts
        if part.label and part.number
        for label in (part.label, f"{chapter.name[:2]}-{part.label}")
    }


# ---- pictures --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Picture:
    """The static picture of a figure: its kind, bytes, and size in inches on paper."""

    mime: str
    content: bytes
    width: float
    height: float


def static_picture(part: Part) -> Picture | None:
    """The picture of a figure: vector before raster; None where it has none."""
    if "image/svg+xml" in part.data:
        text = text_of(part.data["image/svg+xml"])
        box = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', text)
        width, height = (float(box[1]), float(box[2])) if box else (480.0, 300.0)
        return Picture("image/svg+xml", text[max(text.find("<svg"), 0) :].encode(), width / 72, height / 72)
    for mime in ("image/jpeg", "image/png"):
        if mime in part.data:
            from PIL import Image

            content = base64.b64decode(text_of(part.data[mime]))
            width, height = Image.open(io.BytesIO(content)).size
            return Picture(mime, content, width / DPI, height / DPI)
    return None


# ---- tables ----------------------------------------------------------------------------------------------------------
@dataclass
class Cell:
    """One cell of a table: its text, side and where it leads."""

    text: str = ""
    right: bool = False
    href: str = ""


@dataclass
class Grid:
    """A table as rows of cells; the first `heads` rows are its head."""

    rows: list[list[Cell]] = field(default_factory=list)
    heads: int = 0


class _TableParser(HTMLParser):
    """Reads the first table of a piece of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.grid, self.open, self.head = Grid(), False, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        if tag == "thead":
            self.head = True
        elif tag == "tr":
            self.grid.rows.append([])
            self.grid.heads += self.head
        elif tag in ("td", "th") and self.grid.rows:
            self.open = True
            style = (about.get("style") or "").replace(" ", "")
            self.grid.rows[-1].append(Cell(right="text-align:right" in style))
        elif tag == "a" and self.open:
            self.grid.rows[-1][-1].href = about.get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        self.open = self.open and tag not in ("td", "th")
        self.head = self.head and tag != "thead"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.grid.rows[-1][-1].text += data


def parse_table(html: str) -> Grid:
    """Rows and cells of an HTML table; short rows are filled up, so that every row has as many cells."""
    parser = _TableParser()
    parser.feed(html.split("</table>")[0])
    grid = parser.grid
    grid.rows = [row for row in grid.rows if row]
    for cell in (cell for row in grid.rows for cell in row):
        cell.text = _UNITS.sub("\u00a0", cell.text)
    grid.heads = min(grid.heads, len(grid.rows))
    columns = max((len(row) for row in grid.rows), default=0)
    grid.rows = [row + [Cell() for _ in range(columns - len(row))] for row in grid.rows]
    return grid


# ---- records ---------------------------------------------------------------------------------------------------------
def verdict_counts(results: dict[str, dict[str, Any]]) -> dict[str, int]:
    """How many claims got each verdict, over the records of all chapters."""
    counts = dict.fromkeys(("supported", "contradicted", "tie", "not testable"), 0)
    for entry in entries(results, "verdict"):
        verdict = records.plain(entry["value"]).get("verdict") if isinstance(entry["value"], dict) else None
        counts[verdict] = counts.get(verdict, 0) + 1
    return {verdict: count for verdict, count in counts.items() if verdict and count}


def entries(results: dict[str, dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Records of one kind over all chapters in reading order, each with its chapter."""
    return [
        {**entry, "chapter": name}
        for name, content in sorted(results.items())
        for entry in content.get("records", [])
        if entry.get("kind") == kind
    ]
