"""LoRAs of pipelines and of the command: fused as by hand, or refused before any work."""

from collections.abc import Callable
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from ltx_core import ConfigError
from ltx_loaders import Checkpoint, LoaderError
from ltx_pipelines import (
    CheckpointModels,
    DistilledConfig,
    DistilledPipeline,
    LoraPathStrength,
    Memory,
    create_distilled_pipeline,
)

from tests.e2e.conftest import Ran
from tests.e2e.inspect_media import read_clip

VIDEO = "transformer_blocks.1.attn1.to_q"
AUDIO = "transformer_blocks.0.audio_ff.net.2"


def write_lora(path: Path, checkpoint: Path, *modules: str, seed: int = 0, size: float = 0.3) -> Path:
    """A LoRA of rank 2 for some linear layers of a checkpoint's transformer."""
    shapes = Checkpoint.open(checkpoint).header.tensors
    tensors = {}
    for index, module in enumerate(modules):
        out, into = shapes[f"model.diffusion_model.{module}.weight"].shape
        keys = mx.random.split(mx.random.key(10 * seed + index))
        tensors[f"diffusion_model.{module}.lora_A.weight"] = size * mx.random.normal((2, into), key=keys[0])
        tensors[f"diffusion_model.{module}.lora_B.weight"] = size * mx.random.normal((out, 2), key=keys[1])
    mx.save_safetensors(str(path), tensors)
    return path


def change(path: Path, module: str) -> np.ndarray:
    tensors = mx.load(str(path))
    assert isinstance(tensors, dict)
    a, b = (np.array(tensors[f"diffusion_model.{module}.lora_{part}.weight"]) for part in "AB")
    return b @ a


def weight(models: CheckpointModels, module: str, audio: bool = True, stage: int = 1) -> np.ndarray:
    with models.transformer(audio=audio, stage=stage) as transformer:
        part = transformer
        for name in module.split("."):
            part = part[int(name)] if name.isdecimal() else part[name]
        return np.array(part.weight.astype(mx.float32))


@pytest.fixture(scope="module")
def loras(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One for picture and sound, one for the picture."""
    folder, checkpoint = tmp_path_factory.mktemp("loras"), files["--checkpoint"]
    both = write_lora(folder / "both.safetensors", checkpoint, VIDEO, AUDIO)
    return both, write_lora(folder / "one.safetensors", checkpoint, VIDEO, seed=1)


def test_the_transformer_has_them_in_its_weights(files: dict[str, Path], loras: tuple[Path, Path]) -> None:
    both, one = loras
    given = [LoraPathStrength(both, 0.5), LoraPathStrength(str(one))]
    plain = CheckpointModels(files["--checkpoint"], files["--gemma"], dtype="float32")
    models = CheckpointModels(files["--checkpoint"], files["--gemma"], loras=given, dtype="float32")
    wanted = weight(plain, VIDEO) + 0.5 * change(both, VIDEO) + change(one, VIDEO)
    np.testing.assert_allclose(weight(models, VIDEO), wanted, atol=1e-6)
    np.testing.assert_allclose(
        weight(models, AUDIO), weight(plain, AUDIO) + 0.5 * change(both, AUDIO), atol=1e-6
    )
    # The video half alone goes without what is for the sound.
    np.testing.assert_allclose(weight(models, VIDEO, audio=False), wanted, atol=1e-6)
    assert models.name == "checkpoint.safetensors + both.safetensors (0.5) + one.safetensors"


@pytest.mark.parametrize("memory", [Memory.FREE, Memory.KEEP])
def test_a_second_stage_has_a_strength_of_its_own(
    files: dict[str, Path], loras: tuple[Path, Path], memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [LoraPathStrength(loras[0], 0.5, 0.25), LoraPathStrength(loras[1], 0.0)]
    plain = weight(CheckpointModels(files["--checkpoint"], files["--gemma"], dtype="float32"), VIDEO)
    paths = files["--checkpoint"], files["--gemma"], files["--spatial-upscaler"]
    models = CheckpointModels(*paths, loras=given, dtype="float32", memory=memory)
    for stage, strength in ((1, 0.5), (2, 0.25), (1, 0.5)):
        wanted = plain + strength * change(loras[0], VIDEO)
        np.testing.assert_allclose(weight(models, VIDEO, stage=stage), wanted, atol=1e-6)
    assert "both.safetensors (0.5, 0.25)" in models.name

    asked: list[object] = []
    whole = CheckpointModels.transformer

    def transformer(self: CheckpointModels, **options: object) -> object:
        asked.append(options["stage"])
        return whole(self, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(CheckpointModels, "transformer", transformer)
    DistilledPipeline(models)(DistilledConfig(prompt="a fox", height=64, width=64, num_frames=9))
    assert asked == [1, 2]


def test_a_lora_for_the_sound_leaves_a_silent_clip_alone(files: dict[str, Path], tmp_path: Path) -> None:
    sound = write_lora(tmp_path / "sound.safetensors", files["--checkpoint"], AUDIO)
    config = DistilledConfig(prompt="a fox", height=64, width=64, num_frames=9, generate_audio=False)
    clips = [
        create_distilled_pipeline(*files.values(), loras=given)(config).frames
        for given in ([], [LoraPathStrength(sound)])
    ]
    assert clips[0].tobytes() == clips[1].tobytes()


def test_refused_before_any_work(files: dict[str, Path], loras: tuple[Path, Path], tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    tensors = mx.load(str(loras[0]))
    assert isinstance(tensors, dict)
    mx.save_safetensors(str(foreign), {name.replace("blocks", "layers"): t for name, t in tensors.items()})
    for path, message in (
        (foreign, r"foreign\.safetensors: the LoRA is for another network: none of its 2 names .*layers"),
        (files["--checkpoint"], "is no LoRA"),
        (tmp_path / "none.safetensors", "does not exist"),
    ):
        with pytest.raises(LoaderError, match=message):
            CheckpointModels(files["--checkpoint"], files["--gemma"], loras=[LoraPathStrength(path)])
    with pytest.raises(ConfigError, match="strength inf"):
        LoraPathStrength(foreign, float("inf"))


def test_the_command_takes_them(
    ltx: Callable[..., Ran], files: dict[str, Path], loras: tuple[Path, Path], tmp_path: Path
) -> None:
    model = [part for option in files.items() for part in option]
    small = ["--height", 64, "--width", 64, "--num-frames", 9, "-o", tmp_path / "clip.mp4"]
    clips = []
    for given in (
        [],
        ["--lora", loras[0], 0, "--lora", loras[1], 0],
        ["--lora", loras[1], "--lora", loras[0], -2],
    ):
        ran = ltx("generate", *given, "a fox", *model, *small)
        assert ran.status == 0, ran.err
        clips.append(read_clip(tmp_path / "clip.mp4").frames.tobytes())
    assert clips[0] == clips[1] != clips[2]
    assert "checkpoint.safetensors + one.safetensors + both.safetensors (-2)" in ran.err
    ran = ltx("generate", "a fox", *model, *small, "--lora", tmp_path / "none.safetensors")
    assert ran.status == 1
    assert ran.err.strip().endswith("none.safetensors does not exist; check the path")
    assert len(ran.err.strip().splitlines()) == 1
