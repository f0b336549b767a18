"""The thirteen networks of the original's baseline as a table of layers, one builder, and their training.

Convolutions are 3 × 3 without padding, ReLU; Adam; sparse cross-entropy. What the original doesn't print (epochs, some
penalties and dropouts) is our choice and named in `Network.assumed`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.core.profiles import Scratch
from lab_utils.training import loop

if TYPE_CHECKING:
    import keras

    from lab_utils.lab import Lab


@dataclass(frozen=True)
class Conv:
    """A convolution with ReLU, max-pooling, then dropout and batch normalisation where set (in this order by default).

    Attributes:
        filters: number of 3 × 3 filters.
        pool: side of the pooling window (cut to the map's side where that is smaller).
        norm: batch normalisation at the end.
        l1: factor of the L1 penalty on the kernel.
        l2: factor of the L2 penalty on the kernel.
        dropout: share dropped after the pooling, before the normalisation.
        drop_last: dropout after the normalisation instead.
    """

    filters: int
    pool: int
    norm: bool = True
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    drop_last: bool = False


@dataclass(frozen=True)
class Dense:
    """A dense layer with ReLU and dropout after it."""

    width: int
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0


@dataclass(frozen=True)
class Network:
    """One network of the baseline.

    Attributes:
        number: the original's, as text (`10`); ablations have names of their own.
        idea: what it tries.
        convs: convolution blocks in order.
        denses: dense layers between the flattened map and the classes.
        batch: images a step at full size.
        learning_rate: of Adam at full size.
        epochs: passes over the train images at full size.
        augment: random rotation of ±30°, shifts and horizontal flips.
        members: networks whose probabilities are averaged (the ensemble has no layers of its own).
        assumed: what the original does not print.
    """

    number: str
    idea: str
    convs: tuple[Conv, ...] = ()
    denses: tuple[Dense, ...] = (Dense(64),)
    batch: int = 128
    learning_rate: float = 5e-5
    epochs: int = 20
    augment: bool = False
    members: tuple[str, ...] = ()
    assumed: str = "epochs"


# ---- the table -------------------------------------------------------------------------------------------------------
_DEEP = (Conv(16, 2), Conv(32, 2), Conv(64, 2), Conv(128, 2))


def _penalised(shallow: dict[str, float], deep: dict[str, float], drops: Sequence[float] = (0, 0, 0, 0)) -> tuple:
    """#6's four convolutions with penalties on the first two and the last two, and dropout after each pool."""
    kinds = (shallow, shallow, deep, deep)
    return tuple(replace(one, dropout=drop, **kind) for one, drop, kind in zip(_DEEP, drops, kinds, strict=True))


_MILD = ({"l2": 0.001}, {"l1": 0.01, "l2": 0.001})
_STRONG = ({"l2": 0.01}, {"l1": 0.1, "l2": 0.001})
_DROPS = (0.3, 0.4, 0.5, 0.6)

NETWORKS = (
    Network(
        "1",
        "overfit to find difficult classes",
        (Conv(1, 4, norm=False),),
        learning_rate=5e-4,
        assumed="epochs, batch, learning rate",
    ),
    Network("2", "more filters", (Conv(16, 4, norm=False),), learning_rate=5e-4),
    Network("3", "two conv layers", (Conv(16, 4, norm=False), Conv(32, 4, norm=False)), batch=64, learning_rate=1e-3),
    Network("4", "BatchNorm and a lower rate", (Conv(16, 4), Conv(32, 4, norm=False)), batch=64),
    Network("5", "third conv layer", (Conv(16, 4), Conv(32, 2), Conv(64, 2, norm=False))),
    Network("6", "training saturation: four conv layers", _DEEP),
    Network(
        "7",
        "first regularisation",
        _penalised({"l2": 0.001}, {"l2": 0.001}),
        (Dense(64, dropout=0.5),),
        assumed="epochs, penalties, dropout",
    ),
    Network(
        "8",
        "more regularisation, longer run",
        _penalised(*_MILD),
        (Dense(64, dropout=0.5),),
        epochs=40,
        assumed="epochs, penalties, dropout",
    ),
    Network(
        "9",
        "too much regularisation",
        _penalised(*_STRONG, _DROPS),
        (Dense(64, dropout=0.5),),
        epochs=40,
        assumed="epochs, each pool's dropout and its place before BatchNorm, dropout after dense",
    ),
    Network(
        "10",
        "finding a balance",
        (
            Conv(32, 2, l2=0.001),
            Conv(32, 2, l2=0.001),
            Conv(64, 2, l1=0.01, l2=0.001),
            Conv(128, 2, l1=0.01, l2=0.001),
        ),
        (Dense(64, l1=0.01, l2=0.001, dropout=0.6),),
        epochs=40,
    ),
    Network(
        "11",
        "augmentation",
        (Conv(32, 4), Conv(64, 4), Conv(128, 4, norm=False)),
        (Dense(512), Dense(64)),
        learning_rate=2e-6,
        epochs=60,
        augment=True,
        assumed="epochs, size of the shifts",
    ),
    Network(
        "12",
        "augmentation in place of penalties",
        (Conv(16, 2), Conv(32, 2), Conv(64, 2, norm=False), Conv(128, 2, norm=False)),
        (Dense(512), Dense(64)),
        learning_rate=1e-5,
        epochs=60,
        augment=True,
        assumed="epochs, size of the shifts",
    ),
    Network("13", "ensemble of 10 and 12", denses=(), members=("10", "12"), assumed=""),
    Network(
        "9, dropout only",
        "#9's dropout with #8's penalties",
        _penalised(*_MILD, _DROPS),
        (Dense(64, dropout=0.5),),
        epochs=40,
        assumed="ablation",
    ),
    Network(
        "9, dropout after BatchNorm",
        "#9's dropout, but after BatchNorm, with #8's penalties",
        tuple(replace(one, drop_last=True) for one in _penalised(*_MILD, _DROPS)),
        (Dense(64, dropout=0.5),),
        epochs=40,
        assumed="ablation",
    ),
    Network(
        "9, penalties only",
        "#9's penalties without its dropout after the pools",
        _penalised(*_STRONG),
        (Dense(64, dropout=0.5),),
        epochs=40,
        assumed="ablation",
    ),
)
BY_NUMBER = {one.number: one for one in NETWORKS}
NUMBERS = tuple(str(i) for i in range(1, 14))


def network(number: "int | str | Network") -> Network:
    """Find a network of the table by its number.

    Raises:
        LabError: there is none; the sentence lists them.
    """
    if isinstance(number, Network):
        return number
    if str(number) not in BY_NUMBER:
        raise LabError(f"There is no scratch network {number!r}; there are {', '.join(BY_NUMBER)}.")
    return BY_NUMBER[str(number)]


def build(
    number: "int | str | Network", classes: int, size: int = 256, seed: int = 0, momentum: float = 0.99
) -> "keras.Model":
    """Build one of the networks.

    Args:
        number: in the table (not the ensemble).
        classes: number of classes.
        size: side of the square input in pixels.
        seed: of the initial weights.
        momentum: of the running means of batch normalisation, in [0, 1); Keras's default wants hundreds of steps.

    Returns:
        From images of 0..255 (B, size, size, 3), rescaled to 0..1 by its first layer, to logits (B, classes).

    Raises:
        LabError: the image is too small for the convolutions.
    """
    import keras

    one = network(number)
    with loop.building("float32", seed):
        inputs = keras.Input((size, size, 3), name="image")
        x = keras.layers.Rescaling(1 / 255, name="rescaled")(inputs)
        for place, conv in enumerate(one.convs, 1):
            x = _conv(x, conv, place, one, size, momentum)
        x = keras.layers.Flatten(name="flattened")(x)
        for place, dense in enumerate(one.denses, 1):
            x = keras.layers.Dense(dense.width, "relu", kernel_regularizer=_penalty(dense), name=f"dense_{place}")(x)
            x = keras.layers.Dropout(dense.dropout, name=f"dense_{place}_dropout")(x) if dense.dropout else x
        x = keras.layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, x, name="scratch_" + "".join(sign for sign in one.number if sign.isalnum()))


