"""The validated settings of a run: where the data come from, sizes, budgets, networks, seeds.

A profile is a YAML file in `profiles/`; `resolve` turns it and the command line's options into one file,
`data/runs/<name>/settings.yaml`, which is all that a notebook reads. Whoever reads a section is recorded to use it
(`usage`), so that a change runs only those chapters again.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab_utils.core import usage
from lab_utils.core.errors import LabError
from lab_utils.core.records import PROJECT, reported, write_if_changed

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times quicker where PyYAML was built with it


class Section(BaseModel):
    """Settings that belong together; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Source of the images and how many of them are used."""

    source: Literal["sample", "folder", "mame"] = Field("sample", description="where the images come from")
    path: Path | None = Field(None, description="folder of images, or of MAMe files; None: generated or downloaded")
    toy: bool = Field(False, description="MAMe: only the rows of the authors' toy list")
    partial: bool = Field(False, description="MAMe: go on where images are missing")
    skip_bad: bool = Field(False, description="go on without the images that can't be read")
    class_level: Literal[1, 2] | None = Field(
        None, description="folder: classes are the folders in it (1) or those in these (2); None: told by the names"
    )
    full_size: bool = Field(False, description="MAMe: use the full-size archive instead of the 256x256 copies")
    images: Annotated[int, Field(ge=100)] | Literal["all"] = Field(
        1300, description="sample: about how many images to generate; all: as many as MAMe has, split by split"
    )
    long_side: int = Field(320, ge=32, description="sample: long side of the files in pixels")
    cap: int | None = Field(None, ge=1, description="at most so many images a class in each split")
    classes: int | None = Field(None, ge=2, description="only so many classes (the tests' tiny run)")
    seed: int = Field(0, ge=0, description="of the sample's generator and of the split of a folder")


class Dataset(Section):
    """Chapter 00."""

    trees: int = Field(300, ge=1, description="trees of the forest on sizes and museums")
    leaf: int = Field(3, ge=1, description="least number of rows in a leaf")
    examples: int = Field(29, ge=2, description="classes shown in the picture sheet, at most")


class Networks(Section):
    """Pretrained networks of the run, in the order of the original's VGG16, ResNet50, B0, B3."""

    names: tuple[str, ...] = Field(("lite0", "lite1", "lite2"), description="names in the registry of backbones")
    weights: Literal["imagenet", "random"] = Field("imagenet", description="'random' is said in every table")


class Features(Section):
    """How features are extracted."""

    size: Literal["native"] | int = Field("native", description="input size in pixels, or each network's own")
    batch: int = Field(32, ge=1)
    averages: bool = Field(True, description="in the same pass, averages of all layers (full-network embedding)")


class Paper(Section):
    """Chapter 02: the paper's seven architectures, with fixed (FS) and variable shape (VS)."""

    stand_in: str = Field("lite0", description="a network that needs no download, run beside the seven")
    download: bool = Field(False, description="fetch the weights of the seven where they are missing")
    size: int = Field(256, ge=40, description="FS: side after resizing; VS: square root of the area in pixels")
    crop: int = Field(224, ge=32, description="FS: side of the crop")
    frozen: int = Field(0, ge=0, le=4, description="of the five blocks (the paper: none)")
    epochs: int = Field(30, ge=1)
    batch: int = Field(64, ge=1)
    learning_rate: float = Field(1e-5, gt=0)
    cap: int | None = Field(None, ge=1, description="train images a class, at most")
    padding_images: int = Field(64, ge=2, description="images on which the effect of padding is measured")
    seed: int = 0


class Scratch(Section):
    """Chapter 01: the thirteen networks from scratch."""

    size: int = Field(64, ge=58, description="input size in pixels (the original: 256)")
    epochs: float = Field(1.0, gt=0, description="factor on each network's epochs")
    max_epochs: int = Field(12, ge=1)
    batch: int = Field(32, ge=1, description="largest batch")
    learning_rate: float = Field(1.0, gt=0, description="factor on each network's learning rate")
    max_learning_rate: float = Field(1e-3, gt=0, description="largest learning rate after the factor")
    momentum: float = Field(0.99, ge=0, lt=1, description="of BatchNorm's running means; lower where steps are few")
    cap: int | None = Field(None, ge=1, description="train images a class, at most")
    seed: int = 0


