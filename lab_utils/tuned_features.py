"""Chapter 12: the dense layer of a fine-tuned network as features, beside pretrained features of the same images."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lab_utils import claims, classification, classifiers, similarity
from lab_utils.quantities import Accuracy, Difference, paired_difference

if TYPE_CHECKING:
    from lab_utils.fine_tuning import FineTuned
    from lab_utils.lab import Lab
    from lab_utils.projections import Components

NEIGHBOURS = 5
SPLITS = ("train", "val", "test")


@dataclass
class Space:
    """Features of the run's images, the same rows for every space.

    Attributes:
        title: what they are, for tables and figures.
        features: float32 (N, D), in the order of `rows`.
        split: split of each row, shape (N,).
        rows: positions in `lab.images`, shape (N,).
        seconds: what making them cost beyond one pass of the pretrained network (training).
    """

    title: str
    features: np.ndarray
    split: np.ndarray
    rows: np.ndarray
    seconds: float = 0.0
    outcome: classification.Outcome | None = field(default=None, repr=False)

    def of(self, split: str) -> np.ndarray:
        """Places of a split's rows, shape (n,)."""
        return np.flatnonzero(self.split == split)


def tuned_space(lab: "Lab", recipe: str, network: str | None = None) -> Space:
    """Features of the first dense layer of a fine-tuned network (trained or loaded), all splits."""
    run = lab.fine_tune(recipe, network=network)
    rows = [run.rows(split) for split in SPLITS]
    features = np.concatenate([run.features(split) for split in SPLITS])
    title = f"fine-tuned {lab.title(run.recipe.network)} ({features.shape[1]})"
    return Space(title, features, np.repeat(SPLITS, [len(one) for one in rows]), np.concatenate(rows), run.seconds)


def pretrained_space(lab: "Lab", network: str, like: Space, layer: str = "penultimate") -> Space:
    """Pretrained features of the same rows as another space."""
    features = np.asarray(lab.features(network, layer)[like.rows], np.float32)
    kind = "full-network embedding of" if layer == "full_network" else "pretrained"
    return Space(f"{kind} {lab.title(network)} ({features.shape[1]})", features, like.split, like.rows)


def neighbours_right(space: Space, split: str, labels: np.ndarray) -> tuple[Accuracy, np.ndarray]:
    """How often the nearest other images of the same split are of the same class.

    Args:
        space: the features.
        split: images asked and answered by (each left out of its own vote).
        labels: of that split, shape (n,).

    Returns:
        The accuracy of the vote of `NEIGHBOURS` neighbours, and the predictions, shape (n,).
    """
    predicted = similarity.nearest_neighbours(space.features[space.of(split)], labels, NEIGHBOURS)
    return Accuracy.from_labels(labels, predicted, f"{space.title}, neighbours within {split}"), predicted


def classify(space: Space, labels: np.ndarray, rounds: int, trees: int, components: int) -> classification.Outcome:
    """Fit the lab's classifiers on train (no cross-validation: the features have seen the train labels).

    Args:
        space: the features.
        labels: of all rows, shape (N,); only those of train are looked at.
        rounds: of boosting.
        trees: of the forest.
        components: principal components that trees and RBF SVM read.
    """
    chosen = classifiers.full_classifiers(space.features.shape[1], rounds, trees)
    train = space.of("train")
    keep = min(components, space.features.shape[1], len(train) - 1)
    views = lambda fit: classification.full_views(space.features, fit, keep)  # noqa: E731
    space.outcome = classification.compare(views, labels, train, chosen)
    return space.outcome


def scores(space: Space, labels: np.ndarray, split: str) -> dict[str, Accuracy]:
    """Accuracy of every classifier on a split whose labels are given."""
    place = space.of(split)
    return {
        name: space.outcome.accuracy(name, labels, place, f"{space.title}, {name}, {split}")
        for name in space.outcome.predictions
    }


def svm_against_best(space: Space, labels: np.ndarray) -> Difference:
    """Linear SVM minus the best other single classifier on val, paired."""
    place = space.of("val")
    others = [name for name in space.outcome.predictions if name not in ("Linear SVM", classification.VOTING)]
    rival = max(others, key=lambda name: space.outcome.accuracy(name, labels, place).value)
    first, second = (space.outcome.predictions[name][place] for name in ("Linear SVM", rival))
    return paired_difference(labels, first, second, f"Linear SVM minus {rival}, {space.title}")


def recall(labels: np.ndarray, predicted: np.ndarray, member: int, of: str) -> Accuracy | None:
    """Share of a class's images that are found; None where it has none."""
    inside = labels == member
    return Accuracy.from_labels(labels[inside], predicted[inside], of) if inside.any() else None


