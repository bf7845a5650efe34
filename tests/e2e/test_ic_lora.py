"""In-context LoRAs: a reference video in the first stage, from arrays and from files."""

from collections.abc import Callable
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import numpy as np
import pytest
from ltx_core import ConfigError
from ltx_loaders import LoaderError
from ltx_pipelines import (
    CheckpointModels,
    ICLoraConfig,
    ICLoraPipeline,
    ImageCondition,
    LoraPathStrength,
    Memory,
    ReferenceVideo,
)
from ltx_pipelines.media import write_mp4

from tests.e2e.conftest import FIXTURES, Ran
from tests.e2e.inspect_media import read_clip
from tests.e2e.test_loras import VIDEO, weight

HALF = LoraPathStrength(FIXTURES / "ic_lora.safetensors")  # its references are half as large as the clip
CLIP = {"prompt": "a fox", "height": 128, "width": 128, "num_frames": 9, "generate_audio": False}
MOVING = np.random.default_rng(0).integers(0, 256, (9, 40, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def models(files: dict[str, Path]) -> CheckpointModels:
    return CheckpointModels(*files.values(), dtype="float32", memory=Memory.KEEP)


def config(**changes: object) -> ICLoraConfig:
    values: dict[str, object] = {**CLIP, "video_conditioning": (ReferenceVideo(MOVING),), **changes}
    return ICLoraConfig(**values)  # type: ignore[arg-type]


def test_references_and_their_attention_change_the_clip(models: CheckpointModels) -> None:
    """Without the second stage; what has no effect on the attention gives the same bytes."""
    pipeline = ICLoraPipeline(models, [HALF])
    short = {"skip_stage_2": True, "num_inference_steps": 2}
    other = (ReferenceVideo(MOVING[::-1]),)
    ones = np.ones((9, 32, 32), np.float32)
    clips = [
        pipeline(config(**short, **changes)).video_latent
        for changes in (
            {},
            {"conditioning_attention_mask": ones},
            {"video_conditioning": other},
            {"conditioning_attention_strength": 0.3},
            {"conditioning_attention_mask": 0 * ones},
            {"conditioning_attention_mask": 0 * ones, "video_conditioning": other},
        )
    ]
    plain, full, reverse, weak, deaf, deaf_reverse = (np.array(clip) for clip in clips)
    assert plain.shape == (1, plain.shape[1], 2, 2, 2)  # half of 128 pixels
    np.testing.assert_allclose(full, plain, atol=1e-5)
    np.testing.assert_allclose(deaf_reverse, deaf, atol=1e-5)
    for one, another in ((plain, reverse), (plain, weak), (plain, deaf), (weak, deaf)):
        assert np.abs(one - another).max() > 1e-3


def test_the_lora_is_in_the_first_stage_alone(
    models: CheckpointModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    whole = CheckpointModels.transformer

    def transformer(self: CheckpointModels, **options: object) -> object:
        asked.append(options["loras"])
        return whole(self, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(CheckpointModels, "transformer", transformer)
    events: list[str] = []
    image = ImageCondition(MOVING[0], crf=0)
    pipeline = ICLoraPipeline(models, [HALF])
    asked_for = config(num_inference_steps=1, images=(image,))
    clip = pipeline(asked_for, on_step=lambda event: events.append(event.stage))
    assert [list(loras) for loras in asked] == [[HALF], []]  # type: ignore[call-overload]
    assert clip.frames.shape == (9, 128, 128, 3)
    assert clip.settings["pipeline"] == "ic-lora"
    assert list(dict.fromkeys(events)) == [stage.name for stage in pipeline.plan(asked_for)]


def test_refused_before_any_network_is_loaded(
    files: dict[str, Path], models: CheckpointModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = ICLoraPipeline(models, [HALF])
    monkeypatch.setattr(CheckpointModels, "_use", lambda *_: pytest.fail("loaded a network"))
    with pytest.raises(ConfigError, match=r"height 192 does not fit the LoRA.*multiple of 128"):
        pipeline(config(height=192))
    with pytest.raises(ConfigError, match=r"mask has 4 frames.*1 \+ a multiple of 2"):
        pipeline(
            config(
                num_frames=17,
                conditioning_attention_mask=np.ones((4, 8, 8)),
                video_conditioning=(ReferenceVideo(np.repeat(MOVING, 2, axis=0)[:17]),),
            )
        )
    alone = CheckpointModels(files["--checkpoint"], files["--gemma"])
    with pytest.raises(ConfigError, match="spatial latent upscaler"):
        ICLoraPipeline(alone, [HALF]).plan(config())
    assert len(ICLoraPipeline(alone, [HALF]).plan(config(skip_stage_2=True))) == 4
    with pytest.raises(LoaderError, match=r"none\.safetensors does not exist"):
        ICLoraPipeline(models, [LoraPathStrength(tmp_path / "none.safetensors")])
    with pytest.raises(ConfigError, match=r"0\.5 for the second stage"):
        ICLoraPipeline(models, [LoraPathStrength(HALF.path, 1.0, 0.5)])


def test_the_models_stay_as_they_are(models: CheckpointModels) -> None:
    before = weight(models, VIDEO)
    with models.transformer(loras=[HALF]) as transformer:
        assert transformer is not None
    np.testing.assert_array_equal(weight(models, VIDEO), before)


def test_the_command(ltx: Callable[..., Ran], files: dict[str, Path], tmp_path: Path) -> None:
    reference, mask, output = (tmp_path / f"{name}.mp4" for name in ("reference", "mask", "clip"))
    write_mp4(reference, MOVING, 24.0)
    write_mp4(mask, np.zeros_like(MOVING), 24.0)
    model = [part for option in files.items() for part in option]
    small = ["--height", 128, "--width", 128, "--num-frames", 9, "--steps", 1, "-o", output]
    given = ["--video-conditioning", reference, 0.8, "--lora", HALF.path, 1.5, *model, *small]
    ran = ltx("ic-lora", "a fox", *given, "--skip-stage-2", "--conditioning-attention-mask", mask)
    assert ran.status == 0, ran.err
    clip = read_clip(output)
    assert clip.frames.shape == (9, 64, 64, 3)
    assert clip.sound is not None
    assert "64x64, 9 frames at 24" in ran.err
    assert "encode references" in ran.err
    for path, message in ((tmp_path / "no.mp4", "does not exist"), (HALF.path, "cannot be read as video")):
        ran = ltx("ic-lora", "a fox", "--video-conditioning", path, "--lora", HALF.path, *model, *small)
        assert ran.status == 1
        assert message in ran.err
        assert len(ran.err.strip().splitlines()) == 1
