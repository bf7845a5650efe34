"""Files that are there as a whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the path, have it on the disk, and rename it into place.

    Raises:
        OSError: it cannot be written; what was at `path` before is still there, and nothing beside it.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


TEMPORARY = ".writing-"
"""How names of unfinished files begin; only a process that was killed leaves one behind."""
