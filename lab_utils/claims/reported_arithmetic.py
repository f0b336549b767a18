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
from lab_utils.stats.intervals import Z95, Accuracy, Difference, Estimate

Reported = Callable[[str], pd.DataFrame]
Evidence = dict[str, dict[str, Any]]
COLUMNS = ["precision", "recall", "f1"]
VGG_CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)  # of its thirteen convolutions


def verdicts(reported: Reported) -> list[Verdict]:
    """Verdicts on all claims that are arithmetic on printed numbers.

    Args:
        reported: gives a table of `data/reported` by its name.
    """
    evidence = {id: given for part in (_baseline, _features, _runs, _report) for id, given in part(reported).items()}
    return [check(id, Context("reported"), **given) for id, given in evidence.items()]


def _number(reported: Reported, id: str) -> float:
    return reported("numbers").set_index("id")["value"][id]


def _gap(first: float, n: int, second: float, other_n: int | None = None) -> Difference:
    """Difference of two printed shares of n (and other_n) images, as of two accuracies."""
    return _share(first, n).minus(_share(second, other_n or n))


def _share(value: float, n: int) -> Accuracy:
    """A printed share of n images as an accuracy (the count is rounded)."""
    return Accuracy(round(value * n), int(n), "printed")


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
    value, half, images = rows["recall"].mean(), Z95 * np.sqrt(variance), int(rows["support"].sum())
    return Estimate(value, value - half, value + half, images, "balanced test accuracy", scale=100, unit=" %", digits=1)


def _report(reported: Reported) -> Evidence:
    rows, images = report_rows(reported), _number(reported, "test_images")
    printed, recomputed = printed_averages(reported), recomputed_averages(rows)
    accuracy, diagonal = {"accuracy": printed.loc["accuracy", "f1"]}, _number(reported, "confusion_diagonal") / images
    head = _share(recomputed.loc["weighted", "recall"], images)
    features = _share(_scores(reported, "fine-tuned features")["VGG16"], images)
    paper = _share(reported("paper_r65k").set_index("architecture")["fs"]["VGG16"], images)
    val = _share(reported("fine_tuning").set_index("run")["val_printed"]["6"], _number(reported, "val_images"))
    balanced = balanced_accuracy(rows)
    carried = {"value": metrics.independent_difference(val, balanced), "val": val, "balanced": balanced}
    averages = {
        f"report-{kind}-follows": {"printed": dict(printed.loc[kind, COLUMNS]), "other": dict(recomputed.loc[kind])}
        for kind in recomputed.index
    }
    return averages | {
        "report-accuracy-follows": {"printed": accuracy, "other": {"accuracy": head.value}},
        "diagonal-agrees-with-accuracy": {"printed": accuracy, "other": {"accuracy": diagonal}},
        "below-papers-vgg16": {"value": head.minus(paper), "lab": head, "paper": paper},
        "printed-features-beat-head": {"value": features.minus(head), "features": features, "head": head},
        "val-carries-over": carried,
    }


# ---- baselines, and the sample of the maps ---------------------------------------------------------------------------
def _baseline(reported: Reported) -> Evidence:
    table, splits = reported("scratch"), ["train", "val"]
    rows = table[table["kind"] == "printed"].set_index("network")
    single = table[table["kind"] != "printed"].set_index("network")[splits].astype(float)
    gaps, labels = rows["train"] - rows["val"], rows["overfitting"]
    rank = labels.map({"Low": 0, "Medium": 1, "High": 2})
    pairs = [(low, high) for low in rows.index for high in rows.index if rank[low] < rank[high]]
    low, high = max(pairs, key=lambda pair: gaps[pair[0]] - gaps[pair[1]])  # the larger gap with the lower label
    about = {"lower": f"#{low}", "lower_label": labels[low], "higher": f"#{high}", "higher_label": labels[high]}
    joined, nearest = {}, {}
    for row in (name for name in rows.index if "-" in name):
        off = (single.loc[row.split("-")] - rows.loc[row, splits].astype(float)).abs().sum(axis=1)
        joined |= {f"{row} ({split})": rows.loc[row, split] for split in splits}
        nearest |= {f"{row} ({split})": single.loc[off.idxmin(), split] for split in splits}
    nine, ten = (single["train"][network] - single["val"][network] for network in ("9", "10"))
    wanted, classes = int(_number(reported, "sample_wanted")), len(report_rows(reported))
    half = NormalDist().inv_cdf(1 - 0.025 / classes) * wanted**0.5  # Poisson counts, Bonferroni over the classes
    sizes = {f"{which} class": _number(reported, f"sample_{which}") for which in ("smallest", "largest")}
    drawn = {name: Estimate(size, size - half, size + half, classes, digits=0) for name, size in sizes.items()}
    return {
        "overfitting-labels-consistent": {"first": gaps[low], "second": gaps[high], **about},
        "rows-are-single-networks": {"printed": joined, "other": nearest},
        "printed-9-regularised-too-much": {"first": nine, "second": ten},
        "printed-sample-of-100": {"parts": drawn, "reference": wanted},
    }


