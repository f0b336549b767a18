"""A classifier for a user's own photos: fitted on a folder of class folders, kept in one file, used on new files.

    python -m lab_utils.predict fit PHOTOS --model my.npz
    python -m lab_utils.predict label --model my.npz new1.jpg new2.png --top 3 > labels.csv

The recipe came out of trials on 157 photographs (`benchmarks/README.md` says what it gains). Probabilities are
calibrated: a temperature is fitted on out-of-fold scores, so that "0.7" is right about seven times in ten on images
like these.
"""

import argparse
import csv
import json
import math
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.analysis import small_data
from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.core.quiet import quiet
from lab_utils.data import decoding, folder
from lab_utils.networks import backbones
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Accuracy
from lab_utils.training import block_statistics

FORMAT, VERSION = "lab_utils.predict", 1
ARRAYS = ("mean", "scale", "coefficients", "intercept")
FOLDS = 5  # at most; as many as the smallest class has images
DAMAGE = (  # what numpy, zipfile, zlib and json raise on files that are damaged or something else
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, OverflowError, MemoryError),
    *(RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error),
)


@dataclass(frozen=True)
class Recipe:
    """What the classifier reads and how strongly it is held back.

    Attributes:
        networks: names in the registry, each at its size; their blocks are joined, each with the same weight.
        sizes: input in pixels, one a network; 0: native.
        strength: ridge penalty, relative to the mean squared norm of a sample.
        weights: `imagenet`, or `random` for tests.
    """

    networks: tuple[str, ...] = ("lite0", "lite1")
    sizes: tuple[int, ...] = (0, 0)
    strength: float = 0.1
    weights: str = "imagenet"

    def features(self, chosen: Any) -> dict[str, np.ndarray]:
        """Blocks (n, d) by name of images given as paths or pixels; see `block_statistics.extract`."""
        blocks: dict[str, np.ndarray] = {}
        for network, size in zip(self.networks, self.sizes, strict=True):
            blocks |= block_statistics.extract(network, chosen, size=size or None, weights=self.weights)
        return {name: block for name, block in blocks.items() if not name.endswith(" penultimate")}

    def identities(self) -> list[str]:
        """What stands for the weights of each network (`backbones.weights_id`)."""
        return [backbones.weights_id(network, self.weights) for network in self.networks]


@dataclass
class Classifier:
    """A fitted classifier.

    Attributes:
        recipe: what it was made by.
        classes: their names, in the order of the columns.
        standardise: of the joined features, fitted on all images.
        coefficients: shape (D, C).
        intercept: shape (C,).
        temperature: by which scores are divided before the softmax.
        accuracy: out of fold, on the images it was fitted on.
        identities: of the networks' weights.
    """

    recipe: Recipe
    classes: list[str]
    standardise: small_data.Standardised
    coefficients: np.ndarray
    intercept: np.ndarray
    temperature: float
    accuracy: Accuracy
    identities: list[str]

    def probabilities(self, paths: Sequence[Path | str]) -> np.ndarray:
        """Calibrated class probabilities of image files, shape (n, classes).

        Raises:
            LabError: a file is no whole image, or this machine's weights are not those it was fitted with.
        """
        for path in paths:
            require_image(Path(path))
        if self.recipe.identities() != self.identities:
            networks = ", ".join(self.recipe.networks)
            raise LabError(f"The weights of {networks} on this machine are not those of the model: fit it again.")
        return self.of_features(self.recipe.features([str(path) for path in paths]))

    def of_features(self, blocks: dict[str, np.ndarray]) -> np.ndarray:
        """The same of features (n, d) by block name, as `Recipe.features` gives them."""
        scores = self.standardise(list(blocks.values())) @ self.coefficients + self.intercept
        return metrics.softmax(scores / self.temperature)

    def predict(self, paths: Sequence[Path | str], top: int = 1) -> list[list[tuple[str, float]]]:
        """The `top` likeliest classes of each file with their probabilities, likeliest first."""
        found = self.probabilities(paths)
        order = np.argsort(-found, axis=1, kind="stable")[:, :top]
        return [[(self.classes[k], float(row[k])) for k in best] for row, best in zip(found, order, strict=True)]

    def save(self, path: Path | str) -> Path:
        """Write the model as one .npz file without pickle: arrays, and a header as JSON; whole or not at all."""
        header = {"format": FORMAT, "version": VERSION, "recipe": asdict(self.recipe), "classes": self.classes}
        header |= {"temperature": self.temperature, "weights": self.identities}
        header |= {
            "widths": self.standardise.widths,
            "out_of_fold": [self.accuracy.successes, self.accuracy.n],
            "made_by": records.versions("numpy"),
        }
        arrays = dict(zip(ARRAYS, self._arrays(), strict=True))

        def write(temporary: Path) -> None:
            with temporary.open("wb") as handle:
                np.savez(handle, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)

        return records.write_atomic(path, write)

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.standardise.mean, self.standardise.scale, self.coefficients, self.intercept


