"""Chapter 14: what is counted about the final network, beside what the original prints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.chapters.fine_tuning_results import unlike_the_original
from lab_utils.claims import reported_arithmetic
from lab_utils.data.splits import fold_groups
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Accuracy, Estimate

if TYPE_CHECKING:
    from lab_utils.lab import Lab
    from lab_utils.training.kept import KeptRun


@dataclass(frozen=True)
class Headline:
    """Answers of one classifier on val and test, and the truth there.

    Attributes:
        title: the classifier in words.
        classes: C names in label order.
        val: logits, shape (n_val, C).
        val_truth: labels, shape (n_val,).
        test: logits, shape (n_test, C).
        truth: labels of test, shape (n_test,).
        size: side of the pictures that it sees, in pixels.
        lots: by split, val and test, what intervals draw as a whole, shapes (n_val,) and (n_test,).
        histories: of its training by title, one row an epoch.
    """

    title: str
    classes: list[str]
    val: np.ndarray
    val_truth: np.ndarray
    test: np.ndarray
    truth: np.ndarray
    size: int
    lots: Mapping[str, np.ndarray | None] = field(default_factory=lambda: {"val": None, "test": None})
    histories: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def predicted(self) -> np.ndarray:
        """Predicted labels of test, shape (n_test,)."""
        return self.test.argmax(1)

    @property
    def counts(self) -> np.ndarray:
        """Confusion matrix of test, shape (C, C)."""
        return metrics.confusion_matrix(self.truth, self.predicted, len(self.classes))

    @property
    def val_accuracy(self) -> Accuracy:
        """On val."""
        return Accuracy.from_labels(self.val_truth, self.val.argmax(1), f"{self.title}, val", self.lots["val"])

    @property
    def accuracy(self) -> Accuracy:
        """On test."""
        return Accuracy.from_labels(self.truth, self.predicted, f"{self.title}, test", self.lots["test"])

    def taken_for(self, label: int, other: int) -> Accuracy:
        """Share of a class's test images that are taken for another class."""
        inside, lots = self.truth == label, self.lots["test"]
        of = f"{self.classes[label]} taken for {self.classes[other]}"
        return Accuracy.from_hits((self.predicted == other)[inside], of, None if lots is None else lots[inside])


def headline(
    lab: "Lab", title: str, run: "KeptRun", logits: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]
) -> Headline:
    """Gather what the chapter counts about a trained network.

    Args:
        lab: of the run.
        title: of the network, as in the log of test reads.
        run: the network.
        logits: of val and test, each (n, C).
        truth: labels of val and test, each (n,).
    """
    lots = {split: lab.lots(split) for split in ("val", "test")}
    answers = (logits["val"], truth["val"], logits["test"], truth["test"])
    return Headline(title, lab.classes, *answers, run.settings["input size"], lots, {run.name: run.history})


# ---- classification report beside the original's ---------------------------------------------------------------------
def report_beside(report: pd.DataFrame, reported: pd.DataFrame) -> pd.DataFrame:
    """The report's rows with the original's, where the class is one of the original's.

    Args:
        report: of scikit-learn, one row a class by its name.
        reported: the table `report` of `data/reported`.

    Returns:
        class, precision, recall, F1, support; reported P, R, F; F1 minus reported; all rounded to two digits.
    """
    report = report.rename(columns={"f1-score": "f1"})
    rows = reported[reported["row"] == "class"].set_index("name").reindex(report.index)
    table = report.rename(columns={"f1": "F1"}).round(2).astype({"support": int}).rename_axis("class").reset_index()
    columns = {"P": "precision", "R": "recall", "F": "f1"}
    for name, column in columns.items():
        table[f"reported {name}"] = rows[column].to_numpy()
    table["ΔF"] = (report["f1"].to_numpy() - rows["f1"].to_numpy()).round(2) + 0.0  # no "-0"
    return table


def check_reported_support(report: pd.DataFrame, reported: pd.DataFrame, lab: "Lab") -> str:
    """On the whole of MAMe every class must have as many test images as the original's report says; say if it was so.

    Args:
        report: of scikit-learn, one row a class by its name.
        reported: the table `report` of `data/reported`.
        lab: the run.

    Raises:
        LabError: a class has another support, with its name.
    """
    data = lab.settings.data
    if lab.table.source != "mame" or lab.missing or data.cap or data.classes:
        return "Support equals the table's counts."
    rows = reported[reported["row"] == "class"].set_index("name")["support"]
    metrics.check_support(report["support"], list(report.index), rows.reindex(report.index).to_numpy())
    return "Support equals the table's counts and, class by class, that of the original's report."


