"""A classifier for a user's own photos: fitted on a folder of class folders, kept in one file, used on new files.

    python -m lab_utils.predict fit PHOTOS --model my.npz
    python -m lab_utils.predict label --model my.npz new1.jpg new2.png --top 3 > labels.csv

It is the simplest recipe that a nested comparison can't show to be worse (`benchmarks/README.md`): the last features of
one network, and ridge. Its accuracy is of photos that had no part in any choice. Probabilities are calibrated: "0.7" is
right about seven times in ten on photos like these.
"""

import sys

if __name__ == "__main__":  # before anything else is imported, so that no setting of the user's is obeyed
    from lab_utils.core import environment

    environment.start("lab_utils.predict", sys.argv[1:])

import argparse
import json
import math
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.analysis import small_data
from lab_utils.core import environment, file_names, records
from lab_utils.core.errors import LabError, of_system
from lab_utils.core.quiet import quiet
from lab_utils.data import decoding, folder, pipeline
from lab_utils.networks import backbones, registry
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Accuracy
from lab_utils.training import features

FORMAT, VERSION = "lab_utils.predict", 2
BATCH = 32
LARGEST = 1024  # side in pixels that a model file may ask for


@dataclass(frozen=True)
class Network:
    """The pretrained networks whose last features are read, side by side.

    Attributes:
        names: in the registry of backbones.
        size: side of the input in pixels; None: native.
        weights: `imagenet`, or `random` for tests.
    """

    names: tuple[str, ...] = ("lite0",)
    size: int | None = None
    weights: str = "imagenet"

    def features(self, paths: Sequence[Path | str]) -> np.ndarray:
        """Last features of image files, float32 (n, D).

        Raises:
            LabError: weights are missing or damaged, an image can't be read, or its features are no finite numbers.
        """
        blocks = []
        for name in self.names:
            size = backbones.check_size(name, self.size)[0]
            run = features.forward(backbones.build(name, weights=self.weights, size=size), name, ["penultimate"])
            batches = pipeline.decoded_batches(paths, size, batch=BATCH)
            blocks.append(np.concatenate([np.asarray(run(images)["penultimate"]) for images in batches]))
        X = np.concatenate(blocks, axis=1)
        if not np.isfinite(X).all():
            first = paths[int((~np.isfinite(X)).any(1).argmax())]
            raise LabError(
                f"{', '.join(self.names)} gave features of {first} that are no finite numbers: install TensorFlow and "
                "the network's weights again."
            )
        return X

    def identities(self) -> list[str]:
        """What stands for the weights of each network (`backbones.weights_id`)."""
        return [backbones.weights_id(name, self.weights) for name in self.names]


