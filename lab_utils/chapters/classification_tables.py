"""Tables and sentences of chapters 05 and 12 out of results of `classification`; nothing is fitted here."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lab_utils.analysis import trivial_baselines
from lab_utils.analysis.classification import VOTING, Result, best, group_confusion, mean_difference
from lab_utils.analysis.seed_spread import SeedSpread
from lab_utils.analysis.variance import Decomposition
from lab_utils.claims.reported_arithmetic import vgg16_parameters
from lab_utils.core.profiles import Classification
from lab_utils.data.splits import fold_groups
from lab_utils.data.taxonomy import super_group
from lab_utils.networks import registry
from lab_utils.stats.intervals import Accuracy, Difference, Estimate, paired_difference
from lab_utils.stats.metrics import (
    averages,
    group_accuracies,
    group_confusions,
    seen_in_train,
    softmax,
    standardised_difference,
)

if TYPE_CHECKING:
    from lab_utils.lab import Lab

Key = tuple[str, str]  # (what the classifiers saw, network)
LAYERS = {"CNN features": "penultimate", "dense classifier": "logits"}  # the original's words -> layer
ALL, EMBEDDED, EIGHT = "all columns", "full-network embedding", "supervised UMAP-8 and external columns"


class ClassifierSpec(NamedTuple):
    """What a classifier reads, of which network and layer, and the classifier."""

    columns: str
    layer: str
    network: str
    classifier: str

    def title(self, titles: Mapping[str, str]) -> str:
        """In words, without the layer where it is the usual one."""
        more = "" if self.layer == "penultimate" else f" ({self.layer} layer)" if self.columns == EIGHT else ""
        return f"{self.classifier} on {titles[self.network]}, {self.columns}{more}"


# ---- what is fed -----------------------------------------------------------------------------------------------------
def columns(lab: "Lab", network: str, what: str = "CNN features") -> np.ndarray:
    """Columns of all images by a network, float64 (N, D): features before its classifier, or the 1,000 probabilities.

    Args:
        lab: the run.
        network: name in the registry.
        what: a key of `LAYERS`.
    """
    layer = lab.features(network, LAYERS[what])
    return np.asarray(layer if what == "CNN features" else softmax(layer).astype(np.float32), np.float64)


def parameters_words(reported: pd.DataFrame) -> str:
    """Which of the reported numbers of parameters are those of the network without its top, and what the others are."""
    titles = {entry.title: entry.parameters for entry in registry.REGISTRY.values()}
    printed = {name: int(count) for name, count in zip(reported["model"], reported["parameters"], strict=True)}
    right = [name for name, count in printed.items() if titles.get(name) == count]
    words = [f"The reported parameters of {', '.join(right) or 'no network'} are those without the top."]
    parts = {"VGG16": vgg16_parameters()}
    for name in [name for name in printed if name not in right]:
        sizes = {"without top": titles.get(name, 0)} | parts.get(name, {})
        known = [part for part, size in sizes.items() if size == printed[name]]
        listed = ", ".join(f"{part} {size:,}" for part, size in sizes.items() if part not in known)
        words.append(f"{name}'s are {known[0] if known else 'none of its parts'} ({listed}).")
    return " ".join(words)


def departures(options: Classification) -> str:
    """In which settings a run differs from the original's protocol, in a sentence."""
    asked = Classification()
    words = {
        "rounds": "{} boosting rounds (default {})",
        "trees": "{} trees (default {})",
        "folds": "{} folds (there {})",
        "umap_epochs": "{} epochs of UMAP's layout (default by size)",
        "umap_first": "UMAP after {} principal components (there on all columns)",
    }
    changed = [
        text.format(getattr(options, name), getattr(asked, name))
        for name, text in words.items()
        if getattr(options, name) != getattr(asked, name)
    ]
    if not changed:
        return "All settings are the original's or the libraries' defaults."
    return f"To fit this run's budget: {'; '.join(changed)}. All else is the original's or the libraries' default."


def reported_scores(table: pd.DataFrame, seen: str) -> pd.DataFrame:
    """Rows of `data/reported/classification.csv` on these features as printed in the slide's table."""
    return table[(table["features"] == seen) & (table["kind"] == "printed")]


def diamonds(table: pd.DataFrame, titles: Sequence[str]) -> dict[str, dict[str, float]]:
    """Printed test scores in percent for those of our networks that the original used, `{title: {classifier: x}}`."""
    return {row.network: {row.best_model: 100 * row.test} for row in table.itertuples() if row.network in titles}


