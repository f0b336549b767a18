"""Classifiers on extracted features: the original's protocol, the same done right, and what decides between them.

Arrays in, plain results out. Labels that must not be seen are `UNSEEN` in the label array, so no function here can
fit on them: `labels` holds the classes of train (and val where a search needs it), predictions come back for all rows.
"""

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from lab_utils.analysis.classifiers import (
    RBFSVM,
    Classifier,
    few_threads,
    fit_predict,
    full_classifiers,
    original_classifiers,
    vote,
)
from lab_utils.analysis.umaps import umap_class
from lab_utils.core.errors import LabError
from lab_utils.data.splits import subsample
from lab_utils.stats.intervals import Z95, Accuracy, Difference, Estimate, bootstrap_estimate, bootstrap_means

UNSEEN = -1
VOTING = "Voting"
FEW = 64  # leading components that the boosting reads on full features: its time grows with every one
EXTERNAL = {"width": "Width", "height": "Height", "product": "Product size", "aspect": "Aspect ratio"}
Tables = Mapping[str, np.ndarray]  # view -> (N, D) table; classifiers name the view they read


# ---- tables ---------------------------------------------------------------------------------------------------------
def check_features(features: np.ndarray, rows: np.ndarray | None = None, name: str = "features") -> None:
    """Refuse features that no classifier can use.

    Args:
        features: shape (N, D).
        rows: positions that are fitted on, shape (n,); default all.
        name: of the features, for the sentence.

    Raises:
        LabError: not a table, no rows, values that are not finite, or nothing that varies over `rows`.
    """
    if features.ndim != 2 or not features.size:
        raise LabError(f"The {name} have shape {features.shape}: give one row an image and at least one column.")
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise LabError(
            f"The {name} hold values that are not finite in {bad.sum():,} of {len(bad):,} rows (first: row "
            f"{int(np.argmax(bad))}): look at that image, delete data/cache/features and extract again."
        )
    part = features if rows is None else features[rows]
    if not len(part) or (part == part[:1]).all():
        raise LabError(
            f"The {name} are the same in all {len(part):,} rows to fit on: nothing can be learned from them."
        )


