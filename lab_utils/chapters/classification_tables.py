"""Tables and sentences of chapters 05 and 12 out of results of `classification`; nothing is fitted here."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lab_utils.analysis import trivial_baselines
from lab_utils.analysis.classification import CVResult, best, mean_difference
from lab_utils.analysis.reductions import Reduction
from lab_utils.analysis.seed_spread import SeedSpread
from lab_utils.analysis.variance import Decomposition
from lab_utils.core.profiles import Classification
from lab_utils.stats.intervals import Accuracy, Difference, Estimate, paired_difference
from lab_utils.stats.metrics import averages, group_confusions, independent_difference, standardised_difference

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
    results: Mapping[Key, CVResult],
    truth: np.ndarray,
    val: np.ndarray,
    on_test: Mapping[tuple[str, str], Mapping[str, Estimate]],
    titles: Mapping[str, str],
    reported: pd.DataFrame,
) -> pd.DataFrame:
    """The original's table (model, best classifier, test score), chosen on val, with the original's rows under it.

    Args:
        results: (what they saw, network) -> result.
        truth: labels of val.
        val: positions of val.
        on_test: (what they saw, network) -> `metrics.averages` on test of the classifier that is best on val.
        titles: network -> title.
        reported: `data/reported/classification.csv`.

    Returns:
        Columns features, model, best on val, CV, val, test, balanced test; reported rows carry the printed number.
    """
    rows = []
    for (seen, network), result in results.items():
        name = best(result, truth, val)
        mean, held = on_test[seen, network], result.accuracy(name, truth, val)
        means = (mean["accuracy"], mean["balanced accuracy"])
        rows.append((seen, titles[network], name, result.cv(name), held, *means))
    for seen in dict.fromkeys(key[0] for key in results):
        for row in reported_scores(reported, seen).itertuples():
            model = f"{row.network} (reported, chosen on test)"
            rows.append((seen, model, row.best_model, "", "", f"{100 * row.test:.1f} %", ""))
    columns = ["features", "model", "best on val", "CV", "val", "test", "balanced test"]
    return pd.DataFrame(rows, columns=columns)


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


def correctness(results: Sequence[CVResult], names: Sequence[str], truth: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether each result's classifiers were right on `rows`: bool (results, names, rows), for `decompose`."""
    return np.array([[result.predictions[name][rows] == truth for name in names] for result in results])


def voters(result: CVResult) -> list[str]:
    """The original's classifiers, voting included, in a result."""
    return [name for name in result.predictions if name != "Ridge"]


def spread_of_networks(results: Mapping[str, CVResult], truth: np.ndarray, rows: np.ndarray) -> float:
    """Standard deviation of accuracy over networks, root mean square over classifiers, in [0, 1]; 0 for one network."""
    if len(results) < 2:
        return 0.0
    names = voters(next(iter(results.values())))
    values = correctness(list(results.values()), names, truth, rows).mean(2)
    return float(values.var(axis=0, ddof=1).mean() ** 0.5)


def candidates(
    right: Mapping[str, CVResult], embedded: Mapping[str, CVResult], original: Mapping[Key, CVResult]
) -> dict[ClassifierSpec, CVResult]:
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
    return {ClassifierSpec(*place, name): result for *place, result in sets for name in result.predictions}


def ranked(candidates: Mapping[ClassifierSpec, CVResult], truth: np.ndarray, val: np.ndarray) -> list[ClassifierSpec]:
    """Candidates by val accuracy, the best first; the first named in a tie."""
    return sorted(candidates, key=lambda spec: -candidates[spec].accuracy(spec.classifier, truth, val).value)


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
    guesses: Mapping[str, np.ndarray], network: str, truth: np.ndarray, lots: np.ndarray | None = None
) -> Difference | None:
    """One network's predictions (n,) against the mean of all others', paired; None where there is no other."""
    others = [guess for name, guess in guesses.items() if name != network]
    return mean_difference(truth, [guesses[network]], others, f"{network} against the others", lots) if others else None


def between_seeds(floor: SeedSpread) -> Estimate:
    """What seeds alone do to one network's accuracy: standard deviation, up to that of the classifier with most."""
    return Estimate(floor.value, floor.value, floor.largest, floor.seeds, "between seeds", 100, " points", 1)


def underfitting(train: Accuracy, held: Accuracy, behind: Difference) -> dict[str, Any]:
    """Evidence on underfitting: most of the error is there on the fitted images, where another classifier has less.

    Args:
        train: on the images fitted on; 1 minus it is the part of the error that a closer fit could take away.
        held: on val; `train` minus `held` is the part that comes with new images.
        behind: on train, minus the best other classifier, paired.

    Returns:
        `parts`: the first part minus the second (`error`), and `behind` (`rival`); both errors.
    """
    half = [(level.high - level.low) / 2 for level in (train, held)]
    value, width = 1 - 2 * train.value + held.value, (4 * half[0] ** 2 + half[1] ** 2) ** 0.5
    excess = Difference(value, value - width, value + width, held.n, "error on train minus what new images add")
    return {"parts": {"error": excess, "rival": behind}, "train_error": train.wrong, "held_error": held.wrong}


def stand_in_words(gap: Difference | None, title: str) -> str:
    """What the run's first network does against the mean of its others, where B0 isn't there to be asked."""
    if gap is None:
        return f"{title} is the only network of this run."
    return f"{title}, the first network of this run, against the mean of its others, same classifier: {gap}."


