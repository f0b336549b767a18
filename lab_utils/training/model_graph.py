"""A Keras network as the plain list of its calls, which its key, its copy and the search for its frozen front read.

Nested models are opened: the list is flat. A model that is no graph of layers (a class with a `call` or a `train_step`
of its own) stays closed: it is copied and trained as a whole.
"""

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.core.errors import LabError

if TYPE_CHECKING:
    import keras

MOST_OUTPUTS = 16  # tensors that one call may give
STEPS = ("train_step", "compute_loss", "call")  # methods that make a model more than the graph of its layers


@dataclass(frozen=True)
class Tensor:
    """What stands for a tensor in a graph: the number of the call that gives it and its place in what that gives.

    An input of the network has the call number -1.
    """

    call: int
    place: int


@dataclass(frozen=True)
class Call:
    """A layer or operation, called with `Tensor`s in place of tensors."""

    op: Any
    args: tuple
    kwargs: dict[str, Any]

    @cached_property
    def reads(self) -> list[Tensor]:
        """The tensors among its arguments."""
        import keras

        return [item for item in keras.tree.flatten((self.args, self.kwargs)) if isinstance(item, Tensor)]


@dataclass
class Graph:
    """The calls of a network in an order in which they can run.

    Attributes:
        model: the network.
        calls: empty where it has a `call` of its own.
        output: its logits.
        closed: whether it can only be trained as a whole, because a method of its class is its own.
        example: inputs of one image, as a closed network takes them.
    """

    model: "keras.Model"
    calls: list[Call] = field(default_factory=list)
    output: Tensor | None = None
    closed: bool = False
    example: Any = None

    @cached_property
    def ops(self) -> list[Any]:
        """Its layers and operations, each once, in the order of their first calls."""
        called = [call.op for call in self.calls] or [self.model]
        return list({id(op): op for op in called}.values())

    @property
    def layers(self) -> Iterator["keras.layers.Layer"]:
        """All its layers, those inside closed models and wrappers too."""
        for op in self.ops:
            yield from layers_of(op)

    @cached_property
    def variables(self) -> list[Any]:
        """All its state, random state included, each variable once; the same place in all networks built alike."""
        return list({id(item): item for op in self.ops for item in getattr(op, "variables", ())}.values())

    @cached_property
    def shape(self) -> tuple[int | None, ...]:
        """Shape of what the network gives, (B, classes) as it should be."""
        return tuple((self.model.outputs[0] if self.calls else self.model(self.example)).shape)

    def part(self, numbers: list[int], output: Tensor) -> "Graph":
        """Some of its calls, numbered anew, that give `output`."""
        import keras

        new = {-1: -1} | {number: i for i, number in enumerate(numbers)}
        fill = lambda item: Tensor(new[item.call], item.place) if isinstance(item, Tensor) else item  # noqa: E731
        moved = [keras.tree.map_structure(fill, (self.calls[i].args, self.calls[i].kwargs)) for i in numbers]
        calls = [Call(self.calls[i].op, *arguments) for i, arguments in zip(numbers, moved, strict=True)]
        return Graph(self.model, calls, fill(output))

    def frozen(self) -> list[bool]:
        """Of each of `variables`, whether training must leave it as it is (random state may always change)."""
        still = {id(item) for layer in self.layers if not layer.trainable for item in layer.weights}
        return [id(item) in still for item in self.variables]


def layers_of(op: Any) -> list["keras.layers.Layer"]:
    """A layer with all layers inside it; of an operation that is no layer, none."""
    return op._flatten_layers() if hasattr(op, "_flatten_layers") else []


