"""The report's parts → one PDF, by pandoc (Markdown to Typst) and Typst, both from pip.

Pandoc converts all Markdown in one call, in which every other part is a placeholder; the Typst of figures, tables and
boxes is written here and put in afterwards. The same parts give the same bytes.
"""

import dataclasses
import functools
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from lab_utils.core import escape
from lab_utils.core.errors import LabError
from lab_utils.report import pictures
from lab_utils.report.ledger import VERDICTS
from lab_utils.report.parts import Chapter, Part, chapter_number, readable_markdown, text_of
from lab_utils.report.tables import MOST_ROWS, Cell, Grid, parse, tidy
from lab_utils.report.to_html import sentence_end

TEMPLATE = Path(__file__).parent / "templates" / "report" / "report.typ"
TEXT_WIDTH = 170.0  # millimetres of a line on A4
TEXT_HEIGHT = 225.0  # millimetres: no figure is higher
SIZES = (8.5, 8.0)  # points, tried in this order for a table
FIGURE = 0.9  # of a figure's size on paper, so that more of them share a page
FLOATING = 50.0  # millimetres of height from which on a figure may wait for the next page while text goes on
_EM = 0.5 * 0.3528  # average width of a letter, in millimetres a point of size
_GUTTER = 2.6  # millimetres left and right of a cell's text, together
_MARKDOWN = (
    "markdown-smart-auto_identifiers-raw_tex-raw_html-native_divs-native_spans-raw_attribute-citations"
    "-implicit_figures-fancy_lists-example_lists+lists_without_preceding_blankline"
)
_PAGE = ",\u00a0p.\u00a000"
_PLACEHOLDER = re.compile(r"LABPART(\d{6})END")
_GOES_ON = re.compile(r"(?<!\\)\](?=\.\w|\(|\[)")  # pandoc's `#strong[init].py`, which Typst takes for a field
_HEADING = re.compile(r"#{2,6} .+")
_FOREIGN = re.compile(r"‹[^›]*›")


@dataclasses.dataclass(frozen=True)
class Head:
    """What stands over the first page.

    Attributes:
        title: of the report.
        subtitle: what the data are.
        line: course and date.
    """

    title: str
    subtitle: str
    line: str = ""


def render(
    head: Head,
    front: list[Part],
    index: list[Part],
    chapters: list[Chapter],
    labels: Mapping[str, tuple[Chapter, Part]] | None = None,
) -> bytes:
    """The whole report as PDF.

    Args:
        head: title and what belongs to it.
        front: parts of the first page.
        index: parts after the contents.
        chapters: in reading order.
        labels: figures and tables that text may refer to, by label.

    Raises:
        LabError: Typst refuses the document (the sentence has its message).
    """
    import typst

    with tempfile.TemporaryDirectory() as folder:
        source = _Writer(Path(folder), labels or {}).document(head, front, index, chapters)
        (Path(folder) / "report.typ").write_text(source, encoding="utf-8")
        try:
            return typst.compile(
                Path(folder) / "report.typ",
                root=folder,
                font_paths=[_font_folder()],
                ignore_system_fonts=True,
                timestamp=0,
            )
        except typst.TypstError as error:
            raise LabError(f"The PDF could not be made; Typst says: {error}. The HTML report is complete.") from error


# ---- signs -----------------------------------------------------------------------------------------------------------
def _font_folder() -> Path:
    """Folder of matplotlib's DejaVu fonts, which have the signs that Typst's own text font lacks."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@functools.cache
def _signs() -> frozenset[int]:
    """Code points that the PDF can show."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(_font_folder() / "DejaVuSans.ttf")).get_charmap())


def printable(text: str, escaped: Callable[[object], str] = str) -> str:
    """Text in which runs of signs that no font of the PDF has stand in Latin letters: `漢字` becomes `‹HanZi›`.

    Args:
        text: any text.
        escaped: makes the letters safe for the medium that the text is in.
    """
    known, pieces, run = _signs(), [], ""
    for sign in [*text, ""]:
        if sign and sign not in "\n\t\u200b\ufe0f" and ord(sign) not in known:
            run += sign
            continue
        if run:
            pieces.append(f"‹{escaped(_latin(run))}›")
            run = ""
        pieces.append("" if sign == "\ufe0f" else sign)
    return "".join(pieces)


def _latin(text: str) -> str:
    """Signs of other scripts in Latin letters, or their code points where nothing is known of them."""
    from anyascii import anyascii

    return " ".join(anyascii(text).replace("‹", "").split()) or " ".join(f"U+{ord(sign):04X}" for sign in text)


