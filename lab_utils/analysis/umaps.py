"""UMAP as the lab uses it: quietly, and with its compiled functions kept on disk.

umap-learn compiles its functions at their first call in every process, which takes longer (15 to 20 seconds) than a map
of a few hundred images; numba can keep the result, umap-learn just doesn't ask it to.
"""

import warnings
from contextlib import suppress
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone

from lab_utils.core.errors import LabError
from lab_utils.core.quiet import stderr_hidden

KEPT = {
    "umap_": ("smooth_knn_dist", "compute_membership_strengths", "init_graph_transform"),
    "utils": ("fast_knn_indices", "submatrix"),
}


def keep_compiled() -> None:
    """See to it that what numba compiles for UMAP is kept where `NUMBA_CACHE_DIR` says (else beside the package).

    UMAP's warnings are switched off: they are about maps of few images, which the lab's checks cover.
    """
    with stderr_hidden():
        import umap
        import umap.umap_
        import umap.utils
    warnings.filterwarnings("ignore", module=r"umap\.")
    for module, names in KEPT.items():
        for name in names:
            _keep(getattr(getattr(umap, module), name, None))


def _keep(function: Any) -> None:
    """Ask numba to cache a function that isn't compiled yet; where it can't, it is compiled every time, as before."""
    if hasattr(function, "enable_caching") and not function.signatures:
        with suppress(RuntimeError):  # no folder that can be written to
            function.enable_caching()


def check_placed(layout: np.ndarray) -> None:
    """Refuse a layout (N, d) in which images found no place: UMAP gives NaN to those that are like no other.

    Raises:
        LabError: with their number and the first of them.
    """
    lost = ~np.isfinite(layout).all(axis=1)
    if lost.any():
        raise LabError(
            f"UMAP found no place for {lost.sum():,} of {len(lost):,} images (first: row {int(np.argmax(lost))}): "
            "look for images that are like no other, or use PCA."
        )


class WithoutLabels(TransformerMixin, BaseEstimator):
    """A transformer that is not given the labels: in a pipeline UMAP gets them, and then it is a supervised one.

    Args:
        transformer: with scikit-learn's `fit_transform` and `transform`; it is copied before the fit.
    """

    def __init__(self, transformer: Any):
        self.transformer = transformer

    def fit(self, X: np.ndarray, y: Any = None) -> "WithoutLabels":
        """Fit on X (n, D)."""
        self.fit_transform(X)
        return self

    def fit_transform(self, X: np.ndarray, y: Any = None) -> np.ndarray:
        """Fit on X (n, D) and transform it."""
        self.transformer_ = clone(self.transformer)
        return self.transformer_.fit_transform(X)

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Transform X (m, D)."""
        return self.transformer_.transform(X)
