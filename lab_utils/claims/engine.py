"""Decide a claim of the original on evidence: `lab.verdict(id, ...)` in a notebook, `check` here.

What a claim says, how it is tested and each sentence stand in `texts/NN.yaml`; the rules in `rules.py`. A verdict on
the original needs its preconditions: drawings can't decide what is said of museum photographs, and a network that was
cut short can't decide what is said of a trained one. What the method shows on such data is told in a line of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd

from lab_utils.claims import schema
from lab_utils.claims.rules import OPEN, VERDICTS
from lab_utils.claims.words import bounds, listed, render
from lab_utils.core.errors import LabError
from lab_utils.data.taxonomy import SUPER_GROUPS
from lab_utils.stats.curves import cut_short
from lab_utils.stats.intervals import Estimate

MEDIUMS = {name for names in SUPER_GROUPS.values() for name in names}
HELD = {"any": "arithmetic on printed numbers", "photographs": "museum photographs", "trained": "trained to an end"}
Histories = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Context:
    """What the data of a run are: the source of its images, and the names of its classes."""

    source: str
    classes: tuple[str, ...] = ()

    @property
    def no_photographs(self) -> str:
        """Why a claim about museum photographs can't be decided on these images; "" where it can."""
        if self.source == "sample":
            return "these are drawings, and the claim is about museum photographs"
        if self.source == "folder" and not set(self.classes) <= MEDIUMS:
            return "this folder has other classes, and the claim is about the mediums of MAMe"
        return ""


@dataclass(frozen=True)
class Verdict:
    """What a test says about one sentence of the original.

    Attributes:
        claim: its id.
        verdict: supported, contradicted, tie or not testable.
        sentence: the finding, or why there is none.
        precondition: what had to hold, and whether it did.
        n: how many images (or printed numbers) the main evidence rests on; 0 where there is none.
        interval: 95 % interval of the main evidence; None where there is none.
        here: what the method shows here, where that is no verdict on the original.
        evidence: what was given to the test.
        slide: of the original.
        said: the slide's own words in quotation marks, or what it assumes.
        chapter: notebook that decides it (two digits).
        test: how it is decided.

    Raises:
        LabError: it has no precondition; or it is decided, and lacks n or interval.
    """

    claim: str
    verdict: str
    sentence: str
    precondition: str
    n: int = 0
    interval: tuple[float, float] | None = None
    here: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    slide: int = 0
    said: str = ""
    chapter: str = ""
    test: str = ""

    def __post_init__(self) -> None:
        decided = self.verdict in VERDICTS and self.verdict != OPEN
        lacking = [name for name in ("n", "interval") if decided and not getattr(self, name)]
        lacking += [name for name in ("sentence", "precondition") if not getattr(self, name)]
        if lacking or self.verdict not in VERDICTS:
            raise LabError(
                f"The verdict {self.verdict!r} on claim {self.claim} lacks {', '.join(lacking) or 'a word'}."
            )

    def __str__(self) -> str:
        here = " here" if self.verdict == OPEN else ""
        lines = [f"Slide {self.slide} {self.said.rstrip('.')}. **{self.verdict.capitalize()}**{here}: {self.sentence}"]
        return "\n\n".join(lines + ([f"What the method shows here: {self.here}"] if self.here else []))

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Verdict":
        """A verdict as it was stored.

        Raises:
            LabError: it was stored by another version, or is not whole.
        """
        unlike = set(record) ^ {stored.name for stored in fields(cls)}
        if unlike:
            raise LabError(
                f"The stored verdict on claim {record.get('claim')} is of another version of the lab "
                f"({listed(sorted(unlike))}): run chapter {record.get('chapter')} again."
            )
        return cls(**{**record, "interval": record["interval"] and tuple(record["interval"])})


def find(id: str) -> schema.Claim:
    """A claim by its id.

    Raises:
        LabError: there is none; the sentence lists the ids.
    """
    if id not in schema.claims():
        raise LabError(f"There is no claim {id!r}; the claims are {', '.join(schema.claims())}.")
    return schema.claims()[id]


