"""Quantised on load and converted before: the same clips, by pipelines and by the command."""

from collections.abc import Callable
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import pytest
from ltx_core import ConfigError
from ltx_loaders import QuantizationPolicy
from ltx_models.quantized import QuantizedLinear
from ltx_pipelines import CheckpointModels, DistilledConfig, DistilledPipeline, LoraPathStrength, Memory

from tests.e2e.conftest import Ran
from tests.e2e.test_loras import AUDIO, VIDEO, write_lora

CLIP = DistilledConfig(prompt="a fox", height=64, width=64, num_frames=9)
POLICY = QuantizationPolicy.of(4, 32)


@pytest.fixture(scope="module")
def pack(ltx: Callable[..., Ran], files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "small"
    ran = ltx("convert", files["--checkpoint"], out, "-q", 4, "--group-size", 32)
    assert ran.status == 0, ran.err
    assert "weights quantised to affine 4 bits, groups of 32; first and last block" in ran.err
    return out


def test_a_pack_makes_the_clip_that_quantising_on_load_makes(files: dict[str, Path], pack: Path) -> None:
    checkpoint, gemma, upscaler = files.values()
    made = {
        "plain": CheckpointModels(checkpoint, gemma, upscaler),
        "on load": CheckpointModels(checkpoint, gemma, upscaler, quantize=POLICY),
        "pack": CheckpointModels(pack, gemma, upscaler),
        "pack, little memory": CheckpointModels(pack, gemma, upscaler, memory=Memory.LOW),
    }
    clips = {name: DistilledPipeline(models)(CLIP) for name, models in made.items()}
    frames = {name: clip.frames.tobytes() for name, clip in clips.items()}
    assert frames["plain"] != frames["on load"]
    assert frames["on load"] == frames["pack"] == frames["pack, little memory"]
    want = "checkpoint.safetensors, quantised to affine 4 bits, groups of 32"
    assert clips["pack"].settings["model"] == clips["on load"].settings["model"] == want


def test_loras_are_in_quantised_weights(files: dict[str, Path], pack: Path, tmp_path: Path) -> None:
    checkpoint, gemma, upscaler = files.values()
    lora = LoraPathStrength(write_lora(tmp_path / "a.safetensors", checkpoint, VIDEO, AUDIO))
    for model, quantize in ((checkpoint, POLICY), (pack, None)):
        models = CheckpointModels(model, gemma, upscaler, loras=[lora], quantize=quantize)
        assert [report.applied for report in models.lora_reports] == [2]
        with models.transformer() as transformer:
            assert isinstance(transformer.transformer_blocks[1].attn1.to_q, QuantizedLinear)
        plain = CheckpointModels(model, gemma, upscaler, quantize=quantize)
        clips = [DistilledPipeline(each)(CLIP) for each in (models, plain)]
        assert clips[0].frames.tobytes() != clips[1].frames.tobytes()
        assert clips[0].settings["loras"] == ["a.safetensors: 2 weights changed"]


def test_what_has_no_effect_is_refused(files: dict[str, Path], pack: Path) -> None:
    checkpoint, gemma, _ = files.values()
    with pytest.raises(ConfigError, match="its layers are quantised already"):
        CheckpointModels(pack, gemma, quantize=POLICY)
    with pytest.raises(ConfigError, match="ltx convert -q"):
        CheckpointModels(checkpoint, gemma, quantize=POLICY, memory=Memory.LOW)
    with pytest.raises(ConfigError, match="choose 8, 4, mxfp8"):
        CheckpointModels(checkpoint, gemma, quantize=3)


def test_the_commands(ltx: Callable[..., Ran], files: dict[str, Path], pack: Path, tmp_path: Path) -> None:
    ran = ltx("info", pack)
    assert ran.status == 0, ran.err
    assert "made from checkpoint.safetensors; quantised: affine 4 bits, groups of 32; first and" in ran.out
    totals = [
        [line.split()[2] for line in ltx("info", path).out.splitlines() if line.startswith("total")]
        for path in (pack, files["--checkpoint"])
    ]
    assert totals[0] == totals[1] != []
    model = [
        "--checkpoint",
        pack,
        "--gemma",
        files["--gemma"],
        "--spatial-upscaler",
        files["--spatial-upscaler"],
    ]
    small = ["--height", 64, "--width", 64, "--num-frames", 9, "-o", tmp_path / "clip.mp4"]
    ran = ltx("generate", "a fox", *model, *small)
    assert ran.status == 0, ran.err
    assert "checkpoint.safetensors, quantised to affine 4 bits, groups of 32" in ran.err
    ran = ltx("generate", "a fox", *model, *small, "-q", "mxfp8")
    assert ran.status == 1
    assert "quantised already" in ran.err
    ran = ltx("convert", files["--checkpoint"], pack)
    assert ran.status == 1
    assert ran.err.strip().endswith("exists; give a folder that does not, or remove it first")
