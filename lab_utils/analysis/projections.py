"""Maps of a feature space in two or three dimensions: which images, how many components, and how far to trust them.

Arrays in, plain results out. A map is for looking; tests run in the space itself (`cohesion`, `separability`).
"""

from typing import TYPE_CHECKING

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.data.splits import subsample

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

FEWEST = 10  # images that a map needs at least


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


def components_for(pca: "PCA", share: float = 0.9) -> int:
    """Number of principal components whose variance together reaches `share`; all of them were kept by the PCA."""
    return int(np.searchsorted(pca.explained_variance_ratio_.cumsum(), share - 1e-12) + 1)


def trustworthiness(points: np.ndarray, layout: np.ndarray, neighbours: int = 10) -> float:
    """Share in [0, 1] that says how far a map's neighbours are neighbours in the space (Venna and Kaski 2001).

    Args:
        points: the space, (N, D).
        layout: the map, (N, d).
        neighbours: that are looked at; fewer where N is small.
    """
    from sklearn.manifold import trustworthiness as measure

    return float(measure(points, layout, n_neighbors=max(1, min(neighbours, (len(points) - 1) // 2 - 1))))
