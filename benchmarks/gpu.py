"""What a graphics card does with the lab's work, in three minutes: training, extraction, and the card's own limit.

    python benchmarks/gpu.py --json card.json        # on a machine with a card
    python benchmarks/gpu.py --toy                   # without one, tiny: only shows that everything runs

VGG16 at 256 pixels with the settings of run 6 (batches of 300, blocks 1 to 3 frozen, head 512 and 256): by plain
`model.fit` in float32 and bfloat16, with XLA and without, and by `lab.fit` on the kept activations of the frozen blocks
and with augmentation through the whole network. Extraction is compared with the bare pass over images that lie in the
card's memory. Weights and images are random, which changes no speed. What does not fit the time is listed.
"""

import argparse
import datetime
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.core import card, records
from lab_utils.core.quiet import load_tensorflow, quiet
from lab_utils.networks import backbones
from lab_utils.networks.building import building
from lab_utils.networks.random_warp import random_warp
from lab_utils.training import callbacks, features, twin
from lab_utils.training.feeding import Split
from lab_utils.training.fit import fit

CLASSES, MARGIN = 29, 8  # seconds that are left for writing
GFLOP_OF_TRAINED_PART = 47  # an image of VGG16 at 256 behind block 3, forward and back
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured: images, sides in pixels, and which networks."""

    product: int = 8192
    products: int = 20
    side: int = 256
    batch: int = 300
    images: int = 3000
    plain_images: int = 1200
    epochs: int = 4
    head: tuple[int, ...] = (512, 256)
    extracted: int = 1024
    networks: tuple[str, ...] = ("vgg16", "resnet50", "efficientnetb0", "efficientnetb3")
    small: int = 700


TOY = Sizes(64, 2, 32, 4, 8, 8, 2, (8,), 8, ("lite0",), 8)


# ---- networks and images ---------------------------------------------------------------------------------------------
def pictures(count: int, side: int, seed: int = 0) -> Split:
    """Random images with random labels."""
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8), rng.integers(0, CLASSES, count))


def run_six(sizes: Sizes, precision: str | None = None, augment: bool = False, jit: Any = "auto") -> Any:
    """VGG16 as in run 6, compiled, with random weights."""
    import keras

    keras.utils.set_random_seed(0)
    with building(precision or "float32"):
        pixels = keras.Input((sizes.side, sizes.side, 3))
        x = random_warp()(pixels) if augment else pixels
        prepared = backbones.preprocess("vgg16", x)
        base = backbones.build("vgg16", weights="random", size=sizes.side, top=False, input_tensor=prepared)
        backbones.freeze_blocks(base, "vgg16", 3)
        x = keras.layers.Flatten()(base.output)
        for width in sizes.head:
            x = keras.layers.Dropout(0.5)(keras.layers.Dense(width, activation="relu")(x))
        model = keras.Model(pixels, keras.layers.Dense(CLASSES, dtype="float32", name="logits")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2.5e-6), loss, metrics=["accuracy"], jit_compile=jit)
    return model


def rate(images: int, marks: list[float]) -> Numbers:
    """Images a second by the median epoch after the first, and seconds until the first epoch ended."""
    spent = np.diff(marks)
    return {"images/s": images / float(np.median(spent[1:])), "first epoch, s": float(spent[0])}


# ---- what is measured ------------------------------------------------------------------------------------------------
def matrix_product(sizes: Sizes, kind: str) -> Numbers:
    """Multiplications of square matrices that the card does: the limit of everything below."""
    import tensorflow as tf

    n = sizes.product
    matrix = tf.cast(tf.random.stateless_normal((n, n), (0, 0)) / n**0.5, kind)

    @tf.function
    def repeated(x: Any) -> Any:
        for _ in range(sizes.products):
            x = tf.matmul(x, matrix)
        return tf.reduce_sum(tf.cast(x, tf.float32))

    repeated(matrix).numpy()
    start = time.perf_counter()
    repeated(matrix).numpy()
    return {"TFLOP/s": 2 * n**3 * sizes.products / (time.perf_counter() - start) / 1e12}


def plain_fit(sizes: Sizes, precision: str | None, jit: Any) -> Numbers:
    """`model.fit` on arrays in main memory."""
    import keras

    train, marks = pictures(sizes.plain_images, sizes.side), [time.perf_counter()]
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: marks.append(time.perf_counter()))
    model, inputs = run_six(sizes, precision, jit=jit), train.inputs.astype("float32")
    marks[0] = time.perf_counter()
    model.fit(inputs, train.labels, sizes.batch, max(2, sizes.epochs - 1), verbose=0, callbacks=[told])
    return rate(len(train), marks)


def lab_fit(sizes: Sizes, augment: bool = False, deterministic: bool = False, repeats: int = 1) -> Numbers:
    """`lab.fit`, evaluation after each epoch included; of several trainings of one seed also how far they part."""
    train, val = pictures(sizes.images, sizes.side), pictures(max(4, sizes.batch // 10), sizes.side, 1)
    before = os.environ.get(twin.DETERMINISTIC, "")
    os.environ[twin.DETERMINISTIC] = "1" if deterministic else before
    rates, losses = [], []
    try:
        with tempfile.TemporaryDirectory() as folder:  # the kept activations are shared, the trainings are not
            for number in range(repeats):
                marks = [time.perf_counter()]

                def told(line: str, marks: list[float] = marks) -> None:
                    if line.startswith("  epoch"):
                        marks.append(time.perf_counter())

                more = {"epochs": sizes.epochs, "batch": sizes.batch, "folder": Path(folder), "progress": told}
                run = fit(run_six(sizes, augment=augment), train, val, title=f"{number}", **more)
                rates.append(rate(len(train), marks))
                losses.append(float(run.history["cross_entropy"].iloc[-1]))
                _forget(Path(folder) / "models")
    finally:
        os.environ[twin.DETERMINISTIC] = before
    best = max(rates, key=lambda numbers: numbers["images/s"])
    numbers = {**best, "first epoch, s": rates[0]["first epoch, s"]}
    numbers["TFLOP/s behind block 3"] = numbers["images/s"] * GFLOP_OF_TRAINED_PART * (sizes.side / 256) ** 2 / 1e3
    return numbers | ({"spread of the last loss": max(losses) - min(losses)} if repeats > 1 else {})


def _forget(folder: Path) -> None:
    """Remove trained networks, so that the next training of the same one begins anew."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def extraction(sizes: Sizes, network: str) -> Numbers:
    """What `features.extract` does with images in main memory, and the bare pass over images that the device holds."""
    import tensorflow as tf

    size, batch, layers = backbones.check_size(network, None)[0], 32, list(features.LAYERS)
    images = pictures(sizes.extracted, size).inputs
    extractor = features.Extractor(network, images, size, "random", batch, layers)
    extractor.rows(0, 2 * batch)
    start = time.perf_counter()
    extractor.rows(0, len(images))
    ours = time.perf_counter() - start
    held = tf.Variable(images, trainable=False)

    def bare() -> None:
        answers = None
        for first in range(0, len(images), batch):
            answers = extractor.forward(tf.gather(held, tf.range(first, min(first + batch, len(images)))))
        answers[layers[-1]].numpy()

    bare()
    start = time.perf_counter()
    bare()
    passed = time.perf_counter() - start
    return {"images/s": len(images) / ours, "bare pass, images/s": len(images) / passed, "ratio": passed / ours}