def check(id: str, context: Context, histories: Histories | None = None, **evidence: Any) -> Verdict:
    """Decide a claim on the evidence.

    Args:
        id: of the claim.
        context: what the data of the run are.
        histories: of the networks whose training the claim is about, by title, one row an epoch (`curves.cut_short`).
        evidence: what its rule and its sentences ask for; where something is None the claim is not testable.

    Raises:
        LabError: no such claim; evidence or histories that it asks for are not given, or others are.
    """
    claim = find(id)
    if claim.undecided:
        return not_run(claim, claim.undecided)
    unmet = _unmet(claim, context, histories or {})
    missing = [name.replace("_", " ") for name, value in evidence.items() if value is None]
    if missing:
        why = claim.template(OPEN, "evidence") or f"{listed(missing)}: not available in this run"
        return _open(claim, [*unmet, render(why, evidence)], _sentence(why, evidence) if unmet else "")
    _check_names(claim, evidence, histories)
    taken = {name: value for name, value in evidence.items() if name not in claim.also}
    if any(map(_lacks_interval, taken.values())):
        return _open(claim, [*unmet, "its images are of too few lots for an interval"])
    outcome = claim.decider.decide(**taken, **claim.parameters)
    pieces = {**claim.parameters, **evidence, **outcome.pieces}
    template = claim.template(outcome.verdict, outcome.case) or "this run has no evidence for it"
    if outcome.verdict == OPEN:
        return _open(claim, [*unmet, render(template, pieces)], _sentence(template, pieces) if unmet else "")
    measured = {"n": outcome.main.n, "interval": tuple(map(float, bounds(outcome.main))), "evidence": evidence}
    sentence = _sentence(template, pieces)
    if unmet:
        return _open(claim, unmet, sentence, **measured)
    met = f"met: {listed([HELD[need] for need in claim.needs])}"
    return Verdict(id, outcome.verdict, sentence, met, **measured, **_about(claim))


def _lacks_interval(value: Any) -> bool:
    """Whether a piece of evidence, or a part of it, is an estimate without an interval."""
    if isinstance(value, Mapping):
        return any(map(_lacks_interval, value.values()))
    return isinstance(value, Estimate) and not value.has_interval


def _sentence(template: str, pieces: Mapping[str, Any]) -> str:
    """A template as a sentence of its own."""
    words = render(template, pieces)
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def _open(claim: schema.Claim, reasons: Sequence[str], here: str = "", **measured: Any) -> Verdict:
    """Not testable, for the first of the reasons; all of them are kept."""
    kept = f"not met: {'; '.join(reasons)}"
    return Verdict(claim.id, OPEN, f"{reasons[0]}.", kept, here=here, **measured, **_about(claim))


def not_run(claim: schema.Claim, reason: str) -> Verdict:
    """The verdict on a claim whose chapter did not test it."""
    return _open(claim, [reason])


def _about(claim: schema.Claim) -> dict[str, Any]:
    return {name: getattr(claim, name) for name in ("slide", "said", "chapter", "test")}


def _unmet(claim: schema.Claim, context: Context, histories: Histories) -> list[str]:
    """Why the claim can't be decided on these data and these networks, in clauses."""
    reasons = [context.no_photographs] if "photographs" in claim.needs and context.no_photographs else []
    short = {title: why for title, history in histories.items() if (why := cut_short(history))}
    if "trained" in claim.needs and short:
        title, why = next(iter(short.items()))
        others = f", and {len(short) - 1} more" if len(short) > 1 else ""
        reasons.append(f"training was cut short ({title}: {why}{others})")
    return reasons


def _check_names(claim: schema.Claim, evidence: Mapping[str, Any], histories: Histories | None) -> None:
    wanted = claim.evidence
    absent = [name for name, needed in wanted.items() if needed and name not in evidence]
    absent += ["histories"] if "trained" in claim.needs and histories is None else []
    if absent or set(evidence) - set(wanted):
        raise LabError(f"Claim {claim.id} is decided on {listed(wanted)}; given were {listed(evidence)}.")
