"""Chapters 00, 04 and 05 at MAMe's full size without its pictures or networks: seconds and memory of their own code.

    python benchmarks/rehearsal.py                                   # 37,407 rows, ResNet50: half an hour, 8 GB
    python benchmarks/rehearsal.py --share 0.1 --chapters 05 --networks vgg16 resnet50

The table has MAMe's counts, museums, lots and sizes (profile `rehearsal`); `--share` takes a part of each class
and split. Features are random numbers with classes in them, as wide as the networks' are; pictures are noise. The
notebooks' cells run as they are, each chapter in a process of its own. Printed are the seconds of each chapter, its
largest cells, and its peak memory; `--json FILE` keeps them.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.core import profiles, records
from lab_utils.core.chapters import chapter
from lab_utils.data import image_table, mame, pipeline
from lab_utils.networks import registry
from lab_utils.sample import generator

NAME = "rehearsal-benchmark"
BLOCK = 4096  # rows made at a time
DIRECTIONS = 60  # in which the classes differ
LAYERS = {"penultimate": {"04", "05"}, "logits": {"05"}, "averages": {"05"}}  # and the chapters that read them
SHOWN = 6  # cells of a chapter that are printed


# ---- what stands in for MAMe -----------------------------------------------------------------------------------------
def make_run(networks: list[str], share: float) -> tuple[profiles.Settings, pd.DataFrame]:
    """Write settings and table of a run with MAMe's counts, as if its pictures were there."""
    settings = profiles.resolve("rehearsal", NAME)
    named = settings.networks.model_copy(update={"names": tuple(networks)})
    settings = settings.model_copy(update={"networks": named})
    profiles.save_settings(settings)
    pictures = generator.plan("all", None, settings.data.seed)
    with tempfile.TemporaryDirectory() as folder:
        home, names = Path(folder), sorted({picture.medium for picture in pictures})
        generator._table(pictures).to_csv(home / "MAMe_dataset.csv", index=False)
        (home / "MAMe_labels.csv").write_text("".join(f"{label},{name}\n" for label, name in enumerate(names)))
        rows, classes = mame.read(home)
    if share < 1:
        rows = rows.groupby(["medium", "subset"]).sample(frac=share, random_state=0).sort_index()
    rows = rows.assign(has_image=True).reset_index(drop=True)
    stored = rows[[column for column in image_table.COLUMNS if column != "path"]]
    counts = {split: int((rows["subset"] == split).sum()) for split in generator.SPLITS}
    about = {"made_from": image_table._made_from(settings.data), "source": "sample", "classes": classes}
    about |= {"data_hash": f"{NAME} {share}", "root": "no pictures", "notes": [], "images": counts}
    records.write_atomic(settings.run_folder / "images.csv", stored.to_csv(index=False))
    records.write_json(settings.run_folder / "data.json", about)
    return settings, rows


def width_of(network: str, layer: str) -> int:
    """Columns of a network's features; `averages` are counted on the network itself."""
    from lab_utils.networks import backbones

    if layer != "averages":
        return {"penultimate": registry.backbone(network).width, "logits": backbones.CLASSES}[layer]
    model = backbones.build(network, weights="random")
    return sum(model.get_layer(name).output.shape[-1] for name in backbones.embedding_layers(model, network))


