"""No setting that a user made for other programs reaches a process of the lab; odd homes, terminals and shells."""

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from miniature import ROOT

from lab_utils.core import environment
from lab_utils.core.card import Answer
from lab_utils.core.environment import for_installing, stated
from lab_utils.runner import processes, schedule

PLAIN = {"HOME": "/tmp", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "USER": "ada", "TMPDIR": "/tmp"}

NOT_TAKEN = {  # a variable of the user's, and what it would do
    "KERAS_BACKEND": "jax",
    "KERAS_HOME": "/home/ada/.keras",  # float16 in keras.json: nan as an answer
    "KERAS_MAX_EPOCHS": "1",  # every training would end after an epoch
    "KERAS_MAX_STEPS_PER_EPOCH": "2",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "XLA_FLAGS": "--no_such_flag",  # TensorFlow aborts
    "CUDA_LAUNCH_BLOCKING": "1",
    "MPLBACKEND": "TkAgg",
    "MATPLOTLIBRC": "/home/ada/matplotlibrc",
    "MPLCONFIGDIR": "/home/ada/mpl",
    "IPYTHONDIR": "/home/ada/.ipython",  # files that run before the first cell
    "JUPYTER_PATH": "/home/ada/jupyter",  # another python3 kernel
    "JUPYTER_CONFIG_DIR": "/home/ada/.jupyter",
    "JUPYTER_PREFER_ENV_PATH": "0",
    "SNAKEMAKE_PROFILE": "cluster",
    "SNAKEMAKE_OUTPUT_CACHE": "/scratch",
    "PYTHONHOME": "/usr/lib/python2",
    "PYTHONPATH": "/home/ada/old_numpy",
    "PYTHONSTARTUP": "/home/ada/.pythonrc",
    "PYTHONHASHSEED": "7",
    "PYTHONOPTIMIZE": "2",  # no docstring is left
    "PYTHONWARNINGS": "error",
    "PYTHONINSPECT": "1",  # waits for input at the end
    "PYTHONUSERBASE": "/home/ada/.local",
    "PYTHONUTF8": "0",
    "PIP_TARGET": "/home/ada/packages",
    "UV_CONSTRAINT": "/home/ada/constraints.txt",
    "BASH_ENV": "/home/ada/.bashrc",
    "CDPATH": "/home/ada",
    "SHELLOPTS": "noglob",
    "GIT_DIR": "/home/ada/other/.git",  # the revision of another project
    "NUMBA_DISABLE_JIT": "1",
    "NUMBA_CACHE_DIR": "/nowhere",
    "OMP_NUM_THREADS": "1",
    "JOBLIB_TEMP_FOLDER": "/nowhere",
    "SCIPY_ARRAY_API": "1",
    "FORCE_COLOR": "1",
    "COLUMNS": "12",
    "XDG_CONFIG_HOME": "/home/ada/.config",
    "XDG_CACHE_HOME": "/nowhere",
}
TAKEN = {
    **{"HOME": "/usr", "PATH": "/opt/bin", "TZ": "Asia/Tokyo", "LC_ALL": "de_AT.ISO-8859-1", "TERM": "dumb"},
    **{"https_proxy": "http://proxy:3128", "NO_PROXY": "localhost", "SSL_CERT_FILE": "/etc/ssl/own.pem"},
    **{"CUDA_VISIBLE_DEVICES": "1", "LD_LIBRARY_PATH": "/opt/cuda/lib64", "LAB_EXERCISES": "solve"},
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_settings_of_other_programs_change_nothing(name):
    assert stated({**PLAIN, name: NOT_TAKEN[name]}) == stated(PLAIN)


@pytest.mark.parametrize("name", TAKEN)
def test_where_things_are_is_taken_over(name):
    assert stated({**PLAIN, name: TAKEN[name]}) == {**stated(PLAIN), name: TAKEN[name]}


def test_the_stated_environment_is_its_own_and_all_its_folders_are_the_labs(tmp_path):
    first = stated({**PLAIN, **NOT_TAKEN, **TAKEN}, tmp_path)
    assert stated(first, tmp_path) == first
    folders = [first[name] for name in (*environment.FOLDERS, "KERAS_HOME")]
    assert all(Path(folder).is_relative_to(tmp_path / "data") for folder in folders)
    assert len(set(folders)) == len(folders)


def test_a_run_gives_its_processes_the_stated_environment_and_no_more(monkeypatch):
    for name, value in NOT_TAKEN.items():
        monkeypatch.setenv(name, value)
    given = schedule.environment(1, Answer())
    own = {*schedule.THREADS, processes.WATCHED}
    assert {name: value for name, value in given.items() if name not in own} == {
        name: value for name, value in stated().items() if name not in own
    }
    assert "--workflow-profile" in schedule.command(
        _state(), ["data"], 1, Answer()
    )  # `profiles/default` where one stands


def _state():
    from lab_utils.core.profiles import resolve
    from lab_utils.runner.state import RunState

    return RunState(resolve("tiny"))


# ---- what the libraries make of it -----------------------------------------------------------------------------------
FACTS = """
import json, sys, random, numpy
from IPython.paths import get_ipython_dir
from jupyter_client.kernelspec import KernelSpecManager
from snakemake.common import get_appdirs
from lab_utils.display import style
import matplotlib
before = matplotlib.rcParams["text.usetex"]
with style.style():
    drawn = [matplotlib.rcParams["text.usetex"], matplotlib.rcParams["lines.linewidth"]]
print(json.dumps({
    "usetex": [before, *drawn],
    "ipython": get_ipython_dir(),
    "kernel": KernelSpecManager().get_kernel_spec("python3").argv[0],
    "kernel from": KernelSpecManager().get_kernel_spec("python3").resource_dir,
    "snakemake": get_appdirs().user_cache_dir,
    "doc": bool(json.__doc__),
    "encoding": sys.getfilesystemencoding(),
}))
"""


@pytest.fixture
def home(tmp_path):
    """A home full of settings, which is also the folder that one is in."""
    files = {
        ".config/matplotlib/matplotlibrc": "text.usetex: True\nlines.linewidth: 9\n",
        "matplotlibrc": "text.usetex: True\nlines.linewidth: 9\n",
        ".keras/keras.json": json.dumps({"floatx": "float16", "epsilon": 1e-3, "image_data_format": "channels_first"}),
        ".ipython/profile_default/startup/00.py": "raise SystemExit('startup ran')",
        ".local/share/jupyter/kernels/python3/kernel.json": json.dumps(
            {"argv": ["/nowhere/python"], "display_name": "mine", "language": "python"}
        ),
        "random.py": "raise SystemExit('the folder shadows the library')",
        "packages/numpy.py": "raise SystemExit('another numpy')",
        ".pythonrc": "raise SystemExit('startup ran')",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_no_file_in_the_users_home_or_folder_is_obeyed(home):
    user = {**PLAIN, **NOT_TAKEN, "HOME": str(home), "PYTHONPATH": str(home / "packages")}
    child = subprocess.run(
        [sys.executable, "-c", FACTS], env=stated(user), cwd=home, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    facts = json.loads(child.stdout)
    inside = str(ROOT / "data" / "cache")
    assert facts["usetex"][1:] == [False, 1.5]
    assert facts["ipython"].startswith(inside) and facts["snakemake"].startswith(inside)
    assert facts["kernel"] != "/nowhere/python" and not facts["kernel from"].startswith(str(home))
    assert facts["doc"] and facts["encoding"] == "utf-8"


def test_a_matplotlibrc_in_the_folder_of_a_notebook_does_not_reach_a_figure(tmp_path):
    """Of a notebook that the user opened, whose environment is the user's."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nsavefig.transparent: True\n")
    code = (
        "import matplotlib\nfrom lab_utils.display import bundles, style\n"
        "assert matplotlib.rcParams['text.usetex']\n"
        "with style.style():\n    figure, axes = style.subplots()\n    axes.set_title('$100 % _of_ it')\n"
        "assert 'image/png' in bundles.bundle(figure)\nassert matplotlib.rcParams['text.usetex']"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


def test_keras_obeys_nothing_in_a_notebook_that_the_user_opened(home, monkeypatch):
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    monkeypatch.setenv("HOME", str(home))
    code = (
        "from lab_utils.core.quiet import load_tensorflow, quiet\nquiet(); load_tensorflow()\nimport keras, os\n"
        "print(keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format())\n"
        "print(keras.backend.backend(), keras.config.dtype_policy().name, keras.config.max_epochs())\n"
        "print(os.environ['KERAS_HOME'])"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = f"float32 1e-07 channels_last tensorflow float32 None {environment.PROJECT / 'data' / 'keras'}"
    assert child.stdout.split() == expected.split()


def test_weights_that_keras_fetched_before_are_linked_and_found_again(tmp_path):
    models = tmp_path / "home" / ".keras" / "models"
    models.mkdir(parents=True)
    (models / "vgg16.h5").write_text("weights")
    (models / "notes.txt").write_text("")
    here = tmp_path / "lab" / "data" / "keras" / "models"
    for _ in range(2):
        environment.prepare({"HOME": str(tmp_path / "home")}, tmp_path / "lab")
        assert [path.name for path in here.iterdir()] == ["vgg16.h5"]
    assert (here / "vgg16.h5").read_text() == "weights"
    (models / "vgg16.h5").unlink()
    environment.prepare({"KERAS_HOME": str(here.parent)}, tmp_path / "lab")  # its own home: nothing to link
    assert not (here / "vgg16.h5").exists()


# ---- a home or a folder for temporary files that can't be used -------------------------------------------------------
@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"HOME": "/proc/none"}, {"HOME": "{root}/data/cache/home"}),
        ({"HOME": ""}, {}),  # from the table of users
        ({"TMPDIR": "/proc"}, {"TMPDIR": "/tmp"}),
        ({"TMPDIR": "/no/such/folder"}, {"TMPDIR": "/tmp"}),
        ({"TMPDIR": ""}, {"TMPDIR": "/tmp"}),
        ({"TMPDIR": "/dev/full"}, {"TMPDIR": "/tmp"}),
    ],
)
def test_a_home_or_temporary_folder_that_is_of_no_use_is_replaced(tmp_path, user, expected):
    found = stated({**PLAIN, **user}, tmp_path)
    assert {name: found[name] for name in expected} == {
        name: value.format(root=tmp_path) for name, value in expected.items()
    }
    assert found["HOME"]


def test_someone_whom_the_system_does_not_know_has_a_name_and_a_home(tmp_path, monkeypatch):
    def unknown(_):
        raise KeyError

    monkeypatch.setattr(environment.pwd, "getpwuid", unknown)
    found = stated({"PATH": "/bin"}, tmp_path)
    assert found["LOGNAME"] == "user" and found["HOME"] == str(tmp_path / "data" / "cache" / "home")


# ---- set-up ----------------------------------------------------------------------------------------------------------
CONFIGURED = """:env:.target='/home/ada/packages'
global.index-url='https://mirror.example/simple'
global.user='true'
install.index-url='https://install.example/simple'
install.prefix='/home/ada/prefix'
install.no-binary=':all:'
list.format='freeze'
global.trusted-host='mirror.example'
"""


def test_packages_come_from_where_the_users_come_from_and_go_into_the_environment(tmp_path):
    hostile = {"PIP_TARGET": "/x", "PIP_USER": "1", "PIP_NO_BINARY": ":all:", "PIP_CONSTRAINT": "c", "PIP_PREFIX": "/x"}
    hostile |= {"PIP_NO_DEPS": "1", "PIP_DRY_RUN": "1", "UV_TARGET": "/x", "UV_NO_DEPS": "1", "UV_SYSTEM_PYTHON": "1"}
    kept = {"PIP_TRUSTED_HOST": "mine", "PIP_CERT": "/c.pem", "UV_DEFAULT_INDEX": "https://uv.example"}
    kept |= {"UV_INDEX_PRIVATE_PASSWORD": "secret", "https_proxy": "http://proxy:3128"}
    found = for_installing(CONFIGURED, {**PLAIN, **NOT_TAKEN, **hostile, **kept}, tmp_path)
    mine = {name: value for name, value in found.items() if name.startswith(("PIP_", "UV_"))}
    assert mine == {
        **{name: value for name, value in kept.items() if name != "https_proxy"},
        "PIP_INDEX_URL": "https://install.example/simple",
        **{"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
    }
    assert found["https_proxy"] == "http://proxy:3128" and "PYTHONPATH" not in found


def test_what_was_fetched_before_is_used_and_a_home_without_space_does_not_stop_pip(tmp_path):
    assert "XDG_CACHE_HOME" not in for_installing("", PLAIN, tmp_path)
    assert for_installing("", {**PLAIN, "XDG_CACHE_HOME": "/c"}, tmp_path)["XDG_CACHE_HOME"] == "/c"
    own = for_installing("", {**PLAIN, "HOME": "/proc"}, tmp_path)["XDG_CACHE_HOME"]
    assert own == str(tmp_path / "data" / "cache" / "xdg" / "cache")


@pytest.fixture(scope="module")
def scripts():
    spec = importlib.util.spec_from_file_location("environment_script", ROOT / "scripts" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "words"),
    [("a:b", "which parts folders"), ("caf\udce9", "no UTF-8 text"), ("two\nlines", "line break")],
)
def test_a_folder_in_which_the_lab_can_not_lie_is_one_sentence(scripts, monkeypatch, name, words):
    monkeypatch.setattr(scripts, "ROOT", Path("/home/ada") / name)
    with pytest.raises(SystemExit, match=words) as error:
        scripts.main([])
    assert len(str(error.value).splitlines()) == 1


def test_a_folder_that_can_not_be_written_stops_the_set_up_with_a_sentence(scripts, monkeypatch):
    monkeypatch.setattr(scripts, "ROOT", Path("/proc/1"))
    monkeypatch.setattr(scripts, "wants_gpu", lambda root: False)
    monkeypatch.setattr(scripts, "stamp", lambda root, gpu: "")
    with pytest.raises(SystemExit, match=r"Set-up can't write /proc/1/\.venv\.lock .*free some space"):
        scripts.main([])


# ---- odd shells ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A lab whose Python only prints what it is asked to do, in a folder with every sign of a shell in its name."""
    folder = tmp_path_factory.mktemp("odd") / "lab {v2} $HOME 'q' \"p\" `x` %s [a]* #&; é"
    (folder / "scripts").mkdir(parents=True)
    for name in ("run_all.sh", "scripts/setup.sh"):
        (folder / name).write_text((ROOT / name).read_text())
        (folder / name).chmod(0o755)
    python = folder / "a python"
    python.write_text('#!/bin/sh\n[ "$2" = -c ] || printf "<%s>" "$@"\n')
    python.chmod(0o755)
    return folder


SHELLS = {
    "plain": ([], {}),
    "sh": (["sh"], {}),
    "bash in POSIX mode": (["bash", "--posix"], {}),
    "CDPATH": ([], {"CDPATH": "/:/tmp:."}),
    "a function called cd": (["bash"], {"BASH_FUNC_cd%%": "() {  echo moved; }"}),
    "BASH_ENV": (["bash"], {"BASH_ENV": "/no/such/file"}),
    "no locale": ([], {"LC_ALL": "C"}),
    "PYTHONHOME": ([], {"PYTHONHOME": "/no/such/folder"}),
}


@pytest.mark.parametrize("name", SHELLS)
def test_the_script_finds_its_folder_in_any_shell(shell, name):
    words, variables = SHELLS[name]
    user = {"PATH": "/usr/bin:/bin", "LAB_PYTHON": str(shell / "a python"), **variables}
    for place, script in (
        (shell.parent, f"{shell.name}/run_all.sh"),
        (shell, "./run_all.sh"),
        ("/", shell / "run_all.sh"),
    ):
        done = subprocess.run(
            [*words, str(script), "--name", "a b"] if words else [str(script), "--name", "a b"],
            env=user,
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
        start = f"{shell}/scripts/environment.py"
        expected = f"<-I><{start}><check><-I><{start}><start><lab_utils.runner.cli><--name><a b>"
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_closed_streams_lead_nowhere_before_a_file_takes_their_place(tmp_path):
    code = (
        "import os, sys\nfrom lab_utils.core import environment\nenvironment.open_streams()\n"
        "file = open(sys.argv[1], 'w')\nos.write(1, b'out')\nos.write(2, b'err')\nfile.write('mine')"
    )
    words = f'exec "{sys.executable}" -c "$0" "$1" <&- >&- 2>&-'
    child = subprocess.run(["sh", "-c", words, code, str(tmp_path / "file")], check=False, env={**os.environ})
    assert child.returncode == 0 and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [("ISO-8859-1", b"caf\xe9 ? ok"), ("UTF-8", "café … ok".encode()), ("ANSI_X3.4-1968", "café … ok".encode())],
)
def test_signs_that_a_terminal_lacks_stop_nothing(monkeypatch, encoding, printed):
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(environment.locale, "getencoding", lambda: encoding)
    environment.match_terminal(out)
    print("café … ok", end="", file=out, flush=True)
    assert out.buffer.getvalue() == printed


@pytest.mark.parametrize(("term", "live"), [("xterm", True), ("dumb", False), ("", False), (None, False)])
def test_a_terminal_that_can_not_go_back_in_a_line_gets_whole_lines(monkeypatch, term, live):
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    assert schedule.Progress(["data"], out).live == live


def test_a_line_of_progress_is_no_longer_than_the_terminal_is_wide(monkeypatch):
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    progress = schedule.Progress(["data"], out)
    progress.take({"step": "data", "event": "started"})
    progress.take({"step": "15_further_improvements", "event": "started"})
    assert max(len(line) for line in out.getvalue().split("\r\x1b[K")) == 29


def test_a_run_under_nohup_is_not_ended_by_hanging_up():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with processes.stopped_by_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_IGN, signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)
