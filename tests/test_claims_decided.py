"""Each claim decided every way that its rule allows, on constructed evidence; arithmetic ones on what is printed."""

import numpy as np
import pandas as pd
import pytest

from lab_utils.analysis.cohesion import Standing
from lab_utils.analysis.outliers import Cluster
from lab_utils.analysis.separability import Separability
from lab_utils.claims import reported_arithmetic, schema
from lab_utils.claims.engine import Context, Verdict, check
from lab_utils.claims.rules import RULES, VERDICTS
from lab_utils.core import records
from lab_utils.stats.intervals import Accuracy, Difference, Estimate

SUPPORTED, CONTRADICTED, TIE, OPEN = VERDICTS


def gap(value: float, half: float = 0.05) -> Difference:
    return Difference(value, value - half, value + half, 100)


def estimate(value: float, half: float = 0.05) -> Estimate:
    return Estimate(value, value - half, value + half, 50, scale=100, unit=" %", digits=1)


UP, DOWN, TIED, SMALL = gap(0.1, 0.04), gap(-0.1, 0.04), gap(0.01, 0.06), gap(0.01, 0.02)


def decide(id: str, **evidence) -> Verdict:
    """The verdict on photographs, with stubs for what only the sentences use."""
    claim = schema.claims()[id]
    return check(id, Context("mame"), histories={}, **dict.fromkeys(claim.also, UP) | evidence)


HIGHER = [({"value": UP}, SUPPORTED), ({"value": DOWN}, CONTRADICTED), ({"value": TIED}, TIE)]
LOWER = [({"value": DOWN}, SUPPORTED), ({"value": UP}, CONTRADICTED), ({"value": TIED}, TIE)]
SAME = [({"value": SMALL}, SUPPORTED), ({"value": UP}, CONTRADICTED), ({"value": TIED}, TIE)]
NOT_HIGHER = [
    ({"value": DOWN}, SUPPORTED),
    ({"value": SMALL}, SUPPORTED),
    ({"value": UP}, CONTRADICTED),
    ({"value": TIED}, TIE),
]


def both(first, second, *names):
    return {"parts": dict(zip(names or ("a", "b"), (first, second), strict=True))}


def parts(yes, no, tied, *names):
    """All must hold: one that is the other way round contradicts, one that is a tie leaves it open."""
    cases = [(yes, yes, SUPPORTED), (yes, no, CONTRADICTED), (no, yes, CONTRADICTED), (yes, tied, TIE)]
    return [(both(first, second, *names), word) for first, second, word in cases]


def standing(purity: float, half: float = 0.02) -> Standing:
    return Standing(estimate(purity, half), 0.4, 1, 3, 29, "Faience", estimate(0.9))


def cluster(lot: str, lot_share: float) -> Cluster:
    return Cluster(np.arange(8), 3.0, 1.0, 0, lot, lot_share, 3)


def space(right: int, p: float) -> Separability:
    return Separability(Accuracy(right, 400), Accuracy(400, 400), estimate(0.6), p)


def epochs(counted, clean, above, of=8):
    return {"counted": counted, "clean": clean, "above": above, "epochs": of}


