"""Behind `run_all.sh`: options, the lock, what has to run, the report, and sentences for whatever goes wrong."""

import argparse
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lab_utils.core import card, consistency, environment, file_names, profiles, records, usage
from lab_utils.core.chapters import CHAPTERS, chapter
from lab_utils.core.errors import LabError, of_system
from lab_utils.core.profiles import Settings
from lab_utils.core.records import PROJECT
from lab_utils.runner import processes
from lab_utils.runner.state import RunState, notebook_path

EXAMPLES = """examples:
  ./run_all.sh                                      the generated sample, a quarter of an hour on two cores
  ./run_all.sh --images ~/pictures/my_photos        any folder of class folders
  ./run_all.sh --profile mame --data ~/MAMe         the real data set, from files that are there
  ./run_all.sh --only 05                            one notebook, and what it needs
  ./run_all.sh --check --profile mame               what that needs: downloads, disk, memory, hours; nothing is run
A run goes on where it stopped. What is up to date is not run again. Exit codes: 0 done (chapters that the data do not
allow count as not run), 1 a chapter failed, the run contradicts itself, or --check misses something, 2 an option or the
data are wrong, 130 stopped by Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """Option errors in one sentence that lists the options."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        options = ", ".join(action.option_strings[-1] for action in self._actions)
        raise LabError(f"{message[0].upper()}{message[1:]}; the options are {options}.")


def parser() -> Parser:
    """The options of `run_all.sh`."""
    options = Parser("./run_all.sh", description=__doc__, epilog=EXAMPLES, allow_abbrev=False)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.description = "Run every notebook of the lab that is out of date, then build the report."
    names = ", ".join(profiles.profile_names())
    options.add_argument("--profile", metavar="NAME", help=f"one of {names} (default: sample; photos with --images)")
    options.add_argument("--images", metavar="DIR", type=folder, help="a folder of class folders")
    options.add_argument("--name", metavar="NAME", help="of the run (default: the folder's or the profile's name)")
    options.add_argument("--data", metavar="DIR", type=folder, help="folder of MAMe's files (else they are downloaded)")
    options.add_argument("--partial", action="store_true", default=None, help="MAMe: go on where images are missing")
    options.add_argument(
        "--skip-bad", action="store_true", default=None, help="go on without images that can't be read"
    )
    options.add_argument(
        "--class-level", type=int, choices=(1, 2), help="--images: the classes are folders in DIR (1) or in those (2)"
    )
    options.add_argument("--only", metavar="NN", nargs="+", type=number, help="these chapters, and what they need")
    options.add_argument("--from", metavar="NN", dest="start", type=number, help="this chapter and those after it")
    options.add_argument("--force", metavar="NN", nargs="?", const="all", help="run it again though it is up to date")
    options.add_argument("--list", action="store_true", help="list the chapters and their states, run nothing")
    options.add_argument("--dry-run", action="store_true", help="say what would run and why, run nothing")
    options.add_argument("--check", action="store_true", help="say what the run needs and what is here, run nothing")
    options.add_argument("--jobs", metavar="N", type=count, help="notebooks at a time (default: 2, on one core 1)")
    options.add_argument("--zip", action="store_true", help="put report, chapters and a grading sheet into one file")
    options.add_argument(
        "--student", metavar="NAME", type=words, default="", help="whose work it is, for the grading sheet"
    )
    return options


def folder(text: str) -> Path:
    """An existing folder, absolute.

    Raises:
        LabError: there is none.
    """
    path = Path(text).expanduser().resolve()
    if not path.is_dir():
        raise LabError(f"{file_names.shown(text)} is no folder: give the path of one that is there.")
    if problem := file_names.problem(path):
        raise LabError(f"Folder {file_names.shown(path)} {problem}.")
    return path


def words(text: str) -> str:
    """A name that can be printed in a document.

    Raises:
        LabError: it can't.
    """
    if problem := file_names.problem(text):
        raise LabError(f"The name {file_names.shown(text)} {problem.partition(' (')[0]}: give another one.")
    return text


def number(text: str) -> str:
    """Name of the chapter with this number.

    Raises:
        LabError: there is none; the sentence lists the numbers.
    """
    name = chapter(text).name
    if not notebook_path(name).is_file():
        raise LabError(f"notebooks/{name}.ipynb is missing: get it back from git.")
    return name


def count(text: str) -> int:
    """A number of jobs.

    Raises:
        LabError: not a whole number from 1 on.
    """
    if not text.isdigit() or int(text) < 1:
        raise LabError(f"--jobs {text} is no whole number from 1 on.")
    return int(text)