# ---- feature extraction and classification ---------------------------------------------------------------------------
def vgg16_parameters() -> dict[str, int]:
    """Parameters of VGG16 at 224 pixels: its first dense layer alone, and the network up to fc1 and up to fc2."""
    convolutions = sum(9 * inward * outward + outward for inward, outward in pairwise(VGG_CHANNELS))
    fc1, fc2 = 7 * 7 * 512 * 4096 + 4096, 4096 * 4096 + 4096
    return {"fc1 alone": fc1, "up to fc1": convolutions + fc1, "up to fc2": convolutions + fc1 + fc2}


def _scores(reported: Reported, features: str, kind: str = "printed", column: str = "test") -> dict[str, Any]:
    table = reported("classification")
    rows = table[(table["features"] == features) & (table["kind"] == kind)].dropna(subset=column)
    return dict(rows.set_index("network")[column])


def _features(reported: Reported) -> Evidence:
    train, test = int(_number(reported, "train_images")), int(_number(reported, "test_images"))
    plain, dense, tuned = (
        _scores(reported, name) for name in ("CNN features", "dense classifier", "fine-tuned features")
    )
    figure = _scores(reported, "CNN features", "read from figure")
    best = [_scores(reported, "fine-tuned features", kind, "best_model") for kind in ("printed", "read from figure")]
    sizes, printed = vgg16_parameters(), int(reported("models").set_index("model")["parameters"]["VGG16"])
    alone, *whole = sizes.values()
    extractor = printed if printed in whole else whole[0]
    part = "fc1 alone" if printed == alone else "no part"
    held = {"the lowest of all": ("cv_lowest", "val_and_test"), "the linear SVM": ("linear_svm_cv", "linear_svm_test")}
    pairs = {name: [_number(reported, id) for id in ids] for name, ids in held.items()}
    folds, below = {}, {}
    for name, rows in reported("folds").groupby("classifier", sort=False):  # ends that leave no gap to reading them off
        lowest = rows["low"].idxmin()
        folds[name] = _gap(rows["high"][lowest], train // len(rows), rows["low"].drop(lowest).min())
    for name, scores in (("CNN features", plain), ("dense classifier", dense)):
        others = np.mean([score for network, score in scores.items() if network != "EfficientNetB0"])
        below[name] = _gap(scores["EfficientNetB0"], test, others)
    shares, even = (
        dict(reported("importances").set_index("column")["importance"]),
        1 / _number(reported, "table_columns"),
    )
    return {
        "printed-vgg16-parameters": {"printed": {"VGG16": printed}, "other": {"VGG16": extractor}, "part": part},
        "slide-17-follows-figure": {"printed": plain, "other": figure},
        "printed-cv-scores-hold": {
            "parts": {name: _gap(there, test, cv, train) for name, (cv, there) in pairs.items()}
        },
        "printed-folds-agree": {"parts": folds},
        "printed-b0-worse": {"parts": below},
        "printed-importances-ignore": {"printed": shares, "other": dict.fromkeys(shares, 0.0), "even": even},
        "slide-22-best-follows-figure": {"printed": best[0], "other": best[1]},
        "printed-fine-tuned-features-help": {"parts": {name: _gap(tuned[name], test, plain[name]) for name in tuned}},
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
    images, rows = (
        int(_number(reported, "val_images")),
        reported("fine_tuning").assign(name=lambda rows: "run " + rows["run"]),
    )
    rows = rows.set_index("name")
    known, loss = rows.dropna(subset=["val_printed", "val_end"]), rows.dropna(subset=["l2", "loss_start"])
    widths = loss["head"].str.split(",").str[0].astype(int)
    penalties = {run: first_layer_penalty(loss["l2"][run], widths[run]) for run in loss.index}
    before, after = rows["val_end"]["run 3"], rows["val_end"]["run 4"]
    return {
        "printed-accuracies-follow-curves": {"printed": dict(known["val_printed"]), "other": dict(known["val_end"])},
        "printed-runs-differ": {"value": _gap(known["val_end"].iloc[-1], images, known["val_end"].iloc[0])},
        "printed-lower-rate-improves": {"value": _gap(after, images, before), "before": before, "after": after},
        "printed-l2-fits-curves": {"printed": penalties, "other": dict(loss["loss_start"])},
    }
