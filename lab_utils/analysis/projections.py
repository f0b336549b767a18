"""Maps of a feature space, and what can be tested in the space itself: separability, cohesion, neighbours.

Arrays in, plain results out. A map is for looking; every test runs on principal components of the features, but for
those that are about a map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lab_utils.analysis.classification import check_features
from lab_utils.analysis.classifiers import LinearSVM
from lab_utils.analysis.umaps import umap_class
from lab_utils.core.errors import LabError
from lab_utils.data.splits import subsample
from lab_utils.data.taxonomy import SUPER_GROUPS
from lab_utils.stats.intervals import Accuracy, Estimate, bootstrap_estimate

FEWEST = 10  # images that a map needs at least
SOFT, HARD = 0.1, 100.0  # penalty of slack: to tell new images, and to ask whether groups are separable at all
MOST = 0.8  # share of an image's neighbours from which on it is on one side
METHODS = ("pca", "t-sne", "umap", "supervised umap")
TESTED_GROUPS: dict[str, tuple[str, ...]] = {
    "metals": SUPER_GROUPS["metals"],
    "glass, porcelain and kin": SUPER_GROUPS["ceramics and glass"],
    "drawings and prints": (*SUPER_GROUPS["prints"], "Graphite", "Pen and brown ink"),
}
BIG_GROUPS: dict[str, tuple[str, ...]] = {
    "materials": (*SUPER_GROUPS["metals"], *SUPER_GROUPS["ceramics and glass"], *SUPER_GROUPS["stone, wood and ivory"]),
    "drawings": (*SUPER_GROUPS["prints"], *SUPER_GROUPS["drawings and photographs"]),
}


# ---- the sample ------------------------------------------------------------------------------------------------------
def sample_rows(labels: np.ndarray, rows: np.ndarray, per_class: int, seed: int = 0) -> np.ndarray:
    """Draw at most `per_class` of the rows of each class, in table order.

    Args:
        labels: of `rows`, shape (n,).
        rows: positions in the image table, shape (n,).
        per_class: about so many images a class.
        seed: of the draw.

    Returns:
        Chosen positions, ascending.

    Raises:
        LabError: fewer than ten rows.
    """
    if len(rows) < FEWEST:
        raise LabError(f"{len(rows)} train images are too few for a map: at least {FEWEST} are needed.")
    return rows[subsample(labels, per_class, seed)]


# ---- maps ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Components:
    """Principal components of centred features.

    Attributes:
        points: coordinates on the first components, float32 (N, k).
        cumulative: share of the variance that the first 1, 2, … components explain, (min(N − 1, D),).
    """

    points: np.ndarray
    cumulative: np.ndarray

    def reaching(self, share: float = 0.9) -> int:
        """Number of components whose variance together reaches `share`."""
        return int(np.searchsorted(self.cumulative, share - 1e-12) + 1)


def components(features: np.ndarray, keep: int = 100, name: str = "features") -> Components:
    """Principal components of features (N, D), with signs fixed so that the same data give the same picture.

    Raises:
        LabError: values that are not finite, nothing that varies, or fewer than ten images.
    """
    from sklearn.decomposition import PCA

    check_features(features, name=name)
    if len(features) < FEWEST:
        raise LabError(f"The {name} are of {len(features)} images: a map needs at least {FEWEST}.")
    solver = "covariance_eigh" if features.shape[1] <= len(features) else "full"
    fitted = PCA(min(len(features) - 1, features.shape[1]), svd_solver=solver)
    points = fitted.fit_transform(np.asarray(features, np.float64))
    return Components(points[:, :keep].astype(np.float32), np.cumsum(fitted.explained_variance_ratio_))


def tsne_title() -> str:
    """Name of the t-SNE that this environment has: openTSNE, or scikit-learn's."""
    from importlib.util import find_spec

    return "t-SNE (openTSNE)" if find_spec("openTSNE") else "t-SNE (scikit-learn)"


def embed(
    points: np.ndarray,
    method: str,
    dims: int = 3,
    *,
    labels: np.ndarray | None = None,
    seed: int = 0,
    neighbours: int = 15,
    epochs: int | None = None,
) -> np.ndarray:
    """Lay out images in two or three dimensions.

    Args:
        points: shape (N, D), principal components as a rule.
        method: `pca` (the first columns of `points`), `t-sne` (van der Maaten and Hinton 2008), `umap` (McInnes et al.,
            arXiv 1802.03426), or `supervised umap`, which is given the labels and so shows what it was told.
        dims: 2 or 3.
        labels: shape (N,), for supervised UMAP.
        seed: the same seed gives the same bits on one machine.
        neighbours: of UMAP (t-SNE's perplexity is 30); fewer where N is small.
        epochs: of the layout; None: the method's default.

    Returns:
        float32 (N, dims).

    Raises:
        LabError: unknown method, labels missing, bad features or too few images.
    """
    check_features(points, name=f"points for {method}")
    if method not in METHODS:
        raise LabError(f"There is no map {method!r}; the maps are {', '.join(METHODS)}.")
    if len(points) < FEWEST or points.shape[1] < dims:
        raise LabError(f"{len(points)} images with {points.shape[1]} values each are too few for a map in {dims}-D.")
    if method == "supervised umap" and labels is None:
        raise LabError("Supervised UMAP needs labels: give them, or use method 'umap'.")
    if method == "pca":
        return np.asarray(points[:, :dims], np.float32)
    if method == "t-sne":
        return _tsne(points[:, :50], dims, seed, epochs)
    return _umap(points, dims, labels if method == "supervised umap" else None, seed, neighbours, epochs)


