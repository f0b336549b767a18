"""`open_lab(run)`: what a notebook starts with: the gate to the data, the records, and the display."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core import profiles, quantities, records, usage
from lab_utils.core.chapters import chapter, needed
from lab_utils.core.errors import LabError, NotRunError
from lab_utils.core.quiet import load_tensorflow, quiet
from lab_utils.data.splits import SPLITS, SplitImages, fold_groups
from lab_utils.stats import intervals

if TYPE_CHECKING:
    import keras

    from lab_utils.data.image_table import Table
    from lab_utils.stats.intervals import Accuracy
    from lab_utils.training.fit import Run
    from lab_utils.training.kept import KeptRun
    from lab_utils.training.setup import FineTuningSetup

REPORTED = re.compile(r"^reported\b|\breported\)?$")  # names of columns that show what others reported
REPORTED_ROW = re.compile(r"^reported$|\(reported\b")  # cells that say so of their row


def open_lab(run: str, notebook: str) -> "Lab":
    """Open a run for one chapter, print a line that says what it works on, and return the lab.

    Who works in the notebook is told as well what must have run before, and how long the chapter takes.

    Args:
        run: name of the run, whose settings are in `data/runs/<run>/settings.yaml` (a profile's name makes them).
        notebook: name or number of the chapter; its records go to `report/<run>/results/<chapter>.json`.

    Raises:
        LabError: no such run or chapter, bad settings, or the data can't be read.
    """
    quiet()
    opened = chapter(notebook)
    if opened.tensorflow:  # its start-up lines would stand in the report
        load_tensorflow()
    lab = Lab(profiles.load_settings(run), opened.name)
    print(lab.summary())
    if lab.own:
        print(lab.before_you_start())
    return lab


def _prepared(settings: profiles.Settings) -> "Table":
    from lab_utils.sample import sources

    return sources.prepare(settings)


class Lab:
    """One run as seen by one chapter: its data, networks, records, and the display of figures, tables, sentences.

    Attributes:
        settings: the run's validated settings.
        chapter: the notebook's name.
        images: one row an image (columns: `image_table.COLUMNS`), only rows whose image is there; the labels of
            test rows are -1, `labels("test")` gives them inside `read_test`.
        all_rows: one row an image, missing images and test labels included: the table itself, for chapter 00.
        classes: names of the mediums in label order.
        split_images: pixels, splits and labels (without those of test), as training takes them.
        own: whether somebody works in the notebook. Then results are kept apart, and those that a run of all chapters
            has made (which the report shows) stay as they are.
    """

    def __init__(self, settings: profiles.Settings, chapter: str):
        from lab_utils.data import image_table

        self.settings, self.chapter = settings, chapter
        self.table = image_table.open_table(settings) or _prepared(settings)
        self.all_rows: pd.DataFrame = self.table.rows
        self.images: pd.DataFrame = self.table.rows[self.table.rows["has_image"]].reset_index(drop=True)
        self._labels: np.ndarray = self.images["label"].to_numpy()
        self.images["label"] = np.where(self.images["subset"] == "test", -1, self._labels)
        self.classes: list[str] = self.table.classes
        self.split_images = SplitImages(
            self.pixels,
            self.images["subset"].to_numpy(),
            self.images["label"].to_numpy(),
            len(self.classes),
            self.table.data_hash,
        )
        self.started, self.own = time.time(), not usage.watched()
        self._records: list[dict[str, Any]] = []
        self._test_open = False

    # ---- what it works on -------------------------------------------------------------------------------------------
    @property
    def networks(self) -> tuple[str, ...]:
        """Pretrained networks of the run, in order."""
        return self.settings.networks.names

    @property
    def missing(self) -> int:
        """How many images of the table are not there (`--partial`)."""
        return len(self.all_rows) - len(self.images)

    def summary(self) -> str:
        """One line: data, networks, device, what is missing."""
        counts = self.images["subset"].value_counts()
        splits = " / ".join(str(int(counts.get(split, 0))) for split in SPLITS)
        words = [
            f"run {self.settings.name}: {self.settings.title}",
            f"{len(self.images):,} images ({splits} train/val/test) of {len(self.classes)} classes",
            f"networks {', '.join(self.networks)} ({self.settings.networks.weights} weights)",
        ]
        return " · ".join(words + ([f"{self.missing:,} images missing"] if self.missing else []))

    def before_you_start(self) -> str:
        """What the chapter needs of others and whether that is there, and how long it last took in a run of all."""
        statuses = {name: self._status(name) for name in (*sorted(needed(self.chapter)), self.chapter)}
        missing = [name for name, status in statuses.items() if name != self.chapter and status.get("state") != "ok"]
        others = ", ".join(name[:2] for name in statuses if name != self.chapter)
        words = f"Chapter {self.chapter[:2]} needs {f'chapters {others}' if others else 'no other chapter'}"
        if missing:
            which = ", ".join(name[:2] for name in missing)
            words += f"; not run yet: {which}. ./run_all.sh --only {self.chapter[:2]} runs what is missing"
        elif others:
            words += ", which have run"
        seconds = statuses[self.chapter].get("seconds")
        took = f" In the last run of all chapters it took {max(1, round(seconds / 60))} min." if seconds else ""
        return f"{words}.{took}"

    def _status(self, name: str) -> dict[str, Any]:
        return records.read_json(self.settings.run_folder / "status" / f"{name}.json", {})

    def need_images(self, train: int = 0, of_a_class: int = 0, classes: int = 1) -> None:
        """Stop a chapter that needs pixels where images are missing, or more of them than there are.

        Args:
            train: how many different train images its analyses need at least (one lot, or look-alikes, count once).
            of_a_class: how many train images some class needs at least.
            classes: how many classes need so many.

        Raises:
            NotRunError: with the number of images that are missing, or that there are.
        """
        if self.missing:
            raise NotRunError(
                f"{self.missing:,} of {len(self.all_rows):,} images are missing, so chapter {self.chapter[:2]} was not "
                "run: get the whole image archive and start again without --partial."
            )
        if train and (there := len(np.unique(self.lots("train")))) < train:
            raise NotRunError(
                f"Chapter {self.chapter[:2]} needs {train} different train images and there are {there} "
                "(near-identical ones, and those of one lot, count once): add images."
            )
        if of_a_class and (able := int((np.bincount(self.labels("train")) >= of_a_class).sum())) < classes:
            wanted = "a class" if classes == 1 else f"{classes} classes"
            are = {0: "is none", 1: "is 1"}.get(able, f"are {able}")
            raise NotRunError(
                f"Chapter {self.chapter[:2]} needs {wanted} with {of_a_class} train images or more and there {are}: "
                "add images."
            )

    def rows(self, *splits: str) -> np.ndarray:
        """Positions in `images` of the rows of the given splits (in table order), shape (n,)."""
        self._check_splits(splits)
        return np.flatnonzero(self.images["subset"].isin(splits).to_numpy())

    def labels(self, *splits: str) -> np.ndarray:
        """Integer labels of the given splits, shape (n,), aligned with `rows`.

        Raises:
            LabError: test labels were asked for outside `read_test`.
        """
        self._check_splits(splits)
        if "test" in splits and not self._test_open:
            raise LabError(
                f"Chapter {self.chapter[:2]} asked for test labels before a choice was recorded: choose on val, then "
                "read test once by `with lab.read_test(model, choice): ...`."
            )
        return self._labels[self.rows(*splits)]

    def lots(self, *splits: str) -> np.ndarray:
        """What intervals draw as a whole (`splits.fold_groups`), shape (n,), aligned with `rows`."""
        return fold_groups(self.images.iloc[self.rows(*splits)])

    def pixels(self, size: int) -> np.ndarray:
        """Decoded images in the order of `images`, made once for all runs on the same data.

        Args:
            size: side in pixels; images are squashed to a square.

        Returns:
            uint8 (len(images), size, size, 3); a read-only memory map where it is large.
        """
        from lab_utils.data import pipeline

        return pipeline.decoded(list(self.images["path"]), size, key=self.table.data_hash)

    def read_test(self, model: str | Sequence[str], choice: str, further: str = "") -> "_TestRead":
        """Open the test labels for one or several fitted models, after their choice; the read is logged in the records.

        A model has one name in all chapters, so that the log tells which were read more than once: a network from
        scratch `#10 from scratch`, a fine-tuning run `<title of its network>, <name of its recipe>`
        (`EfficientNet-Lite0, run 6`; chapter 13 calls its networks so, too), a classifier on features
        `<classifier> on <title of the network>, <which features>`.

        Args:
            model: name of the model, or of each whose answers are compared with the labels inside the block.
            choice: the decision (made on val, or fixed beforehand) that led to them, or why nothing is chosen.
            further: where this chapter has read one of them before: what else its answers are looked at for.

        Returns:
            A context manager; inside it `labels("test")` answers.

        Raises:
            LabError: this chapter has read one of the models before, and `further` doesn't say what else for.
        """
        return _TestRead(self, (model,) if isinstance(model, str) else tuple(model), choice, further)

    def planted(self, rows: np.ndarray) -> pd.DataFrame | None:
        """What the generator put into pictures of the sample beside the medium (`sample.truth.planted`).

        Args:
            rows: positions in `images`, shape (n,).

        Returns:
            n rows; None where the images are no generated ones.
        """
        if self.table.source != "sample":
            return None
        from lab_utils.sample import truth

        return truth.planted(self.settings.data, list(self.images["file"].iloc[rows]))

    # ---- doors to the networks: opened when used -------------------------------------------------------------------
    def features(self, network: str, layer: str = "penultimate", size: int | None = None) -> np.ndarray:
        """Features of all images by one pretrained network, made once and kept on disk.

        Args:
            network: name in the registry of backbones.
            layer: `penultimate`, `logits`, `averages` (of all layers) or `full_network` (the embedding, standardised on
                this run's train rows and discretised).
            size: side of the input in pixels; None: the profile's (`features.size`).

        Returns:
            Array (len(images), width) in the order of `images`; float32, memory-mapped (`full_network`: int8).

        Raises:
            LabError: two networks gave the same array, or the weights are missing or damaged.
        """
        from lab_utils.training import features

        options, weights = self.settings.features, self.settings.networks.weights
        return features.of_run(network, layer, size, self.split_images, options, weights)

    def fit(self, model: "keras.Model", inputs: Any = None, *, epochs: int, batch: int, **more: Any) -> "Run":
        """Load a network that was trained here before, go on with it, or train it; the given model is not changed.

        Args:
            model: compiled; from RGB pixels of 0..255, (B, size, size, 3), to logits, (B, classes).
            inputs: what it takes instead of pixels (stored features, say): an array with a row for each of `images`,
                or a list, tuple or dict of such; or an object whose `batch_of(rows)` gives a batch and whose `key`
                stands for its content. None: `pixels(size)` at the size of the model's input.
            epochs: passes over the train images.
            batch: images a step.
            more: `seed` of the order of images (0), `title` for the progress lines, `cap` of train images a class
                (the profile's), `class_weight`, `one_hot`, `tolerance`, `precision`: as of `training.fit.fit`.

        Returns:
            The run: `history`, `best_epoch`, `probabilities(split)`, `logits(split)`, `seconds`, `model`.

        Raises:
            LabError: the model can't be trained (`training.fit.fit`), or its input has no fixed square shape.
        """
        from lab_utils.training import feeding
        from lab_utils.training.fit import fit, profile_options

        settings = self.settings.fine_tuning
        size = self._size_of(model) if inputs is None else None
        key = getattr(inputs, "key", None)
        splits = feeding.splits_of(self.split_images, more.pop("cap", settings.cap), size=size, inputs=inputs, key=key)
        options = profile_options(settings) | more
        train, val, test = (splits[split] for split in SPLITS)
        return fit(model, train, val, epochs=epochs, batch=batch, others={"test": test}, **options)

    def _size_of(self, model: "keras.Model") -> int:
        shape = getattr(model, "input_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or not shape[1] or shape[3] != 3:
            raise LabError(
                f"The network {model.name} takes {shape}: begin it with keras.Input((size, size, 3)), or give lab.fit "
                "the inputs that it takes."
            )
        return shape[1]

    def here(self, run: str, network: str | None = None, seed: int = 0) -> "FineTuningSetup":
        """What this profile says of a fine-tuning run: network, size, learning rate, batch, epochs.

        Args:
            run: `run 1` to `run 6`, or `features run`.
            network: another network than the profile's first.
            seed: of first weights and of the order of images.

        Raises:
            LabError: the profile has no such run or network.
        """
        from lab_utils.training.setup import FineTuningSetup

        options, names = self.settings.fine_tuning, self.settings.fine_tuning.networks
        if run not in options.runs:
            raise LabError(f"The profile has no fine-tuning {run!r}: it has {', '.join(options.runs)}.")
        about = {name: getattr(options, name) for name in ("size", "frozen", "pooling")}
        about |= options.runs[run].model_dump()
        return FineTuningSetup(run, network or names[0], self.settings.networks.weights, **about, seed=seed)

    def blocks(self, model: "keras.Model") -> list[list["keras.layers.Layer"]]:
        """The layers of a pretrained network in five blocks, which end at 1/2, 1/4, … 1/32 of the image's size.

        Batch normalisation is in none of them: it stays as it was pretrained.
        """
        from lab_utils.networks import backbones

        return backbones.blocks_of(model, model.name)

    def keep(self, name: str, run: "Run", settings: dict[str, Any]) -> None:
        """Keep a trained network under a name, for the chapters that need this one."""
        from lab_utils.training import kept

        kept.keep((self._own_folder if self.own else self.settings.run_folder) / "kept", name, run, settings)
        self.record(f"kept: {name}", run.folder.name, kind="kept")

    def kept(self, name: str) -> "KeptRun":
        """A network that a chapter before has trained and kept.

        Raises:
            LabError: there is none; the sentence says which there are.
        """
        from lab_utils.training import kept

        run, folders = None, [self.settings.run_folder / "kept"]
        folders = [self._own_folder / "kept", *folders] if self.own else folders
        if any(entry["id"] == f"kept: {name}" for entries in self.all_entries().values() for entry in entries):
            run = next(filter(None, (kept.find(folder, name, self.split_images) for folder in folders)), None)
        if run is None:
            there = ", ".join(kept.names(folders[-1])) or "none"
            raise LabError(
                f"No chapter that {self.chapter} needs has kept {name!r} (kept: {there}): run the chapter that trains "
                "it first."
            )
        return run

    def runs(self) -> pd.DataFrame:
        """The networks that were kept by name, yours first: val accuracy, seconds, and what differs from run 1."""
        from lab_utils.training import kept

        folders = {"yours": self._own_folder / "kept", "the lab's": self.settings.run_folder / "kept"}
        runs = [
            (whose, kept.find(folder, name, self.split_images))
            for whose, folder in folders.items()
            for name in kept.names(folder)
        ]
        first = next((run.settings for _, run in reversed(runs) if run and run.name == "run 1"), {})
        rows = []
        for whose, run in runs:
            if run:
                other = {key: value for key, value in run.settings.items() if value != first.get(key)}
                words = ", ".join(f"{key} {value}" for key, value in other.items()) if first else ""
                best = run.history["val_accuracy"][run.best_epoch - 1]
                rows.append((run.name, whose, best, round(run.seconds, 1), words))
        return pd.DataFrame(rows, columns=["run", "whose", "val accuracy", "seconds", "not as in run 1"])

    @property
    def _own_folder(self) -> Path:
        return self.settings.run_folder / "own"

    def title(self, network: str) -> str:
        """Title of a network for tables and figures; random weights are said."""
        from lab_utils.networks import registry

        return registry.backbone(network).titled(self.settings.networks.weights)

    # ---- records ----------------------------------------------------------------------------------------------------
    @property
    def records_path(self) -> Path:
        """The chapter's results file; of somebody's own work one that the report doesn't read."""
        return self._results(self.chapter, self.own)

    def _results(self, notebook: str, own: bool) -> Path:
        return (self._own_folder if own else self.settings.report_folder) / "results" / f"{notebook}.json"

    def record(self, id: str, value: Any, kind: str = "result", **more: Any) -> Any:
        """Keep a result under a name that is unique in the chapter, write the chapter's file, and return the value."""
        entry = {"id": id, "kind": kind, "value": records.plain(value), **records.plain(more)}
        self._records = [kept for kept in self._records if kept["id"] != id] + [entry]
        self._save()
        return value

    def quantity(self, name: str, value: Any = None, *, split: str = "", network: str = "", how: str = "") -> Any:
        """Keep a number under a name that it has in all chapters, or read it where another chapter made it.

        Args:
            name: unique over all chapters (`accuracy, EfficientNet-Lite0, run 6, test`).
            value: a number, or one with its interval (`Accuracy`, `Difference`, `Estimate`); None: read it.
            split: `train`, `val` or `test` that it is of; "": none.
            network: title of the network that it is of; "": none.
            how: how its interval is made, where that doesn't follow from its type.

        Returns:
            `value`, or the `quantities.Quantity` that was read.

        Raises:
            LabError: it is read, and neither this chapter nor one that it needs has made it.
        """
        if value is None:
            return self._read_quantity(name)
        about = quantities.entry(name, value, split, network, how)
        id, kind, stored = (about.pop(key) for key in ("id", "kind", "value"))
        self.record(id, stored, kind=kind, **about)
        return value

    def _read_quantity(self, name: str) -> quantities.Quantity:
        if known := quantities.find(name, self.all_entries()):
            return known
        folder, mine = self._results(self.chapter, False).parent, f"chapter {self.chapter}"
        others = {path.stem: records.read_json(path)["records"] for path in sorted(folder.glob("*.json"))}
        if elsewhere := quantities.find(name, others):
            raise LabError(
                f"The quantity {name!r} is made by chapter {elsewhere.chapter}, which {mine} doesn't need: name it "
                "there in core/chapters.py."
            )
        there = ", ".join(quantities.names(self.all_entries())) or "none"
        raise LabError(f"No chapter that {mine} needs has made the quantity {name!r}; there are: {there}.")

    def cost(
        self,
        model: str,
        right: np.ndarray,
        seconds: float,
        before: Mapping[str, float] | None = None,
        asked: np.ndarray | None = None,
        **more: Any,
    ) -> "Accuracy":
        """Keep a model's answers on val, its accuracy, as a quantity, and its seconds for the advice of chapter 15.

        Args:
            model: its name in all chapters, as for `read_test`.
            right: whether each val image was right, bool (n,), in the order of `rows("val")`.
            seconds: of training.
            before: seconds of what comes before training, by what it is (`preparation`).
            asked: which val images were asked, bool (n,); None: all.
            more: `network`, its title; else kept with the record.

        Returns:
            The accuracy.

        Raises:
            LabError: it is not one answer for each val image.
        """
        from lab_utils.analysis.recommendation import kept_hits

        lots, right = self.lots("val"), np.asarray(right)
        asked = np.ones(len(lots), bool) if asked is None else np.asarray(asked)
        if not (right.shape == asked.shape == lots.shape) or {right.dtype, asked.dtype} != {np.dtype(bool)}:
            raise LabError(
                f"The cost of {model} has answers of shape {right.shape} ({right.dtype}) and val has {len(lots)} "
                "images: give for each of them whether it was right, so that recipes can be compared image by image."
            )
        accuracy = intervals.Accuracy.from_hits(right[asked], f"{model}, val", lots[asked])
        spent = {what: {"seconds": part} for what, part in (before or {}).items()}
        about = {"recipe": model, "seconds": seconds, "split": "val", "before": spent, **more}
        self.record(f"cost: {model}, val", accuracy, kind="cost", hits=kept_hits(right, asked), **about)
        name = quantities.accuracy_name(model, "val")
        return self.quantity(name, accuracy, split="val", network=more.get("network", ""))

    def preparation(
        self, size: int | None = None, network: str = "", layer: str = "penultimate", images: int | None = None
    ) -> dict[str, float]:
        """Seconds of what comes before training, as they were measured when it was made; what is not known is left out.

        Args:
            size: side in pixels at which the train images are decoded; None: that of the features.
            network: whose features they become; "": none.
            layer: which features.
            images: how many train images; None: all.

        Returns:
            `decoding` and, with a network, `features`.
        """
        from lab_utils.data import pipeline

        share = (len(self.rows("train")) if images is None else images) / len(self.images)
        spent: dict[str, float | None] = {}
        if network:
            from lab_utils.training import features

            options = (self.split_images, self.settings.features, self.settings.networks.weights)
            size, spent["features"] = features.seconds_of_run(network, layer, size, *options)
        spent["decoding"] = pipeline.decoding_seconds(len(self.images), size, key=self.table.data_hash)
        return {what: share * seconds for what, seconds in spent.items() if seconds is not None}

    def results(self, notebook: str) -> dict[str, Any]:
        """Records of another chapter, `{id: value}`.

        Raises:
            LabError: that chapter was not run yet; the sentence says which one to run.
        """
        return {entry["id"]: entry["value"] for entry in self.entries(notebook)}

    def entries(self, notebook: str) -> list[dict[str, Any]]:
        """Records of another chapter as they are stored, with kind and id.

        Raises:
            LabError: that chapter was not run yet, or this one does not say that it needs it.
        """
        name = chapter(notebook).name
        if name not in needed(self.chapter):
            raise LabError(f"Chapter {self.chapter} reads the results of {name}: name it there in core/chapters.py.")
        entries = self._entries(name)
        if entries is None:
            path = self._results(name, False)
            raise LabError(f"{path} is missing: run notebook {name} first (./run_all.sh --only {name[:2]}).")
        return entries

    def all_entries(self) -> dict[str, list[dict[str, Any]]]:
        """Records of this chapter, and of every one that it needs and that has been run, by name in reading order."""
        there = {name: self._entries(name) for name in needed(self.chapter)} | {self.chapter: self._records or None}
        return {name: entries for name, entries in sorted(there.items()) if entries is not None}

    def _entries(self, name: str) -> list[dict[str, Any]] | None:
        mine = self._results(name, True)
        path = mine if self.own and mine.is_file() else self._results(name, False)
        return records.read_json(path, {}).get("records")

    def reported(self, name: str) -> pd.DataFrame:
        """Numbers printed in the original or the paper: `data/reported/<name>.csv`, always to be labelled so."""
        return records.reported(name)

    # ---- display ----------------------------------------------------------------------------------------------------
    def show(self, figure: Any, caption: str, label: str = "", fold: bool = False) -> None:
        """Show a figure with its caption; what it shows in words, for those who can't see it, is the figure's label.

        Args:
            figure: a matplotlib figure, or a `bundles.Interactive` (its static twin goes to the PDF).
            caption: one or two sentences: what is shown, of what (network, split, n), what to look at.
            label: short unique name; a link to `#label` becomes a link to the numbered figure in the report.
            fold: whether it starts closed in the HTML report.
        """
        from lab_utils.display import bundles

        self._note_shown(label)
        words = bundles.words_of(figure) or caption
        self._display(bundles.bundle(figure), kind="figure", caption=caption, alt=words, label=label, fold=fold)

    def share(self, script: str) -> None:
        """Show nothing: give the page what several interactive figures use; the report keeps one of each."""
        self._display({"text/html": script}, kind="library")

    def tabulate(
        self,
        table: pd.DataFrame,
        caption: str,
        label: str = "",
        index: bool = False,
        fold: bool = False,
        reported: str = "",
    ) -> None:
        """Show a data frame as a table with its caption.

        Columns called reported (`reported val`, `test (reported)`, `run 1, reported`), and rows in which a cell says so
        (`reported`, `VGG16 (reported)`), are kept in the records: `core/consistency.py` compares them with
        `data/reported`.

        Args:
            table: its columns become the table's.
            caption: what it shows, of what.
            label: as for `show`.
            index: whether the index is shown as well.
            fold: whether it starts closed in the HTML report.
            reported: name of the table of `data/reported` that such columns and rows are from.

        Raises:
            LabError: there are such columns or rows, and `reported` is not given.
        """
        from lab_utils.display import bundles

        self._note_shown(label)
        for name, cells in _reported_cells(table).items():
            if not reported:
                raise LabError(
                    f"The table {caption!r} shows reported numbers ({name}): name their table of data/reported "
                    '(`reported="fine_tuning"`, say), so that they are compared with it.'
                )
            id = f"reported: {label or records.content_hash(caption, 8)}, {name}"
            self.record(id, records.plain(cells), kind="reported", table=reported)
        self._display(bundles.table_bundle(table, index), kind="table", caption=caption, label=label, fold=fold)

    def say(self, sentence: Any, numbers: Any = None, kind: str = "sentence") -> None:
        """Show a sentence that was rendered from results, and keep it with the values that were printed into it.

        Args:
            sentence: Markdown.
            numbers: plain numbers that it shows and that no other record holds: each number of a sentence must be in
                the records (`core/consistency.py`). Accuracies, differences and estimates come along by themselves.
            kind: how the report sets it; a verdict or decision has a record of its own.
        """
        if kind == "sentence":
            values = {"numbers": numbers, "printed": intervals.printed_in(str(sentence))}
            self.record(f"sentence: {records.content_hash(str(sentence))}", str(sentence), kind=kind, **values)
        self._display({"text/markdown": str(sentence), "text/plain": str(sentence)}, kind=kind)

    def verdict(self, id: str, **evidence: Any) -> None:
        """Decide a claim of the original, record the verdict and show it; `claims/texts/` says what it asks for.

        Args:
            id: of the claim.
            evidence: by name; `histories` of the networks that it is about, by title, where it needs trained ones.
        """
        from lab_utils.claims import engine

        verdict = engine.check(id, engine.Context(self.table.source, tuple(self.classes)), **evidence)
        about = {"printed": intervals.printed_in(str(verdict)), "rule": engine.find(id).rule}
        self.record(f"claim: {id}", verdict, kind="verdict", **about)
        self.say(verdict, kind="verdict")

    def decide(self, what: str, because: str, instead_of: str) -> None:
        """Record and show the chapter's decision: what, on which evidence, what else was considered."""
        values = intervals.printed_in(f"{what} {because} {instead_of}")
        self.record("decision", what, kind="decision", because=because, instead_of=instead_of, printed=values)
        parts = (f"**Decision.** {what}", f"**Because** {because}", f"**Considered instead:** {instead_of}")
        self.say(" ".join(part if part.rstrip().endswith(".") else f"{part}." for part in parts), kind="decision")

    # ---- inside -----------------------------------------------------------------------------------------------------
    def _note_shown(self, label: str) -> None:
        """Keep the label of a figure or table in the records, so that the rubric links only to what is there."""
        if label:
            self.record(f"shown: {label}", label, kind="shown")

    def _display(self, bundle: dict[str, Any], **about: Any) -> None:
        from IPython.display import display

        display(bundle, raw=True, metadata={"lab": about})
        if about.get("caption"):
            text = f"*{about['kind'].capitalize()}. {about['caption']}*"
            display({"text/markdown": text, "text/plain": text}, raw=True, metadata={"lab": {"kind": "caption"}})

    def _check_splits(self, splits: Sequence[str]) -> None:
        if not splits or set(splits) - set(SPLITS):
            raise LabError(f"{', '.join(splits) or 'no split'}: the splits are {', '.join(SPLITS)}.")

    def _save(self) -> None:
        content = {
            "chapter": self.chapter,
            "run": self.settings.name,
            "provenance": {
                "git": records.git_revision(),
                "settings": records.content_hash(self.settings),
                "data": self.table.data_hash,
                "versions": records.versions("tensorflow", "keras", "scikit-learn", "umap-learn", "numpy"),
                "hardware": records.hardware(),
                "seconds": round(time.time() - self.started, 1),
            },
            "records": self._records,
        }
        records.write_json(self.records_path, content)


def _reported_cells(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Cells of each column, and each row, that is called reported, by the column's name or the row's number."""
    cells = {str(name): list(column) for name, column in table.items() if REPORTED.search(str(name))}
    for number, row in enumerate(table.itertuples(index=False, name=None), 1):
        if any(isinstance(cell, str) and REPORTED_ROW.search(cell) for cell in row):
            cells[f"row {number}"] = list(row)
    return cells


class _TestRead:
    def __init__(self, lab: Lab, models: tuple[str, ...], choice: str, further: str):
        self.lab, self.models, self.choice, self.further = lab, models, choice, further

    def __enter__(self) -> Lab:
        before = {name for entry in self.lab._records if entry["kind"] == "test read" for name in entry["models"]}
        again = [name for name in self.models if name in before]
        if again and not self.further:
            raise LabError(
                f"Test labels were already read for {', '.join(again)}: use the answers of the first block, or say by "
                "`further=` what else the same answers are looked at for."
            )
        n, models = int((self.lab.all_rows["subset"] == "test").sum()), ", ".join(self.models)
        about = {"model": models, "models": self.models, "choice": self.choice, "further": self.further}
        words = f"{models} ({self.further})" if self.further else models
        self.lab.record(f"test read: {words}", n, kind="test read", **about)
        self.lab._test_open = True
        return self.lab

    def __exit__(self, *_: object) -> None:
        self.lab._test_open = False
