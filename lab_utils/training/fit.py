"""`fit`: any compiled Keras model, loaded where it was trained before, gone on with, or trained by `model.fit`.

    run = fit(model, Split(pixels, labels), Split(val_pixels, val_labels), epochs=10, batch=32, folder=folder)
    run.history, run.best_epoch, run.probabilities("val"), run.model

The given model keeps its first weights: a copy is trained (`twin`), and only what stands behind the frozen front
(`frozen_stretch`), whose activations are kept. A run is found again by content (`model_key`).
"""

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from lab_utils.core import locks
from lab_utils.core.errors import LabError, memory_named
from lab_utils.core.profiles import FineTuning
from lab_utils.core.records import PROJECT, content_hash, plain, write_json
from lab_utils.core.store import Artefact
from lab_utils.stats.metrics import softmax
from lab_utils.training import model_graph, model_key, saved_run
from lab_utils.training.callbacks import Training
from lab_utils.training.feeding import Split
from lab_utils.training.model_graph import Graph
from lab_utils.training.trainee import Trainee
from lab_utils.training.twin import best_precision, prepare_device

if TYPE_CHECKING:
    import keras

FORMAT = 1  # part of every key: raise it when this room changes what a configuration gives
NOISE = ("The structure of `inputs`", "The object being serialized includes a `lambda`", ".*jit_compile")
Which = Literal["best", "last"]


