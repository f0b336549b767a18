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
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lab_utils.claims.original_claims import ORIGINAL_CLAIMS, Claim
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Accuracy, Difference, Estimate

if TYPE_CHECKING:
    from lab_utils.analysis.cohesion import Division, Standing
    from lab_utils.analysis.outliers import Cluster
    from lab_utils.analysis.seed_spread import SeedSpread
    from lab_utils.analysis.separability import Separability
    from lab_utils.analysis.variance import Decomposition

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


def decide_equal(difference: Difference, margin: float = 0.05) -> str:
    """Decide "both are the same": supported only where the whole interval lies within the margin (shares).

    An interval that holds zero but is wider shows no difference and no equality either: a tie.
    """
    if not difference.tie:
        return "contradicted"
    return "supported" if -margin <= difference.low and difference.high <= margin else "tie"


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
    """Decide "it is among the first `wanted`" (ranks from 1; 0: it has none, for it never happened)."""
    return "supported" if 0 < rank <= wanted else "contradicted"


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
@claim("scratch-overfits")
def scratch_overfits(gaps: dict[str, Difference], high: float) -> Decision:
    """Gaps of clean train and val accuracy of the first networks, against the gap that counts as high."""
    found = "; ".join(f"#{number}: {_points(gap)}" for number, gap in gaps.items())
    words = f"Gap of clean train and val accuracy in points: {found}. Strong is taken to mean above {100 * high:.0f}"
    return choose(
        decide_all([decide_against(gap, high) for gap in gaps.values()]),
        supported=f"{words}: both overfit strongly.",
        contradicted=f"{words}: not both of them do.",
        tie=f"{words}: the intervals leave it open.",
    )


@claim("regularisation-lowers-gap")
def regularisation_lowers_gap(changes: dict[str, Difference]) -> Decision:
    """Gaps of the regularised networks (#8, #10), each minus that of #6, on the same images."""
    found = "; ".join(f"#{number}: {_points(change)}" for number, change in changes.items())
    words = f"Gap of clean train and val accuracy against that of #6, in points: {found}"
    return choose(
        decide_all([decide_difference(change, "lower") for change in changes.values()]),
        supported=f"{words}. Regularisation lowers it in each.",
        contradicted=f"{words}. It is not lower in each.",
        tie=f"{words}. It is not shown to be lower in each.",
    )


@claim("augmentation-low-overfitting")
def augmentation_low_overfitting(changes: dict[str, Difference], plain: list[str]) -> Decision:
    """Gap of each augmented network minus the mean gap of the others (`plain`); only networks that have learnt."""
    if not changes or not plain:
        raise NotTestable("a network that has learnt nothing has no gap, and none has learnt on one of the two sides.")
    found = "; ".join(f"#{number}: {_points(change)}" for number, change in changes.items())
    words = (
        f"Gap of the augmented networks against the mean gap of the others ({', '.join(f'#{one}' for one in plain)}), "
    )
    words += f"in points: {found}"
    return choose(
        decide_all([decide_difference(change, "lower") for change in changes.values()]),
        supported=f"{words}. They overfit less than the others do on average.",
        contradicted=f"{words}. Not each of them overfits less than the others do on average.",
        tie=f"{words}. Not each of them is shown to overfit less.",
    )


@claim("too-much-regularisation")
def too_much_regularisation(
    total: Difference, dropout: Difference, penalties: Difference, between: Difference, order: Difference
) -> Decision:
    """#9 minus #8; #8 with #9's dropout, with #9's penalties, each minus #8; the second minus the first of these.

    `order`: #8 with #9's dropout minus the same with the dropout after BatchNorm.
    """
    words = (
        f"On val, #9 minus #8: {_points(total)} points. #9's dropout alone: {_points(dropout)}; its penalties alone: "
        f"{_points(penalties)}; the second against the first: {_points(between)}; dropout before BatchNorm against "
        f"after: {_points(order)}"
    )
    if total.high >= 0:
        return "tie", f"{words}. #9 is not shown to fail here, so there is nothing to explain."
    if between.high < 0 and penalties.high < 0:
        return "supported", f"{words}. The weight penalties are the cause more than the dropout."
    if between.low > 0 and dropout.high < 0:
        place = (
            "its place before BatchNorm is part of it"
            if order.high < 0
            else "after BatchNorm it costs even more, so its place is not the reason"
            if order.low > 0
            else "its place before or after BatchNorm makes no difference that these images show"
        )
        return "contradicted", f"{words}. The dropout is the cause more than the penalties; {place}."
    return "tie", f"{words}. Which of the two is the cause stays open."


@claim("ensemble-best-scratch")
def ensemble_best_scratch(difference: Difference, rival: str) -> Decision:
    """#13 minus the best single network by val (`rival`), on the same test images."""
    words = f"#13 against #{rival}, the best single network on val, on test: {difference}"
    return choose(
        decide_difference(difference),
        supported=f"{words}. The average is the best from scratch.",
        contradicted=f"{words}. The average is not the best.",
        tie=f"{words}. The average is not shown to be better.",
    )


@claim("scratch-focus-on-background")
def scratch_focus_on_background(share: Estimate, even: float) -> Decision:
    """Mean share of relevance in the outer tenth of the image, against that of an even map."""
    words = f"The outer tenth holds {share} of the relevance; an even map would put {100 * even:.1f} % there"
    return choose(
        decide_against(share, even),
        supported=f"{words}: the network looks at the border more than it must.",
        contradicted=f"{words}: the network does not prefer the border.",
        tie=f"{words}: neither more nor less.",
    )


@claim("most-confused-classes")
def most_confused_classes(ranks: dict[str, Estimate | int | None], among: int) -> Decision:
    """Rank of each pair among all pairs, bootstrapped (0: never confused; None: not here); the first `among` count."""
    known = {pair: rank for pair, rank in ranks.items() if rank is not None}
    if not known:
        raise NotTestable("none of the two pairs of classes is in this data.")
    words = f"Rank among the confused pairs: {_ranked(known)}"
    return choose(
        decide_all([decide_against(one, among + 0.5, "lower") if one else "contradicted" for one in known.values()]),
        supported=f"{words}: among the first {among}.",
        contradicted=f"{words}: not all among the first {among}.",
        tie=f"{words}: these images are too few to tell whether they are among the first {among}.",
    )


def _ranked(ranks: dict[str, Estimate | int]) -> str:
    return "; ".join(f"{name} {rank or 'never confused'}" for name, rank in ranks.items())


def _points(change: Difference) -> str:
    return f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


# ---- chapter 02: the paper's baselines -------------------------------------------------------------------------------
@claim("b3-best-of-paper")
def b3_best_of_paper(difference: Difference, rival: str) -> Decision:
    """EfficientNet-B3 minus the other architecture of the paper that is best on val (`rival`), paired on test."""
    words = f"EfficientNet-B3 against {rival}, the best other architecture on val, on test: {difference}"
    return choose(
        decide_difference(difference),
        supported=f"{words}.",
        contradicted=f"{words}; EfficientNet-B3 is not the best under this protocol.",
        tie=f"{words}; these test images name no winner.",
    )


@claim(
    "variable-shape-no-better",
    slide=4,
    wording="At this area most architectures are no better with variable shape than with fixed shape.",
    chapter="02",
    test="paired difference of VS and FS on test, for each architecture run here",
)
def variable_shape_no_better(differences: dict[str, Difference], stand_in_only: bool = False) -> Decision:
    """VS minus FS on the same test images, by architecture; contradicted if more than half of them are better."""
    if not differences:
        raise NotTestable("no architecture was run in both shapes.")
    better = [name for name, one in differences.items() if one.low > 0]
    worse = [name for name, one in differences.items() if one.high < 0]
    words = "VS against FS: " + "; ".join(f"{name} {one}" for name, one in differences.items())
    limits = "One seed each, so the spread between seeds is not in the intervals"
    limits += "; only the stand-in was run, none of the paper's seven." if stand_in_only else "."
    paying = 2 * len(better) > len(differences)
    return choose(
        "contradicted" if paying else "supported" if len(worse) > len(better) else "tie",
        supported=f"{words}. Keeping the shape does not pay at this area. {limits}",
        contradicted=f"{words}. Keeping the shape pays. {limits}",
        tie=f"{words}. These test images do not tell which shape is better. {limits}",
    )


