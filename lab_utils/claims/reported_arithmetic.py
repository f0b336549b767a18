"""What follows from the original's printed numbers alone, so on any data: evidence for the claims that need no more.

Tables come from `data/reported` (`lab.reported`); nothing here was measured by the lab.
"""

from collections.abc import Callable
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.claims.engine import Context, Verdict, check
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Z95, Accuracy, Estimate

Reported = Callable[[str], pd.DataFrame]
Evidence = dict[str, dict[str, Any]]
COLUMNS = ["precision", "recall", "f1"]
VGG_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)  # of its thirteen convolutions


def verdicts(reported: Reported) -> list[Verdict]:
    """Verdicts on all claims that are arithmetic on printed numbers.

    Args:
        reported: gives a table of `data/reported` by its name.
    """
    return [check(id, Context("reported"), **given) for id, given in evidence(reported).items()]


def evidence(reported: Reported) -> Evidence:
    """Evidence by the claim's id."""
    parts = (_baseline, _classification, _features, _runs, _report)
    return {id: given for part in parts for id, given in part(reported).items()}


def share_of(value: float, n: int, of: str = "") -> Accuracy:
    """A printed share of `n` images as an accuracy (the count is rounded)."""
    return Accuracy(round(value * n), int(n), of)


def _numbers(reported: Reported) -> pd.Series:
    return reported("numbers").set_index("id")["value"]


# ---- classification report -------------------------------------------------------------------------------------------
def report_rows(reported: Reported) -> pd.DataFrame:
    """The report's 29 rows, by class."""
    table = reported("report")
    return table[table["row"] == "class"].set_index("name")


def recomputed_averages(rows: pd.DataFrame) -> pd.DataFrame:
    """Macro and weighted averages of a report's rows; index macro, weighted; columns precision, recall, f1.

    The weighted recall is the accuracy.
    """
    weights = rows["support"] / rows["support"].sum()
    return pd.DataFrame({"macro": rows[COLUMNS].mean(), "weighted": rows[COLUMNS].mul(weights, axis=0).sum()}).T


def printed_averages(reported: Reported) -> pd.DataFrame:
    """The report's three summary rows as printed; index accuracy, macro, weighted."""
    table = reported("report")
    return table[table["row"] == "summary"].assign(name=lambda rows: rows["name"].str.split().str[0]).set_index("name")


def balanced_accuracy(rows: pd.DataFrame) -> Estimate:
    """Mean recall of a report's rows, with the normal interval of a mean of independent shares."""
    variance = (rows["recall"] * (1 - rows["recall"]) / rows["support"]).sum() / len(rows) ** 2
    value, half = rows["recall"].mean(), Z95 * np.sqrt(variance)
    images = int(rows["support"].sum())
    return Estimate(value, value - half, value + half, images, "balanced test accuracy", scale=100, unit=" %", digits=1)


def _report(reported: Reported) -> Evidence:
    numbers, rows = _numbers(reported), report_rows(reported)
    printed, found = printed_averages(reported), recomputed_averages(rows)
    accuracy, test = {"accuracy": printed.loc["accuracy", "f1"]}, numbers["test_images"]
    head = share_of(found.loc["weighted", "recall"], test, "own head, from the report's rows")
    features = share_of(_scores(reported, "fine-tuned features")["VGG16"], test, "fine-tuned features, printed")
    paper = share_of(reported("paper_r65k").set_index("architecture")["fs"]["VGG16"], test, "the paper's VGG16")
    val = share_of(reported("fine_tuning").set_index("run")["val_printed"]["6"], numbers["val_images"], "val, printed")
    carried, balanced = balanced_accuracy(rows), {"val": val}
    averages = {
        f"report-{kind}-follows": {"printed": dict(printed.loc[kind, COLUMNS]), "other": dict(found.loc[kind, COLUMNS])}
        for kind in ("macro", "weighted")
    }
    return averages | {
        "report-accuracy-follows": {"printed": accuracy, "other": {"accuracy": head.value}},
        "diagonal-agrees-with-accuracy": {
            "printed": accuracy,
            "other": {"accuracy": numbers["confusion_diagonal"] / test},
        },
        "below-papers-vgg16": {"value": head.minus(paper), "lab": head, "paper": paper},
        "printed-features-beat-head": {"value": features.minus(head), "features": features, "head": head},
        "val-carries-over": {"value": metrics.independent_difference(val, carried), "balanced": carried} | balanced,
    }