def settings_of(args: argparse.Namespace) -> Settings:
    """The run's settings by profile and options.

    Raises:
        LabError: options that don't go together, unknown profile, bad name, or a name that holds other images.
    """
    profile = args.profile or ("photos" if args.images else "sample")
    source = (profiles.read_profile(profile).get("data") or {}).get("source")
    if (args.data or args.partial) and (args.images or source != "mame"):
        raise LabError("--data and --partial belong to the profiles mame and mame-toy (--images takes other folders).")
    if source == "folder" and not args.images:
        raise LabError(f"Profile {profile} wants --images DIR, a folder of class folders.")
    options: dict[str, Any] = {"path": args.data, "partial": args.partial, "skip_bad": args.skip_bad}
    if args.images:
        options = {"path": args.images, "source": "folder", "skip_bad": args.skip_bad, "class_level": args.class_level}
    settings = profiles.resolve(profile, args.name or _default_name(profile, args.images), **options)
    if args.images and source != "folder":
        settings = settings.model_copy(update={"title": profiles.read_profile("photos")["title"]})
    _refuse_mixing(settings)
    return settings


def _default_name(profile: str, images: Path | None) -> str:
    """The profile's name, or the folder's as far as it can name a run."""
    if images is None:
        return profile
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", images.name).strip("-._")[:50] or "images"
    return f"{name}-images" if name in profiles.profile_names() and name != profile else name


def _refuse_mixing(settings: Settings) -> None:
    """Two profiles, or two folders of images, never share a run."""
    name = settings.name
    if name in profiles.profile_names() and name != settings.profile:
        raise LabError(f"{name!r} is the name of a profile's own run: choose another --name.")
    if not (settings.run_folder / "settings.yaml").is_file():
        return
    profile, path = profiles.origin(name)
    if profile != settings.profile:
        raise LabError(f"Run {name!r} was made with profile {profile}: choose another --name.")
    if settings.data.source == "folder" and path != settings.data.path:
        raise LabError(f"Run {name!r} holds the images of {path}: choose another --name for {settings.data.path}.")


def selected(state: RunState, args: argparse.Namespace) -> list[str]:
    """Steps that the options ask for (what those need comes along), in execution order."""
    names = [step.name for step in state.steps]
    if args.only:
        return [name for name in names if name in args.only]
    return names[names.index(args.start) :] if args.start else names


def with_needs(state: RunState, targets: list[str]) -> set[str]:
    """The targets and all that they need, directly or through others."""
    wanted = set(targets)
    for step in reversed(state.steps):
        if step.name in wanted:
            wanted |= set(state.needs(step))
    return wanted


@dataclass(frozen=True)
class RunPlan:
    """What a run has to do.

    Attributes:
        wanted: steps that were asked for, and what they need.
        forced: those of them that run though they are up to date.
        todo: those that have to run or may have to, with the reasons, in execution order.
    """

    wanted: set[str]
    forced: list[str]
    todo: dict[str, list[str]]


def plan(state: RunState, args: argparse.Namespace) -> RunPlan:
    """What the options ask for, and what of it is out of date: the same for `--dry-run` and for the run itself."""
    targets = selected(state, args)
    forced = [] if args.force is None else targets if args.force == "all" else [number(args.force)]
    wanted = with_needs(state, [*targets, *forced])
    todo = {name: why for name, why in state.plan(forced).items() if name in wanted}
    return RunPlan(wanted, forced, todo)


def run(args: argparse.Namespace) -> int:
    """Run what the options ask for; return the exit code."""
    settings = settings_of(args)
    state = RunState(settings)
    if args.list:
        return list_chapters(state)
    if args.dry_run:
        return dry_run(plan(state, args))
    jobs = args.jobs or min(2, processes.cores())
    if args.check:
        from lab_utils.runner import check

        return check.check(state, jobs)
    with processes.run_lock(settings.run_folder / "lock", settings.name):
        profiles.save_settings(settings)
        processes.sweep(PROJECT / "data", settings.report_folder)
        code = bring_up_to_date(state, plan(state, args), jobs)
        if args.zip and (settings.report_folder / "report.html").is_file():
            from lab_utils.report.hand_in import hand_in

            print(f"To hand in: {hand_in(settings, args.student).relative_to(PROJECT)}")
        return code


def bring_up_to_date(state: RunState, work: RunPlan, jobs: int) -> int:
    """Run what is out of date, then build the report; return the exit code."""
    told: set[str] = set()
    if work.todo:
        from lab_utils.report import pages
        from lab_utils.runner import schedule

        for name in work.forced:
            state.forget(name)
        pages.write_index(state.settings)
        graphics = card.look()
        print(card.first_line(state.settings.name, processes.cores(), graphics), flush=True)
        told = schedule.run(state, list(work.todo), jobs, graphics)
    failed = settle(state, work, told)
    if "data" in failed:
        return 2
    if not work.todo:
        print("Every chapter is up to date.")
    built = report(state)
    if work.todo:
        print(ledger(state, work.wanted, jobs))
    consistent = check_records(state)
    return 1 if failed or not built or not consistent else 0


