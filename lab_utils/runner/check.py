"""`./run_all.sh --check`: what a run would need, and what is here. Nothing is run, made or fetched."""

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from lab_utils.chapters.paper_baselines import ARCHITECTURES
from lab_utils.core import card, profiles
from lab_utils.core.chapters import CHAPTERS
from lab_utils.core.environment import KERAS
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import Settings
from lab_utils.core.records import PROJECT, read_json, reported
from lab_utils.data import download, image_table, layout, mame, mame_facts
from lab_utils.data.splits import SPLITS
from lab_utils.networks import backbones, registry, scratch_specs
from lab_utils.runner import processes
from lab_utils.runner.state import RunState
from lab_utils.sample import generator

# Multiplications of one forward pass at the network's own size, in billions, as their authors print them.
BILLIONS = {
    **{"vgg16": 15.5, "vgg11": 7.6, "resnet50": 4.1, "resnet18": 1.8, "densenet121": 2.9, "efficientnetb0": 0.39},
    **{"efficientnetb3": 1.8, "efficientnetv2b0": 0.72, "lite0": 0.41, "lite1": 0.63, "lite2": 0.90},
}
KERAS_FILES = (  # one of them: is the server within reach?
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
KERNEL = 1.5e9  # bytes of a notebook with TensorFlow
COPIES = 9  # of the largest table of features that chapter 05 holds at its peak (benchmarks/README.md)
TRAIN = 0.55  # share of train images where the splits are not known yet
OVERHEAD = 12.0  # seconds of a chapter before anything is computed
FARTHEST = 100  # times the work of a chapter that was timed: farther than that nothing is told
KINDS = {  # chapters whose work has one unit; any other is a kind of its own
    **dict.fromkeys(("00", "14"), "tables"),
    **dict.fromkeys(("03", "13"), "passes"),
    **dict.fromkeys(("06", "07", "08", "09", "10", "11", "12", "15"), "fine-tuning"),
}


@dataclass(frozen=True)
class CheckLine:
    """One thing that was looked at: its name, what is present, and what is missing ("" where nothing is)."""

    name: str
    present: str
    missing: str = ""


@dataclass(frozen=True)
class Amounts:
    """How much data a run has: images of all splits, train images, classes."""

    images: int
    train: int
    classes: int


def check(state: RunState, jobs: int) -> int:
    """Print what a run needs and what is here; return 1 where something is missing, else 0."""
    settings = state.settings
    print(f"Run {settings.name}, profile {settings.profile}: {settings.title}. Nothing is run.")
    looked = list(_lines(state, jobs))
    for line in looked:
        print(f"  {line.name:10} {line.present}" + (f"\n{'':13}MISSING: {line.missing}" if line.missing else ""))
    lacking = [line.name for line in looked if line.missing]
    print(f"Missing: {', '.join(lacking)}." if lacking else "Nothing is missing.")
    return int(bool(lacking))


def _lines(state: RunState, jobs: int) -> Iterator[CheckLine]:
    settings = state.settings
    data, amounts, to_fetch = _data(settings)
    weights, of_weights = _weights(settings)
    yield data
    yield weights
    yield _disk(settings, amounts, 2 * to_fetch + of_weights)  # an archive and what is in it
    yield _memory(settings, amounts, jobs)
    yield _card()
    yield _time(state, amounts)


# ---- data ------------------------------------------------------------------------------------------------------------
def _data(settings: Settings) -> tuple[CheckLine, Amounts, int]:
    """What is known of the data, how much it is, and bytes to be downloaded."""
    if table := image_table.open_table(settings):
        counts = table.rows["subset"].value_counts()
        amounts = Amounts(len(table.rows), int(counts["train"]), len(table.classes))
        return CheckLine("data", f"{_of(amounts)}, in the table of this run"), amounts, 0
    source = {"sample": _sample, "folder": _folder, "mame": _mame}[settings.data.source]
    try:
        return source(settings)
    except LabError as error:
        return CheckLine("data", "can't be read", str(error)), Amounts(0, 0, 0), 0


def _sample(settings: Settings) -> tuple[CheckLine, Amounts, int]:
    facts = mame_facts.by_museum()
    classes = settings.data.classes or facts["medium"].nunique()
    if settings.data.images == "all":
        kept = facts[facts["medium"].isin(generator.class_names(settings.data.classes))]
        splits = {split: int(kept[split].sum()) for split in SPLITS}
        amounts = Amounts(sum(splits.values()), splits["train"], classes)
        return CheckLine("data", f"{_of(amounts)}, drawn here without a download"), amounts, 0
    amounts = Amounts(settings.data.images, round(TRAIN * settings.data.images), classes)
    return CheckLine("data", f"about {_of(amounts)}, drawn here without a download"), amounts, 0


def _folder(settings: Settings) -> tuple[CheckLine, Amounts, int]:
    pictures, notes = layout.read(settings.data.path or Path(), settings.data.class_level)
    classes = {picture.medium for picture in pictures}
    amounts = Amounts(len(pictures), round(TRAIN * len(pictures)), len(classes))
    missing = "" if len(classes) > 1 else f"{settings.data.path} has {len(classes)} class folders, two are needed"
    words = [f"{_of(amounts)} in {settings.data.path} (not opened yet)", *notes]
    return CheckLine("data", f"\n{'':13}".join(words), missing), amounts, 0


def _mame(settings: Settings) -> tuple[CheckLine, Amounts, int]:
    home = settings.data.path or PROJECT / "data" / "mame"
    fetched = (home / Path(download.METADATA.name).stem).is_dir()
    if not settings.data.path and not fetched:
        archives = (download.METADATA, download.FULL if settings.data.full_size else download.SMALL)
        sizes = {archive: download.size_at(archive.url) for archive in archives}
        told = ", ".join(f"{archive.name} ({download.in_words(size)})" for archive, size in sizes.items())
        counts, prefix = reported("mame_counts"), "toy_" if settings.data.toy else ""
        splits = {split: int(counts[f"{prefix}{split}"].sum()) for split in SPLITS}
        amounts = Amounts(sum(splits.values()), splits["train"], len(counts))
        place = archives[0].url.rsplit("/", 1)[0]
        missing = "" if all(sizes.values()) else f"{place} can't be reached; --data DIR takes files that you have"
        return CheckLine("data", f"to be downloaded: {told}", missing), amounts, sum(filter(None, sizes.values()))
    rows, classes = mame.read(home, settings.data.toy)
    root = mame.image_folder(home, settings.data.full_size)
    there = sum((root / name).is_file() for name in rows["file"])
    amounts = Amounts(len(rows), int((rows["subset"] == "train").sum()), len(classes))
    lacking = f"{len(rows) - there:,} images in {root}" if there < len(rows) and not settings.data.partial else ""
    return CheckLine("data", f"{_of(amounts)}, {there:,} of them in {root}", lacking), amounts, 0


def _of(amounts: Amounts) -> str:
    return f"{amounts.images:,} images of {amounts.classes} classes"


# ---- networks --------------------------------------------------------------------------------------------------------
def _weights(settings: Settings) -> tuple[CheckLine, int]:
    """Which weights are here, which would be downloaded, and their bytes; those of chapter 02 only where it fetches."""
    if settings.networks.weights == "random":
        return CheckLine("weights", "none: the networks of this profile have random weights"), 0
    needed = [(name, True) for name in settings.networks.names]
    needed += [(name, False) for name in settings.fine_tuning.networks]
    optional = [(name, False) for name in ARCHITECTURES.values()] if settings.paper.download else []
    here, fetched, missing, without, size = [], [], [], [], 0
    for name, top in dict.fromkeys(needed + optional):
        entry = registry.backbone(name)
        if entry.source != "keras" and (reason := backbones.missing(name)):
            (missing if (name, top) in needed else without).append(reason)
        elif entry.source != "keras" or _is_here(entry, top):
            here.append(entry.title)
        else:
            kind = "" if top else " without its top"
            fetched.append(f"{entry.title}{kind} ({download.in_words(_bytes(entry, top))})")
            size += _bytes(entry, top)
    words = [f"here: {', '.join(dict.fromkeys(here))}"] if here else []
    words += [f"to be downloaded by Keras: {', '.join(fetched)}"] if fetched else []
    words += [f"left out in chapter 02: {' '.join(without)}"] if without else []
    if fetched and download.size_at(KERAS_FILES) is None:
        missing.append(f"{KERAS_FILES.rsplit('/', 2)[0]} can't be reached: put the files into data/weights/.")
    return CheckLine("weights", f"\n{'':13}".join(words) or "none is here", " ".join(missing)), size


def _is_here(entry: registry.Backbone, top: bool) -> bool:
    file = entry.weights_file if top else entry.weights_file.replace(".h5", "_notop.h5")
    folders = (backbones.WEIGHTS_FOLDER, PROJECT / KERAS["KERAS_HOME"] / "models")
    return any((folder / file).is_file() for folder in folders)


def _bytes(entry: registry.Backbone, top: bool) -> int:
    """Size of a weights file: four bytes a parameter."""
    dense = 49 * 512 * 4096 + 4096 + 4096 * 4096 + 4096 if entry.fixed_size else 0  # VGG's two layers before the last
    return 4 * (entry.parameters + (dense + (entry.width + 1) * backbones.CLASSES if top else 0))


# ---- the machine -----------------------------------------------------------------------------------------------------
def _disk(settings: Settings, amounts: Amounts, downloads: int) -> CheckLine:
    sides = {settings.scratch.size, settings.fine_tuning.size, *(_side(settings, n) for n in settings.networks.names)}
    decoded = amounts.images * sum(3 * side**2 for side in sides)
    widths = sum(registry.backbone(name).width + backbones.CLASSES for name in settings.networks.names)
    needed = downloads + decoded + 4 * amounts.images * widths
    free = shutil.disk_usage(PROJECT / "data").free
    words = (
        f"{download.in_words(free)} free, about {download.in_words(needed)} needed for downloads, decoded images and "
        f"features;\n{'':13}trained networks and activations of frozen layers come on top"
    )
    return CheckLine("disk", words, f"{download.in_words(needed - free)} of space" if needed > free else "")


def _side(settings: Settings, network: str) -> int:
    size = settings.features.size
    return registry.backbone(network).size if size == "native" else size


def _memory(settings: Settings, amounts: Amounts, jobs: int) -> CheckLine:
    width = max(registry.backbone(name).width for name in settings.networks.names)
    needed = KERNEL * jobs + COPIES * 4 * amounts.images * width
    total = psutil.virtual_memory().total
    words = f"{download.in_words(total)}, about {download.in_words(needed)} needed for {jobs} notebooks at a time"
    fewer = " (or --jobs 1)" if jobs > 1 else ""
    return CheckLine("memory", words, f"{download.in_words(needed - total)} of memory{fewer}" if needed > total else "")


def _card() -> CheckLine:
    """The card as TensorFlow answers now; a run goes on without one, so none is missing."""
    answer, cores = card.look(fresh=True), f"{processes.cores()} cores"
    return CheckLine("processor", f"{cores}. {answer.sentence}" if answer.reason else f"{cores}, {answer.words}")


# ---- time ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Recorded:
    """Seconds that a chapter of a run took on this machine, and its work in the unit of its kind."""

    run: str
    step: str
    seconds: float
    work: float


def _time(state: RunState, amounts: Amounts) -> CheckLine:
    """Hours of the chapters, each by the recorded one of its kind whose work is nearest."""
    wanted = [step.name for step in state.steps if step.name != "data"]
    here = {name: _recorded(name) for name in sorted({state.settings.name, *_runs()})}
    mine = {timing.step: timing.seconds for timing in here[state.settings.name]}
    done = sum(mine[name] for name in wanted if name in mine)
    if not set(wanted) - set(mine):
        return CheckLine("time", f"{_clock(done)} by the seconds that this run has recorded")
    ours = work(state.settings, amounts)
    told, far = {}, []
    for name in (name for name in wanted if name not in mine):
        near = nearest(name, ours[name], [timing for timings in here.values() for timing in timings])
        if near and ours[name] <= FARTHEST * near.work:
            told[name] = OVERHEAD + max(near.seconds - OVERHEAD, 1) * ours[name] / near.work
        else:
            far.append(name)
    words = []
    if told:
        most = max(told, key=told.__getitem__)
        total = _clock(done + sum(told.values()))
        words += [f"about {total}, one notebook at a time; the longest, {most}: {_clock(told[most])}"]
        words += ["(from seconds recorded here and the work of each chapter: right to a factor of three)"]
    if far:
        numbers = ", ".join(name[:2] for name in sorted(far))
        words += [f"can't be told for chapters {numbers}: nothing like them was timed on this machine"]
        words += ["run one of each kind, or a smaller profile, and ask again (small runs mostly start and compile)"]
    return CheckLine("time", f"\n{'':13}".join(words))


def nearest(step: str, amount: float, recorded: Sequence[Recorded]) -> Recorded | None:
    """Of the recorded chapters of a step's kind the one whose work is nearest; None where there is none."""
    kind = KINDS.get(step[:2], step[:2])
    alike = [timing for timing in recorded if KINDS.get(timing.step[:2], timing.step[:2]) == kind and timing.work > 0]
    return min(alike, key=lambda timing: abs(math.log(max(amount, 1e-9) / timing.work)), default=None)


def _runs() -> set[str]:
    return {path.parent.name for path in (PROJECT / "data" / "runs").glob("*/settings.yaml")}


def _recorded(name: str) -> list[Recorded]:
    """What a run has recorded; nothing where it has not begun, or is of another version of the lab."""
    try:
        settings = profiles.load_settings(name) if name in _runs() else None
        about = read_json(settings.run_folder / "data.json") if settings else None
    except LabError:
        return []
    if not about:
        return []
    state, counts = RunState(settings), about["images"]
    amount = work(settings, Amounts(sum(counts.values()), counts["train"], len(about["classes"])))
    known = {step.name: state.settled(step.name) for step in state.steps if step.name in amount}
    return [
        Recorded(name, step, status["seconds"], amount[step])
        for step, status in known.items()
        if status.get("state") == "ok" and status.get("seconds")
    ]


def work(settings: Settings, amounts: Amounts) -> dict[str, float]:
    """How much each chapter has to do, in the unit of its kind (`KINDS`): only ratios mean something."""
    n, train = amounts.images, amounts.train
    networks = settings.networks.names
    epochs = [min(settings.scratch.max_epochs, settings.scratch.epochs * spec.epochs) for spec in scratch_specs.SPECS]
    tuning, paper = settings.fine_tuning, settings.paper
    tuned, cost = _capped(train, tuning.cap, amounts.classes), _cost(tuning.networks[0], tuning.size)
    lengths = [tuning.runs[f"run {number}"].epochs for number in range(1, 7)]
    runs = {f"{5 + number:02d}": tuned * cost * length for number, length in enumerate(lengths, 1)}
    runs["11"] *= len(tuning.seeds) + 3 * tuning.grid
    mapped = min(train, settings.projections.per_class * amounts.classes)
    widths = sum(registry.backbone(name).width for name in networks)
    units = {
        "00": n,
        "01": _capped(train, settings.scratch.cap, amounts.classes) * settings.scratch.size**2 * sum(epochs),
        "02": _capped(train, paper.cap, amounts.classes) * paper.epochs * paper.size**2 * (7 if paper.download else 1),
        "03": n * sum(_cost(name, _side(settings, name)) for name in networks),
        "04": mapped * widths + n,
        "05": train * widths * settings.classification.folds,
        **runs,
        "12": tuned * cost * max(lengths),
        "13": n * cost,
        "14": n,
        "15": tuned * cost * settings.improvements.tuning.epochs,
    }
    return {step.name: float(units.get(step.number, n)) for step in CHAPTERS}


def _cost(network: str, side: int) -> float:
    """Billions of multiplications of one image at a side."""
    return BILLIONS[network] * (side / registry.backbone(network).size) ** 2


def _capped(train: int, cap: int | None, classes: int) -> int:
    return train if cap is None else min(train, cap * classes)


def _clock(seconds: float) -> str:
    if seconds < 5400:
        minutes = max(1, round(seconds / 60))
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{seconds / 3600:.1f} hours" if seconds < 36000 else f"{seconds / 3600:.0f} hours"
