"""The ledger of claims, the errata, the logs and the conclusions, made from the records of all chapters."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from lab_utils.claims import reported_arithmetic, schema
from lab_utils.claims.engine import Verdict, find, not_run
from lab_utils.claims.rules import CONTRADICTED, OPEN, SUPPORTED, TIE, VERDICTS
from lab_utils.core.chapters import CHAPTERS, chapter
from lab_utils.core.links import Link
from lab_utils.stats.intervals import Accuracy, Estimate

Entries = Mapping[str, list[dict[str, Any]]]
arithmetic = reported_arithmetic.verdicts


# ---- collecting ------------------------------------------------------------------------------------------------------
def collect(entries: Entries, own: Iterable[Verdict] = ()) -> list[Verdict]:
    """One verdict for every claim, in the order of the slides.

    Args:
        entries: records of all chapters that were run (`lab.all_entries()`).
        own: verdicts that are not in the records yet.

    Returns:
        Verdicts; a claim that no chapter decided is "not testable", with the reason.
    """
    verdicts = {verdict.claim: verdict for verdict in own}
    for _, entry in _of_kind(entries, "verdict"):
        verdicts.setdefault(entry["value"]["claim"], Verdict.of_record(entry["value"]))
    order = sorted(schema.claims().values(), key=lambda claim: claim.slide)
    return [verdicts.get(claim.id) or not_run(claim, _why_open(claim, entries)) for claim in order]


def _of_kind(entries: Entries, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Chapter and entry of every record of a kind."""
    return ((name, entry) for name, records in entries.items() for entry in records if entry["kind"] == kind)


def _why_open(claim: schema.Claim, entries: Entries) -> str:
    if chapter(claim.chapter).name not in entries:
        return f"chapter {claim.chapter}, which tests it, was not run on this data"
    return claim.undecided or f"chapter {claim.chapter} ran, but this run gave it nothing to decide it on"


def missing_words(entries: Entries, own: str = "14_results") -> str:
    """Which chapters have no records; empty where all have."""
    absent = sorted(step.name[:2] for step in CHAPTERS if step.name not in entries and step.name != own)
    if not absent:
        return ""
    return f"Not run so far: chapters {', '.join(absent)}. What they test is listed as not testable, with that reason."


# ---- tables ----------------------------------------------------------------------------------------------------------
def _chapter_link(number: str) -> Link:
    return Link(number, chapter(number).name)


def ledger_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Slide, what it says, test, verdict, finding and chapter (a link) of every claim."""
    rows = [
        (verdict.slide, verdict.said, verdict.test, verdict.verdict, _finding(verdict), _chapter_link(verdict.chapter))
        for verdict in verdicts
    ]
    return pd.DataFrame(rows, columns=["slide", "the slide", "test", "verdict", "finding", "chapter"])


def _finding(verdict: Verdict) -> str:
    here = f" What the method shows here: {verdict.here}" if verdict.here else ""
    return f"{verdict.sentence[:1].upper()}{verdict.sentence[1:]}{here}"


def errata_table(verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """Known errors of the original whose test has the verdict "contradicted", and by what."""
    rows = [
        (
            *(verdict.slide, f"{verdict.said}. Its evidence: {find(verdict.claim).erratum}.", verdict.sentence),
            *("its own numbers" if "any" in find(verdict.claim).needs else "this run", _chapter_link(verdict.chapter)),
        )
        for verdict in _doubted(verdicts, CONTRADICTED)
    ]
    columns = ["slide", "the slide, and its evidence", "what we find", "contradicted by", "chapter"]
    return pd.DataFrame(rows, columns=columns).sort_values("slide", kind="stable")


def _doubted(verdicts: Iterable[Verdict], word: str) -> list[Verdict]:
    """Verdicts on statements that were doubted before any run."""
    return [verdict for verdict in verdicts if verdict.verdict == word and find(verdict.claim).erratum]


def errata_words(verdicts: list[Verdict]) -> str:
    """How many of the known errors show on this data, and which could not be tested."""
    counts = {word: len(_doubted(verdicts, word)) for word in VERDICTS}
    own = sum("any" in find(verdict.claim).needs for verdict in _doubted(verdicts, CONTRADICTED))
    words = f"Of {sum(counts.values())} statements that were doubted beforehand, {own} are contradicted by the "
    words += f"original's own numbers and {counts[CONTRADICTED] - own} by this run's photographs. "
    return (
        words
        + f"Not shown to be wrong: {counts[TIE]} ties, {counts[SUPPORTED]} supported, {counts[OPEN]} not testable."
    )


def test_reads(entries: Entries) -> pd.DataFrame:
    """Log of all test reads: chapter, models, the choice before it, what a further one was for, images."""
    rows = [
        (Link(name[:2], name), ", ".join(_models(entry)), entry["choice"], entry.get("further"), entry["value"])
        for name, entry in _of_kind(entries, "test read")
    ]
    return pd.DataFrame(rows, columns=["chapter", "models", "choice before it", "looked at again for", "images"])


def _models(entry: dict[str, Any]) -> list[str]:
    return entry.get("models") or [entry["model"]]


def _times_read(entries: Entries) -> dict[str, list[str]]:
    """Chapter and purpose of each time that a model was read, over all chapters."""
    times: dict[str, list[str]] = {}
    for name, entry in _of_kind(entries, "test read"):
        for model in _models(entry):
            times.setdefault(model, []).append(f"chapter {name[:2]}: {entry.get('further') or entry['choice']}")
    return times


def reads_counts(entries: Entries) -> str:
    """How many models were read on test, how often, and which were read more than once."""
    times = _times_read(entries)
    reads = sum(map(len, times.values()))
    if not times:
        return "No test labels were read."
    again = "; ".join(model for model, purposes in times.items() if len(purposes) > 1)
    words = f"{len(times)} fitted models were read on test, {reads} readings in all"
    return f"{words}; read more than once: {again}." if again else f"{words}; no model was read twice."


def reads_words(entries: Entries) -> str:
    """`reads_counts`, and what each reading was for where a model was read more than once."""
    again = {model: purposes for model, purposes in _times_read(entries).items() if len(purposes) > 1}
    told = "; ".join(f"{model} ({'; '.join(purposes)})" for model, purposes in again.items())
    return f"{reads_counts(entries)} What for: {told}." if told else reads_counts(entries)


def decision_log(entries: Entries) -> pd.DataFrame:
    """Every chapter's closing decision: what, on which evidence, what else was considered."""
    rows = [
        (Link(name[:2], name), entry["value"], entry["because"], entry["instead_of"])
        for name, entry in _of_kind(entries, "decision")
    ]
    return pd.DataFrame(rows, columns=["chapter", "decision", "because", "considered instead"])