def _tsne(points: np.ndarray, dims: int, seed: int, epochs: int | None) -> np.ndarray:
    perplexity = min(30.0, (len(points) - 1) / 3)
    if tsne_title().endswith("(openTSNE)"):
        from openTSNE import TSNE

        made = TSNE(dims, perplexity=perplexity, random_state=seed, negative_gradient_method="bh", n_iter=epochs or 500)
        return np.asarray(made.fit(np.asarray(points, np.float64)), np.float32)
    from sklearn.manifold import TSNE

    made = TSNE(dims, perplexity=perplexity, random_state=seed, init="pca", max_iter=max(250, (epochs or 500) + 250))
    return made.fit_transform(points)


def _umap(
    points: np.ndarray, dims: int, labels: np.ndarray | None, seed: int, neighbours: int, epochs: int | None
) -> np.ndarray:
    import warnings

    near = min(neighbours, len(points) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed makes it single-threaded
        made = umap_class()(
            n_components=dims, n_neighbors=near, random_state=seed, n_epochs=epochs, init="pca", n_jobs=1
        )
        return made.fit_transform(np.asarray(points, np.float32), labels).astype(np.float32)


def trustworthiness(points: np.ndarray, layout: np.ndarray, neighbours: int = 10) -> float:
    """Share in [0, 1] that says how far a map's neighbours are neighbours in the space (Venna and Kaski 2001).

    Args:
        points: the space, (N, D).
        layout: the map, (N, d).
        neighbours: that are looked at; fewer where N is small.
    """
    from sklearn.manifold import trustworthiness as measure

    return float(measure(points, layout, n_neighbors=max(1, min(neighbours, (len(points) - 1) // 2 - 1))))


# ---- neighbours and cohesion -----------------------------------------------------------------------------------------
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
        """Mean purity of a class with its bootstrap interval, in percent; images of one of the `lots` (N,) together."""
        part = self.labels == label
        groups = None if lots is None else alone(lots)[part]
        style = {"scale": 100, "unit": " %", "digits": 1}
        return bootstrap_estimate(self.purity[part], f"neighbours of {name}", groups, **style)

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


def alone(lots: Sequence[str] | np.ndarray) -> np.ndarray:
    """Lots (N,) in which an image of unknown lot ("") is one of its own."""
    lots = np.asarray(lots, dtype=str)
    return np.where(lots == "", [f" {place}" for place in range(len(lots))], lots)


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


def big_lot(lots: Sequence[str], members: np.ndarray) -> tuple[str, float]:
    """The commonest known lot among `members` (mask, (N,)) and its share of them; ("", 0) where no lot is known."""
    known = pd.Series(np.asarray(lots, dtype=str)[members])
    counts = known[known != ""].value_counts()
    return ("", 0.0) if counts.empty else (str(counts.index[0]), float(counts.iloc[0] / members.sum()))


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
    found: Cohesion, label: int, names: Sequence[str], groups: Mapping[str, Sequence[str]] = BIG_GROUPS
) -> Division | None:
    """Does a class consist of images near one group and images near another, more than other classes do?

    Args:
        found: cohesion in the space.
        label: of the class.
        names: of the classes by label.
        groups: two groups of class names.

    Returns:
        None where no image of the class has neighbours in either group.
    """
    shares = {one: _shares_of_first(found, one, names, groups) for one in np.unique(found.labels)}
    mine = shares[label]
    if not len(mine):
        return None
    depth = {one: min(side.mean() for side in _sides(part)) for one, part in shares.items() if len(part)}
    share = bootstrap_estimate(mine, f"neighbours in {next(iter(groups))}", scale=100, unit=" %", digits=1)
    sides = [Accuracy(int(side.sum()), len(mine), name) for side, name in zip(_sides(mine), groups, strict=True)]
    return Division(share, *sides, 1 + int(sum(other > depth[label] for other in depth.values())), len(depth))


def _sides(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which images (n,) are on the first side, and which on the second."""
    return shares >= MOST - 1e-9, shares <= 1 - MOST + 1e-9


def _shares_of_first(
    found: Cohesion, label: int, names: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> np.ndarray:
    """Of each image's neighbours of other classes in either group, the share in the first; images without left out."""
    first, second = (np.isin(np.asarray(names, dtype=str), list(group)) for group in groups.values())
    near = found.labels[found.near[found.labels == label]]
    counts = [(side[near] & (near != label)).sum(1) for side in (first, second)]
    some = counts[0] + counts[1] > 0
    return counts[0][some] / (counts[0] + counts[1])[some]


def halves(points: np.ndarray, members: np.ndarray, seed: int = 0) -> np.ndarray:
    """Split the images of a class in two clusters (k-means); 0 or 1 for each of `members` (positions)."""
    from sklearn.cluster import KMeans

    if len(members) < 4:
        raise LabError(f"{len(members)} images are too few to be split in two groups.")
    return KMeans(2, n_init=10, random_state=seed).fit_predict(points[members])


def nearest_classes(found: Cohesion, members: np.ndarray, names: Sequence[str], most: int = 3) -> list[str]:
    """Other classes among the nearest others of `members` (positions), commonest first."""
    near = found.labels[found.near[members]].ravel()
    near = near[near != found.labels[members[0]]]
    return [names[label] for label in pd.Series(near).value_counts().index[:most]]


# ---- separability ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Separability:
    """How well hyperplanes part groups of classes.

    Attributes:
        held: accuracy on held-out images.
        fitted: accuracy on the images fitted on; 1 means that they are separable.
        chance: mean held-out accuracy when the classes are dealt to the groups at random.
        p: share of such deals (the true one included) that do at least as well.
        deals: how many were tried.
    """

    held: Accuracy
    fitted: Accuracy
    chance: float
    p: float
    deals: int


def group_of(names: Sequence[str], groups: Mapping[str, Sequence[str]] = TESTED_GROUPS) -> np.ndarray:
    """Number of the group of each class name, −1 for none, (C,)."""
    number = {name: place for place, members in enumerate(groups.values()) for name in members}
    return np.array([number.get(name, -1) for name in names])


def separability(
    points: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    *,
    lots: Sequence[str] | None = None,
    deals: int = 19,
    seed: int = 0,
) -> Separability | None:
    """Can hyperplanes part the three groups, and better than three random groups of the same classes?

    One hyperplane a group (linear support vectors) on points scaled to unit variance as a whole, five folds that keep a
    lot together.

    Args:
        points: shape (N, D).
        labels: shape (N,).
        names: of the classes by label.
        lots: of the images, "" for unknown; None: every image on its own.
        deals: random assignments of classes to groups, for the permutation test.
        seed: of folds and deals.

    Returns:
        The result, or None where one of the three groups has fewer than ten images, or all images are of one lot.
    """
    group = group_of(names)
    used = group[labels] >= 0
    points, labels = points[used], labels[used]
    lots = np.asarray(lots, dtype=str)[used] if lots is not None else np.full(len(labels), "")
    sizes = np.bincount(group[labels], minlength=len(TESTED_GROUPS))
    if sizes.min() < FEWEST or len(np.unique(alone(lots))) < 2:
        return None
    points = points / max(float(points.std()), 1e-30)
    with threadpool_limits(1):  # many small fits: threads would only wait for each other
        right = _held_out(points, group[labels], lots, seed)
        dealt = _deals(group, np.unique(labels), deals, seed)
        chances = [_held_out(points, one[labels], lots, seed).mean() for one in dealt]
        fitted = LinearSVM(C=HARD).fit(points, group[labels]).predict(points) == group[labels]
    better = sum(chance >= right.mean() - 1e-12 for chance in chances)
    held, own = (Accuracy(int(one.sum()), len(one), "three groups") for one in (right, fitted))
    return Separability(held, own, float(np.mean(chances)), float((1 + better) / (1 + deals)), deals)


def _deals(group: np.ndarray, present: np.ndarray, deals: int, seed: int) -> list[np.ndarray]:
    """Groups of the classes with those that are present dealt anew, `deals` times."""
    rng, dealt = np.random.default_rng(seed), [group.copy() for _ in range(deals)]
    for one in dealt:
        one[present] = rng.permutation(group[present])
    return dealt


def _held_out(points: np.ndarray, groups: np.ndarray, lots: np.ndarray, seed: int) -> np.ndarray:
    """Whether each image is put in its group by hyperplanes fitted on the other folds, (N,)."""
    from sklearn.model_selection import GroupKFold

    together = alone(lots)
    folds = GroupKFold(min(5, len(np.unique(together))), shuffle=True, random_state=seed)
    right = np.zeros(len(groups), dtype=bool)
    for fit, held in folds.split(points, groups, together):
        if len(np.unique(groups[fit])) > 1:
            right[held] = LinearSVM(C=SOFT).fit(points[fit], groups[fit]).predict(points[held]) == groups[held]
    return right