def quoted(text: str) -> str:
    """Text as a Typst string; long words of code and names may break after `_`, `/`, `.` and the like."""
    return escape.typst(breakable(printable(text)))


def breakable(text: str, longest: int = 12) -> str:
    """Text in which words longer than `longest` may break after `_`, `/`, `-` and the like, and between camelCase."""
    return " ".join(
        re.sub(r"([_/.=,:-])(?=\w)|(?<=[a-z])()(?=[A-Z])", "\\1\u200b", word) if len(word) > longest else word
        for word in text.split(" ")
    )


# ---- tables ----------------------------------------------------------------------------------------------------------
def table_layout(grid: Grid) -> tuple[float, list[float]] | None:
    """Text size and column widths of a table, so that it fits the page and its cells take few lines.

    Args:
        grid: of the table.

    Returns:
        Size in points, and the width of each column's text in millimetres; None where it has too many columns.
    """
    columns = grid.columns
    natural = [max(_length(cell) for cell in column) for column in columns]
    room = TEXT_WIDTH - _GUTTER * len(columns)
    for lines in (1, 2, 3, 0):  # how many lines a short cell may take (0: any number)
        least = [_letters(column, grid.heads, lines) for column in columns]
        for size in SIZES:
            widths = [count * _EM * size + 0.8 for count in least]
            if sum(widths) <= room:
                return size, _shares(widths, [count * _EM * size + 0.8 for count in natural], room)
    return None


