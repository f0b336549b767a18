"""Whatever changes, whichever part is run: what runs is what was said, and results are those of a run from nothing."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from miniature import CHAPTERS, copy_of_the_lab, picture, write_notebook

STEPS = ("data", *CHAPTERS)
MODULES = {
    "training/mini_fit": """
        from lab_utils.core.records import PROJECT
        from lab_utils.core.store import Artefact
        FACTOR = 3

        def fit(data_hash, seed):
            cache = PROJECT / "data" / "cache"
            artefact = Artefact.under(cache / "mini", "model", [data_hash, seed], (__name__,), ".txt")

            def write(path):
                with (cache / "trained.log").open("a") as log:
                    log.write("x")
                path.write_text(str(FACTOR * seed + int(data_hash, 16) % 1000))

            artefact.load_or_make(write)
            return int(artefact.path.read_text())
        """,
    "analysis/mini_used": """
        def twice(value):
            return 2 * value
        """,
    "analysis/mini_other": """
        def thrice(value):
            return 3 * value
        """,
    "display/mini_plots": """
        COLOUR = "blue"
        """,
}
NOTEBOOKS = {
    "00_dataset": """
        lab.record("pixels", int(lab.pixels(8).sum()))
        lab.record("reported", lab.reported("mini")["number"].tolist())
        """,
    "01_baseline": """
        from lab_utils.training import mini_fit
        reported = lab.results("00_dataset")["reported"][0]
        lab.record("fitted", mini_fit.fit(lab.table.data_hash, lab.settings.scratch.seed) + reported)
        """,
    "02_paper_baselines": """
        from lab_utils.analysis import mini_used
        lab.record("doubled", mini_used.twice(len(lab.images)))
        """,
    "03_task_similarity": """
        from lab_utils.display import mini_plots
        lab.record("drawn", [mini_plots.COLOUR, lab.results("01_baseline")["fitted"]])
        """,
}
ALL = frozenset(STEPS)
NONE = frozenset()


def dedent(text):
    lines = text.strip("\n").split("\n")
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] for line in lines).rstrip() + "\n"


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def write_lab(folder):
    """A lab of four chapters and four modules, and pictures in two class folders, one of which is a link."""
    copy_of_the_lab(folder)
    for name, text in MODULES.items():
        (folder / "lab_utils" / f"{name}.py").write_text(dedent(text))
    for name, text in NOTEBOOKS.items():
        write_notebook(folder, name, dedent(text))
    (folder / "data" / "reported" / "mini.csv").write_text("number\n5\n6\n")
    for i, kind in itertools.product(range(5), ("drawings", "prints")):
        picture(folder / "elsewhere" / kind / f"{i}.bmp", 10 * i + len(kind))
    (folder / "pictures").mkdir()
    for kind in ("drawings", "prints"):
        (folder / "pictures" / kind).symlink_to(folder / "elsewhere" / kind)
    return folder


# ---- changes ---------------------------------------------------------------------------------------------------------
def replace_picture(lab):
    path = lab / "pictures" / "drawings" / "1.bmp"
    before = path.stat()
    picture(path, 1000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def touch_picture(lab):
    path = lab / "pictures" / "drawings" / "1.bmp"
    path.write_bytes(path.read_bytes())


# name: (what is done to a lab, steps that then have to be executed, whether the model is trained anew)
CHANGES = {
    "image added": (lambda lab: picture(lab / "pictures" / "prints" / "new.bmp", 99), ALL, True),
    "image removed": (lambda lab: (lab / "pictures" / "prints" / "2.bmp").unlink(), ALL, True),
    "image replaced, same size and time": (replace_picture, ALL, True),
    "setting": (
        lambda lab: edit(lab / "profiles" / "tiny.yaml", "scratch: {", "scratch: {seed: 4, "),
        {"01_baseline", "03_task_similarity"},
        True,
    ),
    "code used": (
        lambda lab: edit(lab / "lab_utils" / "analysis" / "mini_used.py", "2 *", "4 *"),
        {"02_paper_baselines"},
        False,
    ),
    "code of an artefact": (
        lambda lab: edit(lab / "lab_utils" / "training" / "mini_fit.py", "FACTOR = 3", "FACTOR, OTHER = 3, 4"),
        {"01_baseline"},  # trained to the same end: what reads it stays as it is
        True,
    ),
    "colour of a plot": (
        lambda lab: edit(lab / "lab_utils" / "display" / "mini_plots.py", "blue", "red"),
        {"03_task_similarity"},
        False,
    ),
    "code not used": (lambda lab: edit(lab / "lab_utils" / "analysis" / "mini_other.py", "3", "4"), NONE, False),
    "reported table": (
        lambda lab: (lab / "data" / "reported" / "mini.csv").write_text("number\n7\n6\n"),
        {"00_dataset", "01_baseline", "03_task_similarity"},
        False,
    ),
    "artefact deleted": (lambda lab: shutil.rmtree(lab / "data" / "cache" / "mini"), NONE, False),
}
FURTHER = {
    "image written again as it was": (touch_picture, {"data"}, False),
    "comment": (
        lambda lab: edit(lab / "lab_utils" / "training" / "mini_fit.py", "FACTOR = 3", "FACTOR = 3  # for luck"),
        NONE,
        False,
    ),
    "code cell": (
        lambda lab: edit(lab / "notebooks" / "02_paper_baselines.ipynb", "len(lab.images)", "len(lab.images) + 1"),
        {"02_paper_baselines"},
        False,
    ),
    "text cell": (
        lambda lab: edit(lab / "notebooks" / "02_paper_baselines.ipynb", "## The experiment", "## An experiment"),
        NONE,
        False,
    ),
    "a number of a table that one chapter shows": (
        lambda lab: (lab / "data" / "reported" / "mini.csv").write_text("number\n5\n8\n"),
        {"00_dataset", "01_baseline"},
        False,
    ),
    "results deleted": (
        lambda lab: (lab / "report" / "mini" / "results" / "02_paper_baselines.json").unlink(),
        {"02_paper_baselines"},
        False,
    ),
}
# options: (steps that are wanted, steps that are forced)
OPTIONS = {
    "": (ALL, NONE),
    "--only 01": ({"data", "00_dataset", "01_baseline"}, NONE),
    "--from 03": (ALL - {"02_paper_baselines"}, NONE),
    "--force 01": (ALL, {"01_baseline"}),
}


EDITED = ("lab_utils/analysis", "lab_utils/training", "lab_utils/display", "profiles", "notebooks", "data/reported")
KEPT = ("data/runs", "data/cache", "report")


class MiniLab:
    """A lab of small steps that are run in forks of one process."""

    def __init__(self, folder):
        self.folder, self.saved = write_lab(folder), folder.parent / "saved"
        self.sources = folder.parent / "sources"
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        self.server = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fork_server.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in EDITED:
            shutil.copytree(folder / name, self.sources / name)
        self.pictures = {path: path.read_bytes() for path in (folder / "elsewhere").rglob("*.bmp")}
        self.do()
        self.save()
        self.fresh = {}

    def do(self, *options, code=0):
        """Run a command line that ends with a code; give the steps that were executed, and what was printed."""
        line = json.dumps(["--profile", "tiny", "--images", str(self.folder / "pictures"), "--name", "mini", *options])
        self.server.stdin.write(line + "\n")
        self.server.stdin.flush()
        answer = json.loads(self.server.stdout.readline())
        assert answer["code"] == code, answer["text"]
        return set(answer["ran"]), answer["text"]

    def said(self, *options):
        """Steps that a dry run says will run, and those that it says may have to."""
        lines = [line.split(maxsplit=1) for line in self.do("--dry-run", *options)[1].splitlines()]
        reasons = {line[0]: line[1] for line in lines if line[0] in STEPS}
        return (
            {name for name, why in reasons.items() if not why.startswith("perhaps")},
            {name for name, why in reasons.items() if why.startswith("perhaps")},
        )

    def save(self):
        """Keep runs, caches and reports as they are now, and the times of the pictures that they are of."""
        shutil.rmtree(self.saved, ignore_errors=True)
        for name in KEPT:
            shutil.copytree(self.folder / name, self.saved / name)
        self.times = self.picture_times()

    def picture_times(self):
        """When each picture was changed last."""
        return {path: path.stat().st_ctime_ns for path in (self.folder / "elsewhere").rglob("*.bmp")}

    def reset(self):
        """Undo what a change and the runs after it did."""
        for name, source in [*((name, self.sources) for name in EDITED), *((name, self.saved) for name in KEPT)]:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            shutil.copytree(source / name, self.folder / name)
        if self.picture_times() != self.times:
            for path in self.times | self.picture_times():
                path.unlink(missing_ok=True)
            for path, content in self.pictures.items():
                path.write_bytes(content)
            self.do()
            self.save()

    def results(self):
        """Records of all chapters."""
        folder = self.folder / "report" / "mini" / "results"
        there = {path.stem: json.loads(path.read_text())["records"] for path in sorted(folder.glob("*.json"))}
        return {name: {record["id"]: record["value"] for record in entries} for name, entries in there.items()}

    def from_nothing(self, change):
        """Results of a run of a changed lab that has nothing stored."""
        if change not in self.fresh:
            self.reset()
            (CHANGES | FURTHER)[change][0](self.folder)
            for name in KEPT:
                shutil.rmtree(self.folder / name)
            self.do()
            self.fresh[change] = self.results()
        return self.fresh[change]

    def state(self, name):
        """State of a step."""
        path = self.folder / "data" / "runs" / "mini" / "status" / f"{name}.json"
        return json.loads(path.read_text())["state"]

    def trained(self):
        """How often the model was trained so far."""
        log = self.folder / "data" / "cache" / "trained.log"
        return len(log.read_text()) if log.is_file() else 0


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = MiniLab(tmp_path_factory.mktemp("never stale") / "lab")
    yield made
    made.server.stdin.close()
    made.server.wait(20)


ORDERS = [("",)] + [order for option in OPTIONS if option for order in ((option, ""), ("", option))]
CASES = [*itertools.product(CHANGES, ORDERS), *((change, ("--only 01", "")) for change in FURTHER)]


@pytest.mark.parametrize(
    ("change", "order"), CASES, ids=lambda part: part if isinstance(part, str) else ", ".join(o or "all" for o in part)
)
def test_what_runs_is_what_was_said_and_results_are_those_of_a_run_from_nothing(lab, change, order):
    fresh = lab.from_nothing(change)
    lab.reset()
    apply, due, trains = (CHANGES | FURTHER)[change]
    trained = lab.trained()
    apply(lab.folder)
    left = set(due)
    for options in order:
        wanted, forced = OPTIONS[options]
        certain, perhaps = lab.said(*options.split())
        ran, _ = lab.do(*options.split())
        assert certain <= ran <= certain | perhaps, "what runs is what was said"
        assert ran == left & wanted | forced, "nothing more runs than has to"
        left -= wanted
        results = lab.results()
        assert {name: results[name] for name in wanted - {"data"}} == {name: fresh[name] for name in wanted - {"data"}}
        for name in {*CHAPTERS} - wanted:
            assert results.get(name) == fresh[name] or lab.state(name) == "out of date", "old numbers as new"
    assert lab.said() == (set(), set())
    assert lab.results() == fresh
    assert {lab.state(name) for name in STEPS} == {"ok"}
    makes_it_again = change == "artefact deleted" and "--force 01" in order
    assert lab.trained() - trained == (trains or makes_it_again)


def test_a_chapter_that_failed_and_is_mended_runs_alone_and_what_waited_for_it_counts_again(lab):
    lab.reset()
    before, path = lab.results(), lab.folder / "notebooks" / "01_baseline.ipynb"
    edit(path, "from lab_utils.training import mini_fit", "1 / 0")
    assert lab.do(code=1)[0] == {"01_baseline"}
    assert (lab.state("01_baseline"), lab.state("03_task_similarity")) == ("failed", "waiting")
    assert "01_baseline" not in lab.results(), "old numbers of a chapter that failed"
    edit(path, "1 / 0", "from lab_utils.training import mini_fit")
    assert lab.said() == ({"01_baseline"}, {"03_task_similarity"})
    assert lab.do()[0] == {"01_baseline"}
    assert lab.results() == before and {lab.state(name) for name in STEPS} == {"ok"}


def test_chapters_that_the_data_do_not_allow_have_no_numbers_and_run_when_they_are_allowed(lab):
    lab.reset()
    before, path = lab.results(), lab.folder / "notebooks" / "01_baseline.ipynb"
    stop = "from lab_utils.core.errors import NotRunError; raise NotRunError('images are missing')"
    edit(path, "from lab_utils.training import mini_fit", stop)
    assert lab.do()[0] == {"01_baseline"}
    assert {lab.state("01_baseline"), lab.state("03_task_similarity")} == {"not run"}
    assert set(lab.results()) == {"00_dataset", "02_paper_baselines"} and lab.said() == (set(), set())
    edit(path, stop, "from lab_utils.training import mini_fit")
    assert lab.do()[0] == {"01_baseline", "03_task_similarity"}
    assert lab.results() == before
