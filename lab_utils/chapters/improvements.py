"""Chapter 15: what the original would try next, tried; a modern recipe step by step.

Every choice is made on val, every difference is paired by image. Functions that take a `lab` train or load networks and
read features; the others are of arrays and records alone.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.analysis import outliers
from lab_utils.data.splits import subsample
from lab_utils.stats.intervals import Accuracy, Difference, paired_difference

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from lab_utils.core.quantities import Quantity
    from lab_utils.lab import Lab

STRENGTH = 0.1  # of the ridge heads: the penalty, relative to the squared length of a row


# ---- heads on features -----------------------------------------------------------------------------------------------
def ridge_head(widths: Sequence[int]) -> "Pipeline":
    """Ridge on blocks of columns side by side (`widths`): standardised, and brought to the same length in each row."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler

    edges = pairwise(np.cumsum([0, *widths]))
    blocks = [(make_pipeline(StandardScaler(), Normalizer()), slice(start, stop)) for start, stop in edges]
    return make_pipeline(make_column_transformer(*blocks), RidgeClassifier(alpha=STRENGTH * len(widths)))


def head_predictions(
    train: Sequence[np.ndarray], labels: np.ndarray, others: Sequence[np.ndarray], weights: np.ndarray | None = None
) -> np.ndarray:
    """Labels that a ridge head gives to other images.

    Args:
        train: features of the train images, one array (n, d) a block; each block gets the same weight.
        labels: shape (n,).
        others: the same blocks of other images, (m, d).
        weights: of the train images, (n,).

    Returns:
        Predicted labels, shape (m,).
    """
    head = ridge_head([block.shape[1] for block in train])
    head.fit(np.concatenate(train, axis=1), labels, ridgeclassifier__sample_weight=weights)
    return head.predict(np.concatenate(others, axis=1))