def original_says(table: pd.DataFrame) -> str:
    """What the original reports on the CNN features, from its printed numbers."""
    rows = reported_scores(table, "CNN features")
    scores = ", ".join(f"{row.network} {row.test:.3f}" for row in rows.itertuples())
    best_model = " and ".join(sorted(rows["best_model"].unique()))
    return (
        f"Reported by the original (slide 17, test accuracy, best classifier {best_model} each time): {scores}; "
        f"{len(rows)} networks within {100 * (rows['test'].max() - rows['test'].min()):.1f} points of each other."
    )


def averages_on_test(
    guesses: Mapping[tuple[str, str, str], np.ndarray],
    wanted: Iterable[tuple[str, str, str]],
    truth: np.ndarray,
    lots: np.ndarray,
) -> dict[tuple[str, str, str], dict[str, Estimate]]:
    """`metrics.averages` on test of some of the classifiers, lots drawn.

    Args:
        guesses: (what they saw, network, classifier) -> predicted labels of test, shape (n,).
        wanted: whose averages are needed.
        truth: labels of test, shape (n,).
        lots: of the test images, shape (n,).
    """
    classes = max(int(labels.max()) for labels in (truth, *guesses.values())) + 1
    reached = {}
    for key in wanted:
        parts = group_confusions(truth, guesses[key], lots, classes)
        reached[key] = averages(parts.sum(0), ", ".join(key), parts=parts)
    return reached


def scores_table(
    results: Mapping[Key, Result],
    val: np.ndarray,
    on_test: Mapping[tuple[str, str], Mapping[str, Estimate]],
    titles: Mapping[str, str],
    reported: pd.DataFrame,
) -> pd.DataFrame:
    """The original's table (model, best classifier, test score), chosen on val, with the original's rows under it.

    Args:
        results: (what they saw, network) -> result.
        val: positions of val.
        on_test: (what they saw, network) -> `metrics.averages` on test of the classifier that is best on val.
        titles: network -> title.
        reported: `data/reported/classification.csv`.

    Returns:
        Columns features, model, best on val, CV, val, test, balanced test; reported rows carry the printed number.
    """
    rows = []
    for (seen, network), result in results.items():
        name, mean = best(result, val), on_test[seen, network]
        means = (mean["accuracy"], mean["balanced accuracy"])
        rows.append((seen, titles[network], name, result.cv(name), result.accuracy(name, val), *means))
    for seen in dict.fromkeys(key[0] for key in results):
        for row in reported_scores(reported, seen).itertuples():
            model = f"{row.network} (reported)"
            rows.append((seen, model, row.best_model, "", "", f"{100 * row.test:.1f} %", ""))
    names = ["features", "model", "best on val", "CV", "val", "test", "balanced test"]
    return pd.DataFrame(rows, columns=names)


def boxes(
    accuracies: Mapping[tuple[str, ...], Accuracy], place: int, titles: Mapping[str, str] | None = None
) -> dict[str, list[float]]:
    """Accuracies in percent, grouped by one part of their keys: what box plots by extractor or by classifier show.

    Args:
        accuracies: by (features, network, classifier), say.
        place: of the part in the key.
        titles: what a part is called; default its own name.
    """
    percents: dict[str, list[float]] = {}
    for key, accuracy in accuracies.items():
        name = key[place]
        percents.setdefault(titles[name] if titles else name, []).append(100 * accuracy.value)
    return percents


def seed_boxes(table: pd.DataFrame) -> dict[str, list[float]]:
    """The runs of `noise_floor` in percent by source and classifier."""
    groups = table.groupby(["classifier", "source"], sort=False)["accuracy"]
    return {f"{name}, {source.split()[0]}": list(100 * values) for (name, source), values in groups}