# ---- a run -----------------------------------------------------------------------------------------------------------
class Run:
    """A trained network.

    Attributes:
        history: one row an epoch: epoch (from 1), training-time accuracy, cross_entropy, penalty and loss (what is
            minimised: weighted or smoothed cross-entropy plus penalty), val_accuracy, val_cross_entropy,
            val_confidence_right, val_confidence_wrong, clean_accuracy and clean_cross_entropy (as many train images as
            val has, without dropout and augmentation), seconds.
        best_epoch: the epoch (from 1) with the highest val accuracy; of equals, the lowest val cross-entropy.
        first_cross_entropy: on val before the first step, in nats.
        loaded: whether it was found on disk.
        folder: where it is on disk.
        title: of the network.
        given: the network as it was given: compiled, with its first weights.
        settings: `batch`, `epochs` and `seed`.
        front: name of the kept activations of its frozen front on the train rows, and `seconds` that they took (not
            in `seconds` where another run had them made); empty: none are kept.
    """

    def __init__(self, trainee: Trainee, place: Path, about: dict[str, Any], loaded: bool):
        """Take what is on disk; its weights are read when they are asked for."""
        trainee.forget()
        self.given = trainee.graph.model
        self.settings = {name: about.get(name) for name in ("batch", "epochs", "seed")}
        self._trainee, self.folder, self.loaded, self.title = trainee, place, loaded, trainee.title
        self.history = pd.DataFrame(about["history"]).astype(float).astype({"epoch": int})
        self.front: dict[str, Any] = about.get("front", {})
        self.best_epoch, self.first_cross_entropy = int(about["best"]["epoch"]), about["initial"]

    def __repr__(self) -> str:
        """The run in a line."""
        val = self.history["val_accuracy"][self.best_epoch - 1]
        return f"<Run {self.title}: {len(self.history)} epochs, best {self.best_epoch}, val accuracy {val:.3f}>"

    @property
    def seconds(self) -> float:
        """Seconds of training, over all its epochs, whenever they ran."""
        return float(self.history["seconds"].sum())

    @cached_property
    def model(self) -> "keras.Model":
        """The network with the weights of the best epoch, built as it was given, from its inputs to logits.

        It is computed in the number type that it was given in. Where it was trained in half precision (`fit`), its
        answers differ from `logits` by that rounding.
        """
        return self.model_of("best")

    def model_of(self, which: Which) -> "keras.Model":
        """The network with the weights of the best or the last epoch, a new copy at each call."""
        import keras

        with keras.saving.custom_object_scope(model_key.custom_objects(self._trainee.graph)):
            copy = model_graph.copied_model(self._trainee.graph)
        graph = model_graph.read(copy, self._trainee.graph.example)
        model_graph.assign(graph.variables, self.weights(which), list(graph.layers))
        return copy

    def weights(self, which: Which = "best") -> list[np.ndarray]:
        """Values of all variables of the best or the last epoch."""
        return self._trainee.values(self._stored()[which])

    def logits(self, of: Any, which: Which = "best") -> np.ndarray:
        """Logits without dropout or augmentation, float32 (n, classes).

        Args:
            of: name of a split (`train`, `val`, ...), a `Split`, or inputs of the network, shape (n, ...).
            which: weights of the best or the last epoch.

        Raises:
            LabError: no such split.
        """
        return self._trainee.logits(self._use(of, which))

    def probabilities(self, of: Any, which: Which = "best") -> np.ndarray:
        """Class probabilities, float32 (n, classes); arguments as of `logits`."""
        return softmax(self.logits(of, which)).astype(np.float32)

    def activations(self, layer: str, of: Any, which: Which = "best") -> np.ndarray:
        """What a layer behind the frozen front gives, float32 (n, ...); other arguments as of `logits`."""
        import keras

        split, rest = self._use(of, which), self._trainee.twin.rest
        part = keras.Model(rest.inputs, rest.get_layer(layer).output)
        return self._trainee.outputs(part, split)

    def val_logits(self) -> np.ndarray:
        """Logits of the val images after each epoch, float32, shape (epochs, n, classes)."""
        return np.stack(self._stored()["val"])

    def rows(self, split: str) -> np.ndarray:
        """Positions, in what was given, of the rows of a split (train may be capped)."""
        return self._split(split).positions

    def order(self, epoch: int = 1) -> np.ndarray:
        """Positions, in what was given, of the train rows in the order in which an epoch (from 1) took them."""
        epochs = self._trainee.order(self.settings["batch"], self.settings["seed"])
        epochs.epoch = epoch - 1
        return self.rows("train")[epochs.order()]

    def _split(self, of: Any) -> Split:
        if isinstance(of, Split):
            return of
        if isinstance(of, str):
            if of not in self._trainee.splits:
                raise LabError(f"{self.title} has no split {of!r}; it has {', '.join(self._trainee.splits)}.")
            return self._trainee.splits[of]
        return Split(of)

    def _use(self, of: Any, which: Which) -> Split:
        """Put this run's weights into the shared twin and return the split that is meant."""
        name = f"{self.folder} {which}"
        if self._trainee.twin.holds != name:
            self._trainee.twin.put(self.weights(which), name)
        return self._split(of)

    def _stored(self) -> saved_run.Groups:
        stored = saved_run.read(self.folder / saved_run.RESULT)
        if stored is None:
            raise LabError(f"{self.folder / saved_run.RESULT} is missing or damaged: run this chapter again.")
        return stored[0]


