"""Maps of a feature space in two or three dimensions, and how far their neighbours are neighbours in the space.

Arrays in, plain results out. A map is for looking; tests run in the space itself (`cohesion`, `separability`).
"""

from dataclasses import dataclass

import numpy as np

from lab_utils.analysis import umaps
from lab_utils.analysis.feature_tables import check_features
from lab_utils.core.errors import LabError
from lab_utils.data.splits import subsample

FEWEST = 10  # images that a map needs at least
METHODS = ("pca", "t-sne", "umap", "supervised umap")


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
    known = labels if method == "supervised umap" else None
    return umaps.layout(np.asarray(points, np.float32), dims, seed, labels=known, neighbours=neighbours, epochs=epochs)


def _tsne(points: np.ndarray, dims: int, seed: int, epochs: int | None) -> np.ndarray:
    perplexity = min(30.0, (len(points) - 1) / 3)
    if tsne_title().endswith("(openTSNE)"):
        from openTSNE import TSNE

        tsne = TSNE(dims, perplexity=perplexity, random_state=seed, negative_gradient_method="bh", n_iter=epochs or 500)
        return np.asarray(tsne.fit(np.asarray(points, np.float64)), np.float32)
    from sklearn.manifold import TSNE

    tsne = TSNE(dims, perplexity=perplexity, random_state=seed, init="pca", max_iter=max(250, (epochs or 500) + 250))
    return tsne.fit_transform(points)


def trustworthiness(points: np.ndarray, layout: np.ndarray, neighbours: int = 10) -> float:
    """Share in [0, 1] that says how far a map's neighbours are neighbours in the space (Venna and Kaski 2001).

    Args:
        points: the space, (N, D).
        layout: the map, (N, d).
        neighbours: that are looked at; fewer where N is small.
    """
    from sklearn.manifold import trustworthiness as measure

    return float(measure(points, layout, n_neighbors=max(1, min(neighbours, (len(points) - 1) // 2 - 1))))