PROBE = {"output": Accuracy(64, 100), "floor": Accuracy(3, 100), "printed": 0.64, "same_images": True}
SEEDS = {"value": Estimate(0.05, 0.05, 0.08, 3, scale=100, unit=" points", digits=1)}
ABOVE = [
    (epochs(UP, UP, 8), SUPPORTED),
    (epochs(UP, DOWN, 8), CONTRADICTED),
    (epochs(UP, UP, 1), CONTRADICTED),
    (epochs(DOWN, DOWN, 6), CONTRADICTED),
    (epochs(UP, TIED, 8), TIE),
    (epochs(UP, UP, 6), TIE),
]
TRADE = {"accurate": 7, "lowest": 3, "accuracy": UP}
CASES = {
    "scratch-overfits": [
        (evidence | {"reference": 0.2}, word) for evidence, word in parts(gap(0.5), gap(0.1), gap(0.22), "#1", "#2")
    ],
    "regularisation-lowers-gap": parts(DOWN, UP, TIED),
    "too-much-regularisation": parts(DOWN, UP, TIED),
    "augmentation-low-overfitting": [*parts(DOWN, UP, TIED), ({"parts": {}}, OPEN)],
    "ensemble-best-scratch": HIGHER,
    "scratch-focus-on-background": [
        ({"value": estimate(value), "reference": 0.36}, word)
        for value, word in ((0.6, SUPPORTED), (0.2, CONTRADICTED), (0.37, TIE))
    ],
    "most-confused-classes": [
        *((case | {"reference": 5.5}, word) for case, word in parts(estimate(2, 1), estimate(12, 5), estimate(5, 3))),
        ({"parts": {}, "reference": 5.5}, OPEN),
    ],
    "variable-shape-no-better": [
        ({"differences": {str(i): gain for i, gain in enumerate(values)}}, word)
        for values, word in (
            ([UP], CONTRADICTED),
            ([DOWN], SUPPORTED),
            ([TIED], TIE),
            ([UP, UP, DOWN, TIED, TIED], TIE),
            ([UP, DOWN, DOWN, TIED, TIED], SUPPORTED),
            ([UP, TIED], TIE),
            ([], OPEN),
        )
    ],
    "b3-best-of-paper": HIGHER,
    "focuses-on-content": [
        ({"border": estimate(border), "area": 0.36, "more": {"museum": museum, "lot": TIED}}, word)
        for border, museum, word in (
            (0.2, TIED, SUPPORTED),
            (0.2, UP, TIE),
            (0.36, UP, TIE),
            (0.6, UP, CONTRADICTED),
        )
    ],
    "task-similarity-64": [
        (PROBE | {"random_weights": Accuracy(39, 100)}, CONTRADICTED),
        (PROBE | {"random_weights": Accuracy(4, 100)}, SUPPORTED),
        (PROBE | {"random_weights": Accuracy(4, 100), "output": Accuracy(20, 100)}, CONTRADICTED),
        (PROBE | {"random_weights": Accuracy(4, 100), "same_images": False}, OPEN),
    ],
    "imagenet-overlap": HIGHER,
    "three-groups-separable": [
        ({"space": held}, word)
        for held, word in (
            (space(398, 0.05), SUPPORTED),
            (space(300, 0.05), CONTRADICTED),
            (space(383, 0.05), TIE),
            (space(398, 0.5), TIE),  # random groups part as well
            (space(300, 0.5), CONTRADICTED),
        )
    ],
    "hand-colored-engraving-connects": [
        ({"ranks": {"Albumen photograph": first, "Woven fabric": second}}, word)
        for first, second, word in ((1, 3, SUPPORTED), (1, 9, TIE), (7, 9, CONTRADICTED), (0, 9, CONTRADICTED))
    ],
    "albumen-perfectly-clustered": [
        ({"whole": standing(0.98), "without": standing(0.98)}, SUPPORTED),
        ({"whole": standing(0.98), "without": standing(0.7)}, CONTRADICTED),
        ({"whole": standing(0.98)}, SUPPORTED),
        ({"whole": standing(0.9)}, CONTRADICTED),
        ({"whole": standing(0.95)}, TIE),
    ],
    "woven-fabric-divided": parts(Accuracy(45, 100), Accuracy(5, 100), Accuracy(25, 100), "materials", "drawings"),
    "outliers-own-category": [
        ({"clusters": [cluster("a", 0.2)] * kinds + [cluster("b", 0.9)] * lots}, word)
        for kinds, lots, word in ((8, 1, SUPPORTED), (0, 6, CONTRADICTED), (7, 3, TIE), (1, 0, TIE), (0, 0, OPEN))
    ]
    + [({"clusters": [cluster("", 0.0)]}, OPEN)],
    "woven-two-neighbourhoods": [
        ({"near": near}, word)
        for near, word in (
            ([["Porcelain", "Etching"], ["Silk and metal thread"]], SUPPORTED),
            ([["Silk and metal thread"], ["Wood", "Hand-colored engraving"]], SUPPORTED),
            ([["Silk and metal thread"], ["Wood"]], TIE),
            ([["Silk and metal thread", "Porcelain"], ["Silk and metal thread", "Ceramic"]], TIE),
            ([["Wood"], []], CONTRADICTED),
        )
    ],
    "features-show-outliers": HIGHER,
    "content-not-border": HIGHER,
    "cv-scores-hold": SAME,
    "unshuffled-folds-harmless": NOT_HIGHER,
    "voting-best": HIGHER,
    "b0-worse": [
        ({"value": DOWN, "floor": 0.02}, SUPPORTED),
        ({"value": UP, "floor": 0.02}, CONTRADICTED),
        ({"value": DOWN, "floor": 0.2}, TIE),
        ({"value": TIED, "floor": 0.0}, TIE),
    ],
    "linear-svm-underfits": [
        (both(UP, DOWN, "error", "rival"), SUPPORTED),
        (both(DOWN, DOWN, "error", "rival"), CONTRADICTED),
        (both(UP, TIED, "error", "rival"), TIE),
    ],
    "difficult-to-separate": LOWER,
    "external-features-ignored": [
        ({"shuffled": shuffled, "removed": removed}, word)
        for shuffled, removed, word in (
            (SMALL, SMALL, SUPPORTED),
            (gap(0.02, 0.01), gap(0.02, 0.01), CONTRADICTED),
            (gap(0.013, 0.01), gap(0.001, 0.02), TIE),  # read, and nothing is lost without them
            (SMALL, gap(0.02, 0.01), TIE),
            (TIED, SMALL, TIE),
        )
    ],
    "dense-classifier-equal": SAME,
    "extractors-differ": [
        (SEEDS | {"reference": spread}, word) for spread, word in ((0.2, SUPPORTED), (0.01, CONTRADICTED), (0.06, TIE))
    ],
    "features-not-classifier": [
        (both(UP, UP), SUPPORTED),
        (both(DOWN, DOWN), CONTRADICTED),
        (both(DOWN, TIED), CONTRADICTED),
        (both(DOWN, UP), TIE),
        (both(UP, TIED), TIE),
    ],
    "freeze-first-blocks": HIGHER,
    "rescaled-inputs-suffice": SAME,
    "lower-rate-improves": HIGHER,
    "val-loss-not-decreasing": [
        ({"value": gap(0.0, 0.005)}, SUPPORTED),
        ({"value": UP}, SUPPORTED),
        ({"value": DOWN}, CONTRADICTED),
        ({"value": TIED}, TIE),
    ],
    "l2-helps-loss": [
        (both(DOWN, SMALL, "cross-entropy", "accuracy"), SUPPORTED),
        (both(UP, SMALL, "cross-entropy", "accuracy"), CONTRADICTED),
        (both(DOWN, UP, "cross-entropy", "accuracy"), CONTRADICTED),
        (both(DOWN, TIED, "cross-entropy", "accuracy"), TIE),
        (both(gap(-0.03, 0.02), SMALL, "cross-entropy", "accuracy"), SUPPORTED),
    ],
    "wider-head-worse": LOWER,
    "run4-too-hard-training": ABOVE,
    "run5-too-hard-at-first": ABOVE,
    "run5-loss-still-falling": LOWER,
    "run5-could-be-regularised": [*HIGHER, ({"value": SMALL}, CONTRADICTED)],
    "loss-rises-accuracy-rises": parts(UP, DOWN, TIED),
    "loss-rises-less-sure": HIGHER,
    "accuracy-against-confidence": [
        (TRADE | {"after": UP}, SUPPORTED),
        (TRADE | {"after": UP, "accuracy": TIED}, TIE),
        (TRADE | {"after": TIED}, TIE),
        (TRADE | {"after": SMALL}, CONTRADICTED),
        (TRADE | {"after": UP, "accurate": 3}, OPEN),
    ],
    "run6-best": HIGHER,
    "steady-improvement": [
        ({"overall": UP, "steps": [TIED, UP]}, SUPPORTED),
        ({"overall": UP, "steps": [UP, DOWN, UP]}, CONTRADICTED),
        ({"overall": DOWN, "steps": [TIED]}, CONTRADICTED),
        ({"overall": TIED, "steps": [TIED]}, TIE),
    ],
    "clearer-separability": parts(UP, DOWN, TIED, "val", "test"),
    "silk-not-solved": NOT_HIGHER,
    "linear-svm-hero": [
        (both(DOWN, UP, "pretrained", "fine-tuned"), SUPPORTED),
        (both(DOWN, SMALL, "pretrained", "fine-tuned"), SUPPORTED),
        (both(SMALL, UP, "pretrained", "fine-tuned"), CONTRADICTED),
        (both(DOWN, DOWN, "pretrained", "fine-tuned"), CONTRADICTED),
        (both(gap(0.0, 0.08), UP, "pretrained", "fine-tuned"), TIE),
    ],
    "fine-tuned-features-help": HIGHER,
    "final-result-by-features": HIGHER,
    "smarter-focused": [(both(UP, UP), SUPPORTED), (both(DOWN, TIED), CONTRADICTED), (both(UP, DOWN), TIE)],
    "val-predicts-test": SAME,
    "hard-pairs-recur": [
        ({"ranks": {"a → b": there, "b → a": back}, "among": 10}, word)
        for there, back, word in (
            (3, None, SUPPORTED),
            (30, 0, CONTRADICTED),
            (3, 40, TIE),
            (None, None, OPEN),
        )
    ],
    "low-precision-is-difficulty": [
        ({"value": estimate(rank, 1), "reference": 5.5}, word)
        for rank, word in ((2, SUPPORTED), (20, CONTRADICTED), (5, TIE))
    ],
    "unseen-lots-as-good": SAME,
    "one-accuracy-for-all-museums": SAME,
    "improve-outliers": HIGHER,
    "improve-more-networks": HIGHER,
    "improve-ensembles": HIGHER,
    # arithmetic, both ways
    "overfitting-labels-consistent": [
        ({"first": 0.1, "second": 0.2}, SUPPORTED),
        ({"first": 0.24, "second": 0.21}, CONTRADICTED),
    ],
    "rows-are-single-networks": [
        ({"printed": {"5-6": 0.62}, "other": {"5-6": val}}, word)
        for val, word in ((0.62, SUPPORTED), (0.6, CONTRADICTED))
    ],
    "printed-9-regularised-too-much": [
        ({"first": 0.05, "second": 0.1}, SUPPORTED),
        ({"first": 0.24, "second": 0.1}, CONTRADICTED),
    ],
    "printed-sample-of-100": [
        (both(estimate(84, 31), estimate(size, 31)) | {"reference": 100}, word)
        for size, word in ((123, SUPPORTED), (160, CONTRADICTED))
    ],
    "printed-vgg16-parameters": [
        ({"printed": {"VGG16": size}, "other": {"VGG16": 117}}, word)
        for size, word in ((117, SUPPORTED), (102, CONTRADICTED))
    ],
    "slide-17-follows-figure": [
        ({"printed": {"a": 0.644}, "other": {"a": there}}, word)
        for there, word in ((0.6441, SUPPORTED), (0.647, CONTRADICTED))
    ],
    "printed-cv-scores-hold": [({"parts": {"svm": TIED}}, SUPPORTED), ({"parts": {"svm": DOWN}}, CONTRADICTED)],
    "printed-folds-agree": [({"parts": {"svm": TIED}}, SUPPORTED), ({"parts": {"svm": DOWN}}, CONTRADICTED)],
    "printed-b0-worse": parts(DOWN, UP, TIED),
    "printed-importances-ignore": [
        ({"printed": {"museum": share}, "other": {"museum": 0.0}}, word)
        for share, word in ((0.004, SUPPORTED), (0.07, CONTRADICTED))
    ],
    "slide-22-best-follows-figure": [
        ({"printed": {"net": "Voting", "other": "SVM"}, "other": {"net": best}}, word)
        for best, word in (("Voting", SUPPORTED), ("XGBoost", CONTRADICTED))
    ],
    "printed-fine-tuned-features-help": parts(UP, DOWN, TIED),
    "printed-features-beat-head": HIGHER,
    "printed-l2-fits-curves": [
        ({"printed": {"run 5": 100.8}, "other": {"run 5": start}}, word)
        for start, word in ((98.0, SUPPORTED), (1.65, CONTRADICTED))
    ],
    "printed-lower-rate-improves": HIGHER,
    "printed-runs-differ": HIGHER,
    "printed-accuracies-follow-curves": [
        ({"printed": {"run 1": 0.77}, "other": {"run 1": end}}, word)
        for end, word in ((0.767, SUPPORTED), (0.79, CONTRADICTED))
    ],
    "below-papers-vgg16": HIGHER,
    "val-carries-over": SAME,
    **{
        id: [
            ({"printed": {"f1": 0.78}, "other": {"f1": there}}, word)
            for there, word in ((0.778, SUPPORTED), (0.79, CONTRADICTED))
        ]
        for id in (
            "diagonal-agrees-with-accuracy",
            "report-accuracy-follows",
            "report-macro-follows",
            "report-weighted-follows",
        )
    },
}


