"""The graphics card: whether there is one, and whether TensorFlow can use it, whatever brought CUDA.

`look` asks TensorFlow itself, in a process of its own (loading it costs seconds, and the asking process stays free of
it), and keeps the answer under `data/cache/card/` until driver or environment change. Without a sign of an NVIDIA card
nothing is started. `LAB_GPU=0` declines. Standard library only: the set-up asks `signs` before a package is there.
"""

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

CACHE = Path(__file__).resolve().parents[2] / "data" / "cache" / "card"
UNUSED = "LAB_CARD_UNUSED"  # variable: why a card that is there isn't used, for the records of a run's processes
PATIENCE = 180  # seconds for the first answer
STALE = 3600  # seconds after which a card that could not be used is asked for again
LIBRARIES = (  # of CUDA 12, which TensorFlow opens before it uses a card
    *("libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12", "libcufft.so.11", "libcusolver.so.11"),
    *("libcusparse.so.12", "libcudnn.so.9"),
)
OPTIONAL = ("libnvinfer", "libcupti", "libnccl")  # TensorFlow looks for these, too, and computes without them
OLDEST_DRIVER = {"11": (450, 80), "12": (525, 60), "13": (580, 65)}  # by CUDA's version, as NVIDIA states it
OF_ENVIRONMENT = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LAB_GPU")


# ---- signs -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Signs:
    """What tells of an NVIDIA card without TensorFlow.

    Attributes:
        driver: version of the kernel's driver, "" where it is not known.
        devices: whether there is a device that a process can open, or one that NVIDIA's own program lists.
        memory: GiB of each card by name, as far as NVIDIA's program tells it.
    """

    driver: str = ""
    devices: bool = False
    memory: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any sign."""
        return bool(self.driver or self.devices)


def signs(root: Path = Path("/"), ask: bool = False) -> Signs:
    """Look for an NVIDIA card: the driver's version, devices, NVIDIA's program `nvidia-smi`.

    Args:
        root: of the file system.
        ask: start `nvidia-smi` also where files say enough; else only where there are none (under Windows' WSL).
    """
    about = root / "proc/driver/nvidia/version"
    told = re.search(r"Module.*?\s(\d+\.\d[\d.]*)", _text(about))
    driver, devices = told[1] if told else "", bool(list((root / "dev").glob("nvidia[0-9]*")))
    listed = _listed() if ask or not (about.is_file() or devices) else []
    memory = {name: round(float(size) / 1024, 1) for _, name, size in listed if re.fullmatch(r"[\d.]+", size)}
    return Signs(driver or (listed[0][0] if listed else ""), devices or bool(listed), memory)


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def _listed() -> list[list[str]]:
    """Driver, name and MiB of each card that `nvidia-smi` lists; nothing where it is missing or fails."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    asked = [program, "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)
        rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines()]
        return [row for row in rows if len(row) == 3] if not done.returncode else []
    return []


def missing_libraries(names: Sequence[str] = LIBRARIES) -> list[str]:
    """Those of CUDA's libraries that this process can't open."""
    return [name for name in names if not _opens(name)]


