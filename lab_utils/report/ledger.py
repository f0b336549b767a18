"""The verdicts of a run as the report shows them. This is the only place that knows how claims are collected."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab_utils.claims import engine
from lab_utils.claims import ledger as claims
from lab_utils.core import records

LACKS = {
    "photographs": ("these are drawings", "this folder has other classes"),
    "training": ("training was cut short",),
}
VERDICTS = ("supported", "contradicted", "tie", "not testable")
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class LedgerLine:
    """One claim of the original and what became of it.

    Attributes:
        claim: its name.
        slide: where the original makes it.
        said: what it says, in its own words, or what it assumes.
        verdict: supported, contradicted, tie or not testable.
        sentence: what was found.
        chapter: number of the chapter that tests it.
        arithmetic: whether printed numbers alone decide it, so that the verdict holds on any data.
        here: what the method shows here, where that is no verdict on the original.
        lacks: what it would take to test it: photographs, training, or "" (another thing, or it is tested).
    """

    claim: str
    slide: int
    said: str
    verdict: str
    sentence: str
    chapter: str
    arithmetic: bool = False
    here: str = ""
    lacks: str = ""


def lines(results: Results) -> list[LedgerLine]:
    """One line for every claim, in the order of the slides.

    Args:
        results: content of the results files by chapter.
    """
    entries = {name: content.get("records", []) for name, content in sorted(results.items())}
    return [
        LedgerLine(
            verdict.claim,
            verdict.slide,
            verdict.said,
            verdict.verdict,
            verdict.sentence,
            verdict.chapter,
            "any" in engine.find(verdict.claim).needs,
            verdict.here,
            next((lack for lack, words in LACKS.items() if verdict.sentence.startswith(words)), ""),
        )
        for verdict in claims.collect(entries, claims.arithmetic(records.reported))
    ]


def readings(results: Results) -> str:
    """How often test labels were opened, in a sentence."""
    return claims.reads_counts({name: content.get("records", []) for name, content in sorted(results.items())})
