"""Trained networks by name, for the chapters that come after: history, answers on val, and the model itself.

kept.keep(folder, "run 6", run, settings)
kept.find(folder, "run 6").probabilities("val")
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core.records import atomic_path, plain
from lab_utils.core.store import Artefact
from lab_utils.data.splits import SplitImages
from lab_utils.stats.metrics import softmax
from lab_utils.training import saved_run
from lab_utils.training.fit import Run

if TYPE_CHECKING:
    import keras

BATCH = 64  # images a batch in inference


@dataclass(frozen=True, eq=False)
class KeptRun:
    """A trained network that a chapter before has kept.

    Attributes:
        name: of the run.
        folder: where it is kept.
        images: of the run of the lab.
        about: history, best epoch, seconds, rows, settings.
    """

    name: str
    folder: Path
    images: SplitImages
    about: dict[str, Any]

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch (columns: `fit.Run`)."""
        return pd.DataFrame(self.about["history"]).astype(float).astype({"epoch": int})

    @property
    def best_epoch(self) -> int:
        """From 1, chosen on val."""
        return int(self.about["best_epoch"])

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return float(self.about["seconds"])

    @property
    def settings(self) -> dict[str, Any]:
        """What the network was trained with (`chapters.fine_tuning_results.settings_of`)."""
        return self.about["settings"]

    @property
    def front(self) -> dict[str, Any]:
        """As of `fit.Run`."""
        return self.about.get("front", {})

    def rows(self, split: str) -> np.ndarray:
        """Positions in the run's images of a split (train may be capped)."""
        return np.asarray(self.about["rows"][split], int) if split == "train" else self.images.rows(split)

    @cached_property
    def model(self) -> "keras.Model":
        """The network with the weights of its best epoch, from RGB pixels of 0..255 to logits."""
        import keras

        from lab_utils.networks import fast_ops, random_warp

        fast_ops.depthwise_layer(), random_warp.warp_layer()  # their classes must be known to Keras
        return keras.saving.load_model(_model_path(self.folder, self.name), compile=False)

    def val_logits(self) -> np.ndarray:
        """Logits of the val images after each epoch, float32, shape (epochs, n, classes)."""
        stored = saved_run.read(_artefact(self.folder, self.name).path)
        return np.stack(stored[0]["val"])

    def logits(self, split: str) -> np.ndarray:
        """Logits of a split with the weights of the best epoch, float32, shape (n, classes)."""
        if split == "val":
            return self.val_logits()[self.best_epoch - 1]
        pixels, rows = self.images.pixels(self.model.input_shape[1]), self.rows(split)
        return np.concatenate(
            [
                np.asarray(self.model(np.asarray(pixels[rows[start : start + BATCH]], np.float32), training=False))
                for start in range(0, len(rows), BATCH)
            ]
        )

    def probabilities(self, split: str) -> np.ndarray:
        """Class probabilities of a split, float32, shape (n, classes)."""
        return softmax(self.logits(split)).astype(np.float32)


def keep(folder: Path, name: str, run: Run, settings: dict[str, Any]) -> None:
    """Keep a trained network under a name, in place of what was kept under it before."""
    about = {
        **{"history": run.history.to_dict("list"), "best_epoch": run.best_epoch, "seconds": run.seconds},
        **{"rows": {"train": run.rows("train")}, "settings": settings, "key": run.folder.name, "front": run.front},
    }
    artefact = _artefact(folder, name)
    if (known := artefact.load()) and known.get("key") == run.folder.name and _model_path(folder, name).is_file():
        return
    with atomic_path(_model_path(folder, name)) as temporary:
        run.model.save(temporary)
    with artefact.making() as (temporary, facts):
        saved_run.write(temporary, {"val": list(run.val_logits())}, {"name": name})
        facts.update(plain(about))


def find(folder: Path, name: str, images: SplitImages) -> KeptRun | None:
    """A network that was kept; None where there is none, or the code that trained it has changed since."""
    facts = _artefact(folder, name).load()
    return None if facts is None else KeptRun(name, folder, images, facts)


def names(folder: Path) -> list[str]:
    """Names of all networks kept in a folder, in order."""
    paths = sorted(folder.glob("*.npz"))
    stored = [saved_run.read(path) for path in paths]
    return [content[1]["name"] for content in stored if content]


def _artefact(folder: Path, name: str) -> Artefact:
    return Artefact(folder / f"{_slug(name)}.npz", name, (__name__,))


def _model_path(folder: Path, name: str) -> Path:
    return folder / f"{_slug(name)}.keras"


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
