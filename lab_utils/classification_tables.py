"""Tables and sentences of chapters 05 and 12 out of the outcomes of `classification`; nothing is fitted here."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lab_utils import floors
from lab_utils.classification import VOTING, Decomposition, Outcome, Reduction, best
from lab_utils.evaluation import averages
from lab_utils.profiles import Classification
from lab_utils.quantities import Accuracy, Estimate, paired_difference

Key = tuple[str, str]  # (what the classifiers saw, network)
LAYERS = {"CNN features": "penultimate", "dense classifier": "logits"}  # the original's words -> layer


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
    found = [
        text.format(getattr(options, name), getattr(asked, name))
        for name, text in words.items()
        if getattr(options, name) != getattr(asked, name)
    ]
    if not found:
        return "All settings are the original's or the libraries' defaults."
    return f"To fit this run's budget: {'; '.join(found)}. All else is the original's or the libraries' default."


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


def confusion_accuracy(counts: np.ndarray, of: str = "") -> Accuracy:
    """Accuracy of a confusion matrix (C, C)."""
    return Accuracy(int(np.trace(counts)), int(counts.sum()), of)


def scores_table(
    outcomes: Mapping[Key, Outcome],
    truth: np.ndarray,
    val: np.ndarray,
    confusions: Mapping[tuple[str, str, str], np.ndarray],
    titles: Mapping[str, str],
    reported: pd.DataFrame,
) -> pd.DataFrame:
    """The original's table (model, best classifier, test score), chosen on val, with the original's rows under it.

    Args:
        outcomes: (what they saw, network) -> outcome.
        truth: labels of val.
        val: positions of val.
        confusions: (what they saw, network, classifier) -> confusion matrix on test.
        titles: network -> title.
        reported: `data/reported/classification.csv`.

    Returns:
        Columns features, model, best on val, CV, val, test, balanced test; reported rows carry the printed number.
    """
    rows = []
    for (seen, network), outcome in outcomes.items():
        name = best(outcome, truth, val)
        counts = confusions[seen, network, name]
        balanced = averages(counts)["balanced accuracy"]
        held = outcome.accuracy(name, truth, val)
        rows.append((seen, titles[network], name, outcome.cv(name), held, confusion_accuracy(counts), balanced))
    for seen in dict.fromkeys(key[0] for key in outcomes):
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
    found: dict[str, list[float]] = {}
    for key, accuracy in accuracies.items():
        name = key[place]
        found.setdefault(titles[name] if titles else name, []).append(100 * accuracy.value)
    return found


def seed_boxes(table: pd.DataFrame) -> dict[str, list[float]]:
    """The runs of `noise_floor` in percent by source and classifier."""
    groups = table.groupby(["classifier", "source"], sort=False)["accuracy"]
    return {f"{name}, {source.split()[0]}": list(100 * values) for (name, source), values in groups}


def correctness(outcomes: Sequence[Outcome], names: Sequence[str], truth: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether each outcome's classifiers were right on `rows`: bool (outcomes, names, rows), for `decompose`."""
    return np.array([[one.predictions[name][rows] == truth for name in names] for one in outcomes])


def voters(outcome: Outcome) -> list[str]:
    """The original's classifiers, voting included, in an outcome."""
    return [name for name in outcome.predictions if name != "Ridge"]


def spread_of_networks(outcomes: Mapping[str, Outcome], truth: np.ndarray, rows: np.ndarray) -> float:
    """Gap between the best and the worst network, mean over classifiers, in [0, 1]."""
    names = voters(next(iter(outcomes.values())))
    values = correctness(list(outcomes.values()), names, truth, rows).mean(2)
    return float(np.ptp(values, axis=0).mean())


def recommended(outcomes: Mapping[str, Outcome], truth: np.ndarray, val: np.ndarray) -> tuple[str, str]:
    """Network and classifier with the highest val accuracy, the first in a tie."""
    pairs = [(network, best(outcome, truth, val)) for network, outcome in outcomes.items()]
    return max(pairs, key=lambda pair: outcomes[pair[0]].accuracy(pair[1], truth, val).value)


def named(rows: Sequence[tuple], *columns: str) -> pd.DataFrame:
    """Rows as a table with these columns."""
    return pd.DataFrame(rows, columns=list(columns))


def dimension_lines(found: Mapping[Reduction, Accuracy]) -> dict[str, tuple[np.ndarray, ...]]:
    """Curves of accuracy in percent over dimensions, one a method: (dimensions, value, low, high)."""
    lines: dict[str, list] = {}
    for one, accuracy in found.items():
        if one.method != "none":
            low, high = accuracy.interval
            lines.setdefault(one.words, []).append((one.dimensions, 100 * accuracy.value, 100 * low, 100 * high))
    return {name: tuple(np.array(points).T) for name, points in lines.items()}


