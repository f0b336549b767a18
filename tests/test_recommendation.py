"""Which recipe to use: paired image by image, with all that a user pays, and nothing below the clock's resolution."""

import numpy as np
import pytest

from lab_utils.analysis import recommendation
from lab_utils.analysis.recommendation import Cost, recommend
from lab_utils.stats.intervals import Accuracy, paired_difference

LOTS = np.arange(200)


def cost(recipe: str, hits: int | np.ndarray, seconds: float, before: float = 0.0) -> Cost:
    """A recipe that gets the first so many of 200 images right (or those that are given)."""
    right = np.arange(200) < hits if np.ndim(hits) == 0 else hits
    return Cost(recipe, "05", Accuracy.from_hits(right, recipe), seconds, right, {"features": before} if before else {})


def test_answers_are_kept_in_a_bit_an_image():
    right = np.random.default_rng(0).random(1450) < 0.7
    text = recommendation.packed(right)
    assert np.array_equal(recommendation.unpacked(text, 1450), right) and len(text) == 244
    assert set(recommendation.kept_hits(right)) == {"n", "right"}
    assert "asked" in recommendation.kept_hits(right, right)


def test_two_recipes_are_compared_on_the_images_that_both_were_asked():
    first, second = cost("a", 150, 1), cost("b", 100, 1)
    wanted = paired_difference(np.ones(200, bool), first.right, second.right, "", LOTS)
    assert (recommendation.compared(first, second, LOTS).low, recommendation.compared(first, second, LOTS).n) == (
        wanted.low,
        200,
    )
    part = Cost("c", "15", Accuracy(1, 1), 1.0, second.right, asked=np.arange(200) < 120)
    gap = recommendation.compared(first, part, LOTS)
    assert gap.n == 120 and gap.value == pytest.approx(20 / 120) and not part.whole


def test_recipes_whose_intervals_overlap_can_differ_clearly_on_the_same_images():
    """81.0 % and 87.5 % of 200 images: apart they are a tie, image by image they are not."""
    best, other = cost("best", 175, 9), cost("other", 162, 2)
    assert best.accuracy.minus(other.accuracy).tie and recommendation.compared(best, other, LOTS).low > 0
    advice = recommend([best, other], LOTS)
    assert advice.cheapest is best and advice.gap is None and advice.ties == 0
    assert "each is clearly worse on the same images" in str(advice)


def test_the_most_accurate_comes_first_then_the_cheapest_that_is_not_clearly_worse():
    rng = np.random.default_rng(0)
    near = np.arange(200) < 175
    near[rng.choice(200, 4, replace=False)] ^= True  # others right, about as many
    points = [cost("poor", 60, 1), cost("cheap", near, 5), cost("best", 178, 60), cost("also near", 176, 30)]
    advice = recommend(points, LOTS)
    assert (advice.best.recipe, advice.cheapest.recipe, advice.of) == ("best", "cheap", 4)
    words = str(advice)
    assert words.startswith("Most accurate: best (chapter 05), 89.0 %") and "in 1:00." in words
    assert "Cheapest that is not clearly worse: cheap" in words and "in 5.0 s; image by image" in words
    assert recommend([], LOTS) is None


def test_decoding_and_features_are_paid_too():
    """A head takes no time on features that took a minute; training for ten seconds is the cheaper way."""
    frozen, tuned = cost("frozen", 170, 0.03, before=60.0), cost("tuned", 169, 10.0)
    assert recommend([frozen, tuned], LOTS).cheapest is tuned
    assert recommendation.took(frozen) == "1:00 (1:00 of it for features)"
    assert recommendation.all_before({"decoding": 2.0, "features": 3.0}, {"decoding": 2.0, "features": 4.0}) == {
        "decoding": 2.0,
        "features": 7.0,
    }


def test_nothing_is_told_of_times_below_the_clocks_resolution():
    """0.03 s against 0.2 s is no seven times less."""
    quick, slow = cost("quick", 168, 0.03), cost("slow", 170, 0.2)
    assert not quick.cheaper(slow) and recommend([quick, slow], LOTS).cheapest is slow
    assert recommendation.took(quick) == recommendation.took(slow) == "under 1 s"
    assert "0.0" not in " ".join(recommendation.cost_table([quick, slow]).astype(str).to_numpy().ravel()[3:6])


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "under 1 s"), (3.44, "3.4 s"), (125, "2:05"), (3725, "1:02:05")])
def test_times_are_said_as_a_clock_does(seconds, words):
    assert recommendation.clock(seconds) == words


def test_the_best_of_many_has_its_differences_widened_for_that():
    rng = np.random.default_rng(1)
    others = [cost(f"r{k}", rng.random(200) < 0.8, k) for k in range(1, 41)]
    best = max(others, key=lambda point: point.accuracy.value)
    alone = sum(recommendation.compared(best, other, LOTS).tie for other in others if other is not best)
    assert recommend(others, LOTS).ties == 39 > alone  # all are equally good: the best one is luck


def test_the_front_is_what_brute_force_finds():
    rng = np.random.default_rng(2)
    points = [cost(f"r{k}", int(rng.integers(0, 200)), float(rng.integers(1, 50))) for k in range(40)]
    wanted = {
        point.recipe
        for point in points
        if not any(
            other.paid <= point.paid
            and other.accuracy.value >= point.accuracy.value
            and (other.paid, other.accuracy.value) != (point.paid, point.accuracy.value)
            for other in points
        )
    }
    front = recommendation.front(points)
    assert {point.recipe for point in front} <= wanted
    assert {(p.paid, p.accuracy.value) for p in front} == {
        (p.paid, p.accuracy.value) for p in points if p.recipe in wanted
    }


def test_costs_are_read_from_records_once_a_recipe_the_cheapest_first():
    right = np.arange(10) < 5
    about = {"kind": "cost", "value": Accuracy.from_hits(right).to_record(), "hits": recommendation.kept_hits(right)}
    first = {**about, "recipe": "x", "seconds": 3.0, "before": {"decoding": {"seconds": 2.0}}}
    second = {**about, "recipe": "y", "seconds": 4.0, "before": {}}
    found = recommendation.costs({"06_a": [first, {"id": "r", "kind": "result", "value": 1}], "11_b": [first, second]})
    assert [(point.recipe, point.chapter, point.paid) for point in found] == [("y", "11", 4.0), ("x", "06", 5.0)]
    assert found[0].right.tolist() == right.tolist() and len(recommendation.cost_table(found)) == 2