def standardise(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Centre and scale columns by the mean and deviation of `rows`; constant columns become zero; float32 (N, D).

    Constant is a deviation of at most 1e-9 of the mean, so that the scale of a column does not matter.
    """
    part = features[rows]
    mean, deviation = part.mean(0, dtype=np.float64), part.std(0, dtype=np.float64)
    deviation[deviation <= 1e-9 * np.abs(mean)] = np.inf
    table = np.empty(features.shape, np.float32)
    for start in range(0, len(table), 2048):  # in float64, which tiny values around a mean need, by parts for memory
        block = slice(start, start + 2048)
        table[block] = (features[block] - mean) / deviation
    return table


def external_columns(images: pd.DataFrame) -> pd.DataFrame:
    """The original's columns from outside the picture: sizes, aspect ratio, one column a museum.

    Args:
        images: image table with width, height, product, aspect, museum; an unknown museum ("") gets a column of its
            own, and none is made where no museum is known.

    Returns:
        N rows of floats; columns named as in the original (`Museum_...`).
    """
    table = images[list(EXTERNAL)].rename(columns=EXTERNAL).astype(float).reset_index(drop=True)
    museum = images["museum"].fillna("").astype(str).reset_index(drop=True)
    if (museum == "").all():
        return table
    onehot = pd.get_dummies(museum.replace("", "unknown"), prefix="Museum").astype(float)
    return pd.concat([table, onehot], axis=1)


@dataclass(frozen=True)
class Reduction:
    """A way to make features fewer, fitted on given rows only.

    Attributes:
        method: `none`; `pca`; `umap` (labels unused); `supervised umap` (labels used, as in the original).
        dimensions: number of columns kept; more than the data allow means as many as they allow.
        seed: of the reduction.
        epochs: of UMAP's layout; None is its default (500 below 10,000 rows, else 200).
        first: components of a PCA run before UMAP, 0 for none (the original: none). At MAMe's size a UMAP transform is
            25 times faster after 100 components; its neighbours are then those of the leading components.
    """

    method: Literal["none", "pca", "umap", "supervised umap"] = "none"
    dimensions: int = 0
    seed: int = 0
    epochs: int | None = None
    first: int = 0

    @property
    def words(self) -> str:
        """The method as it is written."""
        return {"none": "all", "pca": "PCA", "umap": "UMAP", "supervised umap": "supervised UMAP"}[self.method]

    def __str__(self) -> str:
        return f"{self.words}-{self.dimensions}" if self.method != "none" else self.words

    def apply(self, features: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Standardise and reduce, both fitted on `rows`.

        Args:
            features: shape (N, D).
            labels: shape (N,); only `labels[rows]` are looked at, and only by the supervised method.
            rows: positions to fit on, shape (n,).

        Returns:
            float32 table, shape (N, k).
        """
        check_features(features, rows)
        with few_threads(features.size):
            return self._reduced(standardise(features, rows), labels, rows)

    def _reduced(self, table: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if self.method == "none":
            return table
        if self.method == "pca":
            return pca(table, rows, self.dimensions, self.seed)
        return self._umap(pca(table, rows, self.first, self.seed) if self.first else table, labels, rows)

    def _umap(self, table: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        neighbours = min(15, len(rows) - 1)
        if neighbours < 2:
            raise LabError(f"UMAP needs at least 3 images to fit on, there are {len(rows)}: give more train images.")
        mapper = umap_class()(
            n_components=self.dimensions,
            n_neighbors=neighbours,
            n_epochs=self.epochs,
            random_state=self.seed,
            init="spectral" if len(rows) > self.dimensions + 2 else "random",
        )
        known, out = labels[rows] if self.method == "supervised umap" else None, np.ones(len(table), bool)
        reduced = np.empty((len(table), self.dimensions), np.float32)
        out[rows] = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            reduced[rows] = mapper.fit_transform(table[rows], known)
            if out.any():
                reduced[out] = mapper.transform(table[out])
        lost = ~np.isfinite(reduced).all(axis=1)
        if lost.any():
            raise LabError(
                f"UMAP found no place for {lost.sum():,} of {len(lost):,} images (first: row {int(np.argmax(lost))}): "
                "look for images that are like no other, or reduce by PCA."
            )
        return reduced


def pca(table: np.ndarray, rows: np.ndarray, components: int, seed: int = 0) -> np.ndarray:
    """Scores on the leading principal components of `rows`, float32 (N, min(components, n - 1, D)).

    Randomised beyond 500 components' worth of data (Halko et al. 2011): the leading subspace to far below the noise.
    """
    from sklearn.decomposition import PCA

    kept = max(1, min(components, len(rows) - 1, table.shape[1]))
    solver = "randomized" if kept < 0.3 * min(len(rows), table.shape[1]) else "full"
    return PCA(kept, svd_solver=solver, random_state=seed).fit(table[rows]).transform(table).astype(np.float32)


def full_views(
    features: np.ndarray, rows: np.ndarray, components: int = 256, seed: int = 0, leading: bool = True
) -> Tables:
    """Tables for `full_classifiers`, fitted on `rows`: standardised columns and (if `leading`) their components."""
    check_features(features, rows)
    table = standardise(features, rows)
    if not leading:
        return {"all": table}
    with few_threads(table.size):
        scores = pca(table, rows, components, seed)
    return {"all": table, "pca": scores, "few": scores[:, :FEW]}


def original_table(
    features: np.ndarray, images: pd.DataFrame, labels: np.ndarray, rows: np.ndarray, reduction: Reduction
) -> pd.DataFrame:
    """The table that the original gave to its classifiers: external columns, `umap_0` ..., museum one-hot.

    Args:
        features: shape (N, D).
        images: image table, N rows.
        labels: shape (N,); those of `rows` are used by a supervised reduction.
        rows: positions of train, on *all* of which the reduction is fitted before any fold is made (as there).
        reduction: the original's is `Reduction("supervised umap", 8)`.

    Returns:
        N rows; sizes standardised.
    """
    external = external_columns(images)
    sizes = list(EXTERNAL.values())
    external[sizes] = standardise(external[sizes].to_numpy(), rows)
    reduced = reduction.apply(features, labels, rows)
    columns = pd.DataFrame(reduced, columns=[f"umap_{i}" for i in range(reduced.shape[1])])
    return pd.concat([external[sizes], columns, external.drop(columns=sizes)], axis=1)


# ---- folds ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Folds:
    """Positions to fit on and to score, fold by fold, with what had to be changed."""

    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    note: str = ""

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


def original_folds(labels: np.ndarray, rows: np.ndarray, folds: int = 5) -> Folds:
    """Folds as in the original: stratified by class, *not* shuffled, in the table's order (sorted by museum in MAMe).

    Args:
        labels: shape (N,).
        rows: positions of train in table order, shape (n,).
        folds: how many; fewer where no class has so many images.

    Raises:
        LabError: no class has two images.
    """
    from sklearn.model_selection import StratifiedKFold

    used, note = _possible_folds(labels[rows], folds)
    return _folds(StratifiedKFold(used).split(rows, labels[rows]), rows, note)


def grouped_folds(labels: np.ndarray, groups: np.ndarray, rows: np.ndarray, folds: int = 5, seed: int = 0) -> Folds:
    """Folds done right: shuffled, stratified by class, a group (accession lot) never on both sides.

    Args:
        labels: shape (N,).
        groups: what must stay together, shape (N,), e.g. `splits.fold_groups`; an image of unknown lot ("") is alone.
        rows: positions of train, shape (n,).
        folds: how many; fewer where no class has so many images.
        seed: of the shuffling.

    Raises:
        LabError: no class has two images, or fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    used, note = _possible_folds(labels[rows], folds)
    named = np.array([str(group) or f"alone {row}" for row, group in zip(rows, groups[rows], strict=True)])
    distinct = len(np.unique(named))
    if distinct == len(named):
        note += "No two train images are known to share a lot: folds are shuffled by image, not grouped by lot. "
        return _folds(StratifiedKFold(used, shuffle=True, random_state=seed).split(rows, labels[rows]), rows, note)
    if distinct < used:
        raise LabError(f"{used} folds grouped by lot need {used} lots, there are {distinct}: ask for fewer folds.")
    splitter = StratifiedGroupKFold(used, shuffle=True, random_state=seed)
    return _folds(splitter.split(rows, labels[rows], named), rows, note)


def _possible_folds(labels: np.ndarray, folds: int) -> tuple[int, str]:
    most = int(np.unique(labels, return_counts=True)[1].max()) if len(labels) else 0
    if most < 2:
        raise LabError("Cross-validation needs at least two train images of some class: give more images.")
    note = f"{most} folds instead of {folds}: no class has more train images. " if most < folds else ""
    return min(folds, most), note


def _folds(pairs: Any, rows: np.ndarray, note: str) -> Folds:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        return Folds(tuple((rows[fit], rows[held]) for fit, held in pairs if len(fit) and len(held)), note.strip())


# ---- the comparison -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Outcome:
    """What a set of classifiers did on one table.

    Attributes:
        predictions: classifier -> label for every row, shape (N,); rows fitted on hold their own labels.
        folds: classifier -> accuracy in each fold of train.
        held: classifier -> its cross-validated prediction for each train row, shape (N,), UNSEEN elsewhere.
        fitted: classifier -> the estimator fitted on train.
        seconds: classifier -> seconds of the last fit and prediction (voting: of all voters).
    """

    predictions: dict[str, np.ndarray]
    folds: dict[str, list[Accuracy]]
    held: dict[str, np.ndarray]
    fitted: dict[str, Any] = field(repr=False, default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def cv(self, classifier: str) -> Accuracy:
        """Accuracy over all folds together."""
        parts = self.folds[classifier]
        return Accuracy(sum(one.successes for one in parts), sum(one.n for one in parts), f"{classifier}, CV")

    def accuracy(self, classifier: str, truth: np.ndarray, rows: np.ndarray, of: str = "") -> Accuracy:
        """Accuracy on `rows` whose labels are `truth`."""
        return Accuracy.from_labels(truth, self.predictions[classifier][rows], of or classifier)


def compare(
    tables_of: Callable[[np.ndarray], Tables],
    labels: np.ndarray,
    rows: np.ndarray,
    classifiers: dict[str, Classifier],
    folds: Folds | None = None,
) -> Outcome:
    """Cross-validate classifiers on `rows`, then fit on all of them and predict every other row.

    Args:
        tables_of: gives the tables (N rows each) fitted on the positions it is given and on nothing else. One that
            ignores its argument puts the preprocessing *before* the folds, as the original did.
        labels: shape (N,); only those of `rows` are looked at.
        rows: positions of train, shape (n,).
        classifiers: name -> classifier; those that vote get the companion "Voting".
        folds: of `rows`; None leaves cross-validation out.

    Returns:
        Predictions, accuracies by fold, fitted estimators.
    """
    held = {name: np.full(len(labels), UNSEEN) for name in (*classifiers, VOTING)}
    scores: dict[str, list[Accuracy]] = {name: [] for name in held}
    for number, (fit, out) in enumerate(folds or (), 1):
        predicted, *_ = _fit_all(tables_of(fit), labels, fit, out, classifiers)
        for name, guess in predicted.items():
            held[name][out] = guess
            scores[name].append(Accuracy.from_labels(labels[out], guess, f"{name}, fold {number}"))
    others = np.setdiff1d(np.arange(len(labels)), rows)
    predicted, fitted, seconds = _fit_all(tables_of(rows), labels, rows, others, classifiers)
    whole = {name: labels.copy() for name in predicted}
    for name, guess in predicted.items():
        whole[name][others] = guess
    return Outcome(whole, {name: scores[name] for name in predicted}, held, fitted, seconds)


def _fit_all(
    tables: Tables, labels: np.ndarray, fit: np.ndarray, out: np.ndarray, classifiers: dict[str, Classifier]
) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, float]]:
    from sklearn.base import clone

    predicted, fitted, seconds = {}, {}, {}
    for name, one in classifiers.items():
        start, table, fitted[name] = time.perf_counter(), tables[one.view], clone(one.estimator)
        with few_threads(table.size):
            predicted[name] = fit_predict(fitted[name], table[fit], labels[fit], table[out])
        seconds[name] = time.perf_counter() - start
    voters = [name for name, one in classifiers.items() if one.votes]
    if len(voters) > 1:
        predicted[VOTING] = vote([predicted[name] for name in voters])
        seconds[VOTING] = sum(seconds[name] for name in voters)
    return predicted, fitted, seconds


def as_in_the_original(
    features: np.ndarray,
    images: pd.DataFrame,
    labels: np.ndarray,
    rows: np.ndarray,
    *,
    reduction: Reduction | None = None,
    classifiers: dict[str, Classifier] | None = None,
    folds: int = 5,
) -> tuple[Outcome, pd.DataFrame]:
    """The original's protocol, its flaws included: reduction on all of train with its labels, then unshuffled folds.

    Args:
        features: shape (N, D).
        images: image table, N rows.
        labels: shape (N,), known at `rows`.
        rows: positions of train in table order.
        reduction: default supervised UMAP to 8 dimensions.
        classifiers: default the original's four.
        folds: number of folds, 0 for none.

    Returns:
        The outcome, and the table the classifiers saw (N rows).
    """
    table = original_table(features, images, labels, rows, reduction or Reduction("supervised umap", 8))
    fixed = {"all": table.to_numpy(np.float32)}
    made = original_folds(labels, rows, folds) if folds else None
    return compare(lambda _: fixed, labels, rows, classifiers or original_classifiers(), made), table


def done_right(
    features: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    folds: Folds | None,
    *,
    reduction: Reduction | None = None,
    classifiers: dict[str, Classifier] | None = None,
    components: int = 256,
) -> Outcome:
    """The same question without the flaws: whatever is fitted is fitted inside the fold; no external columns.

    Args:
        features: shape (N, D).
        labels: shape (N,), known at `rows`.
        rows: positions of train.
        folds: shuffled and grouped by lot (`grouped_folds`).
        reduction: None keeps all columns.
        classifiers: default `full_classifiers` on all columns, the original's four on a reduction.
        components: of the view "pca".
    """
    if reduction is None or reduction.method == "none":
        chosen = classifiers or full_classifiers(features.shape[1])
        leading = any(one.view != "all" for one in chosen.values())
        views = partial(full_views, features, components=components, leading=leading)
        return compare(views, labels, rows, chosen, folds)

    def tables(fit: np.ndarray) -> Tables:
        table = reduction.apply(features, labels, fit)
        return {"all": table, "pca": table, "few": table}

    return compare(tables, labels, rows, classifiers or original_classifiers(), folds)


def importances(outcome: Outcome, columns: Sequence[str]) -> pd.DataFrame:
    """Importance of each column as the tree ensembles report it (one column a classifier that has one)."""
    found = {name: one.feature_importances_ for name, one in outcome.fitted.items() if _has_importances(one)}
    return pd.DataFrame(found, index=pd.Index(list(columns), name="column"))


def _has_importances(estimator: Any) -> bool:
    try:
        return getattr(estimator, "feature_importances_", None) is not None
    except Exception:  # not fitted, as on a train split of one class
        return False


# ---- is it the classifier or the features? ---------------------------------------------------------------------------
@dataclass(frozen=True)
class Decomposition:
    """Shares of the variance of accuracy over the cells of a table (features × classifier, or × reduction as well).

    Attributes:
        features: share of the features' (networks') effect in [0, 1].
        classifier: share of the classifiers'.
        reduction: share of the reduction's; None where the table has one reduction only.
        interaction: what is left.
        lead: features' share minus the classifier's; its interval decides.
        spread: standard deviation of the cells' accuracies, noise included.
    """

    features: Estimate
    classifier: Estimate
    reduction: Estimate | None
    interaction: Estimate
    lead: Estimate
    spread: Estimate


def decompose(correct: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> Decomposition:
    """Analysis of variance of accuracy without the sampling noise of the images, bootstrapped over images (or lots).

    The sums of squares of a complete table without replicates (Scheffé 1959, chapter 4). Each holds, beside its effect,
    noise of the finite set of images, the more the more levels it has; a bootstrap table holds it once more, so what
    the bootstrap adds on average is subtracted (Efron and Tibshirani 1993, section 10.2). Shares are of what is left.

    Args:
        correct: whether features `i` with classifier `j` were right on image `k`, shape (I, J, n), or with reduction
            `r` as well, (I, R, J, n); I, R and J >= 2.
        groups: lot of each image, shape (n,); whole lots are drawn.
        seed: of the bootstrap.

    Raises:
        LabError: fewer than two levels of a factor.
    """
    correct = np.asarray(correct, float)
    levels = correct.shape[:-1]
    if min(levels) < 2:
        raise LabError(f"A variance decomposition needs two feature sets and two classifiers, not {levels}.")
    cells = [bootstrap_means(cell, groups, seed, 1000) for cell in correct.reshape(-1, correct.shape[-1])]
    drawn = _effects(np.array(cells).T.reshape(-1, *levels))
    seen = _effects(correct.mean(-1)[None])
    noise = drawn.mean(1, keepdims=True) - seen
    shares, many = _shares(seen - noise), _shares(drawn - 2 * noise)
    low, high = np.quantile(many, [0.025, 0.975], axis=1)
    style = {"scale": 100, "unit": " %", "digits": 0}
    names = ("features", *(("reduction",) if len(levels) == 3 else ()), "classifier", "interaction", "lead")
    found = {
        key: Estimate(shares[i, 0], low[i], high[i], correct.shape[-1], key, **style) for i, key in enumerate(names)
    }
    spread = np.sqrt([seen.sum(), *np.quantile(drawn.sum(0), [0.025, 0.975])])
    found["spread"] = Estimate(*map(float, spread), correct.shape[-1], "spread", 100, " points", 1)
    return Decomposition(**{"reduction": None} | found)


def _effects(tables: np.ndarray) -> np.ndarray:
    """Mean squares of each factor's effects and of the rest, of tables (B, I, …, J): shape (factors + 1, B)."""
    factors = tuple(range(1, tables.ndim))
    centred = tables - tables.mean(factors, keepdims=True)
    main = [(centred.mean(tuple(other for other in factors if other != one)) ** 2).mean(1) for one in factors]
    return np.stack([*main, (centred**2).mean(factors) - np.sum(main, axis=0)])


def _shares(effects: np.ndarray) -> np.ndarray:
    """Shares of each effect, and the first factor's minus the last one's; all 0 where nothing is left of them."""
    kept = np.maximum(effects, 0)
    shares = kept / np.where(kept.sum(0) > 0, kept.sum(0), 1)
    return np.vstack([shares, shares[0] - shares[-2]])


@dataclass(frozen=True)
class SeedSpread:
    """How far accuracies of one network move by chance alone: standard deviations between seeds, shares in [0, 1].

    Attributes:
        value: root mean square over classifiers and sources of chance.
        smallest: of a classifier and source.
        largest: of a classifier and source.
        seeds: runs behind each.
    """

    value: float
    smallest: float
    largest: float
    seeds: int

    def between(self, others: int = 1) -> float:
        """Difference that a run and the mean of `others` runs show by chance in 95 of 100 cases at most."""
        return Z95 * self.value * (1 + 1 / others) ** 0.5

    def __str__(self) -> str:
        value, smallest, largest = (f"{100 * one:.1f}" for one in (self.value, self.smallest, self.largest))
        return (
            f"{value} points of standard deviation between {self.seeds} seeds (smallest of a classifier {smallest}, "
            f"largest {largest})"
        )

    def to_record(self) -> dict[str, float | str]:
        """Plain values for a record."""
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "text": str(self)}


def noise_floor(runs: Mapping[str, Sequence[Mapping[str, Accuracy]]]) -> tuple[pd.DataFrame, SeedSpread]:
    """How far accuracies of one network move by chance alone: same classifier, other seed.

    Args:
        runs: source of chance -> runs that differ in its seed only, each classifier -> accuracy.

    Returns:
        One row a run and classifier (source, run, classifier, accuracy), and the spread between seeds.
    """
    table = pd.DataFrame(
        {"source": source, "run": number, "classifier": name, "accuracy": accuracy.value}
        for source, several in runs.items()
        for number, one in enumerate(several)
        for name, accuracy in one.items()
    )
    deviations = table.groupby(["source", "classifier"])["accuracy"].std(ddof=1)
    seeds = int(table.groupby(["source", "classifier"]).size().min())
    return table, SeedSpread(
        float((deviations**2).mean() ** 0.5), float(deviations.min()), float(deviations.max()), seeds
    )


def chance_runs(
    features: np.ndarray,
    images: pd.DataFrame,
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    *,
    reduction: Reduction,
    classifiers: dict[str, Classifier],
    seeds: int,
) -> dict[str, list[dict[str, Accuracy]]]:
    """Runs of the original's protocol on one network that differ in a seed only: of UMAP, or of the split.

    Args:
        features: shape (N, D).
        images: image table, N rows.
        labels: shape (N,), known on train and val.
        train: positions of train.
        val: positions of val; for other split seeds train and val are mixed and split again, same sizes.
        reduction: of the protocol; its seed is counted up.
        classifiers: see `as_in_the_original`.
        seeds: runs of each kind.

    Returns:
        For `noise_floor`; the first run of both kinds is the protocol as it is.
    """

    def run(fit: np.ndarray, held: np.ndarray, seed: int) -> dict[str, Accuracy]:
        one = replace(reduction, seed=reduction.seed + seed)
        seen = np.sort(np.concatenate([fit, held]))
        places = np.searchsorted(seen, fit), np.searchsorted(seen, held)
        tables = (features[seen], images.iloc[seen], labels[seen], places[0])
        outcome, _ = as_in_the_original(*tables, reduction=one, classifiers=classifiers, folds=0)
        return {name: outcome.accuracy(name, labels[held], places[1]) for name in outcome.predictions}

    splits = [(train, val), *(resplit(labels, train, val, seed) for seed in range(1, seeds))]
    first = run(train, val, 0)
    return {
        "UMAP seed": [first, *(run(train, val, seed) for seed in range(1, seeds))],
        "split seed": [first, *(run(fit, held, 0) for fit, held in splits[1:])],
    }


def resplit(labels: np.ndarray, train: np.ndarray, val: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mix train and val and split them again at random, as many images of each class in each: (train, val)."""
    rows = np.concatenate([train, val])
    fit = rows[subsample(labels[rows], Counter(labels[train]), seed)]
    return np.sort(fit), np.setdiff1d(rows, fit)


def accuracy_by_dimension(
    features: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    reductions: Sequence[Reduction],
    most: int = 5000,
) -> dict[Reduction, Accuracy]:
    """Val accuracy of one classifier (RBF SVM) on each reduction, fitted on the same train images.

    Args:
        features: shape (N, D).
        labels: shape (N,), known on train and val.
        train: positions of train; a stratified part of at most about `most` is used.
        val: positions of val.
        reductions: what to try.
        most: train images, at most.
    """
    fit = stratified_part(labels, train, most)
    seen = np.concatenate([fit, val])
    here = np.arange(len(fit))
    found = {}
    for one in reductions:
        table = one.apply(features[seen], labels[seen], here)
        with few_threads(table.size):
            guess = fit_predict(RBFSVM(), table[here], labels[fit], table[len(fit) :])
        found[one] = Accuracy.from_labels(labels[val], guess, str(one))
    return found


def component_steps(most: int) -> list[int]:
    """Powers of two well below `most`, and `most`: the numbers of components worth trying."""
    return [2**power for power in range(1, most.bit_length()) if 2**power < most / 1.4] + [most]


def stratified_part(labels: np.ndarray, rows: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """At most `most` of `rows` (about; at least one a class), as many of each class as can be, in their order."""
    if len(rows) <= most:
        return rows
    return rows[subsample(labels[rows], max(1, most // len(np.unique(labels[rows]))), seed)]


# ---- what is read off outcomes --------------------------------------------------------------------------------------
def placed(n: int, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Labels of `rows` in an array of length n that is UNSEEN elsewhere."""
    labels = np.full(n, UNSEEN)
    labels[rows] = values
    return labels


def best(outcome: Outcome, truth: np.ndarray, rows: np.ndarray, singles: bool = False) -> str:
    """The classifier with the highest accuracy on `rows` (val), the first in a tie; `singles` leaves voting out."""
    names = [name for name in outcome.predictions if not (singles and name == VOTING)]
    return max(names, key=lambda name: outcome.accuracy(name, truth, rows).value)


def best_by_cv(outcome: Outcome) -> str:
    """The single classifier with the highest cross-validated accuracy, the first in a tie: chosen without val."""
    return max((name for name in outcome.folds if name != VOTING), key=lambda name: outcome.cv(name).value)


def train_guesses(outcome: Outcome, table: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What each fitted classifier says of the rows it was fitted on (table of shape (N, D)): labels, (n,)."""
    kinds = np.unique(labels[rows])
    return {name: kinds[one.predict(table[rows])] for name, one in outcome.fitted.items()}


def fold_gap(outcome: Outcome, classifier: str) -> Difference:
    """Best minus worst fold of one classifier."""
    ordered = sorted(outcome.folds[classifier], key=lambda one: one.value)
    return ordered[-1].minus(ordered[0])


def museum_gap(museums: np.ndarray, folds: Folds) -> float:
    """Largest difference between two folds in the share of the commonest museum, in [0, 1]; 0 if none is known."""
    museums = np.asarray(museums, dtype=object)
    known = museums[museums != ""]
    if not len(known):
        return 0.0
    commonest = pd.Series(known).mode()[0]
    shares = [float((museums[out] == commonest).mean()) for _, out in folds]
    return max(shares) - min(shares)


def mean_difference(
    truth: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    of: str = "",
    lots: np.ndarray | None = None,
) -> Difference:
    """Mean accuracy of several predictions minus that of several others, paired bootstrap over images or lots (n,)."""
    one, other = (np.mean([guess == truth for guess in guesses], axis=0) for guesses in (first, second))
    found = bootstrap_estimate(one - other, of, lots)
    return Difference(found.value, found.low, found.high, found.n, of)


def group_confusion(
    truth: np.ndarray, predicted: np.ndarray, groups: Sequence[str]
) -> tuple[Accuracy, Accuracy | None]:
    """How often the super-group is right, and among images with the right group (None: there are none) the class.

    Args:
        truth: labels, shape (n,).
        predicted: labels, shape (n,).
        groups: super-group of each class, by label.
    """
    names = np.asarray(groups, dtype=object)
    same = names[truth] == names[predicted]
    between = Accuracy(int(same.sum()), len(truth), "super-group")
    if not same.any():
        return between, None
    return between, Accuracy(int((truth == predicted)[same].sum()), int(same.sum()), "class, right group")