# ---- baselines and the sample of the maps ----------------------------------------------------------------------------
def _baseline(reported: Reported) -> Evidence:
    table, numbers = reported("scratch"), _numbers(reported)
    rows, single = (
        part.set_index("network") for part in (table[table["kind"] == "printed"], table[table["kind"] != "printed"])
    )
    gaps, labels, order = rows["train"] - rows["val"], rows["overfitting"], ["Low", "Medium", "High"]
    pairs = [
        (one, other)
        for one in gaps.index
        for other in gaps.index
        if order.index(labels[one]) < order.index(labels[other])
    ]
    low, high = max(pairs, key=lambda pair: gaps[pair[0]] - gaps[pair[1]])
    joined, nearest = {}, {}
    for row in (name for name in rows.index if "-" in name):
        printed = rows.loc[row, ["train", "val"]].astype(float)
        members = single.loc[row.split("-"), ["train", "val"]].astype(float)
        closest = members.loc[(members - printed).abs().sum(axis=1).idxmin()]
        joined |= {f"{row} ({split})": printed[split] for split in printed.index}
        nearest |= {f"{row} ({split})": closest[split] for split in printed.index}
    wanted, classes = int(numbers["sample_wanted"]), len(report_rows(reported))
    half = NormalDist().inv_cdf(1 - 0.025 / classes) * wanted**0.5  # Poisson counts, Bonferroni over the classes
    sizes = {f"{name} class": numbers[f"sample_{name}"] for name in ("smallest", "largest")}
    return {
        "overfitting-labels-consistent": {
            "first": gaps[low],
            "second": gaps[high],
            "lower": f"#{low}",
            "lower_label": labels[low],
            "higher": f"#{high}",
            "higher_label": labels[high],
        },
        "rows-are-single-networks": {"printed": joined, "other": nearest},
        "printed-9-regularised-too-much": {
            name: single["train"][one] - single["val"][one] for name, one in (("first", "9"), ("second", "10"))
        },
        "printed-sample-of-100": {
            "parts": {
                name: Estimate(size, size - half, size + half, classes, digits=0) for name, size in sizes.items()
            },
            "reference": wanted,
        },
    }


# ---- feature extraction ----------------------------------------------------------------------------------------------
def vgg16_parameters() -> dict[str, int]:
    """Parameters of VGG16 at 224 pixels: its first dense layer alone, and the network up to fc1 and up to fc2."""
    convolutions = sum(9 * inward * outward + outward for inward, outward in pairwise(VGG_CHANNELS))
    fc1, fc2 = 7 * 7 * 512 * 4096 + 4096, 4096 * 4096 + 4096
    return {"fc1 alone": fc1, "up to fc1": convolutions + fc1, "up to fc2": convolutions + fc1 + fc2}


def _scores(reported: Reported, features: str, kind: str = "printed") -> dict[str, float]:
    table = reported("classification")
    rows = table[(table["features"] == features) & (table["kind"] == kind)].dropna(subset="test")
    return dict(rows.set_index("network")["test"])


