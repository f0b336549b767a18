"""Is it the classifier or the features? Shares of the variance of accuracy over a table of both."""

from dataclasses import dataclass

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Estimate, bootstrap_means


@dataclass(frozen=True)
class Decomposition:
    """Shares of the variance of accuracy over the cells of a table (features × classifier, or × reduction as well).

    Attributes:
        features: share of the features' (networks') effect in [0, 1].
        classifier: share of the classifiers'.
        reduction: share of the reduction's; None where the table has one reduction only.
        interaction: what is left.
        lead: features' share minus the classifier's; its interval decides.
        spread: standard deviation of the cells' accuracies, noise included, without interval.
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
    estimates = {
        key: Estimate(shares[i, 0], low[i], high[i], correct.shape[-1], key, **style) for i, key in enumerate(names)
    }
    spread = float(np.sqrt(seen.sum()))
    estimates["spread"] = Estimate(spread, np.nan, np.nan, correct.shape[-1], "spread", 100, " points", 1)
    return Decomposition(**{"reduction": None} | estimates)


def _effects(tables: np.ndarray) -> np.ndarray:
    """Mean squares of each factor's effects and of the rest, of tables (B, I, …, J): shape (factors + 1, B)."""
    factors = tuple(range(1, tables.ndim))
    centred = tables - tables.mean(factors, keepdims=True)
    main = [(centred.mean(tuple(other for other in factors if other != factor)) ** 2).mean(1) for factor in factors]
    return np.stack([*main, (centred**2).mean(factors) - np.sum(main, axis=0)])


def _shares(effects: np.ndarray) -> np.ndarray:
    """Shares of each effect, and the first factor's minus the last one's; all 0 where nothing is left of them."""
    kept = np.maximum(effects, 0)
    shares = kept / np.where(kept.sum(0) > 0, kept.sum(0), 1)
    return np.vstack([shares, shares[0] - shares[-2]])
