"""Does a run contradict itself? A check over the records of all its chapters, at the end of every run.

Rules, each a function from records to sentences (none where all is well):

* a quantity has one value and one interval, in whatever chapter it stands;
* a column called reported shows numbers of `data/reported`;
* a decimal number in a sentence is in the records of its chapter, or of one that it needs, or is a reported one;
* the readings of test add up, and no model is read twice without a word why.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lab_utils.core import chapters
from lab_utils.core.quantities import Entries

Tables = Mapping[str, Sequence[Mapping[str, Any]]]  # table of data/reported -> its rows
SPLIT = re.compile(r", (?:train|val|test)$")
DECIMAL = re.compile(r"(?<![\w#.,])\d+(?:,\d{3})*\.\d+(?![\w.]*\w)")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?(?!\w)")
LOTS = re.compile(r"\b(?:lot|class most is)[ (]+(?:[A-Z][^\d()]{0,60} )?\d[\w.]*+(?! %)")  # numbers that are names
TOLERANCE = 1e-6


def contradictions(entries: Entries, reported: Tables) -> list[str]:
    """All that doesn't fit, one sentence each.

    Args:
        entries: records of the chapters that were run, by name.
        reported: rows of the tables of `data/reported`, by name.
    """
    entries = {name: list(records) for name, records in entries.items()}
    return [
        *differing_quantities(entries),
        *unreported_columns(entries, reported),
        *numbers_without_record(entries, reported),
        *test_readings(entries),
    ]


# ---- one quantity, one value -----------------------------------------------------------------------------------------
def differing_quantities(entries: Entries) -> list[str]:
    """Quantities with two values, intervals or numbers of images; accuracies that say their split count as well."""
    places: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for chapter, records in entries.items():
        for record in records:
            if record["kind"] == "quantity":
                places[record["name"]].append((chapter, record["value"]))
            for value in _mappings(record):
                if "successes" in value and SPLIT.search(value.get("of") or ""):
                    places[f"accuracy, {value['of']}"].append((chapter, value))
    sentences = []
    for name, stored in places.items():
        first_chapter, first = stored[0]
        other = next(((chapter, value) for chapter, value in stored if not _same(first, value)), None)
        if other:
            sentences.append(
                f"{name!r} is {_shown(first)} in chapter {first_chapter[:2]} and {_shown(other[1])} in chapter "
                f"{other[0][:2]}: compute it once and read it by its name."
            )
    return sentences


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return all(_equal(first.get(key), second.get(key)) for key in ("value", "low", "high", "n"))


def _equal(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return abs(first - second) <= TOLERANCE * max(1.0, abs(first))


def _shown(value: Mapping[str, Any]) -> str:
    return value.get("text") or f"{value['value']:g}"


# ---- columns called reported -----------------------------------------------------------------------------------------
def unreported_columns(entries: Entries, reported: Tables) -> list[str]:
    """Columns called reported with numbers that their table in `data/reported` (or any, if none is named) lacks."""
    sentences = []
    for chapter, records in entries.items():
        for record in records:
            if record["kind"] != "reported":
                continue
            named = record.get("table")
            if named and named not in reported:
                sentences.append(f"Chapter {chapter[:2]}: {record['id']} names {named}, which data/reported lacks.")
                continue
            tables = {named: reported[named]} if named else reported
            shown = [number for cell in record["value"] for number in _shown_numbers(cell)]
            missing = _least_missing(shown, tables)
            if missing:
                words = ", ".join(missing)
                where = f"data/reported/{named}.csv doesn't" if named else "no table of data/reported has"
                where = f"{where} hold" if named else where
                sentences.append(f"Chapter {chapter[:2]}: {record['id']} shows {words}, which {where}.")
    return sentences


def _shown_numbers(cell: Any) -> list[str]:
    if cell is None or isinstance(cell, bool):
        return []
    text = f"{cell:.12g}" if isinstance(cell, float) else str(cell)
    return [match.replace(",", "") for match in NUMBER.findall(text)]


def _least_missing(shown: list[str], tables: Tables) -> list[str]:
    """Numbers that the best of all tables lacks: each of its numbers serves one that is shown."""
    kept = shown
    for rows in tables.values():
        columns = [[row[name] for row in rows] for name in (rows[0] if rows else ())]
        candidates = [*columns, [cell for column in columns for cell in column]]
        for cells in candidates:
            missing = _missing(shown, [float(text) for cell in cells for text in _shown_numbers(cell)])
            kept = min(kept, missing, key=len)
    return kept


def _missing(shown: Iterable[str], numbers: list[float]) -> list[str]:
    left, missing = Counter(numbers), []
    for text in sorted(shown, key=_digits, reverse=True):  # 0.81 before 0.8, which would take it
        match = next((number for number, times in left.items() if times and _prints_as(number, text)), None)
        if match is None:
            missing.append(text)
        else:
            left[match] -= 1
    return missing


def _prints_as(number: float, text: str) -> bool:
    """Whether a number, or a hundred times it, is written so at the text's precision; signs don't count."""
    shown = abs(float(text))
    if "e" in text:
        return abs(abs(number) - shown) <= 1e-9 * shown
    digits = _digits(text)
    return any(f"{abs(value):.{digits}f}" == f"{shown:.{digits}f}" for value in (number, 100 * number))


def _digits(text: str) -> int:
    return len(text.partition(".")[2])


# ---- numbers in sentences --------------------------------------------------------------------------------------------
def numbers_without_record(entries: Entries, reported: Tables) -> list[str]:
    """Decimal numbers in sentences, decisions and findings that no record holds."""
    own = {chapter: _numbers(records) for chapter, records in entries.items()}
    printed = {
        float(number)
        for rows in reported.values()
        for row in rows
        for cell in row.values()
        for number in _shown_numbers(cell)
    }
    sentences = []
    for chapter, records in entries.items():
        near = set().union(printed, own[chapter], *(own.get(name, ()) for name in _needed(chapter)))
        known: dict[int, set[str]] = {}
        for record in records:
            for sentence in _sentences(record):
                for text in DECIMAL.findall(LOTS.sub(" ", sentence)):
                    text = text.replace(",", "")
                    digits = len(text.partition(".")[2])
                    if digits not in known:
                        known[digits] = {f"{abs(v):.{digits}f}" for number in near for v in (number, 100 * number)}
                    if text not in known[digits]:
                        sentences.append(
                            f"Chapter {chapter[:2]} writes {text} in “{_around(sentence, text)}”, a number that no "
                            "record holds: record it, or give it to lab.say."
                        )
    return sentences


def _needed(chapter: str) -> set[str]:
    known = {entry.name for entry in chapters.CHAPTERS}
    return chapters.needed(chapter) if chapter in known else set()


def _sentences(record: Mapping[str, Any]) -> list[str]:
    if record["kind"] in ("sentence", "abstract"):
        return [record["value"]]
    if record["kind"] == "decision":
        return [record["value"], record["because"], record["instead_of"]]
    if record["kind"] == "verdict":
        return [text for text in (record["value"].get("sentence"), record["value"].get("here")) if text]
    return []


def _around(sentence: str, text: str, width: int = 40) -> str:
    place = sentence.find(text)
    return " ".join(sentence[max(0, place - width) : place + len(text) + width // 2].split())


def _numbers(value: Any) -> set[float]:
    """All numbers in plain values."""
    if isinstance(value, bool):
        return set()
    if isinstance(value, int | float):
        return {float(value)}
    if isinstance(value, Mapping):
        return set().union(*map(_numbers, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(_numbers, value))
    return set()


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """All mappings in plain values."""
    if isinstance(value, Mapping):
        yield value
        for item in value.values():
            yield from _mappings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _mappings(item)


# ---- readings of test ------------------------------------------------------------------------------------------------
def readings_by_chapter(entries: Entries) -> dict[str, int]:
    """How many models each chapter has read on test, chapters without any left out; a block of three models is three.

    Chapter 14 stores it with its log.
    """
    counts = {
        chapter: sum(len(record["models"]) for record in records if record["kind"] == "test read")
        for chapter, records in entries.items()
    }
    return {chapter: count for chapter, count in counts.items() if count}


def test_readings(entries: Entries) -> list[str]:
    """Readings of test that the log doesn't have, or has too many of; models read again without a reason."""
    sentences, seen = [], {}
    for chapter, records in sorted(entries.items(), key=lambda item: _place(item[0])):
        for record in (record for record in records if record["kind"] == "test read"):
            for model in record["models"]:
                if model in seen and not record.get("further"):
                    sentences.append(
                        f"Chapter {chapter[:2]} reads {model} on test after chapter {seen[model][:2]} and doesn't say "
                        "what else for."
                    )
                seen.setdefault(model, chapter)
    there = readings_by_chapter(entries)
    for chapter, records in entries.items():
        for record in (record for record in records if record["id"] == "readings of test"):
            for name in sorted({*record["value"], *there}):
                logged, read = record["value"].get(name, 0), there.get(name, 0)
                if logged != read:
                    sentences.append(
                        f"The log of chapter {chapter[:2]} has {logged} readings of test by chapter {name[:2]}, whose "
                        f"records have {read}."
                    )
    return sentences


test_readings.__test__ = False  # no test of pytest's


def _place(chapter: str) -> int:
    names = [entry.name for entry in chapters.CHAPTERS]
    return names.index(chapter) if chapter in names else len(names)
