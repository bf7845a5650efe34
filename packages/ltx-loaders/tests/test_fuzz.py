"""Damaged files of every kind: they load or are refused with a sentence, soon, and without eating the memory.

LTX_FUZZ_EXAMPLES sets how many mutations of each kind are tried.
"""

import json
import os
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ltx_core.errors import LTXError
from ltx_loaders import COMPONENTS, Checkpoint, LoaderError, load_gemma
from ltx_models.text_encoder import GemmaConfig, GemmaTextModel
from ltx_models.transformer import LTXModel, LTXModelConfig
from ltx_models.video_vae import VideoDecoder, VideoVAEConfig
from mlx.utils import tree_flatten

EXAMPLES = int(os.environ.get("LTX_FUZZ_EXAMPLES", "40"))
SECONDS = 10.0
SLACK_BYTES = 1_000_000

TRANSFORMER = {
    "num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 4, "in_channels": 4, "out_channels": 4,
    "cross_attention_dim": 8, "caption_channels": 6, "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 4, "audio_in_channels": 4, "audio_out_channels": 4,
    "audio_cross_attention_dim": 8, "rope_type": "split", "norm_eps": 1e-6,
    "positional_embedding_max_pos": [20, 2048, 2048],
}  # fmt: skip
VAE = {
    "_class_name": "CausalVideoAutoencoder", "latent_channels": 2, "decoder_base_channels": 4,
    "timestep_conditioning": False, "patch_size": 1,
    "encoder_blocks": [["res_x", {"num_layers": 1}], ["compress_all_res", {"multiplier": 4}]],
    "decoder_blocks": [["compress_all", {"multiplier": 2, "residual": True}], ["res_x", {"num_layers": 1}]],
}  # fmt: skip
GEMMA = {
    "model_type": "gemma3_text", "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1,
    "num_key_value_heads": 1, "head_dim": 4, "num_hidden_layers": 2, "vocab_size": 16, "sliding_window": 8,
}  # fmt: skip
DIFFUSERS_VAE = {
    "_class_name": "AutoencoderKLLTX2Video", "latent_channels": 2, "block_out_channels": [8],
    "decoder_block_out_channels": [8], "layers_per_block": [1, 1], "decoder_layers_per_block": [1, 1],
    "downsample_type": ["spatiotemporal"], "upsample_type": ["spatiotemporal"], "upsample_factor": [2],
    "upsample_residual": [True], "decoder_inject_noise": [False, False], "decoder_causal": False,
    "patch_size": 1, "spatio_temporal_scaling": [True], "decoder_spatio_temporal_scaling": [True],
}  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 7, 2**31 - 1, 2**31, 2**63, 2**64, 10**400, 1e308, float("nan"), 0.5,
    "", "x", "9" * 50, "../../x", "\ud800", [], {}, [[]], [1] * 1000, ["a"], {"a": {"b": []}}, "F32",
    "F8_E4M3", "BF16", "I64", [0, 0], [2**62, 2**62], [-1, 5],
]  # fmt: skip