def write_features(path: Path, labels: np.ndarray, width: int, seed: int) -> None:
    """Class means in few directions, much noise around them, and ReLU; float32 (N, width), block by block on disk."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((DIRECTIONS, width), np.float32) / np.float32(DIRECTIONS**0.5)
    means = rng.standard_normal((labels.max() + 1, DIRECTIONS), np.float32)
    stored = np.lib.format.open_memmap(path, "w+", np.float32, (len(labels), width))
    for start in range(0, len(labels), BLOCK):
        some = labels[start : start + BLOCK]
        own = 1.6 * rng.standard_normal((len(some), DIRECTIONS), np.float32)
        noise = 1.2 * rng.standard_normal((len(some), width), np.float32)
        stored[start : start + BLOCK] = np.maximum((means[some] + own) @ directions + noise, 0)
    stored.flush()


class Noise:
    """Pictures of noise, uint8 (N, side, side, 3), made when they are looked up."""

    def __init__(self, count: int, side: int):
        self.shape, self.dtype = (count, side, side, 3), np.dtype(np.uint8)

    def __getitem__(self, rows: Any) -> np.ndarray:
        places = np.arange(self.shape[0])[rows]
        rng = np.random.default_rng(int(np.sum(places)))
        return rng.integers(0, 256, (*np.shape(places), *self.shape[1:]), dtype=np.uint8)

    def __len__(self) -> int:
        return self.shape[0]


# ---- a chapter -------------------------------------------------------------------------------------------------------
def run_chapter(name: str, features: Path) -> dict[str, Any]:
    """Run a chapter's cells in this process, but for its exercises; seconds by cell and peak memory."""
    from lab_utils.lab import Lab

    def stored(lab: Lab, network: str, layer: str = "penultimate", size: int | None = None) -> np.ndarray:
        return np.load(features / f"{network}-{layer}.npy", mmap_mode="r")

    Lab.features, Lab.pixels = stored, lambda lab, size: Noise(len(lab.images), size)
    pipeline.thumbnail = lambda path, aspect: Noise(1, 96)[0]
    pipeline.decoded = lambda paths, size, **more: np.zeros((len(paths), size, size, 3), np.uint8)  # noise fills a page
    cells = records.read_json(records.PROJECT / "notebooks" / f"{chapter(name).name}.ipynb")["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    space: dict[str, Any] = {"__name__": "__main__"}
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    for source in code:
        if "exercises.check(" in source:
            continue
        source = f'RUN = "{NAME}"' if source.startswith("RUN = ") else source
        begun = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, name, "exec"), space)
        first = f"{len(seconds) + 1:2d} {source.strip().splitlines()[0][:60]}"
        seconds[first] = time.perf_counter() - begun
        if seconds[first] > 5:
            print(f"  {seconds[first]:7.1f} s  {first}", file=sys.stderr, flush=True)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    return {"chapter": name, "seconds": time.perf_counter() - started, "peak_gb": peak, "cells": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chapters", nargs="+", default=["00", "04", "05"], choices=["00", "04", "05"])
    parser.add_argument("--networks", nargs="+", default=["resnet50"])
    parser.add_argument("--share", type=float, default=1.0, help="of the rows of each class and split")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)  # chapter and folder: the process of one chapter
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(run_chapter(options.inside[0], Path(options.inside[1]))))
        return
    _, rows = make_run(options.networks, options.share)
    counts = rows["subset"].value_counts()
    print(f"{len(rows):,} rows ({', '.join(f'{counts[split]:,} {split}' for split in generator.SPLITS)})")
    results = []
    with tempfile.TemporaryDirectory(dir=records.PROJECT / "data") as folder:
        layers = [layer for layer, readers in LAYERS.items() if readers & {*options.chapters}]
        for seed, (network, layer) in enumerate((network, layer) for network in options.networks for layer in layers):
            width = width_of(network, layer)
            print(f"{network} {layer}: {width:,} columns", flush=True)
            write_features(Path(folder) / f"{network}-{layer}.npy", rows["label"].to_numpy(), width, seed)
        for name in options.chapters:
            load = os.getloadavg()[0]
            command = [sys.executable, __file__, "--inside", name, folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            told = {**json.loads(done.stdout.splitlines()[-1]), "load_before": round(load, 1)}
            results.append(told)
            print(f"chapter {name}: {told['seconds']:.0f} s, peak {told['peak_gb']:.1f} GB (load before: {load:.1f})")
            for cell, seconds in sorted(told["cells"].items(), key=lambda item: -item[1])[:SHOWN]:
                print(f"    {seconds:7.1f} s  {cell}", flush=True)
    if options.json:
        about = {"rows": len(rows), "networks": options.networks, "hardware": records.hardware(), "chapters": results}
        records.write_json(options.json, about)


if __name__ == "__main__":
    main()
