"""UMAP's compiled functions are kept, and where they can't be nothing fails."""

from types import SimpleNamespace

import pytest

from lab_utils.analysis import umaps


def test_the_functions_that_take_long_to_compile_are_kept_on_disk():
    umaps.umap_class()
    import umap.umap_
    import umap.utils

    for function in (umap.umap_.smooth_knn_dist, umap.utils.fast_knn_indices):
        assert function._cache.cache_path  # numba's own cache; without caching there is none


@pytest.mark.parametrize("compiled", [True, False])
def test_a_function_is_asked_once_and_a_folder_that_cannot_be_written_to_is_no_failure(compiled):
    asked = []

    def refuse():
        asked.append(1)
        raise RuntimeError("no locator available")

    umaps._keep(SimpleNamespace(enable_caching=refuse, signatures=["a"] if compiled else []))
    umaps._keep(None)
    assert asked == ([] if compiled else [1])