def averages_beside(averages: Mapping[str, Estimate], reported: reported_arithmetic.Reported) -> pd.DataFrame:
    """Averages with intervals, beside the printed ones and those that follow from the printed rows.

    Args:
        averages: of `metrics.averages`.
        reported: gives a table of `data/reported` by its name (`lab.reported`).
    """
    printed = reported_arithmetic.printed_averages(reported)
    recomputed = reported_arithmetic.recomputed_averages(reported_arithmetic.report_rows(reported))
    places = {
        "accuracy": (("accuracy", "f1"), ("weighted", "recall")),
        "balanced accuracy": (("macro", "recall"), ("macro", "recall")),
        **{f"macro {name}": (("macro", column),) * 2 for name, column in (("precision", "precision"), ("F1", "f1"))},
        **{f"weighted {name}": (("weighted", name.lower()),) * 2 for name in ("precision", "recall", "F1")},
    }
    rows = [
        (name, averages[name], printed.loc[place], f"{recomputed.loc[other]:.3f}")
        for name, (place, other) in places.items()
    ]
    return pd.DataFrame(rows, columns=["average", "here", "reported", "from the reported rows"])


def comparable_words(lab: "Lab") -> str:
    """Whether this run's figures can be set beside the original's."""
    if lab.table.source != "mame":
        return "The reported columns are of the original's images, not of these."
    unlike = unlike_the_original(lab)
    if unlike:
        return f"The original's data set, but not its network as printed ({', '.join(unlike)}): no like for like."
    return "Same data set, splits and network as the original: the columns can be compared."


# ---- groups of test images -------------------------------------------------------------------------------------------
def group_accuracies(lab: "Lab", headline: Headline) -> dict[str, dict[str, Accuracy]]:
    """Test accuracy by museum, by lot seen in train or not, and by object seen in train or not.

    Returns:
        `{"museum": {name: Accuracy}, "lot": ..., "object": ...}`; unknown museums and lots are left out.
    """
    train, test = (lab.images.iloc[lab.rows(split)] for split in ("train", "test"))
    lots = metrics.seen_in_train(test["lot"], train["lot"])
    objects = metrics.seen_in_train(test["group"], train["group"], "sibling image")
    objects[objects == ""] = "sibling image not seen"
    groups = {"museum": test["museum"].to_numpy(), "lot": lots, "object": objects}
    return {
        name: metrics.group_accuracies(
            headline.truth, headline.predicted, values, f"{headline.title}, test", headline.lots["test"]
        )
        for name, values in groups.items()
    }


def lots_evidence(lab: "Lab", headline: Headline, lots: Mapping[str, Accuracy]) -> dict[str, Any]:
    """Evidence on lots seen and not seen in train: accuracies, and their difference at one mix of classes (`value`).

    Args:
        lab: the run.
        headline: the headline classifier.
        lots: accuracies by lot (`group_accuracies`).
    """
    right, labels, words, groups = sides(lab, headline)
    known, first = words != "", words == "lot seen in train"
    inside = (array[known] for array in (right, labels, first, groups))
    standardised = metrics.standardised_difference(*inside)
    same_mix, classes = standardised or (None, 0)
    seen, unseen = lots.get("lot seen in train"), lots.get("lot not seen")
    return {"value": same_mix, "seen": seen, "unseen": unseen, "classes": classes}


