"""UMAP as the lab uses it: quietly, with the same bits for the same seed, and with its compiled functions kept on disk.

umap-learn compiles its functions at their first call in every process, which takes longer (15 to 20 seconds) than a map
of a few hundred images; numba can keep the result, umap-learn just doesn't ask it to.
"""

import warnings
from contextlib import suppress
from typing import Any

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.core.quiet import stderr_hidden

KEPT = {
    "umap_": ("smooth_knn_dist", "compute_membership_strengths", "init_graph_transform"),
    "utils": ("fast_knn_indices", "submatrix"),
}


def layout(
    points: np.ndarray,
    dims: int,
    seed: int,
    *,
    fitted_on: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    neighbours: int = 15,
    epochs: int | None = None,
    init: str = "pca",
) -> np.ndarray:
    """Lay out points by UMAP (McInnes et al., arXiv 1802.03426).

    Args:
        points: shape (N, D).
        dims: number of dimensions.
        seed: the same seed gives the same bits on one machine.
        fitted_on: positions that the map is fitted on, shape (n,); the others are placed on it afterwards. None: all.
        labels: shape (N,), for supervised UMAP; only those of `fitted_on` are looked at.
        neighbours: of each point; fewer where n is small.
        epochs: of the layout; None is UMAP's default (500 below 10,000 rows, else 200).
        init: where the layout starts, as UMAP names it.

    Returns:
        float32 (N, dims).

    Raises:
        LabError: fewer than three points to fit on, or points that find no place.
    """
    rows = np.arange(len(points)) if fitted_on is None else fitted_on
    if len(rows) < 3:
        raise LabError(f"UMAP needs at least 3 images to fit on, there are {len(rows)}: give more train images.")
    others = np.setdiff1d(np.arange(len(points)), rows)
    placed = np.empty((len(points), dims), np.float32)
    mapper = umap_class()(
        n_components=dims,
        n_neighbors=min(neighbours, len(rows) - 1),
        n_epochs=epochs,
        random_state=seed,
        init=init,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        placed[rows] = mapper.fit_transform(points[rows], None if labels is None else labels[rows])
        if len(others):
            placed[others] = mapper.transform(points[others])
    lost = ~np.isfinite(placed).all(axis=1)
    if lost.any():
        raise LabError(
            f"UMAP found no place for {lost.sum():,} of {len(lost):,} images (first: row {int(np.argmax(lost))}): "
            "look for images that are like no other, or use PCA."
        )
    return placed


def umap_class() -> type:
    """The class `UMAP`, whose compiled functions are kept where `NUMBA_CACHE_DIR` says (else beside the package)."""
    with stderr_hidden():
        import umap
        import umap.umap_
        import umap.utils
    for module, names in KEPT.items():
        for name in names:
            _keep(getattr(getattr(umap, module), name, None))
    return umap.UMAP


def _keep(function: Any) -> None:
    """Ask numba to cache a function that isn't compiled yet; where it can't, it is compiled every time, as before."""
    if hasattr(function, "enable_caching") and not function.signatures:
        with suppress(RuntimeError):  # no folder that can be written to
            function.enable_caching()