def require_image(path: Path) -> None:
    """Stop at a file that is missing or no whole image, with a sentence."""
    problem = decoding.examine(path).problem
    if problem:
        raise LabError(f"{path} {problem}: replace it or leave it out.")


# ---- fit and load ----------------------------------------------------------------------------------------------------
def fit(root: Path | str, recipe: Recipe | None = None, progress: Callable[[str], Any] = print) -> Classifier:
    """Fit the recommended classifier on a folder that holds one folder of images a class.

    Args:
        root: the folder; `train/ val/ test/` above the classes are read as one.
        recipe: another one than the recommended.
        progress: gets a line now and then.

    Returns:
        A classifier fitted on all images, its temperature on out-of-fold scores (see `calibrating_temperature`).

    Raises:
        LabError: no such folder, fewer than two classes, a class with a single image, or bad images (all named).
    """
    root, recipe = Path(root), recipe or Recipe()
    if not root.is_dir():
        raise LabError(f"There is no folder {root}: give the folder that holds one folder a class.")
    rows, _ = folder.list_images(root)
    if rows["medium"].nunique() < 2:
        raise LabError(f"{root} has {rows['medium'].nunique()} class folders with images: at least two are needed.")
    decoding.require_good(decoding.examine_all(root, rows["file"], progress=progress), root)
    classes, labels = np.unique(rows["medium"].astype(str), return_inverse=True)
    progress(f"{len(rows):,} images of {len(classes)} classes: features of {', '.join(recipe.networks)}")
    blocks = recipe.features([str(root / file) for file in rows["file"]])
    return fit_features(blocks, labels, [str(name) for name in classes], recipe)


def fit_features(blocks: dict[str, np.ndarray], labels: np.ndarray, classes: list[str], recipe: Recipe) -> Classifier:
    """Fit on features (n, d) by block name and labels (n,) that index `classes`.

    Raises:
        LabError: a class has a single image.
    """
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        few = ", ".join(name for name, count in zip(classes, counts, strict=True) if count < 2)
        raise LabError(f"A single image is too few for a class: add images to {few}.")
    tried = small_data.Candidate(tuple(blocks), "ridge", recipe.strength)
    folds = min(FOLDS, counts.min())
    scores = small_data.cross_scores(blocks, labels, tried, folds)
    standardise = small_data.Standardised.fit(list(blocks.values()))
    head = small_data.make_head("ridge", recipe.strength).fit(standardise(list(blocks.values())), labels)
    signs = np.array([-1, 1]) if len(classes) == 2 else 1  # one column for two classes
    return Classifier(
        recipe,
        classes,
        standardise,
        np.asarray(np.atleast_2d(head.coef_).T * signs, np.float32),
        np.asarray(head.intercept_ * signs, np.float32),
        calibrating_temperature(scores, labels),
        Accuracy.from_labels(labels, scores.argmax(1), "out of fold"),
        recipe.identities(),
    )


def calibrating_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of out-of-fold scores (n, C), by targets that leave room for errors not seen yet.

    If all of a few images are right, their likelihood alone would call the classifier certain. As in Platt (1999), the
    true class is given (n + 1) / (n + 2) instead of 1; the rest goes to the other classes evenly.
    """
    return metrics.temperature(scores, labels, spread=1 / (len(labels) + 2))


def load(path: Path | str) -> Classifier:
    """Read a model file.

    Raises:
        LabError: it is missing, truncated, or no model of this version of the lab.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header, arrays = json.loads(bytes(file["header"])), [file[name] for name in ARRAYS]
        return _assembled(header, *arrays)
    except FileNotFoundError:
        raise LabError(f"There is no model file {path}: make it by `python -m lab_utils.predict fit`.") from None
    except DAMAGE:
        raise LabError(f"{path} is truncated or no model file of version {VERSION}: fit it again.") from None