def _opens(name: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(ctypes.CDLL(name))
    return False


# ---- the answer ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Answer:
    """Whether TensorFlow can use a card.

    Attributes:
        cards: name, capability ("9.0") and memory_gib (None: not known) of each card that it uses; empty: none.
        reason: why a card that is there is not used, in a clause; "" where one is used or none is there.
        missing: libraries that TensorFlow could not open, by name.
        driver: version of NVIDIA's driver.
        tensorflow: version.
        cuda: version that TensorFlow is built for.
    """

    cards: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""
    missing: tuple[str, ...] = ()
    driver: str = ""
    tensorflow: str = ""
    cuda: str = ""

    @property
    def usable(self) -> bool:
        """Whether a run uses a card."""
        return bool(self.cards)

    @property
    def words(self) -> str:
        """The cards, for the first line of a run: "NVIDIA H100 (80 GiB), driver 580.65, TensorFlow 2.21.0"."""
        if not self.cards:
            return "no graphics card"
        parts = [f"driver {self.driver}" if self.driver else "", f"TensorFlow {self.tensorflow}"]
        return ", ".join([*(_card_words(card) for card in self.cards), *filter(None, parts)])

    @property
    def sentence(self) -> str:
        """Why a card that is there is not used, and what to do; "" where there is nothing to say."""
        return f"The NVIDIA card is not used: {self.reason}." if self.reason else ""


def _card_words(card: Mapping[str, Any]) -> str:
    return f"{card['name']} ({card['memory_gib']:.0f} GiB)" if card.get("memory_gib") else card["name"]


def first_line(run: str, cores: int, answer: Answer) -> str:
    """What a run says first: what it computes on."""
    count = f"{cores} core{'s' if cores > 1 else ''}"
    if answer.usable:
        return f"Run {run} on {answer.words}, and {count}."
    return f"Run {run} on {count}. {answer.sentence}" if answer.reason else f"Run {run} on {count}, no graphics card."


def look(fresh: bool = False, signs_of: Signs | None = None) -> Answer:
    """Whether a run can use a graphics card; asked once for each driver and environment.

    Args:
        fresh: ask again though there is an answer.
        signs_of: what is known of cards; None: it is looked for.
    """
    about = signs() if signs_of is None else signs_of
    if not about:
        return Answer()
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
    if os.environ.get("LAB_GPU") == "0":
        return Answer(reason="LAB_GPU=0 declines it", driver=about.driver)
    if hidden:
        return Answer(reason="CUDA_VISIBLE_DEVICES hides it", driver=about.driver)
    path = CACHE / f"{_key(about)}.json"
    before = None if fresh else _read(path)
    if before and (before.usable or _still_so(before, path)):
        return before
    answer = _ask(about)
    from lab_utils.core.errors import LabError
    from lab_utils.core.records import write_json

    with contextlib.suppress(LabError):  # a full disk: it is asked again
        write_json(path, asdict(answer))
    return answer


def _still_so(before: Answer, path: Path) -> bool:
    """Whether a card that could not be used is taken for unusable still: it is asked now and then."""
    came = before.missing and not missing_libraries(before.missing)
    return not came and time.time() - path.stat().st_mtime < STALE


def _key(about: Signs) -> str:
    variables = {name: os.environ.get(name, "") for name in OF_ENVIRONMENT}
    brought = sorted(path.name for folder in sys.path for path in Path(folder or ".").glob("nvidia_*.dist-info"))
    facts = [about.driver, sys.executable, sys.version, _tensorflow(), variables, brought, _own_code()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@functools.cache
def _own_code() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def _tensorflow() -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("tensorflow")
    return ""


def _read(path: Path) -> Answer | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Answer(**{**stored, "cards": tuple(stored["cards"]), "missing": tuple(stored["missing"])})
    return None


# ---- asking ----------------------------------------------------------------------------------------------------------
def _ask(about: Signs) -> Answer:
    """Start TensorFlow in a process of its own and take its answer."""
    about = Signs(about.driver, about.devices, about.memory or signs(ask=True).memory)
    variables = {name: value for name, value in os.environ.items() if name != "ABSL_MIN_LOG_LEVEL"}
    variables |= {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=PATIENCE)
        return read_answer(done.stdout, done.stderr, about)
    except subprocess.TimeoutExpired:
        return Answer(reason=f"TensorFlow did not answer within {PATIENCE} seconds", driver=about.driver)
    except OSError as error:
        return Answer(reason=f"TensorFlow could not be started ({error.strerror})", driver=about.driver)


def read_answer(output: str, log: str, about: Signs) -> Answer:
    """The answer of `main`'s process.

    Args:
        output: what it printed: in the last line of JSON the build, the cards and what computing on one gave.
        log: what TensorFlow said beside, with the libraries that it tried to open.
        about: what is known of cards without it.
    """
    told: dict[str, Any] = {}
    for line in output.splitlines():
        with contextlib.suppress(ValueError):
            told = json.loads(line) if line.startswith("{") else told
    build = told.get("build", {})
    facts = {"driver": about.driver, "tensorflow": told.get("tensorflow", _tensorflow()), "cuda": build.get("cuda", "")}
    if not told:
        return Answer(reason=f"TensorFlow could not be loaded ({_last_line(log)})", **facts)
    if told["cards"] and not told["failure"]:
        cards = tuple({**card, "memory_gib": about.memory.get(card["name"])} for card in told["cards"])
        return Answer(cards, **facts)
    libraries = dict.fromkeys(re.findall(r"Could not load dynamic library '([^']+)'", log))
    missing = tuple(name for name in libraries if not name.startswith(OPTIONAL))
    return Answer(reason=_reason(told, log, about, missing), missing=missing, **facts)


def _reason(told: Mapping[str, Any], log: str, about: Signs, missing: Sequence[str]) -> str:
    """Why TensorFlow uses no card: the first cause that its log names."""
    version = f"TensorFlow {told['tensorflow']}"
    cuda, oldest = told["build"]["cuda"], OLDEST_DRIVER.get(told["build"]["cuda"].partition(".")[0])
    driver = tuple(int(part) for part in about.driver.split(".")[:2] if part.isdigit())
    if told["failure"]:
        return f"{version} sees it and can't compute on it ({told['failure']})"
    if not cuda:
        return f"this {version} is built without CUDA"
    if driver and oldest and driver < oldest:
        return f"its driver {about.driver} is too old for CUDA {cuda} (it takes {oldest[0]}.{oldest[1]} or newer)"
    if "libcuda.so.1" in missing:
        return f"{version} can't open libcuda.so.1, which comes with NVIDIA's driver"
    if missing:
        return f"{version} can't open {', '.join(missing)} (LAB_GPU=1 ./run_all.sh installs CUDA's libraries)"
    if old := re.search(
        r"Ignoring visible gpu device.*?capability:? (\d+\.\d+).*?required Cuda capability is (\d+\.\d+)", log
    ):
        return f"its compute capability is {old[1]}, and {version} takes {old[2]} or higher"
    if refused := re.search(r"failed call to cuInit: (?:INTERNAL: CUDA error: Failed call to cuInit: )?(.+)", log):
        return f"the driver doesn't give it to this process ({refused[1].strip()})"
    return f"{version} sees none ({_last_line(log)})"


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return re.sub(r"^\S+ \S+\s+\d+ (\S+\])", r"\1", lines[-1])[:160] if lines else "without a word"


def main() -> None:
    """Ask TensorFlow for its cards, compute something on the first, print the answer as JSON."""
    import tensorflow as tf

    info = tf.sysconfig.get_build_info()
    build = {"cuda": info.get("cuda_version", "") if info.get("is_cuda_build") else ""}
    cards, failure = [], ""
    for card in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(card)
        capability = ".".join(str(part) for part in details.get("compute_capability", ()))
        cards.append({"name": details.get("device_name", "graphics card"), "capability": capability})
    if cards:
        try:
            with tf.device("GPU:0"):  # cuDNN, cuBLAS, and XLA's compiler, each of which may be incomplete
                image, kernel = tf.ones((1, 8, 8, 3)), tf.ones((3, 3, 3, 4))
                tf.nn.conv2d(image, kernel, 1, "SAME").numpy()
                tf.function(lambda x: tf.matmul(x, x), jit_compile=True)(tf.ones((8, 8))).numpy()
        except Exception as error:
            failure = f"{type(error).__name__}: {error}".splitlines()[0][:160]
    print(json.dumps({"tensorflow": tf.__version__, "build": build, "cards": cards, "failure": failure}))


if __name__ == "__main__":
    main()
