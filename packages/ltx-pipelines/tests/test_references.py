"""References of in-context LoRAs: what configs accept, which frames are taken, what must fit together."""

import json
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core import ConfigError, SpatioTemporalScaleFactors, VideoPixelShape
from ltx_pipelines import (
    ICLoraConfig,
    ICLoraPipeline,
    LoraPathStrength,
    MediaError,
    ReferenceVideo,
    VideoInput,
)
from ltx_pipelines.references import AttentionStrength, ReferenceScale, check_masks

FRAMES = np.zeros((9, 64, 64, 3), np.uint8)
FACTORS = SpatioTemporalScaleFactors.default()
SMALL = {"prompt": "x", "height": 64, "width": 64, "num_frames": 9}


def lora(path: Path, **metadata: int) -> LoraPathStrength:
    tensors = {f"diffusion_model.x.lora_{part}.weight": mx.zeros((1, 1)) for part in "AB"}
    mx.save_safetensors(str(path), tensors, {name: str(value) for name, value in metadata.items()})
    return LoraPathStrength(path)


def test_settings_are_plain() -> None:
    part = VideoInput(FRAMES, frame_rate=24.0, start=0.1)
    config = ICLoraConfig(
        **SMALL,
        video_conditioning=(ReferenceVideo(FRAMES, 0.5), ReferenceVideo(part)),
        conditioning_attention_mask=np.ones((9, 4, 4)),
    )
    values = json.loads(json.dumps(config.settings()))
    assert values["video_conditioning"][0]["strength"] == 0.5
    assert values["video_conditioning"][1]["start"] == 0.1
    assert values["conditioning_attention_mask"] == "array (9, 4, 4)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video_conditioning": ()}, "video_conditioning is empty"),
        ({"conditioning_attention_strength": 1.5}, "conditioning_attention_strength 1.5 is not between 0"),
        ({"conditioning_attention_mask": np.ones((9, 4, 4, 3))}, r"\(F, H, W\) with values from 0 to 1"),
        ({"conditioning_attention_mask": 2 * np.ones((9, 4, 4))}, "values from 0 to 1"),
        ({"conditioning_attention_mask": np.full((9, 4, 4), np.nan)}, "values from 0 to 1"),
        ({"height": 96}, "height 96 is not a multiple of 64"),
        ({"num_inference_steps": 9}, "num_inference_steps 9"),
    ],
)
def test_bad_configs(changes: dict[str, object], message: str) -> None:
    values: dict[str, object] = {**SMALL, "video_conditioning": (ReferenceVideo(FRAMES),), **changes}
    with pytest.raises(ConfigError, match=message):
        ICLoraConfig(**values)  # type: ignore[arg-type]


def test_bad_references(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"strength -0\.1 is not between 0 and 1"):
        ReferenceVideo(FRAMES, -0.1)
    with pytest.raises(ConfigError, match="uint8"):
        ReferenceVideo(FRAMES.astype(np.float32))
    for files in (
        {"video_conditioning": (ReferenceVideo(tmp_path / "none.mp4"),)},
        {
            "video_conditioning": (ReferenceVideo(FRAMES),),
            "conditioning_attention_mask": tmp_path / "none.mp4",
        },
    ):
        with pytest.raises(MediaError, match=r"none\.mp4 does not exist"):
            ICLoraConfig(**SMALL, **files)  # type: ignore[arg-type]


def test_scales_come_from_the_loras(tmp_path: Path) -> None:
    plain = lora(tmp_path / "plain.safetensors")
    half = lora(tmp_path / "half.safetensors", reference_downscale_factor=2)
    slow = lora(
        tmp_path / "slow.safetensors", reference_temporal_scale_factor=4, reference_downscale_factor=1
    )
    third = lora(tmp_path / "third.safetensors", reference_downscale_factor=3)
    assert ReferenceScale.of([plain]) == ReferenceScale(1, 1)
    assert ReferenceScale.of([plain, half, half, slow]) == ReferenceScale(2, 4)
    message = r"reference_downscale_factor \(half.safetensors: 2, third.safetensors: 3\)"
    with pytest.raises(ConfigError, match=message):
        ReferenceScale.of([half, plain, third])


def test_a_lora_is_needed() -> None:
    with pytest.raises(ConfigError, match="use the distilled pipeline"):
        ICLoraPipeline(None, [])  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 20))
def test_sizes_that_do_not_fit_name_those_that_do(space: int, units: int) -> None:
    scale = ReferenceScale(space)
    if units % space == 0:
        scale.check_size(64 * units, 64 * units)
        return
    with pytest.raises(ConfigError, match=f"width {64 * units} does not fit") as caught:
        scale.check_size(64 * space, 64 * units)
    low, high = (int(part) for part in str(caught.value).split("such as ")[1].split(" or "))
    scale.check_size(low, high)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 3, 4]))
def test_frames_are_thinned_out_behind_the_first(available: int, wanted: int, time: int) -> None:
    """Frame 0, then every `time`-th from frame 1 on, no more than the clip has."""
    frames = np.arange(available, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 3), np.uint8)
    scale = ReferenceScale(2, time)
    fitted = scale.frames(ReferenceVideo(frames), VideoPixelShape(1, wanted, 8, 4, 24.0))
    count = min(available, wanted)
    assert fitted.shape[-2:] == (4, 2)
    assert fitted[0, 0, :, 0, 0].tolist() == [0, *range(1, count, time)]
    assert scale.latent_frames(count, FACTORS) == (fitted.shape[2] - 1) // 8 + 1


@pytest.mark.parametrize(
    ("mask", "available", "time", "fits"),
    [
        (9, 9, 1, True),
        (17, 9, 1, True),
        (17, 17, 2, True),
        (8, 9, 1, True),
        (10, 17, 1, False),
        (1, 9, 1, False),
    ],
)
def test_masks_must_cover_the_references(mask: int, available: int, time: int, fits: bool) -> None:
    shape = VideoPixelShape(1, 33, 32, 32, 24.0)
    reference = ReferenceVideo(np.zeros((available, 4, 4, 3), np.uint8))
    attention = AttentionStrength(1.0, np.ones((mask, 4, 4)))
    arguments = ([reference], attention, ReferenceScale(1, time), shape, FACTORS)
    if fits:
        check_masks(*arguments)
        return
    with pytest.raises(ConfigError, match=f"mask has {mask} frames.*{available} of a reference"):
        check_masks(*arguments)
