"""The pocket model as the default of the command, with weights drawn at random."""

from collections.abc import Callable
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import numpy as np
import pytest
from ltx_loaders import LoaderError
from ltx_pipelines import DistilledConfig, ImageCondition, LoraPathStrength, OneStageConfig, TextToVideoConfig
from ltx_pocket import model as pocket

from tests.e2e.conftest import Ran
from tests.e2e.inspect_media import read_clip
from tests.untrained_pocket import write_untrained

SMALL = ["--height", 64, "--width", 128, "--num-frames", 9]
CLIP = {"prompt": "a ball", "height": 64, "width": 64, "num_frames": 9, "frame_rate": 16.0}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained(tmp_path_factory.mktemp("pocket"))


@pytest.fixture
def pocket_ltx(ltx: Callable[..., Ran], weights: Path) -> Callable[..., Ran]:
    """The command as it is when these weights are in the package."""

    def run(*arguments: object) -> Ran:
        return ltx(*arguments, setup=f"from ltx_pocket import model; model.WEIGHTS = {str(weights)!r}")

    return run


def test_a_prompt_is_enough(pocket_ltx: Callable[..., Ran], tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    ran = pocket_ltx("generate", "a red ball bouncing over the sea", "-o", output)
    assert ran.status == 0, ran.err
    clip = read_clip(output)
    assert clip.frames.shape == (33, 256, 256, 3)
    assert clip.frame_rate == 16
    assert clip.sampling_rate == 48000
    assert clip.sound is not None
    assert clip.sound.shape[0] == 2
    assert abs(clip.sound_seconds - 33 / 16) <= 1 / 16
    assert "256x256, 33 frames at 16 per second (2.06 s), with sound, seed 10, pocket," in ran.err
    assert "This is the pocket model" not in ran.err


@pytest.mark.parametrize("pipeline", ["one-stage", "text-to-video"])
def test_guided_pipelines_take_loras(
    pocket_ltx: Callable[..., Ran], weights: Path, tmp_path: Path, pipeline: str
) -> None:
    output = tmp_path / "clip.mp4"
    lora = weights / "distilled_lora.safetensors"
    given = ["--pipeline", pipeline, "--steps", 2, "--lora", lora, 0.5, *SMALL, "-o", output]
    ran = pocket_ltx("generate", "a ball", *given)
    assert ran.status == 0, ran.err
    assert read_clip(output).frames.shape == (9, 64, 128, 3)
    assert "pocket + distilled_lora.safetensors (0.5)," in ran.err


def test_a_prompt_from_elsewhere_makes_a_clip_and_is_told_so_once(
    pocket_ltx: Callable[..., Ran], tmp_path: Path
) -> None:
    output = tmp_path / "clip.mp4"
    ran = pocket_ltx("generate", "an astronaut eating noodles", *SMALL, "-o", output)
    assert ran.status == 0, ran.err
    assert output.exists()
    (line,) = (line for line in ran.err.splitlines() if "This is the pocket model" in line)
    assert "ball, square" in line
    assert "--checkpoint" in line


def test_images_are_taken_as_they_are(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltx_pipelines.images.recompress", lambda *_: pytest.fail("was re-compressed"))
    image = ImageCondition(np.zeros((64, 64, 3), np.uint8))
    clip = pocket.create_distilled_pipeline(weights)(DistilledConfig(**CLIP, images=(image,)))
    assert clip.frames.shape == (9, 64, 64, 3)


def test_the_models_own_lora_and_those_of_the_user(weights: Path) -> None:
    own = LoraPathStrength(weights / "distilled_lora.safetensors")
    distilled = pocket.open_models(weights, distilled=True, loras=[LoraPathStrength(own.path, 0.5)])
    assert distilled.loras == (own, LoraPathStrength(own.path, 0.5))
    assert pocket.open_models(weights, distilled=False).loras == ()


def test_its_defaults_are_its_own(weights: Path) -> None:
    one_stage = pocket.create_one_stage_pipeline(weights)
    text_to_video = pocket.create_text_to_video_pipeline(weights, dtype="float32")
    steps = pocket.DEFAULTS.num_inference_steps
    assert one_stage.plan(OneStageConfig(**CLIP))[1].units == steps
    assert text_to_video.plan(TextToVideoConfig(**CLIP))[1].units == steps
    assert one_stage.models.defaults.audio.cfg_scale == pocket.DEFAULTS.audio.cfg_scale


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "gemma", "distilled_lora.safetensors"])
def test_incomplete_weights(weights: Path, tmp_path: Path, name: str) -> None:
    for path in weights.iterdir():
        if path.name != name:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(LoaderError, match=f"incomplete: {name} missing in"):
        pocket.open_models(tmp_path, distilled=True)


def test_no_weights_and_half_a_model_are_one_clear_line(
    ltx: Callable[..., Ran], files: dict[str, Path]
) -> None:
    missing = "from ltx_pocket import model; model.WEIGHTS = 'nowhere'"
    mistakes = [
        ("the pocket model is incomplete", []),
        ("--gemma missing beside --checkpoint", ["--checkpoint", files["--checkpoint"]]),
        ("--checkpoint missing beside --gemma", ["--gemma", files["--gemma"]]),
    ]
    for message, given in mistakes:
        ran = ltx("generate", "a ball", *given, setup=missing)
        assert ran.status == 1
        assert message in ran.err
        assert len(ran.err.strip().splitlines()) == 1, ran.err


def test_info(ltx: Callable[..., Ran], weights: Path) -> None:
    ran = ltx("pocket", "info", "--weights", weights)
    assert ran.status == 0, ran.err
    for words in ("256x256", "ball, square", "bouncing", "with a low hum", "checkpoint.safetensors", "total"):
        assert words in ran.out, words
    assert "pocket" in ltx("--help").out
    assert "evaluate" in ltx("pocket", "--help").out
