"""Chapter 12: the dense layer of a fine-tuned network as features, beside pretrained features of the same images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.analysis import classification, classifiers, projections, transferability
from lab_utils.analysis.recommendation import clock
from lab_utils.chapters import frozen_probe
from lab_utils.data.splits import fold_groups, subsample
from lab_utils.networks import backbones
from lab_utils.stats.intervals import Accuracy, Difference, paired_difference

if TYPE_CHECKING:
    import keras
    from sklearn.decomposition import PCA

    from lab_utils.lab import Lab
    from lab_utils.training.fit import Run
    from lab_utils.training.setup import FineTuningSetup

NEIGHBOURS = 5
BATCH = 64  # images a batch in inference
SPLITS = ("train", "val", "test")
TEXTILES = ("Silk and metal thread", "Woven fabric")
FEWEST = 20  # val images of a class below which its recall carries no verdict


@dataclass
class FeatureSpace:
    """Features of the run's images, the same rows for every space.

    Attributes:
        network: its title.
        kind: what they are: `pretrained`, `fine-tuned`, `full-network embedding`.
        features: float32 (N, D), in the order of `rows`.
        split: split of each row, shape (N,).
        rows: positions in `lab.images`, shape (N,).
        size: side of the network's input in pixels.
        groups: what intervals draw as a whole (lot, or object), shape (N,).
        run: the fine-tuned network behind them, if any.
        name: of that run.
        result: what the lab's classifiers answer on them, once fitted.
    """

    network: str
    kind: str
    features: np.ndarray
    split: np.ndarray
    rows: np.ndarray
    size: int
    groups: np.ndarray
    run: "Run | None" = field(default=None, repr=False)
    name: str = ""
    result: classification.Result | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """What they are, for tables and figures; input size and number of features are in it."""
        return frozen_probe.features_title(self.network, self.kind, self.size, self.features.shape[1])

    @property
    def head(self) -> str:
        """Name of the route through the network's own head."""
        return f"{self.network}, {self.name}"

    def route(self, classifier: str) -> str:
        """Name of the route through a classifier on these features."""
        return f"{classifier} on {self.title}"

    def of(self, split: str) -> np.ndarray:
        """Places of a split's rows, shape (n,)."""
        return np.flatnonzero(self.split == split)

    def compare(
        self, split: str, labels: np.ndarray, first: np.ndarray, second: np.ndarray, of: str, comparisons: int = 1
    ) -> Difference:
        """Accuracy of `first` minus `second` on a split, paired by image, drawn by lot; all arrays (n,).

        `comparisons` as of `paired_difference`: among how many one of them was picked on the same images.
        """
        return paired_difference(labels, first, second, of, self.groups[self.of(split)], comparisons)


# ---- spaces ----------------------------------------------------------------------------------------------------------
def tuned_space(lab: "Lab", here: "FineTuningSetup", run: "Run", features: "keras.Model") -> FeatureSpace:
    """What a dense layer of a fine-tuned network gives for all images.

    Args:
        lab: the run.
        here: the settings that the network was trained with.
        run: the trained network.
        features: from RGB pixels of 0..255 to the layer's output, (B, D).
    """
    rows = [run.rows(split) for split in SPLITS]
    places, pixels = np.concatenate(rows), lab.pixels(here.size)
    starts = range(0, len(places), BATCH)
    parts = [np.asarray(features(np.float32(pixels[places[i : i + BATCH]]), training=False)) for i in starts]
    split, groups = np.repeat(SPLITS, [len(part) for part in rows]), np.asarray(fold_groups(lab.images.iloc[places]))
    return FeatureSpace(
        here.title, "fine-tuned", np.concatenate(parts), split, places, here.size, groups, run, here.name
    )


def pretrained_space(
    lab: "Lab", network: str, like: FeatureSpace, layer: str = "penultimate", size: int | None = None
) -> FeatureSpace:
    """Pretrained features of the same rows as another space, by the network's own preprocessing.

    Args:
        lab: the run.
        network: name in the registry.
        like: the other space.
        layer: as `lab.features` takes it.
        size: of the input in pixels; None: that of the other space (`comparable_size`).
    """
    size = size or frozen_probe.comparable_size(network, like.size)
    features = np.asarray(lab.features(network, layer, size=size)[like.rows], np.float32)
    kind = "full-network embedding" if layer == "full_network" else "pretrained"
    return FeatureSpace(lab.title(network), kind, features, like.split, like.rows, size, like.groups)


