"""Rules that decide claims: from evidence to a verdict, the value that carried it, and pieces for its sentence.

What a rule takes by position is evidence; what it takes by name only is set in the claim's text. A rule that has
several reasons for one verdict names the case, and the text has a sentence for each. No sentence stands here.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lab_utils.claims.words import bounds
from lab_utils.stats.intervals import Accuracy, Difference, Estimate

if TYPE_CHECKING:
    from lab_utils.analysis.cohesion import Standing
    from lab_utils.analysis.outliers import Cluster
    from lab_utils.analysis.separability import Separability

VERDICTS = SUPPORTED, CONTRADICTED, TIE, OPEN = ("supported", "contradicted", "tie", "not testable")
WEAKEST = (CONTRADICTED, TIE, SUPPORTED)  # verdicts of the parts of a claim: the first of these decides
Value = Accuracy | Difference | Estimate
Expected = Literal["higher", "lower", "not higher", "not lower", "same"]


@dataclass(frozen=True)
class Decision:
    """What a rule finds.

    Attributes:
        verdict: one of `VERDICTS`.
        main: the value that carried it, with its n and its interval; None where nothing could be tested.
        pieces: more evidence for the sentence.
        case: which of the verdict's reasons holds; "" where it has one only.
    """

    verdict: str
    main: Value | None = None
    pieces: Mapping[str, Any] = field(default_factory=dict)
    case: str = ""


@dataclass(frozen=True)
class Rule:
    """A rule, and what the text of a claim must fit.

    Attributes:
        decide: the function.
        gives: names of the pieces of its outcomes.
        cases: verdict -> its cases, `()` where it has one reason only; a verdict that isn't in it is never given.
    """

    decide: Callable[..., Decision]
    gives: frozenset[str]
    cases: Mapping[str, tuple[str, ...]]

    @property
    def arguments(self) -> Mapping[str, inspect.Parameter]:
        """Its arguments by name."""
        return inspect.signature(self.decide).parameters


RULES: dict[str, Rule] = {}


def rule(gives: str = "", **cases: str | None) -> Callable[[Callable[..., Decision]], Callable[..., Decision]]:
    """Register a function as the rule of its name.

    Args:
        gives: names of its pieces.
        cases: by verdict (`not_testable` for the last) the names of its cases; None: the verdict is never given.
            Supported, contradicted and tie have one reason each where nothing is said; `not testable` is never given.
    """
    given = {
        SUPPORTED: "",
        CONTRADICTED: "",
        TIE: "",
        **{name.replace("_", " "): names for name, names in cases.items()},
    }
    by_verdict = {verdict: tuple(names.split()) for verdict, names in given.items() if names is not None}

    def register(decide: Callable[..., Decision]) -> Callable[..., Decision]:
        RULES[decide.__name__] = Rule(decide, frozenset(gives.split()), by_verdict)
        return decide

    return register


# ---- differences and levels ------------------------------------------------------------------------------------------
def word(value: Value, reference: float = 0.0, expect: Expected = "higher", margin: float = 0.0) -> str:
    """Verdict on "the value is higher (lower, not higher, not lower) than the reference", or the same.

    A tie where the interval doesn't say. What is not above the reference, and surely by less than the margin, is not
    higher; `same` holds where the whole interval is within the margin, or without one, has the reference in it.
    """
    low, high = (end - reference for end in bounds(value))
    if expect.startswith("not "):
        return {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}.get(word(value, reference, expect[4:], margin), TIE)
    if expect == "same":
        small = low <= 0 <= high if not margin else max(-low, high) <= margin
        return CONTRADICTED if not low <= 0 <= high else SUPPORTED if small else TIE
    if expect == "lower":
        low, high = -high, -low
    return SUPPORTED if low > 0 else CONTRADICTED if high < 0 or (margin and high <= margin) else TIE


def exactly(value: float, n: int) -> Estimate:
    """A number without doubt, found among `n`: its interval has no width."""
    return Estimate(value, value, value, n, digits=0)


@rule()
def compare(
    value: Value, reference: float = 0.0, floor: float = 0.0, *, expect: Expected = "higher", margin: float = 0.0
) -> Decision:
    """A difference, or a level against a reference; what chance alone does (`floor`) is a tie."""
    return Decision(
        TIE if floor and abs(value.value - reference) <= floor else word(value, reference, expect, margin), value
    )


@rule(gives="name part", not_testable="")
def all_of(
    parts: Mapping[str, Value],
    reference: float = 0.0,
    *,
    expect: Expected | dict[str, Expected] = "higher",
    margin: float | dict[str, float] = 0.0,
    mixed: Literal["contradicted", "tie"] = CONTRADICTED,
) -> Decision:
    """Every part is as expected; the part that holds least is named.

    `mixed` is the verdict where one part holds and another is the other way round.
    """
    if not parts:
        return Decision(OPEN)
    wanted = {name: expect[name] if isinstance(expect, dict) else expect for name in parts}
    within = {name: margin.get(name, 0.0) if isinstance(margin, dict) else margin for name in parts}
    words = {name: word(part, reference, wanted[name], within[name]) for name, part in parts.items()}
    favour = {"higher": lambda x: x, "lower": lambda x: -x, "same": lambda x: -abs(x - reference)}
    favour |= {"not higher": favour["lower"], "not lower": favour["higher"]}
    name = min(parts, key=lambda part: (WEAKEST.index(words[part]), favour[wanted[part]](parts[part].value)))
    verdict = mixed if {SUPPORTED, CONTRADICTED} <= set(words.values()) else words[name]
    return Decision(verdict, parts[name], {"name": name, "part": parts[name]})


@rule(tie="read open")
def ignored(shuffled: Value, removed: Value, *, margin: float) -> Decision:
    """Columns are ignored: the fitted classifiers don't read them, and classifiers fitted without them lose nothing.

    Two questions, and a verdict needs the same answer to both.

    Args:
        shuffled: accuracy lost where they are shuffled: what the fitted classifiers read.
        removed: accuracy lost where they are left out before the fit: what they carry that other columns lack.
        margin: a loss below it is none.
    """
    words = [word(lost, 0.0, "not higher", margin) for lost in (shuffled, removed)]
    if words[0] == words[1] != TIE:
        return Decision(words[0], shuffled if words[0] == CONTRADICTED else removed)
    case = "read" if words[0] == CONTRADICTED and removed.low <= 0 else "open"
    return Decision(TIE, removed, case=case)


@rule(gives="better worse total part", not_testable="")
def no_better(differences: Mapping[str, Difference]) -> Decision:
    """Most of several differences are not above zero."""
    if not differences:
        return Decision(OPEN)
    ordered, total = sorted(differences.values(), key=lambda gain: gain.value), len(differences)
    better, worse = sum(gain.low > 0 for gain in ordered), sum(gain.high < 0 for gain in ordered)
    middle = ordered[total // 2]
    verdict = CONTRADICTED if 2 * better > total else SUPPORTED if worse > better else TIE
    return Decision(verdict, middle, {"better": better, "worse": worse, "total": total, "part": middle})


@rule(gives="inside known", not_testable="")
def ranked(ranks: Mapping[str, int | None], among: int) -> Decision:
    """All of several are among the first; some of them are a tie (0: it has no rank; None: it isn't in this data)."""
    known = {name: rank for name, rank in ranks.items() if rank is not None}
    if not known:
        return Decision(OPEN)
    inside = [name for name, rank in known.items() if 0 < rank <= among]
    verdict = SUPPORTED if len(inside) == len(known) else TIE if inside else CONTRADICTED
    return Decision(verdict, Accuracy(len(inside), len(known)), {"inside": inside, "known": known})


@rule(gives="falls", contradicted="fall lower")
def steady(overall: Difference, steps: Sequence[Difference]) -> Decision:
    """The last is better than the first, and no step between neighbours clearly falls."""
    falls = sum(step.high < 0 for step in steps)
    if falls:
        return Decision(CONTRADICTED, overall, {"falls": falls}, "fall")
    verdict = word(overall)
    return Decision(verdict, overall, case="lower" if verdict == CONTRADICTED else "")


# ---- attention, task similarity, maps --------------------------------------------------------------------------------
@rule(gives="read", tie="told even")
def looks_inside(border: Estimate, area: float, more: Mapping[str, Difference]) -> Decision:
    """The border gets less than its share of the relevance, and the features tell nothing else (`more`)."""
    verdict, read = word(border, area, "lower"), [name for name, gain in more.items() if gain.low > 0]
    if verdict == SUPPORTED and read:
        return Decision(TIE, border, {"read": read}, "told")
    return Decision(verdict, border, case="even" if verdict == TIE else "")


@rule(contradicted="random differs", tie=None, not_testable="")
def overlap(output: Accuracy, random_weights: Accuracy, floor: Accuracy, printed: float, same_images: bool) -> Decision:
    """A probe's accuracy is overlap: random weights have none, and on the same images it is as printed."""
    if bounds(random_weights)[0] > floor.value:
        return Decision(CONTRADICTED, random_weights, case="random")
    if not same_images:
        return Decision(OPEN, output)
    verdict = word(output, printed, "same")
    return Decision(verdict, output, case="differs" if verdict == CONTRADICTED else "")


@rule(gives="held p", tie="random few")
def separable(space: "Separability", *, level: float, chance: float) -> Decision:
    """Hyperplanes part the groups, held out, and random groups of the classes don't part as well."""
    verdict = word(space.held, level)
    random = verdict != CONTRADICTED and space.p > chance + 1e-9
    case = "random" if random else "few" if verdict == TIE else ""
    return Decision(TIE if random else verdict, space.held, {"held": space.held, "p": space.p}, case)


@rule(gives="purity", contradicted="whole lot")
def clustered(whole: "Standing", without: "Standing | None" = None, *, pure: float) -> Decision:
    """A class's neighbours are of its class, without its big lot as well (None: too little is left)."""
    outcome = all_of({"whole": whole.purity} | ({"lot": without.purity} if without else {}), pure)
    case = outcome.pieces["name"] if outcome.verdict == CONTRADICTED else ""
    return Decision(outcome.verdict, outcome.main, {"purity": outcome.main}, case)


@rule(gives="inside known")
def neighbourhoods(near: Sequence[Sequence[str]], *, sides: dict[str, list[str]]) -> Decision:
    """Each part of a class lies nearest to another side: of the classes named, its nearest counts."""
    first = [next((side for name in part for side in sides if name in sides[side]), None) for part in near]
    return ranked({side: int(side in first) for side in sides}, 1)


@rule(gives="known", not_testable="none lots")
def kinds_of_object(clusters: "Sequence[Cluster]", *, share: float, most: float, chance: float) -> Decision:
    """Far small clusters are of one class and several lots, rather than of one lot (exact binomial test)."""
    from scipy.stats import binomtest

    known = [cluster for cluster in clusters if cluster.lot]
    if not known:
        return Decision(OPEN, case="lots" if clusters else "none")
    lots = sum(cluster.lot_share >= most for cluster in known)
    kinds = sum(cluster.share >= share and cluster.lot_share < most for cluster in known)
    clear = kinds + lots > 0 and binomtest(kinds, kinds + lots).pvalue <= chance
    verdict = TIE if not clear else SUPPORTED if kinds > lots else CONTRADICTED
    return Decision(verdict, Accuracy(kinds, len(known)), {"known": len(known)})


# ---- curves ----------------------------------------------------------------------------------------------------------
@rule(contradicted="seldom counting", tie="often clean")
def val_above_train(counted: Difference, clean: Difference, above: int, epochs: int) -> Decision:
    """Val lies above train after every epoch, and does so where train is evaluated cleanly.

    Args:
        counted: val minus train accuracy as counted while training.
        clean: val minus train accuracy, evaluated cleanly.
        above: epochs after which val lies above the counted train accuracy.
        epochs: of how many.
    """
    if above < epochs:
        seldom = counted.high < 0 or 2 * above <= epochs
        return Decision(CONTRADICTED, counted, case="seldom") if seldom else Decision(TIE, counted, case="often")
    verdict = word(clean)
    return Decision(verdict, clean, case={CONTRADICTED: "counting", TIE: "clean"}.get(verdict, ""))


@rule(not_testable="")
def trade(accurate: int, lowest: int, accuracy: Difference, after: Estimate, *, margin: float) -> Decision:
    """The epoch of higher accuracy stays worse in likelihood (`after` temperatures) than that of the lowest loss."""
    if accurate == lowest:
        return Decision(OPEN)
    worse = after.low > 0 and accuracy.low > 0
    return Decision(CONTRADICTED if after.high < margin else SUPPORTED if worse else TIE, after)


# ---- printed numbers -------------------------------------------------------------------------------------------------
@rule(gives="name first second", tie=None)
def same(printed: Mapping[str, Any], other: Mapping[str, Any], *, within: float = 0.0, factor: float = 1.0) -> Decision:
    """Printed numbers (or names) are these, to within a distance or a factor; the largest disagreement is named."""

    def off(name: str) -> float:
        first, second = printed[name], other[name]
        if isinstance(second, str):
            return float(first != second)
        return max(first / second, second / first) - factor if factor > 1 else abs(first - second) - within

    name = max(other, key=off)
    verdict = SUPPORTED if off(name) <= 1e-9 else CONTRADICTED
    first, second, n = printed[name], other[name], len(other)
    if isinstance(first, str):
        main = exactly(sum(map(off, other)), n)
    else:
        main = Estimate(first, first / factor - within, first * factor + within, n, digits=3)
    return Decision(verdict, main, {"name": name, "first": first, "second": second})


@rule(tie=None)
def not_larger(first: float, second: float) -> Decision:
    """One printed number is not larger than another."""
    return Decision(SUPPORTED if first <= second + 1e-9 else CONTRADICTED, exactly(first - second, 2))