# ---- chapter 03: task similarity -------------------------------------------------------------------------------------
@claim("focuses-on-content")
def focuses_on_content(border: Estimate, area: float, more: dict[str, Difference]) -> Decision:
    """Border's share of relevance against its share of the area; what features tell of museum and lot (where known)."""
    border_word = decide_against(border, area, "lower")
    read = [name for name, one in more.items() if one.low > 0]
    told = ", ".join(f"{name} {one}" for name, one in more.items())
    where = f"The frame takes {100 * area:.0f} % of the area and {border} of the relevance"
    where += f"; read from the features, against what the medium tells of it: {told}" if told else ""
    where += "" if told else "; no museum and no lot is known here"
    if border_word == "supported" and read:
        return (
            "tie",
            f"{where}. Content is used, and it is not all that is: the features tell the {' and the '.join(read)}.",
        )
    return choose(
        border_word,
        supported=f"{where}. The network looks at the middle more than an even map would.",
        contradicted=f"{where}. The network looks at the frame more than an even map would.",
        tie=f"{where}. Neither more nor less than an even map: focus on the content is not shown.",
    )


@claim("task-similarity-64")
def task_similarity_64(
    output: Accuracy, random_weights: Accuracy, floor: Accuracy, printed: float, source: str
) -> Decision:
    """Does the probe's accuracy measure overlap? Not if a network that shares no task has some, too.

    `output`: probe on pretrained outputs; `random_weights`: on those of an untrained network; `floor`: the commonest
    answer; the printed value can be tested on the original's images only (`source` "mame").
    """
    words = (
        f"The probe on the ImageNet outputs reaches {output}; on the outputs of the same network with random weights, "
        f"which shares no task with anything, {random_weights}; the commonest answer {floor}"
    )
    if bounds(random_weights)[0] > floor.value:
        value = f" The printed {100 * printed:.0f} % is an accuracy, and no share of the tasks."
        return "contradicted", f"{words}. By this measure a network without any task overlaps as well.{value}"
    if source != "mame":
        raise NotTestable(
            f"{words}. The reading is not refuted, and {100 * printed:.0f} % is a number of MAMe's images."
        )
    low, high = bounds(output)
    end = f"the {100 * printed:.0f} % printed"
    return choose(
        "supported" if low <= printed <= high else "contradicted",
        supported=f"{words}. Random weights give no overlap, and the probe agrees with {end}.",
        contradicted=f"{words}. Random weights give no overlap, but the probe does not agree with {end}.",
    )


@claim("imagenet-overlap")
def imagenet_overlap(added: Difference) -> Decision:
    """Outputs of the pretrained network against those of random weights, same probe, same images."""
    words = f"The probe on pretrained outputs against the one on random weights: {added}"
    return choose(
        decide_difference(added),
        supported=f"{words}; what ImageNet taught helps here.",
        contradicted=f"{words}; what ImageNet taught does not help here.",
        tie=f"{words}; these images can't tell whether ImageNet helps.",
    )


# ---- chapter 04: projections -----------------------------------------------------------------------------------------
SEPARABLE, PURE, CHANCE = 0.95, 0.95, 0.05  # held-out accuracy, purity, p: what the words are taken to mean


@claim("three-groups-separable")
def three_groups_separable(spaces: "dict[str, Separability]", network: str) -> Decision:
    """Held-out accuracy of hyperplanes in each space, and whether random groups of the classes part as well."""
    words = [_separable(one.held, one.p) for one in spaces.values()]
    found = "; ".join(
        f"in {name} hyperplanes put {one.held} of held-out images in the right group ({100 * one.fitted.value:.1f} % "
        f"of those fitted on; random groups of classes: {100 * one.chance:.0f} %, p = {one.p:.2f})"
        for name, one in spaces.items()
    )
    rule = f"Separable is taken to mean {100 * SEPARABLE:.0f} % held out, and p at most {CHANCE}"
    end = f"{network}: {found}. {rule}"
    return choose(
        decide_all(words),
        supported=f"{end}: these groups are, in every space looked at.",
        contradicted=f"{end}: these groups are not, at least in one space.",
        tie=f"{end}: these images can't decide it.",
    )


def _separable(held: Accuracy, p: float) -> str:
    """Too many images on the wrong side are too many whatever random groups do; else these must be beaten."""
    word = decide_against(held, SEPARABLE)
    return "tie" if word != "contradicted" and p > CHANCE + 1e-9 else word


@claim("albumen-perfectly-clustered")
def albumen_perfectly_clustered(
    whole: "Standing", lot: str, lot_share: float, network: str, without: "Standing | None" = None
) -> Decision:
    """Purity of the class's neighbours and its rank, repeated without its big lot (None: too little is left)."""
    words = [word for one in (whole, without) if one for word in (_pure(one.purity), _first(one))]
    found = f"{network}: {_stands(whole)}"
    if without:
        found += f". Without its largest lot ({lot}, {100 * lot_share:.0f} % of its images): {_stands(without)}"
    elif lot:
        found += f"; its largest lot ({lot}) holds {100 * lot_share:.0f} % of it, too much to go without"
    return choose(
        decide_all(words),
        supported=f"{found}. It keeps together, whatever the collection.",
        contradicted=f"{found}. That is not perfect.",
        tie=f"{found}. These images can't decide it.",
    )


def _stands(one: "Standing") -> str:
    return (
        f"{one.purity} of its nearest neighbours are of its class, rank {one.rank} of {one.classes} (purest other: "
        f"{one.rival}, {100 * one.other.value:.1f} %); silhouette {one.silhouette:.2f}, rank {one.silhouette_rank}"
    )


def _first(one: "Standing") -> str:
    """First among the classes by purity; classes whose intervals overlap share a place."""
    return "contradicted" if one.other.low > one.purity.high else "supported"


def _pure(purity: Estimate) -> str:
    """At least `PURE` is perfect; an interval that holds the bound decides nothing."""
    if purity.low >= PURE:
        return "supported"
    return "contradicted" if purity.high < PURE else "tie"


@claim("hand-colored-engraving-connects")
def hand_colored_engraving_connects(ranks: dict[str, int | None], first: list[str], network: str) -> Decision:
    """Ranks of the two classes that it is said to lie between, among its foreign neighbours (None: not among them)."""
    words = ["contradicted" if rank is None else decide_rank(rank, 3) for rank in ranks.values()]
    found = " and ".join(f"{name} is {f'number {rank}' if rank else 'nowhere'}" for name, rank in ranks.items())
    found = f"{network}: {found} among its neighbouring classes (the first: {', '.join(first) or 'none'})"
    mixed = set(words) == {"supported", "contradicted"}
    return choose(
        "tie" if mixed else decide_all(words),
        supported=f"{found}: it lies between them.",
        contradicted=f"{found}: it does not lie between them.",
        tie=f"{found}: near one of them only.",
    )


