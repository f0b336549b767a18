"""The copy of a network that is trained: cut behind its frozen front, compiled once for all networks built alike.

Networks that differ only in first weights, seeds and a constant learning rate share one twin: compiling costs seconds.
`model.fit` drives it with Keras's own `train_step`; what is added is where its inputs come from and what it counts.
"""

import math
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.networks import fast_ops
from lab_utils.training import frozen_stretch, model_graph, model_key
from lab_utils.training.feeding import Source
from lab_utils.training.model_graph import Graph, Tensor

if TYPE_CHECKING:
    import keras

PARTS = ("cross-entropy", "penalty", "loss")  # what may be the first that isn't finite
DETERMINISTIC = "LAB_DETERMINISTIC"  # variable: 1: a card, too, gives the same bits each time
KEPT = 4  # twins that stay compiled
LARGE = 1_000_000  # weights in convolutions from which on half precision is worth its rounding
_twins: "OrderedDict[str, Twin]" = OrderedDict()


# ---- precision and device --------------------------------------------------------------------------------------------
def prepare_device() -> None:
    """Make operations repeat bit for bit, and let a graphics card's memory grow as needed.

    On a card the order of sums changes from run to run, and fixing it costs speed: there `LAB_DETERMINISTIC=1` asks for
    it. It holds for the whole process.
    """
    import tensorflow as tf

    cards = tf.config.list_physical_devices("GPU")
    for card in cards:
        try:
            tf.config.experimental.set_memory_growth(card, True)
        except RuntimeError:  # the card is in use already
            break
    if not cards or os.environ.get(DETERMINISTIC) == "1":
        tf.config.experimental.enable_op_determinism()


def half_precision() -> str | None:
    """Keras dtype policy of half precision that this machine multiplies faster than float32; None: none.

    Returns:
        `mixed_bfloat16` (processors with avx512_bf16 or amx_bf16; graphics cards of compute capability 8 and up) or
        `mixed_float16` (capability 7).
    """
    import tensorflow as tf

    cards = tf.config.list_physical_devices("GPU")
    if cards:
        major = tf.config.experimental.get_device_details(cards[0]).get("compute_capability", (0, 0))[0]
        return "mixed_bfloat16" if major >= 8 else "mixed_float16" if major == 7 else None
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else None


def best_precision(graph: Graph) -> str | None:
    """Dtype policy in which a network is trained fastest on this machine; None: the one that it was built with.

    Networks are built in float32 in the notebooks. Where the machine multiplies half precision, a large one is trained
    in it (its weights stay float32), except that depthwise convolutions gain nothing on processors
    (`benchmarks/README.md`). A network with layers that are neither Keras's nor the lab's keeps its own: whether they
    can compute in another number type only their author knows.
    """
    import keras
    import tensorflow as tf

    layers = list(graph.layers)
    ours = all(model_graph.is_keras(type(op)) or type(op).__module__.startswith("lab_utils.") for op in graph.ops)
    convolutions = [layer for layer in layers if hasattr(layer, "kernel") and len(layer.kernel.shape) == 4]
    depthwise = any(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in convolutions)
    large = sum(int(np.prod(layer.kernel.shape)) for layer in convolutions) >= LARGE
    plain = all(layer.dtype_policy.name == "float32" for layer in layers)
    slow = depthwise and not tf.config.list_physical_devices("GPU")
    return half_precision() if ours and plain and large and not graph.closed and not slow else None


