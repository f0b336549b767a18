"""Fine-tuning runs as data: the original's six, the run behind its fine-tuned features, and what is compared with them.

A recipe is written as for VGG16 at the original's size; `scaled` brings it to a profile, and `scaling` says how.
"""

import math
from dataclasses import fields, replace
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import ConfigDict, Field, PositiveInt, ValidationError
from pydantic.dataclasses import dataclass

from lab_utils.core.errors import LabError
from lab_utils.core.profiles import FineTuning

BOOKKEEPING = ("name", "title", "note", "base", "varied")  # fields that change no result
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=ConfigDict(strict=True))
class FineTuningRecipe:
    """One fine-tuning run; a setting out of its range is an error.

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
        l2: factor of the squared weights of the first dense layer, which are added to the loss.
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
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    batch: PositiveInt
    epochs: PositiveInt
    network: str = "vgg16"
    frozen: int = Field(3, ge=0, le=5)
    head: tuple[PositiveInt, ...] = Field((512, 256), strict=False)
    pooling: Literal["flatten", "average"] = "flatten"
    l2: float = Field(0.0, ge=0, allow_inf_nan=False)
    dropout: Share = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Share = 0.0
    label_smoothing: Share = 0.0
    amsgrad: bool = False
    augment: bool = False
    crop: float = Field(1.0, gt=0, le=1)
    preprocessing: Literal["right", "1/255"] = "right"
    size: int = Field(256, ge=32)
    seed: int = Field(0, ge=0)
    start: "FineTuningRecipe | None" = None
    note: str = ""
    base: str = ""
    varied: tuple[str, ...] = ()


RUN1 = FineTuningRecipe(
    "run 1",
    "first try",
    learning_rate=1e-4,
    batch=128,
    epochs=20,
    head=(512, 512),
    note="the code has a dropout of 0.2 between the dense layers that the slide doesn't print",
)
RUN2 = FineTuningRecipe("run 2", "smaller learning rate", learning_rate=5e-5, batch=192, epochs=10)
RUN3 = FineTuningRecipe(
    "run 3",
    "L2 and dropout",
    learning_rate=5e-5,
    batch=250,
    epochs=9,
    l2=0.1,
    dropout=0.5,
    note="the plotted loss starts too low to contain the printed L2 penalty",
)
RUN4 = FineTuningRecipe(
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
RUN5 = FineTuningRecipe(
    "run 5",
    "a good result",
    learning_rate=3e-6,
    batch=300,
    epochs=50,
    l2=0.1,
    dropout=0.5,
    note="the dropout is in the code and not on the slide",
)
RUN6 = FineTuningRecipe(
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
FEATURES_RUN = FineTuningRecipe(
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
LARGEST_BATCH = max(run.batch for run in RUNS)
RECIPES = {known.name: known for known in (*RUNS, FEATURES_RUN, WIDER)}


def recipe(name: str | int | FineTuningRecipe, **changes: Any) -> FineTuningRecipe:
    """Find a recipe by name (`run 3`, or 3) and change some of its settings.

    Raises:
        LabError: no such recipe or setting (the sentence lists the valid ones), or a value that a setting can't have.
    """
    if isinstance(name, FineTuningRecipe):
        chosen = name
    else:
        full_name = f"run {name}" if isinstance(name, int) else name
        if full_name not in RECIPES:
            raise LabError(f"There is no recipe {name!r}; the recipes are {', '.join(RECIPES)}.")
        chosen = RECIPES[full_name]
    valid = [setting.name for setting in fields(FineTuningRecipe) if setting.name not in ("base", "varied")]
    for unknown in set(changes) - set(valid):
        raise LabError(f"A recipe has no setting {unknown!r}; the settings are {', '.join(valid)}.")
    if not changes:
        return chosen
    varied = tuple(dict.fromkeys((*chosen.varied, *(key for key in changes if key not in BOOKKEEPING))))
    try:
        varied_recipe = replace(chosen, **changes, base=chosen.base or chosen.name, varied=varied)
    except ValidationError as error:
        first = error.errors()[0]
        setting, reason = first["loc"][0], first["msg"].lower()
        raise LabError(f"{chosen.name}: {setting} is {changes.get(setting)!r}: {reason}.") from None
    return varied_recipe if "name" in changes else replace(varied_recipe, name=_varied_name(varied_recipe))


def _varied_name(varied: FineTuningRecipe) -> str:
    """The name of what is varied, with the values that the varied settings have now."""
    return ", ".join([varied.base, *(f"{label(key)} {in_words(getattr(varied, key))}" for key in varied.varied)])


def one_at_a_time(base: FineTuningRecipe, **levels: tuple[Any, ...]) -> list[FineTuningRecipe]:
    """A grid that changes one setting at a time.

    Args:
        base: what is changed; it comes first in the result.
        levels: setting -> values (the base's own value is left out).

    Returns:
        The base and one recipe for every other value of every setting.
    """
    changes = [{key: value} for key, values in levels.items() for value in values if value != getattr(base, key)]
    return [base, *(recipe(base, **change) for change in changes)]


# ---- scaled to a profile ---------------------------------------------------------------------------------------------
def scaled(printed: FineTuningRecipe, settings: FineTuning, network: str | None = None) -> FineTuningRecipe:
    """Bring a recipe to a profile: its network, size, pooling; epochs, batch and rate in the order of the original's.

    With few images a run has few steps, in which the lowest of the original's rates would learn nothing. So the longest
    run's epochs and run 1's rate are the profile's, the others follow by their ratio to these to the power `spread`:
    what was longer or faster stays so. Batches keep their ratios. Rates, batches and epochs that `recipe` was asked for
    are scaled alike, and the name says what they became; a freeze point, size, pooling or network that it was asked for
    is kept.

    Args:
        printed: as written for VGG16 at the original's size.
        settings: the profile's section.
        network: another network than the profile's first.
    """
    rate = settings.learning_rate * (printed.learning_rate / RUN1.learning_rate) ** settings.spread
    profile = {"network": settings.networks[0], "frozen": max(printed.frozen, settings.frozen)}
    profile |= {"size": settings.size, "pooling": settings.pooling}
    given = {setting: value for setting, value in profile.items() if setting not in printed.varied}
    here = replace(
        printed,
        **given | ({"network": network} if network else {}),
        epochs=max(1, round(settings.epochs * (printed.epochs / RUN6.epochs) ** settings.spread)),
        batch=max(1, round(printed.batch * settings.batch / LARGEST_BATCH)),
        learning_rate=printed.learning_rate if math.isclose(rate, printed.learning_rate) else float(f"{rate:.3g}"),
        start=scaled(printed.start, settings, network) if printed.start else None,
    )
    named_by_settings = printed.varied and printed.name == _varied_name(printed)
    return replace(here, name=_varied_name(here)) if named_by_settings else here


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
LABELS = {"l2": "L2", "frozen": "frozen blocks", "amsgrad": "AMSGrad", "size": "input size"}
SHOWN = tuple(field.name for field in fields(FineTuningRecipe) if field.name not in (*BOOKKEEPING, "start"))


def label(setting: str) -> str:
    """Name of a setting in tables."""
    return LABELS.get(setting, setting.replace("_", " "))


def in_words(value: Any) -> str:
    """Value of a setting in tables."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, FineTuningRecipe):
        return value.name
    if isinstance(value, tuple):
        return " + ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def changed(first: FineTuningRecipe, second: FineTuningRecipe) -> list[str]:
    """Settings in which two recipes differ, in the order of the table."""
    return [name for name in SHOWN if getattr(first, name) != getattr(second, name)]


def table(*recipes: FineTuningRecipe, settings: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Settings of recipes side by side, one row a setting.

    Args:
        recipes: the columns.
        settings: rows; None: those in which the recipes differ (all of them for one recipe).
    """
    if settings is None:
        differing = {name for column in recipes for name in changed(recipes[0], column)}
        settings = tuple(name for name in SHOWN if name in differing or len(recipes) == 1)
    columns = {column.name: [in_words(getattr(column, name)) for name in settings] for column in recipes}
    return pd.DataFrame({"setting": [label(name) for name in settings], **columns})