def named(rows: Sequence[tuple], *columns: str) -> pd.DataFrame:
    """Rows as a table with these columns."""
    return pd.DataFrame(rows, columns=list(columns))


def dimension_lines(by_reduction: Mapping[Reduction, Accuracy]) -> dict[str, tuple[np.ndarray, ...]]:
    """Curves of accuracy in percent over dimensions, one a method: (dimensions, value, low, high)."""
    lines: dict[str, list] = {}
    for reduction, accuracy in by_reduction.items():
        if reduction.method != "none":
            low, high = accuracy.interval
            lines.setdefault(reduction.words, []).append(
                (reduction.dimensions, 100 * accuracy.value, 100 * low, 100 * high)
            )
    return {name: tuple(np.array(points).T) for name, points in lines.items()}


def fewest(by_reduction: Mapping[Reduction, Accuracy], share: float = 0.9) -> int:
    """Fewest principal components that reach `share` of the accuracy on all columns."""
    whole = next(accuracy.value for reduction, accuracy in by_reduction.items() if reduction.method == "none")
    pca = {
        reduction.dimensions: accuracy.value
        for reduction, accuracy in by_reduction.items()
        if reduction.method == "pca"
    }
    return min([components for components, value in pca.items() if value >= share * whole], default=max(pca))


def neighbours_words(
    guesses: Mapping[str, np.ndarray], truth: np.ndarray, groups: np.ndarray | None = None, most: int = 3
) -> str:
    """Rank predictions by accuracy; compare each place with the next one, and the best with all others.

    Args:
        guesses: name -> labels predicted for val, (n,).
        truth: labels of val, (n,).
        groups: lots that are drawn whole, (n,).
        most: pairs that are named, at most.

    Returns:
        The best; how many tie with it; and which neighbours differ. All are paired by image, their intervals widened
        for the number of comparisons.
    """
    names = sorted(guesses, key=lambda name: -(guesses[name] == truth).mean())
    if len(names) < 2:
        return f"Only {names[0]} was run, so there is nothing to compare it with."
    pairs, many = list(pairwise(names)), len(names) - 1

    def gap(first: str, second: str) -> Difference:
        return paired_difference(truth, guesses[first], guesses[second], "", groups, comparisons=many)

    ties = sum(gap(names[0], name).tie for name in names[1:])
    apart = [f"{first} above {second}" for first, second in pairs if not gap(first, second).tie]
    reached = Accuracy.from_labels(truth, guesses[names[0]], names[0], groups)
    return (
        f"Best on val: {names[0]} ({reached}); {ties} of the {many} others tie with it. Of {len(pairs)} neighbours "
        f"in the ranking {len(apart) or 'none'} {'differ' if len(apart) != 1 else 'differs'}"
        f"{': ' if apart else ''}{'; '.join(apart[:most])}{', …' if len(apart) > most else ''}. Compared are the same "
        f"images; intervals are widened for {many} comparison{'s' * (many != 1)}."
    )


def guesses_of(
    candidates: Mapping[ClassifierSpec, CVResult], rows: np.ndarray, titles: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Predictions of all candidates on `rows` by their titles, for `neighbours_words`."""
    return {spec.title(titles): result.predictions[spec.classifier][rows] for spec, result in candidates.items()}


def folds_table(
    sets: Mapping[str, Mapping[str, CVResult]], truth: np.ndarray, val: np.ndarray, titles: Mapping[str, str]
) -> pd.DataFrame:
    """Cross-validated and val accuracy of every network and classifier; a set's name is added to its classifiers'."""
    rows = [
        (titles[network], name + more, result.cv(name), result.accuracy(name, truth, val))
        for more, results in sets.items()
        for network, result in results.items()
        for name in result.folds
    ]
    return named(rows, "network", "classifier", "CV, grouped folds", "val")


def variance_tables(
    results: Mapping[str, Mapping[str, CVResult]], names: Sequence[str], truth: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Tables for `decompose`: one a reduction, and "both", where the reduction is a factor of its own.

    Args:
        results: reduction -> network -> result.
        names: classifiers.
        truth: labels of `rows`.
        rows: positions.

    Returns:
        Whether right, bool (networks, classifiers, rows), for "both" (networks, reductions, classifiers, rows); empty
        where there is one network only.
    """
    if min(map(len, results.values())) < 2:
        return {}
    single = {name: correctness(list(by_network.values()), names, truth, rows) for name, by_network in results.items()}
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


def carried_words(val: Accuracy, balanced: Estimate) -> str:
    """Val (balanced) against balanced test accuracy, other images of the same kind, in a sentence."""
    gap = independent_difference(val, balanced)
    return f"Val {val}, balanced test {balanced}: {'' if gap.tie else 'val is '}{gap}."


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


def museum_words(
    truth: np.ndarray, by_features: np.ndarray, by_medium: np.ndarray, lots: np.ndarray | None = None
) -> str:
    """How well the museum of each image is read from features, beside what its true medium tells; shapes (n,)."""
    more = paired_difference(truth, by_features, by_medium, groups=lots)
    read, told = (Accuracy.from_labels(truth, answers, "museum", lots) for answers in (by_features, by_medium))
    return (
        f"The museum, read from the features on val: {read}; told by the true medium alone: {told}. The features "
        f"against that: {more}."
    )