def sample_size(sizes: Sizes) -> Numbers:
    """Lite0 at 96 pixels, the sample's fine-tuning: few images, so that compiling counts."""
    import keras

    keras.utils.set_random_seed(0)
    base = backbones.frozen_base("lite0", 4, weights="random", size=96)
    pixels = keras.Input((96, 96, 3))
    x = keras.layers.GlobalAveragePooling2D()(base(backbones.preprocess("lite0", pixels)))
    model = keras.Model(pixels, keras.layers.Dense(CLASSES, name="logits")(x))
    model.compile(keras.optimizers.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    marks = [time.perf_counter()]
    told = lambda line: marks.append(time.perf_counter()) if line.startswith("  epoch") else None  # noqa: E731
    with tempfile.TemporaryDirectory() as folder:
        more = {"epochs": 3, "batch": min(24, sizes.small), "folder": Path(folder), "progress": told}
        fit(model, pictures(sizes.small, 96), pictures(max(4, sizes.small // 3), 96, 1), **more)
    return rate(sizes.small, marks)


def measurements(sizes: Sizes) -> list[tuple[str, float, Callable[[], Numbers]]]:
    """Name, seconds that it may take on a large card, and what measures it; the most telling first."""
    named = [
        ("matrix product, bfloat16", 4, lambda: matrix_product(sizes, "bfloat16")),
        ("lab.fit, kept front", 25, lambda: lab_fit(sizes, repeats=3)),
        ("lab.fit, augmented, whole network", 20, lambda: lab_fit(sizes, augment=True)),
        ("model.fit, bfloat16, XLA auto", 15, lambda: plain_fit(sizes, "mixed_bfloat16", "auto")),
        ("model.fit, bfloat16, no XLA", 12, lambda: plain_fit(sizes, "mixed_bfloat16", False)),
        ("model.fit, float32, XLA auto", 15, lambda: plain_fit(sizes, None, "auto")),
        ("model.fit, float32, no XLA", 12, lambda: plain_fit(sizes, None, False)),
    ]
    named += [(f"extraction, {name}", 10, lambda name=name: extraction(sizes, name)) for name in sizes.networks]
    named += [
        ("sample: Lite0 at 96 pixels", 15, lambda: sample_size(sizes)),
        ("matrix product, float32 (TF32)", 4, lambda: matrix_product(sizes, "float32")),
        ("lab.fit, the same bits each time", 20, lambda: lab_fit(sizes, deterministic=True, repeats=2)),
    ]
    return named  # the last one fixes the order of sums for the whole process


# ---- telling ---------------------------------------------------------------------------------------------------------
def measure(sizes: Sizes, seconds: float, only: Sequence[str] = ("",)) -> tuple[dict[str, Numbers], list[str]]:
    """Numbers by name, and the names of what did not fit the time; what fails says why in its place."""
    end, told, left_out = time.perf_counter() + seconds - MARGIN, {}, []
    for name, expected, work in measurements(sizes):
        if not any(part in name for part in only):
            continue
        if time.perf_counter() + expected > end:
            left_out.append(name)
            continue
        start = time.perf_counter()
        try:
            numbers = work()
        except Exception as error:  # one that needs too much memory must not hide the others
            numbers = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:120]}
        told[name] = {**numbers, "in all, s": time.perf_counter() - start}
        print(f"| {name} | {words(numbers)} | {told[name]['in all, s']:.1f} |", flush=True)
    return told, left_out


def words(numbers: Numbers) -> str:
    """`1,323 images/s · first epoch, s: 4.1`."""
    shown = {key: value if isinstance(value, str) else f"{value:,.4g}" for key, value in numbers.items()}
    return " · ".join(f"{key}: {value}" for key, value in shown.items())


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="tiny sizes, on whatever there is")
    parser.add_argument("--seconds", type=float, default=180, help="that it may take")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORDS", help="what has these words in its name")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    options = parser.parse_args(words)
    answer = card.look()
    if not answer.usable and not options.toy:
        print(answer.sentence or "There is no graphics card here, so nothing is measured (--toy runs without one).")
        return 1
    quiet()
    load_tensorflow()
    twin.prepare_device()
    callbacks.SHOWN_EVERY = 0
    today = datetime.date.today().isoformat()
    print(f"{answer.words}; {today}; VGG16 at 256 pixels, batches of 300, where nothing else is said\n")
    print("| work | measured | seconds in all |\n|---|---|---|")
    told, left_out = measure(TOY if options.toy else Sizes(), options.seconds, options.only)
    print(f"\nDid not fit the time: {', '.join(left_out) or 'nothing'}.")
    if options.json:
        about = {"date": today, "card": answer, "toy": options.toy, "hardware": records.hardware()}
        records.write_json(options.json, {**about, "measured": told, "left out": left_out})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
