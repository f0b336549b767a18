"""`open_lab(run)`: what a notebook starts with, and the only place where analyses meet disk and display."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core import profiles, records
from lab_utils.core.chapters import CHAPTERS, chapter
from lab_utils.core.errors import LabError, NotRunError
from lab_utils.core.quiet import load_tensorflow

if TYPE_CHECKING:
    import keras

    from lab_utils.data.image_table import Table
    from lab_utils.training.fine_tuning import FineTuned
    from lab_utils.training.fit import Run
    from lab_utils.training.scratch import Trained

SPLITS = ("train", "val", "test")


def open_lab(run: str, notebook: str) -> "Lab":
    """Open a run for one chapter, print one line that says what it works on, and return the lab.

    Args:
        run: name of the run, whose settings are in `data/runs/<run>/settings.yaml` (a profile's name makes them).
        notebook: name or number of the chapter; its records go to `report/<run>/results/<chapter>.json`.

    Raises:
        LabError: no such run or chapter, bad settings, or the data can't be read.
    """
    quiet()
    opened = chapter(notebook)
    if opened.device:  # it computes with TensorFlow, whose start-up lines would stand in the report
        load_tensorflow()
    lab = Lab(profiles.load_settings(run), opened.name)
    print(lab.summary())
    return lab


def _prepared(settings: profiles.Settings) -> "Table":
    from lab_utils.sample import sources

    return sources.prepare(settings)


def quiet() -> None:
    """Keep TensorFlow's start-up messages and known harmless warnings out of the notebook."""
    import logging
    import warnings

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*n_jobs value.*overridden to 1.*")


class Lab:
    """One run as seen by one chapter: its data, networks, records, and the display of figures, tables, sentences.

    Attributes:
        settings: the run's validated settings.
        chapter: the notebook's name.
        images: one row an image (columns: `image_table.COLUMNS`), only rows whose image is there; the labels of
            test rows are -1, `labels("test")` gives them inside `read_test`.
        all_rows: one row an image, missing images and test labels included: the table itself, for chapter 00.
        classes: names of the mediums in label order.
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
        self.started = time.time()
        self._records: list[dict[str, Any]] = []
        self._test_open = False
        self._features: dict[str, np.ndarray] = {}

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

    def need_images(self) -> None:
        """Stop a chapter that needs pixels where images are missing.

        Raises:
            NotRunError: with the number of missing images.
        """
        if self.missing:
            raise NotRunError(
                f"{self.missing:,} of {len(self.all_rows):,} images are missing, so chapter {self.chapter[:2]} was not "
                "run: get the whole image archive and start again without --partial."
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

    def pixels(self, size: int, resize: str = "squash") -> np.ndarray:
        """Decoded images in the order of `images`, made once for all runs on the same data.

        Args:
            size: side in pixels.
            resize: `squash`, `crop` or `pad` (`pipeline.resized`).

        Returns:
            uint8 (len(images), size, size, 3); a read-only memory map where it is large.
        """
        from lab_utils.data import pipeline

        return pipeline.decoded(list(self.images["path"]), size, resize, key=self.table.data_hash)

    def read_test(self, model: str | Sequence[str], choice: str, further: str = "") -> "_TestRead":
        """Open the test labels for one or several fitted models, after their choice; the read is logged in the records.

        A model has one name in all chapters, so that the log tells which were read more than once: a network from
        scratch `#10 from scratch`, a fine-tuning run `<title of its network>, <name of its recipe>`
        (`EfficientNet-Lite0, run 6`; these are the titles of `subjects.Subject`), a classifier on features
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
        from lab_utils.networks import backbones
        from lab_utils.training import features

        options = self.settings.features
        if size is None and options.size != "native":
            size = options.size
        wanted = "averages" if layer == "full_network" else layer
        arrays = features.extract(
            network,
            lambda: self.pixels(backbones.check_size(network, size)[0]),
            data_hash=self.table.data_hash,
            layers=("penultimate", wanted) if wanted != "penultimate" else ("penultimate",),
            together=(*features.LAYERS, *(("averages",) if options.averages else ())),
            size=size,
            weights=self.settings.networks.weights,
            batch=options.batch,
            progress=print if len(self.images) > 5000 else None,
        )
        for other, array in self._features.items():
            if other != network:
                features.assert_different(array, arrays["penultimate"], (other, network))
        self._features[network] = arrays["penultimate"]
        if layer == "full_network":
            return features.full_network_embedding(arrays["averages"], self.rows("train"))
        return arrays[layer]

    def fit(self, model: "keras.Model", inputs: Any = None, *, epochs: int, batch: int, **more: Any) -> "Run":
        """Load a network that was trained here before, go on with it, or train it; the given model is not changed.

        Args:
            model: compiled; from RGB pixels of 0..255, (B, size, size, 3), to logits, (B, classes).
            inputs: what it takes instead of pixels (stored features, say): an array with a row for each of `images`,
                or a list, tuple or dict of such. None: `pixels(size)` at the size of the model's input.
            epochs: passes over the train images.
            batch: images a step.
            more: `seed` of the order of images (0), `title` for the progress lines, `cap` of train images a class
                (the profile's), `class_weight`, `one_hot`, `tolerance`, `precision`: as of `training.fit.fit`.

        Returns:
            The run: `history`, `best_epoch`, `probabilities(split)`, `logits(split)`, `seconds`, `model`.

        Raises:
            LabError: the model can't be trained (`training.fit.fit`), or its input has no fixed square shape.
        """
        from lab_utils.training.feeding import Split, capped
        from lab_utils.training.fit import fit

        options, key = self.settings.fine_tuning, None
        if inputs is None:
            size = self._size_of(model)
            inputs, key = self.pixels(size), ["pixels", self.table.data_hash, size]
        rows = {split: self.rows(split) for split in SPLITS}
        rows["train"] = capped(rows["train"], self._labels, more.pop("cap", options.cap))
        labels = {split: None if split == "test" else self._labels[rows[split]] for split in SPLITS}
        splits = {split: Split(inputs, labels[split], rows[split], key) for split in SPLITS}
        chosen = {"precision": None if options.precision == "float32" else options.precision, **more}
        limit = options.cache_limit and options.cache_limit * 1e9
        test = {"test": splits["test"]}
        return fit(
            model, splits["train"], splits["val"], epochs=epochs, batch=batch, others=test, limit=limit, **chosen
        )

    def _size_of(self, model: "keras.Model") -> int:
        shape = getattr(model, "input_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or not shape[1] or shape[3] != 3:
            raise LabError(
                f"The network {model.name} takes {shape}: begin it with keras.Input((size, size, 3)), or give lab.fit "
                "the inputs that it takes."
            )
        return shape[1]

    def fine_tune(self, recipe: Any, network: str | None = None, **changes: Any) -> "FineTuned":
        """Load or train a fine-tuning run, scaled to the profile (`recipes.scaling` says how).

        Args:
            recipe: its name (`run 3`), number, or a `recipes.Recipe`.
            network: another network than the profile's first.
            changes: settings of the recipe to change (`l2=0.5`, `head=(1024, 512)`, `seed=1`), as written for VGG16:
                rate, batch and epochs are scaled, all else is kept.
        """
        from lab_utils.training import fine_tuning, recipes

        chosen = recipes.recipe(recipe, **changes)
        return fine_tuning.fine_tune(self, recipes.scaled(chosen, self.settings.fine_tuning, network))

    def scratch(self, number: Any) -> "Trained":
        """Load or train one of the thirteen networks of chapter 01 (`scratch.Trained`; 13 is the ensemble)."""
        from lab_utils.training import scratch

        return scratch.train(self, number)

    def scratch_model(self, number: int = 10) -> "keras.Model":
        """A trained network of chapter 01, from images of 0..255, (B, size, size, 3), to logits (B, classes).

        The size is `settings.scratch.size`; rescaling is part of the network. 13 gives logarithms of mean
        probabilities, which are logits too.
        """
        return self.scratch(number).model()

    def title(self, network: str) -> str:
        """Title of a network for tables and figures; random weights are said."""
        from lab_utils.networks import backbones

        return backbones.backbone(network).titled(self.settings.networks.weights)

    # ---- records ----------------------------------------------------------------------------------------------------
    @property
    def records_path(self) -> Path:
        """The chapter's results file."""
        return self.settings.report_folder / "results" / f"{self.chapter}.json"

    def record(self, id: str, value: Any, kind: str = "result", **more: Any) -> Any:
        """Keep a result under a name that is unique in the chapter, write the chapter's file, and return the value."""
        entry = {"id": id, "kind": kind, "value": records.plain(value), **records.plain(more)}
        self._records = [one for one in self._records if one["id"] != id] + [entry]
        self._save()
        return value

    def cost(self, recipe: str, accuracy: Any, seconds: float, **more: Any) -> None:
        """Keep a recipe's test or val accuracy and its seconds for the accuracy-against-cost plot of chapter 15."""
        split = more.pop("split", "test")
        about = {"recipe": recipe, "seconds": seconds, "split": split, **more}
        self.record(f"cost: {recipe}, {split}", accuracy, kind="cost", **about)

    def results(self, notebook: str) -> dict[str, Any]:
        """Records of another chapter, `{id: value}`.

        Raises:
            LabError: that chapter was not run yet; the sentence says which one to run.
        """
        return {one["id"]: one["value"] for one in self.entries(notebook)}

    def entries(self, notebook: str) -> list[dict[str, Any]]:
        """Records of another chapter as they are stored, with kind and id.

        Raises:
            LabError: that chapter was not run yet.
        """
        name = chapter(notebook).name
        path = self.records_path.with_name(f"{name}.json")
        if not path.is_file():
            raise LabError(f"{path} is missing: run notebook {name} first (./run_all.sh --only {name[:2]}).")
        return records.read_json(path)["records"]

    def all_entries(self) -> dict[str, list[dict[str, Any]]]:
        """Records of every chapter that has been run, by chapter name in reading order."""
        names = sorted(one.name for one in CHAPTERS)
        return {name: self.entries(name) for name in names if self.records_path.with_name(f"{name}.json").is_file()}

    def reported(self, name: str) -> pd.DataFrame:
        """Numbers printed in the original or the paper: `data/reported/<name>.csv`, always to be labelled so."""
        return records.reported(name)

    # ---- display ----------------------------------------------------------------------------------------------------
    def show(self, figure: Any, caption: str, alt: str, label: str = "", fold: bool = False) -> None:
        """Show a figure with its caption.

        Args:
            figure: a matplotlib figure, or a `figures.Interactive` (its static twin goes to the PDF).
            caption: one or two sentences: what is shown, of what (network, split, n), what to look at.
            alt: the content in words, for those who can't see it.
            label: short unique name; a link to `#label` becomes a link to the numbered figure in the report.
            fold: whether it starts closed in the HTML report.
        """
        from lab_utils.display import figures

        self._note_shown(label)
        self._display(figures.bundle(figure), kind="figure", caption=caption, alt=alt, label=label, fold=fold)

    def share(self, script: str) -> None:
        """Show nothing: give the page what several interactive figures use; the report keeps one of each."""
        self._display({"text/html": script}, kind="library")

    def tabulate(self, table: pd.DataFrame, caption: str, label: str = "", index: bool = False, fold: bool = False):
        """Show a data frame as a table with its caption; `fold` starts it closed in the HTML report."""
        from lab_utils.display import figures

        self._note_shown(label)
        self._display(figures.table_bundle(table, index), kind="table", caption=caption, label=label, fold=fold)

    def say(self, sentence: Any, kind: str = "sentence") -> None:
        """Show a sentence that was rendered from results (a verdict is recorded under its claim as well)."""
        if hasattr(sentence, "claim"):
            self.record(f"claim: {sentence.claim}", sentence, kind="verdict")
            kind = "verdict"
        self._display({"text/markdown": str(sentence), "text/plain": str(sentence)}, kind=kind)

    def decide(self, what: str, because: str, instead_of: str) -> None:
        """Record and show the chapter's decision: what, on which evidence, what else was considered."""
        self.record("decision", what, kind="decision", because=because, instead_of=instead_of)
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


class _TestRead:
    def __init__(self, lab: Lab, models: tuple[str, ...], choice: str, further: str):
        self.lab, self.models, self.choice, self.further = lab, models, choice, further

    def __enter__(self) -> Lab:
        before = {name for one in self.lab._records if one["kind"] == "test read" for name in one["models"]}
        again = [name for name in self.models if name in before]
        if again and not self.further:
            raise LabError(
                f"Test labels were already read for {', '.join(again)}: use what the first block found, or say by "
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
