"""What follows from the original's printed numbers alone, so on any data: the evidence for its arithmetic claims.

Tables come from `data/reported` (`lab.reported`); nothing here was measured by the lab.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.claims import engine as claims
from lab_utils.networks import registry
from lab_utils.stats.intervals import Z95, Accuracy, Difference, Estimate

Reported = Callable[[str], pd.DataFrame]
VGG_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)  # of its thirteen convolutions


def verdicts(reported: Reported) -> list[claims.Verdict]:
    """Verdicts on all claims that are arithmetic on printed numbers.

    Args:
        reported: gives a table of `data/reported` by its name.
    """
    return [claims.check(id, **evidence(reported)) for id, evidence in EVIDENCE.items()]


def share_of(value: float, n: int, of: str = "") -> Accuracy:
    """A printed share of `n` images as an accuracy (the count is rounded)."""
    return Accuracy(round(value * n), n, of)


# ---- classification report -------------------------------------------------------------------------------------------
def report_rows(reported: Reported) -> pd.DataFrame:
    """The report's 29 rows, by class."""
    table = reported("report")
    return table[table["row"] == "class"].set_index("name")


def recomputed_averages(rows: pd.DataFrame) -> pd.DataFrame:
    """Macro and weighted averages of a report's rows; index macro, weighted; columns precision, recall, f1.

    The weighted recall is the accuracy.
    """
    columns = ["precision", "recall", "f1"]
    weights = rows["support"] / rows["support"].sum()
    return pd.DataFrame({"macro": rows[columns].mean(), "weighted": rows[columns].mul(weights, axis=0).sum()}).T


def printed_averages(reported: Reported) -> pd.DataFrame:
    """The report's three summary rows as printed; index accuracy, macro, weighted."""
    table = reported("report")
    return table[table["row"] == "summary"].assign(name=lambda rows: rows["name"].str.split().str[0]).set_index("name")


def balanced_accuracy(rows: pd.DataFrame) -> Estimate:
    """Mean recall of a report's rows, with the normal interval of a mean of independent shares."""
    variance = (rows["recall"] * (1 - rows["recall"]) / rows["support"]).sum() / len(rows) ** 2
    value, half = rows["recall"].mean(), Z95 * np.sqrt(variance)
    style = {"scale": 100, "unit": " %", "digits": 1}
    return Estimate(value, value - half, value + half, int(rows["support"].sum()), "balanced test accuracy", **style)


def _accuracy_from_rows(reported: Reported) -> Accuracy:
    rows = report_rows(reported)
    return share_of(recomputed_averages(rows).loc["weighted", "recall"], int(rows["support"].sum()), "report's rows")


def _accuracy_evidence(reported: Reported) -> dict[str, Any]:
    printed = printed_averages(reported).loc["accuracy", "f1"]
    return {"printed": float(printed), "accuracy": _accuracy_from_rows(reported)}


def _average_evidence(kind: str) -> Callable[[Reported], dict[str, Any]]:
    def evidence(reported: Reported) -> dict[str, Any]:
        columns = ["precision", "recall", "f1"]
        printed, found = printed_averages(reported), recomputed_averages(report_rows(reported))
        return {"printed": dict(printed.loc[kind, columns]), "recomputed": dict(found.loc[kind, columns])}

    return evidence


def _diagonal_evidence(reported: Reported) -> dict[str, Any]:
    numbers = _numbers(reported)
    printed = printed_averages(reported).loc["accuracy", "f1"]
    diagonal = Accuracy(int(numbers["confusion_diagonal"]), int(numbers["test_images"]), "printed confusion matrix")
    return {"printed": float(printed), "diagonal": diagonal}


def _carry_evidence(reported: Reported) -> dict[str, Any]:
    images = int(_numbers(reported)["val_images"])
    printed = reported("fine_tuning").set_index("run")["val_printed"]["6"]
    return {"val": share_of(printed, images, "val, printed"), "balanced": balanced_accuracy(report_rows(reported))}


