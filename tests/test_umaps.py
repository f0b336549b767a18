"""UMAP's compiled functions are kept, and where they can't be nothing fails."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from lab_utils.analysis import umaps
from lab_utils.core.records import PROJECT


def test_the_functions_that_take_long_to_compile_are_kept_on_disk():
    code = (  # in a process of its own: what another test has compiled before can't be kept any more
        "from lab_utils.analysis import umaps; umaps.keep_compiled(); import umap.umap_, umap.utils; "
        "print(*(function._cache.cache_path for function in (umap.umap_.smooth_knn_dist, umap.utils.fast_knn_indices)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert told.stdout.strip() and "None" not in told.stdout  # numba's own cache; without caching there is none


@pytest.mark.parametrize("compiled", [True, False])
def test_a_function_is_asked_once_and_a_folder_that_cannot_be_written_to_is_no_failure(compiled):
    asked = []

    def refuse():
        asked.append(1)
        raise RuntimeError("no locator available")

    umaps._keep(SimpleNamespace(enable_caching=refuse, signatures=["a"] if compiled else []))
    umaps._keep(None)
    assert asked == ([] if compiled else [1])


def test_a_transformer_in_a_pipeline_is_not_given_the_labels():
    class Spy(BaseEstimator):
        def fit_transform(self, X, y=None):
            assert y is None
            return X

        def transform(self, X):
            return X

    model = make_pipeline(umaps.WithoutLabels(Spy()), LinearSVC())
    X = np.array([[0.0], [1.0], [10.0], [11.0]])
    assert model.fit(X, [0, 0, 1, 1]).predict(X).tolist() == [0, 0, 1, 1]
