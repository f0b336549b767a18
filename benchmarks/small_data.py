"""Which classifier for few photographs? A nested comparison decides, and shows what our own search had claimed.

    python benchmarks/small_data.py --images PHOTOS [--repeats 5] [--features FILE.npz]

PHOTOS holds one folder of images a class. All recipes meet in the same outer folds; what a recipe leaves open (the
penalty, or all of it) is chosen in inner folds of the rest. Gains are paired by image. Look-alikes are never parted.
FILE keeps the features for the next time.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import KernelPCA
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from lab_utils.analysis.small_data import STRENGTHS, Folds, folds
from lab_utils.core.quiet import quiet
from lab_utils.data import decoding, folder, pipeline
from lab_utils.networks import backbones
from lab_utils.stats.intervals import Accuracy, Difference, bootstrap_means
from lab_utils.training import features

NETWORKS = ("lite0", "lite1", "lite2")
SIZES = (160, 320)  # of Lite0, beside its own
RIDGE = tuple(f"ridge {strength:g}" for strength in STRENGTHS)
HEADS = {
    **{name: RidgeClassifier(alpha=strength) for name, strength in zip(RIDGE, STRENGTHS, strict=True)},
    "linear SVM": LinearSVC(C=3, max_iter=5000, random_state=0),
    "RBF SVM": SVC(C=10),
    "nearest centroid": NearestCentroid(),
}
TRANSFORMS = {  # of each block of columns, fitted on train
    "as they are": FunctionTransformer(),
    "standardised": StandardScaler(),
    "equal": make_pipeline(StandardScaler(), Normalizer()),  # each block of each image at the same length
    "embedding": make_pipeline(StandardScaler(), FunctionTransformer(lambda z: 1.0 * (z > 0.15) - 1.0 * (z < -0.25))),
}


@dataclass(frozen=True)
class FeatureSet:
    """Blocks of columns side by side.

    Attributes:
        blocks: arrays (n, d).
        transform: of each block, a key of `TRANSFORMS`.
    """

    blocks: list[np.ndarray]
    transform: str = "as they are"

    def coordinates(self, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Train and test on the axes that train spans, at mean squared length 1: all that a head here can see."""
        transforms = [clone(TRANSFORMS[self.transform]).fit(block[train]) for block in self.blocks]
        X = np.concatenate([fit.transform(block) for fit, block in zip(transforms, self.blocks, strict=True)], axis=1)
        axes = KernelPCA(remove_zero_eig=True).fit(X[train])  # linear: the principal components, however many columns
        inside, outside = axes.transform(X[train]), axes.transform(X[test])
        length = np.sqrt(np.square(inside).sum(1).mean())
        return inside / length, outside / length


@dataclass
class Recipe:
    """What may be chosen in the inner folds, and what came of it.

    Attributes:
        title: in the table.
        candidates: (name of a feature set, head) pairs.
        right: whether each image was labelled right in each repeat, shape (repeats, n).
        chosen: how often each candidate was.
    """

    title: str
    candidates: list[tuple[str, str]]
    right: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))
    chosen: Counter = field(default_factory=Counter)

    def accuracy(self) -> Accuracy:
        """Mean over repeats, with the n of the images (not of the repeats)."""
        return Accuracy(round(self.right.mean() * self.right.shape[1]), self.right.shape[1], self.title)

    def minus(self, other: "Recipe", comparisons: int = 1) -> Difference:
        """Gain paired by image, mean over repeats; its interval (bootstrap over images) is widened for the choice."""
        gains, tail = (self.right.astype(float) - other.right).mean(0), 0.025 / comparisons
        low, high = np.quantile(bootstrap_means(gains, resamples=20_000), [tail, 1 - tail])
        return Difference(float(gains.mean()), float(low), float(high), len(gains), f"{self.title} minus {other.title}")


