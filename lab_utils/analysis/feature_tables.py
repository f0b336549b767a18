"""Tables of features (N, D): whether one can be fitted on, its standard form, and its leading principal components."""

import numpy as np

from lab_utils.core.errors import LabError


def check_features(features: np.ndarray, rows: np.ndarray | None = None, name: str = "features") -> None:
    """Refuse features that no classifier can use.

    Args:
        features: shape (N, D).
        rows: positions that are fitted on, shape (n,); default all.
        name: of the features, for the sentence.

    Raises:
        LabError: not a table, no rows, values that are not finite, or nothing that varies over `rows`.
    """
    if features.ndim != 2 or not features.size:
        raise LabError(f"The {name} have shape {features.shape}: give one row an image and at least one column.")
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise LabError(
            f"The {name} hold values that are not finite in {bad.sum():,} of {len(bad):,} rows (first: row "
            f"{int(np.argmax(bad))}): look at that image, delete data/cache/features and extract again."
        )
    part = features if rows is None else features[rows]
    if not len(part) or (part == part[:1]).all():
        raise LabError(
            f"The {name} are the same in all {len(part):,} rows to fit on: nothing can be learned from them."
        )


def standardise(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Centre and scale columns by the mean and deviation of `rows`; constant columns become zero; float32 (N, D).

    Constant is a deviation of at most 1e-9 of the mean, so that the scale of a column does not matter.
    """
    part = features[rows]
    mean, deviation = part.mean(0, dtype=np.float64), part.std(0, dtype=np.float64)
    deviation[deviation <= 1e-9 * np.abs(mean)] = np.inf
    table = np.empty(features.shape, np.float32)
    for start in range(0, len(table), 2048):  # in float64, which tiny values around a mean need, by parts for memory
        block = slice(start, start + 2048)
        table[block] = (features[block] - mean) / deviation
    return table


def pca(table: np.ndarray, rows: np.ndarray, components: int, seed: int = 0) -> np.ndarray:
    """Scores on the leading principal components of `rows`, float32 (N, min(components, n - 1, D)).

    Randomised beyond 500 components' worth of data (Halko et al. 2011): the leading subspace to far below the noise.
    """
    from sklearn.decomposition import PCA

    kept = max(1, min(components, len(rows) - 1, table.shape[1]))
    solver = "randomized" if kept < 0.3 * min(len(rows), table.shape[1]) else "full"
    return PCA(kept, svd_solver=solver, random_state=seed).fit(table[rows]).transform(table).astype(np.float32)
