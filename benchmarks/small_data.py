"""Which classifier for few images? Repeated nested cross-validation of feature blocks and heads on a folder of photos.

    python benchmarks/small_data.py --images PHOTOS [--networks lite0 lite1 lite2] [--repeats 5]

The folder holds one folder of images a class. The plain probe is a linear SVM (C = 1) on the standardised penultimate
features of the first network. Inner folds choose one of the other candidates; both are tested in the same outer folds.
Printed are both accuracies, the paired gain, and how often each candidate was chosen.
"""

import argparse
from pathlib import Path

import numpy as np

from lab_utils import folder, moments, small_data
from lab_utils.lab import quiet
from lab_utils.small_data import STRENGTHS, Candidate


def read(root: Path, networks: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Features by block name, and labels, of all images of a folder."""
    rows, _ = folder.list_images(root)
    paths = [str(root / file) for file in rows["file"]]
    features: dict[str, np.ndarray] = {}
    for network in networks:
        features |= moments.moments(network, paths)
        print(f"features of {network}: {len(features)} blocks so far", flush=True)
    return features, np.unique(rows["medium"].astype(str), return_inverse=True)[1]


def candidates(names: list[str], networks: list[str]) -> list[Candidate]:
    """Ridge on the blocks of each network and of all together, at several strengths, and on the last layers."""
    blocks = [name for name in names if not name.endswith(" penultimate")]
    groups = {f"blocks of {one}": [name for name in blocks if name.startswith(f"{one}@")] for one in networks}
    if len(networks) > 1:
        groups["blocks of all networks"] = blocks
    groups["last layers"] = [name for name in names if name.endswith(" penultimate")]
    return [Candidate(tuple(group), "ridge", s, title) for title, group in groups.items() for s in STRENGTHS]


def plain_probe(features: dict[str, np.ndarray], network: str) -> Candidate:
    """Linear SVM with C = 1 on standardised columns (blocks are divided by the square root of their width)."""
    name = next(name for name in features if name.startswith(f"{network}@") and name.endswith(" penultimate"))
    return Candidate((name,), "svm", float(features[name].shape[1]), "plain probe")


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["lite0", "lite1", "lite2"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    quiet()
    features, labels = read(options.images, options.networks)
    tried = candidates(list(features), options.networks)
    plain = plain_probe(features, options.networks[0])
    result = small_data.nested_cross_validation(features, labels, tried, plain, repeats=options.repeats)
    print(
        f"{len(labels)} images, {len(np.unique(labels))} classes, {options.repeats} repeats of 3 outer, 2 inner folds"
    )
    print(f"plain probe: {result.accuracy(plain=True)}")
    print(f"chosen:      {result.accuracy()}")
    print(f"gain:        {result.gain()}; by repeat: {np.round(100 * result.gains_by_repeat, 1)} points")
    for name, times in result.times_chosen.items():
        print(f"  {times:3d} × {name}")


if __name__ == "__main__":
    main()