# ---- fitting ---------------------------------------------------------------------------------------------------------
def fit(
    model: "keras.Model",
    train: Split,
    val: Split,
    *,
    epochs: int,
    batch: int,
    seed: int = 0,
    folder: Path | None = None,
    title: str | None = None,
    others: dict[str, Split] | None = None,
    class_weight: dict[int, float] | None = None,
    one_hot: bool | None = None,
    precision: str | None = "auto",
    tolerance: float | None = None,
    limit: float | None = None,
    progress: Callable[[str], None] = print,
) -> Run:
    """Load a trained network by its content, or train it, going on where a stopped run ended.

    Args:
        model: compiled; from its inputs to logits (B, classes). It is not changed.
        train: rows that are learnt from.
        val: rows that the best epoch is chosen on.
        epochs: passes over the train rows.
        batch: rows a step.
        seed: of the order of the train rows. What layers draw comes from their own seeds.
        folder: parent of the run's folder and of kept activations; None: `data/cache`.
        title: for progress and error sentences; None: the model's name.
        others: further rows to be asked for by name.
        class_weight: weight in the loss by class; those left out weigh 1.
        one_hot: whether the loss wants one-hot labels; None: all of Keras's do but the sparse ones, others don't.
        precision: Keras dtype policy of the computation (weights stay as they are), None: as the model was built,
            `auto`: `twin.best_precision`.
        tolerance: the first cross-entropy must be ln(classes) within so many nats; None: a line is printed where it is
            far above.
        limit: bytes of kept activations a split, at most; None: what the disk holds.
        progress: receives one line an epoch, `  epoch 3/12  accuracy ... left 0:31`.

    Returns:
        The trained network.

    Raises:
        LabError: the model isn't compiled, has no input shape, gives no logits, or can't be copied; labels don't fit;
            loss not finite; memory or disk full; first cross-entropy wrong; frozen weights changed.
    """
    prepare_device()
    folder, title = Path(folder or PROJECT / "data" / "cache"), title or model.name
    with quietly():
        graph = model_graph.read(model, train.example)
        classes = _checked(graph, train, val, epochs, batch)
        wants_one_hot = _wants_one_hot(model.loss) if one_hot is None else one_hot
        policy = best_precision(graph) if precision == "auto" else None if graph.closed else precision
        weights = [float((class_weight or {}).get(label, 1.0)) for label in range(classes)] if class_weight else None
        settings = {"format": FORMAT, "epochs": epochs, "batch": batch, "seed": seed}
        settings |= {"class_weight": weights, "one_hot": wants_one_hot}
        key, structure = model_key.run_key(graph, (train, val), policy, settings)
        trainee = Trainee(
            graph,
            {"train": train, "val": val, **(others or {})},
            **{"structure": structure, "classes": classes, "precision": policy, "batch": batch, "title": title},
            **{"folder": folder / "front", "limit": limit, "progress": progress},
        )
        place = folder / "models" / content_hash(key)
        run = _load(trainee, place, loud=True)
        if run is not None:
            return run
        write_json(place / "configuration.json", {"title": title, **key})
        with locks.locked(place / "lock", lambda holder: progress(f"  {title}: process {holder} trains it; waiting")):
            run = _load(trainee, place)  # the one that was waited for may have made it
            if run is None:
                order = trainee.order(batch, seed, classes if wants_one_hot else None)
                _train(Training(trainee, order, epochs, place, seed), tolerance, weights)
        return run or _load(trainee, place, loaded=False)


def profile_options(settings: FineTuning) -> dict[str, Any]:
    """Precision and largest cache of a profile, as arguments of `fit`."""
    precision = None if settings.precision == "float32" else settings.precision
    return {"precision": precision, "limit": settings.cache_limit and settings.cache_limit * 1e9}


def _checked(graph: Graph, train: Split, val: Split, epochs: int, batch: int) -> int:
    """Check what was given; returns the number of classes."""
    model = graph.model
    if not model.compiled or model.loss is None:
        raise LabError(f"The network {model.name} isn't compiled: call model.compile(optimizer, loss) before lab.fit.")
    if not any(variable.trainable for variable in model.trainable_variables):
        raise LabError(f"All layers of {model.name} are frozen: make one trainable, then compile it again.")
    if isinstance(model.loss, (dict, list, tuple)):
        raise LabError(f"{model.name} is compiled with several losses: the lab trains networks with one.")
    if _from_probabilities(model.loss):
        raise LabError(
            f"{model.name} is compiled with a loss of probabilities: end it without softmax and give the loss "
            "from_logits=True."
        )
    for name, count in (("epochs", epochs), ("batch", batch)):
        if not isinstance(count, (int, np.integer)) or count < 1:
            raise LabError(f"{name} is {count!r}; it must be a whole number from 1.")
    for name, split in (("train", train), ("val", val)):
        if not len(split) or split.labels is None or len(split.labels) != len(split):
            known = "no" if split.labels is None else f"{len(split.labels):,}"
            raise LabError(f"The {name} rows of {model.name} are {len(split):,} with {known} labels: give one each.")
    shape, labels = graph.shape, np.concatenate([np.asarray(train.labels), np.asarray(val.labels)])
    if len(shape) != 2 or labels.min() < 0 or labels.max() >= shape[-1]:
        raise LabError(
            f"{model.name} gives {shape}, the labels go from {labels.min()} to {labels.max()}: end it in a "
            "Dense layer with one logit a class."
        )
    return int(shape[-1])