def usual_space(lab: "Lab", network: str, like: FeatureSpace, layer: str = "penultimate") -> FeatureSpace | None:
    """Pretrained features at the size of chapters 03 to 05 (the profile's, or native); None where it is the same."""
    asked = lab.settings.features.size
    usual = backbones.backbone(network).size if asked == "native" else asked
    if usual == frozen_probe.comparable_size(network, like.size):
        return None
    return pretrained_space(lab, network, like, layer, usual)


MAKERS = (pretrained_space, usual_space)  # at the comparable size, and at the usual one where that is another


def sizes_words(fine: FeatureSpace, spaces: Sequence[FeatureSpace]) -> str:
    """Which spaces see images of one size, and which stand beside them at another."""
    same = [space.title for space in spaces if space.size == fine.size]
    other = [space.title for space in spaces if space.size != fine.size]
    words = f"Compared at one input size, {fine.size} pixels: {'; '.join(same)}."
    return f"{words} Beside them at another size, as rows of their own: {'; '.join(other)}." if other else words


# ---- neighbours ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Votes:
    """What the neighbours of some images say.

    Attributes:
        of: what was asked, in words.
        labels: the truth, shape (n,).
        predicted: the vote, shape (n,).
        groups: what intervals draw as a whole, shape (n,).
    """

    of: str
    labels: np.ndarray
    predicted: np.ndarray
    groups: np.ndarray

    @property
    def accuracy(self) -> Accuracy:
        """How often the vote is right."""
        return Accuracy.from_labels(self.labels, self.predicted, self.of, self.groups)

    def minus(self, other: "Votes") -> Difference:
        """This minus another space's votes on the same images, paired by image, drawn by lot."""
        of = f"{self.of} minus {other.of}"
        return paired_difference(self.labels, self.predicted, other.predicted, of, self.groups)


def neighbours_right(space: FeatureSpace, split: str, labels: np.ndarray, places: np.ndarray | None = None) -> Votes:
    """Ask images of which class their nearest other images of the same split are.

    Args:
        space: the features.
        split: images asked and answered by (each left out of its own vote).
        labels: of that split, shape (n,).
        places: which of the split's images to use; None: all.

    Returns:
        The votes of `NEIGHBOURS` neighbours.
    """
    chosen = np.arange(len(labels)) if places is None else places
    rows = space.of(split)[chosen]
    predicted = transferability.nearest_neighbours(space.features[rows], labels[chosen], NEIGHBOURS)
    return Votes(f"{space.title}, neighbours within {split}", labels[chosen], predicted, space.groups[rows])