# ---- the twin --------------------------------------------------------------------------------------------------------
class Twin:
    """A trained copy with its compiled steps, shared by all networks that are built alike.

    Attributes:
        variables: its state, in the order of `Graph.variables` of every network that shares it.
        front: from the network's inputs to the end of the frozen front; None: there is none.
        rest: what is trained, from there to logits; compiled.
        cut: where it was cut; None: nowhere.
        classes: number of logits.
        holds: name of the weights that it has now.
    """

    def __init__(self, graph: Graph, precision: str | None, classes: int, packing: Any = None):
        """Copy a network's structure and compile it; its values are put in by `put`.

        Args:
            graph: the network.
            precision: dtype policy of what has weights; None: as it was built.
            classes: number of logits.
            packing: how the inputs of a network that can only be taken as a whole are nested; None: a single one.
        """
        import keras

        self.cut, self.holds, self.classes = frozen_stretch.find(graph), "", classes
        self._packing = packing if graph.closed else None
        with keras.saving.custom_object_scope(model_key.custom_objects(graph)), model_graph.undrawn():
            self._copy(graph, precision)
            self._compile(graph.model, precision)
        self._first = self.optimizer_values()
        self._steps: dict[tuple[type, bool], Callable] = {}
        self._count()
        self._logits = self._function(lambda x: self.rest(x, training=False), self.rest)
        self._activations = self._function(lambda x: self.front(x, training=False), self.front)

    # ---- building
    def _copy(self, graph: Graph, precision: str | None) -> None:
        import keras

        self.front: keras.Model | None = None
        if graph.closed:
            self.rest = model_graph.copied_closed(graph)
            self._layers = model_graph.layers_of(self.rest)
            self.variables = model_graph.read(self.rest, graph.example).variables
            return
        half = _half(graph) if precision else set()
        inputs = [model_graph.input_like(x) for x in graph.model.inputs]
        copies, taken = {}, {"front", *(x._keras_history.operation.name for x in inputs)}
        for op in graph.ops:
            copies[id(op)] = model_graph.copied_op(op, precision if id(op) in half else None)
            while copies[id(op)].name in taken:  # nested networks may use a name twice
                copies[id(op)].name += "_"
            taken.add(copies[id(op)].name)
        tensors: dict[Tensor, Any] = {Tensor(-1, place): x for place, x in enumerate(inputs)}
        taken_in, front = list(range(len(inputs))), self.cut.front if self.cut else []
        if self.cut:
            model_graph.built(graph.calls, front, tensors, copies)
            end, taken_in = tensors[self.cut.tensor], self.cut.around
            self.front = keras.Model(single([inputs[place] for place in self.cut.reads]), end)
            tensors[self.cut.tensor] = keras.Input(batch_shape=end.shape, dtype=end.dtype, name="front")
        new = [model_graph.input_like(inputs[place]) for place in taken_in]
        tensors |= {Tensor(-1, place): x for place, x in zip(taken_in, new, strict=True)}
        fed = [tensors[self.cut.tensor], *new] if self.cut else new
        later = [number for number in range(len(graph.calls)) if number not in set(front)]
        model_graph.built(graph.calls, later, tensors, copies)
        self.rest = keras.Model(single(fed), tensors[graph.output])
        self._layers = [layer for op in graph.ops for layer in model_graph.layers_of(copies[id(op)])]
        variables = [item for op in graph.ops for item in getattr(copies[id(op)], "variables", ())]
        self.variables = list({id(item): item for item in variables}.values())

    def _compile(self, model: "keras.Model", precision: str | None) -> None:
        import keras

        optimizer = model.optimizer
        quick = type(optimizer) is keras.optimizers.Adam
        kind = fast_ops.adam() if quick else type(optimizer)
        optimizer = kind.from_config(optimizer.get_config())
        if precision == "mixed_float16" and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        weights = model.get_compile_config().get("loss_weights")
        self.rest.compile(optimizer, loss=model.loss, loss_weights=weights, jit_compile="auto")
        optimizer.build(self.rest.trainable_variables)

    def _function(self, function: Callable, of: "keras.Model | None" = None) -> Callable:
        """Compile a function, once for all batch sizes where it takes the inputs of a network."""
        import tensorflow as tf

        specs = [tf.TensorSpec(x.shape, x.dtype) for x in of.inputs] if hasattr(of, "inputs") else None
        signature = [single(specs)] if specs else None
        return tf.function(function, input_signature=signature, autograph=False, reduce_retracing=True)

    # ---- state
    def put(self, values: list[np.ndarray], name: str = "") -> None:
        """Put the values of all variables in; `name` stands for them in `holds`."""
        model_graph.assign(self.variables, values, self._layers)
        self.holds = name

    def restart(self, values: list[np.ndarray], rate: float | None) -> None:
        """Begin anew with first values and a forgetful optimizer; `rate`: None where a schedule is compiled in."""
        self.put(values)
        self.put_optimizer(self._first)
        if rate is not None:
            self.rest.optimizer.learning_rate = rate

    def put_optimizer(self, values: list[np.ndarray]) -> None:
        """Put the optimizer's state in."""
        model_graph.assign(self.rest.optimizer.variables, values)

    def optimizer_values(self) -> list[np.ndarray]:
        """Copies of the optimizer's state."""
        return model_graph.values_of(self.rest.optimizer.variables)

    # ---- work
    @property
    def keeps_front(self) -> bool:
        """Whether what the front gives in inference is worth keeping."""
        return bool(self.cut and self.cut.has_weights)

    def activations(self, inputs: list[Any]) -> list[Any]:
        """What the rest is fed, of what the network is fed, in inference: the front's output, then what goes around."""
        if self.front is None:
            return inputs
        front = self._activations(_cast(single([inputs[place] for place in self.cut.reads]), self.front))
        return [front, *(inputs[place] for place in self.cut.around)]

    def logits(self, fed: list[Any]) -> np.ndarray:
        """Logits (B, classes) of what the rest is fed, in inference, float32."""
        return np.asarray(self._logits(self._taken(fed))).astype(np.float32)

    def _taken(self, fed: list[Any]) -> Any:
        """Arrays or tensors as `rest` takes them."""
        import keras
        import tensorflow as tf

        if hasattr(self.rest, "inputs"):
            return _cast(single(fed), self.rest)
        fed = [tf.cast(item, tf.float32) for item in fed]
        return single(fed) if self._packing is None else keras.tree.pack_sequence_as(self._packing, fed)

    def train_on(self, where: Source, through_front: bool) -> None:
        """Let `rest.fit` take its inputs from `where`.

        Args:
            where: of the train rows.
            through_front: whether these are inputs of the network (else they are activations at the front's end).
        """
        key = (type(where), through_front)
        if key not in self._steps:
            self._steps[key] = self._function(self._step_of(where.inside, through_front))
        step = self._steps[key]
        self.rest.train_function = lambda iterator: step(iterator, where.variables)

    def _step_of(self, inside: Callable, through_front: bool) -> Callable:
        import tensorflow as tf

        train = self.rest.train_step
        train = tf.function(train, jit_compile=True, autograph=False) if self.rest.jit_compile else train

        def step(iterator: Any, variables: tuple) -> Any:
            batch, *labels = next(iterator)
            fed = inside(batch, variables)
            if through_front and self.front is not None:  # outside of what XLA compiles: it can't resample images
                reads = _cast(single([fed[place] for place in self.cut.reads]), self.front)
                fed = [self.front(reads, training=True), *(fed[place] for place in self.cut.around)]
            return train((self._taken(fed), *labels))

        return step

    # ---- what a step counts
    def _count(self) -> None:
        """Count right answers, cross-entropy, penalty and the first step whose loss isn't finite, on the device."""
        import tensorflow as tf

        self._sums = tf.Variable(tf.zeros(5, tf.float64), trainable=False)
        self._step, self._bad = (tf.Variable(start, trainable=False, dtype=tf.int64) for start in (0, -1))
        usual, told = self.rest.compute_loss, self.rest._compute_loss_has_training_arg

        def compute_loss(x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training=True):
            more = {"training": training} if told else {}
            loss = usual(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **more)
            if training:
                self._add(loss, y, y_pred)
            return loss

        self.rest.compute_loss = compute_loss

    def _add(self, loss: Any, labels: Any, logits: Any) -> None:
        import tensorflow as tf

        labels = tf.argmax(labels, axis=-1) if labels.shape.rank > 1 else labels
        labels, logits = tf.cast(labels, tf.int32), tf.cast(logits, tf.float32)
        entropy = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        right = tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), labels), tf.float32))
        penalty = tf.add_n([tf.cast(item, tf.float32) for item in self.rest.losses] or [tf.constant(0.0)])
        n = tf.cast(tf.shape(labels)[0], tf.float32)
        parts = tf.stack([n, right, entropy, n * penalty, n * tf.cast(loss, tf.float32)])
        self._sums.assign_add(tf.cast(parts, tf.float64))
        kind = tf.where(tf.math.is_finite(entropy), tf.where(tf.math.is_finite(penalty), 2, 1), 0)
        bad = tf.logical_and(self._bad < 0, tf.logical_not(tf.math.is_finite(parts[4])))
        self._bad.assign(tf.where(bad, self._step * len(PARTS) + tf.cast(kind, tf.int64), self._bad))
        self._step.assign_add(1)

    def start_counting(self) -> None:
        """Set the counts to zero, before an epoch."""
        self._sums.assign(np.zeros(5))
        self._step.assign(0)
        self._bad.assign(-1)

    def counted(self) -> tuple[dict[str, float], tuple[int, str] | None]:
        """Training-time means over an epoch's images; the first step (from 0) without a finite loss and what it was."""
        n, *sums = (float(item) for item in self._sums.numpy())
        means = [item / n if n else math.nan for item in sums]  # a train_step that computes no loss is not counted
        step, kind = divmod(int(self._bad.numpy()), len(PARTS))
        names = ("accuracy", "cross_entropy", "penalty", "loss")
        return dict(zip(names, means, strict=True)), (step, PARTS[kind]) if step >= 0 else None


