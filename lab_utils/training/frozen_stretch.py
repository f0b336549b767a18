"""Where a network's frozen front ends: all that no training changes and no chance touches is computed once.

The cut is the deepest single tensor before which nothing is trained. What it takes from the network's inputs may be
read behind it as well (a mask, say); nothing else may lead around it.

Random layers decide what can be kept. One that is frozen (`trainable = False`, as EfficientNet's drop-connect inside a
frozen base) is off, as batch normalisation is when it is frozen. One that isn't and stands at the beginning is
augmentation: the train images look different in every epoch, so their way through the frozen front is computed in
every step; that of val images is kept. Dropout behind the front stays behind the cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lab_utils.training.model_graph import Graph, Tensor, layers_of
from lab_utils.training.model_key import may_be_random


@dataclass(frozen=True)
class Cut:
    """Where a network is cut in two.

    Attributes:
        tensor: at the end of its front.
        front: numbers of the calls that lead to it, rising.
        reads: places of the inputs that the front takes.
        around: places of the inputs that are read behind the cut.
        is_random: whether the front draws anything in training.
        has_weights: whether keeping what the front gives saves more than reading it costs.
    """

    tensor: Tensor
    front: list[int]
    reads: list[int]
    around: list[int]
    is_random: bool
    has_weights: bool


def find(graph: Graph) -> Cut | None:
    """Find the end of the frozen front; None where there is none (or the network can only be taken as a whole)."""
    if graph.closed:
        return None
    cuts = list(_cuts(graph))
    kept = [cut for cut in cuts if cut.has_weights and not cut.is_random]
    drawn = [cut for cut in cuts if cut.is_random]
    return kept[-1] if kept else drawn[-1] if drawn else None


def _cuts(graph: Graph) -> Iterator[Cut]:
    """All tensors at which the network can be cut in front of everything that is trained, in the order of calls."""
    calls = graph.calls
    trained = _numbers(graph, lambda op: any(_changes(layer) for layer in layers_of(op)))
    random = _numbers(graph, lambda op: any(_draws(layer) for layer in layers_of(op)))
    weighty = _numbers(graph, lambda op: any(layer.weights for layer in layers_of(op)))
    before = _before(graph)
    readers: dict[Tensor, list[int]] = {}
    for number, call in enumerate(calls):
        for tensor in call.reads:
            readers.setdefault(tensor, []).append(number)
    readers.setdefault(graph.output, []).append(len(calls))
    for number in range(len(calls)):
        front = before[number]
        if front & trained:
            continue
        leads_out = {tensor for tensor, by in readers.items() if any(not front >> reader & 1 for reader in by)}
        leaving = {tensor for tensor in leads_out if tensor.call >= 0 and front >> tensor.call & 1}
        drawn = list(_each(front & random))
        behind = [any(before[later] >> item & 1 for later in _each(front & weighty)) for item in drawn]
        early = [not before[item] & weighty for item in drawn]
        if len(leaving) == 1 and all(map(max, zip(behind, early, strict=True))):
            inputs = {tensor.place for item in _each(front) for tensor in calls[item].reads if tensor.call < 0}
            around = sorted(tensor.place for tensor in leads_out if tensor.call < 0)
            yield Cut(leaving.pop(), [*_each(front)], sorted(inputs), around, bool(drawn), bool(front & weighty))


def _before(graph: Graph) -> list[int]:
    """Of each call, itself and all calls that it needs, as the set bits of a number."""
    before: list[int] = []
    for number, call in enumerate(graph.calls):
        needs = 1 << number
        for tensor in call.reads:
            needs |= before[tensor.call] if tensor.call >= 0 else 0
        before.append(needs)
    return before


def _numbers(graph: Graph, has: Any) -> int:
    return sum(1 << number for number, call in enumerate(graph.calls) if has(call.op))


def _each(bits: int) -> Iterator[int]:
    return (number for number in range(bits.bit_length()) if bits >> number & 1)


def _changes(layer: Any) -> bool:
    """Whether training may change a layer's weights, or the layer adds to the loss."""
    import keras

    if layer.activity_regularizer is not None:
        return True
    moving = layer._non_trainable_variables and not isinstance(layer, keras.layers.Normalization)
    return layer.trainable and bool(layer._trainable_variables or moving)


def _draws(layer: Any) -> bool:
    """Whether a layer may give something else in training than in inference, by chance."""
    return layer.trainable and (bool(layer._seed_generators) or may_be_random(layer))
