"""Tables and sentences of chapter 05: by hand, each branch."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from lab_utils.analysis import classifiers
from lab_utils.analysis.classification import Result, evaluate
from lab_utils.analysis.seed_spread import SeedSpread
from lab_utils.chapters import classification_tables
from lab_utils.core.profiles import Classification
from lab_utils.core.records import PROJECT
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Accuracy, Difference

REPORTED = pd.read_csv(PROJECT / "data" / "reported" / "classification.csv")
TRUTH = np.array([0, 1, 0, 1, 0, 1, 0, 1])
RIGHT, HALF, WRONG = TRUTH.copy(), np.zeros(8, int), 1 - TRUTH
ALL = np.arange(8)


def result_of(**answers):
    return Result(answers, train=ALL, labels=TRUTH)


def test_departures_name_every_changed_setting_and_none_where_there_is_none():
    assert "defaults" in classification_tables.departures(Classification())
    words = classification_tables.departures(Classification(rounds=20, folds=3))
    assert "20 boosting rounds (default 100)" in words and "3 folds (there 5)" in words and "trees" not in words


def test_what_the_original_says_comes_from_its_printed_table():
    words = classification_tables.original_says(REPORTED)
    assert "VGG16 0.649" in words and "within 0.6 points" in words and "best classifier Voting" in words
    assert classification_tables.reported_scores(REPORTED, "dense classifier")["test"].tolist() == [
        0.645,
        0.648,
        0.649,
        0.649,
    ]


def test_diamonds_stand_only_at_networks_that_the_original_used():
    rows = classification_tables.reported_scores(REPORTED, "CNN features")
    assert classification_tables.diamonds(rows, ["VGG16", "EfficientNet-Lite0"]) == {
        "VGG16": {"Voting": pytest.approx(64.9)}
    }


def test_the_originals_table_is_chosen_on_val_not_on_test():
    results = {("CNN features", "a"): result_of(A=RIGHT, B=HALF)}
    on_test = {("CNN features", "a"): metrics.averages(np.array([[1, 3], [3, 1]]))}
    table = classification_tables.scores_table(results, ALL, on_test, {"a": "Net"}, REPORTED)
    first = table.iloc[0]
    assert (first["model"], first["best on val"]) == ("Net", "A")
    assert (first["test"].value, first["test"].n, first["CV"].successes) == (0.25, 8, 8)
    assert len(table) == 5 and table.iloc[1]["model"].startswith("VGG16 (reported")


def test_boxes_keep_every_value_under_the_networks_titles():
    scores = {(f, n, c): Accuracy(1, 2) for f in ("features", "outputs") for n in "ab" for c in ("SVM", "forest")}
    assert {
        name: len(values) for name, values in classification_tables.boxes(scores, 1, {"a": "A", "b": "B"}).items()
    } == {"A": 4, "B": 4}


def test_boxes_group_accuracies_by_one_part_of_their_keys():
    values = {("x", "A"): Accuracy(1, 2), ("y", "A"): Accuracy(2, 2), ("x", "B"): Accuracy(0, 2)}
    assert classification_tables.boxes(values, 0) == {"x": [50, 0], "y": [100]} and classification_tables.boxes(
        values, 1
    ) == {"A": [50, 100], "B": [0]}


def test_correctness_has_a_row_a_result_and_a_column_a_classifier():
    found = classification_tables.correctness(
        [result_of(A=RIGHT, B=HALF), result_of(A=WRONG, B=RIGHT)], ["A", "B"], ALL
    )
    np.testing.assert_allclose(found.mean(2), [[1, 0.5], [0, 1]])
    assert classification_tables.spread_of_networks(
        {"a": result_of(A=RIGHT), "b": result_of(A=HALF)}, ALL
    ) == pytest.approx(0.125**0.5)
    assert classification_tables.spread_of_networks({"a": result_of(A=RIGHT)}, ALL) == 0


def test_the_best_way_is_looked_for_among_all_layers_and_protocols():
    right, embedded = {"a": result_of(A=HALF), "b": result_of(A=HALF, B=WRONG)}, {"b": result_of(Ridge=RIGHT)}
    found = classification_tables.candidates(right, embedded, {("dense classifier", "a"): result_of(A=WRONG)})
    order = classification_tables.ranked(found, ALL)
    assert (
        order[0] == classification_tables.ClassifierSpec(classification_tables.EMBEDDED, "full_network", "b", "Ridge")
        and found[order[0]] is embedded["b"]
    )
    assert (
        classification_tables.rival_of(order)
        == classification_tables.ClassifierSpec(classification_tables.EIGHT, "logits", "a", "A")
        and len(order) == 5
    )
    titles = {"a": "Net", "b": "Other"}
    assert order[0].title(titles) == "Ridge on Other, full-network embedding"
    assert len(classification_tables.guesses_of(found, ALL, titles)) == 5


def test_the_originals_protocol_can_be_the_best_way():
    order = classification_tables.ranked(
        classification_tables.candidates({"a": result_of(A=HALF)}, {}, {("CNN features", "a"): result_of(A=RIGHT)}),
        ALL,
    )
    assert (
        order[0].columns == classification_tables.EIGHT
        and classification_tables.rival_of(order).columns == classification_tables.ALL
    )


def test_dimension_lines_and_the_fewest_components_by_hand():
    accuracies = {f"PCA-{d}": Accuracy(n, 100) for d, n in ((2, 20), (4, 46), (8, 60))}
    accuracies |= {"UMAP-2": Accuracy(10, 100), "all": Accuracy(50, 100)}
    curves, level = classification_tables.dimension_lines(accuracies)
    assert list(curves) == ["PCA", "UMAP"] and curves["PCA"][0].tolist() == [2, 4, 8]
    assert curves["PCA"][1].tolist() == pytest.approx([20, 46, 60]) and level == {"all columns": 50}
    assert classification_tables.fewest(accuracies) == 4 and classification_tables.fewest(accuracies, share=2) == 8


def test_neighbours_in_the_ranking_are_compared_in_pairs():
    truth = np.zeros(100, int)
    guesses = {name: (np.arange(100) >= right).astype(int) for name, right in (("C", 30), ("A", 92), ("B", 90))}
    words = classification_tables.neighbours_words(guesses, truth)
    assert words.startswith("Best on val: A (92.0 %") and "Of 2 neighbours in the ranking 1 differs" in words
    assert "widened for 2 comparisons" in words
    assert "2 of the 2 others tie" in classification_tables.neighbours_words(dict.fromkeys("xyz", guesses["A"]), truth)
    assert "nothing to compare" in classification_tables.neighbours_words({"A": guesses["A"]}, truth)


def test_tables_of_variance_hold_the_reduction_as_a_factor():
    results = {name: {"a": result_of(A=RIGHT, B=HALF), "b": result_of(A=WRONG, B=HALF)} for name in ("eight", "all")}
    found = classification_tables.variance_tables(results, ["A", "B"], ALL)
    assert found["eight"].shape == (2, 2, 8) and found["both"].shape == (2, 2, 2, 8)
    assert found["both"][:, 1].tolist() == found["all"].tolist()
    assert classification_tables.variance_tables({"all": {"a": result_of(A=RIGHT)}}, ["A"], ALL) == {}


def test_a_network_is_compared_with_the_mean_of_the_others_where_there_are_any():
    results = {name: result_of(A=guess) for name, guess in (("a", RIGHT), ("b", HALF), ("c", WRONG))}
    name, gap = classification_tables.against_rest(results, "a", ALL, "A")
    assert name == "a" and gap.value == pytest.approx(1 - 0.25)
    assert classification_tables.against_rest(results, "not here", ALL, "A")[0] == "a"
    assert "First" in classification_tables.stand_in_words(gap, "First")
    assert classification_tables.against_rest({"a": result_of(A=RIGHT)}, "a", ALL, "A") == ("a", None)
    assert "only network" in classification_tables.stand_in_words(None, "First")


def test_underfitting_compares_what_a_closer_fit_could_take_with_what_new_images_add():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 2)), np.tile([0, 1, 2], 100)
    X[:, 0] += 3 * (y == 1)  # classes 0 and 2 are alike: no line parts them, a forest remembers
    models = {"Linear SVM": classifiers.LinearSVM(), "Random forest": RandomForestClassifier(20, random_state=0)}
    result, val = evaluate(models, X, y, np.arange(200)), np.arange(200, 300)
    evidence = classification_tables.underfitting(result, "Linear SVM", X, val)
    wrong = (result.fitted["Linear SVM"].predict(X[:200]) != y[:200]).mean()
    held = (result.answers["Linear SVM"][200:] != y[200:]).mean()
    assert evidence["best"] == "Random forest" and evidence["parts"]["rival"].high < 0
    assert evidence["train_error"].value == pytest.approx(wrong) and evidence["held_error"].value == pytest.approx(held)
    assert evidence["parts"]["error"].value == pytest.approx(wrong - (held - wrong))


def test_columns_of_the_originals_table_by_kind():
    groups = classification_tables.column_groups(["Width", "Aspect ratio", "umap_0", "Museum_A"])
    assert groups == {"sizes": [0, 1], "museum": [3], "UMAP": [2], "external columns": [0, 1, 3]}
    assert "museum" not in classification_tables.column_groups(["Width", "umap_0"])


def test_where_right_counts_each_part_and_compares_lots_within_classes():
    lots = ["a", "b", "a", "c"]
    images = pd.DataFrame({"museum": ["M", "L", "M", "L"], "lot": lots, "group": "", "file": list("wxyz")})
    parts, words = classification_tables.where_right(
        images, np.array([0]), np.array([1, 2, 3]), np.array([0, 1, 1]), np.array([0, 1, 0]), ["Gold", "Etching"]
    )
    assert {name: (value.successes, value.n) for name, value in parts.items()} == {
        "test, L": (1, 2),
        "test, M": (1, 1),
        "test, lot not seen": (1, 2),
        "test, lot seen in train": (1, 1),
        "test, super-group right": (2, 3),
        "test, class right where the super-group is": (2, 2),
    }
    assert "lots" in words


def test_seen_and_new_lots_are_compared_only_where_both_are_known():
    sides = np.repeat(np.array(["lot seen in train", "lot not seen", ""], object), [100, 100, 10])
    right = np.concatenate([np.arange(100) < 90, np.arange(100) < 40, np.ones(10, bool)])
    labels, lots = np.zeros(210, int), np.arange(210)
    words = classification_tables.seen_words(right, labels, sides, lots)
    assert "at one mix of classes (1 have both): better by 50.0 points" in words
    labels[sides == "lot not seen"] = 1  # another class: nothing to compare
    assert "can't be compared" in classification_tables.seen_words(right, labels, sides, lots)
    assert "can't be compared" in classification_tables.seen_words(right, labels, np.full(210, "", object), lots)


@pytest.mark.parametrize(
    ("against", "words"),
    [
        (Difference(0.2, 0.1, 0.3, 9), "better by 20.0 points (10.0 to 30.0), more"),
        (Difference(0, -0.1, 0.1, 9), "a tie"),
    ],
)
@pytest.mark.parametrize(("leak", "trust"), [(0.2, "too high by 20.0 points"), (0.0, "shows no leak")])
def test_the_decision_says_where_the_chosen_way_stands_to_the_other_protocol(against, words, leak, trust):
    leak, floor = Difference(leak, leak - 0.1, leak + 0.1, 9), SeedSpread(0.02, 0, 0.05, 3)
    what, because, instead = classification_tables.decision_words(
        "Ridge on Net", Accuracy(8, 10), "SVM on Net", against, floor, leak
    )
    assert "Ridge on Net" in what and words in because and trust in instead and instead.startswith("SVM on Net")
