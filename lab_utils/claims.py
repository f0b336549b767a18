"""Sentences that are functions of results: each claim of the original with the test that decides it.

`original_claims.py` lists what the original says. Here stands, under its chapter's heading, the function that turns
evidence into a verdict and a sentence:

    @claim("b0-worse")
    def b0_worse(difference: Difference, floor: float) -> Decision:
        verdict = decide_difference(difference, expect="lower", floor=floor)
        return choose(verdict, supported=f"... {difference}", contradicted=f"...", tie=f"...")

A notebook shows it by `lab.say(claims.check("b0-worse", difference=..., floor=...))`, or, where the data do not allow
the test, by `claims.untestable("b0-worse", "this folder has no museums")`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lab_utils.errors import LabError
from lab_utils.original_claims import ORIGINAL_CLAIMS, Claim
from lab_utils.quantities import Accuracy, Difference, Estimate

VERDICTS = ("supported", "contradicted", "tie", "not testable")
Word = Literal["supported", "contradicted", "tie", "not testable"]
Decision = tuple[str, str]

CLAIMS: dict[str, Claim] = {one.id: one for one in ORIGINAL_CLAIMS}
_DECIDERS: dict[str, Callable[..., Decision]] = {}


class NotTestable(Exception):  # noqa: N818 (a verdict, no failure)
    """Raised by a deciding function when its evidence doesn't allow the test; the message says why."""


class Bounded(Protocol):
    """A value with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """What a test says about one sentence of the original.

    Attributes:
        claim: its id.
        verdict: supported, contradicted, tie or not testable.
        sentence: the finding in one sentence or two, with its numbers.
        evidence: what was given to the test.
        slide: of the original.
        wording: the claim in our words.
        chapter: notebook that decides it (two digits).
        test: how it is decided.
    """

    claim: str
    verdict: str
    sentence: str
    evidence: dict[str, Any] = field(default_factory=dict)
    slide: int = 0
    wording: str = ""
    chapter: str = ""
    test: str = ""

    def __str__(self) -> str:
        return f"**{self.verdict.capitalize()}** (slide {self.slide}: {self.wording.rstrip('.')}). {self.sentence}"

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        names = ("claim", "verdict", "sentence", "evidence", "slide", "wording", "chapter", "test")
        return {name: getattr(self, name) for name in names}


# ---- the registry ----------------------------------------------------------------------------------------------------
def claim(id: str, slide: int = 0, wording: str = "", chapter: str = "", test: str = "") -> Callable:
    """Decorate the function that decides a claim.

    Args:
        id: of a claim in `original_claims.py`, or a new one, which then needs `slide`, `wording` and `chapter`.
        slide: number of the slide.
        wording: what the original says, in our words.
        chapter: two digits of the notebook that decides it.
        test: how it is decided, in words.

    Raises:
        LabError: the claim is new and has no wording, or is decided twice.
    """
    if id not in CLAIMS:
        if not (wording and chapter):
            raise LabError(f"claim {id!r} is not in original_claims.py: give its slide, wording and chapter.")
        CLAIMS[id] = Claim(id, slide, chapter, wording, test)

    def register(function: Callable[..., Decision]) -> Callable[..., Decision]:
        if id in _DECIDERS and _DECIDERS[id].__qualname__ != function.__qualname__:
            raise LabError(f"claim {id!r} is decided by two functions: keep one in claims.py.")
        _DECIDERS[id] = function
        return function

    return register


def check(id: str, **evidence: Any) -> Verdict:
    """Decide a claim on the evidence.

    Args:
        id: of the claim.
        evidence: what its function asks for; an `Accuracy`, `Difference` or `Estimate` that is None makes the claim
            not testable.

    Raises:
        LabError: no such claim, or no function decides it yet.
    """
    one = find(id)
    if id not in _DECIDERS:
        raise LabError(f"No function decides claim {id!r} yet: add one to claims.py under chapter {one.chapter}.")
    missing = [name for name, value in evidence.items() if value is None]
    if missing:
        return untestable(id, f"{', '.join(name.replace('_', ' ') for name in missing)}: not available in this run.")
    try:
        verdict, sentence = _DECIDERS[id](**evidence)
    except NotTestable as reason:
        return untestable(id, str(reason))
    return _verdict(one, verdict, sentence, evidence)


def untestable(id: str, reason: str) -> Verdict:
    """The verdict "not testable" on a claim, with the reason in a sentence."""
    return _verdict(find(id), "not testable", f"Not testable here: {reason}", {})


def find(id: str) -> Claim:
    """A claim by its id.

    Raises:
        LabError: there is none; the sentence lists the ids.
    """
    if id not in CLAIMS:
        raise LabError(f"There is no claim {id!r}; the claims are {', '.join(CLAIMS)}.")
    return CLAIMS[id]


def decided() -> list[str]:
    """Ids of the claims that a function decides."""
    return [id for id in CLAIMS if id in _DECIDERS]


def _verdict(one: Claim, verdict: str, sentence: str, evidence: dict[str, Any]) -> Verdict:
    if verdict not in VERDICTS:
        raise LabError(f"claim {one.id!r} was decided {verdict!r}; a verdict is one of {', '.join(VERDICTS)}.")
    return Verdict(one.id, verdict, sentence, evidence, one.slide, one.wording, one.chapter, one.test)


# ---- reusable deciders -----------------------------------------------------------------------------------------------
def choose(verdict: str, supported: str, contradicted: str, tie: str = "") -> Decision:
    """The verdict with the one of its sentences that fits."""
    sentences = {"supported": supported, "contradicted": contradicted, "tie": tie or contradicted}
    return verdict, sentences[verdict]


def decide_difference(difference: Difference, expect: str = "higher", floor: float = 0.0) -> str:
    """Decide "the first is higher / lower than / equal to the second".

    Args:
        difference: first minus second, shares in [-1, 1].
        expect: `higher`, `lower` or `equal` as claimed.
        floor: differences up to this size are ties whatever the interval (a noise floor).

    Returns:
        A verdict; an expected equality is supported by a tie.
    """
    tie = difference.tie or abs(difference.value) <= floor
    if expect == "equal":
        return "supported" if tie else "contradicted"
    if tie:
        return "tie"
    return "supported" if (difference.value > 0) == (expect == "higher") else "contradicted"


def bounds(value: Accuracy | Bounded) -> tuple[float, float]:
    """Lower and upper end of a quantity's 95 % interval."""
    return value.interval if isinstance(value, Accuracy) else (value.low, value.high)


