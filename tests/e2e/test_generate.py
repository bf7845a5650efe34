"""`ltx generate` on a small official-layout checkpoint: the whole chain, judged by the file it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from tests.e2e.conftest import Ran
from tests.e2e.inspect_media import read_clip

Files = dict[str, Path]
Ltx = Callable[..., Ran]

SMALL = ["--height", 64, "--width", 128, "--num-frames", 9, "--frame-rate", 24]


def options(files: Files, **changes: object) -> list[object]:
    """The model files as options, with some replaced or (None) left out."""
    merged: dict[str, object] = {**files, **{f"--{k.replace('_', '-')}": v for k, v in changes.items()}}
    return [part for name, value in merged.items() if value is not None for part in (name, value)]


def test_distilled_clip(ltx: Ltx, files: Files, tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    ran = ltx("generate", "a lighthouse in a storm", *options(files), *SMALL, "--output", output)
    assert ran.status == 0, ran.err
    clip = read_clip(output)
    assert clip.frames.shape == (9, 64, 128, 3)
    assert clip.frame_rate == 24
    assert clip.sampling_rate == 24000
    assert abs(clip.sound_seconds - 9 / 24) <= 1 / 24
    assert clip.frames.std() > 1
    assert clip.sound is not None
    assert clip.sound.shape[0] == 2
    assert np.abs(clip.sound).max() > 0
    assert "128x64, 9 frames at 24 per second (0.38 s)" in ran.err
    assert "8 steps" in ran.err
    assert "3 steps" in ran.err
    assert list(tmp_path.iterdir()) == [output]


def test_the_same_seed_gives_the_same_frames(ltx: Ltx, files: Files, tmp_path: Path) -> None:
    frames = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        output = tmp_path / f"{name}.mp4"
        ran = ltx("generate", "a fox in the snow", *options(files), *SMALL, "--seed", seed, "-o", output)
        assert ran.status == 0, ran.err
        frames.append(read_clip(output).frames)
    assert frames[0].tobytes() == frames[1].tobytes()
    assert frames[0].tobytes() != frames[2].tobytes()


@pytest.mark.parametrize(
    ("pipeline", "extra"),
    [
        ("text-to-video", ["--steps", 2, "--cfg-scale", 2]),
        ("one-stage", ["--steps", 2, "--stg-scale", 0.5, "--negative-prompt", "blurry"]),
    ],
)
def test_guided_pipelines(ltx: Ltx, files: Files, tmp_path: Path, pipeline: str, extra: list[object]) -> None:
    output = tmp_path / "clip.mp4"
    model = options(files, spatial_upscaler=None)
    ran = ltx("generate", "a fox", *model, *SMALL, "--pipeline", pipeline, *extra, "-o", output)
    assert ran.status == 0, ran.err
    clip = read_clip(output)
    assert clip.frames.shape == (9, 64, 128, 3)
    assert abs(clip.sound_seconds - 9 / 24) <= 1 / 24


def test_images_and_no_audio(ltx: Ltx, files: Files, tmp_path: Path) -> None:
    image, output = tmp_path / "start.png", tmp_path / "clip.mp4"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)).save(image)
    images = ["--image", image, "--image", image, -1, 0.5]
    ran = ltx("generate", *images, "a fox", *options(files), *SMALL, "--no-audio", "-o", output)
    assert ran.status == 0, ran.err
    assert read_clip(output).sound is None


@pytest.mark.parametrize("rate", [23.976, 30, 29.97])
def test_frame_rates(ltx: Ltx, files: Files, tmp_path: Path, rate: float) -> None:
    output = tmp_path / "clip.mp4"
    size = ["--height", 64, "--width", 64, "--num-frames", 17, "--frame-rate", rate]
    ran = ltx("generate", "a fox", *options(files), *size, "-o", output)
    assert ran.status == 0, ran.err
    clip = read_clip(output)
    assert len(clip.frames) == 17
    assert clip.frame_rate == pytest.approx(rate, abs=0.01)
    assert abs(clip.sound_seconds - 17 / rate) <= 1 / rate


def cut(path: Path, target: Path, keep: float) -> Path:
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * keep)])
    return target


def test_bad_input_is_one_clear_line(ltx: Ltx, files: Files, tmp_path: Path) -> None:
    """Each mistake: status not 0, one line that names what was given, no traceback, nothing left behind."""
    checkpoint = files["--checkpoint"]
    text = tmp_path / "notes.safetensors"
    text.write_text("this is no checkpoint, whatever its name says")
    folder = tmp_path / "out"
    folder.mkdir()
    missing, broken = tmp_path / "none.safetensors", tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    foreign = files["--gemma"] / "model.safetensors"
    mistakes: list[tuple[str, list[object], dict[str, object]]] = [
        ("does not exist", [], {"checkpoint": missing}),
        ("truncated", [], {"checkpoint": cut(checkpoint, tmp_path / "cut.safetensors", 0.7)}),
        ("not a safetensors file", [], {"checkpoint": text}),
        ("not an LTX-2 checkpoint", [], {"checkpoint": foreign}),
        ("is not a directory", [], {"gemma": missing}),
        ("no latent upscaler", [], {"spatial_upscaler": checkpoint}),
        ("needs a spatial latent upscaler", [], {"spatial_upscaler": None}),
        ("--num-frames 10 cannot be made", ["--num-frames", 10, "--strict"], {}),
        ("--height 100 cannot be made", ["--height", 100, "--strict"], {}),
        ("--width 96 cannot be made", ["--width", 96, "--strict"], {}),
        ("not between", ["--steps", 0], {}),
        ("image frame 9", ["--image", broken, 9], {}),
        ("not a readable image", ["--image", broken], {}),
        ("does not exist", ["--image", tmp_path / "none.png"], {}),
        ("strength 1.5", ["--image", broken, 0, 1.5], {}),
        ("dtype 'float8'", ["--dtype", "float8"], {}),
        ("--cfg-scale", ["--cfg-scale", 3], {}),
        ("must end in .mp4", ["--output", folder / "clip.gif"], {}),
        ("does not exist", ["--output", folder / "deeper" / "clip.mp4"], {}),
    ]
    for message, extra, changes in mistakes:
        given = [*SMALL, "--output", folder / "clip.mp4", *extra]
        ran = ltx("generate", "a fox", *options(files, **changes), *given)
        assert ran.status == 1, (message, ran)
        assert message in ran.err, (message, ran.err)
        assert "Traceback" not in ran.err
        assert len(ran.err.strip().splitlines()) == 1, ran.err
        assert list(folder.iterdir()) == [], message


def edited(
    source: Path, target: Path, drop: str = "", poison: str = "", **sections: dict[str, object]
) -> Path:
    """A copy of a checkpoint without a tensor, with NaN in one, or with changes to sections of its config."""
    with safe_open(source, framework="mlx") as file:
        metadata = file.metadata()
    tensors = mx.load(str(source))
    assert isinstance(tensors, dict)
    if drop:
        del tensors[drop]
    if poison:
        tensors[poison] = tensors[poison] * mx.nan
    config = json.loads(metadata["config"])
    for name, changes in sections.items():
        config[name] |= changes
    mx.save_safetensors(str(target), tensors, metadata | {"config": json.dumps(config)})
    return target


def test_checkpoints_that_do_not_fit(ltx: Ltx, files: Files, tmp_path: Path) -> None:
    """Found before anything is computed: a missing tensor, other sizes, a value of another network."""
    source, target, output = files["--checkpoint"], tmp_path / "model.safetensors", tmp_path / "clip.mp4"
    mistakes: list[tuple[str, dict[str, Any]]] = [
        ("1 missing (vocoder.conv_post.bias)", {"drop": "vocoder.conv_post.bias"}),
        (
            "missing (vae.per_channel_statistics.mean-of-means)",
            {"drop": "vae.per_channel_statistics.mean-of-means"},
        ),
        ("unexpected (model.diffusion_model.transformer_blocks.2", {"transformer": {"num_layers": 2}}),
        ("where the config asks for", {"vae": {"decoder_base_channels": 8}}),
        ("rope_type", {"transformer": {"rope_type": "spiral"}}),
        ("norm_layer", {"vae": {"norm_layer": "group_norm"}}),
        ("resblock", {"vocoder": {"resblock": "9"}}),
    ]
    for message, changes in mistakes:
        given = options(files, checkpoint=edited(source, target, **changes))
        ran = ltx("generate", "a fox", *given, *SMALL, "-o", output)
        assert ran.status == 1, (message, ran)
        assert message in ran.err, (message, ran.err)
        assert len(ran.err.strip().splitlines()) == 1, ran.err
        assert not output.exists()


@pytest.mark.parametrize(
    ("stage", "tensor"),
    [
        ("encode prompt", "text_embedding_projection.aggregate_embed.weight"),
        ("stage 1", "model.diffusion_model.transformer_blocks.1.audio_ff.net.2.bias"),
        ("decode video", "vae.decoder.conv_out.conv.bias"),
        ("decode audio", "vocoder.conv_post.bias"),
    ],
)
def test_broken_weights_trip_a_wire(ltx: Ltx, files: Files, tmp_path: Path, stage: str, tensor: str) -> None:
    """The stage that broke is named, and no file is written."""
    poisoned = edited(files["--checkpoint"], tmp_path / "model.safetensors", poison=tensor)
    ran = ltx("generate", "a fox", *options(files, checkpoint=poisoned), *SMALL, "-o", tmp_path / "clip.mp4")
    assert ran.status == 5
    assert f"error: {stage}: " in ran.err
    assert "NaN" in ran.err
    assert not (tmp_path / "clip.mp4").exists()


def test_empty_prompt(ltx: Ltx, files: Files, tmp_path: Path) -> None:
    ran = ltx("generate", "  ", *options(files), *SMALL, "-o", tmp_path / "clip.mp4")
    assert ran.status == 1
    assert "prompt" in ran.err
    assert not list(tmp_path.iterdir())


def test_info(ltx: Ltx, files: Files) -> None:
    ran = ltx("info", files["--checkpoint"])
    assert ran.status == 0
    for words in ("LTX-2.0", "transformer", "video decoder", "vocoder", "BF16", "724", "num_layers 3"):
        assert words in ran.out, words
    assert "latent upscaler" in ltx("info", files["--spatial-upscaler"]).out
    ran = ltx("info", "nowhere.safetensors")
    assert ran.status == 1
    assert "nowhere.safetensors does not exist" in ran.err