class TrainingSettings(Section):
    """How one network is trained."""

    learning_rate: float = Field(gt=0, lt=1, description="of Adam")
    batch: int = Field(ge=1, description="images a step")
    epochs: int = Field(ge=1, description="passes over the train images")


def _printed_runs() -> dict[str, TrainingSettings]:
    """The original's runs as it reports them: six, and the one behind its fine-tuned features."""
    table = reported("fine_tuning")
    names = [f"run {row.run}" if row.run.isdigit() else f"{row.run} run" for row in table.itertuples()]
    rows = zip(names, table["learning_rate"], table["batch"], table["epochs"], strict=True)
    return {
        name: TrainingSettings(learning_rate=rate, batch=batch, epochs=epochs) for name, rate, batch, epochs in rows
    }


class FineTuning(Section):
    """Chapters 06 to 12 and 15. In small profiles the runs are shorter and faster: there are few images."""

    networks: tuple[str, ...] = Field(
        ("lite0", "lite1"), min_length=1, description="VGG16's part; the second network's"
    )
    size: int = Field(128, ge=32, description="input size in pixels (the original: 256)")
    frozen: int = Field(3, ge=0, le=5, description="freeze at least so many of the five blocks (the original: 3)")
    pooling: Literal["flatten", "average"] = Field(
        "average", description="the last feature map (the original: flatten)"
    )
    runs: dict[str, TrainingSettings] = Field(
        default_factory=_printed_runs, description="how each run is trained (the original's: data/reported)"
    )
    cap: int | None = Field(None, ge=1, description="train images a class, at most")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="of the headline run")
    grid: int = Field(2, ge=0, description="other values of rate, L2 and width tried, each")
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "auto", description="of the computation; auto: the fastest that the device has"
    )
    cache_limit: float | None = Field(None, gt=0, description="largest cache of activations in GB; None: the free disk")


class Similarity(Section):
    """Chapter 03."""

    gallery: int = Field(5, ge=1, description="classes in the main figure of the gallery (the original: 5)")
    resamples: int = Field(100, ge=10, description="bootstrap draws of LEEP")
    evidence_resamples: int = Field(20, ge=5, description="bootstrap draws of LogME (a spectrum each)")
    rows: int = Field(3000, ge=50, description="train images that LogME and its bootstrap look at, at most")
    neighbours: int = Field(5, ge=1, description="of the leave-one-out neighbours")
    control: int = Field(50, ge=2, description="train images a class of the random-weights control, at most")
    columns: int = Field(20, ge=2, description="ImageNet classes in the heat map")
    seed: int = 0


class Projections(Section):
    """Chapter 04."""

    per_class: int = Field(100, ge=3, description="train images a class in the maps, at most (the original: about 100)")
    tsne_networks: int = Field(99, ge=0, description="networks, from the first on, that get a t-SNE (the original: 1)")
    umap_neighbours: int = Field(15, ge=2, description="UMAP's default: 15")
    epochs: int | None = Field(None, ge=10, description="of the layouts of UMAP and t-SNE; None: their defaults")
    neighbours: int = Field(10, ge=1, description="nearest images behind purity and neighbouring classes")
    permutations: int = Field(999, ge=99, description="random assignments of classes to groups")
    duplicate: float = Field(0.95, gt=0, le=1, description="cosine from which on two images are near-duplicates")
    big_lot: float = Field(0.3, gt=0, le=1, description="share of its class from which on a lot counts as big")
    seed: int = 0


