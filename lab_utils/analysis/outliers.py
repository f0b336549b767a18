"""Images that stand out in a feature space: far ones, far small clusters, suspected labels, near-duplicates."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lab_utils.analysis.folds import Folds, grouped_folds
from lab_utils.analysis.lots import big_lot, singleton_groups
from lab_utils.core.quiet import stderr_hidden
from lab_utils.stats.intervals import Difference
from lab_utils.stats.metrics import standardised_difference

FAR = 2.0  # isolation from which on a cluster counts as far: twice as far from the others as from its own


def outlier_scores(points: np.ndarray, neighbours: int = 20) -> np.ndarray:
    """Local outlier factor (Breunig et al. 2000) of each image, (N,); 1 is ordinary, larger is further out.

    Args:
        points: shape (N, D).
        neighbours: that density is judged by; fewer where N is small.
    """
    from sklearn.neighbors import LocalOutlierFactor

    fitted = LocalOutlierFactor(n_neighbors=min(neighbours, len(points) - 1)).fit(points)
    return -fitted.negative_outlier_factor_


@dataclass(frozen=True)
class Cluster:
    """A small group of images that keeps away from the others.

    Attributes:
        members: positions, (m,).
        isolation: distance to the nearest image outside by distance to the nearest one inside (medians).
        share: of its commonest class, in (0, 1].
        label: of that class.
        lot: commonest known lot, or "".
        lot_share: of that lot, in [0, 1].
        lots: number of different lots, images of unknown lot counted singly.
    """

    members: np.ndarray
    isolation: float
    share: float
    label: int
    lot: str
    lot_share: float
    lots: int


def far_clusters(
    points: np.ndarray,
    layout: np.ndarray,
    labels: np.ndarray,
    lots: Sequence[str],
    *,
    smallest: int = 5,
    largest: float = 0.5,
) -> list[Cluster]:
    """Small dense groups on a map (HDBSCAN, Campello et al. 2013), the most isolated in the space first.

    Args:
        points: the space, (N, D), in which isolation is measured.
        layout: the map, (N, d), on which they are found, as by eye.
        labels: shape (N,).
        lots: N texts, "" for unknown.
        smallest: number of members.
        largest: size that a small group may have, in mean sizes of a class: a whole class is no small group.

    Returns:
        Clusters with isolation above `FAR`; none where there are fewer images than twice `smallest`.
    """
    from sklearn.cluster import HDBSCAN

    if len(points) < 2 * smallest:
        return []
    finder = HDBSCAN(min_cluster_size=smallest, min_samples=3, cluster_selection_method="leaf", copy=True)
    numbers = finder.fit_predict(layout)
    most = max(smallest, largest * len(points) / len(np.unique(labels)))
    groups = [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]
    clusters = [_describe(points, group, labels, np.asarray(lots, dtype=str)) for group in groups if len(group) <= most]
    far = [cluster for cluster in clusters if cluster.isolation > FAR]
    return sorted(far, key=lambda cluster: -cluster.isolation)


def _describe(points: np.ndarray, members: np.ndarray, labels: np.ndarray, lots: np.ndarray) -> Cluster:
    from sklearn.metrics import pairwise_distances

    inside = np.isin(np.arange(len(points)), members)
    own = pairwise_distances(points[members])
    np.fill_diagonal(own, np.inf)
    outside = pairwise_distances(points[members], points[~inside]).min(1)
    isolation = float(np.median(outside) / max(np.median(own.min(1)), 1e-12))
    counts = np.bincount(labels[members])
    share, label = float(counts.max() / len(members)), int(counts.argmax())
    return Cluster(
        members, isolation, share, label, *big_lot(lots, inside), len(np.unique(singleton_groups(lots[members])))
    )


def suspected_labels(
    points: np.ndarray, labels: np.ndarray, lots: np.ndarray | None = None, folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Images whose label a classifier doubts that was fitted on the others (cleanlab; Northcutt et al. 2021).

    Args:
        points: shape (N, D).
        labels: shape (N,).
        lots: what stays in one fold, shape (N,), "" for unknown; None: every image on its own.
        folds: of the out-of-fold probabilities.
        seed: of the folds.

    Returns:
        position, label, suggested (another label), own (probability of the label), other (of the suggestion); the
        least credible label first. Images whose class is in no other fold can't be judged and are left out; there are
        none where fewer than two classes have two images.
    """
    with stderr_hidden():
        from cleanlab.filter import find_label_issues

    rows = np.flatnonzero(np.bincount(labels)[labels] >= 2)
    kept, codes = np.unique(labels[rows], return_inverse=True)
    if len(kept) < 2:
        return pd.DataFrame(columns=["position", "label", "suggested", "own", "other"]).astype(
            {"position": int, "label": int, "suggested": int, "own": float, "other": float}
        )
    groups = np.full(len(rows), "") if lots is None else np.asarray(lots, dtype=str)[rows]
    if len(np.unique(singleton_groups(groups))) < folds:  # one lot for everything: there is nothing to keep apart
        groups = np.full(len(rows), "")
    chances = _out_of_fold(points[rows], codes, grouped_folds(codes, groups, np.arange(len(rows)), folds, seed))
    judged = np.flatnonzero(chances.sum(1) > 0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="May not flag all label issues")  # in classes of few images
        issues = find_label_issues(codes[judged], chances[judged], return_indices_ranked_by="self_confidence", n_jobs=1)
    doubted = judged[issues]
    best = chances[doubted].argmax(1)
    return pd.DataFrame(
        {
            "position": rows[doubted],
            "label": kept[codes[doubted]],
            "suggested": kept[best],
            "own": chances[doubted, codes[doubted]],
            "other": chances[doubted, best],
        }
    )


