"""Guided pipelines with a second stage: what each stage gets, what comes out, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from ltx_core import ConfigError, RandomNoise
from ltx_loaders import LoaderError
from ltx_pipelines import (
    ImageCondition,
    KeyframeInterpolationConfig,
    LoraPathStrength,
    StageEvent,
    TwoStageConfig,
    TwoStageHQConfig,
    create_keyframe_interpolation_pipeline,
    create_two_stage_hq_pipeline,
    create_two_stage_pipeline,
)
from ltx_pocket import model as pocket
from PIL import Image

from tests.e2e.conftest import Ran
from tests.e2e.inspect_media import read_clip
from tests.e2e.test_loras import AUDIO, VIDEO, write_lora
from tests.untrained_pocket import write_untrained

CLIP: dict[str, Any] = {
    "prompt": "a fox",
    "height": 64,
    "width": 64,
    "num_frames": 9,
    "num_inference_steps": 2,
}
RED = np.full((64, 64, 3), (255, 0, 0), np.uint8)
IMAGES = (ImageCondition(RED, 0, crf=0), ImageCondition(RED[::-1], -1, 0.7, crf=0))


@pytest.fixture(scope="module")
def lora(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> LoraPathStrength:
    folder = tmp_path_factory.mktemp("distilled")
    return LoraPathStrength(
        write_lora(folder / "distilled.safetensors", files["--checkpoint"], VIDEO, AUDIO), 0.8
    )


class Counted:
    """Noise that remembers for how many tokens it was drawn."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.draw = RandomNoise(1)

    def __call__(self, like: mx.array) -> mx.array:
        self.tokens.append(like.shape[1])
        return self.draw(like)


def test_the_lora_refines_the_picture_and_leaves_the_sound(
    files: dict[str, Path], lora: LoraPathStrength
) -> None:
    config = TwoStageConfig(**CLIP)
    weak = replace(lora, strength=0.1)
    clips = [create_two_stage_pipeline(*files.values(), given)(config) for given in (lora, weak)]
    assert clips[0].frames.shape == (9, 64, 64, 3)
    assert clips[0].settings["distilled_lora"] == ["distilled.safetensors (0.8)"]
    assert np.array_equal(np.array(clips[0].audio_latent), np.array(clips[1].audio_latent))
    assert not np.array_equal(np.array(clips[0].video_latent), np.array(clips[1].video_latent))
    # The LoRAs of the models are in both stages.
    styled = create_two_stage_pipeline(*files.values(), lora, loras=[lora])(config)
    assert not np.array_equal(np.array(clips[0].audio_latent), np.array(styled.audio_latent))


def test_keyframes_are_beside_the_clip_in_both_stages(files: dict[str, Path], lora: LoraPathStrength) -> None:
    pipeline = create_keyframe_interpolation_pipeline(*files.values(), lora)
    config = KeyframeInterpolationConfig(**CLIP, images=IMAGES)
    noise, events = Counted(), list[StageEvent]()
    clip = pipeline(config, noise=noise, on_step=events.append)
    # Two latent frames and two keyframes, of one token each at half size and of four in full.
    assert noise.tokens == [4, 9, 16, 9]
    assert clip.video_latent is not None
    assert clip.video_latent.shape[2:] == (2, 2, 2)
    assert len(clip.frames) == clip.num_frames == 9
    planned = {stage.name: stage.units for stage in pipeline.plan(config)}
    assert planned == {event.stage: event.index for event in events}
    assert list(planned)[:4] == ["encode prompt", "stage 1", "upsample", "stage 2"]
    # The sound comes from the second stage: it hears the distilled LoRA.
    weak = create_keyframe_interpolation_pipeline(*files.values(), replace(lora, strength=0.1))(config)
    same = create_keyframe_interpolation_pipeline(*files.values(), lora)(config)
    assert not np.array_equal(np.array(same.audio_latent), np.array(weak.audio_latent))


def test_high_quality_draws_noise_in_every_step(files: dict[str, Path], lora: LoraPathStrength) -> None:
    pipeline = create_two_stage_hq_pipeline(*files.values(), lora)
    assert [own.strength for own in (*pipeline.guides, *pipeline.refiners)] == [0.25, 0.5]
    noise, events = Counted(), list[StageEvent]()
    config = TwoStageHQConfig(**CLIP)
    assert len(pipeline(config, noise=noise, on_step=events.append).frames) == 9
    # At the beginning, then for both halves of each of 2 and of 3 steps.
    assert noise.tokens == [2, 9] * (1 + 2 * 2) + [8, 9] * (1 + 2 * 3)
    planned = {stage.name: stage.units for stage in pipeline.plan(config)}
    assert planned == {event.stage: event.index for event in events}
    first, again, other = (pipeline(replace(config, seed=seed)).frames for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_silent_clips(files: dict[str, Path], lora: LoraPathStrength) -> None:
    noise = Counted()
    clip = create_two_stage_hq_pipeline(*files.values(), lora)(
        TwoStageHQConfig(**CLIP, generate_audio=False), noise=noise
    )
    assert clip.audio is None
    assert set(noise.tokens) == {2, 8}


def test_refused_before_any_work(files: dict[str, Path], lora: LoraPathStrength, tmp_path: Path) -> None:
    missing = LoraPathStrength(tmp_path / "none.safetensors")
    checkpoint, gemma, upscaler = files.values()
    for create in (
        create_two_stage_pipeline,
        create_two_stage_hq_pipeline,
        create_keyframe_interpolation_pipeline,
    ):
        with pytest.raises(ConfigError, match="none was given"):
            create(checkpoint, gemma, upscaler, None)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="needs a spatial latent upscaler"):
            create(checkpoint, gemma, None, lora)  # type: ignore[arg-type]
        with pytest.raises(LoaderError, match=r"none\.safetensors does not exist"):
            create(checkpoint, gemma, upscaler, missing)


