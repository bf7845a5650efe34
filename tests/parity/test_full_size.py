"""The networks at the sizes of the published checkpoints, tensor by tensor against the reference's.

`tests/fixtures/full_size` lists the names (as in a file) and shapes (as in PyTorch) of the state of the
reference's modules. Arrays of MLX are lazy: none of the 20 billion numbers is ever made.
"""

import json
import lzma
import math
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.nn as nn
import pytest
from ltx_loaders.components import COMPONENTS
from ltx_loaders.weights import KeyMap, conv_axes
from ltx_models.text_encoder import GemmaConfig
from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig
from mlx.utils import tree_flatten

FULL_SIZE = Path(__file__).parent.parent / "fixtures" / "full_size"

# Numbers in a file: parameters and, where the file holds them, statistics (256), filters and tables.
VAE_STATISTICS, BLUR = 2 * 128, 5 * 5
# In the files and in the reference's state, but never used: the inverse of a short-time Fourier transform.
UNUSED = "vocoder.mel_stft.stft_fn.inverse_basis"
NUMBERS = {
    "2.0": {
        "transformer": 18_876_174_592,
        "transformer_video": 13_041_520_768,
        "transformer_audio": 3_265_980_544,
        "embeddings_processor": 1_431_475_200,
        "video_encoder": 694_098_881 + VAE_STATISTICS,
        "video_decoder": 528_380_720 + VAE_STATISTICS,
        "audio_encoder": 21_333_008 + VAE_STATISTICS,
        "audio_decoder": 31_915_138 + VAE_STATISTICS,
        "vocoder": 55_592_802,
        "spatial_upscaler_x2": 497_867_904 + BLUR,
        "spatial_upscaler_x1.5": 545_058_944 + BLUR,
        "temporal_upscaler_x2": 130_968_192,
    },
    "2.3": {
        "transformer": 18_988_838_144,
        "transformer_video": 13_124_316_288,
        "transformer_audio": 3_286_408_320,
        "embeddings_processor": 3_172_227_584,
        "video_encoder": 318_936_897 + VAE_STATISTICS,
        "video_decoder": 407_169_072 + VAE_STATISTICS,
        "audio_encoder": 21_333_008 + VAE_STATISTICS,
        "audio_decoder": 31_915_138 + VAE_STATISTICS,
        "vocoder": 128_537_448 + 284_416,
        "spatial_upscaler_x2": 497_867_904,
        "spatial_upscaler_x1.5": 545_058_944 + BLUR,
        "temporal_upscaler_x2": 130_968_192,
    },
}
CASES = [(version, component) for version, numbers in NUMBERS.items() for component in numbers]


def _read(version: str) -> dict[str, Any]:
    reference = json.loads(lzma.decompress((FULL_SIZE / f"ltx-{version}.json.xz").read_bytes()))
    reference["tensors"]["vocoder"].pop(UNUSED, None)
    return reference


@pytest.fixture(scope="module")
def references() -> dict[str, dict[str, Any]]:
    return {version: _read(version) for version in NUMBERS}


def _build(component: str, reference: dict[str, Any]) -> tuple[nn.Module, KeyMap]:
    if component in reference["upscalers"]:
        config = LatentUpsamplerConfig.from_config(reference["upscalers"][component])
        return LatentUpsampler(config), KeyMap({"": ""})
    entry = COMPONENTS[component]
    options: dict[str, Any] = {}
    if component == "embeddings_processor":
        heads = {"intermediate_size": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
        options["gemma"] = GemmaConfig.from_config({"model_type": "gemma3_text"} | reference["gemma"] | heads)
    return entry.create(reference["config"][entry.section], **options), entry.keys


@pytest.mark.parametrize(("version", "component"), CASES, ids=[f"{v}-{name}" for v, name in CASES])
def test_names_and_shapes(version: str, component: str, references: dict[str, dict[str, Any]]) -> None:
    want = references[version]["tensors"][component]
    network, keys = _build(component, references[version])
    axes = conv_axes(network)
    got = {}
    for name, array in tree_flatten(network.parameters()):
        shape = list(array.shape)
        for position, axis in enumerate(axes.get(name, ())):
            shape[axis] = array.shape[position]
        got[keys.file_name(name)] = shape
        assert keys.module_name(keys.file_name(name)) == name
    assert sorted(got) == sorted(want)
    assert got == want
    assert sum(map(math.prod, got.values())) == NUMBERS[version][component]


@pytest.mark.parametrize("version", NUMBERS)
def test_a_file_fills_every_component(version: str, references: dict[str, dict[str, Any]]) -> None:
    """From a file of the whole model every network takes its own tensors, and no other's."""
    tensors = references[version]["tensors"]
    every = {key for component in COMPONENTS for key in tensors[component]}
    for component, entry in COMPONENTS.items():
        names = {key: entry.keys.module_name(key) for key in every}
        taken = {key for key, name in names.items() if name is not None and not entry.keys.ignores(name)}
        assert taken == set(tensors[component]), component
