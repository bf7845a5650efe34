"""Little memory: the same clip, bit for bit, with the networks read while they run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import numpy as np
import pytest
from ltx_core import ConfigError
from ltx_loaders import QuantizationPolicy, StreamedBlocks, convert
from ltx_pipelines import (
    CheckpointModels,
    DistilledConfig,
    GuidanceChange,
    LoraPathStrength,
    Memory,
    OneStageConfig,
    OneStagePipeline,
    TextToVideoConfig,
    TextToVideoPipeline,
)
from ltx_pipelines.enhance import enhance_prompt
from ltx_pipelines.events import ignore

from tests.e2e.conftest import FIXTURES, Ran
from tests.e2e.inspect_media import read_clip
from tests.e2e.test_loras import AUDIO, VIDEO, write_lora

SIZE: dict[str, Any] = {"height": 64, "width": 64, "num_frames": 9}


def open_models(generation: str, memory: Memory, lora: Path, dtype: str) -> CheckpointModels:
    root = FIXTURES.parent / f"ltx-{generation}"
    return CheckpointModels(
        root / "checkpoint.safetensors",
        root / "gemma",
        loras=[LoraPathStrength(lora, 0.5)],
        dtype=dtype,
        memory=memory,
    )


@pytest.mark.parametrize("generation", ["2.0", "2.3"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_clip_is_the_same_to_the_bit(generation: str, dtype: str, tmp_path: Path) -> None:
    checkpoint = FIXTURES.parent / f"ltx-{generation}" / "checkpoint.safetensors"
    lora = write_lora(tmp_path / "lora.safetensors", checkpoint, VIDEO, AUDIO)
    results = []
    for memory in (Memory.FREE, Memory.LOW):
        models = open_models(generation, memory, lora, dtype)
        with models.transformer() as transformer:
            assert isinstance(transformer.transformer_blocks, StreamedBlocks) == (memory is Memory.LOW)
        results.append(
            TextToVideoPipeline(models)(TextToVideoConfig(prompt="a fox", num_inference_steps=2, **SIZE))
        )
    resident, low = results
    assert low.frames.tobytes() == resident.frames.tobytes()
    assert low.audio is not None
    assert resident.audio is not None
    assert np.array_equal(np.array(low.audio.waveform), np.array(resident.audio.waveform))


@pytest.mark.parametrize("generation", ["2.0", "2.3"])
def test_quantised_packs_stream_too(generation: str, tmp_path: Path) -> None:
    root = FIXTURES.parent / f"ltx-{generation}"
    checkpoint = root / "checkpoint.safetensors"
    lora = write_lora(tmp_path / "lora.safetensors", checkpoint, VIDEO, AUDIO)
    convert(checkpoint, tmp_path / "pack", policy=QuantizationPolicy.of("4", 32))
    clips = []
    for memory in (Memory.FREE, Memory.LOW):
        models = CheckpointModels(
            tmp_path / "pack", root / "gemma", loras=[LoraPathStrength(lora)], dtype="bfloat16", memory=memory
        )
        result = TextToVideoPipeline(models)(TextToVideoConfig(prompt="a fox", num_inference_steps=2, **SIZE))
        clips.append(result.frames.tobytes())
    assert clips[0] == clips[1]


def test_guidance_and_one_stream_alone(files: dict[str, Path], tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "lora.safetensors", files["--checkpoint"], VIDEO)
    config = OneStageConfig(
        prompt="a fox",
        num_inference_steps=2,
        generate_audio=False,
        video_guidance=GuidanceChange(stg_blocks=[1]),
        **SIZE,
    )
    clips = [
        OneStagePipeline(open_models("2.0", memory, lora, "float32"))(config).frames.tobytes()
        for memory in (Memory.FREE, Memory.LOW)
    ]
    assert clips[0] == clips[1]


def test_prompts_are_not_written_out(files: dict[str, Path]) -> None:
    models = CheckpointModels(files["--checkpoint"], files["--gemma"], memory=Memory.LOW)
    with pytest.raises(ConfigError, match="leave --enhance-prompt or --low-ram out"):
        enhance_prompt(models, DistilledConfig(prompt="a fox", **SIZE), ignore)


def test_the_command_makes_the_same_clip(
    ltx: Callable[..., Ran], files: dict[str, Path], tmp_path: Path
) -> None:
    given = ["--checkpoint", files["--checkpoint"], "--gemma", files["--gemma"], "--steps", 2, "--no-audio"]
    size = [part for name, value in SIZE.items() for part in (f"--{name.replace('_', '-')}", value)]
    clips: list[bytes] = []
    for extra in ([], ["--low-ram"]):
        output = tmp_path / f"{len(clips)}.mp4"
        ran = ltx("generate", "a fox", "--pipeline", "text-to-video", *given, *size, *extra, "-o", output)
        assert ran.status == 0, ran.err
        clips.append(read_clip(output).frames.tobytes())
    assert clips[0] == clips[1]