# ---- baselines -------------------------------------------------------------------------------------------------------
def slide_rows(reported: Reported) -> pd.DataFrame:
    """The nine printed rows of networks from scratch, by network."""
    table = reported("scratch")
    return table[table["kind"] == "printed"].set_index("network")


def _overfitting_evidence(reported: Reported) -> dict[str, Any]:
    rows = slide_rows(reported)
    return {"gaps": dict(rows["train"] - rows["val"]), "labels": dict(rows["overfitting"])}


def _mixed_evidence(reported: Reported) -> dict[str, Any]:
    table, rows = reported("scratch"), slide_rows(reported)
    single = table[table["kind"] != "printed"].set_index("network")[["train", "val"]]
    joined = {name: tuple(rows.loc[name, ["train", "val"]]) for name in rows.index if "-" in name}
    members = {name: {one: tuple(single.loc[one]) for one in name.split("-")} for name in joined}
    return {"rows": joined, "members": members}


def _gap_evidence(reported: Reported) -> dict[str, Any]:
    table = reported("scratch")
    rows = table[table["kind"] != "printed"].set_index("network")
    return {"gaps": {number: rows["train"][number] - rows["val"][number] for number in ("9", "10")}}


def _shape_evidence(reported: Reported) -> dict[str, Any]:
    images = _test_images(reported)
    rows = reported("paper_r65k").set_index("architecture")
    pairs = {
        name: (share_of(row["vs"], images, "VS"), share_of(row["fs"], images, "FS")) for name, row in rows.iterrows()
    }
    return {"differences": {name: first.minus(second) for name, (first, second) in pairs.items()}}


# ---- projections -----------------------------------------------------------------------------------------------------
def _sample_evidence(reported: Reported) -> dict[str, Any]:
    numbers = _numbers(reported).astype(int)
    sizes = {"smallest": numbers["sample_smallest"], "largest": numbers["sample_largest"]}
    return {**sizes, "wanted": numbers["sample_wanted"], "classes": len(report_rows(reported))}


# ---- feature extraction ----------------------------------------------------------------------------------------------
def vgg16_parameters() -> dict[str, int]:
    """Parameters of VGG16 at 224 pixels: its first dense layer alone, and the network up to fc1 and up to fc2."""
    ends = pairwise(VGG_CHANNELS)
    convolutions = sum(9 * inward * outward + outward for inward, outward in ends)
    fc1, fc2 = 7 * 7 * 512 * 4096 + 4096, 4096 * 4096 + 4096
    return {"fc1 alone": fc1, "up to fc1": convolutions + fc1, "up to fc2": convolutions + fc1 + fc2}


def networks_table(reported: pd.DataFrame, networks: Sequence[str]) -> pd.DataFrame:
    """Parameters and features of the original's networks and this run's: reported, and as the built networks have them.

    Args:
        reported: `data/reported/models.csv`.
        networks: names in the registry of this run's networks.
    """
    printed = reported.set_index("model")
    own = [registry.backbone(name) for name in networks]
    known = [entry for entry in registry.REGISTRY.values() if entry.title in printed.index and entry not in own]
    rows = []
    for entry in [*known, *own]:
        given = printed.loc[entry.title] if entry.title in printed.index else {"parameters": None, "features": None}
        numbers = (given["parameters"], entry.parameters, given["features"], entry.width)
        rows.append([entry.title, *("–" if one is None else f"{one:,}" for one in numbers)])
    columns = ["network", "parameters (reported)", "without top", "features (reported)", "penultimate layer"]
    return pd.DataFrame(rows, columns=columns)


def parameters_words(reported: pd.DataFrame) -> str:
    """Which of the reported numbers of parameters are those of the network without its top, and what the others are."""
    titles = {entry.title: entry.parameters for entry in registry.REGISTRY.values()}
    printed = {name: int(count) for name, count in zip(reported["model"], reported["parameters"], strict=True)}
    right = [name for name, count in printed.items() if titles.get(name) == count]
    words = [f"The reported parameters of {', '.join(right) or 'no network'} are those without the top."]
    parts = {"VGG16": vgg16_parameters()}
    for name in [name for name in printed if name not in right]:
        sizes = {"without top": titles.get(name, 0)} | parts.get(name, {})
        known = [part for part, size in sizes.items() if size == printed[name]]
        listed = ", ".join(f"{part} {size:,}" for part, size in sizes.items() if part not in known)
        words.append(f"{name}'s are {known[0] if known else 'none of its parts'} ({listed}).")
    return " ".join(words)


