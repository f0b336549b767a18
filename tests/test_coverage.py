"""Intervals hold the truth about as often as they say: a small version of `benchmarks/intervals.py`."""

import importlib.util
import re

import numpy as np
import pytest

from lab_utils.core.records import PROJECT
from lab_utils.stats import metrics
from lab_utils.stats.intervals import bootstrap_means

spec = importlib.util.spec_from_file_location("coverage_benchmark", PROJECT / "benchmarks" / "intervals.py")
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)

SETTINGS = list(benchmark.settings())
DRAWS = 120
KNOWN = {  # too few images for a mean this skewed: `metrics.mean_cross_entropy` gives no interval there
    ("8 images", "mean cross-entropy"),
    ("30 images", "mean cross-entropy"),
}


@pytest.mark.parametrize(
    "place", range(len(SETTINGS)), ids=[f"{place} {name}" for place, (name, _) in enumerate(SETTINGS)]
)
def test_every_kind_of_interval_covers_at_230_images_and_29_classes(place):
    name, draw = SETTINGS[place]
    for kind, share in benchmark.coverage(draw, DRAWS).items():
        if (name.split(",")[0], kind) not in KNOWN:
            assert share >= 0.90 - 3 * np.sqrt(0.9 * 0.1 / DRAWS), f"{kind}: {share:.2f}"


def test_what_the_percentile_bootstrap_did_would_be_noticed():
    """Macro F1 by resampled images, as it was: far from 95 % (the issue counted 86 in 100)."""
    population, held, rng = benchmark.Population(), [], np.random.default_rng(0)
    even = np.full(benchmark.CLASSES, 1 / benchmark.CLASSES)
    true = metrics._averages(population.confusion(even)[None])[metrics.AVERAGES.index("macro F1"), 0]
    for _ in range(DRAWS):
        labels, answers, *_ = population.draw(rng, 232, True, True)
        counts = metrics.confusion_matrix(labels, answers, benchmark.CLASSES)
        drawn = rng.multinomial(232, counts.ravel() / 232, size=300).reshape(-1, *counts.shape)
        low, high = np.quantile(metrics._averages(drawn)[metrics.AVERAGES.index("macro F1")], [0.025, 0.975])
        held.append(low <= true <= high)
    assert np.mean(held) < 0.88


def test_a_mean_cross_entropy_of_few_images_has_no_interval():
    logits = np.random.default_rng(0).normal(size=(120, 3))
    labels = np.zeros(120, int)
    assert metrics.mean_cross_entropy(logits, labels).has_interval
    few = metrics.mean_cross_entropy(logits[:60], labels[:60])
    assert not few.has_interval and str(few).endswith("(n = 60)")


PERCENTILES = {  # where quantiles of draws are told as a range or interval, and why that may be
    "stats/metrics.py": "the range that chance gives a calibrated network: what is drawn is the whole of its law",
    "analysis/variance.py": "shares of variance, noise taken out",
    "analysis/transferability.py": "rank agreement of five networks and more, drawn within both intervals",
}


def test_a_new_percentile_bootstrap_is_noticed():
    files = {path.relative_to(PROJECT / "lab_utils").as_posix(): path for path in (PROJECT / "lab_utils").rglob("*.py")}
    using = {name for name, path in files.items() if re.search(r"0?\.025, 0?\.975|97\.5", path.read_text("utf-8"))}
    assert using - {"stats/intervals.py"} == set(PERCENTILES), "measure its coverage in benchmarks/intervals.py first"
    assert bootstrap_means(np.arange(5.0), resamples=10).shape == (10,)