def official(prefix: str, module: Any, names: Callable[[str], str] = str) -> dict[str, mx.array]:
    return {
        prefix + names(name): mx.moveaxis(value, -1, 1) if value.ndim > 2 else value
        for name, value in tree_flatten(module.parameters())
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound checkpoint with a transformer and a decoder."""
    decoder = VideoDecoder(VideoVAEConfig.from_config(VAE))
    keys = COMPONENTS["video_decoder"].keys
    tensors = official("model.diffusion_model.", LTXModel(LTXModelConfig.from_config(TRANSFORMER)))
    tensors |= official("", decoder, keys.file_name)
    path = tmp_path_factory.mktemp("whole") / "x.safetensors"
    config = json.dumps({"transformer": TRANSFORMER, "vae": VAE})
    mx.save_safetensors(str(path), tensors, {"config": config, "model_version": "2.0.0"})
    use(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gemma")
    tensors = official("model.", GemmaTextModel(GemmaConfig.from_config(GEMMA)))
    mx.save_safetensors(str(folder / "model.safetensors"), tensors)
    return folder


def use(path: Path) -> None:
    """Everything that a run does with a checkpoint, short of computing."""
    checkpoint = Checkpoint.open(path)
    checkpoint.groups()
    assert checkpoint.generation
    for component in ("transformer", "video_decoder"):
        if checkpoint.config.get(COMPONENTS[component].section) and checkpoint.has(component):
            mx.eval(checkpoint.build(component, mx.float32).parameters())


def survives(action: Callable[[], object], size: int) -> None:
    """It works or says why not: in time, and within twice the file's size."""
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    start = time.perf_counter()
    sentence = "it works as it is"
    try:
        action()
    except LTXError as error:
        sentence = str(error)
    assert len(sentence.split()) > 3
    assert time.perf_counter() - start < SECONDS
    assert mx.get_peak_memory() - before <= 2 * size + SLACK_BYTES


def mutate(value: Any, rng: random.Random) -> Any:
    """One value somewhere inside, replaced, dropped, doubled or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        changed = dict(value)
        kind = rng.random()
        if kind < 0.1:
            del changed[key]
        elif kind < 0.15:
            changed[rng.choice(["", key + "x", "__metadata__", "encoder_blocks"])] = changed.pop(key)
        else:
            changed[key] = mutate(value[key], rng)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.7:
        index = rng.randrange(len(value))
        changed_list = list(value)
        if rng.random() < 0.2:
            return changed_list[:index] + changed_list[index:] * rng.randrange(3)
        changed_list[index] = mutate(value[index], rng)
        return changed_list
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.5:
        return value + rng.choice([-1, 1, 8, -8, 1000, value, 10**9])
    return rng.choice(ODD)


SEEDS = st.integers(0, 2**64)
fuzzed = settings(
    max_examples=EXAMPLES, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@fuzzed
@given(seed=SEEDS)
def test_damaged_bytes(whole: bytes, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(whole)
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        place = rng.randrange(rng.choice([8, header, len(data)]))
        kind = rng.randrange(4)
        if kind == 0:
            data[place] = rng.randrange(256)
        elif kind == 1:
            data[place:place] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 2:
            del data[place : place + rng.randrange(1, 2000)]
        else:
            data[place] = rng.choice(b'"{}[],:0123456789-eE.ntf\\')
        header = min(header, len(data))
        if len(data) < 9:
            break
    path = tmp_path / "x.safetensors"
    path.write_bytes(bytes(data))
    survives(lambda: use(path), len(data))


def parted(whole: bytes) -> tuple[Any, bytes]:
    """Header and data of a file."""
    length = struct.unpack("<Q", whole[:8])[0]
    return json.loads(whole[8 : 8 + length]), whole[8 + length :]


def check_file(path: Path, header: Any, data: bytes) -> None:
    """A file of this header and these data is used or refused."""
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    survives(lambda: use(path), path.stat().st_size)


@fuzzed
@given(seed=SEEDS)
def test_damaged_headers(whole: bytes, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    header, data = parted(whole)
    for _ in range(rng.choice([1, 1, 3])):
        header = mutate(header, rng)
    check_file(tmp_path / "x.safetensors", header, data)


@fuzzed
@given(seed=SEEDS)
def test_damaged_configs(whole: bytes, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    header, data = parted(whole)
    config = json.loads(header["__metadata__"]["config"])
    for _ in range(rng.choice([1, 1, 3])):
        config = mutate(config, rng)
    header["__metadata__"]["config"] = json.dumps(config)
    check_file(tmp_path / "x.safetensors", header, data)


@fuzzed
@given(seed=SEEDS)
def test_damaged_text_encoders(gemma: Path, seed: int) -> None:
    rng = random.Random(seed)
    (gemma / "config.json").write_text(json.dumps(mutate(GEMMA, rng)))
    size = (gemma / "model.safetensors").stat().st_size

    def load() -> None:
        mx.eval(load_gemma(gemma, mx.float32).parameters())

    survives(load, size)


@fuzzed
@given(seed=SEEDS)
def test_damaged_diffusers_repositories(whole: bytes, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    (tmp_path / "vae").mkdir(exist_ok=True)
    stem = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    stem.write_bytes(whole)
    index: Any = {"weight_map": {"a": stem.name}}
    config: Any = DIFFUSERS_VAE
    if rng.random() < 0.3:
        index = mutate(index, rng)
    else:
        config = mutate(mutate(config, rng), rng)
    (tmp_path / "vae" / "config.json").write_text(json.dumps(config))
    (tmp_path / "vae" / f"{stem.name}.index.json").write_text(json.dumps(index))
    survives(lambda: use(tmp_path), len(whole))


def test_nested_without_end(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for raw in (b'{"a":' * 100_000, b"[" * 1_000_000, b'{"__metadata__":' + b"[" * 10_000):
        path.write_bytes(struct.pack("<Q", len(raw)) + raw)
        with pytest.raises(LoaderError, match="not JSON"):
            Checkpoint.open(path)
    deep: Any = 1
    for _ in range(300):
        deep = {"a": [deep]}
    header, data = parted(whole)
    header["__metadata__"]["config"] = json.dumps({"transformer": TRANSFORMER | {"norm_eps": deep}})
    check_file(path, header, data)


def test_tensors_cannot_share_data(tmp_path: Path) -> None:
    """Or a kilobyte of header would claim a thousand times the file's size."""
    header = {f"t{n}": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]} for n in range(1000)}
    raw = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(4000))
    with pytest.raises(LoaderError, match="overlap"):
        Checkpoint.open(path)
