"""Clips are made again from their records, bit for bit, on a small checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ltx_cli.clips import _keep_networks
from ltx_pipelines import CheckpointModels, Memory, TextToVideoConfig, TextToVideoPipeline
from ltx_pipelines.metadata import settings_hash, settings_of
from ltx_pipelines.preview import latent_to_rgb
from ltx_pipelines.record import read_settings
from PIL import Image

from tests.e2e.conftest import Ran

Ltx = Callable[..., Ran]
SMALL = ("--height", 64, "--width", 64, "--num-frames", 9, "--steps", 2)


@pytest.fixture
def model(files: dict[str, Path]) -> list[object]:
    return [part for pair in files.items() for part in pair]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.new("RGB", (64, 64), (200, 40, 40)).save(path)
    return path


def made_again(ltx: Ltx, command: str, first: Path, second: Path, *changes: object) -> Ran:
    ran = ltx(command, "--from-video", first, "-o", second, *changes)
    assert ran.status == 0, ran.err
    return ran


def test_a_clip_comes_out_the_same(ltx: Ltx, model: list[object], image: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    images = ("--image", image, "--image", image, -1, 0.5)
    ran = ltx("generate", "a fox; 'in' = \"snow\"", *model, *SMALL, *images, "--seed", 7, "-o", first)
    assert ran.status == 0, ran.err
    told = made_again(ltx, "generate", first, second).err
    assert "warning" not in told
    assert second.read_bytes() == first.read_bytes()
    # Something else may be asked for, and is not what the record says.
    third = tmp_path / "third.mp4"
    made_again(ltx, "generate", first, third, "--seed", 8)
    before, after = read_settings(first), read_settings(third)
    assert {name for name in before if before[name] != after[name]} == {"seed", "command"}
    assert "again                ltx generate --from-video" in ltx("info", first).out
    assert json.loads(ltx("info", first, "--config").out) == before


def test_a_sound_comes_out_the_same(ltx: Ltx, model: list[object], tmp_path: Path) -> None:
    first, second = tmp_path / "first.wav", tmp_path / "second.wav"
    guided = ("--steps", 2, "--duration", 0.5, "--negative-prompt", "noise", "--audio-stg-blocks", 0, 1)
    ran = ltx("audio", "rain", *model[:4], *guided, "-o", first)
    assert ran.status == 0, ran.err
    made_again(ltx, "audio", first, second)
    assert second.read_bytes() == first.read_bytes()


def test_a_changed_clip_is_made_again_from_its_source(ltx: Ltx, model: list[object], tmp_path: Path) -> None:
    source, first, second = (tmp_path / name for name in ("source.mp4", "first.mp4", "second.mp4"))
    assert ltx("generate", "a fox", *model, *SMALL, "-o", source).status == 0
    ran = ltx("extend", "a fox", *model[:4], "--video", source, "--new-frames", 8, "--steps", 2, "-o", first)
    assert ran.status == 0, ran.err
    made_again(ltx, "extend", first, second)
    assert second.read_bytes() == first.read_bytes()
    # Another file in the place of the source.
    source.write_bytes(first.read_bytes())
    told = made_again(ltx, "extend", first, tmp_path / "third.mp4").err
    assert "warning" in told
    assert f"{source} is another file than first.mp4 was made with" in told.replace("\n", " ")


def test_another_checkpoint_or_release_is_told(ltx: Ltx, files: dict[str, Path], tmp_path: Path) -> None:
    import mlx.core as mx

    first, other = tmp_path / "first.mp4", tmp_path / files["--checkpoint"].name
    model = [part for pair in files.items() for part in pair]
    release = "import ltx_pipelines.metadata as m; m.version = lambda package: '1.9'"
    assert ltx("generate", "a fox", *model, *SMALL, "--no-audio", "-o", first, setup=release).status == 0
    loaded: Any = mx.load(str(files["--checkpoint"]), return_metadata=True)
    tensors, metadata = loaded
    name = next(name for name in tensors if name.endswith("to_q.weight"))
    mx.save_safetensors(str(other), {**tensors, name: tensors[name] * 1.5}, metadata)
    told = made_again(ltx, "generate", first, tmp_path / "second.mp4", "--checkpoint", other).err
    assert f"warning: {other.name} is another file than first.mp4 was made with" in told
    assert "warning: first.mp4 was made with mlx 1.9, this is" in told
    assert read_settings(tmp_path / "second.mp4")["files"] != read_settings(first)["files"]


def test_a_batch_with_previews_and_events(ltx: Ltx, model: list[object], tmp_path: Path) -> None:
    batch = tmp_path / "batch.jsonl"
    batch.write_text('{"prompt": "a fox"}\n{"prompt": "a bird", "seed": 3, "no_audio": true}\n')
    cache = f"import os; os.environ['LTX_CACHE'] = {str(tmp_path / 'cache')!r}"
    output, one = tmp_path / "clip.mp4", tmp_path / "one.mp4"
    ran = ltx(
        "generate", "--batch", batch, *model, *SMALL, "--preview", 1, "--json", "-o", output, setup=cache
    )  # fmt: skip
    assert ran.status == 0, ran.err
    events = [json.loads(line) for line in ran.err.splitlines()]
    assert [event["output"] for event in events if event["event"] == "done"] == [
        str(tmp_path / f"clip-00{number}.mp4") for number in (1, 2)
    ]
    shown = [event for event in events if event["event"] == "preview"]
    # Two steps of the first stage and three of the second, of either clip.
    assert [event["index"] for event in shown] == [1, 2, 1, 2, 3] * 2
    assert all(Path(event["path"]).stat().st_size > 100 for event in shown)
    assert len(list((tmp_path / "cache" / "previews").iterdir())) == 1
    # The second clip is what it would have been alone: nothing is left over from the first.
    ran = ltx("generate", "a bird", *model, *SMALL, "--seed", 3, "--no-audio", "-o", one)
    assert ran.status == 0, ran.err
    assert one.read_bytes() == (tmp_path / "clip-002.mp4").read_bytes()


def test_networks_of_several_clips_stay_if_there_is_room(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ltx_cli import clips
    from ltx_cli.clip import Clip
    from ltx_cli.models import ModelFiles

    def several(count: int, available: int | None) -> Memory:
        models = CheckpointModels(files["--checkpoint"], files["--gemma"], dtype="float32")
        config = TextToVideoConfig(prompt="a fox", height=64, width=64, num_frames=9)
        names = ModelFiles(files["--checkpoint"], files["--gemma"], None)
        clip = Clip(names, TextToVideoPipeline(models), config, Path("a.mp4"))
        monkeypatch.setattr(clips, "available_memory", lambda: available)
        _keep_networks([clip] * count)
        return models.memory

    assert several(2, 10**12) is Memory.KEEP
    assert several(1, 10**12) is several(2, 10**6) is several(2, None) is Memory.FREE


def test_the_hash_is_of_what_the_clip_depends_on(files: dict[str, Path]) -> None:
    config = TextToVideoConfig(prompt="a fox", height=64, width=64, num_frames=9)

    def key(**options: Any) -> str:
        models = CheckpointModels(files["--checkpoint"], files["--gemma"], **options)
        return settings_hash(settings_of(TextToVideoPipeline(models), config))

    assert key(dtype="float32") == key(dtype="float32", memory=Memory.KEEP, name="other")
    assert len({key(dtype="float32"), key(dtype="bfloat16"), key(quantize=8, dtype="float32")}) >= 2


def test_the_preview_of_an_autoencoder_that_was_never_trained(files: dict[str, Path], tmp_path: Path) -> None:
    """Its latents are noise to the eye; the map says so instead of showing something else."""
    models = CheckpointModels(files["--checkpoint"], files["--gemma"], dtype="float32")
    first = latent_to_rgb(models, tmp_path)
    kept = latent_to_rgb(models, tmp_path)
    assert (first.matrix == kept.matrix).all()
    assert first.quality == kept.quality < 1
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"damaged")
    assert latent_to_rgb(models, tmp_path).quality == first.quality