@dataclass
class PhotoClassifier:
    """A fitted classifier.

    Attributes:
        network: what it reads.
        identities: of the network's weights.
        classes: their names, in the order of the columns.
        coefficients: shape (D, C).
        intercept: shape (C,).
        temperature: by which scores are divided before the softmax.
        accuracy: nested: of photos that had no part in a fit or choice; look-alikes count once.
    """

    network: Network
    identities: list[str]
    classes: list[str]
    coefficients: np.ndarray
    intercept: np.ndarray
    temperature: float
    accuracy: Accuracy

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Calibrated class probabilities (n, C) of features (n, D).

        Raises:
            LabError: they are no finite numbers.
        """
        from scipy.special import softmax

        with np.errstate(all="ignore"):
            chances = softmax((X.astype(float) @ self.coefficients + self.intercept) / self.temperature, axis=1)
        if not np.isfinite(chances).all():
            raise LabError("The model gave probabilities that are no finite numbers: fit it again.")
        return chances

    def label(self, paths: Sequence[Path | str], top: int = 1) -> pd.DataFrame:
        """The `top` likeliest classes of each image file: columns file, rank (from 1), class, probability.

        Raises:
            LabError: a file is no whole image, or this machine's weights are not those it was fitted with.
        """
        columns = ["file", "rank", "class", "probability"]
        if not paths:
            return pd.DataFrame(columns=columns)
        if self.network.identities() != self.identities:
            names = ", ".join(self.network.names)
            raise LabError(f"The weights of {names} on this machine are not those of the model: fit it again.")
        chances = self.probabilities(self.network.features([str(path) for path in paths]))
        best = np.argsort(-chances, axis=1, kind="stable")[:, :top]
        ranks = np.tile(np.arange(1, best.shape[1] + 1), len(best))
        values = np.take_along_axis(chances, best, axis=1).ravel()
        named = np.array(self.classes, dtype=object)[best].ravel()
        files = [str(path) for path in paths for _ in range(best.shape[1])]
        return pd.DataFrame(dict(zip(columns, (files, ranks, named, values), strict=True)))

    def save(self, path: Path | str) -> Path:
        """Write the model as one .npz file without pickle: two arrays, and a header as JSON; whole or not at all."""
        header = {"format": FORMAT, "version": VERSION, "made_by": records.versions("numpy"), "classes": self.classes}
        header |= {**vars(self.network), "identities": self.identities, "temperature": self.temperature}
        header |= {"nested": [self.accuracy.successes, self.accuracy.n]}
        content = np.frombuffer(json.dumps(header).encode(), np.uint8)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as handle:
                np.savez(handle, header=content, coefficients=self.coefficients, intercept=self.intercept)

        return records.write_atomic(path, write)


# ---- fit -------------------------------------------------------------------------------------------------------------
def fit(
    root: Path | str,
    network: Network | None = None,
    progress: Callable[[str], Any] = print,
    skip_bad: bool = False,
    class_level: int | None = None,
) -> PhotoClassifier:
    """Fit the classifier on a folder that holds one folder of images a class.

    Args:
        root: the folder; `train/ val/ test/` above the classes are read as one.
        network: another one than the recommended.
        progress: gets a line now and then, and those that count and name what is left out.
        skip_bad: leave out images that can't be read instead of stopping.
        class_level: see `layout.read`.

    Raises:
        LabError: no such folder, fewer than two classes, a class with fewer than two different images, the same file
            under two classes, or bad images (all named).
    """
    root, network = Path(root), network or Network()
    rows, notes = folder.list_images(root, class_level)
    rows, bad = folder.examined(root, rows, progress, skip_bad)
    for note in notes + bad:
        progress(note)
    groups = pd.factorize(rows["group"])[0]
    if alike := len(rows) - len(np.unique(groups)):
        progress(f"Images that look nearly like another one: {alike:,}. They stay on its side of every fold.")
    classes, labels = np.unique(rows["medium"].astype(str), return_inverse=True)
    progress(f"{len(rows):,} images of {len(classes)} classes: features of {', '.join(network.names)}")
    X = network.features([str(root / file) for file in rows["file"]])
    return fit_features(X, labels, groups, [str(name) for name in classes], network)


def fit_features(
    X: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: list[str], network: Network
) -> PhotoClassifier:
    """Fit on features (n, D) with labels (n,) that index `classes`, and groups (n,) of images that look alike.

    Raises:
        LabError: a class has fewer than two groups.
    """
    different = np.bincount(np.unique(np.stack([labels, groups]), axis=1)[0], minlength=len(classes))
    if few := [name for name, count in zip(classes, different, strict=True) if count < 2]:
        raise LabError(
            "A class needs two different images at least (near-identical files count once): add images to "
            f"{', '.join(few)}."
        )
    once = np.unique(groups, return_index=True)[1]
    hits = (small_data.nested_predictions(X, labels, groups) == labels)[once]
    ridge = small_data.fit_ridge(X, labels, groups)
    scores = small_data.out_of_fold_scores(X, labels, groups, ridge.alpha)
    signs = np.array([-1, 1]) if len(classes) == 2 else 1  # scikit-learn has one column for two classes
    return PhotoClassifier(
        network,
        network.identities(),
        classes,
        np.asarray(np.atleast_2d(ridge.coef_).T * signs, np.float32),
        np.asarray(ridge.intercept_ * signs, np.float32),
        calibrating_temperature(scores, labels),
        Accuracy(int(hits.sum()), len(hits), "nested"),
    )


def calibrating_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of out-of-fold scores (n, C), by targets that leave room for errors not seen yet.

    If all of a few images are right, their likelihood alone would call the classifier certain. As in Platt (1999), the
    true class is given (n + 1) / (n + 2) instead of 1; the rest goes to the other classes evenly.
    """
    return metrics.temperature(scores, labels, spread=1 / (len(labels) + 2))


# ---- load ------------------------------------------------------------------------------------------------------------
def load(path: Path | str) -> PhotoClassifier:
    """Read a model file. It can run no code, name no file, and unpack to nothing larger than itself.

    Raises:
        LabError: it is missing, damaged, or no model of this version of the lab.
    """
    try:
        return _read(Path(path))
    except FileNotFoundError:
        raise LabError(f"There is no model file {path}: make it by `python -m lab_utils.predict fit`.") from None
    except Exception:  # numpy, zipfile and json raise nearly anything on damaged files
        raise LabError(f"{path} is damaged or no model file of version {VERSION}: fit it again.") from None


