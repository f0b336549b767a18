"""The networks that chapter 13 looks into, in one form: from scratch, pretrained, fine-tuned."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils import explain
from lab_utils.chapters import RUNS

if TYPE_CHECKING:
    from lab_utils.lab import Lab

SCRATCH, HEADLINE = 10, "run 6"  # network of chapter 01 that the original calls balanced; its final fine-tuning run
KINDS = ("from scratch", "pretrained", "fine-tuned")


@dataclass(frozen=True)
class Subject:
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

    def inputs(self, lab: "Lab", rows: np.ndarray) -> np.ndarray:
        """Preprocessed images at some positions of `lab.images`, shape (n, size, size, 3)."""
        return np.asarray(self.prepare(np.asarray(lab.pixels(self.size)[rows])))

    def probabilities(self, lab: "Lab", rows: np.ndarray, batch: int = 32) -> np.ndarray:
        """Class probabilities at some positions of `lab.images`, shape (n, classes)."""
        opened = explain.view(self.model)
        pieces = [rows[start : start + batch] for start in range(0, len(rows), batch)]
        logits = [opened.model(self.inputs(lab, piece), training=False)[1] for piece in pieces]
        values = np.concatenate([np.asarray(part, np.float32) for part in logits])
        raised = np.exp(values - values.max(1, keepdims=True))
        return raised / raised.sum(1, keepdims=True)

    def maps(
        self, lab: "Lab", rows: np.ndarray, targets: np.ndarray | None = None, method: str = "gradcam"
    ) -> np.ndarray:
        """Class-activation maps (`explain.grad_cam`) at some positions of `lab.images`, shape (n, size, size)."""
        return explain.grad_cam(self.model, self.inputs(lab, rows), targets, method=method)

    def focus(self, lab: "Lab", plan: explain.Mosaics, rows: np.ndarray) -> explain.Focus:
        """Focus scores on mosaics whose members are positions in `rows` (themselves positions in `lab.images`)."""
        return explain.focus(self.model, np.asarray(lab.pixels(self.size)[rows]), plan, self.prepare)


def open_subjects(lab: "Lab") -> dict[str, Subject]:
    """The three networks of `KINDS`: scratch #10 (chapter 01), the first pretrained one, the headline run (chapter 11).

    Raises:
        LabError: chapter 01 or 11 was not run yet; the sentence says which.
    """
    lab.entries("01_baseline")
    lab.entries(RUNS[-1])
    makers = (scratch, pretrained, fine_tuned)
    return {kind: make(lab) for kind, make in zip(KINDS, makers, strict=True)}


def scratch(lab: "Lab") -> Subject:
    """The network from scratch of chapter 01; images over 255 unless it scales them itself."""
    import keras

    model = lab.scratch_model(SCRATCH)
    scales = any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)
    return Subject(
        f"#{SCRATCH} from scratch", model, lambda images: np.asarray(images, np.float32) / (1 if scales else 255)
    )


def fine_tuned(lab: "Lab") -> Subject:
    """The headline run of chapter 11."""
    run = lab.fine_tune(HEADLINE)
    return Subject(f"{lab.title(run.recipe.network)}, {HEADLINE}", run.model(), run.preprocess)


def pretrained(lab: "Lab", name: str | None = None) -> Subject:
    """A frozen pretrained network with a linear head fitted on its train features.

    Args:
        lab: the run.
        name: of the network; default the one that the fine-tuning runs start from.
    """
    import keras

    from lab_utils import backbones

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
    return Subject(f"{lab.title(name)}, frozen, linear head", model, lambda images: backbones.preprocess(name, images))


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