@pytest.mark.parametrize("id", CASES)
def test_the_verdict_and_its_sentence_follow_the_evidence(id):
    said = {}
    for evidence, wanted in CASES[id]:
        verdict = decide(id, **evidence)
        assert verdict.verdict == wanted, (evidence, verdict)
        assert wanted == OPEN or (verdict.n and len(verdict.interval) == 2 and verdict.evidence)
        said.setdefault(wanted, verdict.sentence)
    assert len(set(said.values())) == len(said) >= 2


def test_every_claim_that_is_decided_is_tried_and_every_rule_is_used():
    claims = schema.claims()
    assert set(CASES) == {id for id, claim in claims.items() if not claim.undecided}
    assert {claim.rule for claim in claims.values() if claim.rule} == set(RULES)


# ---- words -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("id", "evidence", "words"),
    [
        (
            "focuses-on-content",
            {"border": estimate(0.2), "area": 0.36, "more": {"lot": UP}},
            "features also tell the lot.",
        ),
        ("task-similarity-64", PROBE | {"random_weights": Accuracy(39, 100)}, "Random weights reach 39.0 % too"),
        ("albumen-perfectly-clustered", {"whole": standing(0.9)}, "90.0 % of its nearest neighbours"),
        ("hand-colored-engraving-connects", {"ranks": {"a": 0, "b": 0}, "first": ["Etching"]}, "which are Etching."),
        ("steady-improvement", {"overall": UP, "steps": [DOWN, UP, DOWN]}, "2 runs are clearly worse"),
        ("steady-improvement", {"overall": UP, "steps": [DOWN, UP]}, "1 run is clearly worse"),
        ("lower-rate-improves", {"value": UP, "changed": ["rate", "batch"]}, "between them changed rate and batch."),
        (
            "hard-pairs-recur",
            {"ranks": {"a → b": 3, "b → a": 40}, "among": 10},
            "one is among the 10 largest here (a → b)",
        ),
        (
            "external-features-ignored",
            {"shuffled": gap(0.013, 0.01), "removed": gap(0.001, 0.02)},
            "read (shuffling costs 1.3 points) but not needed (removing them costs +0.1 points)",
        ),
        (
            "external-features-ignored",
            {"shuffled": TIED, "removed": SMALL},
            "leaves it open",
        ),
        ("silk-not-solved", {"value": None, "images": 3}, "too few images of Silk and metal thread (3)"),
        ("printed-vgg16-parameters", {"printed": {"a": 1000}, "other": {"a": 2000}, "part": "one layer"}, "1,000"),
    ],
)
def test_what_was_found_is_said(id, evidence, words):
    assert words in decide(id, **evidence).sentence


