"""The story of a chapter: what the report shows of it. The cells' tags say so; headings come along where needed."""

import dataclasses
import re

from lab_utils.report.parts import Chapter, Part

_LAST_HEADING = re.compile(r"(?:^|\n)(#{2,6} +[^\n]+)\s*\Z")
_HEADING = re.compile(r"^#{2,6} +.+$", re.MULTILINE)
_BET = re.compile(r"^\*\*Expectation\.?\*\*.*?(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)  # to bet on while one works
_SAID = ("sentence", "verdict", "decision")
_NUMBER = r"[-+−]?\d[\d.,]*"
_INTERVAL = re.compile(rf" \({_NUMBER} to {_NUMBER}(?:, n = [\d,]+)?\)")
_IN_TIE = re.compile(rf"(?<= points), {_NUMBER} to {_NUMBER}(?=\))")


def story_of(chapter: Chapter) -> Chapter:
    """The chapter as the report shows it.

    Cells and outputs that belong to the story stay in order. A heading stays where something under it does: one whose
    cell is not in the story is put in front of what is. What students are asked to bet on is left out.
    """
    kept: list[Part] = []
    heading = ""
    for part in chapter.parts:
        if part.kind == "markdown":
            text = _BET.sub("", part.text).strip()
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
            kept.append(dataclasses.replace(part, text=without_intervals(part.text)) if part.kind in _SAID else part)
    return dataclasses.replace(chapter, parts=kept)


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
    return [part.caption, *(f"{cell.text} {cell.below}" for row in grid.rows for cell in row)]
