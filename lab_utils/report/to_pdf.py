"""Chapters of parts → one PDF, by pandoc (Markdown to Typst) and Typst, both from pip.

Pandoc converts all Markdown in one call, in which every other part is a placeholder; the Typst of figures, tables and
boxes is written here and put in afterwards. The same parts give the same bytes.
"""

import functools
import json
import re
import tempfile
from pathlib import Path

from lab_utils.core.errors import LabError
from lab_utils.report.parts import (
    Cell,
    Chapter,
    Grid,
    Part,
    link_to_anchor,
    parse_table,
    references,
    static_picture,
    text_of,
)

TEMPLATE = Path(__file__).parent / "templates" / "report" / "report.typ"
TEXT_WIDTH = {False: 170.0, True: 257.0}  # millimetres of a line on upright and turned A4
TEXT_HEIGHT = 225.0  # millimetres: no figure is higher
SIZES = (9.0, 8.0, 7.0, 6.2, 5.6)  # points, tried in this order for a table
# whether the page is turned, how many lines a short cell may take (0: any number), smallest size: tried in this order
_TRIALS = ((False, 1, 7.0), (False, 2, 6.2), (True, 2, 5.6), (False, 0, 5.6), (True, 0, 5.6))
_EM = 0.5 * 0.3528  # average width of a letter, in millimetres a point of size
_GUTTER = 3.0  # millimetres left and right of a cell's text, together
_MARKDOWN = (
    "markdown-smart-auto_identifiers-raw_tex-raw_attribute-citations-implicit_figures+lists_without_preceding_blankline"
)
_PLACEHOLDER = re.compile(r"LABPART(\d{6})END")


def render(title: str, subtitle: str, front: list[Part], chapters: list[Chapter]) -> bytes:
    """The whole report as PDF.

    Args:
        title: of the report.
        subtitle: what the data are.
        front: parts of the first page.
        chapters: in reading order.

    Raises:
        LabError: Typst refuses the document (the sentence has its message).
    """
    import typst

    with tempfile.TemporaryDirectory() as folder:
        source = _Writer(Path(folder), references([*chapters, Chapter("", "", parts=front)])).document(
            title, subtitle, front, chapters
        )
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


def printable(text: str) -> str:
    """Text with every sign that no font of the PDF has written as its code point, `‹U+4E2D›`."""
    return "".join(
        sign if sign in "\n\t" or ord(sign) in _signs() else f"‹U+{ord(sign):04X}›" for sign in text if sign != "\ufe0f"
    )


def quoted(text: str) -> str:
    """Text as a Typst string; long words of code and names may break after `_`, `/`, `.` and the like."""
    return json.dumps(breakable(printable(text)), ensure_ascii=False)


def breakable(text: str, longest: int = 14) -> str:
    """Text in which words longer than `longest` may break after `_`, `/`, `.`, `=`, `,` and between camelCase."""
    return " ".join(
        re.sub(r"([_/.=,:])(?=\w)", "\\1\u200b", word) if len(word) > longest else word for word in text.split(" ")
    )


# ---- tables ----------------------------------------------------------------------------------------------------------
def table_layout(grid: Grid) -> tuple[float, list[float], bool]:
    """Choose text size, column widths and orientation so that a table is not cut and its cells take few lines.

    Args:
        grid: of the table.

    Returns:
        Size in points, width of each column's text in millimetres, and whether the page is turned.
    """
    columns = [list(column) for column in zip(*grid.rows, strict=True)]
    natural = [max(len(cell.text) for cell in column) for column in columns]
    for turned, lines, smallest in _TRIALS:
        least = [_letters(column, grid.heads, lines) for column in columns]
        room = TEXT_WIDTH[turned] - _GUTTER * len(columns)
        for size in (size for size in SIZES if size >= smallest):
            widths = [count * _EM * size + 1 for count in least]
            if sum(widths) <= room:
                return size, _shares(widths, [count * _EM * size + 1 for count in natural], room), turned
    return SIZES[-1], _shares([1.0] * len(columns), [float(count) for count in natural], room), True


