"""The verdicts of a run as the report shows them. This is the only place that knows how claims are collected."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab_utils.claims import engine, reported_arithmetic
from lab_utils.claims import ledger as claims
from lab_utils.core import records

VERDICTS = ("supported", "contradicted", "tie", "not testable")
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Line:
    """One claim of the original and what became of it.

    Attributes:
        claim: its name.
        slide: where the original makes it.
        wording: what it says.
        verdict: supported, contradicted, tie or not testable.
        sentence: what was found.
        chapter: number of the chapter that tests it.
        arithmetic: whether printed numbers alone decide it, so that the verdict holds on any data.
        evidence: quantities behind the verdict, by name.
    """

    claim: str
    slide: int
    wording: str
    verdict: str
    sentence: str
    chapter: str
    arithmetic: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)


def lines(results: Results) -> list[Line]:
    """One line for every claim, in the order of the slides.

    Args:
        results: content of the results files by chapter.
    """
    entries = {name: content.get("records", []) for name, content in sorted(results.items())}
    return [
        Line(
            verdict.claim,
            verdict.slide,
            verdict.wording,
            verdict.verdict,
            verdict.sentence,
            verdict.chapter,
            engine.find(verdict.claim).arithmetic,
            records.plain(verdict.evidence) or {},
        )
        for verdict in claims.collect(entries, reported_arithmetic.verdicts(records.reported))
    ]


def readings(results: Results) -> str:
    """How often test labels were opened, in a sentence."""
    return claims.reads_counts({name: content.get("records", []) for name, content in sorted(results.items())})
