"""What happens around the epochs of `model.fit`: evaluation, the best epoch, checks, progress, the state on disk."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.stats.metrics import cross_entropy, softmax
from lab_utils.training import saved_run
from lab_utils.training.feeding import Epochs
from lab_utils.training.trainee import Trainee, part_of

if TYPE_CHECKING:
    import keras

SAVED_EVERY = 30.0  # seconds between two states on disk, at least
SHOWN_EVERY = 1.0  # seconds between two lines, at least
FIRST_IMAGES = 512  # val images that the first cross-entropy is measured on, at most
EXPECTED_WITHIN = 0.5  # nats above ln(classes) from which on a line says what to check


class Training:
    """One training from its last state on disk to its end.

    Attributes:
        epoch: epochs done.
        history: one row an epoch.
        best: epoch (from 1), accuracy and cross-entropy on val of the best epoch.
        initial: cross-entropy on val before the first step.
    """

    def __init__(self, trainee: Trainee, order: Epochs, epochs: int, place: Path, seed: int):
        """Take a network, its train rows in their order, and the folder of the run."""
        self.trainee, self.order, self.epochs, self.place = trainee, order, epochs, place
        self.epoch, self.saved, self.initial, self.history = 0, 0, math.nan, []
        self.best: dict[str, float] = {"epoch": 0, "accuracy": -1.0, "cross_entropy": math.inf}
        self.best_values: list[np.ndarray] = []
        self.last_values: list[np.ndarray] = []
        self.val_logits: list[np.ndarray] = []
        train, cut = trainee.splits["train"], trainee.twin.cut
        n = min(len(train), len(trainee.splits["val"]))  # as many as val has
        rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:n])
        own = train.makes_batches or (cut is not None and cut.is_random)  # train itself isn't kept then
        self._clean = (part_of(train, rows), None) if own else (train, rows)
        self._clean_labels = np.asarray(train.labels)[rows]
        self._shown = self._written = -math.inf

    # ---- before
    def begin(self, tolerance: float | None, rate: float | None) -> None:
        """Go back to the last good state, or to the first values.

        Raises:
            LabError: the first cross-entropy is further than `tolerance` from ln(classes).
        """
        trainee = self.trainee
        trainee.twin.restart(trainee.first, rate)
        state, damaged = saved_run.load_state(self.place)
        if damaged:
            trainee.progress(f"  {trainee.title}: {damaged}")
        if state is None:
            self._check_start(tolerance)
            return
        groups, about = state
        trainee.twin.put(trainee.values(groups["model"]))
        trainee.twin.put_optimizer(groups["optimizer"])
        self.best_values, self.best, self.val_logits = groups["best"], about["best"], groups["val"]
        self.last_values, self.initial, self.history = groups["model"], about["initial"], about["history"]
        self.epoch = self.saved = about["epoch"]
        trainee.progress(f"  {trainee.title}: goes on after epoch {self.epoch} of {self.epochs}")

    def _check_start(self, tolerance: float | None) -> None:
        trainee, val = self.trainee, self.trainee.splits["val"]
        some = part_of(val, np.arange(FIRST_IMAGES)) if val.makes_batches and len(val) > FIRST_IMAGES else val
        rows = np.arange(min(len(some), FIRST_IMAGES))
        self.initial = float(cross_entropy(trainee.logits(some, rows), np.asarray(some.labels)[rows]).mean())
        expected = math.log(trainee.classes)
        off = self.initial - expected
        words = (
            f"{trainee.title} starts at a cross-entropy of {self.initial:.3f}, not at ln {trainee.classes} = "
            f"{expected:.3f}"
        )
        advice = "check the input's range, the labels and the head"
        if tolerance is not None and not abs(off) <= tolerance:
            raise LabError(f"{words} within {tolerance:g}: {advice}.")
        if not off <= EXPECTED_WITHIN:
            trainee.progress(f"  {words}: {advice}.")

    # ---- around an epoch
    def callback(self) -> "keras.callbacks.Callback":
        """These as a callback of Keras."""
        import keras

        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self._begin_epoch(epoch),
            on_epoch_end=lambda epoch, logs: self._end_epoch(),
        )

    def _begin_epoch(self, epoch: int) -> None:
        self.order.epoch, self._began = epoch, time.perf_counter()
        self.trainee.twin.start_counting()

    def _end_epoch(self) -> None:
        trainee, row = self.trainee, {"epoch": self.epoch + 1}
        means, bad = trainee.twin.counted()
        if bad:
            raise LabError(self._not_finite(*bad))
        self.check_frozen()
        self.val_logits.append(trainee.logits(trainee.splits["val"]))
        row |= means | {f"val_{name}": value for name, value in scores(self.val_logits[-1], self._val_labels).items()}
        clean = scores(trainee.logits(*self._clean), self._clean_labels)
        row |= {"clean_accuracy": clean["accuracy"], "clean_cross_entropy": clean["cross_entropy"]}
        self.epoch += 1
        row["seconds"] = time.perf_counter() - self._began
        self.history.append(row)
        self._keep(row)
        self._tell(row)

    @property
    def _val_labels(self) -> np.ndarray:
        return np.asarray(self.trainee.splits["val"].labels)

    def _not_finite(self, step: int, which: str) -> str:
        trainee = self.trainee
        rate = trainee.graph.model.optimizer.get_config().get("learning_rate")
        words = f" ({rate:g})" if isinstance(rate, float) else ""
        penalised = " or the penalty" if trainee.twin.rest.losses else ""
        return (
            f"{trainee.title}: the {which} is not finite in epoch {self.epoch + 1}, step {step + 1}: lower the "
            f"learning rate{words}{penalised}."
        )

    def check_frozen(self) -> None:
        """Check that what is frozen has its first values.

        Raises:
            LabError: it hasn't; nothing of the run is kept then.
        """
        if not self.trainee.frozen_unchanged():
            saved_run.remove_states(self.place)
            title = self.trainee.title
            raise LabError(f"{title}: weights that should be frozen have changed in training: nothing was kept.")

    def _keep(self, row: dict[str, float]) -> None:
        """Take over the values after an epoch; at most every `SAVED_EVERY` seconds they go to disk."""
        self.last_values = self.trainee.changing()
        score = (row["val_accuracy"], -row["val_cross_entropy"])
        if score > (self.best["accuracy"], -self.best["cross_entropy"]):
            self.best = {"epoch": self.epoch, "accuracy": score[0], "cross_entropy": -score[1]}
            self.best_values = self.last_values
        if self.epoch == self.epochs or time.monotonic() - self._written < SAVED_EVERY:
            return
        groups = {"model": self.last_values, "optimizer": self.trainee.twin.optimizer_values()}
        groups |= {"best": self.best_values, "val": self.val_logits}
        saved_run.save_state(self.place, groups, {"epoch": self.epoch, **self.about()})
        self._written, self.saved = time.monotonic(), self.epoch

    def about(self) -> dict[str, Any]:
        """Plain facts that a state or a result holds beside its arrays."""
        facts = {"history": self.history, "best": self.best, "initial": self.initial, "title": self.trainee.title}
        facts |= {"batch": self.order.batch, "epochs": self.epochs, "seed": self.order.seed}
        return {**facts, "front": self.trainee.front()}

    def _tell(self, row: dict[str, float]) -> None:
        """One line an epoch, but no more than one a second."""
        now, last = time.perf_counter(), self.epoch == self.epochs
        if not last and now - self._shown < SHOWN_EVERY:
            return
        self._shown = now
        spent = [earlier["seconds"] for earlier in self.history]
        left = np.mean(spent) * (self.epochs - self.epoch)
        self.trainee.progress(
            f"  epoch {self.epoch}/{self.epochs}  accuracy {row['accuracy']:.3f} val {row['val_accuracy']:.3f}  "
            f"{clock(sum(spent))} left {clock(left)}  {self.trainee.title}"
        )


def clock(seconds: float) -> str:
    """Seconds as `m:ss`."""
    return f"{int(seconds + 0.5) // 60}:{int(seconds + 0.5) % 60:02d}"


def scores(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What a history keeps of a set of images.

    Args:
        logits: shape (n, classes).
        labels: shape (n,).

    Returns:
        `accuracy`, `cross_entropy`, and the mean top probability of right and of wrong predictions,
        `confidence_right` and `confidence_wrong` (NaN: there are none).
    """
    top, right = softmax(logits).max(axis=1), logits.argmax(axis=1) == labels
    return {
        "accuracy": float(right.mean()),
        "cross_entropy": float(cross_entropy(logits, labels).mean()),
        "confidence_right": float(top[right].mean()) if right.any() else math.nan,
        "confidence_wrong": float(top[~right].mean()) if not right.all() else math.nan,
    }