@claim("woven-fabric-divided")
def woven_fabric_divided(division: "Division", network: str, least: float = 0.25) -> Decision:
    """Divided: at least a quarter of its images lie on either side, and few classes are divided more."""
    sides = [decide_against(one, least) for one in (division.first, division.second)]
    common = division.rank > max(1, division.classes // 4)
    verdict = decide_all(sides)
    found = (
        f"{network}: of its neighbours in either group {division.share} are materials. Near materials only lie "
        f"{division.first} of its images, near drawings only {division.second}; it is number {division.rank} of "
        f"{division.classes} classes by how much it is divided"
    )
    return choose(
        "tie" if verdict == "supported" and common else verdict,
        supported=f"{found}: it is divided between both.",
        contradicted=f"{found}: it is not divided in two, where a quarter on each side is asked for.",
        tie=f"{found}: "
        + ("so are many." if verdict == "supported" else "so few images can't tell (a quarter on each side)."),
    )


@claim("woven-two-neighbourhoods")
def woven_two_neighbourhoods(near: list[list[str]], network: str) -> Decision:
    """Nearest other classes of two clusters of the class, against the two neighbourhoods named in the original."""
    porcelain, silk = {"Hand-colored engraving", "Porcelain"}, {"Silk and metal thread"}
    sides = [[name in silk for name in one if name in porcelain | silk][:1] for one in near]
    both, some = sorted(sides) == [[False], [True]], any(sides)
    lists = " and ".join(", ".join(one) or "no other class" for one in near)
    found = f"{network}: split in two by its features, its parts lie nearest to {lists} (nearest first)"
    return choose(
        "supported" if both else ("tie" if some else "contradicted"),
        supported=f"{found}: two neighbourhoods, as said.",
        contradicted=f"{found}: none of the neighbours named.",
        tie=f"{found}: one of the two neighbourhoods is as said, the other is not.",
    )


@claim("outliers-own-category")
def outliers_own_category(clusters: "list[Cluster]", classes: list[str], network: str, most: float = 0.5) -> Decision:
    """Far small clusters of one class: kinds of object if they come from several lots, else lots; exact binomial."""
    from scipy.stats import binomtest

    if not clusters:
        raise NotTestable(f"no small cluster lies far from the others ({network}).")
    known = [one for one in clusters if one.lot]
    if not known:
        raise NotTestable(f"the lots of the far clusters are unknown ({network}).")
    kinds = [one for one in known if one.share >= 0.8 and one.lot_share < most]
    lots = [one for one in known if one.lot_share >= most]
    total, first = len(kinds) + len(lots), known[0]
    p = float(binomtest(len(kinds), total).pvalue) if total else 1.0
    found = (
        f"{network}: of {len(known)} far small clusters {len(kinds)} are of one class and several lots, {len(lots)} "
        f"mostly of one lot (p = {p:.2f} if both were equally common); the most isolated has {len(first.members)} "
        f"images, {100 * first.share:.0f} % {classes[first.label]}, {100 * first.lot_share:.0f} % of lot {first.lot}"
    )
    verdict = "supported" if len(kinds) > len(lots) else "contradicted"
    return choose(
        verdict if p <= CHANCE else "tie",
        supported=f"{found}: kinds of object, which could be categories.",
        contradicted=f"{found}: collections rather than categories.",
        tie=f"{found}: so few can't tell kinds of object from collections.",
    )


@claim("features-show-outliers")
def features_show_outliers(share: Accuracy, difference: Difference) -> Decision:
    """Are images that stand out oftener from a big lot, duplicated or mislabelled than the others?"""
    more = f"{abs(100 * difference.value):.1f} points {'more' if difference.value > 0 else 'fewer'} than of the others"
    found = (
        f"{share} of the images that stand out most come from a big lot, have a near-duplicate or a doubtful label, "
    )
    found += f"{more} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
    return choose(
        decide_difference(difference),
        supported=f"{found}: looking at them teaches something about the data.",
        contradicted=f"{found}: what stands out has other reasons.",
        tie=f"{found}: no more than chance would find.",
    )


# ---- chapter 05: classification --------------------------------------------------------------------------------------
@claim("voting-best")
def voting_best(difference: Difference, single: str) -> Decision:
    """Voting against the best single classifier by cross-validation (`single`), compared on val, paired."""
    words = f"Voting against {single}, the best single classifier by cross-validation, on val: {difference}"
    return choose(
        decide_difference(difference),
        supported=f"{words}; voting helps.",
        contradicted=f"{words}; voting does not help.",
        tie=f"{words}; the printed first place can be chance, the more so as it was chosen on test.",
    )


@claim("b0-worse")
def b0_worse(difference: Difference, others: int, floor: "SeedSpread") -> Decision:
    """B0 against the mean of the other networks, same classifier, and against what seeds alone do to such a gap."""
    bound = floor.between(others)
    words = f"EfficientNetB0 against the mean of the {others} other networks, same classifier: {difference}"
    words += f"; seeds alone move such a gap by up to {100 * bound:.1f} points ({floor})"
    return choose(
        decide_difference(difference, "lower", bound),
        supported=f"{words}. It does worse.",
        contradicted=f"{words}. It does better.",
        tie=f"{words}. No difference is shown.",
    )


@claim("linear-svm-underfits")
def linear_svm_underfits(train: Accuracy, held: Accuracy, behind: Difference, best: str) -> Decision:
    """Underfitting: most of the error on new images is there on the fitted ones, where another classifier has less.

    Args:
        train: on the images fitted on; 1 minus it is the part of the error that a closer fit could take away.
        held: on val; `train` minus `held` is the part that comes with new images.
        behind: on train, minus the best other classifier (`best`), paired.
        best: its name.
    """
    value = (1 - train.value) - (train.value - held.value)
    half = [(high - low) / 2 for low, high in (train.interval, held.interval)]
    width = (4 * half[0] ** 2 + half[1] ** 2) ** 0.5
    excess = Difference(value, value - width, value + width, held.n)
    words = (
        f"On train {train}, on val {held}: of the error {100 * (1 - train.value):.1f} points are there on the images "
        f"fitted on, {100 * (train.value - held.value):.1f} come with new ones; on train it is {behind} against {best}"
    )
    verdict = "tie" if excess.tie else "supported" if excess.value > 0 and behind.high < 0 else "contradicted"
    return choose(
        verdict,
        supported=f"{words}. It fits its own images badly, which others fit: underfitting.",
        contradicted=f"{words}. That is not underfitting; the loss comes "
        + ("with new images." if excess.value < 0 else "before the classifier: no other fits them better."),
        tie=f"{words}. Neither part prevails.",
    )


@claim("difficult-to-separate")
def difficult_to_separate(difference: Difference, full: Accuracy, reduced: Accuracy) -> Decision:
    """All columns against the eight supervised dimensions, linear classifier, same images."""
    words = f"On all columns {full}, on the eight dimensions {reduced}: all columns are {difference}"
    if difference.tie:
        words = f"On all columns {full}, on the eight dimensions {reduced}: {difference}"
    return choose(
        decide_difference(difference, "lower"),
        supported=f"{words}. The reduction is not what makes it difficult.",
        contradicted=f"{words}. The difficulty came with the reduction, not with the features.",
        tie=f"{words}. The reduction is not shown to cost anything here.",
    )


@claim("external-features-ignored")
def external_features_ignored(
    loss: Estimate,
    removed: Difference,
    alone: Accuracy,
    tells: Difference,
    classifiers: list[str],
    margin: float = 0.05,
) -> Decision:
    """Shuffled and removed external columns, mean over the original's classifiers, and what the columns say alone.

    Args:
        loss: of val accuracy when they are shuffled, mean over `classifiers`.
        removed: fitted with them minus fitted without them, mean over `classifiers`, paired.
        alone: accuracy of a forest on them.
        tells: that minus the commonest class, paired.
        classifiers: their names.
        margin: losses whose whole interval lies within it count as none.
    """
    used = loss.low > 0 or removed.low > 0
    free = loss.high <= margin and removed.high <= margin
    says = tells.low > 0
    verdict = "contradicted" if used else "supported" if free and says else "tie"
    words = (
        f"Mean of {', '.join(classifiers)}: shuffling the external columns on val costs {loss}; fitted with them "
        f"against without: {removed}. Alone (a forest on them) they reach {alone}"
    )
    return choose(
        verdict,
        supported=f"{words}: they say something, and the classifiers make less than {100 * margin:.0f} points of it.",
        contradicted=f"{words}: the classifiers use them.",
        tie=f"{words}: "
        + ("use can neither be shown nor ruled out." if says else "they are not shown to hold anything to be ignored."),
    )


@claim("dense-classifier-equal")
def dense_classifier_equal(difference: Difference, where: str) -> Decision:
    """Outputs minus penultimate features, same classifier, same images; equal means within five points."""
    words = f"Outputs against penultimate features ({where}): {difference}"
    return choose(
        decide_equal(difference),
        supported=f"{words}. They do as well, to within five points.",
        contradicted=f"{words}. They do not do the same.",
        tie=f"{words}. No difference shows, but the interval is too wide to call them equal.",
    )


@claim("extractors-differ")
def extractors_differ(spread: float, floor: "SeedSpread", networks: int) -> Decision:
    """Standard deviation between extractors against that between seeds of one (both over classifiers)."""
    if networks < 2:
        raise NotTestable("this run has one network; a comparison needs two.")
    verdict = "supported" if spread > floor.largest else ("contradicted" if spread <= floor.value else "tie")
    words = (
        f"Between the {networks} extractors {100 * spread:.1f} points of standard deviation; for one of them {floor}"
    )
    return choose(
        verdict,
        supported=f"{words}: extractors differ by more than seeds do.",
        contradicted=f"{words}: one network under several seeds would look the same.",
        tie=f"{words}: more than seeds on average, less than they do to some classifier.",
    )


@claim("features-not-classifier")
def features_not_classifier(
    eight: "Decomposition", full: "Decomposition", both: "Decomposition", where: str
) -> Decision:
    """Shares of the variance of accuracy: networks against classifiers on either kind of columns, the reduction apart.

    Args:
        eight: on the original's eight dimensions and external columns.
        full: on all columns.
        both: with the reduction as a third factor; it describes, and does not decide.
        where: what the accuracies are of.
    """
    parts = {"eight dimensions": eight, "all columns": full}
    words = "; ".join(
        f"on {name} the networks' features carry {one.features} of the variance of accuracy, the classifier "
        f"{one.classifier}"
        for name, one in parts.items()
    )
    jump = f"With both kinds together the reduction carries {both.reduction}, the networks {both.features}, the "
    jump += f"classifier {both.classifier}"
    verdicts = {name: decide_against(one.lead, 0) for name, one in parts.items()}
    mixed = {"supported", "contradicted"} <= set(verdicts.values())
    each = "; ".join(f"{name}: {LEADS[verdict]}" for name, verdict in verdicts.items())
    return choose(
        "tie" if mixed else decide_all(list(verdicts.values())),
        supported=f"{where}: {words}. It is about the features. {jump}.",
        contradicted=f"{where}: {words}. Not the features lead everywhere ({each}). {jump}.",
        tie=f"{where}: {words}. No one lead holds on both ({each}). {jump}.",
    )


LEADS = {"supported": "the features lead", "contradicted": "the classifier leads", "tie": "neither leads"}


@claim(
    "cv-scores-hold",
    slide=17,
    wording="The cross-validated scores beside the test scores tell how good the classifiers are.",
    chapter="05",
    test="reduction fitted before the folds: cross-validation against val; and against the reduction fitted inside the "
    "same folds, all else equal",
)
def cv_scores_hold(leaky: Accuracy, held: Accuracy, honest: Accuracy, leak: Difference) -> Decision:
    """Cross-validation and val of the same columns (made before the folds); `leak`: before minus inside, same folds."""
    gap = leaky.minus(held)
    words = (
        f"On columns made before the folds, cross-validation says {leaky} and val {held}, a gap of {_points(gap)} "
        f"points. Made inside the same folds they give {honest}: making them before adds {_points(leak)} points"
    )
    return choose(
        decide_equal(gap),
        supported=f"{words}. Cross-validation and val agree to within five points.",
        contradicted=f"{words}. "
        + (
            "The gap is leakage: labels of the held-out images went into the columns."
            if gap.value > 0 and leak.low > 0
            else "The gap is not shown to be leakage."
        ),
        tie=f"{words}. The interval of the gap is too wide to say that they agree.",
    )


@claim(
    "unshuffled-folds-harmless",
    slide=17,
    wording="Five folds in the table's order are a fair cross-validation.",
    chapter="05",
    test="spread between folds in the table's order against shuffled folds of the same size, and museums by fold",
)
def unshuffled_folds_harmless(ordered: Difference, shuffled: Difference, museums: float) -> Decision:
    """Gap between the best and the worst fold, ordered and shuffled; largest gap between folds in museum share."""
    excess = ordered.value - shuffled.value
    below = ((ordered.value - ordered.low) ** 2 + (shuffled.high - shuffled.value) ** 2) ** 0.5
    above = ((ordered.high - ordered.value) ** 2 + (shuffled.value - shuffled.low) ** 2) ** 0.5
    more = Difference(excess, excess - below, excess + above, ordered.n)
    words = f"Best minus worst fold: {_points(ordered)} points in the table's order, {_points(shuffled)} shuffled, "
    words += f"{_points(more)} more in order; the commonest museum's share differs by {100 * museums:.0f} points "
    words += "between folds in order"
    return choose(
        "contradicted" if more.low > 0 else "supported" if more.high <= 0.05 else "tie",
        supported=f"{words}. The order does no harm of five points or more here.",
        contradicted=f"{words}. Folds in the table's order test another thing: a change of museum.",
        tie=f"{words}. So few images can neither show harm nor rule it out.",
    )


@claim(
    "content-not-border",
    slide=6,
    wording="The network focuses on the content (here: of the image, not of its surroundings).",
    chapter="05",
    test="probe on images without their middle against the same without their border, equal areas, same images",
)
def content_not_border(middle: Accuracy, border: Accuracy, difference: Difference, tells: Difference) -> Decision:
    """Middle alone minus border alone, both half of the area; `tells`: border alone minus the commonest class."""
    words = f"With the middle half alone {middle}, with the border half alone {border}"
    also = (
        "the border alone tells more than nothing"
        if tells.low > 0
        else "the border alone is not shown to tell anything"
    )
    return choose(
        decide_difference(difference),
        supported=f"{words}: the middle is {difference}; {also}.",
        contradicted=f"{words}: the middle is {difference}; the surroundings tell more.",
        tie=f"{words}: {difference}; {also}.",
    )


# ---- chapters 06 to 11: fine-tuning runs -----------------------------------------------------------------------------
@claim("freeze-first-blocks")
def freeze_first_blocks(difference: Difference, frozen: str, other: str) -> Decision:
    """`difference`: val accuracy with the recipe's frozen blocks minus that with the other freeze point."""
    where = f"{frozen} against {other}: {difference}"
    return choose(
        decide_difference(difference),
        f"Keeping the first blocks and training the rest is better here than the other freeze point ({where}).",
        f"The other freeze point is better here ({where}).",
        f"The freeze point makes no difference beyond its interval here ({where}).",
    )


@claim("lower-rate-improves")
def lower_rate_improves(difference: Difference, changed: list[str]) -> Decision:
    """`difference`: val accuracy of run 2 minus run 1; `changed`: names of the settings in which they differ here."""
    together = f"between them changed: {', '.join(changed)}"
    cause = f"{together}; which of these did it, two runs can't tell" if len(changed) > 1 else together
    return choose(
        decide_difference(difference),
        f"Run 2 is {difference} than run 1 on val; {cause}.",
        f"Run 2 is {difference} than run 1 on val; {cause}.",
        f"Runs 1 and 2 are {difference} on val; {together}.",
    )


@claim("val-loss-not-decreasing")
def val_loss_not_decreasing(slope: Estimate, margin: float = 0.01) -> Decision:
    """`slope`: of val cross-entropy over the last epochs, nats an epoch; `margin`: falls below it count as none."""
    verdict = "contradicted" if slope.high < 0 else "supported" if slope.low > -margin else "tie"
    return choose(
        verdict,
        f"Val cross-entropy changes by {slope} at the end: it is not decreasing.",
        f"Val cross-entropy changes by {slope} at the end: it is still decreasing.",
        f"Val cross-entropy changes by {slope} at the end: whether it still decreases can't be told.",
    )


@claim("l2-helps-loss")
def l2_helps_loss(loss: Estimate, accuracy: Difference) -> Decision:
    """`loss`: val cross-entropy of run 3 minus run 2 (nats); `accuracy`: val accuracy of run 3 minus run 2."""
    parts = [decide_against(loss, 0.0, "lower"), decide_equal(accuracy)]
    words = f"cross-entropy of run 3 minus run 2: {loss}; accuracy: {accuracy}"
    return choose(
        decide_all(parts),
        f"Val cross-entropy is lower while accuracy is the same to within five points ({words}).",
        f"Not both hold on val ({words}).",
        f"A lower cross-entropy at the same accuracy is neither shown nor ruled out on val ({words}).",
    )


@claim("wider-head-worse")
def wider_head_worse(difference: Difference, widths: str) -> Decision:
    """`difference`: val accuracy with the wider head minus run 3."""
    return choose(
        decide_difference(difference, "lower"),
        f"The wider head ({widths}) is {difference} than run 3 on val.",
        f"The wider head ({widths}) is {difference} than run 3 on val.",
        f"The wider head ({widths}) and run 3 are {difference} on val; one run each can't call it significantly worse.",
    )


@claim("run4-too-hard-training")
def too_hard_training(counted: Difference, clean: Difference, above: int, epochs: int) -> Decision:
    """Val minus train accuracy at the end: as `counted` while training, and on train evaluated `clean`ly.

    `above`: after how many of the `epochs` val lies above the counted train accuracy.
    """
    return _too_hard(counted, clean, above, epochs, "at the end")


@claim("run5-too-hard-at-first")
def too_hard_at_first(counted: Difference, clean: Difference, above: int, epochs: int) -> Decision:
    """The same for the mean over the first half of run 5's epochs."""
    return _too_hard(counted, clean, above, epochs, "on average over the first half of the epochs")


def _too_hard(counted: Difference, clean: Difference, above: int, epochs: int, when: str) -> Decision:
    words = f"val against train {when}, as counted: {counted}; evaluated cleanly: {clean}"
    often = f"Val lies above the counted train accuracy after {above} of {epochs} epochs"
    if above < epochs:
        verdict = "contradicted" if counted.high < 0 or 2 * above <= epochs else "tie"
        return verdict, f"{often}, so not always ({words})."
    return choose(
        decide_difference(clean),
        f"{often}, and above train even where train is evaluated cleanly ({words}).",
        f"{often}, which the way of counting makes: evaluated cleanly, train lies above val ({words}).",
        f"{often}; evaluated cleanly, train and val can't be told apart ({words}).",
    )


@claim("run5-loss-still-falling")
def loss_still_falling(slope: Estimate) -> Decision:
    """`slope`: of val cross-entropy over the last epochs, nats an epoch."""
    return choose(
        decide_against(slope, 0.0, "lower"),
        f"Val cross-entropy still falls at the end ({slope}).",
        f"Val cross-entropy rises at the end ({slope}).",
        f"Val cross-entropy neither falls nor rises beyond its scatter at the end ({slope}).",
    )


@claim("run5-could-be-regularised")
def could_be_regularised(gap: Difference) -> Decision:
    """`gap`: clean train minus val accuracy at the end."""
    if gap.low > 0:
        return "supported", f"At the end clean train is {gap} than val: there is a gap for a regulariser to lower."
    if gap.high < 0:
        return "contradicted", f"At the end clean train is {gap} than val: nothing is overfitted."
    words = f"At the end clean train and val are {gap}"
    return choose(
        {"supported": "contradicted", "tie": "tie"}[decide_equal(gap)],
        "",
        f"{words}: they agree to within five points, so there is next to nothing to regularise.",
        f"{words}: neither overfitting nor its absence is shown.",
    )


@claim("loss-rises-accuracy-rises")
def loss_rises_accuracy_rises(loss: Estimate, accuracy: Estimate) -> Decision:
    """Slopes of val cross-entropy (nats an epoch) and val accuracy from the lowest cross-entropy on."""
    words = f"cross-entropy {loss}, accuracy {accuracy}"
    return choose(
        decide_all([decide_against(loss, 0.0), decide_against(accuracy, 0.0)]),
        f"Both rise after the lowest loss of run 6 here ({words}).",
        f"They do not both rise after the lowest loss of run 6 here ({words}).",
        f"After the lowest loss of run 6 here not both trends exceed their scatter ({words}).",
    )


@claim("loss-rises-less-sure")
def loss_rises_less_sure(
    total: Estimate, right: Estimate, wrong: Estimate, balance: Estimate, surer_right: Estimate, surer_wrong: Estimate
) -> Decision:
    """Change of val cross-entropy since its lowest epoch (nats) and who carries it (`diagnosis.Rise`)."""
    if total.value <= 0:
        raise NotTestable("val cross-entropy is lowest at the last epoch of this run, so it did not rise.")
    if total.low <= 0:
        return "tie", f"Val cross-entropy rose by {total} since its lowest epoch: a rise is not shown."
    words = f"right answers {right}, wrong ones {wrong} of {total}; {_surer('right', surer_right)}; "
    words += _surer("wrong", surer_wrong)
    return choose(
        decide_against(balance, 0.0),
        f"Images that are right at the end carry more of the rise ({words}).",
        f"Images that are wrong at the end carry more of the rise ({words}).",
        f"Which of right and wrong answers carry more of the rise can't be told ({words}).",
    )


def _surer(which: str, change: Estimate) -> str:
    if not change.n:
        return f"no answer is {which}"
    if not change.excludes(0.0):
        return f"the confidence of {which} ones doesn't change beyond its interval ({change})"
    return f"the network became {'surer' if change.value > 0 else 'less sure'} of {which} ones ({change})"


@claim("accuracy-against-confidence")
def accuracy_against_confidence(
    accurate: int, lowest: int, accuracy: Difference, before: Estimate, after: Estimate, margin: float = 0.05
) -> Decision:
    """Epoch of the highest val accuracy against that of the lowest val cross-entropy.

    Args:
        accurate: the former, from 1.
        lowest: the latter, from 1.
        accuracy: of the former minus the latter, paired.
        before: negative log likelihood (NLL) of the former minus the latter, nats, as they are.
        after: the same after one temperature each, fitted on other images.
        margin: nats up to which the former is no worse.
    """
    if accurate == lowest:
        raise NotTestable(f"epoch {accurate} of this run has both the highest accuracy and the lowest cross-entropy.")
    words = (
        f"epoch {accurate} against epoch {lowest}: accuracy {accuracy}; NLL {before} as they are, {after} after one "
        "temperature each"
    )
    worse = "tie" if accuracy.low <= 0 else "supported"
    return choose(
        "contradicted" if after.high < margin else worse if after.low > 0 else "tie",
        f"The more accurate epoch stays clearly worse in likelihood ({words}).",
        f"No trade is needed: with a temperature the more accurate epoch is no worse in likelihood ({words}).",
        f"A trade of accuracy against confidence is neither shown nor ruled out ({words}).",
    )


@claim("run6-best")
def run6_best(difference: Difference, other: str) -> Decision:
    """`difference`: val accuracy of run 6 minus the best of the other runs."""
    return choose(
        decide_difference(difference),
        f"Run 6 is {difference} than {other}, the best of the others, on val.",
        f"Run 6 is {difference} than {other} on val.",
        f"Run 6 and {other}, the best of the others, are {difference} on val.",
    )


@claim("steady-improvement")
def steady_improvement(overall: Difference, steps: list[Difference]) -> Decision:
    """`overall`: run 6 minus run 1 on val; `steps`: each run minus the one before; a clear fall contradicts a rise."""
    rises, falls = (sum(not one.tie and (one.value > 0) == up for one in steps) for up in (True, False))
    words = (
        f"run 6 against run 1: {overall}; of {len(steps)} steps between neighbours {rises} clearly rise, {falls} "
        f"clearly fall, {len(steps) - rises - falls} are ties"
    )
    return choose(
        "contradicted" if falls else decide_difference(overall),
        f"Accuracy rises from run 1 to run 6 here without a clear fall on the way ({words}).",
        f"Accuracy does not rise steadily from run 1 to run 6 here ({words}).",
        f"From run 1 to run 6 here it is a tie ({words}).",
    )


@claim("rescaled-inputs-suffice")
def rescaled_inputs_suffice(difference: Difference) -> Decision:
    """Val accuracy with the right preprocessing minus that with inputs divided by 255, paired."""
    numbers = (
        f"the right preprocessing is {difference}" if not difference.tie else f"both preparations are {difference}"
    )
    return choose(
        decide_equal(difference),
        supported=f"Training makes up for the other range: {numbers}.",
        contradicted=f"Inputs of another range than the weights were trained on change the result: {numbers}.",
        tie=f"Not to be told at this number of val images: {numbers}.",
    )


# ---- chapter 12: fine-tuned features ---------------------------------------------------------------------------------
@claim("clearer-separability")
def clearer_separability(val: Difference, test: Difference, train: Difference) -> Decision:
    """Neighbour purity of fine-tuned minus pretrained features, on images of each split."""
    words = f"val: {val}; test: {test}; on the train images it was fitted on: {train}"
    return choose(
        decide_all([decide_difference(val), decide_difference(test)]),
        f"Neighbours are of the same class more often on images that it never saw ({words}).",
        f"On images that it never saw, neighbours are not of the same class more often ({words}).",
        f"On images that it never saw the gain is within its interval ({words}).",
    )


@claim("silk-not-solved")
def silk_not_solved(gains: dict[str, Difference], recalls: dict[str, str], margin: float = 0.05) -> Decision:
    """Recall of the textile classes on test, fine-tuned minus pretrained features, paired on the class's images.

    `recalls` says in words what each class's recall was before and after; gains below `margin` are none.
    """
    words = "; ".join(f"{name}: {recalls[name]}, {gain}" for name, gain in gains.items())
    verdicts = {
        "contradicted" if one.low > 0 else "supported" if one.high < margin else "tie" for one in gains.values()
    }
    return choose(
        verdicts.pop() if len(verdicts) == 1 else "tie",
        f"Recall does not rise with fine-tuned features ({words}).",
        f"Recall rises with fine-tuned features ({words}).",
        f"Whether fine-tuned features help these classes can't be told as a whole ({words}).",
    )


@claim("linear-svm-hero")
def linear_svm_hero(before: Difference, after: Difference) -> Decision:
    """Linear SVM minus the best other classifier on val, on pretrained and on fine-tuned features."""
    words = (
        f"pretrained {before}, fine-tuned {after}; its rival is the best of the others on the same images, which "
        "favours the rival"
    )
    level = {name: decide_equal(one) == "supported" for name, one in (("before", before), ("after", after))}
    if after.high < 0 or before.low > 0 or level["before"]:
        verdict = "contradicted"
    else:
        verdict = "supported" if before.high < 0 and (after.low > 0 or level["after"]) else "tie"
    return choose(
        verdict,
        f"The linear SVM goes from behind to the front ({words}).",
        f"The linear SVM was not behind on full features, or still is on fine-tuned ones ({words}).",
        f"That the linear SVM went from behind to the front is neither shown nor ruled out ({words}).",
    )


@claim("fine-tuned-features-help")
def fine_tuned_features_help(difference: Difference, classifier: str) -> Decision:
    """`difference`: test accuracy on fine-tuned minus pretrained features, same classifier."""
    return choose(
        decide_difference(difference),
        f"With {classifier}, fine-tuned features are {difference} than the pretrained ones on test.",
        f"With {classifier}, fine-tuned features are {difference} than the pretrained ones on test.",
        f"With {classifier}, fine-tuned and pretrained features are {difference} on test.",
    )


@claim("final-result-by-features")
def final_by_features(difference: Difference, route: Accuracy, head: Accuracy) -> Decision:
    """`difference`: route through features minus the network's own head, test."""
    return choose(
        decide_difference(difference),
        f"The features' route is {difference} than the network's own head on test ({route} against {head}).",
        f"The features' route is {difference} than the network's own head on test ({route} against {head}).",
        f"The features' route and the network's own head are {difference} on test ({route} against {head}).",
    )


# ---- chapter 13: Grad-CAM --------------------------------------------------------------------------------------------
@claim("smarter-focused")
def smarter_focused(gains: dict[str, Estimate], pretrained: Estimate, scratch: Estimate, network: str) -> Decision:
    """Focus of a pretrained network (linear head on frozen features) against the network from scratch.

    Args:
        gains: focus of the pretrained minus that of the scratch network on the same mosaics, by method of the maps and
            size of the mosaics; the claim holds where it holds in all of these ways.
        pretrained: its mean focus in the first of these ways.
        scratch: that of the network from scratch.
        network: name of the pretrained network.
    """
    if not gains:
        raise NotTestable("no mosaic has positive evidence in both networks.")
    told = "; ".join(f"{way} {gain}" for way, gain in gains.items())
    numbers = f"focus {pretrained} for {network}, {scratch} from scratch (chance 0.5); differences: {told}"
    words = [decide_against(gain, 0.0) for gain in gains.values()]
    mixed = {"supported", "contradicted"} <= set(words)
    return choose(
        "tie" if mixed else decide_all(words),
        supported=f"On 2×2 mosaics the pretrained network's evidence lies more on the class asked for: {numbers}.",
        contradicted=f"The network from scratch focuses better than the pretrained one: {numbers}.",
        tie=f"Which network focuses better is not decided in every way of measuring it: {numbers}.",
    )


# ---- chapter 14: results, and arithmetic on printed numbers ----------------------------------------------------------
@claim("report-accuracy-follows")
def report_accuracy_follows(printed: float, accuracy: Accuracy) -> Decision:
    """Printed accuracy against the support-weighted recall of the printed rows."""
    return _follows(f"{accuracy.value:.3f}, printed is {printed:.2f}", decide_printed(accuracy.value, printed))


@claim("report-macro-follows")
@claim("report-weighted-follows")
def averages_follow(printed: dict[str, float], recomputed: dict[str, float]) -> Decision:
    """Three printed averages against those recomputed from the printed rows (each rounded to two digits)."""
    verdict = decide_all([decide_printed(recomputed[name], printed[name]) for name in printed])
    found = " / ".join(f"{value:.3f}" for value in recomputed.values())
    return _follows(f"{found}, printed is {' / '.join(f'{value:.2f}' for value in printed.values())}", verdict)


@claim("diagonal-agrees-with-accuracy")
def diagonal_agrees(printed: float, diagonal: Accuracy) -> Decision:
    """Diagonal of the printed confusion matrix over the test images against the printed accuracy."""
    numbers = f"{diagonal.successes:,} of {diagonal.n:,} images, {diagonal.value:.4f}; the report prints {printed:.2f}"
    return choose(
        decide_printed(diagonal.value, printed),
        supported=f"The matrix's diagonal gives the printed accuracy: {numbers}.",
        contradicted=f"The matrix's diagonal gives another accuracy than the report: {numbers}.",
    )


def _follows(numbers: str, verdict: str) -> Decision:
    return choose(
        verdict,
        supported=f"The rows give {numbers}: it follows from them.",
        contradicted=f"The rows give {numbers}: it doesn't follow from them.",
    )


@claim("overfitting-labels-consistent")
def overfitting_labels_consistent(gaps: dict[str, float], labels: dict[str, str]) -> Decision:
    """A row with a smaller gap of train and val must not have a higher label."""
    order = {"Low": 0, "Medium": 1, "High": 2}
    crossed = [
        f"#{one} is called {labels[one]} at a gap of {100 * gaps[one]:.0f} points and #{other} {labels[other]} at "
        f"{100 * gaps[other]:.0f}"
        for one in gaps
        for other in gaps
        if order[labels[one]] > order[labels[other]] and gaps[one] < gaps[other] - 1e-9
    ]
    return choose(
        "contradicted" if crossed else "supported",
        supported="The labels follow the printed gaps of train and val.",
        contradicted=f"The labels don't follow the gaps of train and val: {'; '.join(crossed)}.",
    )


@claim("rows-are-single-networks")
def rows_are_single_networks(
    rows: dict[str, tuple[float, float]], members: dict[str, dict[str, tuple[float, float]]]
) -> Decision:
    """A joined row must show (train, val) of one of its two networks."""
    mixed = [name for name, values in rows.items() if values not in members[name].values()]
    described = "; ".join(
        f"row {name} prints {rows[name][0]:.2f}/{rows[name][1]:.2f}, its networks had "
        + " and ".join(f"{train:.2f}/{val:.2f}" for train, val in members[name].values())
        for name in mixed
    )
    return choose(
        "contradicted" if mixed else "supported",
        supported="Each joined row shows the train and val accuracy of one of its two networks.",
        contradicted=f"A row is neither of its networks (train/val): {described}.",
    )


@claim("variable-shape-helps")
def variable_shape_helps(differences: dict[str, Difference]) -> Decision:
    """Variable minus fixed shape for each architecture; decided by the majority of the architectures."""
    better = [name for name, one in differences.items() if not one.tie and one.value > 0]
    worse = [name for name, one in differences.items() if not one.tie and one.value < 0]
    half = len(differences) / 2
    verdict = "supported" if len(better) > half else "contradicted" if len(worse) > half else "tie"
    numbers = (
        f"of {len(differences)} architectures {len(better)} are better with variable shape, {len(worse)} worse, "
        f"{len(differences) - len(better) - len(worse)} tie within the interval of two accuracies"
    )
    return choose(
        verdict,
        supported=f"Variable shape is better for most: {numbers}.",
        contradicted=f"Variable shape is worse for most: {numbers}.",
        tie=f"The printed table doesn't decide it: {numbers}.",
    )


@claim("printed-vgg16-parameters")
def printed_vgg16_parameters(printed: int, sizes: dict[str, int]) -> Decision:
    """The printed number against the sizes of VGG16's parts at 224 pixels."""
    matches = [name for name, size in sizes.items() if size == printed and name != "fc1 alone"]
    listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    alone = " It is the size of the layer fc1 alone." if printed == sizes.get("fc1 alone") else ""
    return choose(
        "supported" if matches else "contradicted",
        supported=f"{printed:,} are the parameters of VGG16 {matches[0] if matches else ''}.",
        contradicted=f"{printed:,} is not the size of VGG16 as an extractor ({listed}).{alone}",
    )


@claim("slide-17-follows-figure")
def slide_17_follows_figure(table: dict[str, float], figure: dict[str, float]) -> Decision:
    """Scores printed in the slide's table against those of the notebook behind it, to three digits."""
    off = [name for name in table if decide_printed(figure[name], table[name], 3) == "contradicted"]
    listed = ", ".join(f"{name} {table[name]:.3f} instead of {figure[name]:.3f}" for name in off)
    return choose(
        "contradicted" if off else "supported",
        supported="Table and figure give the same scores.",
        contradicted=f"The table prints other scores than its figure: {listed}.",
    )


@claim("printed-b0-worse")
def printed_b0_worse(differences: dict[str, Difference]) -> Decision:
    """B0 minus the mean of the other extractors on each slide; all slides must agree."""
    verdict = decide_all([decide_difference(one, expect="lower") for one in differences.values()])
    numbers = "; ".join(f"{name}: {one}" for name, one in differences.items())
    return choose(
        verdict,
        supported=f"The printed scores of EfficientNetB0 lie below the others beyond the interval ({numbers}).",
        contradicted=f"The printed scores of EfficientNetB0 don't lie below the others ({numbers}).",
        tie=f"The printed scores of EfficientNetB0 can't be told from the others ({numbers}).",
    )


@claim("printed-features-beat-head")
def printed_features_beat_head(features: Accuracy, head: Accuracy) -> Decision:
    """Accuracy by fine-tuned features as printed against that of the network's own head from the report's rows."""
    numbers = f"{features} by the features, {head} by the network's own head"
    return choose(
        decide_difference(features.minus(head)),
        supported=f"The features' route is better: {numbers}.",
        contradicted=f"The network's own head, which needs no second classifier, is better: {numbers}.",
        tie=f"The features' route and the network's own head tie: {numbers}.",
    )


@claim("printed-runs-differ")
def printed_runs_differ(steps: dict[str, Difference], overall: Difference) -> Decision:
    """Ends of the plotted curves from run to run, unpaired intervals at the size of val."""
    verdict = decide_difference(overall)
    moved = [name for name, one in steps.items() if not one.tie]
    numbers = f"last run against the first: {overall}; neighbours that differ: {', '.join(moved) or 'none'}"
    return choose(
        verdict,
        supported=f"The plotted curves show progress beyond the interval ({numbers}).",
        contradicted=f"The plotted curves show a loss from the first to the last run ({numbers}).",
        tie=f"At this number of val images the printed runs can't be told apart ({numbers}).",
    )


@claim("printed-accuracies-follow-curves")
def printed_accuracies_follow_curves(printed: dict[str, float], curves: dict[str, float]) -> Decision:
    """Printed accuracy within one hundredth (rounding and reading) of the end of its plotted curve."""
    off = [run for run in printed if abs(printed[run] - curves[run]) > 0.010 + 1e-9]
    listed = ", ".join(f"run {run} {printed[run]:.2f} where the curve ends at {curves[run]:.3f}" for run in off)
    return choose(
        "contradicted" if off else "supported",
        supported="Every printed accuracy is the end of its curve.",
        contradicted=f"Printed accuracies differ from their curves: {listed}.",
    )


@claim("below-papers-vgg16")
def below_papers_vgg16(lab: Accuracy, paper: Accuracy) -> Decision:
    """The original's last network against the same architecture in the paper (protocols differ)."""
    difference = lab.minus(paper)
    numbers = f"{lab} against {paper} in the paper (fixed shape, longer training, augmentation)"
    return choose(
        decide_difference(difference),
        supported=f"It is {difference} than the paper's VGG16: {numbers}.",
        contradicted=f"It is {difference} than the paper's VGG16, beside which it was never put: {numbers}.",
        tie=f"It equals the paper's VGG16 within the interval: {numbers}.",
    )


@claim("printed-9-regularised-too-much")
def printed_9_regularised_too_much(gaps: dict[str, float]) -> Decision:
    """Printed gaps of train and val of #9 and #10: the more regularised network must have the smaller one."""
    numbers = ", ".join(f"#{number} {100 * gap:.0f} points" for number, gap in gaps.items())
    return choose(
        "supported" if gaps["9"] <= gaps["10"] + 1e-9 else "contradicted",
        supported=f"#9's gap of train and val is the smaller one, as regularisation makes it: {numbers}.",
        contradicted=f"#9's gap of train and val is the larger one, where more regularisation must narrow it: "
        f"{numbers}. So its failure needs another cause.",
    )


@claim("printed-sample-of-100")
def printed_sample_of_100(smallest: int, largest: int, wanted: int, classes: int) -> Decision:
    """Classes of a sample against Poisson counts around the wanted one (normal quantile, Bonferroni over classes)."""
    half = NormalDist().inv_cdf(1 - 0.025 / classes) * wanted**0.5
    numbers = f"{smallest} to {largest} images a class; a random draw of {wanted} a class gives {wanted} ± {half:.0f}"
    return choose(
        "supported" if wanted - half <= smallest and largest <= wanted + half else "contradicted",
        supported=f"The histogram fits: {numbers}.",
        contradicted=f"The histogram doesn't fit: {numbers}.",
    )


@claim("printed-cv-scores-hold")
def printed_cv_scores_hold(pairs: dict[str, tuple[Accuracy, Accuracy]]) -> Decision:
    """Printed cross-validated scores (first) against what the same classifiers reach on other images (second)."""
    verdicts = [decide_difference(cv.minus(held), "equal") for cv, held in pairs.values()]
    listed = "; ".join(f"{name} {cv.value:.2f} against {held.value:.2f}" for name, (cv, held) in pairs.items())
    return choose(
        decide_all(verdicts),
        supported=f"The cross-validated scores are reached on val and test: {listed}.",
        contradicted=f"The cross-validated scores are not reached on val and test: {listed}. The reduction before them "
        "had seen the labels of all folds; and what is better in cross-validation than on test doesn't underfit.",
    )


@claim("printed-folds-agree")
def printed_folds_agree(gaps: dict[str, Difference]) -> Decision:
    """The lowest printed fold of each classifier against the next one, unpaired intervals at the size of a fold."""
    listed = "; ".join(f"{name} {100 * gap.value:.0f} points" for name, gap in gaps.items())
    return choose(
        decide_all([decide_difference(gap, "equal") for gap in gaps.values()]),
        supported=f"No fold lies below the others beyond the interval ({listed}).",
        contradicted=f"One fold lies below all others beyond the interval ({listed}): the rows stood in the order of "
        "the museums and were not shuffled.",
    )


@claim("printed-importances-ignore")
def printed_importances_ignore(importances: dict[str, float], columns: int) -> Decision:
    """Printed importances of external columns: one that is ignored has none (0.00 when rounded)."""
    used = [name for name, share in importances.items() if decide_printed(share, 0.0) == "contradicted"]
    listed = ", ".join(f"{name} {share:.2f}" for name, share in importances.items())
    numbers = f"{listed}, where an even share of {columns} columns is {1 / columns:.2f}"
    return choose(
        "contradicted" if used else "supported",
        supported=f"The printed importances are zero: {numbers}.",
        contradicted=f"A printed importance is not zero: {numbers}.",
    )


@claim("slide-22-best-follows-figure")
def slide_22_best_follows_figure(table: dict[str, str], figure: dict[str, str]) -> Decision:
    """Best model of the printed table against the highest bar of the figure, by network."""
    off = [name for name in figure if table[name] != figure[name]]
    listed = ", ".join(f"{name} {table[name]}, where {figure[name]} is the highest bar" for name in off)
    return choose(
        "contradicted" if off else "supported",
        supported="The table names the best model of the figure.",
        contradicted=f"The table names another model than the figure: {listed}.",
    )


@claim("printed-fine-tuned-features-help")
def printed_fine_tuned_features_help(differences: dict[str, Difference]) -> Decision:
    """Printed scores on fine-tuned minus those on pretrained features, by network (unpaired)."""
    listed = "; ".join(f"{name} {one}" for name, one in differences.items())
    return choose(
        decide_all([decide_difference(one) for one in differences.values()]),
        supported=f"Fine-tuned features are better for every network: {listed}.",
        contradicted=f"Fine-tuned features are worse for a network: {listed}.",
        tie=f"Fine-tuned features are not better for every network: {listed}.",
    )


@claim("printed-l2-fits-curves")
def printed_l2_fits_curves(penalties: dict[str, float], starts: dict[str, float]) -> Decision:
    """Penalty at the start by the printed factor against the start of the plotted loss: within a factor of two."""
    off = [run for run in penalties if not 0.5 <= starts[run] / penalties[run] <= 2]
    listed = "; ".join(f"run {run} starts at {starts[run]:,.4g}, its L2 alone is {penalties[run]:,.0f}" for run in off)
    return choose(
        "contradicted" if off else "supported",
        supported="Every plotted loss starts where its printed L2 puts it.",
        contradicted=f"Plotted losses that can't be those of the printed L2: {listed}.",
    )


@claim("printed-lower-rate-improves")
def printed_lower_rate_improves(difference: Difference, before: float, after: float) -> Decision:
    """Ends of two plotted val curves, unpaired interval at the size of val."""
    numbers = f"val ends at {after:.3f} after {before:.3f}"
    return choose(
        decide_difference(difference),
        supported=f"By its curve run 4 is {difference} than run 3: {numbers}.",
        contradicted=f"By its curve run 4 is {difference} than run 3: {numbers}.",
        tie=f"By their curves runs 3 and 4 can't be told apart: {numbers}.",
    )


@claim("val-carries-over")
def val_carries_over(val: Accuracy, balanced: Estimate) -> Decision:
    """Printed val accuracy against the balanced test accuracy of the printed rows (independent images)."""
    return _carried(val, balanced)


@claim("val-predicts-test")
def val_predicts_test(val: Accuracy | Estimate, balanced: Estimate) -> Decision:
    """Val accuracy of the headline run against its balanced test accuracy (val is balanced, test is not)."""
    return _carried(val, balanced)


def _carried(val: Accuracy | Estimate, balanced: Estimate) -> Decision:
    from lab_utils.stats.metrics import independent_difference

    difference = independent_difference(val, balanced)
    numbers = f"val {val}, balanced test {balanced}"
    return choose(
        decide_equal(difference),
        supported=f"Val and balanced test accuracy agree to within five points: {numbers}.",
        contradicted=f"Val is {difference} than balanced test accuracy: {numbers}.",
        tie=f"Val and balanced test accuracy don't differ beyond the interval, which is wide: {numbers}.",
    )


@claim("hard-pairs-recur")
def hard_pairs_recur(ranks: dict[str, int | None], among: int) -> Decision:
    """Ranks of the printed confusions among the largest of this run; one that never happens doesn't recur.

    Args:
        ranks: `{"Engraving → Etching": rank from 1}`; 0: never confused; None: the classes are not in this data.
        among: how many of the largest confusions count.
    """
    known = {name: rank for name, rank in ranks.items() if rank is not None}
    if not known:
        raise NotTestable("the classes of the printed confusions are not in this data.")
    inside = [name for name, rank in known.items() if decide_rank(rank, among) == "supported"]
    share = f"{len(inside)} of the {len(known)} printed confusions are among the {among} largest here"
    share += f" (ranks: {_ranked(known)})"
    verdict = "supported" if len(inside) == len(known) else "contradicted" if not inside else "tie"
    return choose(verdict, f"{share}.", f"{share}.", f"{share}: some recur, some do not.")


@claim("low-precision-is-difficulty")
def low_precision_is_difficulty(name: str, plain: float, equal: float, rank: Estimate, classes: int) -> Decision:
    """Precision of a rare class at equal priors; it is badly recognised if it stays in the lowest fifth.

    Args:
        name: of the class.
        plain: its precision on the test images as they are.
        equal: the same if every class had as many images.
        rank: of the latter among the classes, 1 the lowest, with interval.
        classes: number of classes.
    """
    numbers = (
        f"precision of {name} {100 * plain:.0f} % on the images as they are, {100 * equal:.0f} % if all classes were "
        f"equally frequent, rank {rank} of {classes} from below"
    )
    return choose(
        decide_against(rank, max(1, classes // 5) + 0.5, expect="lower"),
        supported=f"The class stays in the lowest fifth when rarity is taken out: {numbers}.",
        contradicted=f"The low precision is rarity, not difficulty: {numbers}.",
        tie=f"Whether it is rarity or difficulty can't be told from so few images: {numbers}.",
    )


@claim("unseen-lots-as-good")
def unseen_lots_as_good(seen: Accuracy, unseen: Accuracy, same_mix: Difference, classes: int) -> Decision:
    """Accuracy on lots that train holds against lots that it doesn't, at the same mix of classes, drawn by lot.

    Args:
        seen: accuracy where the lot is in train, as it is.
        unseen: the same where it isn't; other images, of another mix of classes.
        same_mix: difference of the two within classes, averaged at the mix of the unseen lots.
        classes: how many classes are on both sides.
    """
    numbers = (
        f"{seen} where the lot is in train, {unseen} where it isn't; at the same mix of the {classes} classes that are "
        f"on both sides {same_mix}"
    )
    return choose(
        decide_equal(same_mix),
        supported=f"Images of unseen lots are recognised as well, to within five points: {numbers}.",
        tie=f"Too few lots to tell seen and unseen ones apart, or to call them equal: {numbers}.",
        contradicted=f"Images of seen and unseen lots aren't recognised alike: {numbers}. Not all of it is of mediums.",
    )


@claim("one-accuracy-for-all-museums")
def one_accuracy_for_all_museums(accuracies: dict[str, Accuracy]) -> Decision:
    """The best against the worst museum, with the interval widened for having picked them (Bonferroni)."""
    from lab_utils.stats.metrics import largest_difference

    if len(accuracies) < 2:
        raise NotTestable("fewer than two museums are known.")
    best, worst, difference = largest_difference(accuracies)
    numbers = f"{best} {accuracies[best]}, {worst} {accuracies[worst]}"
    return choose(
        decide_equal(difference),
        supported=f"The museums agree to within five points: {numbers}.",
        tie=f"Too few images to tell the museums apart, or to call them equal: {numbers}.",
        contradicted=f"The museums differ: {best} is {difference} than {worst} ({numbers}).",
    )


# ---- chapter 15: further improvements --------------------------------------------------------------------------------
@claim("improve-outliers")
def improve_outliers(difference: Difference, treatment: str, tried: int) -> Decision:
    """Best treatment of doubted, outlying or difficult train images (by val) against training on all as they are.

    Args:
        difference: its interval widened for having been picked among `tried` (Bonferroni).
        treatment: its name.
        tried: number of treatments.
    """
    picked = f"Its interval is widened for being the best of {tried} on the same val images."
    return choose(
        decide_difference(difference),
        supported=f"With {treatment} the head is {difference} than on the images as they are. {picked}",
        contradicted=f"Even the best treatment, {treatment}, is {difference} than the images as they are. {picked}",
        tie=f"The best treatment, {treatment}, and the images as they are: {difference}. {picked}",
    )


@claim("improve-more-networks")
def improve_more_networks(difference: Difference, networks: int, single: str) -> Decision:
    """Joined features of several fine-tuned networks against those of the best one (chosen on val)."""
    if networks < 2:
        raise NotTestable("only one network was fine-tuned; name a second one in the profile's fine_tuning.networks.")
    return choose(
        decide_difference(difference),
        supported=f"The joined features of {networks} fine-tuned networks are {difference} than {single}'s alone.",
        contradicted=f"The joined features of {networks} fine-tuned networks are {difference} than {single}'s alone.",
        tie=f"The joined features of {networks} fine-tuned networks and {single}'s alone: {difference}.",
    )


@claim("improve-ensembles")
def improve_ensembles(difference: Difference, members: int, best: str) -> Decision:
    """Mean of the members' probabilities against the best member (chosen on val, which favours it a little)."""
    if members < 2:
        raise NotTestable("an ensemble needs two members.")
    return choose(
        decide_difference(difference),
        supported=f"The ensemble of {members} fine-tuned networks is {difference} than its best member, {best}.",
        contradicted=f"The ensemble of {members} fine-tuned networks is {difference} than its best member, {best}: "
        "weak members count as much as good ones.",
        tie=f"The ensemble of {members} fine-tuned networks and its best member, {best}: {difference}.",
    )