def sides(lab: "Lab", headline: Headline) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the test images: whether each was recognised, its class, whether train has its lot, its lot; each (n,)."""
    train, test = (lab.images.iloc[lab.rows(split)] for split in ("train", "test"))
    seen = metrics.seen_in_train(test["lot"], train["lot"])
    return headline.predicted == headline.truth, headline.truth, seen, fold_groups(test)


def museums_evidence(lab: "Lab", headline: Headline) -> dict[str, Any]:
    """Evidence on one accuracy for all museums: the largest difference at one mix of classes (`value`), and whose.

    `value` is None where no two museums have images of one class.
    """
    museums = lab.images.iloc[lab.rows("test")]["museum"].to_numpy()
    right = headline.predicted == headline.truth
    largest = metrics.largest_difference(right, headline.truth, museums, headline.lots["test"])
    if largest is None:
        return {"value": None}
    best, worst, gap, classes = largest
    return {"value": gap, "best": best, "worst": worst, "classes": classes}


def lot_confusions(lab: "Lab", headline: Headline) -> np.ndarray:
    """The confusion matrix by accession lot (an image of unknown lot or object is its own), int (G, C, C)."""
    groups = fold_groups(lab.images.iloc[lab.rows("test")])
    return metrics.group_confusions(headline.truth, headline.predicted, groups, len(headline.classes))


def flat(groups: Mapping[str, Mapping[str, Accuracy]]) -> dict[str, Accuracy]:
    """All groups in one table for the figure, the largest first within each kind."""
    return {name: value for part in groups.values() for name, value in part.items()}


# ---- evidence for claims ---------------------------------------------------------------------------------------------
def pair_ranks(headline: Headline, reported: pd.DataFrame) -> dict[str, int | None]:
    """Ranks of the original's printed confusions among this run's, in the order of `metrics.largest_confusions`.

    Returns:
        From 1; 0: never confused here; None: a class is missing here.
    """
    largest = metrics.largest_confusions(headline.counts, headline.classes, headline.counts.size)
    order = {pair: rank for rank, pair in enumerate(zip(largest["truth"], largest["predicted"], strict=True), 1)}
    printed = reported.dropna(subset="count")
    return {
        f"{first} → {second}": order.get((first, second), 0) if {first, second} <= set(headline.classes) else None
        for first, second in zip(printed["truth"], printed["predicted"], strict=True)
    }


def precision_evidence(headline: Headline, reported: pd.DataFrame) -> dict[str, Any]:
    """Evidence on the class of lowest printed precision: its rank among the classes (`value`) at equal priors.

    `reference` is the end of the lowest fifth. The rank is None where the class is not here, or was never predicted.
    """
    rows = reported[reported["row"] == "class"]
    name = rows.loc[rows["precision"].idxmin(), "name"]
    if name not in headline.classes:
        return {"value": None}
    place, claimed = headline.classes.index(name), headline.counts.sum(0)
    equal = metrics.precision_at_equal_priors(headline.counts)
    if not claimed[place]:
        return {"value": None}
    plain = headline.counts[place, place] / claimed[place]
    lots, classes = headline.lots["test"], len(headline.classes)
    by_lot = None if lots is None else metrics.group_confusions(headline.truth, headline.predicted, lots, classes)
    rank = metrics.precision_rank(headline.counts, place, by_lot)
    fifth = max(1, len(headline.classes) // 5) + 0.5
    return {"value": rank, "reference": fifth, "name": name, "plain": plain, "equal": equal[place]}


def priors_table(headline: Headline, reported: pd.DataFrame, rows: int = 8) -> pd.DataFrame:
    """Precision as it is and at equal priors beside the printed one, for the classes with the largest change."""
    plain = np.diag(headline.counts) / np.where(headline.counts.sum(0) > 0, headline.counts.sum(0), np.nan)
    equal = metrics.precision_at_equal_priors(headline.counts)
    printed = reported[reported["row"] == "class"].set_index("name")["precision"].reindex(headline.classes)
    table = pd.DataFrame(
        {
            "class": headline.classes,
            "support": headline.counts.sum(1),
            "precision": plain.round(2),
            "at equal priors": equal.round(2),
            "change": (equal - plain).round(2),
            "reported precision": printed.to_numpy(),
        }
    )
    order = table["change"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order[:rows]]


# ---- calibration -----------------------------------------------------------------------------------------------------
def calibration_table(headline: Headline, temperature: float, bins: int = 15, seed: int = 0) -> pd.DataFrame:
    """Calibration error, negative log likelihood and accuracy on test, before and after a temperature fitted on val.

    The calibration error of a calibrated network stands beside, for chance alone gives one above 0.
    """
    rows = []
    for name, factor in (("as trained", 1.0), (f"temperature {temperature:.2f}", temperature)):
        logits = headline.test / factor
        errors = metrics.calibration_error(metrics.softmax(logits), headline.truth, name, bins, seed)
        loss = metrics.mean_cross_entropy(logits, headline.truth, name, headline.lots["test"])
        accuracy = Accuracy.from_labels(headline.truth, logits.argmax(1), name, headline.lots["test"])
        rows.append((name, *errors, loss, accuracy))
    columns = ("probabilities", "calibration error", "of a calibrated network", "negative log likelihood", "accuracy")
    return pd.DataFrame(rows, columns=list(columns))


def calibration_words(table: pd.DataFrame, temperature: float) -> str:
    """What one temperature changes."""
    before, after = table["negative log likelihood"]
    way = (
        "too sure"
        if temperature > 1.05
        else "not sure enough"
        if temperature < 0.95
        else "about as sure as it should be"
    )
    change = "falls" if after.value < before.value else "doesn't fall"
    return (
        f"By the temperature fitted on val the network was {way}. On test the negative log likelihood {change} from "
        f"{before} to {after}; the accuracy is the same, since the order of the classes stays."
    )


# ---- gallery ---------------------------------------------------------------------------------------------------------
def gallery(lab: "Lab", headline: Headline, pairs: int, pictures: int) -> tuple[list[np.ndarray], list[str]]:
    """Test images confused within the most confused pairs, as the network sees them; first in the table's order.

    Returns:
        Images and titles for `figures.picture_sheet`.
    """
    rows, images, titles = lab.rows("test"), [], []
    for first, second in metrics.confused_pairs(headline.counts, pairs):
        swapped = ((headline.truth == first) & (headline.predicted == second)) | (
            (headline.truth == second) & (headline.predicted == first)
        )
        for place in np.flatnonzero(swapped)[:pictures]:
            images.append(lab.pixels(headline.size)[rows[place]])
            titles.append(f"{lab.classes[headline.truth[place]]}, taken for {lab.classes[headline.predicted[place]]}")
    return images, titles


def pairs_table(headline: Headline, pairs: int) -> pd.DataFrame:
    """The most confused pairs with the share of each class taken for the other."""
    rows = []
    for first, second in metrics.confused_pairs(headline.counts, pairs):
        support = headline.counts.sum(1)
        there = headline.taken_for(first, second) if support[first] else None
        back = headline.taken_for(second, first) if support[second] else None
        rows.append((headline.classes[first], headline.classes[second], there, back))
    return pd.DataFrame(rows, columns=["class", "other class", "taken for the other", "the other taken for it"])