def correctness(results: Sequence[Result], names: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """Whether each result's classifiers were right on `rows`: bool (results, names, rows), for `decompose`."""
    return np.array([[result.answers[name][rows] == result.labels[rows] for name in names] for result in results])


def spread_of_networks(results: Mapping[str, Result], rows: np.ndarray) -> float:
    """Standard deviation of accuracy over networks, root mean square over classifiers, in [0, 1]; 0 for one network."""
    if len(results) < 2:
        return 0.0
    names = list(next(iter(results.values())).answers)
    values = correctness(list(results.values()), names, rows).mean(2)
    return float(values.var(axis=0, ddof=1).mean() ** 0.5)


def candidates(
    right: Mapping[str, Result], embedded: Mapping[str, Result], original: Mapping[Key, Result]
) -> dict[ClassifierSpec, Result]:
    """All that was tried in the chapter as one set of candidates, each with the result it stands in.

    Args:
        right: network -> result on all columns.
        embedded: network -> result on the full-network embedding.
        original: (what the classifiers saw, network) -> result of the original's protocol.
    """
    sets = [
        *((ALL, "penultimate", network, result) for network, result in right.items()),
        *((EMBEDDED, "full_network", network, result) for network, result in embedded.items()),
        *((EIGHT, LAYERS[seen], network, result) for (seen, network), result in original.items()),
    ]
    return {ClassifierSpec(*place, name): result for *place, result in sets for name in result.answers}


def ranked(candidates: Mapping[ClassifierSpec, Result], val: np.ndarray) -> list[ClassifierSpec]:
    """Candidates by val accuracy, the best first; the first named in a tie."""
    return sorted(candidates, key=lambda spec: -candidates[spec].accuracy(spec.classifier, val).value)


def best_of_each(order: Sequence[ClassifierSpec]) -> list[ClassifierSpec]:
    """The best candidate of each network and kind of columns; `order` as `ranked`."""
    first: dict[tuple[str, str, str], ClassifierSpec] = {}
    for spec in order:
        first.setdefault((spec.columns, spec.layer, spec.network), spec)
    return list(first.values())


def rival_of(order: Sequence[ClassifierSpec]) -> ClassifierSpec:
    """The best candidate of the other protocol (the original's or done right) than the first's; `order` as `ranked`."""
    return next(spec for spec in order if (spec.columns == EIGHT) != (order[0].columns == EIGHT))


def against_rest(
    results: Mapping[str, Result], network: str, val: np.ndarray, classifier: str = VOTING
) -> tuple[str, Difference | None]:
    """One network against the mean of all others, same classifier, paired on val.

    Args:
        results: network -> result.
        network: the one that is asked about; where it is missing, the first one stands in.
        val: positions of val.
        classifier: whose answers are compared.

    Returns:
        Which network it is, and the difference; None where there is no other.
    """
    network = network if network in results else next(iter(results))
    mine, others = results[network], [result for name, result in results.items() if name != network]
    if not others:
        return network, None
    guesses = [result.answers[classifier][val] for result in others]
    lots = None if mine.lots is None else mine.lots[val]
    of = f"{network} against the others"
    return network, mean_difference(mine.labels[val], [mine.answers[classifier][val]], guesses, of, lots)


def between_seeds(floor: SeedSpread) -> Estimate:
    """What seeds alone do to one network's accuracy: standard deviation, up to that of the classifier with most."""
    return Estimate(floor.value, floor.value, floor.largest, floor.seeds, "between seeds", 100, " points", 1)


def underfitting(result: Result, classifier: str, table: np.ndarray, val: np.ndarray) -> dict[str, Any]:
    """Evidence on underfitting: most of the error is there on the fitted images, where another classifier has less.

    Args:
        result: of the classifiers.
        classifier: the one that is asked about.
        table: that they were fitted on, shape (N, D).
        val: positions of val.

    Returns:
        `parts`: the part of the error that a closer fit could take away minus the part that comes with new images
        (`error`), and the difference on train to the best other classifier there (`rival`); both errors; `best`.
    """
    train, lots = result.train, None if result.lots is None else result.lots[result.train]
    guesses = {name: fitted.predict(table[train]) for name, fitted in result.fitted.items()}
    on_train = {
        name: Accuracy.from_labels(result.labels[train], guess, "train", lots) for name, guess in guesses.items()
    }
    rival = max((name for name in on_train if name != classifier), key=lambda name: on_train[name].value)
    behind = paired_difference(result.labels[train], guesses[classifier], guesses[rival], groups=lots)
    fitted, held = on_train[classifier], result.accuracy(classifier, val)
    half = [(level.high - level.low) / 2 for level in (fitted, held)]
    value, width = 1 - 2 * fitted.value + held.value, (4 * half[0] ** 2 + half[1] ** 2) ** 0.5
    excess = Difference(value, value - width, value + width, held.n, "error on train minus what new images add")
    parts = {"error": excess, "rival": behind}
    return {"parts": parts, "best": rival, "train_error": fitted.wrong, "held_error": held.wrong}


def stand_in_words(gap: Difference | None, title: str) -> str:
    """What the run's first network does against the mean of its others, where B0 isn't there to be asked."""
    if gap is None:
        return f"{title} is the only network of this run."
    return f"{title}, the first network of this run, against the mean of its others, same classifier: {gap}."


def named(rows: Sequence[tuple], *columns: str) -> pd.DataFrame:
    """Rows as a table with these columns."""
    return pd.DataFrame(rows, columns=list(columns))


def dimension_lines(
    by_dimension: Mapping[str, Accuracy],
) -> tuple[dict[str, tuple[np.ndarray, ...]], dict[str, float]]:
    """What `figures.accuracy_by_size` draws: a curve in percent a method, and the level of all columns.

    Args:
        by_dimension: `PCA-8` -> accuracy with so many dimensions; `all` -> with all columns.
    """
    lines: dict[str, list] = {}
    for name, accuracy in by_dimension.items():
        if name != "all":
            method, dimensions = name.split("-")
            points = (accuracy.value, *accuracy.interval)
            lines.setdefault(method, []).append((int(dimensions), *(100 * share for share in points)))
    curves = {method: tuple(np.array(points).T) for method, points in lines.items()}
    return curves, {"all columns": 100 * by_dimension["all"].value}


def fewest(by_dimension: Mapping[str, Accuracy], share: float = 0.9) -> int:
    """Fewest principal components that reach `share` of the accuracy on all columns."""
    pca = {int(name.split("-")[1]): value.value for name, value in by_dimension.items() if name.startswith("PCA")}
    reached = [components for components, value in pca.items() if value >= share * by_dimension["all"].value]
    return min(reached, default=max(pca))


def neighbours_words(guesses: Mapping[str, np.ndarray], truth: np.ndarray, groups: np.ndarray | None = None) -> str:
    """Rank predictions by accuracy; compare each place with the next one, and the best with all others.

    Args:
        guesses: name -> labels predicted for val, (n,).
        truth: labels of val, (n,).
        groups: lots that are drawn whole, (n,).

    Returns:
        The best; how many tie with it; and how many neighbours differ. All are paired by image, their intervals widened
        for the number of comparisons.
    """
    names = sorted(guesses, key=lambda name: -(guesses[name] == truth).mean())
    if len(names) < 2:
        return f"Only {names[0]} was run, so there is nothing to compare it with."
    pairs, many = list(pairwise(names)), len(names) - 1

    def gap(first: str, second: str) -> Difference:
        return paired_difference(truth, guesses[first], guesses[second], "", groups, comparisons=many)

    ties = sum(gap(names[0], name).tie for name in names[1:])
    apart = sum(not gap(*pair).tie for pair in pairs)
    reached = Accuracy.from_labels(truth, guesses[names[0]], names[0], groups)
    return (
        f"Best on val: {names[0]} ({reached}); {ties} of the {many} others tie with it. Of {len(pairs)} neighbours in "
        f"the ranking {apart or 'none'} {'differ' if apart != 1 else 'differs'} (paired, widened for {many} "
        f"comparison{'s' * (many != 1)})."
    )


def guesses_of(
    candidates: Mapping[ClassifierSpec, Result], rows: np.ndarray, titles: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Answers of all candidates on `rows` by their titles, for `neighbours_words`."""
    return {spec.title(titles): result.answers[spec.classifier][rows] for spec, result in candidates.items()}


def folds_table(sets: Mapping[str, Mapping[str, Result]], val: np.ndarray, titles: Mapping[str, str]) -> pd.DataFrame:
    """Cross-validated and val accuracy of every network and classifier; a set's name is added to its classifiers'."""
    rows = [
        (titles[network], name + more, result.cv(name), result.accuracy(name, val))
        for more, results in sets.items()
        for network, result in results.items()
        for name in result.answers
    ]
    return named(rows, "network", "classifier", "CV, grouped folds", "val")


def variance_tables(
    results: Mapping[str, Mapping[str, Result]], names: Sequence[str], rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Tables for `decompose`: one a reduction, and "both", where the reduction is a factor of its own.

    Args:
        results: reduction -> network -> result.
        names: classifiers.
        rows: positions.

    Returns:
        Whether right, bool (networks, classifiers, rows), for "both" (networks, reductions, classifiers, rows); empty
        where there is one network only.
    """
    if min(map(len, results.values())) < 2:
        return {}
    single = {name: correctness(list(by_network.values()), names, rows) for name, by_network in results.items()}
    return single | {"both": np.stack(list(single.values()), axis=1)}


def shares_table(shares: Mapping[str, Decomposition]) -> pd.DataFrame:
    """Shares of variance as a table, one row a set of features."""
    rows = [
        (
            name,
            decomposition.features,
            decomposition.reduction or "",
            decomposition.classifier,
            decomposition.interaction,
            decomposition.lead,
            decomposition.spread,
        )
        for name, decomposition in shares.items()
    ]
    columns = ("set", "networks", "reduction", "classifier", "rest", "networks minus classifier")
    return named(rows, *columns, "standard deviation of the cells")


def column_groups(columns: Sequence[str]) -> dict[str, list[int]]:
    """Positions of the columns of the original's table by kind; "external columns" are sizes and museum together."""
    kinds = [
        "UMAP" if name.startswith("umap_") else "museum" if name.startswith("Museum") else "sizes" for name in columns
    ]
    places_of = {
        kind: [place for place, other in enumerate(kinds) if other == kind] for kind in ("sizes", "museum", "UMAP")
    }
    return {kind: places for kind, places in places_of.items() if places} | {
        "external columns": places_of["sizes"] + places_of["museum"]
    }


def best_floor(alone: Mapping[str, Accuracy]) -> str:
    """The strongest guess from sizes and museum (lots aside: the original has no such column)."""
    names = [name for name in (trivial_baselines.FOREST, trivial_baselines.FOREST_MUSEUM) if name in alone]
    return max(names, key=lambda name: alone[name].value)


def where_right(
    images: pd.DataFrame,
    train: np.ndarray,
    test: np.ndarray,
    truth: np.ndarray,
    guess: np.ndarray,
    classes: Sequence[str],
) -> tuple[dict[str, Accuracy], str]:
    """Accuracy on test by museum, by whether train has the lot, and by super-group; and the lots compared, in words.

    Args:
        images: image table, N rows.
        train: positions of train.
        test: positions of test, shape (n,).
        truth: labels of test, shape (n,).
        guess: predicted labels of test, shape (n,).
        classes: names by label.
    """
    lots, rows = fold_groups(images.iloc[test]), {}
    seen = seen_in_train(images["lot"], images["lot"].iloc[train])[test]
    by_museum = group_accuracies(truth, guess, images["museum"].to_numpy()[test], "test", lots)
    by_lot = group_accuracies(truth, guess, seen, "test", lots)
    rows |= {f"test, {name or 'museum unknown'}": accuracy for name, accuracy in by_museum.items()}
    rows |= {f"test, {name}": accuracy for name, accuracy in by_lot.items()}
    between, within = group_confusion(truth, guess, [super_group(name) for name in classes], lots)
    rows["test, super-group right"] = between
    if within is not None:
        rows["test, class right where the super-group is"] = within
    return rows, seen_words(guess == truth, truth, seen, lots)


def seen_words(right: np.ndarray, labels: np.ndarray, sides: np.ndarray, lots: np.ndarray) -> str:
    """Compare images of lots that train has with those of lots it has not, within classes, in a sentence.

    Args:
        right: whether each image was recognised, shape (n,).
        labels: class of each image, shape (n,).
        sides: of `metrics.seen_in_train`, shape (n,).
        lots: of the images, shape (n,).
    """
    known = sides != ""
    inside = (array[known] for array in (right, labels, sides == "lot seen in train", lots))
    compared = standardised_difference(*inside) if known.any() else None
    if compared is None:
        return "No class has images of seen and of unseen lots here, so they can't be compared."
    gap, classes = compared
    return f"Images whose lot train has, against those of new lots, at one mix of classes ({classes} have both): {gap}."


def decision_words(
    chosen: str, held: Accuracy, rival: str, against: Difference, floor: SeedSpread, leak: Difference
) -> tuple[str, str, str]:
    """What later chapters use, the reason, and what else was considered (for `lab.decide`).

    Args:
        chosen: the best candidate on val, in words.
        held: its accuracy there.
        rival: the best candidate of the other protocol (the original's, or done right where the original's was chosen).
        against: the chosen against the rival, paired.
        floor: what seeds alone move.
        leak: what cross-validation gains from a reduction fitted before the folds.
    """
    seeds = "more" if abs(against.value) > floor.between() else "no more"
    trust = "shows no leak here"
    if leak.low > 0:
        interval = f"{100 * leak.value:.1f} points ({100 * leak.low:.1f} to {100 * leak.high:.1f})"
        trust = f"is too high by {interval} when it is fitted before the folds"
    return (
        f"The best way to classify frozen features here is {chosen}.",
        f"it is the best on val ({held}); {rival} is the best of the other protocol, against which it is {against}, "
        f"{seeds} than two seeds of one network differ by ({100 * floor.between():.1f} points).",
        f"{rival}; the supervised UMAP to eight dimensions, whose cross-validated accuracy {trust}.",
    )