def parameters(number: "int | str | Network", classes: int, size: int = 256) -> int:
    """Number of parameters of a network; arguments as of `build`."""
    return build(number, classes, size).count_params()


def _conv(x: Any, conv: Conv, place: int, one: Network, size: int, momentum: float) -> Any:
    import keras

    if x.shape[1] < 3:
        raise LabError(f"Scratch network #{one.number} has no pixels left at size {size}: raise scratch.size.")
    layers, name = keras.layers, f"conv_{place}"
    x = layers.Conv2D(conv.filters, 3, activation="relu", kernel_regularizer=_penalty(conv), name=name)(x)
    x = layers.MaxPooling2D(min(conv.pool, x.shape[1]), name=f"{name}_pool")(x)
    after = [layers.Dropout(conv.dropout, name=f"{name}_dropout")] if conv.dropout else []
    after += [layers.BatchNormalization(momentum=momentum, name=f"{name}_norm")] if conv.norm else []
    for layer in reversed(after) if conv.drop_last else after:
        x = layer(x)
    return x


def _penalty(layer: Conv | Dense) -> "keras.regularizers.Regularizer | None":
    import keras

    return keras.regularizers.L1L2(layer.l1, layer.l2) if layer.l1 or layer.l2 else None


def describe(one: Network) -> str:
    """Architecture in words, for tables."""
    if one.members:
        return "average of " + " and ".join(f"#{member}" for member in one.members)
    convs = [f"{conv.filters} pool {conv.pool}{_after(conv)}" for conv in one.convs]
    denses = [f"dense {dense.width}" + (f" drop {dense.dropout:g}" if dense.dropout else "") for dense in one.denses]
    return ", ".join(convs + denses)