def nested(
    sets: dict[str, FeatureSet],
    recipes: list[Recipe],
    labels: np.ndarray,
    repeats: int,
    split: Callable[[np.ndarray, int], Folds],
) -> None:
    """Let each recipe choose among its candidates by the hits in inner folds, and answer for the outer fold.

    Args:
        sets: feature sets by name.
        recipes: their `right` and `chosen` are filled in.
        labels: shape (n,).
        repeats: how often all is repeated with other folds.
        split: gives the folds of some positions (n,) by a seed, as (train, test) within them.
    """
    heads: dict[str, set[str]] = {}
    for recipe in recipes:
        recipe.right = np.zeros((repeats, len(labels)), bool)
        for name, head in recipe.candidates:
            heads.setdefault(name, set()).add(head)

    def right(train: np.ndarray, test: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        """Which images of test each candidate labels right after a fit on train."""
        answers = {}
        for name, own_heads in heads.items():
            inside, outside = sets[name].coordinates(train, test)
            for head in own_heads:
                answers[name, head] = clone(HEADS[head]).fit(inside, labels[train]).predict(outside) == labels[test]
        return answers

    for repeat in range(repeats):
        for train, test in split(np.arange(len(labels)), repeat):
            inner = [right(train[fit], train[held]) for fit, held in split(train, repeat)]
            hits = {candidate: sum(int(fold[candidate].sum()) for fold in inner) for candidate in inner[0]}
            outer = right(train, test)
            for recipe in recipes:
                best = max(recipe.candidates, key=hits.get)
                recipe.right[repeat, test] = outer[best]
                recipe.chosen[best] += 1


# ---- what is compared ------------------------------------------------------------------------------------------------
def block_statistics(network: str, paths: list[str], size: int | None = None) -> dict[str, np.ndarray]:
    """Last features, and signed roots of mean and spread over space of every block, image and mirror image averaged."""
    size = backbones.check_size(network, size)[0]
    model = backbones.build(network, size=size)
    layers = [name for name in backbones.embedding_layers(model, network) if name.endswith("_project_bn")]
    run = features.forward(
        model, network, [*layers, *(features.SPREAD + name for name in layers), "averages", "penultimate"]
    )
    rows: dict[str, list[np.ndarray]] = {}
    for images in pipeline.decoded_batches(paths, size, batch=32):
        plain, mirrored = ({key: value.numpy() for key, value in run(x).items()} for x in (images, images[:, :, ::-1]))
        for name in ("averages", "penultimate"):
            rows.setdefault(name, []).append(plain[name])
        for name in layers:
            both = [(plain[key] + mirrored[key]) / 2 for key in (name, features.SPREAD + name)]
            values = np.concatenate(both, axis=1)
            rows.setdefault(name, []).append(np.sign(values) * np.sqrt(np.abs(values)))
    return {f"{network}@{size} {name}": np.concatenate(parts) for name, parts in rows.items()}


def read(root: Path, keep: Path | None) -> dict[str, np.ndarray]:
    """Blocks (n, d) by name, and `labels` and `groups` (n,), of all images of a folder."""
    if keep and keep.is_file():
        return dict(np.load(keep))
    rows, _ = folder.list_images(root)
    findings = decoding.examine_all(root, rows["file"], perceptual=True)
    decoding.require_good(findings, root)
    paths = [str(root / file) for file in rows["file"]]
    blocks = {"labels": np.unique(rows["medium"].astype(str), return_inverse=True)[1]}
    blocks["groups"] = folder.near_identical([findings[file].phash for file in rows["file"]])
    for network, size in (*((network, None) for network in NETWORKS), *(("lite0", size) for size in SIZES)):
        blocks |= block_statistics(network, paths, size)
    if keep:
        np.savez(keep, **blocks)
    return blocks


def feature_sets(blocks: dict[str, np.ndarray]) -> tuple[dict[str, FeatureSet], dict[str, FeatureSet]]:
    """Feature sets by name: those that take no trial to think of, and what our search on such photographs added."""
    own = [f"{network}@{backbones.backbone(network).size} " for network in NETWORKS]
    sizes = [f"lite0@{size} " for size in SIZES]

    def last(*starts: str, transform: str = "as they are") -> FeatureSet:
        return FeatureSet([blocks[f"{start}penultimate"] for start in starts], transform)

    def statistics(*starts: str) -> FeatureSet:
        names = [name for name in blocks if name.startswith(starts) and name.endswith("_project_bn")]
        return FeatureSet([blocks[name] for name in names], "equal")

    def embedding(*starts: str) -> FeatureSet:
        return FeatureSet([blocks[f"{start}averages"] for start in starts], "embedding")

    plain = {f"Lite{k}": last(own[k]) for k in range(3)}
    plain |= {"Lite0 + Lite1": last(*own[:2]), "Lite0 + Lite1 + Lite2": last(*own)}
    plain |= {"Lite0, standardised": last(own[0], transform="standardised")}
    searched = {f"blocks of Lite{k}": statistics(own[k]) for k in range(3)}
    searched |= {"blocks of Lite0 + Lite1": statistics(*own[:2]), "blocks of all three": statistics(*own)}
    searched |= {f"blocks of Lite0 at {size}": statistics(start) for size, start in zip(SIZES, sizes, strict=True)}
    searched |= {"blocks of Lite0 at all sizes": statistics(own[0], *sizes)}
    searched |= {f"embedding of Lite{k}": embedding(own[k]) for k in range(3)}
    return plain, searched | {"embeddings of all three": embedding(*own)}


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--features", type=Path)
    options = parser.parse_args()
    quiet()
    blocks = read(options.images, options.features)
    labels, groups = blocks["labels"], blocks["groups"]
    plain, searched = feature_sets(blocks)
    simple = [Recipe(f"{name}, ridge", [(name, head) for head in RIDGE]) for name in plain]
    simple += [Recipe(f"Lite0, {head}", [("Lite0", head)]) for head in HEADS if head not in RIDGE]
    simple += [Recipe("Lite0, standardised, linear SVM", [("Lite0, standardised", "linear SVM")])]
    simple += [
        Recipe("the best of these, chosen inside", [candidate for recipe in simple for candidate in recipe.candidates])
    ]
    design = Recipe("blocks of Lite0 + Lite1, ridge", [("blocks of Lite0 + Lite1", head) for head in RIDGE])
    every = Recipe("the best of all, chosen inside", [(name, head) for name in plain | searched for head in HEADS])
    recipes = [*simple, design, every]
    nested(
        plain | searched, recipes, labels, options.repeats, lambda rows, seed: folds(labels[rows], groups[rows], seed)
    )
    print(
        f"{len(labels)} images, {len(np.unique(labels))} classes, {options.repeats} repeats of 5 outer, 5 inner folds"
    )
    print("\n| recipe | candidates | accuracy | against the first |\n|---|---|---|---|")
    for recipe in recipes:
        widened = len(simple) - 1 if recipe in simple else 1
        gain = "" if recipe is simple[0] else recipe.minus(simple[0], widened)
        print(f"| {recipe.title} | {len(recipe.candidates)} | {recipe.accuracy()} | {gain} |")
    better = [recipe.title for recipe in simple[1:] if recipe.minus(simple[0], len(simple) - 1).low > 0]
    print(f"\nShown to be better than the first, of those that took no trial: {'; '.join(better) or 'none'}.")
    for recipe in (simple[-1], every):
        print(
            f"\n{recipe.title}: " + ", ".join(f"{times} × {' '.join(c)}" for c, times in recipe.chosen.most_common(8))
        )


if __name__ == "__main__":
    main()
