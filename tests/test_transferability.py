"""Transferability measures against brute force, other libraries, and cases worked by hand."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.datasets import make_blobs
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lab_utils.analysis import transferability
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Accuracy, Estimate
from lab_utils.stats.metrics import softmax
from tests.notebook_cells import function_of

RIDGE = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=10.0 ** np.arange(6)))
leep = function_of("03_task_similarity", "leep")


def blobs(n=120, classes=4, width=10, spread=3.0, seed=0):
    X, y = make_blobs(n, width, centers=classes, cluster_std=spread, random_state=seed)
    return X.astype(np.float32), y


def random_source(n=50, Z=7, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(Z, 0.3), n)


# ---- LEEP -----------------------------------------------------------------------------------------------------------
def test_leep_is_the_papers_formula_written_as_loops():
    source, labels = random_source(), np.random.default_rng(1).integers(0, 3, 50)
    n, Z = source.shape
    total = 0.0
    for i in range(n):
        inner = 0.0
        for z in range(Z):
            joint = sum(source[j, z] for j in range(n) if labels[j] == labels[i]) / n
            inner += joint / (source[:, z].sum() / n) * source[i, z]
        total += np.log(inner)
    assert leep(source, labels) == pytest.approx(total / n, abs=1e-12)


def test_leep_by_hand_a_source_that_is_the_label_scores_zero_and_one_that_knows_nothing_minus_the_entropy():
    labels = np.array([0, 0, 1, 1, 1, 1])
    assert leep(np.eye(2)[labels], labels) == pytest.approx(0)
    flat = np.full((6, 4), 0.25)
    assert leep(flat, labels) == pytest.approx((2 * np.log(1 / 3) + 4 * np.log(2 / 3)) / 6)


# ---- LogME ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(60, 5), (30, 80)])
def test_logme_is_the_best_evidence_found_by_brute_force(shape):
    X, y = blobs(shape[0], 3, shape[1])
    X = X.astype(float) / X.std()
    best = []
    for k in range(3):
        target = (y == k).astype(float)

        def negative(log, target=target):
            covariance = np.exp(-log[0]) * X @ X.T + np.exp(-log[1]) * np.eye(len(X))
            return -multivariate_normal(np.zeros(len(X)), covariance, allow_singular=True).logpdf(target)

        found = minimize(negative, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-8})
        best.append(-found.fun / len(X))
    assert transferability.logme(X, y) == pytest.approx(np.mean(best), abs=2e-4)


def published_logme(f, y):
    """The maximum-evidence algorithm as its authors published it (thuml/LogME, `_fit_fixed_point`), for one class."""
    N, D = f.shape
    u, sigma_root, _ = np.linalg.svd(f, full_matrices=True)
    u, sigma = u[:, : min(N, D)], sigma_root**2
    values = []
    for k in range(y.max() + 1):
        target = (y == k).astype(float)[:, None]
        x = u.T @ target
        x2, res_x2 = (x**2)[:, 0], (target**2).sum() - (x**2).sum()
        alpha, beta = 1.0, 1.0
        for _ in range(500):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m2 = (sigma * x2 / (t + sigma) ** 2).sum()
            res2 = (x2 / (1 + sigma / t) ** 2).sum() + res_x2
            alpha, beta = gamma / (m2 + 1e-5), (N - gamma) / (res2 + 1e-5)
            if abs(alpha / beta - t) / t <= 1e-5:
                break
        evidence = D / 2 * np.log(alpha) + N / 2 * np.log(beta) - 0.5 * np.log(alpha + beta * sigma).sum()
        evidence -= beta / 2 * res2 + alpha / 2 * m2 + N / 2 * np.log(2 * np.pi)
        evidence -= 0.5 * (D - len(sigma)) * np.log(alpha)
        values.append(evidence / N)
    return np.mean(values)


def test_logme_agrees_with_the_published_algorithm():
    X, y = blobs(90, 4, 12)
    assert transferability.logme(X, y) == pytest.approx(published_logme(X.astype(float), y), abs=1e-3)


def test_logme_prefers_features_that_carry_the_label():
    X, y = blobs()
    noise = np.random.default_rng(0).normal(size=X.shape)
    assert transferability.logme(X, y) > transferability.logme(noise, y) + 0.1


# ---- neighbours -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_are_scikit_learns_leave_one_out(k):
    X, y = blobs(80, spread=6.0)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    theirs = cross_val_predict(KNeighborsClassifier(k), unit, y, cv=LeaveOneOut())
    assert (transferability.nearest_neighbours(X, y, k) == theirs).all()


def test_more_neighbours_than_images_means_all_others():
    X, y = blobs(6, classes=2)
    y = np.array([0, 0, 0, 1, 1, 0])
    assert transferability.nearest_neighbours(X, y, k=50).tolist() == [0] * 6


def test_neighbours_of_a_single_image_are_refused():
    with pytest.raises(LabError, match="at least two images"):
        transferability.nearest_neighbours(np.ones((1, 3)), np.zeros(1))


# ---- probe ----------------------------------------------------------------------------------------------------------
def test_the_probe_reads_the_label_and_nothing_from_shuffled_labels():
    X, y = blobs(400, spread=2.0)
    train, held, mixed = np.arange(200), np.arange(200, 400), y.copy()
    mixed[train] = np.random.default_rng(0).permutation(y[train])
    real = transferability.probe(RIDGE, X, y, train, held, "class")
    blind = transferability.probe(RIDGE, X, mixed, train, held)
    assert real.accuracy.value > 0.95 and blind.accuracy.interval[0] < 0.3
    assert real.minus(blind).low > 0.4 and real.floor.value < 0.35


def test_unknown_museums_are_left_out_and_none_known_is_one_sentence():
    X, y = blobs(40, classes=2, spread=1.0)
    museum = np.where(y == 0, "A", "B").astype(object)
    museum[::5] = ""
    found = transferability.probe(RIDGE, X, museum, np.arange(20), np.arange(20, 40), "museum")
    assert found.accuracy.n == 16 and found.accuracy.value == 1
    with pytest.raises(LabError, match="museum: no image with a known target to fit on"):
        transferability.probe(RIDGE, X, np.full(40, "", object), np.arange(20), np.arange(20, 40), "museum")


def test_one_museum_alone_is_predicted_without_a_fit():
    X, _ = blobs(20)
    assert transferability.probe(
        RIDGE, X, np.full(20, "Met", object), np.arange(10), np.arange(10, 20)
    ).accuracy == Accuracy(10, 10)


def test_features_with_nan_are_refused_by_every_measure():
    X, y = blobs(20)
    X[3, 2] = np.nan
    for call in (transferability.logme, transferability.nearest_neighbours):
        with pytest.raises(LabError, match="not finite in 1 of 20"):
            call(X, y)
    with pytest.raises(LabError, match="first: row 3"):
        transferability.probe(RIDGE, X, y, np.arange(10), np.arange(10, 20))


def test_features_that_vary_by_rounding_only_are_one_sentence():
    X, y = 1e-3 * (1 + 1e-11 * blobs(20)[0].astype(float)), blobs(20)[1]
    with pytest.raises(LabError, match="outputs: no feature varies over the train images"):
        transferability.probe(RIDGE, X, y, np.arange(10), np.arange(10, 20), "outputs")


def test_an_untrained_network_sees_something_and_its_outputs_are_spread_like_the_others():
    from lab_utils.networks import backbones

    rng = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 10)
    images = rng.integers(0, 60, (30, 32, 32, 3)).astype(np.float32)
    images[np.arange(30), :, :, labels] += 150
    model = backbones.build("lite0", weights="random", size=32)
    logits = np.asarray(model(backbones.preprocess("lite0", images)))
    assert logits.std() < 1e-6, "or it needs no bringing up"
    outputs = transferability.outputs(logits, "random", spread=2.0)
    np.testing.assert_array_equal(transferability.outputs(logits * 1e9), softmax(logits * 1e9))
    np.testing.assert_allclose(outputs.sum(1), 1)
    log = np.log(outputs)
    assert (log - log.mean(1, keepdims=True)).std() == pytest.approx(2, rel=0.05)
    assert (outputs.argmax(1) == logits.argmax(1)).all()
    found = transferability.probe(RIDGE, outputs, labels, np.arange(15), np.arange(15, 30))
    assert len(set(found.predicted)) == 3 and found.accuracy.value > 0.9


def test_a_range_holds_its_mean_and_its_number():
    reached = transferability.range_of([0.2, 0.3, 0.1], "shuffled labels")
    assert (reached.value, reached.low, reached.high, reached.n) == (pytest.approx(0.2), 0.1, 0.3, 3)
    assert str(reached) == "20.0 % (10.0 to 30.0, n = 3)"


def test_recovered_share_by_hand():
    truth = np.array(["a"] * 5 + ["b"] * 5)
    guess = np.full(10, "a")
    perfect = transferability.Probe("", truth.copy(), truth, guess)
    half = transferability.Probe("", np.array(["a"] * 5 + ["b"] * 2 + ["a"] * 3), truth, guess)
    found = transferability.recovered(half, perfect)
    assert found.value == pytest.approx((0.7 - 0.5) / (1 - 0.5)) and found.low <= found.value <= found.high


# ---- intervals, ranks, stand-ins ------------------------------------------------------------------------------------
def test_intervals_hold_the_value_and_shrink_with_images():
    widths = []
    for n in (60, 960):
        X, y = blobs(n, spread=6.0)
        source = softmax(X)
        estimates = (
            transferability.resampled(leep, source, y, "LEEP"),
            transferability.logme_estimate(X, y),
            transferability.neighbour_estimate(X, y),
        )
        assert all(part.low < part.value < part.high and part.n == n for part in estimates)
        widths.append([part.high - part.low for part in estimates])
    assert (np.array(widths[1]) < 0.6 * np.array(widths[0])).all()


def test_rank_agreement_only_with_five_networks_or_more():
    def case(n, turned=False):
        value = {str(i): Estimate(float(i), i - 0.01, i + 0.01, 100) for i in range(n)}
        return transferability.rank_agreement(
            value, {str(i): Accuracy(1000 * (n - i if turned else i), 10_000) for i in range(n)}
        )

    assert case(5).value == pytest.approx(1) and case(6, turned=True).value == pytest.approx(-1)
    assert case(4) == "With 4 networks a rank agreement would be chance (at least 5 are needed), so none is given."
    assert case(1).startswith("With 1 network a")


def test_stand_ins_find_the_source_class_of_each_medium():
    labels = np.array([0] * 10 + [2] * 10)
    source = np.full((20, 4), 0.05)
    source[:10, 3], source[10:, 1] = 0.85, 0.85
    table = transferability.stand_ins(source, labels, ["Clay", "Gold", "Steel"], ["cat", "sword", "mug", "pot"])
    assert table["medium"].tolist() == ["Clay", "Steel"]
    assert table["ImageNet class"].tolist() == ["pot", "sword"]
    assert table["P(medium | class)"][0].value == pytest.approx(8.5 / 9) and table["share of the medium"][0] == 0.85
    assert table["P(medium | class)"][0].n == round(9.0**2 / (10 * 0.85**2 + 10 * 0.05**2))  # effective images, not 20


def test_columns_of_the_conditional_table_sum_to_one_hundred_heaviest_first():
    source, labels = random_source(60), np.random.default_rng(1).integers(0, 3, 60)
    table = transferability.conditional_table(source, labels, list("abc"), [f"z{i}" for i in range(7)], columns=4)
    np.testing.assert_allclose(table.sum(), 100)
    order = source.sum(0)
    assert list(table) == [f"z{i}" for i in np.argsort(-order)[:4]]