def _after(conv: Conv) -> str:
    """What follows a pooling, in the order of the layers."""
    parts = [f" drop {conv.dropout:g}" if conv.dropout else "", " BN" * conv.norm]
    return "".join(reversed(parts) if conv.drop_last else parts)


# ---- training --------------------------------------------------------------------------------------------------------
def plan(one: Network, settings: Scratch) -> loop.Plan:
    """How a network is trained in a profile: epochs and rate by the profile's factors, batch at most the profile's."""
    epochs = min(settings.max_epochs, max(1, math.ceil(one.epochs * settings.epochs)))
    rate = min(settings.max_learning_rate, one.learning_rate * settings.learning_rate)
    return loop.Plan(rate, min(one.batch, settings.batch), epochs, settings.seed)


def scaling(settings: Scratch) -> str:
    """Say how the networks are scaled in this run, in one sentence."""
    parts = [f"images of {settings.size} pixels (the original: 256)"]
    if settings.size < 106:
        parts.append("pooling windows cut to the map where it is smaller")
    parts.append(f"epochs × {settings.epochs:g}, {settings.max_epochs} at most (the original prints no epochs)")
    parts.append(f"batches of {settings.batch} at most")
    if settings.learning_rate != 1:
        parts.append(f"learning rates × {settings.learning_rate:g}, {settings.max_learning_rate:g} at most")
    if settings.momentum != 0.99:
        parts.append(f"a momentum of {settings.momentum:g} in BatchNorm (there are few steps)")
    if settings.cap:
        parts.append(f"{settings.cap} train images a class at most")
    return f"The layers are the original's; this profile trains with {'; '.join(parts)}."


