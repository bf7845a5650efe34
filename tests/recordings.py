"""Recorded numbers of the reference: packed in tests/fixtures, unpacked once where a test session needs them.

`cases.tar.xz` holds cases of components and networks, `runs.tar.xz` whole runs of the official pipelines,
each beside the small models in the official layout that they were recorded with. To pack a folder anew:

    python -m tests.recordings ARCHIVE FOLDER
"""

import atexit
import functools
import lzma
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

PACKED = Path(__file__).parent / "fixtures"
CASES, RUNS = PACKED / "cases.tar.xz", PACKED / "runs.tar.xz"

# Weights of 2 and outputs of 4 bytes: of a literal, the two lowest bits of its address and the two highest of
# the byte before say most. 12 % less than the defaults of xz leave.
FILTER = {
    "id": lzma.FILTER_LZMA2,
    "preset": 9 | lzma.PRESET_EXTREME,
    "dict_size": 1 << 24,
    "lc": 2,
    "lp": 2,
    "pb": 2,
}


@functools.cache
def unpacked(archive: Path) -> Path:
    """A temporary folder with the content of an archive; the process has it for itself until it ends."""
    folder = Path(tempfile.mkdtemp(prefix="ltx-recordings-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        with tarfile.open(archive, "r:xz") as tar:
            for entry in tar:
                _extract(tar, entry, folder)
    except FileNotFoundError:
        raise pytest.UsageError(f"{archive} is missing") from None
    except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
        raise pytest.UsageError(f"{archive} is damaged: {error}") from error
    return folder


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    """One file, folder or link, and nothing outside: the first Python 3.11 has no filter for that."""
    path, top = folder / entry.name, folder.resolve()
    target = path.parent / entry.linkname if entry.issym() else path
    if not all(place.resolve().is_relative_to(top) for place in (path, target)):
        raise tarfile.TarError(f"{entry.name} leads out of its folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry.isdir():
        path.mkdir(exist_ok=True)
    elif entry.issym():
        path.symlink_to(entry.linkname)
    elif (content := tar.extractfile(entry)) is not None:
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)


def places(directory: Path) -> list[Path]:
    """Where to look for what is recorded at or below a directory: it, and the archives in it, unpacked."""
    return [directory, *map(unpacked, sorted(directory.glob("*.tar.xz")))]


def pack(folder: Path, archive: Path) -> None:
    """Write an archive of a folder's content; equal contents give equal archives."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.isdir() else 0o644
        return entry

    with (
        lzma.open(archive, "wb", filters=[FILTER]) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=anonymous)


if __name__ == "__main__":
    pack(Path(sys.argv[2]), Path(sys.argv[1]))
