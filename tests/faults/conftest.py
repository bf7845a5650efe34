"""The command in this process, with faults at chosen moments of a run."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ltx_cli.main import main

from tests.e2e.conftest import FIXTURES, Ran, files, ltx
from tests.e2e.inspect_media import read_clip

__all__ = ["files", "ltx"]

SIZE = ["--height", "64", "--width", "64", "--num-frames", "9", "--steps", "2"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EARLIER = b"a clip of yesterday"
MOMENTS = ("encode prompt", "stage 1", "upsample", "stage 2", "decode video", "decode audio", "write")


def model(checkpoint: Path | None = None) -> list[str]:
    """The small model as options."""
    return [
        *("--checkpoint", str(checkpoint or FIXTURES / "checkpoint.safetensors")),
        *("--gemma", str(FIXTURES / "gemma")),
        *("--spatial-upscaler", str(FIXTURES / "spatial_upscaler_x2.safetensors")),
    ]


@dataclass(frozen=True)
class Place:
    """An output in a folder of its own, where a clip of yesterday lies, and a cache.

    Attributes:
        output: the clip.
        cache: of unfinished runs.
        run: the command on the small model, with more options.
    """

    output: Path
    cache: Path
    run: Callable[..., Ran]

    def check_untouched(self) -> None:
        """The earlier clip is as it was, and nothing lies beside it."""
        assert list(self.output.parent.iterdir()) == [self.output]
        assert self.output.read_bytes() == EARLIER

    def saved(self) -> list[str]:
        """Stages that are saved."""
        return sorted(path.name.split(".")[1] for path in self.cache.glob("latents/*.safetensors"))

    def content(self) -> bytes:
        """Frames and samples of the clip; nothing lies beside it, and nothing is saved any more."""
        assert list(self.output.parent.iterdir()) == [self.output]
        assert not self.saved()
        clip = read_clip(self.output)
        assert clip.sound is not None
        return clip.frames.tobytes() + np.ascontiguousarray(clip.sound).tobytes()


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`ltx` in this process; its exit code, and what it says."""

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        status: Any = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code or 0
        said = capfd.readouterr()
        return Ran(int(status), said.out, said.err)

    return run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Ran]) -> Iterator[Place]:
    output, cache = tmp_path / "out" / "clip.mp4", tmp_path / "cache"
    output.parent.mkdir()
    output.write_bytes(EARLIER)
    monkeypatch.setenv("LTX_CACHE", str(cache))

    def run(*arguments: object, checkpoint: Path | None = None) -> Ran:
        return command("generate", "a fox", *model(checkpoint), *SIZE, "-o", output, *arguments)

    handlers = [signal.getsignal(number) for number in SIGNALS]
    yield Place(output, cache, run)
    for number, handler in zip(SIGNALS, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Frames and samples of the uninterrupted clip."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTX_CACHE", str(folder / "cache"))
        (folder / "out").mkdir()
        with pytest.raises(SystemExit) as ended:
            main(["generate", "a fox", *model(), *SIZE, "-o", str(folder / "out" / "clip.mp4")])
    assert not ended.value.code
    return Place(folder / "out" / "clip.mp4", folder / "cache", lambda: Ran(0, "", "")).content()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], Any]], None]:
    """Let something happen once at one of the `MOMENTS` of a run; in denoising, within the second step."""

    def happen(moment: str, what: Callable[[], Any]) -> None:
        import ltx_core.loops as loops
        import ltx_models.audio_vae as audio_vae
        import ltx_models.upsampler as upsampler
        import ltx_models.video_vae as video_vae
        import ltx_pipelines.media as media
        import ltx_pipelines.prompt as prompt

        owner, name, call = {
            "encode prompt": (prompt.TextEncoder, "__call__", 1),
            "stage 1": (loops, "finish_step", 2),
            "upsample": (upsampler, "upsample_video", 1),
            "stage 2": (loops, "finish_step", 4),
            "decode video": (video_vae.VideoDecoder, "decode_video", 1),
            "decode audio": (audio_vae, "decode_audio", 1),
            "write": (media, "_write_sound", 1),
        }[moment]
        inner, calls = getattr(owner, name), 0

        def patched(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                what()
            return inner(*arguments, **options)

        monkeypatch.setattr(owner, name, patched)

    return happen