class Trained:
    """A trained network of the table on one run's images.

    Attributes:
        network: its entry in the table.
        fitted: the training result (None for the ensemble).
        members: trained members of the ensemble.
    """

    def __init__(self, lab: "Lab", one: Network, fitted: loop.Fitted | None, members: "tuple[Trained, ...]" = ()):
        self.lab, self.network, self.fitted, self.members = lab, one, fitted, members

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch (columns: `loop.Fitted`); of the ensemble empty."""
        return self.fitted.history if self.fitted else pd.DataFrame()

    @property
    def seconds(self) -> float:
        """Seconds of training (of the ensemble: of its members)."""
        return self.fitted.seconds if self.fitted else sum(one.seconds for one in self.members)

    def rows(self, split: str) -> np.ndarray:
        """Positions in `lab.images` of what `probabilities` gives (train may be capped)."""
        return loop.used_rows(self.lab, split, self.lab.settings.scratch.cap)

    def probabilities(self, split: str) -> np.ndarray:
        """Class probabilities without dropout or augmentation, float32, shape (n, classes), in the order of `rows`."""
        if self.members:
            return np.mean([one.probabilities(split) for one in self.members], axis=0)
        return loop.softmax(self.fitted.logits(_examples(self.lab, split)))

    def model(self) -> "keras.Model":
        """The trained network, from images of 0..255 (B, size, size, 3) to logits (B, classes)."""
        return _averaged(self.members) if self.members else self.fitted.use("best")


def _averaged(members: Sequence[Trained]) -> "keras.Model":
    """Logarithms of the members' mean probabilities, as one model."""
    import keras

    models = [one.model() for one in members]
    inputs = keras.Input(models[0].input_shape[1:], name="image")
    shares = [keras.ops.softmax(model(inputs)) for model in models]
    return keras.Model(inputs, keras.ops.log(keras.ops.mean(keras.ops.stack(shares), axis=0)), name="scratch_13")


def train(lab: "Lab", number: "int | str | Network", progress: Callable[[str], None] = print) -> Trained:
    """Load or train one of the networks on a lab's images (an ensemble: its members)."""
    one = network(number)
    done = lab.__dict__.setdefault("_scratch", {})
    if one not in done:
        members = tuple(train(lab, member, progress) for member in one.members)
        done[one] = Trained(lab, one, None if members else _fit(lab, one, progress), members)
    return done[one]


def _fit(lab: "Lab", one: Network, progress: Callable[[str], None]) -> loop.Fitted:
    settings = lab.settings.scratch
    layers = {"convs": one.convs, "denses": one.denses, "augment": one.augment}
    identity = {"layers": layers, "size": settings.size, "data": lab.table.data_hash, "classes": len(lab.classes)}
    identity["momentum"] = settings.momentum
    identity["rows"] = [loop.used_rows(lab, split, settings.cap) for split in ("train", "val")]
    return loop.fit(
        loop.Trainer(build(one, len(lab.classes), settings.size, settings.seed, settings.momentum)),
        _examples(lab, "train", one.augment),
        _examples(lab, "val"),
        plan(one, settings),
        identity,
        folder=loop.cache_folder() / "models",
        title=f"scratch #{one.number}",
        progress=progress,
    )


def _examples(lab: "Lab", split: str, augment: bool = False) -> loop.Examples:
    settings = lab.settings.scratch
    rows = loop.used_rows(lab, split, settings.cap)
    images = loop.Chosen(lab.pixels(settings.size), rows)
    moved = loop.augmenting(len(rows), settings.seed) if augment else None

    def transform(pixels: np.ndarray, places: np.ndarray, epoch: int | None) -> Any:
        return moved(pixels, places, epoch) if moved and epoch is not None else pixels.astype(np.float32)

    return loop.Examples(images, loop.labels_for(lab, split, rows), transform)


def table(networks: Sequence[Network], settings: Scratch) -> pd.DataFrame:
    """The networks as they are trained in this run, one row each."""
    rows = []
    for one in networks:
        how = asdict(plan(one, settings)) if not one.members else {"batch": "", "learning_rate": math.nan, "epochs": ""}
        rate = "" if math.isnan(how["learning_rate"]) else f"{how['learning_rate']:g}"
        words = {"#": one.number, "idea": one.idea, "layers": describe(one)}
        words |= {"batch": how["batch"], "learning rate": rate, "epochs": how["epochs"]}
        rows.append(words | {"augmented": "yes" if one.augment else "", "not printed there": one.assumed})
    return pd.DataFrame(rows)
