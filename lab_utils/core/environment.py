"""The environment that the lab's processes run in: what is taken over from the user's, and what the lab sets.

A setting that somebody made for other programs (float16 for Keras, LaTeX in matplotlib's figures, a profile for
Snakemake, a folder of packages) must not change a number here or stop a run. So no process of the lab inherits the
user's variables. `stated` makes its environment from the few that are listed here, and the settings files of all
programs are looked for in folders of the lab's own, under `data/`.

Standard library only, and little of it: the set-up uses it before a package is there, and `start` runs where the
user's settings still count.
"""

import codecs
import contextlib
import fnmatch
import locale
import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab_utils.core import file_names

PROJECT = Path(__file__).resolve().parents[2]
Variables = dict[str, str]
STARTED = "LAB_STARTED"  # variable: number of the process that `start` has put into the stated environment

TAKEN_OVER = (  # names of variables, `*` for any letters
    *("HOME", "USER", "LOGNAME", "PATH", "SHELL", "TERM", "TZ", "LANG", "LANGUAGE", "LC_*", "TMPDIR"),
    *("*_proxy", "*_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_*", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_*"),
    *("LAB_*", "MAME_*"),  # the lab's own options, and where its tests find the real data
)
FOR_PIP = (  # where packages come from; not where they go, nor which ones they are
    *("INDEX_URL", "EXTRA_INDEX_URL", "NO_INDEX", "FIND_LINKS", "TRUSTED_HOST", "CERT", "CLIENT_CERT", "PROXY"),
    *("TIMEOUT", "DEFAULT_TIMEOUT", "RETRIES", "CACHE_DIR", "NO_CACHE_DIR", "KEYRING_PROVIDER"),
)
FOR_UV = (
    *("INDEX_URL", "EXTRA_INDEX_URL", "DEFAULT_INDEX", "INDEX", "INDEX_*", "NO_INDEX", "FIND_LINKS", "OFFLINE"),
    *("INSECURE_HOST", "NATIVE_TLS", "SYSTEM_CERTS", "HTTP_TIMEOUT", "KEYRING_PROVIDER", "CACHE_DIR", "NO_CACHE"),
    *("LINK_MODE", "CONCURRENT_*"),
)
KERAS = {  # also set in a process that somebody else started (a notebook in JupyterLab), before Keras is imported
    "KERAS_HOME": "data/keras",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "ABSL_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
FOLDERS = {  # of the lab's own, for settings and caches of programs
    "MPLCONFIGDIR": "data/cache/matplotlib",
    "NUMBA_CACHE_DIR": "data/cache/numba",
    "CUDA_CACHE_PATH": "data/cache/cuda",
    "IPYTHONDIR": "data/cache/ipython",
    "JUPYTER_CONFIG_DIR": "data/cache/jupyter/config",
    "JUPYTER_DATA_DIR": "data/cache/jupyter/data",
    "JUPYTER_RUNTIME_DIR": "data/cache/jupyter/runtime",
    "XDG_CONFIG_HOME": "data/cache/xdg/config",  # Snakemake and many others
    "XDG_CACHE_HOME": "data/cache/xdg/cache",
    "XDG_DATA_HOME": "data/cache/xdg/data",
    "XDG_STATE_HOME": "data/cache/xdg/state",
}
PYTHON = {
    "PYTHONSAFEPATH": "1",  # nothing is imported from the folder in which the run was started
    "PYTHONNOUSERSITE": "1",
    "PYTHONUTF8": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
}
OTHERS = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "JUPYTER_PREFER_ENV_PATH": "1"}


# ---- the lab's processes ---------------------------------------------------------------------------------------------
def stated(user: Mapping[str, str] | None = None, root: Path = PROJECT) -> Variables:
    """The environment of every process of the lab; of itself it is the same again.

    Args:
        user: variables to take over from; None: this process's.
        root: folder of the lab.
    """
    user = os.environ if user is None else user
    kept = _chosen(user, TAKEN_OVER)
    places = {name: str(root / folder) for name, folder in FOLDERS.items()}
    keras = {**KERAS, "KERAS_HOME": str(root / KERAS["KERAS_HOME"])}
    return {**kept, **_person(kept, root), "PYTHONPATH": str(root), **PYTHON, **places, **keras, **OTHERS}


def _chosen(user: Mapping[str, str], patterns: Sequence[str]) -> Variables:
    return {
        name: value for name, value in user.items() if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def _person(kept: Variables, root: Path) -> Variables:
    """A home, a name and a folder for temporary files, also where the user's can't be used."""
    own = {"HOME": kept.get("HOME") or _home(), "TMPDIR": kept.get("TMPDIR", "")}
    if not os.path.isdir(own["HOME"]):  # noqa: PTH112 (may be "")
        own["HOME"] = str(root / "data" / "cache" / "home")
    if not {"LOGNAME", "USER"} & set(kept):
        own["LOGNAME"] = _login()
    if not _writable(own["TMPDIR"]):
        own["TMPDIR"] = next(filter(_writable, ("/tmp", "/var/tmp")), str(root / "data" / "cache" / "tmp"))
    return own


def _home() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_dir
    return ""


def _login() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return "user"


def _writable(folder: str) -> bool:
    """Whether a file of some size can be written into a folder."""
    if not folder:
        return False
    path = f"{folder}/.lab-{os.getpid()}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError:
        return False
    try:
        return os.write(handle, bytes(1 << 16)) == 1 << 16
    except OSError:
        return False
    finally:
        os.close(handle)
        os.unlink(path)  # noqa: PTH108


def prepare(user: Mapping[str, str] | None = None, root: Path = PROJECT) -> None:
    """Make the folder of Keras, with links to weights that Keras has fetched for this user before."""
    user = os.environ if user is None else user
    here = root / KERAS["KERAS_HOME"] / "models"
    before = Path(user.get("KERAS_HOME") or Path(user.get("HOME") or _home() or "/") / ".keras") / "models"
    with contextlib.suppress(OSError):  # whoever writes there later says what is wrong
        here.mkdir(parents=True, exist_ok=True)
        for weights in before.glob("*.h5") if before.resolve() != here.resolve() else ():
            if not (here / weights.name).exists():
                (here / weights.name).unlink(missing_ok=True)  # a link to what was there once
                (here / weights.name).symlink_to(weights)


def set_keras(root: Path = PROJECT) -> None:
    """See to it that Keras, not yet imported here, obeys no setting of the user's: no variable and no `keras.json`.

    `LAB_GPU=0` hides the graphics card here, too.
    """
    if "keras" not in sys.modules:
        prepare(root=root)
        for name in [name for name in os.environ if name.startswith("KERAS_")]:  # KERAS_MAX_EPOCHS, for one
            del os.environ[name]
        os.environ.update({**KERAS, "KERAS_HOME": str(root / KERAS["KERAS_HOME"])})
        if os.environ.get("LAB_GPU") == "0":
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def start(module: str, words: Sequence[str], root: Path = PROJECT) -> None:
    """Become `python -m module words` in the stated environment; return where this process is that already."""
    if os.environ.get(STARTED) != str(os.getpid()):  # (the number stays)
        prepare(root=root)
        open_streams()
        try:
            os.getcwd()  # noqa: PTH109
        except FileNotFoundError:  # the folder in which it was started is gone
            os.chdir(root)
        variables = {**stated(root=root), STARTED: str(os.getpid())}
        for name in ("HOME", "TMPDIR"):
            with contextlib.suppress(OSError):
                Path(variables[name]).mkdir(parents=True, exist_ok=True)
        os.execve(sys.executable, [sys.executable, "-m", module, *words], variables)


def open_streams() -> None:
    """Give a process that was started with closed streams ones that lead nowhere, before a file takes their places."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def match_terminal(*streams: Any) -> None:
    """Print in the terminal's encoding (`stated` sets Python's to UTF-8); a sign that it lacks becomes `?`."""
    encoding = locale.getencoding()
    for stream in streams or (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8" if _is_ascii(encoding) else encoding, errors="replace")


def drop_output() -> None:
    """Send what is still to be printed nowhere: whoever read it is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_ascii(encoding: str) -> bool:
    """Whether an encoding is that of a process without a locale, whose terminal understands UTF-8 as a rule."""
    return codecs.lookup(encoding).name == "ascii"


def root_problem(root: Path = PROJECT) -> str:
    """Why the lab can't work in its folder, in a sentence; "" where it can."""
    problem = file_names.problem(root)
    if not problem and os.pathsep in str(root):
        problem = f"has a name with {os.pathsep!r}, which parts folders in Python's path (rename it)"
    return f"The lab's folder {file_names.shown(root)} {problem}." if problem else ""


# ---- the set-up ------------------------------------------------------------------------------------------------------
def for_installing(configured: str = "", user: Mapping[str, str] | None = None, root: Path = PROJECT) -> Variables:
    """The environment of pip and uv: packages come from where the user's come from, and go into `.venv`.

    Args:
        configured: what `pip config list` prints of pip's settings files, which are not read beside it.
        user: variables to take over from; None: this process's.
        root: folder of the lab.
    """
    user = os.environ if user is None else user
    files = {f"PIP_{name}": value for name, value in _pip_settings(configured).items()}
    kept = _chosen({**files, **user}, [f"PIP_{name}" for name in FOR_PIP])
    kept |= _chosen(user, [f"UV_{name}" for name in FOR_UV])
    fixed = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    mine = stated(user, root)
    if user.get("XDG_CACHE_HOME"):  # what was fetched before
        mine["XDG_CACHE_HOME"] = user["XDG_CACHE_HOME"]
    elif _writable(mine["HOME"]):
        del mine["XDG_CACHE_HOME"]
    without = ("PYTHONPATH", "PYTHONSAFEPATH", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    return {name: value for name, value in mine.items() if name not in without} | kept | fixed


def _pip_settings(text: str) -> Variables:
    """`{"INDEX_URL": "https://…"}` of lines like `global.index-url='https://…'`; those of `install` win."""
    settings: list[tuple[bool, str, str]] = []
    for line in text.splitlines():
        place, _, value = line.partition("=")
        section, _, name = place.strip().partition(".")
        if section in ("global", "install") and name:
            settings.append((section == "install", name.upper().replace("-", "_"), value.strip().strip("'\"")))
    return {name: value for _, name, value in sorted(settings)}
