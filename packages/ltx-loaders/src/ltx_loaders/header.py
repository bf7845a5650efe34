"""The header of a safetensors file: names, dtypes, shapes and metadata, without touching the data.

Format: 8 bytes little-endian header length, the header as JSON, then the data. Everything that the header
claims is checked against the file's size, so that a truncated or foreign file is refused at once.
"""

import json
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeGuard

from ltx_loaders.errors import LoaderError

ITEM_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip

PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
PICKLE_ADVICE = (
    "which can run code when opened and is never read here; convert it to safetensors "
    "(safetensors.torch.save_file) or get the .safetensors release"
)

# The format's own limit.
MAX_HEADER_BYTES = 100_000_000

# MLX counts the elements along an axis in 32 bits.
MAX_SIDE = 2**31


@dataclass(frozen=True)
class TensorInfo:
    """What the header says of one tensor: dtype by its safetensors name, shape, size and place in bytes.

    Attributes:
        start: where its data begins, counted from the beginning of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    start: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class SafetensorsHeader:
    """Everything in a safetensors file but the data."""

    path: Path
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]

    @staticmethod
    def read(path: str | Path) -> "SafetensorsHeader":
        """Read and check the header of the file at `path`.

        Raises:
            LoaderError: the file is missing, truncated, damaged, or no safetensors file.
        """
        path = Path(path)
        if path.suffix.lower() in PICKLES:
            raise LoaderError(f"{path} is a pickle file, {PICKLE_ADVICE}")
        try:
            if path.is_dir():
                raise LoaderError(f"{path} is a directory; give the .safetensors file itself")
            size = path.stat().st_size
            with path.open("rb") as file:
                prefix = file.read(8)
                length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
                if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
                    raise LoaderError(
                        f"{path} is not a safetensors file, or is cut off in its header ({size} bytes); "
                        "check the path, or download it again"
                    )
                raw = file.read(length)
        except FileNotFoundError:
            raise LoaderError(f"{path} does not exist; check the path") from None
        except OSError as error:
            raise LoaderError(f"{path} cannot be read: {error.strerror or error}") from None
        header = _parse(path, raw)
        # MLX writes null where there is no metadata.
        metadata = header.pop("__metadata__", None) or {}
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise LoaderError(f"{path} is damaged: the metadata of its header is not a map of strings")
        tensors = {name: _tensor(path, name, entry, 8 + length) for name, entry in header.items()}
        _check_places(path, tensors, size)
        return SafetensorsHeader(path, tensors, metadata)


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise LoaderError(
            f"{path} is not a safetensors file: its header is not JSON; check the path"
        ) from None
    if not isinstance(header, dict):
        raise LoaderError(
            f"{path} is not a safetensors file: its header is not a JSON object; check the path"
        )
    return header


def _tensor(path: Path, name: str, entry: object, data: int) -> TensorInfo:
    """One entry of the header of a file whose data begins at `data`."""

    def damaged(why: str) -> LoaderError:
        return LoaderError(f"{path} is damaged: the header entry of tensor {name!r} {why}; download it again")

    if not isinstance(entry, dict):
        raise damaged("is not an object")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise damaged("has a name that is no text")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise damaged(f"has dtype {dtype!r}; known are {', '.join(sorted(ITEM_SIZES))}")
    if not _sizes(shape, MAX_SIDE) or not _sizes(offsets, 2**62) or len(offsets) != 2:
        raise damaged("has no valid shape and data_offsets")
    nbytes = prod(shape) * ITEM_SIZES[dtype]
    if offsets[1] - offsets[0] != nbytes:
        raise damaged(f"gives {offsets[1] - offsets[0]} bytes to {nbytes} bytes of data")
    return TensorInfo(dtype, tuple(shape), nbytes, data + offsets[0])


def _sizes(value: Any, limit: int) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < limit for item in value)


def _check_places(path: Path, tensors: dict[str, TensorInfo], size: int) -> None:
    """Tensors lie inside the file, and none of them in another: a small file cannot claim much memory."""
    last, end = "", 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].nbytes)):
        if info.start < end and info.nbytes:
            raise LoaderError(
                f"{path} is damaged: the data of tensors {last!r} and {name!r} overlap; download it again"
            )
        if info.start + info.nbytes > size:
            raise LoaderError(
                f"{path} is truncated: tensor {name!r} ends at byte {info.start + info.nbytes}, the file at "
                f"{size}; the download was cut off, resume or repeat it"
            )
        if info.nbytes:
            last, end = name, info.start + info.nbytes


def pickles_in(folder: Path) -> str | None:
    """What to say of a folder whose weights are pickle files; None if it holds none."""
    names = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICKLES)
    return f"{folder} holds pickle files ({', '.join(names[:3])}), {PICKLE_ADVICE}" if names else None