def fewest(found: Mapping[Reduction, Accuracy], share: float = 0.9) -> int:
    """Fewest principal components that reach `share` of the accuracy on all columns."""
    whole = next(accuracy.value for one, accuracy in found.items() if one.method == "none")
    pca = {one.dimensions: accuracy.value for one, accuracy in found.items() if one.method == "pca"}
    return min([components for components, value in pca.items() if value >= share * whole], default=max(pca))


def neighbours_words(
    outcomes: Mapping[str, Outcome], truth: np.ndarray, val: np.ndarray, titles: Mapping[str, str]
) -> str:
    """Compare each place in the ranking on val with the next, paired: which differences are more than ties."""
    keys = [(network, name) for network, one in outcomes.items() for name in one.predictions]
    keys.sort(key=lambda key: -outcomes[key[0]].accuracy(key[1], truth, val).value)
    guesses = [outcomes[network].predictions[name][val] for network, name in keys]
    names = [f"{name} on {titles[network]}" for network, name in keys]
    gaps = [paired_difference(truth, guesses[0], guess, resamples=500) for guess in guesses[1:]]
    ties = 1 + next((place for place, gap in enumerate(gaps) if not gap.tie), len(gaps))
    words = f"Best on val: {names[0]} ({outcomes[keys[0][0]].accuracy(keys[0][1], truth, val)}). "
    if ties > len(gaps):
        return words + f"All {len(names)} of the table tie with it (paired bootstrap)."
    return (
        words
        + (f"The {ties - 1} next ones tie with it" if ties > 1 else "None ties with it")
        + f"; the first that does not is {names[ties]}, where the best is {gaps[ties - 1]}."
    )


def folds_table(
    sets: Mapping[str, Mapping[str, Outcome]], truth: np.ndarray, val: np.ndarray, titles: Mapping[str, str]
) -> pd.DataFrame:
    """Cross-validated and val accuracy of every network and classifier; a set's name is added to its classifiers'."""
    rows = [
        (titles[network], name + more, one.cv(name), one.accuracy(name, truth, val))
        for more, outcomes in sets.items()
        for network, one in outcomes.items()
        for name in one.folds
    ]
    return named(rows, "network", "classifier", "CV, grouped folds", "val")


def shares_table(shares: Mapping[str, Decomposition]) -> pd.DataFrame:
    """Shares of variance as a table, one row a set of features."""
    rows = [(name, one.features, one.classifier, one.interaction, one.lead, one.spread) for name, one in shares.items()]
    columns = ("set", "features", "classifier", "rest", "features minus classifier", "standard deviation of the cells")
    return named(rows, *columns)


def column_groups(columns: Sequence[str]) -> dict[str, list[int]]:
    """Positions of the columns of the original's table by kind; "external columns" are sizes and museum together."""
    kinds = [
        "UMAP" if name.startswith("umap_") else "museum" if name.startswith("Museum") else "sizes" for name in columns
    ]
    found = {kind: [place for place, one in enumerate(kinds) if one == kind] for kind in ("sizes", "museum", "UMAP")}
    return {kind: places for kind, places in found.items() if places} | {
        "external columns": found["sizes"] + found["museum"]
    }


def largest(lost: Mapping[str, Mapping[str, Estimate]], part: str) -> Estimate:
    """The largest loss of a group of columns over the classifiers."""
    return max((row[part] for row in lost.values()), key=lambda one: one.value)


def best_floor(alone: Mapping[str, Accuracy]) -> str:
    """The strongest guess from sizes and museum (lots aside: the original has no such column)."""
    names = [name for name in (floors.FOREST, floors.FOREST_MUSEUM) if name in alone]
    return max(names, key=lambda name: alone[name].value)


def seen_words(by_lot: Mapping[str, Accuracy]) -> str:
    """Compare images of lots that train has with those of lots it has not, in a sentence."""
    if not {"lot seen in train", "lot not seen"} <= set(by_lot):
        return "Lots are not known on both sides here, so images of seen and unseen lots can't be compared."
    seen, new = by_lot["lot seen in train"], by_lot["lot not seen"]
    return f"Images whose lot train has: {seen}; of new lots: {new}. Seen lots are {seen.minus(new)}."


def decision_words(chosen: str, held: Accuracy, original: Accuracy, floor: Estimate) -> tuple[str, str, str]:
    """What later chapters use, the reason, and what else was considered (for `lab.decide`)."""
    gain = held.value - original.value
    word = "above" if gain > floor.value else ("below" if gain < -floor.value else "within the seeds' noise of")
    return (
        f"Later chapters classify frozen features by {chosen}, on all columns, all of it fitted inside the fold.",
        f"it is the best on val ({held}), {word} the best of the original's protocol ({original}); seeds alone "
        f"move {floor}.",
        "the supervised UMAP to eight dimensions, whose cross-validated accuracy can't be trusted, and the vote, "
        f"unless it wins on val ({VOTING} was among the candidates).",
    )