def rubric_table(entries: Entries) -> pd.DataFrame:
    """Each criterion with its chapter, figure and table (links), and whether they are there.

    Args:
        entries: records of all chapters that were run, this one's so far included.
    """
    shown = {f"#{name[:2]}-{entry['value']}" for name, entry in _of_kind(entries, "shown")}
    rows = []
    for criterion, number, *labels in schema.ledger()["rubric"]:
        targets = [f"#{number}-{label}" if label else "" for label in labels]
        there = [target in shown for target in targets if target]
        state = "met" if all(there) else "met in part" if any(there) else "not shown in this run"
        pairs = zip(("figure", "table"), targets, strict=True)
        links = [Link(kind, target) if target in shown else None for kind, target in pairs]
        state = state if chapter(number).name in entries else "chapter not run"
        rows.append((criterion, _chapter_link(number), *links, state))
    return pd.DataFrame(rows, columns=["criterion", "chapter", "figure", "table", "state"])


# ---- sentences -------------------------------------------------------------------------------------------------------
def tally(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Number of claims by verdict."""
    words = [verdict.verdict for verdict in verdicts]
    return {word: words.count(word) for word in VERDICTS}


def tally_words(verdicts: list[Verdict]) -> str:
    """The tally as a sentence."""
    counts = tally(verdicts)
    ties = "1 is a tie" if counts[TIE] == 1 else f"{counts[TIE]} are ties"
    words = f"Of {len(verdicts)} claims of the original {counts[SUPPORTED]} are supported and {counts[CONTRADICTED]} "
    return f"{words}contradicted; {ties}, and {counts[OPEN]} are not testable here."


def conclusions(verdicts: Iterable[Verdict]) -> list[str]:
    """One Markdown paragraph a theme, made of the verdicts of its claims; what was not tested is said at the end."""
    by_id, paragraphs = {verdict.claim: verdict for verdict in verdicts}, []
    for theme, ids in schema.ledger()["themes"].items():
        told = sorted((by_id[id] for id in ids if id in by_id), key=lambda verdict: verdict.verdict == OPEN)
        lines = [f"- {' '.join(str(verdict).split())}" for verdict in told]
        paragraphs.append(f"**{theme}.**\n\n" + "\n".join(lines))
    return paragraphs


def abstract(
    title: str,
    accuracy: Accuracy,
    balanced: Estimate,
    groups: Mapping[str, Accuracy],
    verdicts: list[Verdict],
    data: str,
) -> str:
    """The report in a paragraph, from its results.

    Args:
        title: of the headline classifier.
        accuracy: on test.
        balanced: balanced test accuracy.
        groups: accuracy by lot seen or not (may be empty); that on lots not seen is told.
        verdicts: the ledger.
        data: the data in words.
    """
    unseen = groups.get("lot not seen")
    contradicted = [verdict for verdict in verdicts if verdict.verdict == CONTRADICTED]
    chosen = contradicted[:: max(1, len(contradicted) // 3)][:3]
    return (
        f"This lab rebuilds a course lab on transfer learning for recognising the medium of museum objects, on {data}. "
        f"Its headline classifier ({title}) reaches {accuracy} on test, balanced {balanced}"
        + (f", and {unseen} on images of lots that train has not" if unseen else "")
        + f". {tally_words(verdicts)}"
        + (f" For instance: {' '.join(verdict.sentence for verdict in chosen)}" if chosen else "")
    )
