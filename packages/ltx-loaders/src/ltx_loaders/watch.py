"""Files that must stay as they are while a run reads from them, again and again, for an hour."""

from collections.abc import Iterable
from pathlib import Path

from ltx_loaders.errors import LoaderError

State = tuple[int, int, int]


class ChangedFileError(LoaderError):
    """A file of weights is not the one any more that the run began with."""


class FileWatch:
    """Remembers size, time of change and identity of files."""

    def __init__(self) -> None:
        self._states: dict[Path, State] = {}

    def add(self, paths: Iterable[str | Path]) -> None:
        """Watch files from now on; a folder stands for itself alone, not for what is in it.

        Raises:
            LoaderError: one cannot be found.
        """
        for path in map(Path, paths):
            state = _state(path)
            if state is None:
                raise LoaderError(f"{path} does not exist or cannot be read")
            self._states.setdefault(path, state)

    def check(self) -> None:
        """Raise ChangedFileError if any of them is another file by now, or gone."""
        for path, before in self._states.items():
            now = _state(path)
            if now != before:
                what = "was deleted" if now is None else "was changed"
                raise ChangedFileError(
                    f"{path} {what} during the run; put back the file that the run began with, or begin anew"
                )


def _state(path: Path) -> State | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
