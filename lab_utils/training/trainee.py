"""A network with the data that it is trained on: what it is fed, its kept activations, its answers."""

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.core.errors import memory_named
from lab_utils.core.records import content_hash
from lab_utils.training import feeding, frozen_front, model_graph, model_key
from lab_utils.training.feeding import Picked, Split
from lab_utils.training.model_graph import Graph
from lab_utils.training.twin import Twin, single, twin_of

if TYPE_CHECKING:
    import keras

EVALUATED = 64  # images a batch in inference
_frozen: "weakref.WeakValueDictionary[str, np.ndarray]" = weakref.WeakValueDictionary()
_opened: dict[str, np.ndarray] = {}  # kept activations that this process has checked: they are memory maps


class Trainee:
    """A network, its first values, and its splits.

    What it is fed and what it answers needs its values in the twin, which other networks use in between.

    Attributes:
        graph: the network as it was given; its own variables are never changed.
        first: first values of its variables, in the order of `graph.variables` (None: forgotten).
        frozen: which of them training must leave as they are.
        splits: rows by name; `train` and `val` always.
        batch: images a step.
        structure: key of what is compiled (`model_key.run_key`).
        classes: number of logits.
        precision: dtype policy of the computation; None: as it was built.
        title: for progress and error sentences.
        progress: receives lines.
    """

    def __init__(
        self,
        graph: Graph,
        splits: dict[str, Split],
        *,
        structure: str,
        classes: int,
        precision: str | None,
        batch: int,
        folder: Path,
        limit: float | None,
        title: str,
        progress: Callable[[str], None],
    ):
        """See the attributes; `folder` and `limit` (bytes) are of kept activations."""
        self.structure = structure
        self.graph, self.splits, self.classes, self.precision = graph, splits, classes, precision
        self.batch, self.title, self.progress = batch, title, progress
        self.frozen = graph.frozen()
        values = model_graph.values_of(graph.variables)
        self.first = [_shared(value) if still else value for value, still in zip(values, self.frozen, strict=True)]
        self._folder, self._limit = folder, limit
        self._batches: dict[int, list[list[Any]]] = {}
        self._too_large: set[str] = set()

    @property
    def twin(self) -> Twin:
        """The compiled copy, shared with networks that are built alike."""
        import keras

        inputs = self.splits["train"].inputs
        packing = keras.tree.map_structure(lambda _: 0, inputs) if keras.tree.is_nested(inputs) else None
        return twin_of(self.structure, lambda: Twin(self.graph, self.precision, self.classes, packing))

    def values(self, changing: list[np.ndarray]) -> list[np.ndarray]:
        """Values of all variables, of those that training changes."""
        rest = iter(changing)
        return [first if still else next(rest) for first, still in zip(self.first, self.frozen, strict=True)]

    def forget(self) -> None:
        """Let go of first values that training changes: they are needed no more."""
        self.first = [value if still else None for value, still in zip(self.first, self.frozen, strict=True)]

    def changing(self) -> list[np.ndarray]:
        """Copies of what training changes, as it is in the twin now."""
        pairs = zip(self.twin.variables, self.frozen, strict=True)
        return model_graph.values_of([variable for variable, still in pairs if not still])

    def frozen_unchanged(self) -> bool:
        """Whether the variables that training must not change have their first values in the twin, bit for bit."""
        triples = zip(self.twin.variables, self.first, self.frozen, strict=True)
        return all(np.array_equal(item.numpy(), first) for item, first, still in triples if still)

    def order(self, batch: int, seed: int, classes: int | None = None) -> feeding.Epochs:
        """The train rows of one epoch after the other (arguments: `feeding.Epochs`)."""
        return feeding.Epochs(self.splits["train"].labels, batch, seed, classes)

    # ---- what it is fed
    def source(self, split: Split, training: bool = False) -> tuple[feeding.Source, bool]:
        """Where the rows of a split lie, and whether these are activations at the end of the frozen front."""
        twin = self.twin
        if twin.keeps_front and not split.makes_batches and not (training and twin.cut.is_random):
            kept = self._kept(split)
            if kept is not None:
                around = [Picked(split.arrays[place], split.positions) for place in twin.cut.around]
                behind = Split([kept, *around], split.labels)
                return feeding.source(behind, content_hash([self._front_key, split.content, twin.cut.around])), True
        return feeding.source(split, content_hash(split.content)), False

    @cached_property
    def _front_key(self) -> str:
        """What stands for the front and its weights: networks with the same one share what is kept of it."""
        cut, graph = self.twin.cut, self.graph
        part = graph.part(cut.front, cut.tensor)
        weights = [item for layer in part.layers for item in layer.weights]
        described = model_key.as_built(model_key.described(part))
        return model_key.plain_hash([described, model_key.values_hash(weights), self.precision])

    def front(self) -> dict[str, Any]:
        """Name of the kept activations of the train rows, and seconds that they took; empty: none are kept."""
        split, twin = self.splits["train"], self.twin
        if not twin.keeps_front or split.makes_batches or twin.cut.is_random:
            return {}
        return frozen_front.kept_as(self._key_of(split), self._folder)

    def _key_of(self, split: Split) -> dict[str, Any]:
        return {"front": self._front_key, "split": split.content[:2]}

    def _kept(self, split: Split) -> np.ndarray | None:
        """Activations of a split at the end of the front, from disk or computed; None: they don't fit there."""
        key = self._key_of(split)
        name = content_hash(key)
        if name in self._too_large:
            return None
        if name not in _opened:
            activations = frozen_front.cached(
                _Inputs(split),
                lambda inputs: self.twin.activations(inputs)[0],
                key,
                folder=self._folder,
                batch=EVALUATED,
                limit=self._limit,
                title=f"the frozen front of {self.title}",
                progress=self.progress,
            )
            if isinstance(activations, frozen_front.Computed):
                self._too_large.add(name)
                return None
            _opened[name] = activations
        return _opened[name]

    # ---- what it answers
    def logits(self, split: Split, rows: np.ndarray | None = None) -> np.ndarray:
        """Logits of a split (or of some of its rows) with the twin's weights, in inference; float32 (n, classes)."""
        rows = np.arange(len(split)) if rows is None else rows
        if not len(rows):
            return np.zeros((0, self.classes), np.float32)
        with memory_named(self.title, EVALUATED, ()):
            return np.concatenate([self.twin.logits(fed) for fed in self._fed(split, rows)])

    def _fed(self, split: Split, rows: np.ndarray) -> Iterator[list[Any]]:
        """Batches of what the twin's rest takes."""
        if id(split) in self._batches:
            yield from self._batches[id(split)]
            return
        source, behind = self.source(split)
        keep, room = [], feeding.IN_MEMORY if split.makes_batches and self.twin.keeps_front else -1
        for inputs in source.batches(rows, self.batch if split.makes_batches else EVALUATED):
            fed = inputs if behind else self.twin.activations(inputs)
            yield fed
            room -= sum(np.asarray(item).nbytes for item in fed) if room > 0 else 0
            keep = [*keep, fed] if room > 0 else []
        if keep:  # the same images meet in a batch each time, so what the front gives of them can be used again
            self._batches[id(split)] = keep

    def outputs(self, part: "keras.Model", split: Split) -> np.ndarray:
        """What a part of the twin's rest gives for a split, float32 (n, ...)."""
        fed = self._fed(split, np.arange(len(split)))
        return np.concatenate([np.asarray(part(single(item), training=False)).astype(np.float32) for item in fed])


class _Inputs:
    """Rows of a split's inputs, as `frozen_front.cached` asks for them."""

    def __init__(self, split: Split):
        self._split = split
        self.shape = (len(split), *np.shape(split.arrays[0])[1:])

    def __getitem__(self, rows: slice) -> list[np.ndarray]:
        return [np.asarray(array[self._split.positions[rows]]) for array in self._split.arrays]

    def __len__(self) -> int:
        return len(self._split)


def _shared(value: np.ndarray) -> np.ndarray:
    """A frozen weight, once in memory for all networks that have it."""
    return _frozen.setdefault(model_key.values_hash([value]), value)


def part_of(split: Split, rows: np.ndarray) -> Split:
    """Some rows of a split, as a split."""
    labels = None if split.labels is None else np.asarray(split.labels)[rows]
    return replace(split, labels=labels, rows=split.positions[rows])
