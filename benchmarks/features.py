"""Throughput of feature extraction against the bare forward pass: decoded cache, and JPEG files, in one run.

    python benchmarks/features.py [--network lite0] [--images 512] [--rounds 5]

Each round times the bare pass (`model(x)` in a compiled function, batches already float32 in memory), the bare pass
of the network whose normalisations are merged into its convolutions (what extraction runs), extraction from a decoded
array on disk and extraction from 256-pixel JPEG files, one after the other. Printed are images a second and the
medians over the rounds of the ratios to both bare passes *of the same round*: what else the machine does cancels out.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from lab_utils.core.quiet import quiet
from lab_utils.data import pipeline
from lab_utils.networks import backbones
from lab_utils.networks.fused_batch_norm import fused
from lab_utils.training import features

BATCH = 32


def images(folder: Path, n: int) -> list[Path]:
    """Write n JPEG files of 256 x 256 pixels with structure at several scales."""
    from PIL import Image

    rng, paths = np.random.default_rng(0), []
    for i in range(n):
        layers = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (4, 16, 64)]
        large = [np.asarray(Image.fromarray(layer).resize((256, 256)), np.float32) for layer in layers]
        paths.append(folder / f"{i:05d}.jpg")
        Image.fromarray(np.mean(large, axis=0).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare(model, batches: list) -> None:
    for batch in batches:
        model(batch)


def extraction(network: str, source, folder: Path):
    """What `features.extract` does when nothing is stored, with a network that is built and compiled already."""
    size = backbones.backbone(network).size
    extractor = features.Extractor(network, source, size, "imagenet", "squash", BATCH, list(features.LAYERS))
    extractor.rows(0, 2 * BATCH)

    def work() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as store:
            features.write_store(Path(store), extractor.layers, extractor, len(source), {}, lambda line: None)

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="lite0")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    use = parser.parse_args()
    quiet()
    import tensorflow as tf

    size = backbones.backbone(use.network).size
    network = backbones.build(use.network)
    merged = fused(network)
    plain, quick = (tf.function(lambda x, model=model: model(x, training=False)) for model in (network, merged))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = images(folder, use.images)
        cached = pipeline.decoded(paths, size, folder=folder / "decoded", key="benchmark")
        ready = [
            tf.constant(backbones.preprocess(use.network, cached[start : start + BATCH]))
            for start in range(0, use.images, BATCH)
        ]
        works = [lambda: bare(plain, ready), lambda: bare(quick, ready)]
        works += [extraction(use.network, source, folder) for source in (cached, paths)]
        rows = [[timed(work) for work in works] for _ in range(use.rounds + 1)]  # the first round warms up
    report(np.array(rows[1:]), use.images)


def report(seconds: np.ndarray, n: int) -> None:
    names = ("bare forward pass", "bare pass, merged", "decoded cache", "JPEG")
    for name, column in zip(names, seconds.T, strict=True):
        plain, merged = (np.median(seconds[:, i] / column) for i in (0, 1))
        print(f"{name:18s} {n / np.median(column):7.1f} images/s   ratio {plain:.2f}   to merged {merged:.2f}")


if __name__ == "__main__":
    main()
