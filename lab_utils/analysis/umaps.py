"""UMAP as the lab loads it: quietly, and with its compiled functions kept on disk.

umap-learn compiles its functions at their first call in every process, which takes longer (15 to 20 seconds) than a map
of a few hundred images; numba can keep the result, umap-learn just doesn't ask it to.
"""

from contextlib import suppress
from typing import Any

from lab_utils.core.quiet import stderr_hidden

KEPT = {
    "umap_": ("smooth_knn_dist", "compute_membership_strengths", "init_graph_transform"),
    "utils": ("fast_knn_indices", "submatrix"),
}


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
