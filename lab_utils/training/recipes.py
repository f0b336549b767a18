"""Fine-tuning runs as data: the original's six, the run behind its fine-tuned features, and what is compared with them.

A recipe is written as for VGG16 at the original's size; `scaled` brings it to a profile, and `scaling` says how.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral
from typing import Any, Literal

import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.core.profiles import FineTuning
from lab_utils.training.loop import Plan

BOOKKEEPING = ("name", "title", "note", "base", "varied")  # fields that change no result


def _whole(low: int, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Integral) and not isinstance(value, bool) and low <= value <= high


VALID: dict[str, tuple[Callable[[Any], bool], str]] = {
    "learning_rate": (lambda value: 0 < value <= 1, "above 0, at most 1"),
    "batch": (_whole(1), "a whole number from 1"),
    "epochs": (_whole(1), "a whole number from 1"),
    "network": (lambda value: isinstance(value, str), "the name of a network"),
    "frozen": (_whole(0, 5), "a whole number from 0 to 5"),
    "head": (lambda value: all(map(_whole(1), value)), "whole numbers from 1, such as (512, 256)"),
    "pooling": (lambda value: value in ("flatten", "average"), "flatten or average"),
    "l2": (lambda value: 0 <= value < math.inf, "0 or above"),
    "l2_on": (lambda value: value in ("first", "all"), "first or all"),
    "dropout": (lambda value: 0 <= value < 1, "from 0, below 1"),
    "schedule": (lambda value: value in ("constant", "cosine"), "constant or cosine"),
    "warmup": (lambda value: 0 <= value < 1, "from 0, below 1"),
    "label_smoothing": (lambda value: 0 <= value < 1, "from 0, below 1"),
    "amsgrad": (lambda value: isinstance(value, bool), "True or False"),
    "augment": (lambda value: isinstance(value, bool), "True or False"),
    "crop": (lambda value: 0 < value <= 1, "above 0, at most 1"),
    "preprocessing": (lambda value: value in ("right", "1/255"), "right or 1/255"),
    "size": (_whole(32), "a whole number of pixels from 32"),
    "seed": (_whole(0), "a whole number from 0"),
    "start": (lambda value: value is None or isinstance(value, Recipe), "a recipe or None"),
}


@dataclass(frozen=True)
class Recipe:
    """One fine-tuning run; a setting out of its range (`VALID`) is a `LabError`.

    Attributes:
        name: short and unique (`run 1`).
        title: what it is, in words.
        learning_rate: of Adam.
        batch: images a step.
        epochs: passes over the train images.
        network: name in the registry of backbones.
        frozen: the first so many of the network's five blocks keep their pretrained weights, 0 to 5.
        head: widths of the dense layers between the network's output and the classes; may be empty.
        pooling: how the last feature map becomes a vector: `flatten` (the original) or `average` over places.
        l2: factor of the squared weights added to the loss.
        l2_on: which dense layers it is on: the `first`, or `all` but the last.
        dropout: share dropped after each dense layer.
        schedule: `constant` or `cosine`.
        warmup: share of the steps in which the rate rises.
        label_smoothing: share of the target spread over all classes.
        amsgrad: the AMSGrad variant of Adam.
        augment: random rotation, shift and flip of the train images (then nothing is cached).
        crop: side of the random crops that `augment` enlarges, as share of the image's; 1: none.
        preprocessing: `right` (what the weights were trained on), or `1/255` (the original's).
        size: side of the square input in pixels.
        seed: of all that is random.
        start: an earlier stage whose trained weights this one begins with (same network, head and pooling).
        note: where the original's figures say otherwise.
        base: name of the recipe that this one varies (`recipe` sets it).
        varied: settings that were asked for there, in order.
    """

    name: str
    title: str
    learning_rate: float
    batch: int
    epochs: int
    network: str = "vgg16"
    frozen: int = 3
    head: tuple[int, ...] = (512, 256)
    pooling: Literal["flatten", "average"] = "flatten"
    l2: float = 0.0
    l2_on: Literal["first", "all"] = "first"
    dropout: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    amsgrad: bool = False
    augment: bool = False
    crop: float = 1.0
    preprocessing: Literal["right", "1/255"] = "right"
    size: int = 256
    seed: int = 0
    start: "Recipe | None" = None
    note: str = ""
    base: str = ""
    varied: tuple[str, ...] = ()

    def __post_init__(self):
        """Check every setting; a head may be given as a list."""
        if isinstance(self.head, list):
            object.__setattr__(self, "head", tuple(self.head))
        for setting, (is_valid, words) in VALID.items():
            value = getattr(self, setting)
            try:
                fits = is_valid(value)
            except TypeError:
                fits = False
            if not fits:
                raise LabError(f"{self.name}: {setting} is {value!r}; it must be {words}.")

    @property
    def plan(self) -> Plan:
        """What the training loop needs to know."""
        return Plan(**{one.name: getattr(self, one.name) for one in fields(Plan)})

    def identity(self) -> dict[str, Any]:
        """All settings that change the result, as plain values (names and notes left out)."""
        values = {key: item for key, item in asdict(self).items() if key not in (*BOOKKEEPING, "start")}
        if not self.augment or self.crop == 1:
            del values["crop"]  # changes nothing then
        return values | ({"start": self.start.identity()} if self.start else {})

    def architecture(self) -> tuple[Any, ...]:
        """Settings that need a network of their own; recipes that agree in them share its compiled steps."""
        names = ("network", "frozen", "head", "pooling", "l2_on", "dropout", "amsgrad", "size", "preprocessing")
        return (*(getattr(self, name) for name in names), self.l2 > 0)


RUN1 = Recipe(
    "run 1",
    "first try",
    learning_rate=1e-4,
    batch=128,
    epochs=20,
    head=(512, 512),
    note="the code has a dropout of 0.2 between the dense layers that the slide doesn't print",
)
RUN2 = Recipe("run 2", "smaller learning rate", learning_rate=5e-5, batch=192, epochs=10)
RUN3 = Recipe(
    "run 3",
    "L2 and dropout",
    learning_rate=5e-5,
    batch=250,
    epochs=9,
    l2=0.1,
    dropout=0.5,
    note="the plotted loss starts too low to contain the printed L2 penalty",
)
RUN4 = Recipe(
    "run 4",
    "small learning rate, more epochs",
    learning_rate=2e-6,
    batch=300,
    epochs=30,
    l2=0.5,
    dropout=0.5,
    note="the plotted loss starts higher than this head's penalty can: the first layer was wider there; the dropout "
    "is in the code and not on the slide",
)
RUN5 = Recipe(
    "run 5",
    "a good result",
    learning_rate=3e-6,
    batch=300,
    epochs=50,
    l2=0.1,
    dropout=0.5,
    note="the dropout is in the code and not on the slide",
)
RUN6 = Recipe(
    "run 6",
    "final result",
    learning_rate=2.5e-6,
    batch=300,
    epochs=80,
    l2=0.15,
    dropout=0.5,
    note="the plotted loss starts too low to contain the printed L2 penalty; the dropout is in the code and not on "
    "the slide",
)
FEATURES_RUN = Recipe(
    "features run",
    "the checkpoint behind the original's fine-tuned features",
    learning_rate=4.5e-6,
    batch=300,
    epochs=60,
    l2=0.15,
    dropout=0.5,
    head=(512,),
    note="none of the six runs",
)
WIDER = replace(
    RUN3, name="run 3, wider head", title="twice the neurons in the dense layers", head=(1024, 512), note=""
)
RUNS = (RUN1, RUN2, RUN3, RUN4, RUN5, RUN6)
LARGEST_BATCH = max(one.batch for one in RUNS)
RECIPES = {one.name: one for one in (*RUNS, FEATURES_RUN, WIDER)}


def recipe(name: "str | int | Recipe", **changes: Any) -> Recipe:
    """Find a recipe by name (`run 3`, or 3) and change some of its settings.

    Raises:
        LabError: no such recipe or setting; the sentence lists the valid ones.
    """
    if isinstance(name, Recipe):
        found = name
    else:
        wanted = f"run {name}" if isinstance(name, int) else name
        if wanted not in RECIPES:
            raise LabError(f"There is no recipe {name!r}; the recipes are {', '.join(RECIPES)}.")
        found = RECIPES[wanted]
    valid = [one.name for one in fields(Recipe) if one.name not in ("base", "varied")]
    for unknown in set(changes) - set(valid):
        raise LabError(f"A recipe has no setting {unknown!r}; the settings are {', '.join(valid)}.")
    if not changes:
        return found
    varied = tuple(dict.fromkeys((*found.varied, *(key for key in changes if key not in BOOKKEEPING))))
    made = replace(found, **changes, base=found.base or found.name, varied=varied)
    return made if "name" in changes else replace(made, name=_varied_name(made))


def _varied_name(one: Recipe) -> str:
    """The name of what is varied, with the values that the varied settings have now."""
    return ", ".join([one.base, *(f"{label(setting)} {in_words(getattr(one, setting))}" for setting in one.varied)])


def one_at_a_time(base: Recipe, **levels: tuple[Any, ...]) -> list[Recipe]:
    """A grid that changes one setting at a time.

    Args:
        base: what is changed; it comes first in the result.
        levels: setting -> values (the base's own value is left out).

    Returns:
        The base and one recipe for every other value of every setting.
    """
    changed = [{key: value} for key, values in levels.items() for value in values if value != getattr(base, key)]
    return [base, *(recipe(base, **change) for change in changed)]


# ---- scaled to a profile ---------------------------------------------------------------------------------------------
def scaled(one: Recipe, settings: FineTuning, network: str | None = None) -> Recipe:
    """Bring a recipe to a profile: its network, size, pooling; epochs, batch and rate in the order of the original's.

    With few images a run has few steps, in which the lowest of the original's rates would learn nothing. So the longest
    run's epochs and run 1's rate are the profile's, the others follow by their ratio to these to the power `spread`:
    what was longer or faster stays so. Batches keep their ratios. Rates, batches and epochs that `recipe` was asked for
    are scaled alike, and the name says what they became; a freeze point, size, pooling or network that it was asked for
    is kept.

    Args:
        one: as written for VGG16 at the original's size.
        settings: the profile's section.
        network: another network than the profile's first.
    """
    longest, first = RUN6.epochs, RUN1.learning_rate
    rate = settings.learning_rate * (one.learning_rate / first) ** settings.spread
    profile = {"network": settings.networks[0], "frozen": max(one.frozen, settings.frozen)}
    profile |= {"size": settings.size, "pooling": settings.pooling}
    given = {name: value for name, value in profile.items() if name not in one.varied}
    made = replace(
        one,
        **given | ({"network": network} if network else {}),
        epochs=max(1, round(settings.epochs * (one.epochs / longest) ** settings.spread)),
        batch=max(1, round(one.batch * settings.batch / LARGEST_BATCH)),
        learning_rate=one.learning_rate if math.isclose(rate, one.learning_rate) else float(f"{rate:.3g}"),
        start=scaled(one.start, settings, network) if one.start else None,
    )
    return replace(made, name=_varied_name(made)) if one.varied and one.name == _varied_name(one) else made


def scaling(settings: FineTuning) -> str:
    """Say how recipes are scaled in this run, in one sentence (nothing to say where they are as printed)."""
    parts = [f"{settings.networks[0]} at {settings.size} pixels"]
    if settings.frozen > RUN1.frozen:
        parts.append(f"{settings.frozen} of 5 blocks frozen")
    if settings.pooling == "average":
        parts.append("the last feature map averaged over places, not flattened")
    if settings.epochs != RUN6.epochs:
        parts.append(f"{settings.epochs} epochs for the longest run")
    if settings.batch != LARGEST_BATCH:
        parts.append(f"batches × {settings.batch / LARGEST_BATCH:.3g}")
    if settings.learning_rate != RUN1.learning_rate:
        parts.append(f"a learning rate of {settings.learning_rate:g} for run 1 (there are fewer steps)")
    if settings.spread != 1:
        parts.append(f"the runs' ratios of epochs and of rates to the power {settings.spread:g}")
    if settings.cap:
        parts.append(f"{settings.cap} train images a class at most")
    alike = (
        " Where a setting is varied, a rate, batch or number of epochs is scaled in the same way, and its label says "
        "the scaled value; a freeze point, size or pooling is kept as asked for."
    )
    return f"The runs are the original's, in this profile with {'; '.join(parts)}.{alike if len(parts) > 1 else ''}"


# ---- tables ----------------------------------------------------------------------------------------------------------
LABELS = {"l2": "L2", "l2_on": "L2 on", "frozen": "frozen blocks", "amsgrad": "AMSGrad", "size": "input size"}
SHOWN = tuple(one.name for one in fields(Recipe) if one.name not in (*BOOKKEEPING, "start"))


def label(setting: str) -> str:
    """Name of a setting in tables."""
    return LABELS.get(setting, setting.replace("_", " "))


def in_words(value: Any) -> str:
    """Value of a setting in tables."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Recipe):
        return value.name
    if isinstance(value, tuple):
        return " + ".join(str(one) for one in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def changed(first: Recipe, second: Recipe) -> list[str]:
    """Settings in which two recipes differ, in the order of the table."""
    return [name for name in SHOWN if getattr(first, name) != getattr(second, name)]


def table(*recipes: Recipe, settings: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Settings of recipes side by side, one row a setting.

    Args:
        recipes: the columns.
        settings: rows; None: those in which the recipes differ (all of them for one recipe).
    """
    if settings is None:
        differing = {name for one in recipes for name in changed(recipes[0], one)}
        settings = tuple(name for name in SHOWN if name in differing or len(recipes) == 1)
    columns = {one.name: [in_words(getattr(one, name)) for name in settings] for one in recipes}
    return pd.DataFrame({"setting": [label(name) for name in settings], **columns})