def _letters(column: list[Cell], heads: int, lines: int) -> float:
    """Letters a column needs: for its longest word, short cells in so many lines, sentences in a readable width."""
    word = max((len(part) for cell in column for part in re.split("[ \u200b\n]", breakable(cell.text))), default=1)
    longest = max((len(cell.text) for cell in column[heads:]), default=1)
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

    def __init__(self, folder: Path, labels: dict[str, Part]):
        self.folder, self.labels = folder, labels
        self.typst: list[str] = []
        self.anchors: set[str] = set()
        self.pictures = 0

    def document(self, title: str, subtitle: str, front: list[Part], chapters: list[Chapter]) -> str:
        """Typst source of the report; pictures are written beside it."""
        pieces = [self.part(part) for part in front if part.kind != "code"]
        pieces = [self.raw("#show: front-page"), *pieces, self.raw("#contents")]
        for chapter in chapters:
            function = "empty-chapter" if chapter.is_empty else "chapter"
            pieces += [self.raw(f"#{function}[{_text(chapter.title)}] <{chapter.anchor}>")]
            pieces += [self.part(part) for part in chapter.parts if part.kind not in ("code", "library")]
        pieces += [self.raw("#show: appendix"), *(self.raw(_code(chapter)) for chapter in chapters)]
        body = self.drop_broken_links(self.convert("\n\n".join(pieces)), chapters)
        note = "‹U+" in body
        names = f"#let report-title = {quoted(title)}\n#let report-subtitle = {quoted(subtitle)}\n"
        settings = f"{names}#let has-foreign-signs = {str(note).lower()}\n"
        return f"{settings}{TEMPLATE.read_text(encoding='utf-8')}\n{body}"

    def raw(self, typst: str) -> str:
        """Keep a piece of Typst and return the paragraph that stands for it in the Markdown."""
        self.typst.append(typst)
        return f"LABPART{len(self.typst) - 1:06d}END"

    def convert(self, markdown: str) -> str:
        """Markdown with placeholders → Typst."""
        import pypandoc

        typst = pypandoc.convert_text(printable(markdown), "typst", format=_MARKDOWN, extra_args=["--wrap=none"])
        return _PLACEHOLDER.sub(lambda match: self.typst[int(match[1])], typst)

    def markdown(self, text: str) -> str:
        """Markdown of a notebook with its links turned and without pictures, which would be files elsewhere."""
        text = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"*\1*", text)
        return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", self._link, text)

    def _link(self, match: re.Match[str]) -> str:
        target = link_to_anchor(match[2])
        part = self.labels.get(target.removeprefix("#"))
        return f"[{part.name}](#{part.anchor})" if part else f"[{match[1]}]({target})"

    def part(self, part: Part) -> str:
        """A part as Markdown, with placeholders for what is Typst."""
        if part.kind == "markdown":
            return self.markdown(part.text)
        if part.kind in ("sentence", "verdict", "decision", "box"):
            style = part.style if part.kind in ("verdict", "box") else part.kind
            opening = self.raw(f'#panel("{style or part.kind}")[')
            return f"{opening}\n\n{self.markdown(part.text)}\n\n{self.raw(']')}"
        if part.kind == "figure":
            return self.raw(self.figure(part))
        if part.kind == "table":
            return self.raw(self.table(part))
        return self.raw(f"#printed({quoted(part.text)}, error: {str(part.kind == 'error').lower()})")

    def figure(self, part: Part) -> str:
        """A figure's static picture with caption; one that has none is named."""
        drawn = static_picture(part)
        if drawn is None:
            return f"#printed({quoted('(interactive figure: see the HTML report)')}, error: false)"
        self.pictures += 1
        name = f"picture-{self.pictures}.{drawn.mime.removeprefix('image/').removesuffix('+xml')}"
        (self.folder / name).write_bytes(drawn.content)
        width = min(drawn.width * 25.4, TEXT_WIDTH[False], TEXT_HEIGHT * drawn.width / drawn.height)
        alt = quoted(part.alt or part.caption or "figure")
        return f'#numbered-figure({self.head(part)}, "{name}", {alt}, {width:.1f}mm)'

    def head(self, part: Part) -> str:
        """Anchor, name and caption as arguments of a Typst function."""
        self.anchors.add(part.anchor)
        ended = part.caption.rstrip()
        ended += "" if not ended or ended.endswith((".", "!", "?")) else "."
        return f'"{part.anchor}", {quoted(part.name)}, {quoted(ended)}'

    def table(self, part: Part) -> str:
        """A table in its own text size, on a turned page where it needs one."""
        grid = parse_table(text_of(part.data.get("text/html", "")))
        if not grid.rows:
            return ""
        self._name_references(grid)
        size, widths, turned = table_layout(grid)
        sides = ", ".join("right" if cell.right else "left" for cell in grid.rows[-1])
        columns = ", ".join(f"{width + _GUTTER:.1f}mm" for width in widths)
        head = "".join(self._cell(cell) for row in grid.rows[: grid.heads] for cell in row)
        rows = "\n".join("".join(self._cell(cell) for cell in row) for row in grid.rows[grid.heads :])
        function = "turned-table" if turned else "numbered-table"
        return f"#{function}({self.head(part)}, {size}pt, ({columns},), ({sides},), ({head}),\n({rows}))"

    def drop_broken_links(self, typst: str, chapters: list[Chapter]) -> str:
        """Links whose target is not in the document keep their text only; Typst would refuse them."""
        defined = self.anchors | {chapter.anchor for chapter in chapters}
        return re.sub(
            r"#link\(<([^>]+)>\)", lambda match: match[0] if match[1] in defined else "#text(fill: ink)", typst
        )

    def _name_references(self, grid: Grid) -> None:
        """Give cells that refer to a figure or table the length of what will be printed there."""
        for cell in (cell for row in grid.rows for cell in row):
            if part := self.labels.get(cell.href.removeprefix("#")):
                cell.text = f"{part.name}, p. 00"

    def _cell(self, cell: Cell) -> str:
        target = link_to_anchor(cell.href)
        if part := self.labels.get(target.removeprefix("#")):
            return f"[#link(<{part.anchor}>)[{part.name}, p.~#page-of(<{part.anchor}>)]], "
        text = f"[{_text(cell.text)}]"
        if target.startswith("#"):
            return f"[#link(<{target[1:]}>){text}], "
        return f"[#link({quoted(target)}){text}], " if target else f"{text}, "


def _text(text: str) -> str:
    """Plain text as Typst content."""
    return f"#{quoted(text)}"


def _code(chapter: Chapter) -> str:
    cells = [part for part in chapter.parts if part.kind == "code"]
    if not cells:
        return ""
    listed = "\n".join(f"#code-cell({part.cell}, {quoted_code(part.text)})" for part in cells)
    return f"#code-heading[{_text(chapter.title)}]\n{listed}"


def quoted_code(text: str) -> str:
    """Code as a Typst string, as it is but for signs that no font has."""
    return json.dumps(printable(text), ensure_ascii=False)
