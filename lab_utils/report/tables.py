"""Tables of notebooks as rows of cells, made fit to read: intervals apart, decimals alike, not too many rows."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

MOST_ROWS = 40  # of a table in the report; a chapter's page has them all
_MANY = 7  # columns from which on an interval stands under its value and not beside it
_UNITS = re.compile(r"(?<=\d) (?=%)|(?<=\bn) (?==)|(?<=\bn =) (?=\d)|(?<=\d) (?=points)")  # no line ends there
_HYPHEN = re.compile(r"(?<![\w.,)\]-])-(?=\d)")
_NUMBER = r"[-+−]?[\d,]*\.?\d+"
_QUANTITY = re.compile(
    rf"(?P<value>{_NUMBER})(?P<unit>[^\d(]*?) \((?P<low>{_NUMBER}) to (?P<high>{_NUMBER})(?:, n = (?P<n>[\d,]+))?\)"
)
_TIE = re.compile(rf"a tie \((?P<value>{_NUMBER}) points, (?P<low>{_NUMBER}) to (?P<high>{_NUMBER})\)")
_CLEAR = re.compile(
    rf"(?P<word>better|worse) by (?P<value>{_NUMBER}) points \((?P<low>{_NUMBER}) to (?P<high>{_NUMBER})\)"
)
_EMPTY = ("", "–", "-")
_SHORT = 10  # letters of a word (`not run`) that may stand among numbers


@dataclass
class Cell:
    """One cell of a table: its text, what stands small beneath it, its side and where it leads."""

    text: str = ""
    right: bool = False
    href: str = ""
    below: str = ""


@dataclass
class Grid:
    """A table as rows of cells.

    Attributes:
        rows: cells; all rows are of one length.
        heads: how many rows are its head.
        left_out: rows that are not shown here.
        counts: how many images (n) a column's quantities are of, where all its rows share it, by its heading.
    """

    rows: list[list[Cell]] = field(default_factory=list)
    heads: int = 0
    left_out: int = 0
    counts: dict[str, str] = field(default_factory=dict)

    def counted(self, caption: str) -> str:
        """The caption with n, said once for all columns that share it."""
        heads: dict[str, list[str]] = {}
        for head, n in self.counts.items():
            heads.setdefault(n, []).append(head)
        alone = len(heads) == 1
        new = {n: names for n, names in heads.items() if not re.search(rf"\bn\s=\s{n}\b", caption)}
        told = ", ".join(n if alone else f"{n} ({', '.join(names)})" for n, names in new.items())
        ended = caption if not caption or caption.endswith((".", "!", "?")) else f"{caption}."
        return f"{ended} n = {told}".strip() if told else caption

    @property
    def columns(self) -> list[list[Cell]]:
        """The cells by column."""
        return [list(column) for column in zip(*self.rows, strict=True)]


class _Parser(HTMLParser):
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


def parse(html: str) -> Grid:
    """Rows and cells of an HTML table; short rows are filled up, so that every row has as many cells."""
    parser = _Parser()
    parser.feed(html.split("</table>")[0])
    grid = parser.grid
    grid.rows = [row for row in grid.rows if row]
    grid.heads = min(grid.heads, len(grid.rows))
    columns = max((len(row) for row in grid.rows), default=0)
    grid.rows = [row + [Cell() for _ in range(columns - len(row))] for row in grid.rows]
    return grid


def tidy(grid: Grid, most: int | None = None) -> Grid:
    """The table as it is shown.

    Numbers with an interval are split into value and interval (and n, where it differs by row), columns of numbers get
    one number of decimals, the heading `index` goes.

    Args:
        grid: of the table; it is not changed.
        most: rows that are shown at most; None shows all.
    """
    body = grid.rows[grid.heads :]
    shown = Grid([[Cell(**vars(cell)) for cell in row] for row in grid.rows], grid.heads)
    if most is not None and len(body) > most:
        shown.left_out = len(body) - most
        del shown.rows[grid.heads + most :]
    if not shown.rows:
        return shown
    for row in shown.rows[: shown.heads]:
        for cell in row:
            cell.text = "" if cell.text == "index" else cell.text
    quantities = [_quantities(column[shown.heads :]) for column in shown.columns]
    beside = len(shown.rows[0]) + sum(map(bool, quantities)) <= _MANY
    columns: list[list[Cell]] = []
    for column, quantity in zip(shown.columns, quantities, strict=True):
        if quantity and (n := _common(quantity, "n")) and shown.heads:
            shown.counts[column[shown.heads - 1].text] = n
        columns += _split(column, quantity, shown.heads, beside) if quantity else [column]
    for column in columns:
        _same_decimals(column[shown.heads :])
        numbers = [_number(cell.text) for cell in column[shown.heads :] if cell.text.strip() not in _EMPTY]
        if numbers and None not in numbers:
            for cell in column:
                cell.right = True
    shown.rows = [list(row) for row in zip(*columns, strict=True)]
    for cell in (cell for row in shown.rows for cell in row):
        cell.text = with_minus(_UNITS.sub("\u00a0", cell.text))
    return shown


# ---- intervals -------------------------------------------------------------------------------------------------------
def _quantities(cells: list[Cell]) -> list[dict[str, str] | None]:
    """Value, unit, interval and n of each cell of a column of quantities, None where a cell is empty or a short word.

    Nothing where the column holds no quantity, or other things beside them.
    """
    quantities = [_quantity(cell.text.strip()) for cell in cells]
    units = {quantity["unit"] for quantity in quantities if quantity and quantity["low"]}
    if len(units) != 1:
        return []
    unit = units.pop()
    for place, cell in enumerate(cells):
        bare = re.fullmatch(rf"({_NUMBER})\s*{re.escape(unit)}", cell.text.strip())
        if quantities[place] is None and bare and unit:
            quantities[place] = {"value": bare[1], "unit": unit, "low": "", "high": "", "n": "", "word": ""}
    others = (cell.text for cell, quantity in zip(cells, quantities, strict=True) if quantity is None)
    return [] if any(len(text) > _SHORT for text in others) else quantities


def _quantity(text: str) -> dict[str, str] | None:
    if match := _TIE.fullmatch(text):
        return {**match.groupdict(), "unit": "points", "n": "", "word": "tie"}
    if match := _CLEAR.fullmatch(text):
        difference = {**match.groupdict(), "unit": "points", "n": "", "word": ""}
        sign = "+" if match["word"] == "better" else "-"
        low, high = (match["low"], match["high"]) if sign == "+" else (match["high"], match["low"])
        return difference | {"value": sign + match["value"], "low": sign + low, "high": sign + high}
    match = _QUANTITY.fullmatch(text)
    return None if match is None else {**match.groupdict(""), "unit": match["unit"].strip(), "word": ""}


def _split(column: list[Cell], quantities: list[dict[str, str] | None], heads: int, beside: bool) -> list[list[Cell]]:
    """A column of quantities as a column of values with their intervals beside or beneath, and one of n if it varies.

    An n that all rows share is for the caption.
    """
    unit = next(quantity["unit"] for quantity in quantities if quantity)
    head = _heading(column[heads - 1].text if heads else "", unit)
    values = [
        *_heads(heads, head),
        *(_value(cell, quantity) for cell, quantity in zip(column[heads:], quantities, strict=True)),
    ]
    columns = [values]
    if beside:
        intervals = [Cell(cell.below, right=True) for cell in values]
        columns.append([*_heads(heads, "95 % interval"), *intervals[heads:]])
        for cell in values:
            cell.below = ""
    if any(quantity and quantity["n"] for quantity in quantities) and not _common(quantities, "n"):
        columns.append(
            [*_heads(heads, "n"), *(Cell(quantity["n"] if quantity else "", right=True) for quantity in quantities)]
        )
    return columns


def _heads(heads: int, text: str) -> list[Cell]:
    return [Cell(text if row == heads - 1 else "", right=True) for row in range(heads)]


def _heading(text: str, unit: str) -> str:
    return f"{text} ({unit})" if unit and unit not in text else text


def _common(quantities: list[dict[str, str] | None], key: str) -> str:
    """What all quantities that say it share; empty where they differ."""
    told = {quantity[key] for quantity in quantities if quantity and quantity[key]}
    return told.pop() if len(told) == 1 else ""


def _value(cell: Cell, quantity: dict[str, str] | None) -> Cell:
    if quantity is None:
        return Cell(cell.text, right=True)
    tie = f" {quantity['word']}" if quantity["word"] else ""
    interval = _range(quantity["low"], quantity["high"]) if quantity["low"] else ""
    return Cell(with_minus(quantity["value"]) + tie, True, cell.href, interval)


def _range(low: str, high: str) -> str:
    """`63.1–75.4`; with a word between where a sign could be taken for the dash."""
    between = " to " if set(low + high) & set("-+−") else "–"
    return f"{with_minus(low)}{between}{with_minus(high)}"


def with_minus(text: str) -> str:
    """Text in which the sign before a negative number is a minus, as in figures; `3-4` and `1e-05` stay."""
    return _HYPHEN.sub("−", text)


# ---- decimals --------------------------------------------------------------------------------------------------------
def _same_decimals(cells: list[Cell]) -> None:
    """Write the numbers of a column with as many decimals as its largest needs to keep about three figures."""
    if not all(cell.right for cell in cells):
        return  # texts that look like numbers, such as those of accession lots
    numbers = [_number(cell.text) for cell in cells]
    known = [number for number in numbers if number is not None]
    if len(known) < 2 or any(
        number is None and cell.text.strip() not in _EMPTY for cell, number in zip(cells, numbers, strict=True)
    ):
        return
    decimals = [
        len(text.partition(".")[2]) for text in (cell.text.strip() for cell in cells) if _number(text) is not None
    ]
    largest, smallest = max(map(abs, known)), min((abs(number) for number in known if number), default=0)
    wanted = min(max(decimals), 3 if largest < 1 else 2 if largest < 100 else 1)
    if len(set(decimals)) == 1 or smallest < 0.5 * 10**-wanted:
        return
    for cell, number in zip(cells, numbers, strict=True):
        if number is not None:
            sign = "+" if cell.text.strip().startswith("+") else ""
            cell.text = with_minus(f"{number:{sign},.{wanted}f}")


def _number(text: str) -> float | None:
    plain = text.strip().replace("−", "-").replace(",", "")
    return float(plain) if re.fullmatch(r"[-+]?\d+(\.\d+)?", plain) else None
