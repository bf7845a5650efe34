"""Fingerprints tell files apart without reading all of them."""

from pathlib import Path
from time import perf_counter

import mlx.core as mx
import pytest
from ltx_loaders import LoaderError
from ltx_loaders.fingerprint import SAMPLE_BYTES, SAMPLES, fingerprint


def save(path: Path, value: float, names: str = "ab", metadata: dict[str, str] | None = None) -> Path:
    mx.save_safetensors(str(path), {name: mx.full((4, 4), value) for name in names}, metadata)
    return path


def test_a_copy_has_the_same_one_and_another_file_has_not(tmp_path: Path) -> None:
    first = save(tmp_path / "a.safetensors", 1.0)
    copy = tmp_path / "b.safetensors"
    copy.write_bytes(first.read_bytes())
    others = [
        save(tmp_path / "value.safetensors", 2.0),
        save(tmp_path / "names.safetensors", 1.0, "ac"),
        save(tmp_path / "metadata.safetensors", 1.0, metadata={"config": "{}"}),
    ]
    assert fingerprint(copy) == fingerprint(first)
    assert len(fingerprint(first)) == 32
    assert len({fingerprint(path) for path in [first, *others]}) == 4


def test_a_file_that_was_written_anew_has_a_new_one(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", 1.0)
    before = fingerprint(path)
    save(path, 1.0, "abcd")
    assert fingerprint(path) != before


@pytest.mark.parametrize("size", [0, 1, SAMPLE_BYTES, SAMPLE_BYTES * SAMPLES])
def test_every_byte_of_a_small_file_counts(tmp_path: Path, size: int) -> None:
    told = set()
    changes = [None, 0, size // 2, size - 1] if size else [None]
    for number, place in enumerate(changes):
        data = bytearray(size)
        if place is not None:
            data[place] = 1 + number
        path = tmp_path / f"{number}.bin"
        path.write_bytes(data)
        told.add(fingerprint(path))
    assert len(told) == len(changes)


def test_a_large_file_is_not_read_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write((2).to_bytes(8, "little") + b"{}")
        file.truncate(40 * 10**9)  # No disk is used for what was not written.
    started = perf_counter()
    before = fingerprint(path)
    assert perf_counter() - started < 5
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    assert fingerprint(path) != before


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    save(tmp_path / "model.safetensors", 1.0)
    (tmp_path / "config.json").write_text("{}")
    before = fingerprint(tmp_path)
    assert before == fingerprint(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    assert fingerprint(tmp_path) != before


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fingerprint(tmp_path / "none.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text("no JSON")
    with pytest.raises(LoaderError):
        fingerprint(tmp_path)
