"""Seconds of training by `lab.fit` beside plain `model.fit`, in one run.

Three questions, each with all sides in turn on the same network, random weights and images: what an epoch and what
compiling costs (Lite0 at 96 pixels, batches of 24, nothing frozen; of `lab.fit` evaluation of val and of clean train
images included); how much faster than plain float32 `model.fit` fine-tuning is (VGG16 at 224, blocks 1 to 3
frozen, batches of 32); how long an epoch of a head on pooled features takes (20,300 rows). Seconds of the processor
stand beside the clock's: other programs touch them less. What is said to be compiling is the first epoch (key, copy,
compiled steps, first evaluation) without a later one.

    python benchmarks/training.py [--images 290] [--epochs 5] [--large 64] [--only lite0 vgg16 head]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.core.quiet import quiet
from lab_utils.networks import backbones
from lab_utils.training import callbacks
from lab_utils.training.feeding import Split
from lab_utils.training.fit import fit
from lab_utils.training.twin import half_precision, prepare_device

CLASSES, FEATURES = 29, 1280
Marks = list[tuple[float, float]]


def network(name: str, size: int, frozen: int, head: tuple[int, ...], flatten: bool = False) -> Any:
    """A compiled network from pixels of 0..255 to logits, with random weights."""
    import keras

    keras.utils.set_random_seed(0)
    base = backbones.frozen_base(name, frozen, weights="random", size=size)
    pixels = keras.Input((size, size, 3))
    prepared = (pixels - 127.0) / 128.0 if name == "lite0" else keras.applications.vgg16.preprocess_input(pixels)
    x = base(prepared)
    x = keras.layers.Flatten()(x) if flatten else keras.layers.GlobalAveragePooling2D()(x)
    for width in head:
        x = keras.layers.Dense(width, activation="relu")(x)
    return compiled(keras.Model(pixels, keras.layers.Dense(CLASSES, name="logits")(x)))


def compiled(model: Any) -> Any:
    import keras

    model.compile(keras.optimizers.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def by_fit(model: Any, train: Split, val: Split, epochs: int, batch: int, **more: Any) -> Marks:
    """Clock and processor time at the beginning and after each epoch of `fit`."""
    marks = [now()]
    with tempfile.TemporaryDirectory() as folder:
        told = lambda line: marks.append(now()) if line.startswith("  epoch") else None  # noqa: E731
        fit(model, train, val, epochs=epochs, batch=batch, folder=Path(folder), progress=told, **more)
    return marks


def by_keras(model: Any, train: Split, epochs: int, batch: int) -> Marks:
    """The same of plain `model.fit`, without any evaluation."""
    import keras

    marks = [now()]
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: marks.append(now()))
    model.fit(train.inputs.astype("float32"), train.labels, batch, epochs, verbose=0, callbacks=[told])
    return marks


def seconds(marks: Marks) -> tuple[float, float, float]:
    """Clock and processor seconds of an epoch (median without the first), processor seconds of the first beyond."""
    spent = np.diff(np.array(marks), axis=0)
    clock, processor = np.median(spent[1:], axis=0)
    return clock, processor, spent[0, 1] - processor


def table(title: str, rows: dict[str, list[Marks]], images: int, first: str) -> None:
    """Print medians over turns; ratios are to `first`."""
    medians = {name: np.median([seconds(marks) for marks in turns], axis=0) for name, turns in rows.items()}
    print(f"\n| {title} | s/epoch | ratio | processor-s/epoch | ratio | images/s | compiling, processor-s |")
    print("|---|---|---|---|---|---|---|")
    for name, (clock, processor, more) in medians.items():
        ratios = clock / medians[first][0], processor / medians[first][1]
        print(
            f"| {name} | {clock:.2f} | {ratios[0]:.2f} | {processor:.2f} | {ratios[1]:.2f} | {images / clock:.1f} |",
            end="",
        )
        print(f" {more:.1f} |")


def turns(sides: dict[str, Callable[[], Marks]], count: int) -> dict[str, list[Marks]]:
    """Time all sides in turn, so that what else the machine does hits all."""
    marks: dict[str, list[Marks]] = {name: [] for name in sides}
    for _ in range(count):
        for name, run in sides.items():
            marks[name].append(run())
    return marks


def main() -> None:
    """Measure and print three tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=290, help="train images of Lite0")
    options.add_argument("--large", type=int, default=64, help="train images of VGG16")
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--turns", type=int, default=2)
    options.add_argument("--only", nargs="*", default=["lite0", "vgg16", "head"])
    chosen = options.parse_args()
    quiet()
    prepare_device()
    callbacks.SHOWN_EVERY = 0
    rng = np.random.default_rng(0)

    def pictures(n: int, size: int) -> Split:
        return Split(rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8), rng.integers(0, CLASSES, n))

    if "lite0" in chosen.only:
        train, val = pictures(chosen.images, 96), pictures(chosen.images // 2, 96)
        lite = lambda: network("lite0", 96, 0, (64,))  # noqa: E731
        sides = {"plain model.fit": lambda: by_keras(lite(), train, chosen.epochs, 24)}
        sides["lab.fit"] = lambda: by_fit(lite(), train, val, chosen.epochs, 24)
        title = f"Lite0 at 96 px, {chosen.images} train images"
        table(title, turns(sides, chosen.turns), chosen.images, "plain model.fit")
    if "vgg16" in chosen.only:
        train, val = pictures(chosen.large, 224), pictures(8, 224)
        vgg = lambda: network("vgg16", 224, 3, (512, 256), flatten=True)  # noqa: E731
        sides = {"plain model.fit, float32": lambda: by_keras(vgg(), train, 3, 32)}
        sides["lab.fit, float32"] = lambda: by_fit(vgg(), train, val, 3, 32, precision=None)
        sides[f"lab.fit, {half_precision()}"] = lambda: by_fit(vgg(), train, val, 3, 32)
        title = f"VGG16 at 224 px, {chosen.large} train images, blocks 1 to 3 frozen"
        table(title, turns(sides, 1), chosen.large, "plain model.fit, float32")
    if "head" in chosen.only:
        import keras

        features = [
            Split(rng.normal(size=(n, FEATURES)).astype("float32"), rng.integers(0, CLASSES, n)) for n in (20300, 1450)
        ]

        def head(batch: int) -> Marks:
            inputs = keras.Input((FEATURES,))
            return by_fit(compiled(keras.Model(inputs, keras.layers.Dense(CLASSES)(inputs))), *features, 4, batch)

        sides = {f"batches of {batch}": lambda batch=batch: head(batch) for batch in (300, 128, 32)}
        table("a head on 20,300 × 1,280 features", turns(sides, 1), 20300, "batches of 300")


if __name__ == "__main__":
    main()
