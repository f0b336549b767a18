"""Train, resume and reload networks: one loop for the scratch networks and the fine-tuning runs.

The loop is our own rather than `model.fit` for three reasons: a run that was killed must end with the same bits as one
that was not (shuffling by seed and epoch, the optimizer and the dropout's random state in the checkpoint); penalty and
cross-entropy are kept apart; and one compiled step serves all runs of an architecture (a compilation costs seconds).
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from lab_utils.core import locks
from lab_utils.core.errors import LabError, memory_named
from lab_utils.core.records import PROJECT, content_hash, write_json
from lab_utils.networks import fast_ops
from lab_utils.stats.metrics import cross_entropy, softmax
from lab_utils.training import checkpoints
from lab_utils.training.plan import Plan

if TYPE_CHECKING:
    import keras

FORMAT = 2  # part of every hash: raise it when the loop changes what a configuration gives
NEAR = (
    0.3  # nats from ln(classes) at the start with `small_kernel` (Lite0, Lite1: below 0.05; ten times it: 0.2 to 1.5)
)
Transform = Callable[[np.ndarray, np.ndarray, int | None], Any]


# ---- what is fed -----------------------------------------------------------------------------------------------------
@dataclass
class Examples:
    """Images (or their activations) with labels, given out in batches.

    Attributes:
        inputs: anything with rows: array or memory map, shape (N, ...).
        labels: integer labels, shape (N,).
        transform: makes the network's input of a batch: `(inputs of the rows, rows, epoch) -> array`; epoch is None
            outside training (no augmentation). None: the rows as they are.
    """

    inputs: Any
    labels: np.ndarray
    transform: Transform | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray, epoch: int | None = None) -> tuple[Any, np.ndarray]:
        """Network inputs and int32 labels of some rows."""
        inputs = self.inputs[rows]
        made = self.transform(inputs, rows, epoch) if self.transform else inputs
        return made, np.asarray(self.labels[rows], dtype=np.int32)

    def batches(self, order: np.ndarray, batch: int, epoch: int | None = None) -> Iterator[tuple[Any, np.ndarray]]:
        """Batches in the given order of rows; the next is read while the network works on the one before."""
        parts = [order[start : start + batch] for start in range(0, len(order), batch)]
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self.take, parts[0], epoch)
            for part in [*parts[1:], None]:
                ready = coming.result()
                coming = reader.submit(self.take, part, epoch) if part is not None else coming
                yield ready


class Chosen:
    """Some rows of an image array, indexed like an array of their own (nothing is copied before it is asked for)."""

    def __init__(self, images: np.ndarray, rows: np.ndarray):
        self.images, self.rows = images, np.asarray(rows)
        self.shape = (len(self.rows), *images.shape[1:])

    def __getitem__(self, place: Any) -> np.ndarray:
        return np.asarray(self.images[self.rows[place]])

    def __len__(self) -> int:
        return len(self.rows)


def cache_folder() -> Path:
    """Folder of what can be computed again: models, activations."""
    return PROJECT / "data" / "cache"


def augmenting(n: int, seed: int, crop: float = 1.0) -> Transform:
    """A transform that turns, shifts, mirrors (and crops) n train images of 0..255, drawn from seed and epoch."""
    from lab_utils.data.pipeline import Augment

    augment = Augment(crop=crop)

    def transform(pixels: np.ndarray, rows: np.ndarray, epoch: int | None) -> Any:
        return pixels if epoch is None else augment.apply(pixels, augment.draw(n, seed, epoch)[rows])

    return transform


def small_kernel() -> "keras.initializers.Initializer":
    """First kernel of a new output layer on pretrained features: a tenth of Keras's default (Glorot).

    Features of a pretrained network can be large; with the whole default a network would start far from ln(classes).
    With zeros it would start there whatever is wrong with its input, and the first step would teach the output only.
    """
    import keras

    return keras.initializers.VarianceScaling(scale=0.01, mode="fan_avg", distribution="uniform")


# ---- precision and determinism ---------------------------------------------------------------------------------------
def best_precision() -> str:
    """Keras dtype policy for this machine: bfloat16 where the hardware multiplies it, float16 on older graphics cards.

    Returns:
        `mixed_bfloat16` (processors with avx512_bf16 or amx_bf16; graphics cards of compute capability 8 and up),
        `mixed_float16` (capability 7), else `float32`.
    """
    import tensorflow as tf

    if on_graphics_card():
        cards = tf.config.list_physical_devices("GPU")
        major = tf.config.experimental.get_device_details(cards[0]).get("compute_capability", (0, 0))[0]
        return "mixed_bfloat16" if major >= 8 else "mixed_float16" if major == 7 else "float32"
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def on_graphics_card() -> bool:
    """Whether TensorFlow computes on a graphics card."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