def check_records(state: RunState) -> bool:
    """Look for contradictions in the records of the chapters that are up to date, print them; return if there are none.

    A chapter that is out of date is left out: its numbers are of another state of the run.
    """
    outdated, entries = state.plan(), {}
    for step in state.steps:
        path = state.settings.report_folder / "results" / f"{step.name}.json"
        if path.is_file() and step.name not in outdated and state.status(step.name).get("state") == "ok":
            entries[step.name] = records.read_json(path)["records"]
    sentences = consistency.contradictions(entries, records.all_reported())
    if sentences:
        print(f"\nThe run contradicts itself in {len(sentences)} places:", file=sys.stderr)
        print("\n".join(f"  {sentence}" for sentence in sentences), file=sys.stderr)
    return not sentences


def settle(state: RunState, work: RunPlan, told: Collection[str] = ()) -> list[str]:
    """Mark the steps that wait for a failed one, and those left out of date; return those that failed.

    Args:
        state: of the run.
        work: what it had to do.
        told: steps that said that they failed: on a full disk that may stand nowhere else.
    """
    failed: list[str] = []
    held: dict[str, list[str]] = {}
    for step in state.steps:
        state.refresh_text(step)
        culprits = [culprit for need in state.needs(step) for culprit in held.get(need, [])]
        lost = step.name in told or state.status(step.name).get("state") == "failed"
        if step.name in work.wanted and lost:
            failed.append(step.name)
            held[step.name] = [step.name]
        elif step.name in work.wanted and culprits:
            held[step.name] = sorted(set(culprits))
            state.wait(step, held[step.name])
        elif step.name in work.wanted and not work.todo:  # it was looked at just now
            state.restore(step)
        else:
            state.review(step)
    return failed


def report(state: RunState) -> bool:
    """Build the report where something that went into it changed; return whether it is there."""
    html, pdf = state.report_files()
    if not state.report_outdated():
        print(f"Report: {html.relative_to(PROJECT)}, up to date as well.")
        return True
    try:
        from lab_utils.report import build

        with usage.recording() as used:
            build.build(state.settings)
    except ModuleNotFoundError as error:
        print(f"No report: {error}.", file=sys.stderr)
        return False
    except LabError as error:
        print(f"The report could not be built: {error}", file=sys.stderr)
        return False
    state.finish_report(used | usage.modules_of(build.__name__))
    print(f"Report: {html.relative_to(PROJECT)} and {pdf.relative_to(PROJECT)}")
    return True


def ledger(state: RunState, wanted: set[str], jobs: int = 1) -> str:
    """Seconds and memory by chapter and the sizes of what was made, as text.

    Args:
        state: of the run.
        wanted: names of the steps that are told.
        jobs: notebooks at a time.
    """
    lines, held = ["", "    GB  seconds  step"], []
    for step in state.steps:
        status = state.status(step.name)
        if step.name in wanted and status:
            words = "" if status["state"] == "ok" else f"  ({status['state']})"
            memory = status.get("memory_gb")
            held += [memory] if memory else []
            told = f"{memory:.1f}" if memory else ""
            lines.append(f"  {told:>4}  {status.get('seconds') or 0:7.0f}  {step.name}{words}")
    if len(held) > 1:
        most = sum(sorted(held)[-jobs:])
        lines += ["", f"  {jobs} at a time held at most {most:.1f} GB of memory (the largest of the table together)"]
    folders = [state.settings.run_folder, *sorted((PROJECT / "data" / "cache").glob("*")), state.settings.report_folder]
    sizes = [f"{path.relative_to(PROJECT)} {megabytes(path):.1f} MB" for path in folders if path.exists()]
    return "\n".join([*lines, "", "  " + "\n  ".join(sizes)])


def megabytes(path: Path) -> float:
    """Size of a file or of all files under a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def list_chapters(state: RunState) -> int:
    """Print the chapters in reading order with their states in this run."""
    print(f"Run {state.settings.name} (profiles: {', '.join(profiles.profile_names())})")
    todo = state.plan()
    for name in sorted(step.name for step in CHAPTERS):
        known = state.settled(name)
        words = "no notebook" if name not in state.names else known.get("state", "not run yet")
        if words == "ok" and name in todo:
            words = f"out of date: {', '.join(todo[name])}"
        print(f"  {name:28} {words}")
    return 0


def dry_run(work: RunPlan) -> int:
    """Print what would run, and why."""
    for name, why in work.todo.items():
        print(f"  {name:28} {', '.join(why)}")
    nothing = "Nothing would run: every chapter is up to date."
    print(f"{len(work.todo)} of {len(work.wanted)} steps would run." if work.todo else nothing)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    environment.match_terminal()
    try:
        with processes.stopped_by_signals():
            return run(parser().parse_args(argv))
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    except (KeyboardInterrupt, BrokenPipeError) as error:
        processes.kill_children()
        if isinstance(error, BrokenPipeError):
            environment.drop_output()
        print("\nStopped. The next run goes on from here.", file=sys.stderr)
        return 130
    except OSError as error:
        processes.kill_children()
        print(of_system(error), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