def _of_keras(loss: Any) -> tuple[Any, list[str]]:
    """A loss given by name as what it names, and the names by which Keras knows it (none: it isn't Keras's)."""
    import keras

    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    kinds = [loss] if hasattr(loss, "__name__") else type(loss).__mro__
    names = [kind.__name__ for kind in kinds if model_graph.is_keras(kind)]
    return loss, [name for name in names if name not in ("Loss", "LossFunctionWrapper", "KerasSaveable")]


def _from_probabilities(loss: Any) -> bool:
    """Whether a loss of Keras's takes probabilities, not logits."""
    loss, names = _of_keras(loss)
    if not hasattr(loss, "get_config"):
        option = inspect.signature(loss).parameters.get("from_logits")
        return bool(names) and option is not None and option.default is False
    return bool(names) and loss.get_config().get("from_logits") is False


def _wants_one_hot(loss: Any) -> bool:
    """Whether a loss is one of Keras's (or derived from one) that compare with one number a class."""
    names = _of_keras(loss)[1]
    return bool(names) and not any("sparse" in name.lower() for name in names)


def _artefact(place: Path) -> Artefact:
    """The result of a run in the one store: trusted while its bytes and the code of this room are as they were."""
    return Artefact(place / saved_run.RESULT, place.name, (__name__,))


def _load(trainee: Trainee, place: Path, loaded: bool = True, loud: bool = False) -> Run | None:
    say = trainee.progress if loud else lambda line: None
    about = _artefact(place).load(lambda reason: say(f"  {trainee.title}: {reason}; it is trained again."))
    return None if about is None else Run(trainee, place, about, loaded)


def _train(training: Training, tolerance: float | None, weights: list[float] | None) -> None:
    """Train the epochs that are left, keep the result, remove the states."""
    trainee, twin = training.trainee, training.trainee.twin
    rate = trainee.graph.model.optimizer.get_config().get("learning_rate")
    shape = np.shape(trainee.splits["train"].arrays[0])[1:] if not trainee.splits["train"].makes_batches else ()
    source = None
    try:
        with memory_named(trainee.title, trainee.batch, shape):
            training.begin(tolerance, rate if isinstance(rate, float) else None)
            training.check_frozen()
            source, behind = trainee.source(trainee.splits["train"], training=True)
            twin.train_on(source, through_front=not behind)
            twin.rest.fit(
                training.order.dataset(source, weights),
                **{"initial_epoch": training.epoch, "epochs": training.epochs, "shuffle": False, "verbose": 0},
                callbacks=[training.callback()],
            )
    except KeyboardInterrupt:
        ended = f"stopped after epoch {training.epoch} of {training.epochs}"
        trainee.progress(f"  {trainee.title}: {ended}; the next run goes on after epoch {training.saved}.")
        raise
    except Exception:
        if source is not None and source.failure is not None:
            raise source.failure from None
        raise
    finally:
        twin.rest.train_function = None  # it holds the train rows
    groups = {"best": training.best_values, "last": training.last_values, "val": training.val_logits}
    with _artefact(training.place).making() as (temporary, about):
        saved_run.write(temporary, groups, training.about())
        about.update(plain(training.about()))
    saved_run.remove_states(training.place)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep Keras's and TensorFlow's remarks on retracing and on the structure of inputs out of a notebook."""
    logger = logging.getLogger("tensorflow")
    before = logger.level
    with warnings.catch_warnings():
        for message in NOISE:
            warnings.filterwarnings("ignore", message=message)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(before)