def _parameters_evidence(reported: Reported) -> dict[str, Any]:
    return {"printed": int(reported("models").set_index("model")["parameters"]["VGG16"]), "sizes": vgg16_parameters()}


def _scores(reported: Reported, features: str, kind: str = "printed") -> dict[str, float]:
    table = reported("classification")
    rows = table[(table["features"] == features) & (table["kind"] == kind)].dropna(subset="test")
    return dict(rows.set_index("network")["test"])


def _figure_evidence(reported: Reported) -> dict[str, Any]:
    figure = _scores(reported, "CNN features", "read from figure")
    return {"table": {name: _scores(reported, "CNN features")[name] for name in figure}, "figure": figure}


def _cv_evidence(reported: Reported) -> dict[str, Any]:
    numbers = _numbers(reported)
    train, test = int(numbers["train_images"]), int(numbers["test_images"])
    pairs = {"lowest of all": ("cv_lowest", "val_and_test"), "linear SVM": ("linear_svm_cv", "linear_svm_test")}
    return {
        "pairs": {
            name: (share_of(numbers[cv], train, "CV"), share_of(numbers[held], test, "test"))
            for name, (cv, held) in pairs.items()
        }
    }


def _folds_evidence(reported: Reported) -> dict[str, Any]:
    """Upper end of the lowest fold against the lower end of the next, so that reading them off can't make a gap."""
    folds, gaps = reported("folds"), {}
    images = int(_numbers(reported)["train_images"]) // folds["fold"].nunique()
    for name, rows in folds.groupby("classifier", sort=False):
        lowest = rows["low"].idxmin()
        others = share_of(rows["low"].drop(lowest).min(), images, "next fold")
        gaps[name] = share_of(rows["high"][lowest], images, "lowest fold").minus(others)
    return {"gaps": gaps}


def _importance_evidence(reported: Reported) -> dict[str, Any]:
    shares = reported("importances").set_index("column")["importance"]
    return {"importances": dict(shares), "columns": int(_numbers(reported)["table_columns"])}


def _best_evidence(reported: Reported) -> dict[str, Any]:
    rows = reported("classification")
    rows = rows[rows["features"] == "fine-tuned features"]
    best = {kind: dict(part.set_index("network")["best_model"]) for kind, part in rows.groupby("kind")}
    return {"table": best["printed"], "figure": best["read from figure"]}


def _tuned_evidence(reported: Reported) -> dict[str, Any]:
    images = _test_images(reported)
    plain, tuned = (_scores(reported, name) for name in ("CNN features", "fine-tuned features"))
    pairs = {name: (share_of(tuned[name], images), share_of(plain[name], images)) for name in tuned}
    return {"differences": {name: first.minus(second) for name, (first, second) in pairs.items()}}


def _b0_evidence(reported: Reported) -> dict[str, Any]:
    images = _test_images(reported)
    return {
        "differences": {name: _b0_gap(_scores(reported, name), images) for name in ("CNN features", "dense classifier")}
    }


def _b0_gap(scores: dict[str, float], images: int) -> Difference:
    others = np.mean([value for name, value in scores.items() if name != "EfficientNetB0"])
    return share_of(scores["EfficientNetB0"], images, "B0").minus(share_of(others, images, "mean of the others"))


def _route_evidence(reported: Reported) -> dict[str, Any]:
    features = share_of(
        _scores(reported, "fine-tuned features")["VGG16"], _test_images(reported), "fine-tuned features"
    )
    return {"features": features, "head": _accuracy_from_rows(reported)}