class Classification(Section):
    """Chapters 05 and 12; 100 rounds, 100 trees, 5 folds and UMAP on all columns are the original's."""

    rounds: int = Field(100, ge=1, description="boosting rounds (XGBoost's default: 100)")
    trees: int = Field(100, ge=1, description="trees of the forest (scikit-learn's default: 100)")
    folds: int = Field(5, ge=2)
    umap_epochs: int | None = Field(None, ge=10, description="of UMAP's layout; None is UMAP's default")
    umap_first: int = Field(0, ge=0, description="principal components before UMAP; 0: none, as in the original")
    components: int = Field(256, ge=2, description="principal components that RBF SVM and trees read on full features")
    seeds: int = Field(5, ge=2, description="seeds of each kind behind the noise floor")
    dimensions: tuple[int, ...] = Field((2, 4, 8, 16, 32, 64), min_length=1, description="of UMAP against accuracy")
    curve_rows: int = Field(5000, ge=30, description="train images behind the curve of dimensions, at most")
    halves: int = Field(50, ge=2, description="images a class and split seen without middle or border, at most")
    repeats: int = Field(10, ge=1, description="shuffles of each group of columns")
    seed: int = 0


class GradCam(Section):
    """Chapter 13."""

    pictures: int = Field(6, ge=1, description="pictures in each sheet")
    mosaics: int = Field(500, ge=2, description="2×2 mosaics of the focus score (the paper: hundreds)")
    border: float = Field(0.1, gt=0, lt=0.5, description="width of the frame, as a share of each side")
    border_images: int = Field(600, ge=2, description="images whose border is measured, at most")
    randomised: int = Field(32, ge=2, description="images of the weight-randomisation check")
    stages: int = Field(5, ge=2, description="steps from the head alone to all kernels")
    seed: int = 0


class Results(Section):
    """Chapter 14."""

    pairs: int = Field(5, ge=1, description="confused pairs in the gallery")
    pictures: int = Field(6, ge=2, description="pictures of each pair")
    bins: int = Field(15, ge=2, description="of the reliability diagram")
    among: int = Field(10, ge=1, description="largest confusions that the printed ones are sought among")
    seed: int = 0


class Improvements(Section):
    """Chapter 15."""

    probe: TrainingSettings = Field(
        TrainingSettings(learning_rate=5e-4, batch=256, epochs=20), description="of the modern recipe's linear probe"
    )
    tuning: TrainingSettings = Field(
        TrainingSettings(learning_rate=2e-5, batch=256, epochs=20), description="of each of its fine-tuning steps"
    )
    larger: float = Field(1.25, gt=1, description="factor on the input size at test time")
    per_class: int = Field(5, ge=2, description="train and val images a class of the small-data classifier, at most")
    seed: int = 0


class Settings(Section):
    """All settings of one run."""

    name: str = Field(description="of the run: names its folders in data/runs and report")
    profile: str = Field(description="the YAML file it came from")
    title: str = Field("", description="what the data are, in words, for the first page")
    course: str = Field("Deep Learning – MAI", description="the course, for the report's first page")
    data: Data = Data()
    dataset: Dataset = Dataset()
    networks: Networks = Networks()
    features: Features = Features()
    scratch: Scratch = Scratch()
    paper: Paper = Paper()
    grad_cam: GradCam = GradCam()
    results: Results = Results()
    improvements: Improvements = Improvements()
    fine_tuning: FineTuning = FineTuning()
    similarity: Similarity = Similarity()
    projections: Projections = Projections()
    classification: Classification = Classification()

    def __getattribute__(self, name: str) -> Any:
        if name in RECORDED:
            usage.note(f"settings {name}")
        return super().__getattribute__(name)

    @property
    def run_folder(self) -> Path:
        """Where the run keeps its settings, its image table and the states of its steps."""
        return PROJECT / "data" / "runs" / self.name

    @property
    def report_folder(self) -> Path:
        """Where the run's report, executed notebooks and records go."""
        return PROJECT / "report" / self.name


RECORDED = frozenset(Settings.model_fields) - {
    "name",
    "profile",
}  # whose reading is recorded: who uses them depends on them