def _read(path: Path) -> PhotoClassifier:
    with zipfile.ZipFile(path) as archive:
        _require(all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist()))
    with np.load(path, allow_pickle=False) as file:
        header, arrays = json.loads(bytes(file["header"])), [file["coefficients"], file["intercept"]]
    _require((header["format"], header["version"]) == (FORMAT, VERSION))
    names, identities, classes, size = (header[key] for key in ("names", "identities", "classes", "size"))
    _require(_texts(names) and _texts(identities) and len(names) == len(identities))
    _require(_texts(classes) and len(set(classes)) == len(classes) > 1)
    _require(set(names) <= set(registry.REGISTRY) and header["weights"] in ("imagenet", "random"))
    _require(size is None or (type(size) is int and 1 <= size <= LARGEST))
    width = sum(backbones.backbone(name).width for name in names)
    _require([array.shape for array in arrays] == [(width, len(classes)), (len(classes),)])
    _require(all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays))
    temperature, (hits, n) = header["temperature"], header["nested"]
    _require(type(temperature) is float and math.isfinite(temperature) and temperature > 0)
    _require(type(hits) is int and type(n) is int and 0 <= hits <= n and n > 0)
    network = Network(tuple(names), size, header["weights"])
    return PhotoClassifier(network, identities, classes, *arrays, temperature, Accuracy(hits, n, "nested"))


def _require(true: bool) -> None:
    if not true:
        raise ValueError("foreign or inconsistent")


def _texts(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(type(text) is str for text in values)


# ---- from the shell --------------------------------------------------------------------------------------------------
def main(words: Sequence[str] | None = None) -> int:
    """`fit` or `label`; returns the exit code: 1 where a file was bad, 2 where nothing could be done."""
    quiet()
    environment.match_terminal(sys.stderr)
    options = parser().parse_args(words)
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        environment.drop_output()
        return 2
    except (LabError, OSError) as error:
        print(of_system(error) if isinstance(error, OSError) else error, file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The two commands and their options."""
    top = argparse.ArgumentParser(prog="python -m lab_utils.predict", description=__doc__.split("\n")[0])
    commands = top.add_subparsers(required=True)
    fitting = commands.add_parser("fit", help="fit a classifier on a folder that holds one folder of images a class")
    fitting.add_argument("folder", type=Path)
    fitting.add_argument("--model", type=Path, required=True, help="file to write (.npz)")
    fitting.add_argument("--skip-bad", action="store_true", help="go on without images that can't be read")
    fitting.add_argument(
        "--class-level", type=int, choices=(1, 2), help="the classes are folders in the folder (1) or in those (2)"
    )
    fitting.set_defaults(run=_fit)
    labelling = commands.add_parser("label", help="label image files: CSV to the standard output")
    labelling.add_argument("--model", type=Path, required=True)
    labelling.add_argument("images", nargs="+", type=Path)
    labelling.add_argument("--top", type=int, default=1, help="how many classes an image (default: 1)")
    labelling.set_defaults(run=_label)
    return top


def require_target(path: Path) -> None:
    """Stop before the work where its result could not be written.

    Raises:
        LabError: the path is a folder, or its folder can't be written to.
    """
    if path.is_dir():
        raise LabError(f"--model {path} is a folder: give the file to write.")
    there = next(parent for parent in path.absolute().parents if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise LabError(f"--model {path}: {there} is no folder that can be written to: give another place.")


def _fit(options: argparse.Namespace) -> int:
    require_target(options.model)
    model = fit(
        options.folder,
        progress=lambda line: print(line, file=sys.stderr),
        skip_bad=options.skip_bad,
        class_level=options.class_level,
    )
    model.save(options.model)
    print(f"{options.model}: {len(model.classes)} classes, nested accuracy {model.accuracy}.", file=sys.stderr)
    return 0


def _label(options: argparse.Namespace) -> int:
    if options.top < 1:
        raise LabError(f"--top {options.top}: give the number of classes an image, 1 or more.")
    model = load(options.model)
    good = []
    for path in options.images:
        if problem := decoding.examine(path).problem:
            print(f"{file_names.shown(path)} {problem}: replace it or leave it out.", file=sys.stderr)
        else:
            good.append(path)
    model.label(good, options.top).to_csv(sys.stdout, index=False, float_format="%.4f", lineterminator="\n")
    if missing := len(options.images) - len(good):
        print(f"{missing} of {len(options.images)} images have no label.", file=sys.stderr)
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main())