# ---- the compiled steps ----------------------------------------------------------------------------------------------
class Trainer:
    """A network with its compiled steps; `restart` makes it new, so that one compilation serves many runs.

    Attributes:
        model: takes a batch, gives float32 logits of shape (B, classes).
        classes: number of classes.
    """

    def __init__(
        self,
        model: "keras.Model",
        *,
        redraw: Sequence["keras.layers.Layer"] | None = None,
        frozen: Sequence[Any] = (),
        amsgrad: bool = False,
        precision: str = "float32",
        input_dtype: str = "float32",
    ):
        """Take a model and compile nothing yet (that happens at the first step).

        Args:
            model: see above. Its penalties are its `losses` (Keras regularizers).
            redraw: layers whose kernels a restart draws anew from the run's seed; None: all of the model.
            frozen: variables that training must leave unchanged (those of a prefix outside the model included); they
                are compared with what they are now.
            amsgrad: the AMSGrad variant of Adam.
            precision: the policy the model was built with (float16 needs loss scaling).
            input_dtype: of what the model is fed.
        """
        import keras

        self.model, self.frozen, self.input_dtype = model, list(frozen), input_dtype
        self.classes = int(model.output_shape[-1])
        self.redraw = list(model.layers if redraw is None else redraw)
        optimizer = fast_ops.adam()(amsgrad=amsgrad)
        self.optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer
        self.optimizer.build(model.trainable_variables)
        self.holds = ""  # which stored weights are in the model now
        self._frozen_hash = self._hash_of_frozen()
        self._first_model, self._first_optimizer = self.state()
        self._smoothing = keras.Variable(0.0, trainable=False)
        self._train, self._logits = self._compiled()

    def _compiled(self) -> tuple[Any, Any]:
        import tensorflow as tf

        shapes = [tf.TensorSpec(one.shape, self.input_dtype) for one in self.model.inputs]
        inputs = shapes[0] if len(shapes) == 1 else tuple(shapes)
        labels = tf.TensorSpec((None,), tf.int32)

        def train(x: Any, y: Any) -> tuple[Any, Any, Any]:
            with tf.GradientTape() as tape:
                logits = self.model(x, training=True)
                losses = self._cross_entropy(y, logits)
                penalty = tf.add_n(self.model.losses) if self.model.losses else tf.constant(0.0)
                total = self.optimizer.scale_loss(tf.reduce_mean(losses) + penalty)
            variables = self.model.trainable_variables
            self.optimizer.apply(tape.gradient(total, variables), variables)
            right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), y)
            return tf.reduce_sum(losses), penalty, tf.reduce_sum(tf.cast(right, tf.float32))

        def logits(x: Any) -> Any:
            return self.model(x, training=False)

        options = {"autograph": False, "jit_compile": False}  # XLA is slower on processors
        step = tf.function(train, input_signature=[inputs, labels], **options)
        return step, tf.function(logits, input_signature=[inputs], **options)

    def _cross_entropy(self, y: Any, logits: Any) -> Any:
        import tensorflow as tf

        smoothing = self._smoothing.value
        target = tf.one_hot(y, self.classes) * (1 - smoothing) + smoothing / self.classes
        return tf.nn.softmax_cross_entropy_with_logits(target, tf.cast(logits, tf.float32))

    # ---- state
    def state(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Copies of all variables of the model (random state of dropout included) and of the optimizer."""
        return [_copy(one) for one in self.model.variables], [_copy(one) for one in self.optimizer.variables]

    def assign(self, model: Sequence[np.ndarray], optimizer: Sequence[np.ndarray] | None = None) -> None:
        """Put back what `state` gave.

        Raises:
            LabError: the shapes are not those of this network.
        """
        self.holds = ""
        _assign(self.model.variables, model)
        if optimizer is not None:
            _assign(self.optimizer.variables, optimizer)

    def restart(self, seed: int) -> None:
        """Go back to the first weights, draw the kernels of the `redraw` layers from `seed`, forget the optimizer."""
        import keras

        self.assign(self._first_model, self._first_optimizer)
        for place, layer in enumerate(self.redraw):
            kernel, first = getattr(layer, "kernel", None), getattr(layer, "kernel_initializer", None)
            settings = first.get_config() if kernel is not None and first is not None else {}
            if "seed" in settings:
                made = type(first).from_config({**settings, "seed": int(_seed(seed, place))})
                kernel.assign(made(kernel.shape))
        for place, state in enumerate(one for one in self.model.variables if "seed_generator" in one.path):
            state.assign(keras.random.SeedGenerator(_seed(seed, 1000 + place)).state.value)

    def frozen_unchanged(self) -> bool:
        """Whether the variables that training must not change are as they were when the trainer was made."""
        return self._hash_of_frozen() == self._frozen_hash

    def _hash_of_frozen(self) -> str:
        return content_hash(b"".join(_copy(one).tobytes() for one in self.frozen))

    # ---- work
    def logits(self, examples: Examples, rows: np.ndarray | None = None, batch: int = 64) -> np.ndarray:
        """Logits of the given rows (None: all), without dropout or augmentation; float32, shape (n, classes)."""
        order = np.arange(len(examples)) if rows is None else np.asarray(rows)
        if not len(order):
            return np.zeros((0, self.classes), np.float32)
        with memory_named(self.model.name, batch, np.shape(examples.inputs)[1:]):
            return np.concatenate([self._logits(x).numpy() for x, _ in examples.batches(order, batch)])

    def train_epoch(self, examples: Examples, plan: Plan, epoch: int, title: str = "") -> dict[str, float]:
        """One pass over the examples, in an order drawn from seed and epoch.

        Returns:
            Training-time `accuracy` and `cross_entropy` (with dropout and augmentation), mean `penalty`.

        Raises:
            LabError: the loss is not finite, or memory ran out.
        """
        self.holds = ""
        order = np.random.default_rng([plan.seed, epoch]).permutation(len(examples))
        steps = math.ceil(len(order) / plan.batch)
        self._smoothing.assign(plan.label_smoothing)
        sums = np.zeros(3)
        for step, (x, y) in enumerate(examples.batches(order, plan.batch, epoch)):
            self.optimizer.learning_rate = plan.rate(epoch * steps + step, plan.epochs * steps)
            got = np.array([float(one) for one in self._train(x, y)])
            if not np.isfinite(got).all():
                raise LabError(_not_finite(title, epoch, step, got, plan))
            sums += got * [1, len(y), 1]
        loss, penalty, right = sums / len(order)
        return {"accuracy": right, "cross_entropy": loss, "penalty": penalty}


def _copy(variable: Any) -> np.ndarray:
    return np.array(variable)


def _seed(seed: int, place: int) -> int:
    return int(np.random.default_rng([seed, place]).integers(2**31))


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    if [tuple(one.shape) for one in variables] != [np.shape(one) for one in values]:
        raise LabError("Stored weights do not fit this network: delete its folder in data/cache/models and run again.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _not_finite(title: str, epoch: int, step: int, got: np.ndarray, plan: Plan) -> str:
    which = "penalty" if np.isfinite(got[0]) else "cross-entropy"
    return (
        f"{title or 'Training'}: the {which} is not finite in epoch {epoch + 1}, step {step + 1}: lower the learning "
        f"rate ({plan.learning_rate:g}){' or the penalty' if got[1] else ''}."
    )


# ---- numbers of a set of logits --------------------------------------------------------------------------------------
def validation(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What a history keeps of the val images.

    Args:
        logits: shape (n, classes).
        labels: shape (n,).

    Returns:
        `val_accuracy`, `val_cross_entropy`, and the mean top probability of right and of wrong predictions,
        `val_confidence_right` and `val_confidence_wrong` (NaN: there are none).
    """
    top, right = softmax(logits).astype(np.float32).max(axis=1), logits.argmax(axis=1) == labels
    return {
        "val_accuracy": float(right.mean()),
        "val_cross_entropy": float(cross_entropy(logits, labels).mean()),
        "val_confidence_right": float(top[right].mean()) if right.any() else math.nan,
        "val_confidence_wrong": float(top[~right].mean()) if not right.all() else math.nan,
    }


# ---- a run -----------------------------------------------------------------------------------------------------------
@dataclass
class TrainedModel:
    """A trained network: its history, and its weights on disk.

    The model is shared by all runs of one `Trainer`: `use` (or `logits`) puts this run's weights into it first.

    Attributes:
        trainer: the network and its compiled steps.
        folder: where its weights are.
        history: one row an epoch: epoch (from 1), accuracy, cross_entropy, penalty (training-time), val_accuracy,
            val_cross_entropy, val_confidence_right, val_confidence_wrong, clean_accuracy and clean_cross_entropy
            (as many train images as val has, without dropout and augmentation), seconds.
        best_epoch: the epoch (from 1) with the highest val accuracy; of equals, the lowest val cross-entropy.
        initial_cross_entropy: before the first step, in nats.
        loaded: whether it was found on disk.
    """

    trainer: Trainer
    folder: Path
    history: pd.DataFrame
    best_epoch: int
    initial_cross_entropy: float
    loaded: bool

    @property
    def seconds(self) -> float:
        """Seconds of training, over all its epochs, whenever they ran."""
        return float(self.history["seconds"].sum())

    def use(self, which: Literal["best", "last"] = "best") -> "keras.Model":
        """Put this run's weights (of the best or the last epoch) into the shared model and return it."""
        wanted = f"{self.folder} {which}"
        if self.trainer.holds != wanted:
            self.trainer.assign(self._stored()[which])
            self.trainer.holds = wanted
        return self.trainer.model

    def val_logits(self) -> np.ndarray:
        """Logits of the val images after each epoch, float32, shape (epochs, n, classes)."""
        return np.stack(self._stored()["val"])

    def _stored(self) -> dict[str, list[np.ndarray]]:
        stored = checkpoints.read(self.folder / "model.npz")
        if stored is None:
            raise LabError(f"{self.folder / 'model.npz'} is missing or damaged: run this chapter again.")
        return stored[0]

    def logits(self, examples: Examples, which: Literal["best", "last"] = "best") -> np.ndarray:
        """Logits of all examples in order, float32, shape (n, classes)."""
        self.use(which)
        return self.trainer.logits(examples)


def fit(
    trainer: Trainer,
    train: Examples,
    val: Examples,
    plan: Plan,
    identity: dict[str, Any],
    *,
    folder: Path,
    title: str = "network",
    tolerance: float | None = 0.5,
    start: Callable[[], None] | None = None,
    progress: Callable[[str], None] = print,
) -> TrainedModel:
    """Load a trained network by the hash of its configuration, or train it, going on where a stopped run ended.

    Args:
        trainer: the network.
        train: images that are learnt from.
        val: images that the best epoch is chosen on.
        plan: rate, batch, epochs, ...
        identity: everything else that the weights depend on, as plain values: data hash, rows, architecture, initial
            weights, precision. It is hashed with `plan`; another identity never meets this one's checkpoints.
        folder: parent of the run's own folder (`data/cache/models`).
        title: of the network, for progress and error sentences.
        tolerance: the first cross-entropy must be ln(classes) within so many nats; None: not checked.
        start: called after `restart` (puts the weights of an earlier stage in, say).
        progress: receives one line an epoch, `  epoch 3/12  accuracy ... left 0:31`.

    Returns:
        The trained network.

    Raises:
        LabError: loss not finite, memory or disk full, first cross-entropy wrong, frozen weights changed.
    """
    prepare_device()
    whole = {"identity": identity, "plan": asdict(plan), "format": FORMAT}
    place = Path(folder) / content_hash(whole)
    found = _load(trainer, place)
    if found is not None:
        return found
    write_json(place / "configuration.json", whole)
    run = _Run(trainer, train, val, plan, place, title, progress)
    with locks.locked(place / "lock", lambda holder: progress(f"  {title}: process {holder} trains it; waiting")):
        found = _load(trainer, place)  # the one that was waited for may have made it
        if found is None:
            _trained(run, tolerance, start)
    return found or _load(trainer, place, loaded=False)


def _trained(run: "_Run", tolerance: float | None, start: Callable[[], None] | None) -> None:
    try:
        with memory_named(run.title, run.plan.batch, np.shape(run.train.inputs)[1:]):
            run.begin(tolerance, start)
            run.go()
    except KeyboardInterrupt:
        ended = f"stopped after epoch {run.epoch} of {run.plan.epochs}"
        run.progress(f"  {run.title}: {ended}; the next run goes on from there.")
        raise


def prepare_device() -> None:
    """Make operations repeat bit for bit, and let a graphics card's memory grow as needed."""
    import tensorflow as tf

    for card in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(card, True)
        except RuntimeError:  # the card is in use already
            break
    tf.config.experimental.enable_op_determinism()


def _load(trainer: Trainer, place: Path, loaded: bool = True) -> TrainedModel | None:
    stored = checkpoints.read(place / "model.npz")
    if stored is None:
        return None
    about = stored[1]
    history = pd.DataFrame(about["history"]).astype(float).astype({"epoch": int})
    return TrainedModel(trainer, place, history, about["best"]["epoch"], about["initial"], loaded)


class _Run:
    """One training run between its checkpoints."""

    def __init__(self, trainer, train, val, plan, place, title, progress):
        self.trainer, self.train, self.val, self.plan = trainer, train, val, plan
        self.place, self.title, self.progress = place, title, progress
        self.epoch, self.initial, self.history = 0, math.nan, []
        self.best: dict[str, float] = {"epoch": 0, "accuracy": -1.0, "cross_entropy": math.inf}
        self.best_weights: list[np.ndarray] = []
        self.val_logits: list[np.ndarray] = []
        n = min(len(train), len(val))  # as many as val has
        self.clean_rows = np.sort(np.random.default_rng(plan.seed).permutation(len(train))[:n])
        self.shown = 0.0

    def begin(self, tolerance: float | None, start: Callable[[], None] | None) -> None:
        """Go back to the last good checkpoint, or to the first weights."""
        self.trainer.restart(self.plan.seed)
        state, damaged = checkpoints.load_state(self.place)
        if damaged:
            self.progress(f"  {self.title}: {damaged}")
        if state is None:
            if start is not None:
                start()
            self._check_start(tolerance)
            return
        groups, about = state
        self.trainer.assign(groups["model"], groups["optimizer"])
        self.best_weights, self.best, self.val_logits = groups["best"], about["best"], groups["val"]
        self.epoch, self.initial, self.history = about["epoch"], about["initial"], about["history"]
        self.progress(f"  {self.title}: goes on after epoch {self.epoch} of {self.plan.epochs}")

    def _check_start(self, tolerance: float | None) -> None:
        rows = np.arange(min(len(self.val), 512))
        logits, labels = self.trainer.logits(self.val, rows), np.asarray(self.val.labels)[rows]
        self.initial, expected = float(cross_entropy(logits, labels).mean()), math.log(self.trainer.classes)
        if tolerance is not None and not abs(self.initial - expected) <= tolerance:
            raise LabError(
                f"{self.title} starts at a cross-entropy of {self.initial:.3f}, not at ln {self.trainer.classes} = "
                f"{expected:.3f} within {tolerance:g}: check the input's range, the labels and the head."
            )

    def go(self) -> None:
        """Train the epochs that are left, keep the result, remove the checkpoints."""
        self._check_frozen()
        while self.epoch < self.plan.epochs:
            self._one_epoch()
        last = self.trainer.state()[0]
        about = {"history": self.history, "best": self.best, "initial": self.initial, "title": self.title}
        groups = {"best": self.best_weights, "last": last, "val": self.val_logits}
        checkpoints.write(self.place / "model.npz", groups, about)
        checkpoints.remove_states(self.place)

    def _check_frozen(self) -> None:
        if not self.trainer.frozen_unchanged():
            checkpoints.remove_states(self.place)
            raise LabError(f"{self.title}: weights that should be frozen have changed in training: nothing was kept.")

    def _one_epoch(self) -> None:
        began = time.perf_counter()
        row = {"epoch": self.epoch + 1}
        row |= self.trainer.train_epoch(self.train, self.plan, self.epoch, self.title)
        self._check_frozen()
        self.val_logits.append(self.trainer.logits(self.val))
        row |= validation(self.val_logits[-1], np.asarray(self.val.labels))
        clean, labels = self.trainer.logits(self.train, self.clean_rows), np.asarray(self.train.labels)
        row["clean_accuracy"] = float((clean.argmax(axis=1) == labels[self.clean_rows]).mean())
        row["clean_cross_entropy"] = float(cross_entropy(clean, labels[self.clean_rows]).mean())
        self.epoch += 1
        row["seconds"] = time.perf_counter() - began
        self.history.append(row)
        self._keep(row)
        self._tell(row)

    def _keep(self, row: dict[str, float]) -> None:
        model, optimizer = self.trainer.state()
        score = (row["val_accuracy"], -row["val_cross_entropy"])
        if score > (self.best["accuracy"], -self.best["cross_entropy"]):
            self.best = {"epoch": self.epoch, "accuracy": score[0], "cross_entropy": -score[1]}
            self.best_weights = model
        about = {"epoch": self.epoch, "history": self.history, "best": self.best, "initial": self.initial}
        groups = {"model": model, "optimizer": optimizer, "best": self.best_weights, "val": self.val_logits}
        checkpoints.save_state(self.place, groups, about)

    def _tell(self, row: dict[str, float]) -> None:
        """One line an epoch, but no more than one a second."""
        now, last = time.perf_counter(), self.epoch == self.plan.epochs
        if not last and now - self.shown < 1:
            return
        self.shown = now
        spent = [one["seconds"] for one in self.history]
        left = np.mean(spent) * (self.plan.epochs - self.epoch)
        self.progress(
            f"  epoch {self.epoch}/{self.plan.epochs}  accuracy {row['accuracy']:.3f} val {row['val_accuracy']:.3f}  "
            f"{clock(sum(spent))} left {clock(left)}  {self.title}"
        )


def clock(seconds: float) -> str:
    """Seconds as `m:ss`."""
    return f"{int(seconds + 0.5) // 60}:{int(seconds + 0.5) % 60:02d}"
