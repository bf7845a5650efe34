"""Headers: what is read, and that damage of every kind is an error with a sentence."""

import contextlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_loaders import LoaderError, SafetensorsHeader
from safetensors.numpy import save, save_file

NAMES = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=8)
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def write(path: Path, header: object, data: bytes = b"") -> Path:
    raw = json.dumps(header).encode() if not isinstance(header, bytes) else header
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


@settings(max_examples=30, deadline=None)
@given(shapes=st.dictionaries(NAMES, SHAPES, min_size=1, max_size=5))
def test_reads_what_safetensors_writes(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, tuple[int, ...]]
) -> None:
    path = tmp_path_factory.mktemp("header") / "x.safetensors"
    save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, path, {"config": "{}"})
    header = SafetensorsHeader.read(path)
    assert {name: info.shape for name, info in header.tensors.items()} == shapes
    assert all(info.dtype == "F16" and info.nbytes == 2 * info.size for info in header.tensors.values())
    assert header.metadata == {"config": "{}"}


@settings(max_examples=50, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_every_truncation_is_an_error(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    whole = save({"a": np.zeros((5, 7), np.float32), "b": np.ones(3, np.int32)}, {"k": "v"})
    path = tmp_path_factory.mktemp("cut") / "x.safetensors"
    path.write_bytes(whole[: cut % len(whole)])
    with pytest.raises(LoaderError, match=r"not a safetensors file|truncated"):
        SafetensorsHeader.read(path)


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 200), value=st.integers(0, 255))
def test_a_changed_byte_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int
) -> None:
    whole = bytearray(save({"a": np.zeros((5, 7), np.float32), "b": np.ones(3, np.int32)}, {"k": "v"}))
    whole[position % len(whole)] = value
    path = tmp_path_factory.mktemp("byte") / "x.safetensors"
    path.write_bytes(bytes(whole))
    with contextlib.suppress(LoaderError):
        SafetensorsHeader.read(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"not json", "header is not JSON"),
        ([], "not a JSON object"),
        ({"__metadata__": {"a": 1}}, "not a map of strings"),
        ({"t": 3}, "is not an object"),
        ({"\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, "a name that is no text"),
        ({"t": {"dtype": "F12", "shape": [1], "data_offsets": [0, 4]}}, "dtype 'F12'"),
        ({"t": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, "no valid shape"),
        ({"t": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, "no valid shape"),
        ({"t": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}, "gives 8 bytes to 4 bytes"),
        ({"t": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}, "is truncated"),
    ],
)
def test_damaged_headers(tmp_path: Path, header: object, message: str) -> None:
    with pytest.raises(LoaderError, match=message):
        SafetensorsHeader.read(write(tmp_path / "x.safetensors", header, b"\0" * 8))


def test_missing_files_folders_and_pickles(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match="does not exist"):
        SafetensorsHeader.read(tmp_path / "none.safetensors")
    with pytest.raises(LoaderError, match="is a directory"):
        SafetensorsHeader.read(tmp_path)
    with pytest.raises(LoaderError, match="pickle"):
        SafetensorsHeader.read(tmp_path / "model.ckpt")