def followed(
    classes: Sequence[str], names: Sequence[str], labels: np.ndarray, predicted: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Recall of some classes, by name where they exist, and what they are taken for most.

    Args:
        classes: all names in label order.
        names: to follow; those that are not there are left out.
        labels: shape (n,).
        predicted: space's title -> predictions, shape (n,).
    """
    rows = []
    for name in (one for one in names if one in classes):
        member = list(classes).index(name)
        for title, guess in predicted.items():
            found = recall(labels, guess, member, f"{name}, {title}")
            wrong = guess[(labels == member) & (guess != member)]
            taken = classes[int(np.bincount(wrong).argmax())] if len(wrong) else "nothing else"
            rows.append((name, title, found if found is not None else "no images", taken))
    return pd.DataFrame(rows, columns=["class", "features", "recall", "else taken for, mostly"])


def illusion_words(fine: Mapping[str, Accuracy], plain: Mapping[str, Accuracy]) -> str:
    """How much of the gain on train is left on images that the network never saw, in a sentence."""
    gains = {split: 100 * (fine[split].value - plain[split].value) for split in SPLITS}
    return (
        f"Neighbours of the same class, fine-tuned against pretrained: {gains['train']:+.1f} points on the train "
        f"images that the network was fitted on, {gains['val']:+.1f} on val and {gains['test']:+.1f} on test. Only the "
        "last two say something about separability; the first is what a plot of train images shows."
    )


def components_words(parts: Mapping[str, "Components"], reported: pd.DataFrame) -> str:
    """How many components reach nine tenths of the variance in each space, beside the reported number."""
    ours = "; ".join(f"{title}: {one.reaching(0.9)}" for title, one in parts.items())
    row = reported[reported["network"].str.contains("ine-tuned")].iloc[0]
    return (
        f"Principal components that reach nine tenths of the variance of the val images: {ours}. Reported by the "
        f"original for its {row['network']}: {int(row['components'])}."
    )


Answers = dict[str, tuple[Accuracy, np.ndarray]]


def by_split(space: Space, labels: Mapping[str, np.ndarray]) -> Answers:
    """`neighbours_right` of every split whose labels are given."""
    return {split: neighbours_right(space, split, known) for split, known in labels.items()}


def shares(right: Mapping[str, Answers]) -> dict[str, dict[str, Accuracy]]:
    """The accuracies alone, by space and split."""
    return {title: {split: values[0] for split, values in one.items()} for title, one in right.items()}


def accuracies(right: Mapping[str, Answers], *spaces: Space) -> list[dict[str, Accuracy]]:
    """Accuracies by split of each space, out of what `by_split` gave for all."""
    return [{split: found[0] for split, found in right[one.title].items()} for one in spaces]


def gain(right: Mapping[str, Answers], fine: Space, plain: Space, split: str, labels: np.ndarray) -> Difference:
    """Neighbours of the same class, fine-tuned minus pretrained, on a split; paired by image."""
    first, second = (right[one.title][split][1] for one in (fine, plain))
    return difference(labels, first, second, f"{fine.title} minus {plain.title}, neighbours, {split}")


def difference(labels: np.ndarray, first: np.ndarray, second: np.ndarray, of: str) -> Difference:
    """Paired difference of two routes' accuracies on the same images."""
    return paired_difference(labels, first, second, of)


def tested(labels: np.ndarray, predicted: np.ndarray, of: str) -> Accuracy:
    """Test accuracy of a route."""
    return Accuracy.from_labels(labels, predicted, f"{of}, test")


def silk_verdict(
    classes: Sequence[str], labels: np.ndarray, predicted: Mapping[str, np.ndarray], before: str, after: str
) -> claims.Verdict:
    """Verdict on Silk and metal thread; not testable where the class or its test images are missing."""
    name = "Silk and metal thread"
    if name not in classes:
        return claims.untestable("silk-not-solved", f"these images have no class {name}.")
    member = list(classes).index(name)
    found = [recall(labels, predicted[title], member, f"{name}, {title}") for title in (before, after)]
    return claims.check("silk-not-solved", before=found[0], after=found[1], name=name)


def linear_svm(space: Space, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a linear SVM on the train rows and answer val; labels (N,) of train are looked at. Answers and seconds."""
    began = time.perf_counter()
    table = classification.standardise(space.features, space.of("train"))
    model = classifiers.LinearSVM().fit(table[space.of("train")], labels[space.of("train")])
    predicted = model.predict(table[space.of("val")])
    return predicted, time.perf_counter() - began


def frozen_or_tuned(
    labels: np.ndarray, frozen: np.ndarray, seconds: float, tuned: "FineTuned", title: str
) -> tuple[pd.DataFrame, str]:
    """Frozen embedding with a linear SVM beside fine-tuning, on val: a table with cost, and the difference in words.

    Args:
        labels: of val, shape (n,).
        frozen: answers on the frozen embedding, shape (n,).
        seconds: of fitting it.
        tuned: the fine-tuned network.
        title: of the embedding.
    """
    answers = tuned.probabilities("val").argmax(1)
    rows = [
        (f"{title} + linear SVM", Accuracy.from_labels(labels, frozen, title), round(seconds, 1)),
        (f"fine-tuning, {tuned.recipe.name}", Accuracy.from_labels(labels, answers, "head"), round(tuned.seconds, 1)),
    ]
    table = pd.DataFrame(rows, columns=["route", "val", "seconds of training"])
    gap = difference(labels, frozen, answers, "frozen embedding minus fine-tuning, val")
    words = f"On val the frozen full-network embedding with a linear SVM against fine-tuning: {gap}"
    return table, f"{words}; {seconds:.1f} s against {tuned.seconds:.1f} s of training."