def _out_of_fold(points: np.ndarray, codes: np.ndarray, folds: Folds) -> np.ndarray:
    """Probabilities of classes (N, K) by models that did not see the image; 0 where its class was not seen either."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chances = np.zeros((len(codes), codes.max() + 1))
    for fit, held in folds:
        seen, held = np.unique(codes[fit]), held[np.isin(codes[held], codes[fit])]
        if len(seen) < 2 or not len(held):
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.filterwarnings("ignore", message="The number of unique classes")
            chances[np.ix_(held, seen)] = model.fit(points[fit], codes[fit]).predict_proba(points[held])
    return chances


def near_duplicates(
    features: np.ndarray, first: np.ndarray, second: np.ndarray, least: float = 0.95, block: int = 1000
) -> pd.DataFrame:
    """Pairs of near-identical images across splits: mutual nearest by cosine, at least `least` alike.

    Args:
        features: shape (N, D).
        first: positions of one side (train), (n,).
        second: positions of the other (val and test), (m,).
        least: cosine of centred features.
        block: rows compared at once; memory is block × n.

    Returns:
        first, second, cosine; the most alike pair first.
    """
    centred = np.asarray(features, np.float32) - np.asarray(features[first], np.float32).mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    best, partner = np.full(len(second), -1.0, np.float32), np.zeros(len(second), int)
    back_best, back = np.full(len(first), -1.0, np.float32), np.zeros(len(first), int)
    for start in range(0, len(second), block):
        cosine = centred[second[start : start + block]] @ centred[first].T
        partner[start : start + block], best[start : start + block] = cosine.argmax(1), cosine.max(1)
        better = cosine.max(0) > back_best
        back[better], back_best[better] = start + cosine.argmax(0)[better], cosine.max(0)[better]
    mutual = (back[partner] == np.arange(len(second))) & (best >= least) if len(second) else np.zeros(0, bool)
    pairs = pd.DataFrame({"first": first[partner[mutual]], "second": second[mutual], "cosine": best[mutual]})
    return pairs.sort_values("cosine", ascending=False, ignore_index=True)


def explained(
    flagged: np.ndarray, reason: np.ndarray, labels: np.ndarray, lots: Sequence[str] | np.ndarray
) -> Difference | None:
    """How much commoner a reason is among flagged images than among others of the same classes.

    Flagged images are of other classes than the rest, and a class's reasons are its own: shares are compared within
    classes (`standardised_difference`).

    Args:
        flagged: mask, (N,).
        reason: mask, (N,).
        labels: shape (N,).
        lots: of the images, (N,), "" for unknown.

    Returns:
        None where no class has flagged images and others.
    """
    compared = standardised_difference(reason, labels, flagged, singleton_groups(lots), "flagged minus others")
    return compared and compared[0]
