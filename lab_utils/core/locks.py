"""A lock file that the system lets go of when its holder ends, however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lab_utils.core.errors import LabError, of_system


@contextlib.contextmanager
def locked(path: Path, taken: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file while the block runs; the system lets go of it when the process ends, however it ends.

    Args:
        path: of the file; it stays behind and means nothing by itself.
        taken: called with the holder's process number where another one holds it, before waiting for it.

    Raises:
        LabError: the file can't be written, or its file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+b", buffering=0)
    except OSError as error:
        raise LabError(of_system(error)) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            taken(handle.read().decode().strip() or "unknown")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            raise LabError(
                f"{path} can't be locked ({error.strerror}): put the lab on a disk that has locks."
            ) from None
        with contextlib.suppress(OSError):  # a full disk: whoever waits then knows no number
            handle.truncate(0)
            handle.write(f"{os.getpid()}\n".encode())
        yield
