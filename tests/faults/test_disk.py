"""Disks that are full, folders that are gone or cannot be written, an ffmpeg that dies: nothing is
half-written, the clip of yesterday is still there, and `--resume` only decodes and writes."""

import errno
import os
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import imageio_ffmpeg
import ltx_core.loops as loops
import pytest

from tests.e2e.conftest import Ran
from tests.faults.conftest import EARLIER, Place, model

GOES_ON = "saved (stage 2 is finished); the same command with --resume goes on there"
ROOM = "make room or give another --output"


def full(*_: object, **_options: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_sampling(*_: object) -> NoReturn:
    pytest.fail("a step was made again")


def check_loss(place: Place, ran: Ran, cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run failed while it wrote; one line says why, and nothing is lost."""
    assert ran.status == 3
    last = ran.err.splitlines()[-1]
    assert last.startswith((f"error: {place.output} cannot be written: ", "error: ffmpeg failed"))
    assert cause in last
    assert last.endswith(f"; {ROOM}; {GOES_ON}")
    assert "Traceback" not in ran.err
    place.check_untouched()
    monkeypatch.undo()


def check_resumed(place: Place, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a step of sampling."""
    with monkeypatch.context() as patch:
        patch.setenv("LTX_CACHE", str(place.cache))
        patch.setattr(loops, "finish_step", no_sampling)
        ran = place.run("--resume")
        assert ran.status == 0, ran.err
        assert place.content() == whole


@pytest.fixture
def ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script before ffmpeg."""
    real = imageio_ffmpeg.get_ffmpeg_exe()

    def replace(script: str) -> None:
        path = tmp_path / "ffmpeg"
        path.write_text(f'#!/bin/sh\n{script}\nexec "{real}" "$@"\n')
        path.chmod(0o755)
        monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(path))

    return replace


JOINING = 'case "$*" in *"c:v copy"*)'
LIMIT = 'trap "" XFSZ; ulimit -f 1'


@pytest.mark.parametrize("track", ["picture", "joined"])
def test_disk_full_for_the_clip(
    track: str, place: Place, ffmpeg: Any, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    """ffmpeg may write no more than a block."""
    ffmpeg(LIMIT if track == "picture" else f"{JOINING} {LIMIT};; esac")
    check_loss(place, place.run(), "too large", monkeypatch)
    check_resumed(place, whole, monkeypatch)


@pytest.mark.parametrize("call", ["sound", "folder", "rename"])
def test_disk_full_for_what_python_writes(call: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    owner: Any
    owner, name = {
        "sound": (wave.Wave_write, "writeframes"),
        "folder": (tempfile, "mkdtemp"),
        "rename": (Path, "replace"),
    }[call]
    monkeypatch.setattr(owner, name, full)
    check_loss(place, place.run(), "No space left on device", monkeypatch)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 32 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(
    small_disk: Path, place: Place, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = small_disk / "clip.mp4"
    output.write_bytes(EARLIER)
    (small_disk / "ballast").write_bytes(bytes(20000))
    ran = place.run("-o", output)
    assert ran.status == 3
    assert GOES_ON in ran.err.splitlines()[-1]
    assert "No space left on device" in ran.err.splitlines()[-1]
    assert output.read_bytes() == EARLIER
    assert sorted(path.name for path in small_disk.iterdir()) == ["ballast", "clip.mp4"]
    check_resumed(place, whole, monkeypatch)


def test_disk_full_for_a_sound_alone(
    place: Place, command: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = place.output.with_suffix(".wav")
    place.output.unlink()
    output.write_bytes(EARLIER)
    given = ["audio", "a drum", *model()[:4], "--duration", 0.4, "--steps", 2, "-o", output]
    with monkeypatch.context() as patch:
        patch.setattr(wave.Wave_write, "writeframes", full)
        ran = command(*given)
    assert ran.status == 3
    assert ran.err.splitlines()[-1] == (
        f"error: {output} cannot be written: No space left on device; {ROOM}; "
        "saved (denoise is finished); the same command with --resume goes on there"
    )
    assert list(output.parent.iterdir()) == [output]
    assert output.read_bytes() == EARLIER
    monkeypatch.setattr(loops, "finish_step", no_sampling)
    assert command(*given, "--resume").status == 0
    with wave.open(str(output)) as sound:
        assert sound.getnframes() > 0


def test_disk_full_for_the_latents(place: Place, monkeypatch: pytest.MonkeyPatch, whole: bytes) -> None:
    """The run does not depend on what it saves for another one."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        ran = place.run()
    assert ran.status == 0
    told = f"latents cannot be saved in {place.cache / 'latents'}: No space left on device"
    assert ran.err.count(told) == 1
    assert place.content() == whole
    assert not list(place.cache.glob("latents/.*"))


def test_disk_full_for_the_latents_and_then_interrupted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line does not promise what is not there."""

    def stop(*_: object) -> NoReturn:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        patch.setattr(loops, "finish_step", stop)
        ran = place.run()
    assert ran.status == 4
    assert ran.err.splitlines()[-1].endswith("not saved: No space left on device; it must be made anew")
    place.check_untouched()


def test_a_cache_that_cannot_be_written(place: Place, monkeypatch: pytest.MonkeyPatch, whole: bytes) -> None:
    (place.output.parent.parent / "file").touch()
    monkeypatch.setenv("LTX_CACHE", str(place.output.parent.parent / "file"))
    ran = place.run()
    assert ran.status == 0
    assert "latents cannot be saved in" in ran.err
    assert place.content() == whole


def test_saved_latents_that_are_damaged(
    place: Place, monkeypatch: pytest.MonkeyPatch, at: Any, whole: bytes
) -> None:
    def stop() -> NoReturn:
        raise MemoryError

    at("decode video", stop)
    assert place.run().status == 4
    for path in place.cache.glob("latents/*stage-1*"):
        os.truncate(path, 100)
    ran = place.run("--resume")
    assert ran.status == 0
    assert "what was saved of stage 1 is damaged: it is made anew" in ran.err
    assert place.content() == whole


@pytest.mark.parametrize("mistake", ["missing", "read-only", "a file"])
def test_folders_that_cannot_be_written_are_found_first(
    mistake: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any weight is read."""
    monkeypatch.setattr(loops, "finish_step", no_sampling)
    output = place.output.parent / mistake / "clip.mp4"
    told = "does not exist"
    if mistake == "a file":
        output = place.output / "clip.mp4"
    elif mistake == "read-only":
        output.parent.mkdir()
        output.parent.chmod(0o500)
        allowed = os.access
        # The superuser may write everywhere.
        monkeypatch.setattr(os, "access", lambda path, mode: path != output.parent and allowed(path, mode))
        told = "not writable"
    ran = place.run("-o", output)
    assert ran.status == 1
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1
    assert place.output.read_bytes() == EARLIER
    assert not place.cache.exists()


def test_a_folder_that_goes_away_during_the_run(
    place: Place, at: Any, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    at("decode audio", lambda: shutil.rmtree(place.output.parent))
    ran = place.run()
    assert ran.status == 3
    assert "does not exist" in ran.err.splitlines()[-1]
    assert GOES_ON in ran.err.splitlines()[-1]
    place.output.parent.mkdir()
    check_resumed(place, whole, monkeypatch)


def test_a_folder_that_becomes_read_only_during_the_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **_options: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    check_loss(place, place.run(), "Read-only file system", monkeypatch)


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("head -c 1000 > /dev/null; kill -9 $$", "Killed"),
        (f"{JOINING} echo the codec is broken >&2; exit 1;; esac", "the codec is broken"),
    ],
)
def test_ffmpeg_dies(
    script: str, cause: str, place: Place, ffmpeg: Any, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    ffmpeg(script)
    check_loss(place, place.run(), cause, monkeypatch)
    check_resumed(place, whole, monkeypatch)


def test_ffmpeg_is_gone(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(tmp_path / "nowhere"))
    check_loss(place, place.run(), "No such file", monkeypatch)


def test_the_limit_of_the_cache(place: Place, at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest run goes for the newest."""
    monkeypatch.setenv("LTX_CACHE_GB", "0")
    for seed in (1, 2):
        at("decode video", lambda: (_ for _ in ()).throw(MemoryError))
        assert place.run("--seed", seed).status == 4
    assert len(place.saved()) == 4
    ran = place.run("--resume", "--seed", 1)
    assert "nothing is saved of such a run" in ran.err
    assert ran.status == 0
