"""Which file this is, told without reading all of it: 40 GB would take minutes."""

import hashlib
import os
import struct
from pathlib import Path
from typing import BinaryIO

from ltx_loaders.gemma import gemma_files
from ltx_loaders.header import MAX_HEADER_BYTES

SAMPLES = 256
SAMPLE_BYTES = 16 * 1024

# By path: size and time of change, and what was found then.
_known: dict[str, tuple[tuple[int, int], str]] = {}


def fingerprint(path: str | Path) -> str:
    """What tells a file of weights from others: 32 hexadecimal digits.

    Of the file are hashed (SHA-256, cut to 128 bits): its size, the header if it is a safetensors file
    (names, dtypes, shapes and places of all tensors, metadata), and 256 blocks of 16 KiB spread evenly from
    its first byte to its last. A file up to 4 MiB is hashed whole. So another checkpoint, another
    quantisation or another training run always differ, but a change of single bytes between the blocks of a
    large file may not: this is no protection against forgery, for which `sha256sum` is the tool. Of a folder
    with a text encoder, the weights are taken file by file, with config and tokenizer.

    The answer is kept for as long as size and time of change stay the same.

    Raises:
        OSError: the file cannot be read.
        LoaderError: a folder holds no text encoder.
    """
    path = Path(path)
    if path.is_dir():
        parts = [*gemma_files(path), *sorted(path.glob("*.json")), *sorted(path.glob("tokenizer.model"))]
        told = "".join(f"{part.name} {fingerprint(part)}\n" for part in parts)
        return hashlib.sha256(told.encode()).hexdigest()[:32]
    name, status = str(path.resolve()), path.stat()
    state = status.st_size, status.st_mtime_ns
    if name not in _known or _known[name][0] != state:
        _known[name] = state, _of_file(path)
    return _known[name][1]


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        if size > SAMPLES * SAMPLE_BYTES:
            digest.update(_header(file, size))
            places = [index * (size - SAMPLE_BYTES) // (SAMPLES - 1) for index in range(SAMPLES)]
        else:
            places = list(range(0, size, SAMPLE_BYTES))
        for place in places:
            file.seek(place)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:32]


def _header(file: BinaryIO, size: int) -> bytes:
    """The header of a safetensors file; of another, what stands in its place is of no harm."""
    (length,) = struct.unpack("<Q", file.read(8))
    return file.read(length) if length <= min(size - 8, MAX_HEADER_BYTES) else b""