# ---- printed numbers -------------------------------------------------------------------------------------------------
def reported(name: str) -> pd.DataFrame:
    return pd.read_csv(records.PROJECT / "data" / "reported" / f"{name}.csv")


ARITHMETIC = {
    "report-accuracy-follows": (CONTRADICTED, "0.778, printed is 0.79"),
    "report-macro-follows": (CONTRADICTED, "precision of 0.753, printed is 0.77"),
    "report-weighted-follows": (CONTRADICTED, "recall of 0.778, printed is 0.79"),
    "diagonal-agrees-with-accuracy": (CONTRADICTED, "0.778, the report prints 0.79"),
    "printed-vgg16-parameters": (CONTRADICTED, "are of fc1 alone of VGG16; as an extractor it has 117,479,232"),
    "overfitting-labels-consistent": (CONTRADICTED, "#5-6 is Medium at 24.0 points, #2 is High at 21.0 points"),
    "rows-are-single-networks": (CONTRADICTED, "Row 5-6 (val)"),
    "slide-17-follows-figure": (CONTRADICTED, "0.644 for EfficientNetB3, where its figure has 0.652"),
    "printed-b0-worse": (TIE, "can't be told"),
    "printed-runs-differ": (TIE, "-1.5 to +4.6 points"),
    "printed-features-beat-head": (CONTRADICTED, "own head (77.8 %)"),
    "below-papers-vgg16": (CONTRADICTED, "(77.8 %) is worse than the paper's VGG16 (81.2 %)"),
    "val-carries-over": (SUPPORTED, "(79.2 %)"),
    "printed-accuracies-follow-curves": (CONTRADICTED, "run 1 has 0.74, its curve ends at 0.767"),
    "printed-9-regularised-too-much": (CONTRADICTED, "#9 is 24.0 points, that of #10 10.0 points"),
    "printed-cv-scores-hold": (CONTRADICTED, "linear SVM 20.0 points are missing"),
    "printed-folds-agree": (CONTRADICTED, "Linear SVM lies 26.0 points below"),
    "printed-importances-ignore": (CONTRADICTED, "0.07; an even share would be 0.07"),
    "slide-22-best-follows-figure": (CONTRADICTED, "Voting for EfficientNetB3, where XGBoost"),
    "printed-fine-tuned-features-help": (TIE, "EfficientNetB3 (-1.2 to +1.0 points)"),
    "printed-lower-rate-improves": (CONTRADICTED, "ends at 0.645, where the run before ended at 0.776"),
    "printed-l2-fits-curves": (CONTRADICTED, "run 3 starts at 1.65, its L2 alone is 100.82"),
    "printed-sample-of-100": (SUPPORTED, "a random draw of 100 images"),
}


