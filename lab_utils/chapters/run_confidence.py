"""How sure a fine-tuning run is on val: calibration with one temperature, and accuracy traded against likelihood."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.stats import metrics
from lab_utils.stats.intervals import Estimate, bootstrap_estimate, paired_difference

if TYPE_CHECKING:
    from lab_utils.chapters.run_study import Study


@dataclass(frozen=True)
class Calibration:
    """Confidence of a run on val, before and after one temperature that was fitted on the other half of val.

    Attributes:
        temperature: fitted on all of val; above 1 the network is too sure.
        before: NLL in nats as it is.
        after: NLL with the other half's temperature.
        before_ece: expected calibration error as it is.
        after_ece: with the other half's temperature.
        reliability: `{"before": table, "after": table}` of `metrics.reliability`.
    """

    temperature: float
    before: Estimate
    after: Estimate
    before_ece: Estimate
    after_ece: Estimate
    reliability: dict[str, pd.DataFrame]

    @property
    def table(self) -> pd.DataFrame:
        """NLL and calibration error, before and after."""
        rows = [("as it is", self.before, self.before_ece), ("with the temperature", self.after, self.after_ece)]
        return pd.DataFrame(rows, columns=["probabilities", "NLL (nats)", "expected calibration error"])


def calibration(one: "Study", seed: int = 0) -> Calibration:
    """Calibration of the best epoch on val (Guo et al., arXiv 1706.04599), each half with the other half's temperature.

    Args:
        one: the run.
        seed: of the halves, which keep lots together.
    """
    plain = one.logits()[one.run.best_epoch - 1]
    both = {"before": plain, "after": softened(plain, one.labels, halves(one.groups, seed))}
    losses = [
        bootstrap_estimate(metrics.cross_entropy(values, one.labels), f"NLL, {when}", one.groups, digits=3)
        for when, values in both.items()
    ]
    sure = {when: metrics.softmax(values) for when, values in both.items()}
    errors = [metrics.calibration_estimate(values, one.labels, f"ECE, {when}") for when, values in sure.items()]
    tables = {when: metrics.reliability(values, one.labels) for when, values in sure.items()}
    return Calibration(metrics.temperature(plain, one.labels), *losses, *errors, tables)


def halves(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Split images into two halves of about equal size that share no group; True for one half, shape (n,)."""
    names, member = np.unique(groups, return_inverse=True)
    sizes, chosen = np.bincount(member), np.zeros(len(names), bool)
    filled = [0, 0]
    for place in np.random.default_rng(seed).permutation(len(names)):
        chosen[place] = filled[1] < filled[0]
        filled[int(chosen[place])] += sizes[place]
    return chosen[member]


def softened(logits: np.ndarray, labels: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Logits (n, C) of each half, divided by the temperature that was fitted on the other half.

    Args:
        logits: shape (n, C).
        labels: shape (n,).
        half: membership in the first half, shape (n,); where one half is empty, nothing changes.
    """
    divided = np.array(logits, np.float64)
    if half.all() or not half.any():
        return divided
    for fitted, applied in ((half, ~half), (~half, half)):
        divided[applied] /= metrics.temperature(logits[fitted], labels[fitted])
    return divided


def trade(one: "Study", seed: int = 0) -> dict[str, Any]:
    """Evidence on accuracy against confidence: the epoch of the highest val accuracy minus that of the lowest loss.

    Returns:
        `accurate` and `lowest`: the epochs, from 1; `accuracy`: paired difference; `before` and `after`: difference of
        the NLL in nats as they are and with a temperature of the other half each, bootstrap over lots.
    """
    accurate, lowest = one.run.best_epoch, int(one.history["val_cross_entropy"].to_numpy().argmin()) + 1
    pair = [one.logits()[epoch - 1] for epoch in (accurate, lowest)]
    half = halves(one.groups, seed)
    losses = {
        "before": [metrics.cross_entropy(values, one.labels) for values in pair],
        "after": [metrics.cross_entropy(softened(values, one.labels, half), one.labels) for values in pair],
    }
    style = {"groups": one.groups, "digits": 3, "unit": " nats"}
    changes = {when: bootstrap_estimate(first - second, when, **style) for when, (first, second) in losses.items()}
    words = f"epoch {accurate} minus epoch {lowest}"
    accuracy = paired_difference(one.labels, *(values.argmax(1) for values in pair), words, one.groups)
    return {"accurate": accurate, "lowest": lowest, "accuracy": accuracy, **changes}