def single(items: list[Any]) -> Any:
    """The only item of a list, or the list."""
    return items[0] if len(items) == 1 else items


def _cast(fed: Any, model: "keras.Model") -> Any:
    """Arrays or tensors in the number types that a network takes."""
    import tensorflow as tf

    parts = fed if isinstance(fed, list) else [fed]
    return single([tf.cast(item, wanted.dtype) for item, wanted in zip(parts, model.inputs, strict=True)])


def _half(graph: Graph) -> set[int]:
    """Layers (by `id`) that are computed in half precision: all behind the first weights but the last."""
    seen, behind = set[int](), set[int]()
    for number, call in enumerate(graph.calls):
        weighty = any(len(weight.shape) > 1 for weight in getattr(call.op, "weights", ()))
        if weighty or any(tensor.call in behind for tensor in call.reads):
            behind.add(number)
            seen.add(id(call.op))
    last = graph.calls[graph.output.call].op
    return {id(op) for op in graph.ops if id(op) in seen and hasattr(op, "dtype_policy")} - {id(last)}


def twin_of(structure: str, make: Callable[[], Twin]) -> Twin:
    """The twin that networks built alike share; the last `KEPT` stay compiled."""
    if structure not in _twins:
        _twins[structure] = make()
    _twins.move_to_end(structure)
    while len(_twins) > KEPT:
        _twins.popitem(last=False)
    return _twins[structure]
