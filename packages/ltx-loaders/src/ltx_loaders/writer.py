"""Safetensors files that are larger than memory: written tensor by tensor."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np

from ltx_loaders.header import ITEM_SIZES

NAMES = {
    mx.bool_: "BOOL", mx.uint8: "U8", mx.int8: "I8", mx.uint16: "U16", mx.int16: "I16", mx.float16: "F16",
    mx.bfloat16: "BF16", mx.uint32: "U32", mx.int32: "I32", mx.float32: "F32", mx.uint64: "U64",
    mx.int64: "I64",
}  # fmt: skip
"""What safetensors calls MLX's dtypes."""


@dataclass(frozen=True)
class Entry:
    """A tensor that will be written: its dtype by its safetensors name, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @staticmethod
    def of(array: mx.array) -> "Entry":
        """Of an array, computed or not."""
        return Entry(NAMES[array.dtype], array.shape)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * ITEM_SIZES[self.dtype]


def write_safetensors(
    path: Path,
    entries: Mapping[str, Entry],
    arrays: Iterable[tuple[str, mx.array]],
    metadata: Mapping[str, str],
    on_bytes: Callable[[int], None] = lambda count: None,
) -> None:
    """Write a file whose tensors are made while it is written.

    Args:
        entries: what the file will hold, in the order in which it comes.
        arrays: the same names with their arrays, in the same order; each is let go when it is written.
        on_bytes: called with the size of each tensor that is written.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    position = 0
    for name, entry in entries.items():
        end = position + entry.nbytes
        header[name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    # The data begins at a multiple of 8 bytes.
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for (name, entry), (given, array) in zip(entries.items(), arrays, strict=True):
            assert (name, entry) == (given, Entry.of(array))
            if array.size:
                np.asarray(mx.contiguous(array).reshape(-1).view(mx.uint8)).tofile(file)
            on_bytes(entry.nbytes)
            del array