def decide_against(value: Accuracy | Estimate | Difference, reference: float, expect: str = "higher") -> str:
    """Decide "the value is higher / lower than the reference": a tie where the interval holds the reference."""
    low, high = bounds(value)
    if low <= reference <= high:
        return "tie"
    return "supported" if (low > reference) == (expect == "higher") else "contradicted"


def decide_printed(value: float, printed: float, digits: int = 2) -> str:
    """Decide "the printed number is this value rounded": arithmetic, so never a tie."""
    return "supported" if abs(value - printed) <= 0.5 * 10**-digits + 1e-9 else "contradicted"


def decide_rank(rank: int, wanted: int) -> str:
    """Decide "it is among the first `wanted`" (ranks from 1)."""
    return "supported" if rank <= wanted else "contradicted"


def decide_all(verdicts: list[str]) -> str:
    """All parts of a claim together: contradicted if one is, supported if all are, else a tie.

    Raises:
        NotTestable: there are no parts.
    """
    if not verdicts:
        raise NotTestable("no part of the claim could be tested.")
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if set(verdicts) == {"supported"} else "tie"


# ---- chapter 01: networks from scratch -------------------------------------------------------------------------------

# ---- chapter 02: the paper's baselines -------------------------------------------------------------------------------

# ---- chapter 03: task similarity -------------------------------------------------------------------------------------

# ---- chapter 04: projections -----------------------------------------------------------------------------------------

# ---- chapter 05: classification --------------------------------------------------------------------------------------

# ---- chapters 06 to 11: fine-tuning ----------------------------------------------------------------------------------

# ---- chapter 12: fine-tuned features ---------------------------------------------------------------------------------

# ---- chapter 13: Grad-CAM --------------------------------------------------------------------------------------------

# ---- chapter 14: results, and arithmetic on printed numbers ----------------------------------------------------------

# ---- chapter 15: further improvements --------------------------------------------------------------------------------
