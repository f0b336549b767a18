"""Which classifier for few images? Repeated nested cross-validation of feature blocks and heads on a folder of photos.

    python benchmarks/small_data.py --images PHOTOS [--networks lite0 lite1] [--repeats 10]

The folder holds one folder of images a class. The plain probe is a linear SVM (C = 1) on the standardised penultimate
features of the first network. Inner folds choose among the candidates; choice and probe meet in the same outer folds.
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


def candidates(names: list[str], networks: list[str], singly: bool = False) -> list[Candidate]:
    """Ridge on the joined blocks of all networks (and, `singly`, on those of each) at several strengths."""
    blocks = [name for name in names if not name.endswith(" penultimate")]
    groups = {"blocks of all networks": blocks}
    if singly and len(networks) > 1:
        groups |= {f"blocks of {one}": [name for name in blocks if name.startswith(f"{one}@")] for one in networks}
    return [Candidate(tuple(group), "ridge", s, title) for title, group in groups.items() for s in STRENGTHS]


def plain_probe(features: dict[str, np.ndarray], network: str) -> Candidate:
    """Linear SVM on standardised columns; C = 1 for columns of unit spread is C = width for samples of unit length."""
    name = next(name for name in features if name.startswith(f"{network}@") and name.endswith(" penultimate"))
    return Candidate((name,), "svm", float(features[name].shape[1]), "plain probe")


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["lite0", "lite1"])
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    quiet()
    features, labels = read(options.images, options.networks)
    plain = plain_probe(features, options.networks[0])
    print(
        f"{len(labels)} images, {len(np.unique(labels))} classes, {options.repeats} repeats of 3 outer, 2 inner folds"
    )
    for title, singly in (("strength chosen", False), ("strength and networks chosen", True)):
        tried = candidates(list(features), options.networks, singly)
        show(title, small_data.nested_cross_validation(features, labels, tried, plain, repeats=options.repeats))


def show(title: str, result: small_data.NestedResult) -> None:
    """Print both accuracies, the gain and the choices."""
    print(f"\n{title} by the inner folds")
    print(f"  plain probe: {result.accuracy(plain=True)}")
    print(f"  chosen:      {result.accuracy()}")
    print(f"  gain:        {result.gain()}; by repeat: {np.round(100 * result.gains_by_repeat, 1)} points")
    for name, times in result.times_chosen.items():
        print(f"  {times:3d} × {name}")


if __name__ == "__main__":
    main()
