"""The lab's depthwise kernel gradient and Adam against TensorFlow's and Keras's, in one run and in turn.

    python benchmarks/fast_ops.py [--repeats 30] [--threads 1]

Shapes are those of EfficientNet-Lite0's trained blocks, at the sample's 96 pixels and at 224; Adam moves 3.4 million
weights, as many as those blocks and the head have. Printed are median milliseconds and the ratio.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

from lab_utils.core.quiet import load_tensorflow
from lab_utils.networks import fast_ops

SHAPES = ((16, 3, 1152), (32, 14, 480), (32, 7, 1152))  # images, side, channels
KERNEL = 5


def gradients(images: int, side: int, channels: int) -> list[Callable[[], object]]:
    """TensorFlow's way and ours for one layer."""
    import tensorflow as tf

    random = tf.random.Generator.from_seed(0)
    x, filters = random.normal((images, side, side, channels)), random.normal((KERNEL, KERNEL, channels, 1))
    strides = (1, 1, 1, 1)
    upstream = random.normal(tf.nn.depthwise_conv2d(x, filters, strides, "SAME").shape)
    plain = tf.nn.depthwise_conv2d_backprop_filter
    return [
        tf.function(lambda: plain(x, filters.shape, upstream, strides, "SAME")),
        tf.function(lambda: fast_ops.depthwise_kernel_gradient(x, upstream, KERNEL, "SAME")),
    ]


def adams(weights: int = 3_400_000, variables: int = 20) -> list[Callable[[], object]]:
    """One step of Keras's Adam and of ours."""
    import keras
    import tensorflow as tf

    steps = []
    for kind in (keras.optimizers.Adam, fast_ops.adam()):
        moved = [keras.Variable(tf.zeros(weights // variables)) for _ in range(variables)]
        given = [tf.ones(array.shape) for array in moved]
        optimizer = kind()
        optimizer.build(moved)
        steps.append(tf.function(partial(optimizer.apply, given, moved), autograph=False))
    return steps


def milliseconds(sides: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median milliseconds of each side, in turn, after two warm-up calls."""
    milliseconds: list[list[float]] = [[] for _ in sides]
    for turn in range(repeats + 2):
        for side, run in enumerate(sides):
            start = time.perf_counter()
            run()
            if turn > 1:
                milliseconds[side].append(1e3 * (time.perf_counter() - start))
    return [statistics.median(spent) for spent in milliseconds]


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=30)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    load_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(chosen.threads)
    print("| operation | plain (ms) | the lab's (ms) | ratio |\n|---|---|---|---|")
    sides = {f"depthwise gradient, {n} x {s} x {s} x {c}": gradients(n, s, c) for n, s, c in SHAPES}
    sides["Adam, 3.4 million weights"] = adams()
    for name, both in sides.items():
        plain, ours = milliseconds(both, chosen.repeats)
        print(f"| {name} | {plain:.2f} | {ours:.2f} | {plain / ours:.1f} |")


if __name__ == "__main__":
    main()
