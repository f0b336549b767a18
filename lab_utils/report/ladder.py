"""The ladder of the first page: from what can be guessed without pixels to the best network, one accuracy a rung."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab_utils.analysis.recommendation import clock
from lab_utils.core import escape, records
from lab_utils.display import bundles, style
from lab_utils.report.parts import Part, entries

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Results = Mapping[str, Mapping[str, Any]]
RUNS = range(1, 7)
_COLORS = {"without pixels": "#5b6673", "from scratch": "#b0413e", "frozen": "#1f5a8a", "fine-tuned": "#4b8b5a"}
_FULL = "full-network embedding"


@dataclass(frozen=True)
class Rung:
    """One step of the ladder.

    Attributes:
        name: what was run.
        kind: without pixels, from scratch, frozen or fine-tuned.
        value: accuracy in 0 to 1; None where it was not run here.
        low: lower end of its 95 % interval.
        high: upper end.
        n: images.
        split: val or test.
        seconds: of training and of what comes before it (decoding, features); None where they are not recorded.
        chapter: number of the chapter it comes from.
        reported: accuracy that the original prints for its own, 0 to 1; None where it prints none.
        reported_split: the images that is of.
        note: more about what was run.
    """

    name: str
    kind: str
    value: float | None = None
    low: float = 0.0
    high: float = 0.0
    n: int = 0
    split: str = ""
    seconds: float | None = None
    chapter: str = ""
    reported: float | None = None
    reported_split: str = ""
    note: str = ""


def rungs(results: Results) -> list[Rung]:
    """The steps that this run or the original has, from the lowest idea to the best.

    Where several networks or classifiers share a rung, the best on val stands for them; so its accuracy is a little too
    good, on every rung alike. All are on val but those that a chapter read on test alone.

    Args:
        results: content of the results files by chapter.
    """
    costs = [entry for entry in entries(results, "cost") if entry.get("split") == "val"]
    steps = [*_floors(results), _scratch(costs), *_frozen(results, costs), _paper(costs)]
    steps += [_run(costs, run) for run in RUNS]
    steps += [_tuned_features(costs), *_improved(costs)]
    return [rung for rung in steps if rung is not None and (rung.value is not None or rung.reported is not None)]


def best(steps: list[Rung]) -> Rung | None:
    """The rung with the highest accuracy; None where nothing was run."""
    run = [rung for rung in steps if rung.value is not None]
    return max(run, key=lambda rung: rung.value or 0, default=None)


# ---- finding ---------------------------------------------------------------------------------------------------------
def _rung(name: str, kind: str, value: Any, chapter: str, split: str = "val", **more: Any) -> Rung | None:
    """A rung from an accuracy as it is recorded; None where there is none and the original has none either."""
    if not isinstance(value, Mapping) or "value" not in value:
        return Rung(name, kind, **more) if more.get("reported") is not None else None
    low, high = value.get("low", value["value"]), value.get("high", value["value"])
    return Rung(name, kind, value["value"], low, high, int(value.get("n") or 0), split, chapter=chapter, **more)


def _record(results: Results, chapter: str, id: str) -> Any:
    matching = [entry for entry in results.get(chapter, {}).get("records", []) if entry.get("id") == id]
    return matching[-1]["value"] if matching else None


def _highest(costs: list[dict[str, Any]], *starts: str, without: str = "") -> dict[str, Any] | None:
    """The cost record of highest accuracy whose recipe starts so."""
    chosen = [cost for cost in costs if str(cost.get("recipe", "")).startswith(starts)]
    chosen = [cost for cost in chosen if not without or without not in cost["recipe"]]
    return max(chosen, key=lambda cost: cost["value"]["value"], default=None)


def _of_chapter(costs: list[dict[str, Any]], number: str) -> list[dict[str, Any]]:
    return [cost for cost in costs if cost["chapter"].startswith(number)]


def _of_cost(name: str, kind: str, cost: dict[str, Any] | None, **more: Any) -> Rung | None:
    if cost is None:
        return _rung(name, kind, None, "", **more)
    before = sum(spent["seconds"] for spent in cost["before"].values())
    return _rung(name, kind, cost["value"], cost["chapter"][:2], seconds=cost["seconds"] + before, **more)


def _floors(results: Results) -> list[Rung | None]:
    on_val = _record(results, "05_classification", "external features") or {}
    floors = {str(floor["id"]).removeprefix("floor: "): floor["value"] for floor in entries(results, "floor")}
    names = {
        "forest on sizes and museum": "Sizes and museum, no pixels",
        "commonest class of the accession lot": "Accession lot, no pixels",
    }
    return [
        _rung(name, "without pixels", on_val[floor], "05")
        if floor in on_val
        else _rung(name, "without pixels", floors.get(floor), "00")
        for floor, name in names.items()
    ]


def _scratch(costs: list[dict[str, Any]]) -> Rung | None:
    cost = _highest([other for other in costs if other["recipe"].endswith(" from scratch")], "#", without=",")
    name = f"From scratch, {cost['recipe'].removesuffix(' from scratch')}" if cost else "From scratch"
    printed = records.reported("scratch").query("source.str.startswith('slide')")["val"].max()
    return _of_cost(name, "from scratch", cost, reported=float(printed), reported_split="val")


def _frozen(results: Results, costs: list[dict[str, Any]]) -> list[Rung | None]:
    chapter = "05_classification"
    reduced = (_record(results, chapter, "reductions") or {}).get("as in the original (its folds and external columns)")
    table = _record(results, chapter, "done right, val") or {}
    cells = [
        (f"{classifier} on {network}", value)
        for network, row in table.items()
        for classifier, value in row.items()
        if _FULL not in classifier
    ]
    name, value = max(cells, key=lambda named: named[1]["value"], default=("all columns", None))
    full = _highest([cost for cost in costs if cost["chapter"] == chapter and _FULL in cost["recipe"]], "")
    printed = records.reported("classification").query("features == 'CNN features' and kind == 'printed'")["test"].max()
    eight = (reduced or {}).get("val")
    return [
        _rung("Frozen, reduced to UMAP-8", "frozen", eight, "05", reported=float(printed), reported_split="test"),
        _rung(f"Frozen, {name}", "frozen", value, "05"),
        _of_cost("Frozen, full-network embedding", "frozen", full),
    ]


def _paper(costs: list[dict[str, Any]]) -> Rung | None:
    table = records.reported("paper_r65k")
    cost = _highest(_of_chapter(costs, "02"), "")
    printed = float(table[["fs", "vs"]].max().max())
    return _of_cost(
        "The MAMe paper's recipe", "fine-tuned", cost, reported=printed, reported_split="test, best of seven"
    )


def _run(costs: list[dict[str, Any]], run: int) -> Rung | None:
    printed = records.reported("fine_tuning").set_index("run")["val_printed"]
    value = printed.get(str(run), printed.get(run))
    mine = [cost for cost in _of_chapter(costs, f"{5 + run:02d}") if cost["recipe"].endswith(f", run {run}")]
    more = {} if value is None or value != value else {"reported": float(value), "reported_split": "val"}
    return _of_cost(f"Fine-tuning #{run}", "fine-tuned", mine[0] if mine else None, **more)


def _tuned_features(costs: list[dict[str, Any]]) -> Rung | None:
    cost = _highest([other for other in _of_chapter(costs, "12") if ", fine-tuned," in other["recipe"]], "")
    table = records.reported("classification").query("features == 'fine-tuned features' and kind == 'printed'")
    name = "Fine-tuned features, classifier on top"
    return _of_cost(name, "fine-tuned", cost, reported=float(table["test"].max()), reported_split="test")


def _improved(costs: list[dict[str, Any]]) -> list[Rung | None]:
    """Of the further improvements the best that trains no block of a network, and the best that does."""
    further = _of_chapter(costs, "15")
    frozen = [cost for cost in further if _trains_nothing(cost["recipe"])]
    tuned = [cost for cost in further if cost not in frozen]
    named = {"frozen": ("Further, frozen", frozen), "fine-tuned": ("Further, fine-tuned", tuned)}
    best_of = {kind: (name, _highest(chosen, "")) for kind, (name, chosen) in named.items()}
    return [_of_cost(name, kind, cost, note=cost["recipe"]) for kind, (name, cost) in best_of.items() if cost]


def _trains_nothing(recipe: str) -> bool:
    return recipe.startswith(("frozen", "lab_utils.predict")) or recipe.endswith("linear probe")


# ---- drawing ---------------------------------------------------------------------------------------------------------
def part(steps: list[Rung], source: str) -> Part:
    """The ladder as a figure.

    Args:
        steps: the rungs.
        source: of the run's images; on MAMe's photographs the printed numbers stand in the same panel.
    """
    together = source == "mame"
    counts = sorted({(rung.split, rung.n) for rung in steps if rung.value is not None})
    of = " and ".join(f"{split}, n = {n:,}" for split, n in counts)
    printed = (
        "Red diamonds: reported by the slides."
        if together
        else "Right: what the slides and the MAMe paper report, on other images than these."
    )
    return Part(
        "figure",
        data=bundles.bundle(_drawn(steps, together)),
        caption=f"The ladder: accuracy ({of}) with 95 % intervals; time to decode, extract and train. "
        f"A rung that stands for several shows the best on val.{_notes(steps)} {printed}",
        alt="; ".join(f"{rung.name}: {100 * rung.value:.1f} %" for rung in steps if rung.value is not None),
        label="ladder",
        story=True,
    )


def _notes(steps: list[Rung]) -> str:
    return "".join(f" {rung.name}: {rung.note}." for rung in steps if rung.note)


@style.style()
def _drawn(steps: list[Rung], together: bool) -> Any:
    height = 0.75 + 0.2 * len(steps)
    ratios = (4.2, 1) if not together else (1, 0.001)
    figure, (left, right) = style.subplots(
        1, 2, height=height, sharey=True, gridspec_kw={"width_ratios": ratios, "wspace": 0.03}
    )
    top = best(steps)
    for place, rung in enumerate(steps):
        if rung.value is not None:
            _mark(left, place, rung, rung is top)
        if rung.reported is not None:
            axes = left if together else right
            axes.plot(100 * rung.reported, place, "D", ms=4.5, mfc="#ffffff", mec=style.REPORTED, mew=1.3, zorder=4)
            if not together:
                axes.annotate(
                    f"{100 * rung.reported:.1f}",
                    (100 * rung.reported, place),
                    (-5, 0),
                    va="center",
                    ha="right",
                    fontsize=7.5,
                    textcoords="offset points",
                )
    left.set_yticks(range(len(steps)), [_shortened(rung.name) for rung in steps], fontsize=8)
    left.set_ylim(len(steps) - 0.4, -0.6)
    left.set_xlim(0, 118)
    left.set_xticks(range(0, 101, 20))
    left.set_xlabel("accuracy (%), 95 % interval")
    left.grid(axis="x")
    left.tick_params(axis="y", length=0)
    right.set_visible(not together)
    right.set(xlim=(30, 100), xticks=[50, 75, 100], xlabel="reported on MAMe (%)")
    right.grid(axis="x")
    right.tick_params(axis="y", length=0, labelleft=False)
    return figure


def _mark(axes: "Axes", place: int, rung: Rung, top: bool) -> None:
    color = _COLORS[rung.kind]
    value, low, high = (100 * part for part in (rung.value or 0, rung.low, rung.high))
    axes.plot([low, high], [place, place], color=color, lw=2.6, alpha=0.45, solid_capstyle="butt", zorder=2)
    axes.plot(value, place, "o" if rung.split == "val" else "s", color=color, ms=6.5 if top else 5, zorder=3)
    seconds = "" if rung.seconds is None else clock(rung.seconds)
    weight = "bold" if top else "normal"
    axes.annotate(
        f"{value:.1f}", (high, place), (4, 0), textcoords="offset points", va="center", fontsize=7.5, weight=weight
    )
    axes.annotate(seconds, (117, place), va="center", ha="right", fontsize=7.5, color="#57606a")


def _shortened(text: str, most: int = 46) -> str:
    return escape.formula(text if len(text) <= most else f"{text[: most - 1].rstrip()}…")
