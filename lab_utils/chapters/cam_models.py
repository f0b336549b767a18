"""The networks that chapter 13 looks into, in one form: from scratch, pretrained, fine-tuned."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.analysis import class_activation
from lab_utils.analysis.focus import Focus, Mosaics, focus_on_mosaics
from lab_utils.core.chapters import RUNS
from lab_utils.core.quiet import load_tensorflow
from lab_utils.stats import metrics

if TYPE_CHECKING:
    from lab_utils.lab import Lab

SCRATCH, HEADLINE = 10, "run 6"  # network of chapter 01 that the original calls balanced; its final fine-tuning run
KINDS = ("from scratch", "pretrained", "fine-tuned")


@dataclass(frozen=True)
class CamModel:
    """A network that answers with the run's classes.

    Attributes:
        title: for tables and figures.
        model: keras model that ends in class scores.
        prepare: from images of 0..255, shape (B, S, S, 3), to what the model expects.
    """

    title: str
    model: Any
    prepare: Callable[[np.ndarray], Any]

    @property
    def size(self) -> int:
        """Side of its input in pixels."""
        return self.model.input_shape[1]

    @cached_property
    def opened(self) -> class_activation.OpenedNetwork:
        """The network at its last convolution (opened once: it is compiled)."""
        return class_activation.open_network(self.model)

    def inputs(self, lab: "Lab", rows: np.ndarray) -> np.ndarray:
        """Preprocessed images at some positions of `lab.images`, shape (n, size, size, 3)."""
        return np.asarray(self.prepare(np.asarray(lab.pixels(self.size)[rows])))

    def logits(self, lab: "Lab", rows: np.ndarray, batch: int = 32) -> np.ndarray:
        """Class scores at some positions of `lab.images`, float32, shape (n, classes)."""
        pieces = [rows[start : start + batch] for start in range(0, len(rows), batch)]
        return np.concatenate([self.opened.logits(self.inputs(lab, piece)) for piece in pieces])

    def probabilities(self, lab: "Lab", rows: np.ndarray) -> np.ndarray:
        """Class probabilities at some positions of `lab.images`, shape (n, classes)."""
        return metrics.softmax(self.logits(lab, rows))

    def maps(
        self, lab: "Lab", rows: np.ndarray, targets: np.ndarray | None = None, method: str = "gradcam"
    ) -> np.ndarray:
        """Class-activation maps (`grad_cam`) at some positions of `lab.images`, shape (n, size, size)."""
        return class_activation.grad_cam(self.opened, self.inputs(lab, rows), targets, method=method)

    def agreement(self, lab: "Lab", rows: np.ndarray) -> np.ndarray:
        """Rank correlation of Grad-CAM and HiResCAM at some positions of `lab.images`, shape (n,)."""
        inputs = self.inputs(lab, rows)
        return class_activation.rank_correlation(
            *(class_activation.evidence(self.opened, inputs, method=method) for method in class_activation.METHODS)
        )

    def scrambled(self, lab: "Lab", rows: np.ndarray, targets: np.ndarray, stages: int, seed: int) -> dict[str, Any]:
        """Rank correlations of `class_activation.randomisation_check` at some positions of `lab.images`."""
        inputs = self.inputs(lab, rows)
        return class_activation.randomisation_check(self.model, inputs, targets, stages, seed, opened=self.opened)

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
        images = np.asarray(lab.pixels(self.size)[rows[used]])
        return focus_on_mosaics(self.model, images, plan, self.prepare, method, shrink)


def open_models(lab: "Lab") -> dict[str, CamModel]:
    """The three networks of `KINDS`: scratch #10 (chapter 01), the first pretrained one, the headline run (chapter 11).

    Raises:
        LabError: chapter 01 or 11 was not run yet; the sentence says which.
    """
    lab.entries("01_baseline")
    lab.entries(RUNS[-1])
    load_tensorflow()
    makers = (scratch, pretrained, fine_tuned)
    return {kind: make(lab) for kind, make in zip(KINDS, makers, strict=True)}


def scratch(lab: "Lab") -> CamModel:
    """The network from scratch of chapter 01, which rescales its images itself."""
    return CamModel(f"#{SCRATCH} from scratch", lab.kept(f"#{SCRATCH} from scratch").model, as_they_are)


def as_they_are(images: np.ndarray) -> np.ndarray:
    """Images of 0..255 in float32, for networks whose first layers prepare them."""
    return np.asarray(images, np.float32)


def fine_tuned(lab: "Lab") -> CamModel:
    """The headline run of chapter 11."""
    run = lab.kept(HEADLINE)
    return CamModel(f"{run.settings['title']}, {HEADLINE}", run.model, as_they_are)


def pretrained(lab: "Lab", name: str | None = None) -> CamModel:
    """A frozen pretrained network with a linear head fitted on its train features.

    Args:
        lab: the run.
        name: of the network; default the one that the fine-tuning runs start from.
    """
    from lab_utils.networks import backbones

    load_tensorflow()
    import keras

    name = name or lab.settings.fine_tuning.networks[0]
    rows, size = lab.rows("train"), lab.settings.features.size
    weights, bias = linear_head(np.asarray(lab.features(name)[rows]), lab.labels("train"), len(lab.classes))
    network = backbones.build(
        name, weights=lab.settings.networks.weights, size=None if size == "native" else size, seed=0
    )
    features = network.get_layer(backbones.backbone(name).feature_layer).output
    scores = keras.layers.Dense(len(lab.classes), name="mediums")
    model = keras.Model(network.input, scores(features), name=f"{name}_with_linear_head")
    scores.set_weights([weights, bias])
    return CamModel(f"{lab.title(name)}, frozen, linear head", model, lambda images: backbones.preprocess(name, images))


def linear_head(
    features: np.ndarray, labels: np.ndarray, classes: int, penalty: float = 100.0
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a multinomial logistic regression on standardised features, written for the features as they are.

    Args:
        features: shape (n, D).
        labels: in 0..classes-1, shape (n,).
        classes: number of classes; one without images gets a score that never wins.
        penalty: of the squared weights (1 / C).

    Returns:
        Kernel (D, classes) and bias (classes,), float32.
    """
    from sklearn.linear_model import LogisticRegression

    mean, spread = features.mean(0), features.std(0) + 1e-6
    fit = LogisticRegression(C=1 / penalty, max_iter=300).fit((features - mean) / spread, labels)
    kernel, bias = np.zeros((features.shape[1], classes), np.float32), np.full(classes, -1e3, np.float32)
    slopes, starts = _one_a_class(fit)
    kernel[:, fit.classes_] = (slopes / spread).T
    bias[fit.classes_] = starts - slopes @ (mean / spread)
    return kernel, bias


def _one_a_class(fit: Any) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (C, D) and intercepts (C,); scikit-learn keeps one row only where there are two classes."""
    if len(fit.classes_) > 2:
        return fit.coef_, fit.intercept_
    return np.concatenate([-fit.coef_, fit.coef_]) / 2, np.concatenate([-fit.intercept_, fit.intercept_]) / 2
