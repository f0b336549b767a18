"""Chapter 05 at MAMe's full size on class-structured random features: seconds, memory, and what speed costs.

    python benchmarks/classification.py                      # 20,300 train, 17,107 val and test rows, 4,096 columns
    python benchmarks/classification.py --rows 2000 --width 1280 --plain 500,1000

Three questions: how long do both sets of classifiers (the original's four on its reduced table, cross-validated; the
fast ones on full features, fitted once: each fold of chapter 05 takes about as long again) and one in-fold UMAP-8 take
for one network; how much faster are the fast ones than the plain script (the same
four, default settings, hard voting) on full features; and at what difference in accuracy. The plain script is run on
fewer rows and each classifier extrapolated by the power law through its last two sizes (exponent at least 1).
"""

import argparse
import resource
import sys
import time

import numpy as np
import pandas as pd
import umap
from scipy.stats import mode
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lab_utils.analysis import classification, feature_tables
from lab_utils.analysis.classifiers import Ridge, full_classifiers, original_classifiers
from lab_utils.stats.intervals import Accuracy

CLASSES = 29
VAL_AND_TEST = 17_107 / 20_300  # rows beside each train row


def random_features(rows: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features with the structure of a network's: class means in few directions, noise of decaying spectrum, ReLU."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, rows)
    directions = rng.normal(size=(60, width)).astype(np.float32)
    means = rng.normal(size=(CLASSES, 60)).astype(np.float32)
    own = rng.normal(size=(rows, 60)).astype(np.float32) * 1.6
    features = (means[labels] + own) @ directions / np.sqrt(60)
    features += rng.standard_normal((rows, width), dtype=np.float32) * 1.2
    return np.maximum(features, 0, out=features), labels


def image_table(rows: int, labels: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Sizes and museums that tell a little of the class."""
    rng = np.random.default_rng(seed)
    width, height = rng.integers(500, 4000, (2, rows)) + 20 * labels
    museum = np.array(["A", "B", "C"])[(labels + rng.integers(0, 3, rows)) % 3]
    return pd.DataFrame(
        {"width": width, "height": height, "product": width * height, "aspect": width / height, "museum": museum}
    )


def timed(words: str, function, *args, **more):
    """Run, print seconds and peak memory, return the result and the seconds."""
    start = time.perf_counter()
    result = function(*args, **more)
    seconds = time.perf_counter() - start
    scale = 2**20 if sys.platform != "darwin" else 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    print(f"{words:58s} {seconds:8.1f} s   peak {peak:4.1f} GB", flush=True)
    return result, seconds


def plain_script(features: np.ndarray, labels: np.ndarray, rows: np.ndarray, held: np.ndarray) -> tuple[dict, dict]:
    """The plain script on full features: seconds of each of the four, and accuracy of each and of the vote."""
    seconds, guesses, table = {}, {}, feature_tables.standardise(features, rows)
    for name, voter in original_classifiers().items():
        model = voter.set_params(n_jobs=None) if name == "Random forest" else voter
        words = f"  plain {name}, {len(rows):,} rows"
        guess, seconds[name] = timed(
            words, lambda model=model: model.fit(table[rows], labels[rows]).predict(table[held])
        )
        guesses[name] = guess
        if stopped(model):
            print(
                f"  plain {name} stopped at {model.max_iter:,} rounds without converging: its seconds are a lower bound"
            )
    guesses[classification.VOTING] = mode(list(guesses.values()), axis=0).mode
    return seconds, {name: Accuracy.from_labels(labels[held], guess) for name, guess in guesses.items()}


def stopped(model) -> bool:
    """Whether an iterative fit ended because its rounds were used up."""
    rounds = np.max(getattr(model, "n_iter_", 0))
    return bool(0 < getattr(model, "max_iter", 0) <= rounds)


def extrapolated(sizes: list[int], seconds: list[float], rows: int) -> tuple[float, float]:
    """Seconds at `rows` by the power law through the last two sizes, and its exponent (at least 1)."""
    exponent = max(1.0, np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2]))
    return seconds[-1] * (rows / sizes[-1]) ** exponent, exponent


def to_umap():
    """The reduction of chapter 05 at MAMe's size."""
    mapper = umap.UMAP(n_neighbors=15, n_components=8, random_state=0)
    return make_pipeline(StandardScaler(), PCA(100, random_state=0), mapper)


def fast(features: np.ndarray, labels: np.ndarray, train: np.ndarray) -> classification.Result:
    """The classifiers of chapter 05 on all columns, fitted once."""
    return classification.evaluate(full_classifiers(features.shape[1]), features, labels, train)


def lab_way(features: np.ndarray, labels: np.ndarray, train: np.ndarray, folds: int) -> float:
    """Both sets and one in-fold UMAP-8 for one network; returns the seconds."""
    images, hidden = image_table(len(labels), labels), labels.copy()
    hidden[len(train) :] = classification.UNSEEN
    part = train[: len(train) * (folds - 1) // folds]

    def as_in_the_original() -> None:
        table = classification.original_table(features, images, hidden, train, to_umap()).to_numpy()
        classification.evaluate(original_classifiers(), table, hidden, train, StratifiedKFold(folds))

    total = 0.0
    for words, function in {
        f"original's four on UMAP-8 ({folds} folds, val, test)": as_in_the_original,
        "one supervised UMAP-8 inside a fold": lambda: to_umap().fit_transform(features[part], labels[part]),
        "fast classifiers on full features (one fit, val, test)": lambda: fast(features, hidden, train),
    }.items():
        total += timed(words, function)[1]
    return total


def ratio(features: np.ndarray, labels: np.ndarray, train: np.ndarray, held: np.ndarray, sizes: list[int]) -> None:
    """Fast against plain on full features: seconds at full size, accuracy at the largest plain size."""
    runs = [plain_script(features, labels, train[:size], held) for size in sizes]
    part = train[: sizes[-1]]
    small = fast(features, labels, part)
    full, _ = timed("fast classifiers, one fit on all train rows", fast, features, labels, train)
    names = list(runs[0][0])
    quick, plain = sum(full.seconds[name] for name in names), 0.0
    for name in names:
        seconds, exponent = extrapolated(sizes, [run[0][name] for run in runs], len(train))
        plain += seconds
        print(f"{name:14s} seconds: fast {full.seconds[name]:.1f}, plain about {seconds:.0f} (n^{exponent:.2f})")
    for name, there in runs[-1][1].items():
        here = small.accuracy(name, held)
        print(
            f"{name:14s} {len(part):,} rows: fast {here}, plain {there}: {100 * (here.value - there.value):+.2f} points"
        )
    print(f"all four: fast {quick:.0f} s, plain about {plain:.0f} s: {plain / quick:.1f} times as fast")
    print("(the plain vote fits all four once more; that is not counted)")


def ridges(features: np.ndarray, labels: np.ndarray, train: np.ndarray) -> None:
    """The lab's ridge beside scikit-learn's with the same penalties to choose from, by processor time."""
    table, spent = StandardScaler().fit_transform(features[train]), {}
    for model in (Ridge(), RidgeClassifierCV(alphas=Ridge().alphas)):
        start = time.process_time()
        chosen = model.fit(table, labels[train]).alpha_
        spent[type(model).__name__] = time.process_time() - start
        print(f"{type(model).__name__}: {spent[type(model).__name__]:.1f} processor seconds, penalty {chosen:g}")
    print(f"ridge of scikit-learn: {spent['RidgeClassifierCV'] / spent['Ridge']:.1f} times the lab's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_300, help="train rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--plain", default="1000,2000", help="train rows of the plain script, two sizes or more")
    options = parser.parse_args()
    total = round(options.rows * (1 + VAL_AND_TEST))
    features, labels = random_features(total, options.width, options.seed)
    train, held = np.arange(options.rows), np.arange(options.rows, total)
    print(f"{len(train):,} x {options.width:,} train, {len(held):,} val and test rows, {CLASSES} classes")
    ridges(features, labels, train)
    seconds = lab_way(features, labels, train, options.folds)
    print(f"both sets (full features fitted once) and one in-fold UMAP-8: {seconds:.0f} s")
    ratio(features, labels, train, held, [int(size) for size in options.plain.split(",")])


if __name__ == "__main__":
    main()
