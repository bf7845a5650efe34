"""One run at a time for one output file."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ltx_core import LTXError
from ltx_pipelines.latent_cache import cache_folder


class OutputInUseError(LTXError):
    """Another run is going to write the same file."""


@contextmanager
def output_lock(output: Path) -> Iterator[None]:
    """Hold an output file for one run; the system lets go of it when the process ends, however it ends.

    The lock is an empty file in the cache folder, not beside the output. Where there can be none, runs are
    not kept apart: each still writes to a file of its own name first, and the last one to end wins.

    Raises:
        OutputInUseError: another run has it.
    """
    name = hashlib.sha256(os.fsencode(output.resolve())).hexdigest()[:32]
    path = cache_folder() / "locks" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _locked(path)
    except BlockingIOError:
        raise OutputInUseError(
            f"another run is making {output}; wait for it to end, or give another --output"
        ) from None
    except OSError:
        yield
        return
    try:
        yield
    finally:
        # While it is still held: whoever opens it now finds it gone, and makes another.
        with suppress(OSError):
            path.unlink()
        os.close(handle)


def _locked(path: Path) -> int:
    """The handle of the lock file, which is at its path."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(handle).st_ino:
                    return handle
        except BaseException:
            os.close(handle)
            raise
        # The run that held it has just removed it.
        os.close(handle)
