"""How much the images of a class keep together in a feature space, and what lies beside them.

Arrays in, plain results out; the space is principal components of the features as a rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lab_utils.analysis.lots import singleton_groups
from lab_utils.core.errors import LabError
from lab_utils.data.taxonomy import SUPER_GROUPS
from lab_utils.stats.intervals import Accuracy, Estimate, mean_estimate

PERCENT = {"scale": 100, "unit": " %", "digits": 1}
MOST = 0.8  # share of an image's neighbours from which on it is on one side
BIG_GROUPS: dict[str, tuple[str, ...]] = {
    "materials": (*SUPER_GROUPS["metals"], *SUPER_GROUPS["ceramics and glass"], *SUPER_GROUPS["stone, wood and ivory"]),
    "drawings": (*SUPER_GROUPS["prints"], *SUPER_GROUPS["drawings and photographs"]),
}


def nearest(points: np.ndarray, neighbours: int = 10) -> np.ndarray:
    """Positions of each image's nearest others, (N, k), nearest first; k is at most N − 1."""
    from sklearn.neighbors import NearestNeighbors

    k = min(neighbours, len(points) - 1)
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors(return_distance=False)


@dataclass(frozen=True)
class Cohesion:
    """How much the images of a class keep together.

    Attributes:
        labels: shape (N,).
        purity: share of an image's nearest others that are of its class, (N,) in [0, 1]; in a class of m images only
            the nearest m − 1 are asked, so that 1 can be reached.
        silhouette: (N,) in [−1, 1] (Rousseeuw 1987).
        near: positions of the nearest others, (N, k).
    """

    labels: np.ndarray
    purity: np.ndarray
    silhouette: np.ndarray
    near: np.ndarray

    def of(self, label: int, name: str = "", lots: np.ndarray | None = None) -> Estimate:
        """Mean purity of a class in percent; images of one of the `lots` (N,) together."""
        part = self.labels == label
        groups = None if lots is None else singleton_groups(lots)[part]
        return mean_estimate(self.purity[part], f"neighbours of {name}", groups, (0, 1), **PERCENT)

    def standing(self, label: int, classes: Sequence[str], lots: np.ndarray | None = None) -> "Standing":
        """How pure a class is, and where it stands among all; `lots` (N,) are drawn whole."""
        table, name = self.table(classes), classes[label]
        rival = next((other for other in table.index if other != name), None)
        ranks = (int(table.loc[name, f"{what} rank"]) for what in ("purity", "silhouette"))
        other = self.of(list(classes).index(rival), rival, lots)
        return Standing(
            self.of(label, name, lots), float(table.loc[name, "silhouette"]), *ranks, len(table), rival, other
        )

    def table(self, classes: Sequence[str]) -> pd.DataFrame:
        """One row a class: images, purity, silhouette, and the rank of both (1 is the most coherent)."""
        frame = pd.DataFrame({"label": self.labels, "purity": self.purity, "silhouette": self.silhouette})
        means = frame.groupby("label").agg(
            images=("purity", "size"), purity=("purity", "mean"), silhouette=("silhouette", "mean")
        )
        for column in ("purity", "silhouette"):
            means[f"{column} rank"] = means[column].rank(ascending=False, method="min").astype(int)
        means.index = pd.Index([classes[label] for label in means.index], name="class")
        return means.sort_values("purity", ascending=False)

    def neighbour_shares(self, classes: int) -> np.ndarray:
        """Share of each class's foreign neighbours in each other class, (C, C); rows sum to one, or are zero."""
        counts = np.zeros((classes, classes))
        np.add.at(counts, (np.repeat(self.labels, self.near.shape[1]), self.labels[self.near].ravel()), 1)
        np.fill_diagonal(counts, 0)
        return counts / np.maximum(counts.sum(1, keepdims=True), 1)


@dataclass(frozen=True)
class Standing:
    """A class among all classes.

    Attributes:
        purity: of its neighbours, with interval.
        silhouette: mean.
        rank: by purity, from 1.
        silhouette_rank: by silhouette, from 1.
        classes: how many there are.
        rival: the purest other class.
        other: its purity.
    """

    purity: Estimate
    silhouette: float
    rank: int
    silhouette_rank: int
    classes: int
    rival: str
    other: Estimate


