"""The ledger of claims, the errata, the logs and the conclusions, made from the records of all chapters."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from lab_utils.claims import engine as claims
from lab_utils.core.chapters import CHAPTERS, chapter
from lab_utils.core.links import Link
from lab_utils.stats.intervals import Accuracy, Estimate

Entries = Mapping[str, list[dict[str, Any]]]

# Known errors of the original: what it shows as evidence. The verdict comes from the ledger.
ERRATA = {
    "report-accuracy-follows": "accuracy under the classification report",
    "report-macro-follows": "macro averages under the classification report",
    "report-weighted-follows": "weighted averages under the classification report",
    "diagonal-agrees-with-accuracy": "confusion matrix beside the report",
    "printed-vgg16-parameters": "table of extractors",
    "slide-17-follows-figure": "table of best models",
    "slide-22-best-follows-figure": "table of best models on fine-tuned features",
    "printed-fine-tuned-features-help": "the rise of VGG16's features; EfficientNetB3's is beside it",
    "rows-are-single-networks": "row 5-6 of the baseline table",
    "overfitting-labels-consistent": "labels in the baseline table",
    "printed-accuracies-follow-curves": "accuracies beside the curves of the runs",
    "printed-lower-rate-improves": "the curve of run 4",
    "printed-l2-fits-curves": "L2 beside the losses of the runs",
    "printed-runs-differ": "one run each, read as steady progress",
    "printed-features-beat-head": "77 % as the final result of the features' route",
    "below-papers-vgg16": "never set beside the paper's own VGG16",
    "printed-b0-worse": "test scores half a point apart, of single runs",
    "extractors-differ": "four extractors; in the published script all four build one network",
    "printed-cv-scores-hold": "cross-validated .8 to 1.0, val and test near .65",
    "printed-folds-agree": "mean of five folds, the last one far below",
    "printed-importances-ignore": "importances of XGBoost, with .07 for one museum",
    "printed-9-regularised-too-much": "train .45, val .21 of #9",
    "cv-scores-hold": "cross-validated scores after a reduction that saw all labels",
    "unshuffled-folds-harmless": "five folds in the order of a table sorted by museum",
    "difficult-to-separate": "accuracy after a supervised reduction to eight dimensions",
    "linear-svm-underfits": "cross-validated .80, test .60",
    "voting-best": "best model of each row chosen on test",
    "external-features-ignored": "importances beside columns fitted to the labels",
    "task-similarity-64": "test accuracy of classifiers, called overlap of tasks",
    "features-not-classifier": "the same accuracies across classifiers after that reduction",
    "too-much-regularisation": "one network with two changes at once",
    "rescaled-inputs-suffice": "inputs divided by 255 for weights trained otherwise",
    "clearer-separability": "a map of the train images that the network was fitted on",
    "loss-rises-less-sure": "a rising loss beside a rising accuracy",
    "low-precision-is-difficulty": "precision .24 of a class that is 95 of 15,657 images",
    "smarter-focused": "five heat maps",
}

# Claims that no chapter decides, and why.
UNDECIDED = {
    "improve-similar-pretraining": "no weights pretrained on art can be had from a package registry.",
    "narrower-head-regularises": "run 2 changes rate, batch and epochs as well; no run changes the width alone.",
}

# What the conclusions speak of, in reading order.
THEMES = {
    "What pretrained features carry": (
        *("imagenet-overlap", "task-similarity-64", "smarter-focused", "focuses-on-content", "difficult-to-separate"),
        *("features-not-classifier", "external-features-ignored"),
    ),
    "What fine-tuning adds": (
        *("lower-rate-improves", "steady-improvement", "run6-best", "loss-rises-less-sure", "clearer-separability"),
        *("fine-tuned-features-help", "final-result-by-features"),
    ),
    "What the accuracy is of": (
        *("val-predicts-test", "unseen-lots-as-good", "one-accuracy-for-all-museums", "low-precision-is-difficulty"),
        "hard-pairs-recur",
    ),
    "What improves it further": (
        *("improve-outliers", "improve-more-networks", "improve-ensembles", "improve-similar-pretraining"),
    ),
}


# Criteria of the lab: what is asked, the chapter, and the labels of the figure and the table that answer it.
RUBRIC = (
    ("The data: classes, splits, museums, sizes, accession lots", "00", "counts", "lots"),
    ("What can be guessed without pixels", "00", "floors", "largest-lots"),
    ("Baselines from scratch, compared; overfitting judged", "01", "scratch-curves", "scratch-accuracies"),
    ("The paper's fine-tuning baselines", "02", "test", "r65k"),
    ("Task similarity: gallery with heat maps", "03", "gallery", ""),
    ("Task similarity: the measure and its controls", "03", "probes", "measures"),
    ("Feature spaces of each network in two and three dimensions", "04", "explained-variance", "components"),
    ("Groups, neighbours and outliers of the classes", "04", "groups", "outliers"),
    ("Classification on features, as in the original", "05", "original-table", ""),
    ("Classification done right, noise floor, shortcuts", "05", "noise-floor", ""),
    ("Fine-tuning run 1", "06", "curves", "settings"),
    ("Fine-tuning run 2: learning rate", "07", "curves", "settings"),
    ("Fine-tuning run 3: L2 and dropout", "08", "curves", "settings"),
    ("Fine-tuning run 4: more epochs", "09", "curves", "settings"),
    ("Fine-tuning run 5", "10", "curves", "settings"),
    ("Fine-tuning run 6; all runs compared", "11", "six-bars", "six"),
    ("Accuracy and confidence", "11", "reliability", "ece"),
    ("Features of the fine-tuned network", "12", "classifiers", "silk"),
    ("What the networks look at (Grad-CAM)", "13", "cam-right", "cam-subjects"),
    ("Attention counted: focus, frame, randomisation", "13", "cam-focus", ""),
    ("Confusion matrix", "14", "results-confusion", "results-confusions"),
    ("Classification report, averages with intervals", "14", "results-groups", "results-report"),
    ("Calibration", "14", "results-reliability", "results-calibration"),
    ("Claims tested, errata, conclusions", "14", "results-gallery", "results-ledger"),
    ("Choices on val; every read of test labels logged", "14", "", "results-reads"),
    ("Further improvements", "15", "pareto", "costs"),
)


# ---- collecting ------------------------------------------------------------------------------------------------------
def collect(entries: Entries, own: Iterable[claims.Verdict] = ()) -> list[claims.Verdict]:
    """One verdict for every claim, in the order of the slides.

    Args:
        entries: records of all chapters that were run (`lab.all_entries()`).
        own: verdicts of this chapter, which are not in the records yet.

    Returns:
        Verdicts; a claim that no chapter decided is "not testable", with the reason.
    """
    found = {one.claim: one for one in own}
    for records in entries.values():
        for entry in records:
            if entry["kind"] == "verdict":
                found.setdefault(entry["value"]["claim"], claims.Verdict(**entry["value"]))
    known = {**{id: one.slide for id, one in claims.CLAIMS.items()}, **{id: one.slide for id, one in found.items()}}
    order = sorted(known, key=lambda id: known[id])
    return [found.get(id) or claims.untestable(id, _why_open(id, entries)) for id in order]


def _why_open(id: str, entries: Entries) -> str:
    one = claims.find(id)
    number = one.chapter
    if chapter(number).name not in entries:
        return f"chapter {number}, which tests it, was not run on this data."
    if id in UNDECIDED:
        return UNDECIDED[id]
    return f"chapter {number} ran, but this run's data or settings gave it nothing to decide it on."


def missing_words(entries: Entries, own: str = "14_results") -> str:
    """Which chapters have no records."""
    absent = sorted(one.name[:2] for one in CHAPTERS if one.name not in entries and one.name != own)
    if not absent:
        return "All chapters have been run: the ledger below draws on every one of them."
    return f"Not run so far: chapters {', '.join(absent)}. What they test is listed as not testable, with that reason."


# ---- tables ----------------------------------------------------------------------------------------------------------
def ledger_table(verdicts: Iterable[claims.Verdict]) -> pd.DataFrame:
    """Slide, claim, test, verdict, evidence and chapter (a link) of every claim."""
    rows = [
        {
            "slide": one.slide,
            "claim (our words)": one.wording,
            "test": one.test,
            "verdict": one.verdict,
            "evidence": one.sentence,
            "chapter": Link(one.chapter, chapter(one.chapter).name),
        }
        for one in verdicts
    ]
    return pd.DataFrame(rows)


def errata_table(verdicts: Iterable[claims.Verdict]) -> pd.DataFrame:
    """Known errors of the original whose test has the verdict "contradicted" or "tie": claim to verdict."""
    by_id = {one.claim: one for one in verdicts}
    rows = [
        {
            "slide": by_id[id].slide,
            "claim, and their evidence": f"{by_id[id].wording} Their evidence: {theirs}.",
            "our test, and what it finds": f"{by_id[id].test[:1].upper()}{by_id[id].test[1:]}. {by_id[id].sentence}",
            "verdict": by_id[id].verdict,
            "holds on": "any data" if claims.find(id).arithmetic else "this run",
            "chapter": Link(by_id[id].chapter, chapter(by_id[id].chapter).name),
        }
        for id, theirs in ERRATA.items()
        if id in by_id and by_id[id].verdict in ("contradicted", "tie")
    ]
    columns = ["slide", "claim, and their evidence", "our test, and what it finds", "verdict", "holds on", "chapter"]
    return pd.DataFrame(rows, columns=columns).sort_values("slide", kind="stable")


def errata_words(verdicts: Iterable[claims.Verdict]) -> str:
    """How many of the known errors show on this data, and which could not be tested."""
    by_id = {one.claim: one.verdict for one in verdicts if one.claim in ERRATA}
    shown = sum(verdict in ("contradicted", "tie") for verdict in by_id.values())
    held = [claims.find(id).wording.rstrip(".") for id, verdict in by_id.items() if verdict == "supported"]
    open_ = sum(verdict == "not testable" for verdict in by_id.values())
    words = (
        f"{shown} of {len(by_id)} statements of the original that were doubted beforehand don't hold or are ties here."
    )
    words += f" {len(held)} hold on this data after all: {'; '.join(held)}." if held else ""
    return words + (f" {open_} could not be tested on this data; the ledger says why." if open_ else "")


def test_reads(entries: Entries) -> pd.DataFrame:
    """Log of all test reads: chapter, models, the choice before it, what a further one was for, images."""
    rows = [
        (Link(name[:2], name), ", ".join(_models(entry)), entry["choice"], entry.get("further"), entry["value"])
        for name, entry in _reads(entries)
    ]
    return pd.DataFrame(rows, columns=["chapter", "models", "choice before it", "looked at again for", "images"])


def _reads(entries: Entries) -> list[tuple[str, dict[str, Any]]]:
    return [(name, entry) for name, records in entries.items() for entry in records if entry["kind"] == "test read"]


def _models(entry: dict[str, Any]) -> list[str]:
    return entry.get("models") or [entry["model"]]


def _read_again(entries: Entries) -> dict[str, list[str]]:
    """Models that were read more than once, over all chapters, with chapter and purpose of each time."""
    times: dict[str, list[str]] = {}
    for name, entry in _reads(entries):
        for model in _models(entry):
            times.setdefault(model, []).append(f"chapter {name[:2]}: {entry.get('further') or entry['choice']}")
    return {model: purposes for model, purposes in times.items() if len(purposes) > 1}


def reads_counts(entries: Entries) -> str:
    """How often test labels were opened, for how many models, and which were read more than once."""
    models = {model for _, entry in _reads(entries) for model in _models(entry)}
    if not models:
        return "No test labels were read."
    again = "; ".join(_read_again(entries))
    words = f"Test labels were opened {len(_reads(entries))} times, for {len(models)} fitted models in all"
    return f"{words}; read more than once: {again}." if again else f"{words}; no model was read twice."


def reads_words(entries: Entries) -> str:
    """`reads_counts`, and what each reading was for where a model was read more than once."""
    told = "; ".join(f"{model} ({'; '.join(purposes)})" for model, purposes in _read_again(entries).items())
    return f"{reads_counts(entries)} What for: {told}." if told else reads_counts(entries)


def decision_log(entries: Entries) -> pd.DataFrame:
    """Every chapter's closing decision: what, on which evidence, what else was considered."""
    rows = [
        (Link(name[:2], name), entry["value"], entry["because"], entry["instead_of"])
        for name, records in entries.items()
        for entry in records
        if entry["kind"] == "decision"
    ]
    return pd.DataFrame(rows, columns=["chapter", "decision", "because", "considered instead"])


