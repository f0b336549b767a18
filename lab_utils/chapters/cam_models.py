"""The networks that chapter 13 looks into, each with its answers, its maps and its numbers about them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.analysis import class_activation
from lab_utils.analysis.focus import Focus, Mosaics, focus_on_mosaics
from lab_utils.networks import backbones
from lab_utils.stats import metrics

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

    from lab_utils.lab import Lab


@dataclass(frozen=True)
class CamModel:
    """A network that answers with the run's classes.

    Attributes:
        title: for tables and figures.
        model: keras model from RGB pixels of 0..255, (B, size, size, 3), to class scores.
    """

    title: str
    model: Any

    @property
    def size(self) -> int:
        """Side of its input in pixels."""
        return self.model.input_shape[1]

    @cached_property
    def opened(self) -> class_activation.OpenedNetwork:
        """The network at its last convolution (opened once: it is compiled)."""
        return class_activation.open_network(self.model)

    def pixels(self, lab: "Lab", rows: np.ndarray) -> np.ndarray:
        """Images at some positions of `lab.images`, float32 of 0..255, shape (n, size, size, 3)."""
        return np.asarray(lab.pixels(self.size)[rows], np.float32)

    def probabilities(self, lab: "Lab", rows: np.ndarray, batch: int = 32) -> np.ndarray:
        """Class probabilities at some positions of `lab.images`, shape (n, classes)."""
        pieces = [rows[start : start + batch] for start in range(0, len(rows), batch)]
        return metrics.softmax(np.concatenate([self.opened.logits(self.pixels(lab, piece)) for piece in pieces]))

    def maps(self, lab: "Lab", rows: np.ndarray) -> np.ndarray:
        """Maps (`class_activation.grad_cam`) of the answers at some positions of `lab.images`, (n, size, size)."""
        return class_activation.grad_cam(self.opened, self.pixels(lab, rows))

    def agreement(self, lab: "Lab", rows: np.ndarray) -> np.ndarray:
        """Rank correlation of Grad-CAM and HiResCAM at some positions of `lab.images`, shape (n,)."""
        pixels = self.pixels(lab, rows)
        return class_activation.rank_correlation(
            *(class_activation.evidence(self.opened, pixels, method=method) for method in class_activation.METHODS)
        )

    def scrambled(self, lab: "Lab", rows: np.ndarray, targets: np.ndarray, stages: int, seed: int) -> dict[str, Any]:
        """Rank correlations of `class_activation.randomisation_check` at some positions of `lab.images`."""
        pixels = self.pixels(lab, rows)
        return class_activation.randomisation_check(self.model, pixels, targets, stages, seed, opened=self.opened)

    def focus(
        self,
        lab: "Lab",
        plan: Mosaics,
        rows: np.ndarray,
        method: str = "gradcam",
        shrink: bool = False,
    ) -> Focus:
        """Focus scores on mosaics whose members are positions in `rows` (themselves positions in `lab.images`).

        Only the images that are in some mosaic are read.
        """
        used, members = np.unique(plan.members, return_inverse=True)
        plan = replace(plan, members=members.reshape(plan.members.shape))
        return focus_on_mosaics(self.model, np.asarray(lab.pixels(self.size)[rows[used]]), plan, method, shrink)


def feature_size(lab: "Lab", network: str) -> int:
    """Side in pixels of the images that chapters 03 to 05 make a network's features of."""
    size = lab.settings.features.size
    return backbones.backbone(network).size if size == "native" else size


def kernel_and_bias(regression: "LogisticRegression", classes: int) -> list[np.ndarray]:
    """Weights of the Dense layer that gives a fitted regression's scores.

    Args:
        regression: fitted on features (n, D) and labels in 0..classes-1.
        classes: number of classes; one without images gets a score that never wins.

    Returns:
        Kernel (D, classes) and bias (classes,), float32.
    """
    slopes, starts = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:  # scikit-learn keeps one row only
        slopes, starts = (np.concatenate([-values, values]) / 2 for values in (slopes, starts))
    kernel, bias = np.zeros((slopes.shape[1], classes), np.float32), np.full(classes, -1e3, np.float32)
    kernel[:, regression.classes_], bias[regression.classes_] = slopes.T, starts
    return [kernel, bias]