def as_dense(labels: np.ndarray, like: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places of a random part of `labels` (n,) with at most as many images of each class as `like` (m,) has.

    Neighbours are the nearer the more images there are, so splits are compared at one number of images a class.
    """
    return subsample(labels, Counter(like), seed)


def by_split(space: FeatureSpace, labels: Mapping[str, np.ndarray]) -> dict[str, Votes]:
    """`neighbours_right` of every split whose labels are given; train is thinned to val's number of images a class."""
    thinned = {"train": as_dense(labels["train"], labels["val"])} if {"train", "val"} <= set(labels) else {}
    return {split: neighbours_right(space, split, known, thinned.get(split)) for split, known in labels.items()}


def shares(right: Mapping[str, Mapping[str, Votes]]) -> dict[str, dict[str, Accuracy]]:
    """The accuracies alone, by space and split."""
    return {title: {split: votes.accuracy for split, votes in by_split.items()} for title, by_split in right.items()}


def gains(fine: Mapping[str, Votes], plain: Mapping[str, Votes]) -> dict[str, Difference]:
    """Fine-tuned minus pretrained, by split."""
    return {split: fine[split].minus(plain[split]) for split in fine}


def illusion_words(changes: Mapping[str, Difference]) -> str:
    """How much of the gain on train is left on images that the network never saw, in a sentence.

    Args:
        changes: `gains` with at least train and one other split.
    """
    unseen = "; on ".join(f"{split}: {change}" for split, change in changes.items() if split != "train")
    return (
        f"Neighbours of the same class, fine-tuned against pretrained features, on the train images that the network "
        f"was fitted on: {changes['train']}; on {unseen}. Only images that it never saw say something about "
        "separability; the train images are what the original's map shows."
    )


# ---- classifiers and routes ------------------------------------------------------------------------------------------
def classify(space: FeatureSpace, labels: np.ndarray, rounds: int, trees: int, components: int) -> None:
    """Fit the lab's classifiers on train, as `space.result` (no cross-validation: the features have seen its labels).

    Args:
        space: the features.
        labels: of all rows, shape (N,); only those of train are looked at.
        rounds: of boosting.
        trees: of the forest.
        components: principal components that trees and RBF SVM read.
    """
    train, width = space.of("train"), space.features.shape[1]
    models = classifiers.full_classifiers(width, min(components, width, len(train) - 1), rounds, trees)
    voters = [name for name in models if name != "Ridge"]
    table = np.asarray(space.features, np.float64)
    space.result = classification.evaluate(models, table, labels, train, lots=space.groups, voters=voters)


def scores(space: FeatureSpace, labels: np.ndarray, split: str) -> dict[str, Accuracy]:
    """Accuracy of every classifier on a split whose labels are given."""
    place = space.of(split)
    return {
        name: Accuracy.from_labels(labels, guess[place], f"{space.title}, {name}, {split}", space.groups[place])
        for name, guess in space.result.answers.items()
    }


def svm_against_best(space: FeatureSpace, labels: np.ndarray) -> Difference:
    """Linear SVM minus the best other single classifier on val, paired, drawn by lot.

    The rival is picked on the same images, which favours it: the interval is widened for that.
    """
    place = space.of("val")
    answers = {name: guess[place] for name, guess in space.result.answers.items() if name != classification.VOTING}
    first = answers.pop("Linear SVM")
    rival, second = max(answers.items(), key=lambda answer: (answer[1] == labels).mean())
    return space.compare("val", labels, first, second, f"Linear SVM minus {rival}, {space.title}", len(answers))


def best_classifier(scores: Mapping[str, Accuracy]) -> str:
    """The classifier of the highest accuracy; of equals the first."""
    return max(scores, key=lambda name: scores[name].value)


def routes(spaces: Sequence[FeatureSpace], classifier: str) -> dict[str, np.ndarray]:
    """What each route answers on val: the classifier on every space, and the fine-tuned networks' own heads."""
    answers = {space.route(classifier): space.result.answers[classifier][space.of("val")] for space in spaces}
    return answers | {space.head: head_answers(space.run) for space in spaces if space.run}


def head_answers(run: "Run") -> np.ndarray:
    """What a network's own head answers on val at its best epoch, as it was kept in training, shape (n,)."""
    return run.val_logits()[run.best_epoch - 1].argmax(1)


def tested_routes(spaces: Sequence[FeatureSpace], classifier: str) -> dict[str, FeatureSpace]:
    """Routes that are read on test, as slide 22 shows them: the classifier chosen on val, on fine-tuned features."""
    return {space.route(classifier): space for space in spaces if space.run}


def report_by(val: Difference, test: Accuracy, classifier: str) -> tuple[str, str, str]:
    """Decision on what to report as the result of fine-tuning, its reason and the alternative, for `lab.decide`.

    Args:
        val: features' route minus the network's own head on val, widened for the choice of the classifier.
        test: of the features' route, read afterwards.
        classifier: on the features, chosen on val.
    """
    head, route = "the network's own head", f"the route through features ({classifier})"
    wins = not val.tie and val.value > 0
    why = "it is better on val" if not val.tie else "it needs no second classifier, and on val the two are a tie"
    chosen, other = (route, head) if wins else (head, route)
    because = (
        f"the features' route against the head on val: {val} (its classifier was chosen on the same images, for which "
        f"the interval is widened); the route on test, read afterwards: {test}"
    )
    original = "" if wins else ", as in the original"
    return f"Report {chosen} as the result of fine-tuning: {why}.", because, f"{other} as the final result{original}."


# ---- single classes --------------------------------------------------------------------------------------------------
def recall(
    labels: np.ndarray, predicted: np.ndarray, member: int, of: str, lots: np.ndarray | None = None
) -> Accuracy | None:
    """Share of a class's images that are named so; None where it has none."""
    inside = labels == member
    groups = None if lots is None else lots[inside]
    return Accuracy.from_labels(labels[inside], predicted[inside], of, groups) if inside.any() else None


def followed(
    classes: Sequence[str],
    names: Sequence[str],
    labels: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    lots: np.ndarray | None = None,
) -> pd.DataFrame:
    """Recall of some classes, by name where they exist, and what they are taken for most.

    Args:
        classes: all names in label order.
        names: to follow; those that are not there are left out.
        labels: shape (n,).
        predicted: space's title -> predictions, shape (n,).
        lots: of the images, shape (n,), for the intervals.
    """
    rows = []
    for name in (kind for kind in names if kind in classes):
        member = list(classes).index(name)
        for title, guess in predicted.items():
            share = recall(labels, guess, member, f"{name}, {title}", lots)
            wrong = guess[(labels == member) & (guess != member)]
            taken = classes[int(np.bincount(wrong).argmax())] if len(wrong) else "nothing else"
            rows.append((name, title, share if share is not None else "no images", taken))
    return pd.DataFrame(rows, columns=["class", "features", "recall", "else taken for, mostly"])


def mapped(fine: FeatureSpace, spaces: Sequence[FeatureSpace]) -> list[tuple[str, FeatureSpace]]:
    """The maps of the chapter, split and space: train of the fine-tuned one, val of all, where images are enough."""
    pairs = [("train", fine), *(("val", space) for space in spaces)]
    return [(split, space) for split, space in pairs if len(space.of(split)) >= projections.FEWEST]


def components_words(spaces: Mapping[str, "PCA"], reported: pd.DataFrame, share: float = 0.9) -> str:
    """How many components reach a share of the variance in each space, beside the reported number.

    Args:
        spaces: title -> principal components of its val images; none where val is too small for a map.
        reported: `data/reported/components.csv`.
        share: of the variance.
    """
    if not spaces:
        return f"Val has fewer than {projections.FEWEST} images: too few for principal components and for a map."
    ours = "; ".join(f"{title}: {projections.components_for(pca, share)}" for title, pca in spaces.items())
    row = reported[reported["network"].str.contains("ine-tuned")].iloc[0]
    return (
        f"Principal components that reach nine tenths of the variance of the val images: {ours}. Reported by the "
        f"original for its {row['network']}: {int(row['components'])}."
    )


def on_val(space: FeatureSpace, labels: np.ndarray, predicted: np.ndarray, of: str) -> Accuracy:
    """Val accuracy of a route through features of the images of `space`."""
    return Accuracy.from_labels(labels, predicted, f"{of}, val", space.groups[space.of("val")])


def tested(space: FeatureSpace, labels: np.ndarray, predicted: np.ndarray, of: str) -> Accuracy:
    """Test accuracy of a route through features of the images of `space`."""
    return Accuracy.from_labels(labels, predicted, f"{of}, test", space.groups[space.of("test")])


def silk_evidence(
    space: FeatureSpace,
    classes: Sequence[str],
    labels: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
) -> dict[str, Any]:
    """Evidence on Silk and metal thread: recall before and after, and their difference on the same images (`value`).

    None where the class has fewer than `FEWEST` val images.

    Args:
        space: whose val rows the answers are of.
        classes: all names in label order.
        labels: of val, shape (n,).
        before: answers on pretrained features, shape (n,).
        after: answers on fine-tuned features, shape (n,).
    """
    name = TEXTILES[0]
    inside = labels == list(classes).index(name) if name in classes else np.zeros(len(labels), bool)
    images = int(inside.sum())
    if images < FEWEST:
        return {"value": None, "images": images, "before": None, "after": None}
    groups = space.groups[space.of("val")][inside]
    gain = paired_difference(labels[inside], after[inside], before[inside], name, groups)
    pair = {"before": before, "after": after}
    recalls = {when: Accuracy.from_labels(labels[inside], guess[inside], name, groups) for when, guess in pair.items()}
    return {"value": gain, "images": images, **recalls}


# ---- frozen or fine-tuned --------------------------------------------------------------------------------------------
def frozen_or_tuned(
    labels: np.ndarray, frozen: Sequence[FeatureSpace], known: np.ndarray, fine: FeatureSpace
) -> tuple[pd.DataFrame, str, list[tuple[str, np.ndarray, float]]]:
    """Frozen embeddings with a linear SVM beside fine-tuning, on val: a table, and the differences in words.

    Args:
        labels: of val, shape (n,).
        frozen: the embeddings.
        known: labels of all rows, shape (N,); only those of train are looked at.
        fine: the fine-tuned network's space.

    Returns:
        Table, sentence; and of each embedding its route, whether each val image was right, and seconds of training.
    """
    answers, lots = head_answers(fine.run), fine.groups[fine.of("val")]
    rows, words, hits = [], [], []
    for space in frozen:
        predicted, seconds = frozen_probe.linear_svm(space.features, known, space.of("train"), space.of("val"))
        reached = Accuracy.from_labels(labels, predicted, space.title, lots)
        rows.append((f"Linear SVM on {space.title}", reached, clock(seconds)))
        gap = fine.compare("val", labels, predicted, answers, "frozen embedding minus fine-tuning, val")
        words.append(f"at {space.size} px {gap}")
        hits.append((rows[-1][0], predicted == labels, seconds))
    tuned = Accuracy.from_labels(labels, answers, "head", lots)
    rows.append((f"fine-tuning, {fine.name}, {fine.size} px", tuned, clock(fine.run.seconds)))
    table = pd.DataFrame(rows, columns=["route", "val", "time of training"])
    words = f"On val, against fine-tuning at {fine.size} px, the frozen embedding is {'; '.join(words)}."
    return table, f"{words} Chapter 15 counts the features' own time.", hits