def _classification(reported: Reported) -> Evidence:
    numbers, folds, shares = (
        _numbers(reported),
        reported("folds"),
        reported("importances").set_index("column")["importance"],
    )
    train, test, columns = (int(numbers[name]) for name in ("train_images", "test_images", "table_columns"))
    printed, figure = _scores(reported, "CNN features"), _scores(reported, "CNN features", "read from figure")
    held = {"the lowest of all": ("cv_lowest", "val_and_test"), "the linear SVM": ("linear_svm_cv", "linear_svm_test")}
    gaps, below = {}, {}
    for name, rows in folds.groupby("classifier", sort=False):  # ends that leave no gap to reading them off
        lowest, n = rows["low"].idxmin(), train // folds["fold"].nunique()
        gaps[name] = share_of(rows["high"][lowest], n).minus(share_of(rows["low"].drop(lowest).min(), n))
    for features in ("CNN features", "dense classifier"):
        scores = _scores(reported, features)
        others = np.mean([value for name, value in scores.items() if name != "EfficientNetB0"])
        below[features] = share_of(scores["EfficientNetB0"], test, "B0").minus(share_of(others, test, "the others"))
    sizes, parameters = vgg16_parameters(), int(reported("models").set_index("model")["parameters"]["VGG16"])
    whole = {size: name for name, size in sizes.items() if name != "fc1 alone"}
    return {
        "printed-vgg16-parameters": {
            "printed": {"VGG16": parameters},
            "other": {"VGG16": parameters if parameters in whole else sizes["up to fc1"]},
            "part": "those of its layer fc1 alone"
            if parameters == sizes["fc1 alone"]
            else "those of none of its parts",
        },
        "slide-17-follows-figure": {"printed": {name: printed[name] for name in figure}, "other": figure},
        "printed-cv-scores-hold": {
            "parts": {
                name: share_of(numbers[held], test, "test").minus(share_of(numbers[cv], train, "CV"))
                for name, (cv, held) in held.items()
            }
        },
        "printed-folds-agree": {"parts": gaps},
        "printed-b0-worse": {"parts": below},
        "printed-importances-ignore": {
            "printed": dict(shares),
            "other": dict.fromkeys(shares.index, 0.0),
            "even": 1 / columns,
        },
    }


def _features(reported: Reported) -> Evidence:
    images, rows = int(_numbers(reported)["test_images"]), reported("classification")
    rows = rows[rows["features"] == "fine-tuned features"]
    best = {kind: dict(part.set_index("network")["best_model"]) for kind, part in rows.groupby("kind")}
    plain, tuned = _scores(reported, "CNN features"), _scores(reported, "fine-tuned features")
    gains = {name: share_of(tuned[name], images).minus(share_of(plain[name], images)) for name in tuned}
    return {
        "slide-22-best-follows-figure": {"printed": best["printed"], "other": best["read from figure"]},
        "printed-fine-tuned-features-help": {"parts": gains},
    }


# ---- fine-tuning -----------------------------------------------------------------------------------------------------
def first_layer_penalty(factor: float, width: int, inputs: int = 8 * 8 * 512) -> float:
    """Expected L2 penalty of a dense layer at its start: factor times the sum of its squared weights.

    Glorot's uniform start has a variance of 2 / (inputs + width) (Glorot and Bengio 2010).

    Args:
        factor: of Keras's `l2`.
        width: units of the layer.
        inputs: values that it takes; the flattened last feature map of VGG16 at 256 pixels.
    """
    return factor * inputs * width * 2 / (inputs + width)


def _runs(reported: Reported) -> Evidence:
    images, rows = int(_numbers(reported)["val_images"]), reported("fine_tuning").set_index("run")
    ends = {run: share_of(value, images, f"run {run}") for run, value in rows["val_end"].dropna().items()}
    known, loss = rows.dropna(subset=["val_printed", "val_end"]), rows.dropna(subset=["l2", "loss_start"])
    widths = loss["head"].str.split(",").str[0].astype(int)
    return {
        "printed-accuracies-follow-curves": {
            "printed": {f"run {run}": value for run, value in known["val_printed"].items()},
            "other": {f"run {run}": value for run, value in known["val_end"].items()},
        },
        "printed-runs-differ": {"value": ends[known.index[-1]].minus(ends[known.index[0]])},
        "printed-lower-rate-improves": {
            "value": ends["4"].minus(ends["3"]),
            "before": rows["val_end"]["3"],
            "after": rows["val_end"]["4"],
        },
        "printed-l2-fits-curves": {
            "printed": {f"run {run}": first_layer_penalty(loss["l2"][run], widths[run]) for run in loss.index},
            "other": {f"run {run}": value for run, value in loss["loss_start"].items()},
        },
    }
