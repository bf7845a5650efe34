"""Checkpoints written anew: convert then load is the same as quantise on load, bit for bit."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_loaders import Checkpoint, LoaderError, Pack, QuantizationPolicy, convert, quantize_module
from ltx_loaders.components import COMPONENTS
from mlx.utils import tree_flatten

CHOICES = ["8", "4", "mxfp8", "mxfp4", "nvfp4"]


def section(heads: int = 2, layers: int = 3, gated: bool = True) -> dict[str, Any]:
    """A transformer of widths 32 times as large, and half of that."""
    return {
        "num_layers": layers,
        "num_attention_heads": heads,
        "attention_head_dim": 32,
        "in_channels": 3,
        "out_channels": 3,
        "cross_attention_dim": 32 * heads,
        "audio_num_attention_heads": heads,
        "audio_attention_head_dim": 16,
        "audio_in_channels": 5,
        "audio_out_channels": 5,
        "audio_cross_attention_dim": 16 * heads,
        "caption_channels": 6,
        "av_ca_timestep_scale_multiplier": 1000.0,
        "frequencies_precision": "float64",
        "apply_gated_attention": gated,
        "cross_attention_adaln": gated,
    }


def write(path: Path, config: dict[str, Any], dtype: mx.Dtype = mx.bfloat16, **metadata: str) -> Path:
    """A checkpoint with a transformer and a tensor that nobody knows."""
    module = COMPONENTS["transformer"].create(config)
    keys = iter(mx.random.split(mx.random.key(3), 2000))
    tensors = {"strange.number": mx.array([7], mx.int32)}
    for name, value in flat(module).items():
        tensors[f"model.diffusion_model.{name}"] = mx.random.normal(value.shape, key=next(keys)).astype(dtype)
    mx.save_safetensors(str(path), tensors, {"config": json.dumps({"transformer": config}), **metadata})
    return path


def flat(module: nn.Module) -> dict[str, mx.array]:
    return dict(tree_flatten(module.parameters()))


def assert_same(got: nn.Module, want: nn.Module) -> None:
    assert flat(got).keys() == flat(want).keys()
    for name, value in flat(want).items():
        assert flat(got)[name].dtype == value.dtype, name
        np.testing.assert_array_equal(
            np.array(flat(got)[name].view(mx.uint8)), np.array(value.view(mx.uint8)), err_msg=name
        )


@settings(max_examples=8, deadline=None)
@given(
    choice=st.sampled_from([*CHOICES, None]),
    heads=st.integers(1, 3),
    layers=st.integers(1, 4),
    gated=st.booleans(),
    stored=st.sampled_from([mx.bfloat16, mx.float32]),
    loaded=st.sampled_from([mx.bfloat16, mx.float32]),
    shard=st.sampled_from([10_000, 100_000, 10**9]),
)
def test_convert_then_load_is_quantise_on_load(
    tmp_path_factory: pytest.TempPathFactory,
    choice: str | None,
    heads: int,
    layers: int,
    gated: bool,
    stored: mx.Dtype,
    loaded: mx.Dtype,
    shard: int,
) -> None:
    folder = tmp_path_factory.mktemp("convert")
    source = write(folder / "source.safetensors", section(heads, layers, gated), stored)
    policy = None if choice is None else QuantizationPolicy.of(choice, 32)
    made = convert(source, folder / "pack", policy=policy, max_shard_bytes=shard)
    want = Checkpoint.open(source).build("transformer", loaded)
    if policy is not None:
        assert made.quantised == quantize_module(want, policy, layers)
    assert_same(Checkpoint.open(made.path).build("transformer", loaded), want)
    assert (len(made.files) > 1) == (shard == 10_000 or made.nbytes > shard)
    assert sorted(entry.name for entry in folder.iterdir()) == ["pack", "source.safetensors"]


def test_the_metadata_tells_what_it_is(tmp_path: Path) -> None:
    source = write(tmp_path / "ltx-2.3-dev.safetensors", section(), model_version="2.3.0")
    seen: list[tuple[str, int, int]] = []
    made = convert(
        source,
        tmp_path / "pack",
        policy=QuantizationPolicy.of(4, 32),
        max_shard_bytes=50_000,
        on_progress=lambda *event: seen.append(event),
    )
    assert made.files[0] == f"model-00001-of-{len(made.files):05}.safetensors"
    for file in made.files:
        alone = mx.load(str(made.path / file), return_metadata=True)[1]
        assert json.loads(alone["config"]) == {"transformer": section()}
        assert alone["model_version"] == "2.3.0"
    checkpoint = Checkpoint.open(made.path)
    assert checkpoint.generation == "2.3"
    pack = Pack.read(checkpoint.metadata)
    assert pack is not None
    assert pack.source == source.name
    assert pack.policy == QuantizationPolicy.of(4, 32)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert pack.files == ({"file": source.name, "bytes": source.stat().st_size, "sha256": digest},)
    assert Pack.read({}) is None
    assert seen[-1] == ("write", made.nbytes, made.nbytes)
    assert ("hash", source.stat().st_size, source.stat().st_size) in seen
    assert int(checkpoint.tensors()["strange.number"][0]) == 7
    assert oct(made.path.stat().st_mode & 0o777) == "0o755"


@pytest.mark.parametrize("dtype", [mx.float16, mx.float32, mx.bfloat16])
def test_casts(dtype: mx.Dtype, tmp_path: Path) -> None:
    source = write(tmp_path / "source.safetensors", section(), mx.float32)
    convert(source, tmp_path / "pack", dtype=dtype)
    tensors = Checkpoint.open(source).tensors()
    for name, tensor in Checkpoint.open(tmp_path / "pack").tensors().items():
        want = tensors[name] if name == "strange.number" else tensors[name].astype(dtype)
        assert tensor.dtype == want.dtype
        np.testing.assert_array_equal(tensor.astype(mx.float32), want.astype(mx.float32))


def test_numbers_too_large_for_float16_are_an_error(tmp_path: Path) -> None:
    source = write(tmp_path / "source.safetensors", section())
    tensors, metadata = mx.load(str(source), return_metadata=True)
    name = "model.diffusion_model.proj_out.bias"
    mx.save_safetensors(str(source), tensors | {name: mx.full((3,), 1e6)}, metadata)
    with pytest.raises(LoaderError, match=r"proj_out\.bias holds numbers that are not finite"):
        convert(source, tmp_path / "pack", dtype=mx.float16)
    assert [entry.name for entry in tmp_path.iterdir()] == [source.name]


def test_what_cannot_be_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "source.safetensors", section())
    policy = QuantizationPolicy.of(8, 32)
    convert(source, tmp_path / "pack", policy=policy)
    with pytest.raises(LoaderError, match="pack exists"):
        convert(source, tmp_path / "pack", policy=policy)
    with pytest.raises(LoaderError, match="is quantised already"):
        convert(tmp_path / "pack", tmp_path / "again", policy=policy)
    sizes = {"attention_head_dim": 8, "audio_attention_head_dim": 4, "cross_attention_dim": 8}
    narrow = write(tmp_path / "narrow.safetensors", section(1) | sizes | {"audio_cross_attention_dim": 4})
    with pytest.raises(LoaderError, match="its layers are no multiples of 128"):
        convert(narrow, tmp_path / "again", policy=QuantizationPolicy.of(4, 128))
    narrow.unlink()
    with pytest.raises(LoaderError, match="make it first"):
        convert(source, tmp_path / "nowhere" / "again", policy=policy)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type(usage)(usage.total, usage.used, 1000))
    with pytest.raises(LoaderError, match=r"0\.00 GB are free there"):
        convert(source, tmp_path / "again", policy=policy)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["pack", "source.safetensors"]


def test_nothing_is_left_of_a_conversion_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "source.safetensors", section())

    def full(what: str, done: int, total: int) -> None:
        if what == "write" and done > total / 2:
            raise OSError(28, os.strerror(28))

    with pytest.raises(LoaderError, match="pack cannot be written: No space left"):
        convert(source, tmp_path / "pack", max_shard_bytes=50_000, on_progress=full)
    assert [entry.name for entry in tmp_path.iterdir()] == [source.name]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 1}', "[" * 100_000])
def test_damaged_metadata(text: str) -> None:
    with pytest.raises(LoaderError, match="'ltx_pack' is damaged"):
        Pack.read({"ltx_pack": text})
    later = {"format_version": 2, "source": "x", "files": [], "quantization": None}
    with pytest.raises(LoaderError, match="update ltx-loaders"):
        Pack.read({"ltx_pack": json.dumps(later)})