def test_commands(
    ltx: Callable[..., Ran], files: dict[str, Path], lora: LoraPathStrength, tmp_path: Path
) -> None:
    image, output = tmp_path / "red.png", tmp_path / "clip.mp4"
    Image.fromarray(RED).save(image)
    model = [part for option in files.items() for part in option]
    small = ["--height", 64, "--width", 64, "--num-frames", 9, "--steps", 2, "-o", output]
    distilled = ["--distilled-lora", lora.path]
    guidance = ["--stg-blocks", 0, 1, "--audio-cfg-scale", 5, "--audio-skip-step", 1, "--rescale-scale", 0.5]
    for given in (
        ["generate", "--pipeline", "two-stage", *guidance],
        ["generate", "--pipeline", "two-stage-hq", "--distilled-lora-strength-stage-1", 0.2],
        ["generate", "--pipeline", "distilled"],
        ["keyframes", "--image", image, "--image", image, -1, 0.8, *guidance],
    ):
        ran = ltx(*given, "a fox", *model, *distilled, *small)
        assert ran.status == 0, ran.err
        assert read_clip(output).frames.shape == (9, 64, 64, 3)
        output.unlink()


def test_mistakes_are_one_clear_line(
    ltx: Callable[..., Ran], files: dict[str, Path], lora: LoraPathStrength, tmp_path: Path
) -> None:
    model = [part for option in files.items() for part in option]
    image = tmp_path / "red.png"
    Image.fromarray(RED).save(image)
    two_stage, distilled = ["--pipeline", "two-stage"], ["--distilled-lora", lora.path]
    for message, given in (
        ("the distilled LoRA, and none was given", ["generate", *two_stage]),
        (
            "--distilled-lora cannot be used with --pipeline one-stage",
            ["generate", "--pipeline", "one-stage", *distilled],
        ),
        (
            "has no transformer block 40",
            ["generate", *two_stage, *distilled, "--stg-blocks", 40, "--num-frames", 9],
        ),
        (
            "has one for each stage",
            ["generate", "--pipeline", "two-stage-hq", *distilled, 0.7],
        ),
        (
            "--distilled-lora-strength-stage-2 cannot be used with --pipeline two-stage",
            ["generate", *two_stage, *distilled, "--distilled-lora-strength-stage-2", 0.7],
        ),
        ("more than one image at frame 0", ["keyframes", *distilled, "--image", image, "--image", image]),
        ("no images", ["keyframes", *distilled]),
    ):
        ran = ltx(*given, "a fox", *model, "-o", tmp_path / "clip.mp4")
        assert ran.status == 1
        assert message in ran.err
        assert len(ran.err.strip().splitlines()) == 1, ran.err


def test_names_of_checkpoints_speak(ltx: Callable[..., Ran], files: dict[str, Path], tmp_path: Path) -> None:
    """A published name says whether the model is distilled."""
    dev, distilled = (tmp_path / f"ltx-2-19b-{kind}.safetensors" for kind in ("dev", "distilled"))
    for path in (dev, distilled):
        path.symlink_to(files["--checkpoint"])
    rest = [part for option in list(files.items())[1:] for part in option]
    small = ["--height", 64, "--width", 64, "--num-frames", 9, "-o", tmp_path / "clip.mp4"]
    ran = ltx("generate", "a fox", "--checkpoint", dev, *rest, *small)
    assert ran.status == 1
    assert "is not distilled" in ran.err
    ran = ltx(
        "generate", "a fox", "--checkpoint", distilled, *rest, *small, "--pipeline", "one-stage", "--steps", 2
    )
    assert ran.status == 0, ran.err
    assert ran.err.count("warning: ltx-2-19b-distilled.safetensors is distilled") == 1


def test_the_pocket_model_has_its_own_lora(ltx: Callable[..., Ran], tmp_path: Path) -> None:
    weights, image = write_untrained(tmp_path / "pocket"), tmp_path / "red.png"
    Image.fromarray(RED).save(image)
    assert pocket.create_two_stage_pipeline(weights).loras == [pocket.distilled_lora(weights)]
    assert pocket.create_two_stage_hq_pipeline(weights).refiners[0].strength == 0.5
    assert pocket.create_keyframe_interpolation_pipeline(weights).models.loras == ()
    setup = f"from ltx_pocket import model; model.WEIGHTS = {str(weights)!r}"
    output = tmp_path / "clip.mp4"
    small = ["--height", 128, "--width", 64, "--num-frames", 9, "--steps", 2, "-o", output]
    for given in (
        ["generate", "--pipeline", "two-stage"],
        ["generate", "--pipeline", "two-stage-hq"],
        ["keyframes", "--image", image, 0, "--image", image, -1],
    ):
        ran = ltx(*given, "a ball", *small, setup=setup)
        assert ran.status == 0, ran.err
        assert read_clip(output).frames.shape == (9, 128, 64, 3)
    ran = ltx("generate", "a ball", "--distilled-lora", image, setup=setup)
    assert ran.status == 1
    assert "missing beside --distilled-lora" in ran.err
