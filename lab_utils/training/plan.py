"""How a network is trained, as plain data."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Plan:
    """How a network is trained, apart from its architecture.

    Attributes:
        learning_rate: of Adam, at its peak.
        batch: images a step.
        epochs: passes over the train images.
        seed: of initial weights, shuffling, dropout and augmentation.
        schedule: `constant`, or `cosine` (falling to zero; Loshchilov and Hutter 2017, arXiv 1608.03983).
        warmup: share of all steps in which the rate rises linearly from zero, in [0, 1).
        label_smoothing: share of the target spread over all classes, in [0, 1).
        amsgrad: the AMSGrad variant of Adam.
    """

    learning_rate: float
    batch: int
    epochs: int
    seed: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    amsgrad: bool = False

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of step `step` (from 0) of `steps`."""
        rising = self.warmup * steps
        if step < rising:
            return self.learning_rate * (step + 1) / (rising + 1)
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - rising) / max(1.0, steps - rising)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
