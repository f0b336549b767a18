"""The story of a chapter: what the report shows of it. The cells' tags say so; headings come along where needed."""

import dataclasses
import re

from lab_utils.report.parts import Chapter, Part

MOST_WORDS = 12_000  # of a report that is read in twenty minutes
_LAST_HEADING = re.compile(r"(?:^|\n)(#{2,6} +[^\n]+)\s*\Z")
_HEADING = re.compile(r"^#{2,6} +.+$", re.MULTILINE)
_FOR_STUDENTS = re.compile(  # what to bet on while one works, and what one learns
    r"^\*\*(?:Expectation\.?|You will be able to)\*\*.*?(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL
)
_ON_DRAWINGS = " here: these are drawings, and the claim is about museum photographs."  # the first page says it once
_SHOWN_HERE = "What the method shows here: "
_SAID = ("sentence", "verdict", "decision")
_NUMBER = r"[-+−]?\d[\d.,]*"
_INTERVAL = re.compile(rf" \({_NUMBER} to {_NUMBER}(?:, n = [\d,]+)?\)")
_IN_TIE = re.compile(rf"(?<= points), {_NUMBER} to {_NUMBER}(?=\))")


def story_of(chapter: Chapter) -> Chapter:
    """The chapter as the report shows it.

    Cells and outputs that belong to the story stay in order. A heading stays where something under it does: one whose
    cell is not in the story is put in front of what is. What is told to students only, bets and aims, is left out.
    """
    kept: list[Part] = []
    heading = ""
    for part in chapter.parts:
        if part.kind == "markdown":
            text = _FOR_STUDENTS.sub("", part.text).strip()
            last = _LAST_HEADING.search(text)
            if part.story:
                body = text[: last.start()].strip() if last else text
                kept += [dataclasses.replace(part, text=body)] if body else []
                heading = last[1] if last else ""
            else:
                headings = _HEADING.findall(part.text)
                heading = headings[-1] if headings else heading
        elif part.kind == "box" or (part.story and part.kind not in ("text", "library")):
            if heading and part.kind != "box":
                kept.append(Part("markdown", heading, story=True))
                heading = ""
            kept.append(dataclasses.replace(part, text=in_short(part.text)) if part.kind in _SAID else part)
    return dataclasses.replace(chapter, parts=kept)


def in_short(sentence: str) -> str:
    """A sentence without intervals, and a verdict without the reason that the report's first page gives for all."""
    return without_intervals(sentence).replace(_ON_DRAWINGS, ".").replace(f"\n\n{_SHOWN_HERE}", " Here: ")


def without_intervals(sentence: str) -> str:
    """A sentence without the intervals behind its numbers: tables, figures and the chapter's page have them."""
    return _IN_TIE.sub("", _INTERVAL.sub("", sentence))


def words(chapters: list[Chapter]) -> int:
    """Words that a reader of the story reads: text, captions and tables."""
    return sum(len(text.split()) for chapter in chapters for part in chapter.parts for text in _texts(part))


def _texts(part: Part) -> list[str]:
    from lab_utils.report import tables
    from lab_utils.report.parts import text_of

    if part.kind != "table":
        return [part.text, part.caption]
    grid = tables.tidy(tables.parse(text_of(part.data.get("text/html", ""))), tables.MOST_ROWS)
    return [grid.counted(part.caption), *(f"{cell.text} {cell.below}" for row in grid.rows for cell in row)]


def too_long(chapters: list[Chapter]) -> str:
    """A warning that names the longest chapters where the story has more than `MOST_WORDS`; else nothing."""
    counts = {chapter.title: words([chapter]) for chapter in chapters}
    total = sum(counts.values())
    if total <= MOST_WORDS:
        return ""
    longest = ", ".join(
        f"{title} ({count:,})" for title, count in sorted(counts.items(), key=lambda item: -item[1])[:3]
    )
    return f"The report has {total:,} words, more than {MOST_WORDS:,}; the longest are {longest}."
