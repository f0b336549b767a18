"""Solutions of the exercises, for `exercises.check` and for teachers (`python scripts/solutions.py RUN` prints them).

The parameters of a solution are names that its notebook has defined, modules too: it is computed from what they hold.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab_utils.core.errors import LabError


@dataclass(frozen=True)
class Solution:
    """What a right answer to an exercise is.

    Attributes:
        number: of the exercise (`06.2`).
        function: computes it from the notebook's variables, which it names as its parameters.
        tolerance: relative to it, for numbers; not used where `within` is given.
        within: distance that counts as right as well, in the answer's unit.
    """

    number: str
    function: Callable[..., Any]
    tolerance: float = 0.01
    within: float = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The notebook's variables that it needs."""
        return tuple(inspect.signature(self.function).parameters)

    def value(self, notebook: Mapping[str, Any]) -> Any:
        """The solution where the notebook's variables are these.

        Raises:
            LabError: a variable is missing.
        """
        if missing := [name for name in self.names if name not in notebook]:
            raise LabError(f"Exercise {self.number} needs {missing[0]!r} of a cell above: run the cells above first.")
        return self.function(**{name: notebook[name] for name in self.names})


SOLUTIONS: dict[str, Solution] = {}


def find(number: str) -> Solution:
    """Find a solution by the number of its exercise.

    Raises:
        LabError: there is none.
    """
    if number not in SOLUTIONS:
        raise LabError(f"There is no exercise {number!r}; there are {', '.join(SOLUTIONS)}.")
    return SOLUTIONS[number]


def solution(number: str, tolerance: float = 0.01, within: float = 0) -> Callable[[Callable], Callable]:
    """Make a function the solution of an exercise."""

    def keep(function: Callable) -> Callable:
        SOLUTIONS[number] = Solution(number, function, tolerance, within)
        return function

    return keep


def compared(first: float, second: float) -> str:
    """How the first number stands to the second: `higher`, `lower` or `equal`."""
    return "equal" if first == second else "higher" if first > second else "lower"


# ---- data, networks from scratch, the paper --------------------------------------------------------------------------
@solution("00.1")
def _column_that_does_best(trivial_baselines, rows):
    return trivial_baselines.best_column(rows)


@solution("00.2")
def _accuracy_by_lot_alone(trivial_baselines, rows):
    return trivial_baselines.val_percent(rows, trivial_baselines.commonest(rows, ["lot"]))


@solution("01.1", tolerance=0.02)
def _growth_of_the_parameters(growth):
    return growth(64)


@solution("01.2")
def _clean_accuracy_with_dropout(clean):
    return compared(clean(0.6), clean(0.0))


@solution("02.1", tolerance=0.03)
def _change_of_the_largest_value(paper_baselines, variable_shape, lab, here):
    import keras

    network = variable_shape(here, lambda maps, mask: {"largest": keras.ops.max(maps, axis=(1, 2))})
    return 100 * paper_baselines.padding_effect(lab, network)["largest"].value


@solution("02.2", tolerance=0.03)
def _padding_of_two_pictures(paper_baselines):
    return 100 * paper_baselines.padding_share([2.0, 0.5])


# ---- features of pretrained networks ---------------------------------------------------------------------------------
@solution("03.1")
def _leep_of_coarser_labels(leep_of, taxonomy):
    return "up" if leep_of(taxonomy.super_group) > leep_of(str) else "down"


@solution("03.2")
def _number_of_neighbours(best_of):
    return best_of((1, 5, 25))


@solution("04.1")
def _flat_map_to_trust(trusted):
    return max(("PCA", "UMAP"), key=trusted.get)


@solution("04.2")
def _purest_class_in_two_components(maps, first):
    return maps.purest(first, 2)


@solution("05.1", within=5)
def _accuracy_from_nothing(from_nothing):
    return from_nothing()


@solution("05.2")
def _components_that_do(tables, by_dimension):
    return tables.fewest(by_dimension)


# ---- fine-tuning -----------------------------------------------------------------------------------------------------
@solution("06.1")
def _epoch_of_the_lowest_cross_entropy(run):
    return int(run.history["val_cross_entropy"].idxmin()) + 1


@solution("06.2", tolerance=0.02)
def _fewer_weights(trainable):
    return trainable((512, 512)) / trainable((64,))


@solution("07.1")
def _optimizer_steps(trained, here):
    return -(-len(trained.rows("train")) // here.batch) * here.epochs


@solution("07.2")
def _images_answered_otherwise(run, first):
    return int((run.predicted() != first.predicted()).sum())


@solution("08.1", tolerance=0.05)
def _penalty_by_cross_entropy(run):
    epoch = run.history.iloc[0]
    return epoch["penalty"] / epoch["cross_entropy"]


@solution("08.2")
def _weights_under_the_penalty(trained):
    inputs, outputs = trained.model.get_layer("fc1").kernel.shape
    return inputs * outputs


@solution("09.1", tolerance=0.05)
def _clean_minus_counted(run):
    return 100 * (run.train_at_end.value - run.counted_at_end.value)


@solution("09.2", tolerance=0.05)
def _ten_more_epochs(run):
    before, last = run.history["val_cross_entropy"].iloc[-2:]
    return 10 * (last - before)


@solution("10.1")
def _best_epoch(trained):
    return trained.best_epoch


@solution("10.2", tolerance=0.05)
def _optimism(run):
    return 100 * (run.val.value - run.val_at_end.value)


@solution("11.1")
def _temperature_that_changes_nothing():
    return 1.0


@solution("11.2")
def _ties(steps):
    return sum(step.tie for step in steps)


@solution("12.1", tolerance=0.05)
def _illusion(gains):
    return 100 * (gains["train"].value - gains["val"].value)


@solution("12.2")
def _components_of_fine_tuned_features(parts, fine):
    from lab_utils.analysis.projections import components_for

    return components_for(parts[fine.title]) if parts else 0


# ---- what they look at, results, further steps -----------------------------------------------------------------------
@solution("13.1")
def _focus_with_an_empty_quadrant():
    return 2 / 3


@solution("13.2")
def _maps_whose_brightest_cell_moves(moved, logits):
    import keras

    return moved(keras.layers.Softmax()(logits))


@solution("14.1")
def _average_at_equal_numbers():
    return "balanced accuracy"


@solution("14.2")
def _right_answers_at_twice_the_temperature(logits, temperature, truth, headline):
    right = (logits["test"] / (2 * temperature)).argmax(axis=1) == truth["test"]
    return int(right.sum()) - headline.accuracy.successes


@solution("15.1")
def _loss_of_the_sure_with_smoothing(loss_of):
    return loss_of(0.2)


@solution("15.2")
def _front_within_five_seconds(recommendation, points):
    return len(recommendation.front([cost for cost in points if cost.paid <= 5]))
