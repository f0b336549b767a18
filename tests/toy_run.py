"""Runs chapters of a copy of the lab on a folder of pictures by `exec`, with a toy for the pretrained network.

    python toy_run.py FOLDER NAME CHAPTER …      in an environment whose PYTHONPATH is the copy

The last line of the standard output is JSON: for each chapter its state and, where it is not ok, the sentence.
"""

import contextlib
import dataclasses
import io
import json
import os
import sys
import traceback

from lab_utils.core import chapters, profiles, records, usage
from lab_utils.core.errors import NotRunError
from lab_utils.core.quiet import load_tensorflow, quiet
from lab_utils.networks import backbones, registry
from lab_utils.networks.building import source_of
from lab_utils.runner import cli
from lab_utils.runner import state as run_state
from lab_utils.sample import sources

WIDTH = 24


def toy(entry, images, top, trained):
    """In the place of EfficientNet-Lite: six convolutions, whose layers have the names that the registry gives."""
    import keras
    from keras import layers

    if trained:
        keras.utils.set_random_seed(5)
    x = images
    for number, (name, channels) in enumerate(zip(entry.freeze_points, (4, 6, 8, 8, WIDTH), strict=True), 1):
        x = layers.Conv2D(channels, 3, 2, padding="same", use_bias=False, name=f"conv{number}")(x)
        is_norm = name.endswith("_bn")
        x = layers.BatchNormalization(name=name if is_norm else f"norm{number}")(x)
        x = layers.Activation("relu", name=f"block{number}_expand_activation" if is_norm else name)(x)
    if top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(backbones.CLASSES, name="predictions")(x)
    return keras.Model(source_of(images), x, name=entry.name)


def run(step, settings):
    """Run the cells of one chapter; return its state and the sentence."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            names = {"RUN": settings.name}
            for cell in run_state.code_cells(run_state.notebook_path(step.name)):
                exec(cell, names)
    except NotRunError as error:
        return ["not run", str(error)]
    except Exception:
        return ["failed", traceback.format_exc()]
    return ["ok", ""]


def main(folder, name, *wanted):
    """Make the table, then run the chapters in order; those that build on what was not run are passed over."""
    quiet()
    load_tensorflow()
    backbones._build_lite = toy
    registry.REGISTRY["lite0"] = dataclasses.replace(registry.REGISTRY["lite0"], width=WIDTH)
    words = ["--profile", "tiny", "--images", folder, "--name", name]
    settings = cli.settings_of(cli.parser().parse_args(words))
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"classes": None})})
    profiles.save_settings(settings)
    sources.prepare(settings, progress=lambda line: None)
    os.chdir(profiles.PROJECT / "notebooks")
    outcomes = {}
    for step in chapters.CHAPTERS:
        lost = [need for need in step.needs if outcomes.get(need, [""])[0] == "not run" and step.number != "14"]
        if step.number in wanted:
            outcomes[step.name] = ["not run", f"builds on {', '.join(lost)}"] if lost else run(step, settings)
            print(step.name, *outcomes[step.name], flush=True)
        else:  # others ask whether it was run
            records.write_json(usage.results_path(settings, step.name), {"records": []})
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
