"""Which classifier for few images? Repeated nested cross-validation of feature blocks and heads on a folder of photos.

    python benchmarks/small_data.py --images PHOTOS [--repeats 10]

The folder holds one folder of images a class. The plain probe is a linear SVM (C = 1) on the standardised penultimate
features of Lite0. Choice and probe meet in the same outer folds. Four choices are compared: the design that the lab
offers, fixed beforehand (only its ridge strength is chosen inside), and everything chosen by the inner folds among many
candidates (networks, layers, sizes, crops, heads): the best one, the best one of inner folds drawn three times, and the
mean of the twenty best. Printed are accuracies, paired gains, and how often each candidate was chosen.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

from lab_utils import predict
from lab_utils.analysis import small_data
from lab_utils.analysis.small_data import AVERAGES, STRENGTHS, Candidate
from lab_utils.core.quiet import quiet
from lab_utils.data import folder
from lab_utils.networks import backbones
from lab_utils.training import block_statistics, features

NETWORKS = ("lite0", "lite1", "lite2")
SIZES = (160, 320)  # of Lite0, beside its own
MIDDLE = "+middle"  # ends the size of blocks that are averaged over the whole image and its middle square
HEADS = (*(("ridge", s) for s in STRENGTHS), ("svm", 3.0), ("kernel", 10.0), ("centroid", 0.0))
TOGETHER = 20


def read(root: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Features by block name, and labels, of all images of a folder."""
    rows, _ = folder.list_images(root)
    paths = [str(root / file) for file in rows["file"]]
    found: dict[str, np.ndarray] = {}
    for network in NETWORKS:
        found |= block_statistics.extract(network, paths) | {f"{network}{AVERAGES}": averages(network, paths)}
    for size in SIZES:
        found |= block_statistics.extract("lite0", paths, size=size)
    found |= with_middle(found, paths)
    return found, np.unique(rows["medium"].astype(str), return_inverse=True)[1]


def averages(network: str, paths: list[str]) -> np.ndarray:
    """Spatial averages of all layers, (n, D), from which each fold makes its full-network embedding."""
    side = backbones.backbone(network).size
    run = features.forward(backbones.build(network, size=side), network, ["averages"])
    batches = features.image_batches(paths, side, "squash", 32)
    return np.concatenate([np.asarray(run(one)["averages"]) for one in batches])


def with_middle(whole: dict[str, np.ndarray], paths: list[str]) -> dict[str, np.ndarray]:
    """Lite0's blocks averaged over the whole image and the square in its middle."""
    side = backbones.backbone("lite0").size
    squares = np.concatenate([np.asarray(one) for one in features.image_batches(paths, side, "crop", 32)])
    middle = block_statistics.extract("lite0", squares.astype(np.uint8))
    return {name.replace(" ", f"{MIDDLE} ", 1): (whole[name] + block) / 2 for name, block in middle.items()}


def groups(names: list[str]) -> dict[str, list[str]]:
    """Sets of blocks by title: single networks, joined ones, other sizes, crops, embeddings."""

    def blocks(*starts: str) -> list[str]:
        return [one for one in names if one.startswith(starts) and not one.endswith((" penultimate", AVERAGES))]

    own = {network: f"{network}@{backbones.backbone(network).size} " for network in NETWORKS}
    last = {network: [f"{start}penultimate"] for network, start in own.items()}
    found = {f"last layer of {one}": last[one] for one in NETWORKS}
    found["last layers joined"] = [one[0] for one in last.values()]
    found |= {f"blocks of {one}": blocks(start) for one, start in own.items()}
    found |= {f"blocks of lite0 at {size}": blocks(f"lite0@{size} ") for size in SIZES}
    found["blocks of lite0, crops pooled"] = blocks(f"{own['lite0'].rstrip()}{MIDDLE} ")
    found["blocks of lite0 at all sizes"] = blocks(own["lite0"], *(f"lite0@{size} " for size in SIZES))
    found["blocks of lite0, lite1"] = blocks(own["lite0"], own["lite1"])
    found["blocks of all networks"] = blocks(*own.values())
    found |= {f"embedding of {one}": [f"{one}{AVERAGES}"] for one in NETWORKS}
    return found | {"embeddings joined": [f"{one}{AVERAGES}" for one in NETWORKS]}


def candidates(names: list[str]) -> list[Candidate]:
    """Every group of blocks with every head."""
    return [Candidate(tuple(g), head, s, title) for title, g in groups(names).items() for head, s in HEADS]


def offered(names: list[str]) -> list[Candidate]:
    """The design of `predict.Recipe` at each ridge strength."""
    title = f"blocks of {', '.join(predict.Recipe().networks)}"
    return [Candidate(tuple(groups(names)[title]), "ridge", s, title) for s in STRENGTHS]


def plain_probe(found: dict[str, np.ndarray]) -> Candidate:
    """Linear SVM on standardised columns; C = 1 for columns of unit spread is C = width for samples of unit length."""
    name = groups(list(found))["last layer of lite0"][0]
    return Candidate((name,), "svm", float(found[name].shape[1]), "plain probe")


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    quiet()
    warnings.filterwarnings("ignore", message="The number of unique classes is greater")
    found, labels = read(options.images)
    fixed, every = offered(list(found)), candidates(list(found))
    print(
        f"{len(labels)} images, {len(np.unique(labels))} classes, {options.repeats} repeats of 3 outer, 2 inner folds"
    )
    for title, tried, more in (
        ("design fixed beforehand, strength chosen inside", fixed, {}),
        ("everything chosen inside, the best", every, {}),
        ("everything chosen inside, the best of inner folds drawn three times", every, {"inner_repeats": 3}),
        (f"everything chosen inside, mean of the {TOGETHER} best", every, {"together": TOGETHER}),
    ):
        nested = small_data.nested_cross_validation
        show(title, tried, nested(found, labels, tried, plain_probe(found), repeats=options.repeats, **more))


def show(title: str, tried: list[Candidate], result: small_data.NestedResult, most: int = 8) -> None:
    """Print both accuracies, the gain and the commonest choices."""
    print(f"\n{title} ({len(tried)} candidates)")
    print(f"  plain probe: {result.accuracy(plain=True)}")
    print(f"  chosen:      {result.accuracy()}")
    print(f"  gain:        {result.gain()}; by repeat: {np.round(100 * result.gains_by_repeat, 1)} points")
    for name, times in list(result.times_chosen.items())[:most]:
        print(f"  {times:3d} × {name}", flush=True)


if __name__ == "__main__":
    main()