def read(model: "keras.Model", example: Any = None) -> Graph:
    """List the calls of a network.

    Args:
        model: the network.
        example: inputs of one image, in case that it is closed.

    Raises:
        LabError: the network's input shape isn't known yet, or it doesn't give one tensor.
    """
    import keras

    if not model.built or not model.variables:
        raise LabError(f"The network {model.name} isn't built: begin it with keras.Input(shape).")
    graph = Graph(model, closed=not _is_open(model, STEPS), example=example)
    if not _is_open(model, ("call",)):
        return graph

    def call(op: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_open(op, ("call",)):
            return _through(op, args[0], call)
        graph.calls.append(Call(op, args, kwargs))
        return [Tensor(len(graph.calls) - 1, place) for place in range(MOST_OUTPUTS)]

    outputs = keras.tree.flatten(_through(model, [Tensor(-1, i) for i in range(len(model.inputs))], call))
    if len(model.outputs) != 1:
        raise LabError(f"The network {model.name} gives {len(model.outputs)} tensors: the lab trains one, the logits.")
    graph.output = outputs[0]
    return graph


def _is_open(op: Any, own: Collection[str]) -> bool:
    """Whether an operation is a built graph of layers that overrides none of the methods `own`."""
    from keras import Sequential
    from keras.src.models.functional import Functional

    kind = next((kind for kind in (Functional, Sequential) if isinstance(op, kind)), None)
    if kind is None or (kind is Sequential and not op.built):
        return False
    return all(getattr(type(op), name) is getattr(kind, name) for name in own)


def _through(model: Any, inputs: Any, call: Callable[..., Any]) -> Any:
    """Run a graph of layers on anything that stands for tensors: `call(layer, *args, **kwargs)` for each layer."""
    import keras

    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            inputs = call(layer, keras.tree.flatten(inputs)[0])
        return keras.tree.flatten(inputs)[0]
    return model._run_through_graph(inputs, call_fn=call)


# ---- copies ----------------------------------------------------------------------------------------------------------
def copied_op(op: Any, precision: str | None = None) -> Any:
    """Make a layer or operation with the same configuration and weights of its own (of any values).

    A random layer that is frozen gives what it gives in inference, as Keras does for batch normalisation.

    Args:
        op: where its classes aren't Keras's, call this inside `keras.saving.custom_object_scope`.
        precision: dtype policy; None: its own.

    Raises:
        LabError: its configuration doesn't tell how to build it.
    """
    import keras

    try:
        if type(op) is keras.layers.Lambda:  # its configuration can't hold what a lambda refers to
            same = {"name": op.name, "trainable": op.trainable, "dtype": op.dtype_policy}
            return keras.layers.Lambda(op.function, op._output_shape, op.mask, op.arguments, **same)
        config = {key: _live(op, key, value) for key, value in op.get_config().items()}
        if is_keras(type(op)):  # drawing values that are overwritten would only take time
            config |= {key: "zeros" for key, value in config.items() if key.endswith("_initializer") and value}
        copy = type(op).from_config(config | ({"dtype": precision} if precision else {}))
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LabError(
            f"Layer {op.name} ({type(op).__name__}) can't be copied for training: give its class a get_config that "
            f"returns the arguments of __init__ ({reason})."
        ) from error
    if getattr(op, "_seed_generators", None) and not op.trainable:
        usual = copy.call
        copy.call = lambda *args, training=None, **more: usual(*args, training=False, **more)
    return copy


def _live(op: Any, key: str, value: Any) -> Any:
    """A configuration's value; of a function of the user's (an activation, say) the function itself."""
    held = getattr(op, key, None)
    return held if isinstance(held, FunctionType) and not is_keras(held) else value


def is_keras(thing: Any) -> bool:
    """Whether a class or function belongs to Keras."""
    return str(getattr(thing, "__module__", "")).split(".")[0] == "keras"


def built(
    calls: Collection[Call], numbers: Collection[int], tensors: dict[Tensor, Any], copies: dict[int, Any]
) -> None:
    """Run some calls of a graph, on their copies, with symbolic tensors.

    Args:
        calls: of the graph.
        numbers: of those to run, rising.
        tensors: what stands for each tensor that is known; what the calls give is added.
        copies: of each operation, by its `id`.
    """
    import keras

    for number in numbers:
        call = calls[number]
        fill = lambda item: tensors[item] if isinstance(item, Tensor) else item  # noqa: E731
        args, kwargs = keras.tree.map_structure(fill, call.args), keras.tree.map_structure(fill, call.kwargs)
        outputs = keras.tree.flatten(copies[id(call.op)](*args, **kwargs))
        tensors.update({Tensor(number, place): output for place, output in enumerate(outputs)})


def copied_model(graph: Graph) -> "keras.Model":
    """Copy a network as it is, nested models and names included, with weights of any values."""
    import keras

    copies: dict[int, Any] = {}

    def copy_of(op: Any) -> Any:
        if id(op) not in copies:
            copies[id(op)] = whole(op) if _is_open(op, ("call",)) else copied_op(op)
        return copies[id(op)]

    def whole(model: Any) -> Any:
        if isinstance(model, keras.Sequential):
            return keras.Sequential([input_like(model.inputs[0]), *map(copy_of, model.layers)], name=model.name)
        inputs = keras.tree.map_structure(input_like, model.input)
        outputs = model._run_through_graph(inputs, call_fn=lambda op, *args, **more: copy_of(op)(*args, **more))
        return keras.Model(inputs, outputs, name=model.name)

    with undrawn():
        return copied_closed(graph) if graph.closed else whole(graph.model)


def input_like(tensor: Any) -> Any:
    """A new input like one of a network, or like a tensor inside it."""
    import keras

    layer = tensor._keras_history.operation
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=getattr(layer, "name", None))


def copied_closed(graph: Graph) -> "keras.Model":
    """Copy a network that is no graph of layers: by its configuration, then called once so that it has weights."""
    model, copy = graph.model, copied_op(graph.model)
    copy(graph.example)
    for mine, theirs in zip(layers_of(copy), layers_of(model), strict=True):
        mine.trainable = theirs.trainable
    return copy


def values_of(variables: list[Any]) -> list[np.ndarray]:
    """Copies of the values of some variables."""
    return [np.array(variable.numpy()) for variable in variables]


def assign(variables: list[Any], values: list[np.ndarray], layers: Collection[Any] = ()) -> None:
    """Put values into variables; normalisation layers among `layers` take theirs over into what they compute with.

    Raises:
        LabError: the shapes are not those of this network.
    """
    import keras

    if [tuple(variable.shape) for variable in variables] != [np.shape(value) for value in values]:
        raise LabError("Stored weights do not fit this network: delete its folder in data/cache/models and run again.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    for layer in layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


@contextmanager
def undrawn() -> Iterator[None]:
    """Leave Python's and numpy's random state as they were: what is drawn later must not depend on what was built."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
