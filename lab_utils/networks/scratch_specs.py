"""The thirteen networks of the original's baseline (and three ablations of #9) as a table of layers.

Notebook 01 builds them. Convolutions are 3 × 3 without padding, ReLU; Adam; sparse cross-entropy. What the original
doesn't print (epochs, some penalties and dropouts) is our choice and named in `ScratchSpec.assumed`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lab_utils.core.errors import LabError


@dataclass(frozen=True)
class ConvSpec:
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

    @property
    def after(self) -> tuple[str, ...]:
        """What follows the pooling, in order: `dropout`, `norm`, both or nothing."""
        parts = ("dropout",) * bool(self.dropout) + ("norm",) * self.norm
        return parts[::-1] if self.drop_last else parts


@dataclass(frozen=True)
class DenseSpec:
    """A dense layer with ReLU and dropout after it."""

    width: int
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0


@dataclass(frozen=True)
class ScratchSpec:
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
    convs: tuple[ConvSpec, ...] = ()
    denses: tuple[DenseSpec, ...] = (DenseSpec(64),)
    batch: int = 128
    learning_rate: float = 5e-5
    epochs: int = 20
    augment: bool = False
    members: tuple[str, ...] = ()
    assumed: str = "epochs"


# ---- the table -------------------------------------------------------------------------------------------------------
_DEEP = (ConvSpec(16, 2), ConvSpec(32, 2), ConvSpec(64, 2), ConvSpec(128, 2))


def _penalised(shallow: dict[str, float], deep: dict[str, float], drops: Sequence[float] = (0, 0, 0, 0)) -> tuple:
    """#6's four convolutions with penalties on the first two and the last two, and dropout after each pool."""
    kinds = (shallow, shallow, deep, deep)
    return tuple(replace(conv, dropout=drop, **kind) for conv, drop, kind in zip(_DEEP, drops, kinds, strict=True))


_MILD = ({"l2": 0.001}, {"l1": 0.01, "l2": 0.001})
_STRONG = ({"l2": 0.01}, {"l1": 0.1, "l2": 0.001})
_DROPS = (0.3, 0.4, 0.5, 0.6)

SPECS = (
    ScratchSpec(
        "1",
        "overfit to find difficult classes",
        (ConvSpec(1, 4, norm=False),),
        learning_rate=5e-4,
        assumed="epochs, batch, learning rate",
    ),
    ScratchSpec("2", "more filters", (ConvSpec(16, 4, norm=False),), learning_rate=5e-4),
    ScratchSpec(
        "3", "two conv layers", (ConvSpec(16, 4, norm=False), ConvSpec(32, 4, norm=False)), batch=64, learning_rate=1e-3
    ),
    ScratchSpec("4", "BatchNorm and a lower rate", (ConvSpec(16, 4), ConvSpec(32, 4, norm=False)), batch=64),
    ScratchSpec("5", "third conv layer", (ConvSpec(16, 4), ConvSpec(32, 2), ConvSpec(64, 2, norm=False))),
    ScratchSpec("6", "training saturation: four conv layers", _DEEP),
    ScratchSpec(
        "7",
        "first regularisation",
        _penalised({"l2": 0.001}, {"l2": 0.001}),
        (DenseSpec(64, dropout=0.5),),
        assumed="epochs, penalties, dropout",
    ),
    ScratchSpec(
        "8",
        "more regularisation, longer run",
        _penalised(*_MILD),
        (DenseSpec(64, dropout=0.5),),
        epochs=40,
        assumed="epochs, penalties, dropout",
    ),
    ScratchSpec(
        "9",
        "too much regularisation",
        _penalised(*_STRONG, _DROPS),
        (DenseSpec(64, dropout=0.5),),
        epochs=40,
        assumed="epochs, each pool's dropout and its place before BatchNorm, dropout after dense",
    ),
    ScratchSpec(
        "10",
        "finding a balance",
        (
            ConvSpec(32, 2, l2=0.001),
            ConvSpec(32, 2, l2=0.001),
            ConvSpec(64, 2, l1=0.01, l2=0.001),
            ConvSpec(128, 2, l1=0.01, l2=0.001),
        ),
        (DenseSpec(64, l1=0.01, l2=0.001, dropout=0.6),),
        epochs=40,
    ),
    ScratchSpec(
        "11",
        "augmentation",
        (ConvSpec(32, 4), ConvSpec(64, 4), ConvSpec(128, 4, norm=False)),
        (DenseSpec(512), DenseSpec(64)),
        learning_rate=2e-6,
        epochs=60,
        augment=True,
        assumed="epochs, size of the shifts",
    ),
    ScratchSpec(
        "12",
        "augmentation in place of penalties",
        (ConvSpec(16, 2), ConvSpec(32, 2), ConvSpec(64, 2, norm=False), ConvSpec(128, 2, norm=False)),
        (DenseSpec(512), DenseSpec(64)),
        learning_rate=1e-5,
        epochs=60,
        augment=True,
        assumed="epochs, size of the shifts",
    ),
    ScratchSpec("13", "ensemble of 10 and 12", denses=(), members=("10", "12"), assumed=""),
    ScratchSpec(
        "9, dropout only",
        "#9's dropout with #8's penalties",
        _penalised(*_MILD, _DROPS),
        (DenseSpec(64, dropout=0.5),),
        epochs=40,
        assumed="ablation",
    ),
    ScratchSpec(
        "9, dropout after BatchNorm",
        "#9's dropout, but after BatchNorm, with #8's penalties",
        tuple(replace(conv, drop_last=True) for conv in _penalised(*_MILD, _DROPS)),
        (DenseSpec(64, dropout=0.5),),
        epochs=40,
        assumed="ablation",
    ),
    ScratchSpec(
        "9, penalties only",
        "#9's penalties without its dropout after the pools",
        _penalised(*_STRONG),
        (DenseSpec(64, dropout=0.5),),
        epochs=40,
        assumed="ablation",
    ),
)
BY_NUMBER = {spec.number: spec for spec in SPECS}
NUMBERS = tuple(str(i) for i in range(1, 14))


def spec_of(number: "int | str | ScratchSpec") -> ScratchSpec:
    """Find a network of the table by its number.

    Raises:
        LabError: there is none; the sentence lists them.
    """
    if isinstance(number, ScratchSpec):
        return number
    if str(number) not in BY_NUMBER:
        raise LabError(f"There is no scratch network {number!r}; there are {', '.join(BY_NUMBER)}.")
    return BY_NUMBER[str(number)]


def describe(spec: ScratchSpec) -> str:
    """Architecture in words, for tables."""
    if spec.members:
        return "average of " + " and ".join(f"#{member}" for member in spec.members)
    convs = [f"{conv.filters} pool {conv.pool}{_after(conv)}" for conv in spec.convs]
    denses = [f"dense {dense.width}" + (f" drop {dense.dropout:g}" if dense.dropout else "") for dense in spec.denses]
    return ", ".join(convs + denses)


def _after(conv: ConvSpec) -> str:
    """What follows a pooling, in the order of the layers."""
    return "".join({"dropout": f" drop {conv.dropout:g}", "norm": " BN"}[kind] for kind in conv.after)
