"""Every format that weights come in: networks built from it compute what those of the official file do."""

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from ltx_core import ConfigError
from ltx_loaders import Checkpoint, find_gemma_directory, load_gemma
from ltx_loaders.fp8 import Fp8Linear
from ltx_pipelines import CheckpointModels
from ltx_pipelines.tokenizer import Tokenizer
from mlx.utils import tree_flatten

from tests.formats import measure, table, writers
from tests.parity.harness import relative_l2


@pytest.mark.parametrize("generation", measure.GENERATIONS)
@pytest.mark.parametrize("row", table.ROWS, ids=lambda row: row.name)
def test_every_format_is_within_its_limit(row: table.Row, generation: str, tmp_path: Path) -> None:
    assert row.error(generation, tmp_path) <= row.limit


@pytest.mark.parametrize("generation", measure.GENERATIONS)
@pytest.mark.parametrize("name", writers.EXACT)
def test_generation_and_encoder(name: str, generation: str, tmp_path: Path) -> None:
    official = measure.root(generation) / "checkpoint.safetensors"
    checkpoint = Checkpoint.open(writers.EXACT[name](official, tmp_path))
    assert checkpoint.generation == generation.removeprefix("ltx-")
    measure.same_weights("video_encoder", generation, checkpoint)


def test_the_table_of_the_documentation_has_these_rows() -> None:
    text = table.DOCUMENT.read_text(encoding="utf-8").split(table.BEGIN)[1].split(table.END)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    assert [(row[0], row[1], float(row[-1])) for row in cells] == [
        (row.name, row.give, row.limit) for row in table.ROWS
    ], "run python -m tests.formats.table"
    assert all(float(error) <= float(row[-1]) for row in cells for error in row[2:-1])


def test_text_encoder_and_tokenizer_of_a_diffusers_repository(tmp_path: Path) -> None:
    root = measure.root("ltx-2.0")
    for name in ("text_encoder", "tokenizer"):
        (tmp_path / name).mkdir()
    for file in (root / "gemma").iterdir():
        folder = "text_encoder" if file.name in ("config.json", "model.safetensors") else "tokenizer"
        (tmp_path / folder / file.name).symlink_to(file)
    directory = find_gemma_directory(writers.diffusers(root / "checkpoint.safetensors", tmp_path))
    assert directory.name == "text_encoder"
    got, want = (Tokenizer(place, 128).encode("a red ball") for place in (directory, root / "gemma"))
    np.testing.assert_array_equal(got.input_ids, want.input_ids)
    states = (load_gemma(place, mx.float32)(got.valid_ids)[-1] for place in (tmp_path, root / "gemma"))
    np.testing.assert_array_equal(*states)


def test_pipelines_keep_fp8_when_they_are_asked_to(tmp_path: Path) -> None:
    root = measure.root("ltx-2.0")
    official = root / "checkpoint.safetensors"
    models = CheckpointModels(writers.fp8(official, tmp_path), root / "gemma", quantize="fp8")
    with models.transformer() as transformer:
        assert isinstance(transformer.transformer_blocks[1].attn1.to_q, Fp8Linear)
    with CheckpointModels(models.checkpoint.path, root / "gemma").transformer() as transformer:
        assert type(transformer.transformer_blocks[1].attn1.to_q) is nn.Linear
    with pytest.raises(ConfigError, match=r"no weights in fp8 to be kept; take the fp8 checkpoint"):
        CheckpointModels(official, root / "gemma", quantize="fp8")


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("generation", measure.GENERATIONS)
def test_fp8_is_what_its_codes_stand_for(generation: str, keep: bool, tmp_path: Path) -> None:
    source = measure.root(generation) / "checkpoint.safetensors"
    rounded = Checkpoint.open(writers.rounded_to_fp8(source, tmp_path))
    checkpoint = Checkpoint.open(writers.fp8(source, tmp_path), keep_fp8=keep)
    want = dict(measure.outputs("transformer_basic", generation, rounded))
    for name, value in measure.outputs("transformer_basic", generation, checkpoint):
        assert relative_l2(value, want[name]) <= 1e-6, name
    if keep:
        network = checkpoint.build("transformer", mx.bfloat16)
        kept = [value for name, value in tree_flatten(network.parameters()) if name.endswith("weight_fp8")]
        assert kept
        assert all(value.dtype == mx.uint8 for value in kept)