def rates_of_classes(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Share of each class that is predicted right, (classes,); 1 where a class has no image."""
    hits = np.bincount(truth[truth == predicted], minlength=classes)
    counts = np.bincount(truth, minlength=classes)
    return np.divide(hits, counts, out=np.ones(classes), where=counts > 0)


def treatments(points: np.ndarray, labels: np.ndarray, seed: int = 0, share: float = 0.05) -> dict[str, Any]:
    """What the feature analysis suggests doing to the train images.

    Args:
        points: features of the train images, shape (n, d).
        labels: shape (n,).
        seed: of the folds in which labels are doubted.
        share: of the images that counts as outliers, by local outlier factor.

    Returns:
        `{name: (labels, weights)}`, each of shape (n,); weight 0 leaves an image out.
    """
    reduced = _reduced(points)
    doubted = outliers.suspected_labels(reduced, labels, seed=seed)
    rows, ones = doubted["position"].to_numpy(int), np.ones(len(labels))
    relabelled, without, unsure, ordinary = labels.copy(), ones.copy(), ones.copy(), ones.copy()
    relabelled[rows], without[rows], unsure[rows] = doubted["suggested"], 0, 0.5
    scores = outliers.outlier_scores(reduced)
    ordinary[np.argsort(-scores, kind="stable")[: int(share * len(labels))]] = 0
    treated = {"doubted labels replaced": (relabelled, ones), "doubted images left out": (labels, without)}
    treated |= {"doubted images at half weight": (labels, unsure), "outliers left out": (labels, ordinary)}
    return treated | {"difficult classes weighted": (labels, _difficulty(reduced, labels, seed))}


def _reduced(points: np.ndarray, components: int = 64) -> np.ndarray:
    from sklearn.decomposition import PCA

    return PCA(min(components, *points.shape), random_state=0).fit_transform(points)


def _difficulty(points: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Weights (n,) that grow from 1 to 2 with the share of a class that is predicted wrong out of fold.

    A class with a single image, of which nothing is known out of fold, keeps the weight 1.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    weights, (_, codes, counts) = np.ones(len(labels)), np.unique(labels, return_inverse=True, return_counts=True)
    known = np.flatnonzero(counts[codes] > 1)
    if len(np.unique(codes[known])) < 2:
        return weights
    names, inside = np.unique(codes[known], return_inverse=True)
    folds = StratifiedKFold(2, shuffle=True, random_state=seed)
    predicted = cross_val_predict(ridge_head([points.shape[1]]), points[known], inside, cv=folds)
    weights[known] = 2 - rates_of_classes(inside, predicted, len(names))[inside]
    return weights


def treated_predictions(
    points: np.ndarray, labels: np.ndarray, others: np.ndarray, seed: int = 0
) -> dict[str, np.ndarray]:
    """Predicted labels (m,) of other images by treatment of the train images; "as they are" comes first."""
    predicted = {"as they are": head_predictions([points], labels, [others])}
    for name, (given, weights) in treatments(points, labels, seed).items():
        kept = weights > 0
        if len(np.unique(given[kept])) > 1:
            predicted[name] = head_predictions([points[kept]], given[kept], [others], weights[kept])
    return predicted


def timed(function: Callable[..., Any], *words: Any) -> tuple[Any, float]:
    """What a function gives, and the seconds it took."""
    start = time.perf_counter()
    return function(*words), time.perf_counter() - start


# ---- comparisons -----------------------------------------------------------------------------------------------------
def compare(
    truth: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    reference: str,
    groups: Any = None,
    comparisons: int = 1,
) -> pd.DataFrame:
    """Accuracy of each row of predictions, and its paired difference to the reference's.

    Args:
        truth: shape (n,).
        predicted: labels (n,) by name.
        reference: a name.
        groups: cluster of each image (lots), (n,); whole clusters are drawn in the bootstrap.
        comparisons: among how many gains the best will be picked; all intervals are widened for it (Bonferroni).

    Returns:
        Columns variant, accuracy (`Accuracy`), gain (`Difference`; None for the reference).
    """
    rows = []
    for name, labels in predicted.items():
        gain = None
        if name != reference:
            of = f"{name} minus {reference}"
            gain = paired_difference(truth, labels, predicted[reference], of, groups, comparisons=comparisons)
        rows.append((name, Accuracy.from_labels(truth, labels, name, groups), gain))
    return pd.DataFrame(rows, columns=["variant", "accuracy", "gain"])


def staircase(
    truth: np.ndarray, predicted: Mapping[str, np.ndarray], seconds: Mapping[str, float], groups: Any = None
) -> pd.DataFrame:
    """Steps of a recipe: accuracy, paired gain to the step before, and cost.

    Args:
        truth: shape (n,).
        predicted: labels (n,) by step, in order.
        seconds: of training, by step.
        groups: as in `compare`.

    Returns:
        Columns step, accuracy, gain (None for the first), seconds.
    """
    rows, before = [], None
    for name, labels in predicted.items():
        gain = None
        if before:
            gain = paired_difference(truth, labels, predicted[before], f"{name} minus {before}", groups)
        rows.append((name, Accuracy.from_labels(truth, labels, name, groups), gain, round(seconds[name], 1)))
        before = name
    return pd.DataFrame(rows, columns=["step", "accuracy", "gain", "seconds"])


def preprocessing_words(stairs: pd.DataFrame, cost: "Quantity") -> str:
    """What 1/255 costs here beside what it costs in chapter 06, and why the two need not agree.

    Args:
        stairs: of `staircase`; the step called "right preprocessing" is looked at.
        cost: chapter 06's quantity: right preprocessing minus 1/255, val.
    """
    gains = {step: gain for step, gain in zip(stairs["step"], stairs["gain"], strict=True) if "preprocessing" in step}
    if not gains:
        return f"Right preprocessing against 1/255 in chapter {cost.chapter[:2]}, run 1: {cost}."
    here = next(iter(gains.values()))
    unlike = here.tie != cost.tie or (here.value > 0) != (cost.value > 0)
    why = " The two recipes differ in head and rate, so one doesn't decide for the other." if unlike else ""
    return (
        f"Right preprocessing against 1/255, on val: in this recipe {here}; in chapter {cost.chapter[:2]}, run 1, "
        f"{cost}.{why}"
    )


def best_of(truth: np.ndarray, predicted: Mapping[str, np.ndarray]) -> str:
    """Name of the predictions with the most hits; the first among equals."""
    return max(predicted, key=lambda name: int((predicted[name] == truth).sum()))


def best_gain(table: pd.DataFrame) -> Difference | None:
    """The largest gain of a comparison; None where there is none."""
    gains = [gain for gain in table["gain"] if gain is not None]
    return max(gains, key=lambda gain: gain.value) if gains else None


def averaged(probabilities: Mapping[str, np.ndarray]) -> np.ndarray:
    """Labels (n,) of the mean of several class probabilities (n, C)."""
    return np.mean(list(probabilities.values()), axis=0).argmax(1)


# ---- fine-tuned networks ---------------------------------------------------------------------------------------------
def joined_features(features: Mapping[str, Mapping[str, np.ndarray]], labels: np.ndarray) -> dict[str, np.ndarray]:
    """Labels that ridge heads give to val on the features of each network, and on all of them joined.

    Args:
        features: `{network: {"train": (n, d), "val": (m, d)}}`.
        labels: of train, (n,).
    """
    train = {name: parts["train"] for name, parts in features.items()}
    val = {name: parts["val"] for name, parts in features.items()}
    predicted = {name: head_predictions([train[name]], labels, [val[name]]) for name in features}
    if len(features) > 1:
        predicted["joined"] = head_predictions(list(train.values()), labels, list(val.values()))
    return predicted


# ---- few images ------------------------------------------------------------------------------------------------------
def few_images(labels: np.ndarray, rows: np.ndarray, most: int, seed: int = 0, least: int = 1) -> np.ndarray:
    """At most `most` of the rows of each class, drawn, in table order; classes with fewer than `least` are left out.

    Args:
        labels: of all images, shape (N,).
        rows: positions to draw from, shape (n,).
        most: images a class.
        seed: of the draw.
        least: images a class must have.
    """
    sizes = Counter(labels[rows])
    return rows[subsample(labels[rows], {label: most for label, size in sizes.items() if size >= least}, seed)]


def class_folders(lab: "Lab", rows: np.ndarray) -> Path:
    """A folder with one folder a class that holds links to these images: what `predict.fit` takes.

    It lies in the run's folder and is made anew each time.
    """
    root = lab.settings.run_folder / "few_images"
    shutil.rmtree(root, ignore_errors=True)
    for row in rows:
        image = Path(lab.images["path"].iloc[row]).resolve()
        link = root / lab.classes[lab.images["label"].iloc[row]] / f"{row}{image.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(image)
    return root
