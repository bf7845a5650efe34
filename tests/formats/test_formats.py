"""Every format that weights come in: networks built from it compute what those of the official file do."""

import functools
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from ltx_loaders import Checkpoint, find_gemma_directory, load_gemma
from ltx_pipelines.tokenizer import Tokenizer
from mlx.utils import tree_flatten

from tests.formats import writers
from tests.parity import cases_audio, cases_text, cases_transformer, cases_video  # noqa: F401  (registered)
from tests.parity.harness import Case, find_runner, relative_l2
from tests.recordings import CASES, unpacked

GENERATIONS = ("ltx-2.0", "ltx-2.3")
# Recorded inputs, one case for each network: text encoder with connectors, transformer, decoders, vocoder.
RECORDED = ("text_short_128", "transformer_basic", "vae_decode", "audio_decode", "audio_encode", "vocoder")
LIMIT = 1e-6


def root(generation: str) -> Path:
    return unpacked(CASES) / generation


def outputs(case: str, generation: str, checkpoint: Checkpoint) -> Iterator[tuple[str, np.ndarray]]:
    """What the networks of a checkpoint make of the recorded inputs of a case."""
    loaded = Case.load(root(generation) / "cases" / f"{case}.safetensors")
    loaded.__dict__["checkpoint"] = checkpoint
    runner = find_runner(case)
    assert runner is not None
    for name, value in runner.run(loaded).items():
        yield name, np.array(value)


@functools.cache
def official(case: str, generation: str) -> dict[str, np.ndarray]:
    checkpoint = Checkpoint.open(root(generation) / "checkpoint.safetensors")
    return dict(outputs(case, generation, checkpoint))


def error(case: str, generation: str, checkpoint: Checkpoint) -> float:
    """The worst relative L2 error of a case's outputs against those from the official file."""
    want = official(case, generation)
    got = dict(outputs(case, generation, checkpoint))
    assert set(got) == set(want)
    return max(relative_l2(got[name], want[name]) for name in want)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", writers.EXACT)
def test_same_outputs_as_the_official_file(name: str, generation: str, tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(writers.EXACT[name](root(generation) / "checkpoint.safetensors", tmp_path))
    assert checkpoint.generation == generation.removeprefix("ltx-")
    for case in RECORDED:
        assert error(case, generation, checkpoint) <= LIMIT, case
    # No recorded case for the encoder: its weights are compared.
    want = Checkpoint.open(root(generation) / "checkpoint.safetensors").build("video_encoder", mx.float32)
    got = checkpoint.build("video_encoder", mx.float32)
    assert got.config == want.config
    for (key, value), (_, expected) in zip(
        tree_flatten(got.parameters()), tree_flatten(want.parameters()), strict=True
    ):
        np.testing.assert_array_equal(value, expected, err_msg=key)


def test_text_encoder_and_tokenizer_of_a_diffusers_repository(tmp_path: Path) -> None:
    gemma = root("ltx-2.0") / "gemma"
    for name in ("text_encoder", "tokenizer"):
        (tmp_path / name).mkdir()
    for file in gemma.iterdir():
        folder = "text_encoder" if file.name in ("config.json", "model.safetensors") else "tokenizer"
        (tmp_path / folder / file.name).symlink_to(file)
    directory = find_gemma_directory(writers.diffusers(root("ltx-2.0") / "checkpoint.safetensors", tmp_path))
    assert directory.name == "text_encoder"
    got, want = (Tokenizer(place, 128).encode("a red ball") for place in (directory, gemma))
    np.testing.assert_array_equal(got.input_ids, want.input_ids)
    states = (load_gemma(place, mx.float32)(got.valid_ids)[-1] for place in (tmp_path, gemma))
    np.testing.assert_array_equal(*states)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_fp8_is_what_its_codes_stand_for(generation: str, keep: bool, tmp_path: Path) -> None:
    source = root(generation) / "checkpoint.safetensors"
    rounded = Checkpoint.open(writers.rounded_to_fp8(source, tmp_path))
    checkpoint = Checkpoint.open(writers.fp8(source, tmp_path), keep_fp8=keep)
    want = dict(outputs("transformer_basic", generation, rounded))
    for name, value in outputs("transformer_basic", generation, checkpoint):
        assert relative_l2(value, want[name]) <= LIMIT, name
    assert 0 < error("transformer_basic", generation, checkpoint) <= 0.1
    if keep:
        network = checkpoint.build("transformer", mx.bfloat16)
        kept = [value for name, value in tree_flatten(network.parameters()) if name.endswith("weight_fp8")]
        assert kept
        assert all(value.dtype == mx.uint8 for value in kept)