def rubric_table(entries: Entries) -> pd.DataFrame:
    """Each criterion with its chapter, figure and table (links), and whether they are there.

    Args:
        entries: records of all chapters that were run, this one's so far included.
    """
    shown = {f"{name[:2]}-{one['value']}" for name, ones in entries.items() for one in ones if one["kind"] == "shown"}
    rows = []
    for criterion, number, *labels in RUBRIC:
        targets = [f"{number}-{label}" if label else "" for label in labels]
        there = [target in shown for target in targets if target]
        state = "met" if all(there) else "met in part" if any(there) else "not shown in this run"
        links = [
            Link(kind, f"#{target}") if target in shown else None
            for kind, target in zip(("figure", "table"), targets, strict=True)
        ]
        run = chapter(number).name in entries
        rows.append((criterion, Link(number, chapter(number).name), *links, state if run else "chapter not run"))
    return pd.DataFrame(rows, columns=["criterion", "chapter", "figure", "table", "state"])


# ---- sentences -------------------------------------------------------------------------------------------------------
def tally(verdicts: Iterable[claims.Verdict]) -> dict[str, int]:
    """Number of claims by verdict."""
    words = [one.verdict for one in verdicts]
    return {verdict: words.count(verdict) for verdict in claims.VERDICTS}


def tally_words(verdicts: list[claims.Verdict]) -> str:
    """The tally as a sentence."""
    counts = tally(verdicts)
    ties = f"{counts['tie']} {'tie' if counts['tie'] == 1 else 'ties'}"
    return (
        f"Of {len(verdicts)} claims of the original {counts['supported']} are supported, {counts['contradicted']} "
        f"contradicted, {ties}, and {counts['not testable']} not testable on this data."
    )