def stacked(grid: Grid) -> list[tuple[Grid, float, list[float]]]:
    """The table in as many pieces of columns as it takes to fit the page, each with its size and widths.

    The first column leads each piece.
    """
    first, columns = grid.columns[0], grid.columns[1:]
    for many in range(1, max(len(columns), 1) + 1):
        share = -(-len(columns) // many)
        groups = [columns[place : place + share] for place in range(0, len(columns), share or 1)] or [[]]
        pieces = [Grid([list(row) for row in zip(first, *group, strict=True)], grid.heads) for group in groups]
        layouts = [table_layout(piece) for piece in pieces]
        if None not in layouts:
            break
    widest = TEXT_WIDTH - 2 * _GUTTER
    return [(piece, *(layout or (SIZES[-1], [widest / 2] * 2))) for piece, layout in zip(pieces, layouts, strict=True)]


def _length(cell: Cell) -> int:
    return max(len(cell.text), len(cell.below))


def _letters(column: list[Cell], heads: int, lines: int) -> float:
    """Letters a column needs: for its longest word, short cells in so many lines, sentences in a readable width."""
    texts = [
        text for cell in column for text in (cell.text, cell.below if not lines else cell.below.replace(" ", "\u00a0"))
    ]
    word = max((len(part) for text in texts for part in re.split("[ \u200b\n]", breakable(text))), default=1)
    longest = max((_length(cell) for cell in column[heads:]), default=1)
    if not lines:
        return word
    return max(word, longest / lines + 2 * (lines > 1) if longest <= 40 else 24)


def _shares(least: list[float], natural: list[float], room: float) -> list[float]:
    """Give each column its least width and share what is left by what it still wants; fill no more than needed."""
    wanted = [max(want - need, 0) for want, need in zip(natural, least, strict=True)]
    spare = max(room - sum(least), 0)
    factor = min(1.0, spare / sum(wanted)) if sum(wanted) else 0.0
    widths = [need + factor * want for need, want in zip(least, wanted, strict=True)]
    too_wide = sum(widths) / room
    return [width / max(too_wide, 1) for width in widths]


class _Writer:
    """Collects the Typst of all parts that are not Markdown, and the pictures they use."""

    def __init__(self, folder: Path, labels: Mapping[str, tuple[Chapter, Part]]):
        self.folder, self.labels = folder, labels
        self.typst: list[str] = []
        self.anchors: set[str] = set()
        self.pictures = self.floats = 0
        self.paged = True

    def document(self, head: Head, front: list[Part], index: list[Part], chapters: list[Chapter]) -> str:
        """Typst source of the report; pictures are written beside it."""
        self.anchors |= {chapter.anchor for chapter in chapters}
        self.anchors |= {part.anchor for chapter in chapters for part in chapter.parts if part.anchor}
        pieces = [self.raw("#show: front-page"), *map(self.part, front), self.raw("#contents"), *map(self.part, index)]
        for chapter in chapters:
            function = "empty-chapter" if chapter.is_empty else "chapter"
            title = printable(re.sub(r"[`*]", "", chapter.title))
            pieces += [self.raw(f"#{function}[#{quoted(title)}] <{chapter.anchor}>")]
            small = chapter.name == "references"
            pieces += [*([self.raw("#small-print[")] if small else []), *self.parts(chapter.parts)]
            pieces += [self.raw("]")] if small else []
        body = self.drop_broken_links(self.convert("\n\n".join(filter(None, pieces))))
        foreign = any(_FOREIGN.search(text) for text in (body, head.title, head.subtitle, head.line))
        names = "".join(
            f"#let report-{name} = {quoted(value)}\n"
            for name, value in (
                ("title", head.title),
                ("subtitle", head.subtitle),
                ("short", head.subtitle.partition(" (")[0].removeprefix("a ")),
                ("line", head.line),
            )
        )
        settings = f"{names}#let has-foreign-signs = {str(foreign).lower()}\n"
        return f"{settings}{TEMPLATE.read_text(encoding='utf-8')}\n{body}"

    def raw(self, typst: str) -> str:
        """Keep a piece of Typst and return the paragraph that stands for it in the Markdown."""
        self.typst.append(typst)
        return f"LABPART{len(self.typst) - 1:06d}END"

    def convert(self, markdown: str) -> str:
        """Markdown with placeholders → Typst."""
        import pypandoc

        text = printable(markdown, escape.markdown)
        typst = pypandoc.convert_text(text, "typst", format=_MARKDOWN, extra_args=["--wrap=none"])
        ended = _GOES_ON.sub("];", typst)
        return _PLACEHOLDER.sub(lambda match: self.typst[int(match[1])], ended)

    def markdown(self, text: str) -> str:
        """Markdown of a notebook with its links turned and without pictures, which would be files elsewhere."""
        text = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"*\1*", readable_markdown(text))
        return re.sub(r"(?<![!\\])\[((?:[^\]\\]|\\.)*)\]\(([^)\s]+)\)", self._link, text)

    def _link(self, match: re.Match[str]) -> str:
        number = chapter_number(match[2])
        if number:
            return f"[{match[1]}](#chapter-{number})"
        target = match[2].removeprefix("#")
        if target in self.labels:
            part = self.labels[target][1]
            return f"[{part.name}](#{part.anchor})" if part.anchor in self.anchors else part.name
        return match[0] if re.match(r"https?://|mailto:|#", match[2]) else match[1]

    def parts(self, parts: list[Part]) -> list[str]:
        """Parts as Markdown. A large figure that the page has no room for may let the text behind it go first.

        One that follows its heading doesn't: the heading would be left alone.
        """
        pieces: list[str] = []
        for place, part in enumerate(parts):
            headed = place == 0 or _HEADING.fullmatch(parts[place - 1].text.strip()) is not None
            if part.kind == "figure" and not headed and self.height(part) >= FLOATING:
                self.floats += 1
                pieces += [self.raw(f'#floated("float-{self.floats}")['), self.part(part), self.raw("]")]
            else:
                pieces.append(self.part(part))
        return pieces

    def height(self, part: Part) -> float:
        """Height of a figure in the PDF, in millimetres."""
        drawn = pictures.printed(part)
        return 0.0 if drawn is None else self.width(drawn) * drawn.height / drawn.width

    def width(self, drawn: pictures.StaticPicture) -> float:
        """Width of a picture in the PDF, in millimetres."""
        return min(FIGURE * drawn.width * 25.4, TEXT_WIDTH, TEXT_HEIGHT * drawn.width / drawn.height)

    def part(self, part: Part) -> str:
        """A part as Markdown, with placeholders for what is Typst."""
        if part.kind == "markdown":
            return self.markdown(part.text)
        if part.kind in ("sentence", "verdict", "decision", "box"):
            style = part.style if part.kind in ("verdict", "box") else part.kind
            opening = self.raw(f"#panel({escape.typst(style or part.kind)})[")
            return f"{opening}\n\n{self.markdown(part.text)}\n\n{self.raw(']')}"
        if part.kind == "figure":
            return self.raw(self.figure(part))
        if part.kind == "table":
            return self.raw(self.table(part))
        if part.kind == "code":
            return self.raw(f"#listing({escape.typst(printable(part.text))})")
        return self.raw(f"#printed({quoted(part.text)}, error: {str(part.kind == 'error').lower()})")

    def figure(self, part: Part) -> str:
        """A figure's static picture with caption; one that has none is named."""
        drawn = pictures.printed(part)
        if drawn is None:
            return f"#printed({quoted('(figure without a picture: see the chapter’s page)')}, error: false)"
        self.pictures += 1
        name = f"picture-{self.pictures}.{drawn.mime.removeprefix('image/').removesuffix('+xml')}"
        (self.folder / name).write_bytes(drawn.content)
        width = self.width(drawn)
        alt = quoted(part.alt or part.caption or "figure")
        more = " Upper part; the chapter's page has the whole." if drawn.cut else ""
        return f'#numbered-figure({self.head(part, more)}, "{name}", {alt}, {width:.1f}mm)'

    def head(self, part: Part, more: str = "") -> str:
        """Anchor, name and caption as arguments of a Typst function."""
        return f'"{part.anchor}", {quoted(part.name)}, {quoted(sentence_end(part.caption) + more)}'

    def table(self, part: Part) -> str:
        """A table in its own text size."""
        most = None if part.style == "whole" else MOST_ROWS
        grid = tidy(parse(text_of(part.data.get("text/html", ""))), most)
        if not grid.rows:
            return ""
        self.paged = part.style != "whole"  # pages of the ledger's chapters stand in the contents
        for cell in (cell for row in grid.rows for cell in row):
            cell.text = self._linked_text(cell)
        more = f" {grid.left_out:,} more rows: in the chapter's page." if grid.left_out else ""
        pieces = ", ".join(self._lined(*piece) for piece in stacked(self._as_long(grid)))
        counted = dataclasses.replace(part, caption=grid.counted(part.caption))
        return f"#numbered-table({self.head(counted, more)}, ({pieces},))"

    def _lined(self, grid: Grid, size: float, widths: list[float]) -> str:
        """One piece of a table as a Typst dictionary."""
        sides = ", ".join("right" if cell.right else "left" for cell in grid.rows[-1])
        columns = ", ".join(f"{width + _GUTTER:.1f}mm" for width in widths)
        head = "".join(self._cell(cell) for row in grid.rows[: grid.heads] for cell in row)
        rows = "\n".join("".join(self._cell(cell) for cell in row) for row in grid.rows[grid.heads :])
        return f"(size: {size}pt, columns: ({columns},), sides: ({sides},), head: ({head}), rows: (\n{rows}))"

    def drop_broken_links(self, typst: str) -> str:
        """Links whose target is not in the document keep their text only; Typst would refuse them."""
        return re.sub(
            r"#link\(<([^>]+)>\)",
            lambda match: match[0] if match[1] in self.anchors else "#text(fill: ink)",
            typst,
        )

    def _linked_text(self, cell: Cell) -> str:
        """A cell's text: that of a link to a figure is its name."""
        labelled = self.labels.get(cell.href.removeprefix("#")) if cell.href else None
        return (labelled[1].name if labelled else cell.text).replace(" ", "\u00a0" if cell.href else " ")

    def _as_long(self, grid: Grid) -> Grid:
        """The table with links as long as they are printed, page number included."""

        def longer(cell: Cell) -> Cell:
            inside = self.paged and self._target(cell)[:1] == "<"
            return dataclasses.replace(cell, text=cell.text + _PAGE) if inside else cell

        return Grid([[longer(cell) for cell in row] for row in grid.rows], grid.heads)

    def _cell(self, cell: Cell) -> str:
        text = quoted(cell.text.removesuffix(_PAGE))
        target = self._target(cell)
        if target[:1] == "<":
            page = f",~p.~#page-of({target})" if self.paged else ""
            return f"[#link({target})[#{text}{page}]], "
        if target:
            return f"[#link({target})[#{text}]], "
        if cell.text in VERDICTS:
            return f"[#verdict-word({text})], "
        below = f"#below({quoted(cell.below)})" if cell.below else ""
        return f"[#{text}{below}], "

    def _target(self, cell: Cell) -> str:
        """Where a cell leads, as an argument of Typst's `link`; empty where it leads nowhere."""
        if not cell.href:
            return ""
        number = chapter_number(cell.href)
        name = cell.href.removeprefix("#")
        anchor = f"chapter-{number}" if number else self.labels[name][1].anchor if name in self.labels else name
        if anchor in self.anchors:
            return f"<{anchor}>"
        return quoted(cell.href) if re.match(r"https?://", cell.href) else ""
