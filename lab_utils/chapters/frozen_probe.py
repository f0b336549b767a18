"""Chapters 11 and 12: a linear SVM on a network's frozen features, beside the same network fine-tuned."""

import time
from typing import TYPE_CHECKING

import numpy as np

from lab_utils.analysis.classifiers import LinearSVM, few_threads
from lab_utils.analysis.feature_tables import standardise
from lab_utils.chapters.fine_tuning_results import FineTuningResult
from lab_utils.networks import backbones
from lab_utils.stats.intervals import Accuracy, paired_difference

if TYPE_CHECKING:
    from lab_utils.lab import Lab
    from lab_utils.training.fit import Run
    from lab_utils.training.setup import FineTuningSetup


def comparable_size(network: str, size: int) -> int:
    """The input size at which pretrained features are set beside features of `size` pixels.

    The same; but the native one where the network's dense layers take no other, which titles then show.
    """
    entry = backbones.backbone(network)
    return entry.size if entry.fixed_size else size


def features_title(network: str, kind: str, size: int, width: int) -> str:
    """What features are, for tables and figures: title of the network, kind, input size and number of features."""
    return f"{network}, {kind}, {size} px ({width})"


def linear_svm(
    features: np.ndarray, labels: np.ndarray, train: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, float]:
    """Fit a linear SVM and let it answer other images.

    Args:
        features: shape (N, D).
        labels: shape (N,); those of `train` are looked at.
        train: positions to fit on.
        others: positions to answer, shape (m,).

    Returns:
        Labels, shape (m,), and the seconds it took.
    """
    began = time.perf_counter()
    table = standardise(features, train)
    with few_threads(table.size):
        predicted = LinearSVM().fit(table[train], labels[train]).predict(table[others])
    return predicted, time.perf_counter() - began


def frozen_probe(lab: "Lab", here: "FineTuningSetup", run: "Run") -> tuple[np.ndarray, str]:
    """A linear SVM on the frozen features of a fine-tuned run's network, at its size, on its train images.

    Returns:
        Predictions on val, shape (n,), and what they are of, in words.
    """
    rows, train = np.concatenate([run.rows("train"), run.rows("val")]), len(run.rows("train"))
    size = comparable_size(here.network, here.size)
    features = np.asarray(lab.features(here.network, "penultimate", size=size)[rows], np.float32)
    labels = lab.images["label"].to_numpy()[rows]
    predicted, _ = linear_svm(features, labels, np.arange(train), np.arange(train, len(rows)))
    title = features_title(here.title, "pretrained", size, features.shape[1])
    return predicted, f"a linear SVM on {title}"


def probe_words(result: FineTuningResult, answers: np.ndarray, title: str) -> str:
    """A fine-tuned run beside a linear classifier on the same network's frozen features, in a sentence.

    Args:
        result: the run.
        answers: the linear classifier's predictions on val, shape (n,).
        title: what it is.
    """
    probe = Accuracy.from_labels(result.labels, answers, title, result.groups)
    gap = paired_difference(result.labels, result.predicted(), answers, f"{result.name} minus {title}", result.groups)
    words = f"**Under-training.** On val {result.name} is at {result.val}, {title} at {probe}: {result.name} is {gap}."
    if gap.tie:
        return f"{words} Fine-tuning is not shown to add to the frozen features here."
    if gap.value > 0:
        return f"{words} Fine-tuning adds to the frozen features."
    return (
        f"{words} The run has not caught up with features that needed no training: it is under-trained in this "
        "profile, and what its curves say of overfitting and confidence is said of an unfinished network."
    )
