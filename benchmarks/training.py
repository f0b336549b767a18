"""Images a second in fine-tuning: a plain `model.fit` against cached activations and half precision, in one run.

Both sides train the same network (blocks 1 to 3 frozen, the head of run 3, batches of 32, random weights, random
images) and are timed in turn, so that what else the machine does hits both. Seconds of the processor stand beside the
clock's: their ratio is little touched by other programs. Both sides are bare epochs: what `fit` adds to ours
(operations that repeat bit for bit, evaluation of val and of clean train images, checkpoints) and filling the cache are
left out. Two heads are timed alone on cached features: one dense layer on averages, and run 3's on the flattened map.

    python benchmarks/training.py [--network vgg16] [--size 224] [--images 64] [--repeats 3]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lab_utils.core.quiet import quiet
from lab_utils.training import fine_tuning, loop, recipes
from lab_utils.training.frozen_front import Computed

CLASSES, BATCH = 29, 32


def plain(one: recipes.FineTuningRecipe, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """Float32 `model.fit` through the whole network."""
    import keras

    model = fine_tuning.network(one, CLASSES, weights="random")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(one.learning_rate), loss, metrics=["accuracy"])
    inputs = fine_tuning.prepare(one, images)
    return lambda: model.fit(inputs, labels, batch_size=BATCH, verbose=0)


def ours(
    one: recipes.FineTuningRecipe, images: np.ndarray, labels: np.ndarray, precision: str, cache: bool
) -> Callable:
    """The lab's loop on what follows the frozen blocks; without cache they are computed in every epoch."""
    import keras

    model = fine_tuning.network(one, CLASSES, weights="random", precision=precision)
    cut = fine_tuning.cut(model, one)
    prefix, rest = keras.Model(model.input, cut), keras.Model(cut, model.output)
    activations = Computed(images, fine_tuning.frozen_part(prefix, one))
    inputs = np.concatenate([activations[i : i + BATCH].numpy() for i in range(0, len(images), BATCH)])
    examples = loop.Examples(inputs if cache else activations, labels)
    trainer = loop.Trainer(rest, precision=precision, input_dtype=prefix.compute_dtype)
    return lambda: trainer.train_epoch(examples, one.plan, 0)


def measure(sides: dict[str, Callable[[], None]], images: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Images a second by the clock and by processor time (median of repeats, after one warm-up pass)."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, run in sides.items():
            clock, processor = time.perf_counter(), time.process_time()
            run()
            if turn:
                seconds[name].append((time.perf_counter() - clock, time.process_time() - processor))
    return {
        name: tuple(images / statistics.median(one[i] for one in found) for i in (0, 1))
        for name, found in seconds.items()
    }


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--network", default="vgg16")
    options.add_argument("--size", type=int, default=224)
    options.add_argument("--images", type=int, default=64)
    options.add_argument("--repeats", type=int, default=3)
    chosen = options.parse_args()
    quiet()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (chosen.images, chosen.size, chosen.size, 3), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, chosen.images)
    one = replace(recipes.RUN3, network=chosen.network, size=chosen.size, batch=BATCH, dropout=0.0)
    heads = {"one layer on averages": replace(one, frozen=5, head=(), pooling="average", l2=0.0)}
    heads["run 3's on the flattened map"] = replace(one, frozen=5)
    half = loop.best_precision()
    sides = {"plain model.fit, float32": plain(one, images, labels)}
    sides["cache, float32"] = ours(one, images, labels, "float32", True)
    if half != "float32":
        sides[f"{half}, no cache"] = ours(one, images, labels, half, False)
        sides[f"cache and {half}"] = ours(one, images, labels, half, True)
    found = measure(sides, chosen.images, chosen.repeats)
    many = np.resize(images, (128, *images.shape[1:]))
    alone = {name: ours(head, many, np.resize(labels, 128), "float32", True) for name, head in heads.items()}
    for name, speed in measure(alone, 128, 3 * chosen.repeats).items():
        found[f"head alone on cached features: {name}"] = speed
    first = found["plain model.fit, float32"]
    print(
        f"{chosen.network} at {chosen.size} px, {chosen.images} images, batches of {BATCH}; the machine's best: {half}"
    )
    print("| side | images/s | ratio | images/processor-s | ratio |\n|---|---|---|---|---|")
    for name, (clock, processor) in found.items():
        print(f"| {name} | {clock:.1f} | {clock / first[0]:.2f} | {processor:.1f} | {processor / first[1]:.2f} |")


if __name__ == "__main__":
    main()
