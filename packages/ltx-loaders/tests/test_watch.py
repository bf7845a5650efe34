"""Files that change under a run."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ltx_loaders import ChangedFileError, FileWatch, LoaderError


def truncate(path: Path) -> None:
    os.truncate(path, 3)


def rewrite(path: Path) -> None:
    """The same size, another content."""
    path.write_bytes(b"others")
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    """Even the same content: it is not the file that was read from."""
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(path.stat().st_mtime_ns,) * 2)
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [(truncate, "changed"), (rewrite, "changed"), (replace, "changed"), (Path.unlink, "deleted")],
)
def test_what_changes_is_named(tmp_path: Path, change: Callable[[Path], None], told: str) -> None:
    kept, path = tmp_path / "kept", tmp_path / "weights"
    for file in (kept, path):
        file.write_bytes(b"weight")
    watch = FileWatch()
    watch.add([str(kept), path])
    watch.check()
    change(path)
    with pytest.raises(ChangedFileError, match=f"weights was {told} during the run"):
        watch.check()


def test_only_files_can_be_watched(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="nothing does not exist"):
        FileWatch().add([tmp_path / "nothing"])


def test_a_file_stays_what_it_was_when_it_was_first_seen(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"weight")
    watch = FileWatch()
    watch.add([path])
    truncate(path)
    watch.add([path])
    with pytest.raises(ChangedFileError):
        watch.check()