def conclusions(verdicts: Iterable[claims.Verdict]) -> list[str]:
    """One Markdown paragraph a theme, made of the verdicts of its claims; what was not tested is said at the end."""
    by_id = {one.claim: one for one in verdicts}
    paragraphs = []
    for theme, ids in THEMES.items():
        told = [by_id[id] for id in ids if id in by_id and by_id[id].verdict != "not testable"]
        open_ = [by_id[id] for id in ids if id in by_id and by_id[id].verdict == "not testable"]
        lines = [f"- *{one.wording.rstrip('.')}*: **{one.verdict}**. {one.sentence}" for one in told]
        if open_:
            listed = "; ".join(one.wording.rstrip(".") for one in open_)
            lines.append(f"- Not testable in this run: {listed}.")
        paragraphs.append(f"**{theme}.**\n\n" + "\n".join(lines))
    return paragraphs


def abstract(
    title: str,
    accuracy: Accuracy,
    balanced: Estimate,
    groups: Mapping[str, Accuracy],
    verdicts: list[claims.Verdict],
    data: str,
) -> str:
    """The report in a paragraph, from its results.

    Args:
        title: of the headline classifier.
        accuracy: on test.
        balanced: balanced test accuracy.
        groups: accuracy by lot seen or not (may be empty).
        verdicts: the ledger.
        data: the data in words.
    """
    lots = "; ".join(f"{name} {one}" for name, one in groups.items())
    contradicted = [one for one in verdicts if one.verdict == "contradicted"]
    listed = "; ".join(one.wording.rstrip(".") for one in _spread(contradicted, 3))
    return (
        f"This lab rebuilds a course lab on transfer learning for recognising the medium of museum objects, on {data}. "
        f"Its headline classifier ({title}) reaches {accuracy} on test, balanced {balanced}"
        + (f" ({lots})" if lots else "")
        + f". {tally_words(verdicts)}"
        + (f" Among what is contradicted: {listed}." if listed else "")
    )


def _spread(items: list[Any], most: int) -> list[Any]:
    step = max(1, len(items) // most)
    return items[::step][:most]