def test_arithmetic_finds_the_known_errors_of_the_original():
    verdicts = {verdict.claim: verdict for verdict in reported_arithmetic.verdicts(reported)}
    assert set(verdicts) == set(ARITHMETIC) == {id for id, claim in schema.claims().items() if "any" in claim.needs}
    wrong = {
        id: str(verdicts[id])
        for id, (word, text) in ARITHMETIC.items()
        if verdicts[id].verdict != word or text not in str(verdicts[id])
    }
    assert not wrong


def test_a_printed_size_that_is_none_of_vgg16s_is_called_so():
    table = reported("models").assign(parameters=[1, 2, 3, 4])
    changed = lambda name: table if name == "models" else reported(name)  # noqa: E731
    verdicts = {verdict.claim: verdict for verdict in reported_arithmetic.verdicts(changed)}
    assert "no part of VGG16" in verdicts["printed-vgg16-parameters"].sentence


def test_the_penalty_of_a_layer_before_training_is_that_of_keras():
    """Against Keras's own start and `l2`, on a layer small enough to be quick."""
    import keras

    layer = keras.layers.Dense(64, kernel_regularizer=keras.regularizers.l2(0.1))
    layer.build((None, 2048))
    assert float(layer.losses[0]) == pytest.approx(reported_arithmetic.first_layer_penalty(0.1, 64, 2048), rel=0.03)