def cohesion(points: np.ndarray, labels: np.ndarray, neighbours: int = 10) -> Cohesion:
    """Purity of the nearest neighbours and silhouette of each image in a space (N, D).

    Raises:
        LabError: one class only, so that there is nothing to keep apart from.
    """
    from sklearn.metrics import silhouette_samples

    present = len(np.unique(labels))
    if present < 2 or present >= len(labels):
        raise LabError(
            f"{len(labels)} images of {present} classes: cohesion needs two classes and a class with two images."
        )
    near = nearest(points, neighbours)
    asked = np.arange(near.shape[1]) < np.maximum(np.bincount(labels)[labels] - 1, 1)[:, None]
    purity = ((labels[near] == labels[:, None]) & asked).sum(1) / asked.sum(1)
    return Cohesion(np.asarray(labels), purity, silhouette_samples(points, labels), near)


@dataclass(frozen=True)
class Division:
    """How a class lies to two groups of others.

    Attributes:
        share: of its foreign neighbours in either group, those in the first; mean over images, with interval.
        first: images most of whose neighbours (`MOST` of those in either group) are of the first group.
        second: the same of the second group.
        rank: of the smaller of both among the classes, 1 is the most divided.
        classes: that have neighbours in either group.
    """

    share: Estimate
    first: Accuracy
    second: Accuracy
    rank: int
    classes: int


def divided(
    space: Cohesion, label: int, names: Sequence[str], lots: Sequence[str] | np.ndarray | None = None
) -> Division | None:
    """Does a class consist of images near materials and images near drawings, more than other classes do?

    Args:
        space: cohesion in the space.
        label: of the class.
        names: of the classes by label.
        lots: of the images, (N,), "" for unknown; None: every image on its own.

    Returns:
        None where no image of the class has neighbours in either group.
    """
    shares = {kind: _shares_of_first(space, kind, names) for kind in np.unique(space.labels)}
    mine, asked = shares[label]
    if not len(mine):
        return None
    depth = {kind: min(side.mean() for side in _sides(part)) for kind, (part, _) in shares.items() if len(part)}
    groups = None if lots is None else singleton_groups(lots)[asked]
    share = mean_estimate(mine, f"neighbours in {next(iter(BIG_GROUPS))}", groups, (0, 1), **PERCENT)
    sides = [Accuracy.from_hits(side, name, groups) for side, name in zip(_sides(mine), BIG_GROUPS, strict=True)]
    return Division(share, *sides, 1 + int(sum(other > depth[label] for other in depth.values())), len(depth))


def _sides(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which images (n,) are on the first side, and which on the second."""
    return shares >= MOST - 1e-9, shares <= 1 - MOST + 1e-9


def _shares_of_first(space: Cohesion, label: int, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of each image's neighbours of other classes in either group, the share in the first; and the images' positions.

    Images without such neighbours are left out.
    """
    first, second = (np.isin(np.asarray(names, dtype=str), group) for group in BIG_GROUPS.values())
    members = np.flatnonzero(space.labels == label)
    near = space.labels[space.near[members]]
    counts = [(side[near] & (near != label)).sum(1) for side in (first, second)]
    some = counts[0] + counts[1] > 0
    return counts[0][some] / (counts[0] + counts[1])[some], members[some]


def halves(points: np.ndarray, members: np.ndarray, seed: int = 0) -> np.ndarray:
    """Split the images of a class in two clusters (k-means); 0 or 1 for each of `members` (positions)."""
    from sklearn.cluster import KMeans

    if len(members) < 4:
        raise LabError(f"{len(members)} images are too few to be split in two groups.")
    return KMeans(2, n_init=10, random_state=seed).fit_predict(points[members])


def nearest_classes(space: Cohesion, members: np.ndarray, names: Sequence[str], most: int = 3) -> list[str]:
    """Other classes among the nearest others of `members` (positions), commonest first."""
    near = space.labels[space.near[members]].ravel()
    near = near[near != space.labels[members[0]]]
    return [names[label] for label in pd.Series(near).value_counts().index[:most]]