def _assembled(header: dict[str, Any], *arrays: np.ndarray) -> Classifier:
    """Put a model together; ValueError where header and arrays are not of one model."""
    mean, scale, coefficients, intercept = arrays
    classes, widths, identities = (header[key] for key in ("classes", "widths", "weights"))
    _require((header["format"], header["version"]) == (FORMAT, VERSION))
    _require(_all(classes, str) and len(classes) > 1 and _all(widths, int) and _all(identities, str))
    _require(all(one.dtype.kind == "f" and np.isfinite(one).all() for one in arrays))
    _require(mean.shape == scale.shape == (sum(widths),))
    _require(coefficients.shape == (len(mean), len(classes)) and intercept.shape == (len(classes),))
    recipe, temperature, (hits, n) = _recipe(header["recipe"]), header["temperature"], header["out_of_fold"]
    _require(len(identities) == len(recipe.networks) and _positive(temperature) and 0 <= hits <= n and n > 0)
    standardise = small_data.Standardised(mean, scale, tuple(widths))
    accuracy = Accuracy(hits, n, "out of fold")
    return Classifier(recipe, classes, standardise, coefficients, intercept, temperature, accuracy, identities)


def _recipe(values: dict[str, Any]) -> Recipe:
    """The recipe in a header; ValueError where a value is not of its kind."""
    networks, sizes = values["networks"], values["sizes"]
    _require(_all(networks, str) and _all(sizes, int) and len(networks) == len(sizes) and min(sizes) >= 0)
    _require(_positive(values["strength"]) and isinstance(values["weights"], str))
    return Recipe(**values | {"networks": tuple(networks), "sizes": tuple(sizes)})


def _require(true: bool) -> None:
    if not true:
        raise ValueError("foreign or inconsistent")


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and bool(values) and all(type(one) is kind for one in values)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


# ---- from the shell --------------------------------------------------------------------------------------------------
def main(words: Sequence[str] | None = None) -> int:
    """`fit` or `label`; returns the exit code: 1 where a file was bad, 2 where nothing could be done."""
    quiet()
    options = parser().parse_args(words)
    try:
        return options.run(options)
    except LabError as error:
        print(error, file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The two commands and their options."""
    top = argparse.ArgumentParser(prog="python -m lab_utils.predict", description=__doc__.split("\n")[0])
    commands = top.add_subparsers(required=True)
    one = commands.add_parser("fit", help="fit a classifier on a folder that holds one folder of images a class")
    one.add_argument("folder", type=Path)
    one.add_argument("--model", type=Path, required=True, help="file to write (.npz)")
    one.set_defaults(run=_fit)
    two = commands.add_parser("label", help="label image files: CSV to the standard output")
    two.add_argument("--model", type=Path, required=True)
    two.add_argument("images", nargs="+", type=Path)
    two.add_argument("--top", type=int, default=1, help="how many classes an image (default: 1)")
    two.set_defaults(run=_label)
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
    model = fit(options.folder, progress=lambda line: print(line, file=sys.stderr))
    model.save(options.model)
    print(f"{options.model}: {len(model.classes)} classes, out of fold {model.accuracy}.", file=sys.stderr)
    return 0


def _label(options: argparse.Namespace) -> int:
    if options.top < 1:
        raise LabError(f"--top {options.top}: give the number of classes an image, 1 or more.")
    model, problems = load(options.model), [(path, decoding.examine(path).problem) for path in options.images]
    for path, problem in problems:
        if problem:
            print(f"{path} {problem}: replace it or leave it out.", file=sys.stderr)
    good = [path for path, problem in problems if not problem]
    found = model.predict(good, options.top) if good else []  # before the table begins: it may stop
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["file", "rank", "class", "probability"])
    for path, ranks in zip(good, found, strict=True):
        table.writerows([path, rank, name, f"{value:.4f}"] for rank, (name, value) in enumerate(ranks, 1))
    return int(len(good) < len(problems))


if __name__ == "__main__":
    sys.exit(main())