def profile_names() -> list[str]:
    """Names of the profiles in `profiles/`."""
    return sorted(path.stem for path in (PROJECT / "profiles").glob("*.yaml"))


def read_profile(name: str) -> dict[str, Any]:
    """Read a profile's YAML.

    Raises:
        LabError: no such profile, or not a YAML mapping.
    """
    path = PROJECT / "profiles" / f"{name}.yaml"
    if not path.is_file():
        raise LabError(f"There is no profile {name!r}; the profiles are {', '.join(profile_names())}.")
    return _read_yaml(path)


def resolve(profile: str, name: str | None = None, **data: Any) -> Settings:
    """Combine a profile with the options of the command line.

    Args:
        profile: name of a file in `profiles/`.
        name: of the run; default the profile's name.
        data: values for the `data` section (`path`, `partial`, ...), overriding the profile's.

    Returns:
        The validated settings.

    Raises:
        LabError: unknown profile, unknown or bad setting (the sentence lists the valid ones), bad run name.
    """
    values = read_profile(profile)
    values |= {"name": run_name(name or profile), "profile": profile}
    values["data"] = {**(values.get("data") or {}), **{key: item for key, item in data.items() if item is not None}}
    return validate(values, f"profiles/{profile}.yaml")


def validate(values: dict[str, Any], where: str) -> Settings:
    """Validate settings read from `where`.

    Raises:
        LabError: the first bad setting, with the valid names or the reason.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]
        if first["type"] == "extra_forbidden":
            valid = ", ".join(_section(place[:-1]).model_fields)
            raise LabError(f"{where}: unknown setting {'.'.join(place)!r}; the valid ones are {valid}.") from None
        message = f"{where}: setting {'.'.join(place)!r} is {first.get('input')!r}: {first['msg'].lower()}."
        raise LabError(message) from None


def run_name(name: str) -> str:
    """Check that a run's name can be a folder name on any system.

    Raises:
        LabError: it can't.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise LabError(
            f"{name!r} can't name a run: use up to 64 letters, digits, '.', '_' and '-' (--name gives another name)."
        )
    return name


def save_settings(settings: Settings) -> Path:
    """Write the run's `settings.yaml` (only where it changed)."""
    path = settings.run_folder / "settings.yaml"
    text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_if_changed(path, "# Written by run_all.sh; the notebooks of this run read it.\n" + text)
    return path


def load_settings(run: str) -> Settings:
    """Read the settings of a run.

    Raises:
        LabError: the run does not exist (the sentence lists those that do) or its file is bad.
    """
    path = PROJECT / "data" / "runs" / run / "settings.yaml"
    if not path.is_file():
        if run in profile_names():
            settings = resolve(run)
            save_settings(settings)
            return settings
        there = sorted(item.parent.name for item in path.parents[1].glob("*/settings.yaml"))
        raise LabError(f"There is no run {run!r} (there are: {', '.join(there) or 'none'}): start it by ./run_all.sh.")
    try:
        return validate(_read_yaml(path), str(path.relative_to(PROJECT)))
    except LabError as error:
        raise LabError(f"{error} (./run_all.sh writes this file anew from the run's profile.)") from None


def origin(run: str) -> tuple[str, Path | None]:
    """Profile and folder of images that a run was made from, though an older version of the lab wrote its settings."""
    values = _read_yaml(PROJECT / "data" / "runs" / run / "settings.yaml")
    path = (values.get("data") or {}).get("path")
    return str(values.get("profile")), Path(path) if path else None


def _section(place: list[str]) -> type[BaseModel]:
    model: Any = Settings
    for part in place:
        model = model.model_fields[part].annotation
    return model


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LabError(f"{path} is not readable YAML ({str(error).splitlines()[0]}): correct that line.") from None
    if not isinstance(values, dict):
        raise LabError(f"{path} holds no settings: it should be a YAML mapping like profiles/sample.yaml.")
    return values
