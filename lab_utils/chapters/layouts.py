"""Maps of chapter 04 that are kept on disk: `fit_transform` of a UMAP or t-SNE, made once for the same data."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.analysis.umaps import check_placed
from lab_utils.core import records
from lab_utils.core.store import Artefact

FOLDER = records.PROJECT / "data" / "cache" / "projections"


def fit_transform(model: Any, X: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """`model.fit_transform(X, y)`, loaded where it was computed before with the same parameters on the same data.

    Args:
        model: with scikit-learn's `fit_transform` and `get_params`.
        X: shape (N, D).
        y: labels, shape (N,), for a supervised map; None: none.

    Returns:
        float32 (N, d).

    Raises:
        LabError: images found no place on the map.
    """
    return _stored(model, X, y)["points"]


def seconds(model: Any, X: np.ndarray, y: np.ndarray | None = None) -> float:
    """What a map took when it was computed; arguments as of `fit_transform`."""
    return float(_stored(model, X, y)["seconds"])


def _stored(model: Any, X: np.ndarray, y: np.ndarray | None) -> dict[str, np.ndarray]:
    name = type(model).__name__
    key = {"model": f"{type(model).__module__}.{name}", "parameters": model.get_params(), "y": _content(y)}
    key |= {"X": _content(X), "versions": records.versions("umap-learn", "scikit-learn", "numpy")}
    artefact = Artefact.under(FOLDER, name.lower(), records.plain(key), (__name__,), suffix=".npz")

    def write(path: Path) -> None:
        start = time.perf_counter()
        points = np.asarray(model.fit_transform(X) if y is None else model.fit_transform(X, y), np.float32)
        check_placed(points)
        np.savez(path, points=points, seconds=np.float64(time.perf_counter() - start))

    artefact.load_or_make(write, title=f"{name} of {len(X):,} images")
    return dict(np.load(artefact.path))


def _content(array: np.ndarray | None) -> Any:
    return None if array is None else [records.content_hash(np.ascontiguousarray(array).tobytes()), array.shape]
