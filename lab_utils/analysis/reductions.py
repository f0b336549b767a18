"""Ways to make features fewer, fitted on given rows only: principal components, UMAP, UMAP that is told the labels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lab_utils.analysis import umaps
from lab_utils.analysis.classifiers import few_threads
from lab_utils.analysis.feature_tables import check_features, pca, standardise


@dataclass(frozen=True)
class Reduction:
    """A way to make features fewer, fitted on given rows only.

    Attributes:
        method: `none`; `pca`; `umap` (labels unused); `supervised umap` (labels used, as in the original).
        dimensions: number of columns kept; more than the data allow means as many as they allow.
        seed: of the reduction.
        epochs: of UMAP's layout; None is its default (500 below 10,000 rows, else 200).
        first: components of a PCA run before UMAP, 0 for none (the original: none). At MAMe's size a UMAP transform is
            25 times faster after 100 components; its neighbours are then those of the leading components.
    """

    method: Literal["none", "pca", "umap", "supervised umap"] = "none"
    dimensions: int = 0
    seed: int = 0
    epochs: int | None = None
    first: int = 0

    @property
    def words(self) -> str:
        """The method as it is written."""
        return {"none": "all", "pca": "PCA", "umap": "UMAP", "supervised umap": "supervised UMAP"}[self.method]

    def __str__(self) -> str:
        return f"{self.words}-{self.dimensions}" if self.method != "none" else self.words

    def apply(self, features: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Standardise and reduce, both fitted on `rows`.

        Args:
            features: shape (N, D).
            labels: shape (N,); only `labels[rows]` are looked at, and only by the supervised method.
            rows: positions to fit on, shape (n,).

        Returns:
            float32 table, shape (N, k).
        """
        check_features(features, rows)
        with few_threads(features.size):
            return self._reduced(standardise(features, rows), labels, rows)

    def _reduced(self, table: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if self.method == "none":
            return table
        if self.method == "pca":
            return pca(table, rows, self.dimensions, self.seed)
        return umaps.layout(
            pca(table, rows, self.first, self.seed) if self.first else table,
            self.dimensions,
            self.seed,
            fitted_on=rows,
            labels=labels if self.method == "supervised umap" else None,
            epochs=self.epochs,
            init="spectral" if len(rows) > self.dimensions + 2 else "random",
        )
