"""The data of a run: MAMe's files, a folder of class folders, or the generated sample, made ready and stored."""

import os
import tempfile
from pathlib import Path

import pandas as pd

from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import Data, Settings
from lab_utils.data import download, folder, mame
from lab_utils.data.image_table import Progress, Table, open_table, store
from lab_utils.sample import generator


def opened(settings: Settings, progress: Progress = print) -> Table:
    """The run's table; made first where it is missing or where the data settings have changed since.

    Raises:
        LabError: the data can't be read; see `prepare`.
    """
    return open_table(settings) or prepare(settings, progress)


def prepare(settings: Settings, progress: Progress = print) -> Table:
    """Generate, download or scan the data, check every row and image, and store the table of the run.

    Raises:
        LabError: bad input, in one sentence that names the file or row; all bad images are named at once.
    """
    return store(settings, *_SOURCES[settings.data.source](settings.data, progress), progress)


# ---- sources: settings -> rows, classes, folder that `file` is relative to, notes ----------------------------------
def _from_mame(data: Data, progress: Progress) -> tuple[pd.DataFrame, list[str], Path, list[str]]:
    home = data.path or _downloaded(data, progress)
    if not home.is_dir():
        raise LabError(f"There is no folder {home}: give the folder with the MAMe files.")
    rows, classes = mame.read(home, data.toy)
    mame.check_counts(rows, data.toy)
    return rows, classes, mame.image_folder(home, data.full_size), []


def _downloaded(data: Data, progress: Progress) -> Path:
    return download.mame(full_size=data.full_size, progress=progress)


def _from_folder(data: Data, progress: Progress) -> tuple[pd.DataFrame, list[str], Path, list[str]]:
    if data.path is None:
        raise LabError("No folder of images was given: start by ./run_all.sh --images DIR.")
    root = data.path.resolve()
    rows, classes, notes = folder.read(root, data.seed, progress, data.skip_bad, data.class_level)
    return rows, classes, root, notes


def _from_sample(data: Data, progress: Progress) -> tuple[pd.DataFrame, list[str], Path, list[str]]:
    home = sample_folder(data, progress)
    rows, classes = mame.read(home)
    return rows, classes, home / "data_256", []


def sample_folder(data: Data, progress: Progress = print) -> Path:
    """Folder of the generated sample for these settings and this generator, made where it is not there yet."""
    wanted = {"images": data.images, "long_side": data.long_side, "classes": data.classes, "seed": data.seed}
    key = records.content_hash([wanted, [records.file_hash(part) for part in generator_files()]], 12)
    home = records.PROJECT / "data" / "sample" / key
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{key}-") as temporary:
            drawn = Path(generator.generate(Path(temporary) / key, **wanted, progress=progress))
            if not home.is_dir():  # another run may have been quicker
                os.rename(drawn, home)  # noqa: PTH104 (must not replace)
    return home


def generator_files() -> list[Path]:
    """All files that the sample's pictures and table depend on."""
    drawing = set(Path(generator.__file__).parent.glob("*.py")) - {Path(__file__), Path(__file__).with_name("truth.py")}
    return sorted([*drawing, *Path(mame.__file__).parent.glob("mame_*.csv")])


_SOURCES = {"mame": _from_mame, "folder": _from_folder, "sample": _from_sample}