# ---- fine-tuning -----------------------------------------------------------------------------------------------------
def _runs(reported: Reported) -> pd.DataFrame:
    return reported("fine_tuning").dropna(subset=["val_printed", "val_end"]).set_index("run")


def _progress_evidence(reported: Reported) -> dict[str, Any]:
    images = int(_numbers(reported)["val_images"])
    ends = {f"run {run}": share_of(value, images, f"run {run}") for run, value in _runs(reported)["val_end"].items()}
    names = list(ends)
    steps = {f"{later} after {one}": ends[later].minus(ends[one]) for one, later in pairwise(names)}
    return {"steps": steps, "overall": ends[names[-1]].minus(ends[names[0]])}


def _curves_evidence(reported: Reported) -> dict[str, Any]:
    runs = _runs(reported)
    return {"printed": dict(runs["val_printed"]), "curves": dict(runs["val_end"])}


def _rate_evidence(reported: Reported) -> dict[str, Any]:
    images, ends = int(_numbers(reported)["val_images"]), reported("fine_tuning").set_index("run")["val_end"]
    before, after = float(ends["3"]), float(ends["4"])
    return {"difference": share_of(after, images).minus(share_of(before, images)), "before": before, "after": after}


def first_layer_penalty(factor: float, width: int, inputs: int = 8 * 8 * 512) -> float:
    """Expected L2 penalty of a dense layer at its start: factor times the sum of its squared weights.

    Glorot's uniform start has a variance of 2 / (inputs + width) (Glorot and Bengio 2010).

    Args:
        factor: of Keras's `l2`.
        width: units of the layer.
        inputs: values that it takes; the flattened last feature map of VGG16 at 256 pixels.
    """
    return factor * inputs * width * 2 / (inputs + width)


def _penalty_evidence(reported: Reported) -> dict[str, Any]:
    rows = reported("fine_tuning").dropna(subset=["l2", "loss_start"]).set_index("run")
    widths = rows["head"].str.split(",").str[0].astype(int)
    penalties = {run: first_layer_penalty(rows["l2"][run], widths[run]) for run in rows.index}
    return {"penalties": penalties, "starts": dict(rows["loss_start"])}


def _paper_evidence(reported: Reported) -> dict[str, Any]:
    paper = reported("paper_r65k").set_index("architecture")["fs"]["VGG16"]
    return {"lab": _accuracy_from_rows(reported), "paper": share_of(paper, _test_images(reported), "the paper's VGG16")}


def _numbers(reported: Reported) -> pd.Series:
    return reported("numbers").set_index("id")["value"]


def _test_images(reported: Reported) -> int:
    return int(_numbers(reported)["test_images"])


EVIDENCE: dict[str, Callable[[Reported], dict[str, Any]]] = {
    "overfitting-labels-consistent": _overfitting_evidence,
    "rows-are-single-networks": _mixed_evidence,
    "printed-9-regularised-too-much": _gap_evidence,
    "variable-shape-helps": _shape_evidence,
    "printed-sample-of-100": _sample_evidence,
    "printed-vgg16-parameters": _parameters_evidence,
    "slide-17-follows-figure": _figure_evidence,
    "printed-cv-scores-hold": _cv_evidence,
    "printed-folds-agree": _folds_evidence,
    "printed-b0-worse": _b0_evidence,
    "printed-importances-ignore": _importance_evidence,
    "slide-22-best-follows-figure": _best_evidence,
    "printed-fine-tuned-features-help": _tuned_evidence,
    "printed-features-beat-head": _route_evidence,
    "printed-l2-fits-curves": _penalty_evidence,
    "printed-lower-rate-improves": _rate_evidence,
    "printed-runs-differ": _progress_evidence,
    "printed-accuracies-follow-curves": _curves_evidence,
    "below-papers-vgg16": _paper_evidence,
    "val-carries-over": _carry_evidence,
    "diagonal-agrees-with-accuracy": _diagonal_evidence,
    "report-accuracy-follows": _accuracy_evidence,
    "report-macro-follows": _average_evidence("macro"),
    "report-weighted-follows": _average_evidence("weighted"),
}
