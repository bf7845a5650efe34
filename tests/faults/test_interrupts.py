"""Ctrl-C, a closed terminal, a system that shuts down: in every stage, and what `--resume` makes of it."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import EARLIER, MOMENTS, SIZE, Place, model

At = Callable[[str, Callable[[], Any]], None]

# What is saved when a run ends within a stage: all stages before it, and of denoising the step that was made.
SAVED = {
    "encode prompt": [],
    "stage 1": ["encode-prompt", "stage-1"],
    "upsample": ["encode-prompt", "stage-1"],
    "stage 2": ["encode-prompt", "stage-1", "stage-2", "upsample"],
    "decode video": ["encode-prompt", "stage-1", "stage-2", "upsample"],
    "decode audio": ["encode-prompt", "stage-1", "stage-2", "upsample"],
    "write": ["encode-prompt", "stage-1", "stage-2", "upsample"],
}


def send(number: int, times: int = 1) -> Callable[[], None]:
    def act() -> None:
        for _ in range(times):
            os.kill(os.getpid(), number)

    return act


def refuse() -> None:
    pytest.fail("a finished stage was made again")


@pytest.mark.parametrize("moment", MOMENTS)
def test_signals_end_at_once_and_the_run_goes_on(moment: str, place: Place, at: At, whole: bytes) -> None:
    """SIGTERM within each stage, then `--resume`."""
    at(moment, send(signal.SIGTERM))
    ran = place.run()
    assert ran.status == 143
    place.check_untouched()
    assert place.saved() == SAVED[moment]
    last = ran.err.splitlines()[-1]
    if SAVED[moment]:
        assert last.startswith("stopped: SIGTERM; saved (")
        assert last.endswith("the same command with --resume goes on there")
    else:
        assert last == "stopped: SIGTERM; nothing was made yet"
    for earlier in MOMENTS[: MOMENTS.index(moment)]:
        if earlier in ("encode prompt", "upsample"):
            at(earlier, refuse)
    ran = place.run("--resume")
    assert ran.status == 0, ran.err
    assert place.content() == whole


@pytest.mark.parametrize("moment", ["stage 1", "stage 2"])
def test_ctrl_c_finishes_the_step(moment: str, place: Place, at: At, whole: bytes) -> None:
    at(moment, send(signal.SIGINT))
    ran = place.run()
    assert ran.status == 130
    place.check_untouched()
    assert "stopping after this step; Ctrl-C again stops at once" in ran.err
    where = "stage 1 is finished" if moment == "stage 1" else "stage 2, step 2 of 3"
    assert ran.err.splitlines()[-1] == (
        f"stopped: Ctrl-C; saved ({where}); the same command with --resume goes on there"
    )
    # Without --resume, the run that is there is spoken of.
    at("encode prompt", send(signal.SIGTERM))
    ran = place.run()
    assert (
        f"an unfinished run of the same settings is saved ({where}): --resume would go on with it" in ran.err
    )
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ran = place.run("--resume")
    assert f"going on: {where}" in ran.err
    assert ran.status == 0
    assert place.content() == whole


def test_ctrl_c_twice_does_not_wait(place: Place, at: At, whole: bytes) -> None:
    at("stage 2", send(signal.SIGINT, times=2))
    ran = place.run()
    assert ran.status == 130
    place.check_untouched()
    assert "saved (stage 2, step 1 of 3)" in ran.err.splitlines()[-1]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert place.run("--resume").status == 0
    assert place.content() == whole


def test_ctrl_c_while_the_file_is_written(place: Place, at: At, whole: bytes) -> None:
    """It is too late to stop after a step: the clip is whole."""
    at("write", send(signal.SIGINT))
    ran = place.run()
    assert ran.status == 130
    assert place.output.read_bytes() != EARLIER
    assert place.content() == whole


def test_nothing_to_go_on_with(place: Place, whole: bytes) -> None:
    ran = place.run("--resume")
    assert ran.status == 0
    assert "nothing is saved of such a run: it begins anew" in ran.err
    assert place.content() == whole


def test_other_settings_are_another_run(place: Place, at: At) -> None:
    at("stage 2", send(signal.SIGTERM))
    assert place.run().status == 143
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ran = place.run("--resume", "--seed", 4)
    assert ran.status == 0
    assert "nothing is saved of such a run" in ran.err


def test_the_place_of_the_clip_is_no_setting(place: Place, at: At, whole: bytes, tmp_path: Path) -> None:
    at("stage 2", send(signal.SIGTERM))
    assert place.run().status == 143
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    other = tmp_path / "elsewhere" / "clip.mp4"
    other.parent.mkdir()
    ran = place.run("--resume", "-o", other, "--low-ram")
    assert ran.status == 0, ran.err
    place.check_untouched()
    assert Place(other, place.cache, place.run).content() == whole


def test_a_closed_terminal(tmp_path: Path, whole: bytes, place: Place) -> None:
    """A real one: the process loses it within a step, and can write nowhere from then on."""
    mark = tmp_path / "in the second step"
    code = (
        "import sys, time, ltx_core.loops as loops\n"
        "finish, calls = loops.finish_step, []\n"
        "def slow(*given):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2:\n"
        f"        open({str(mark)!r}, 'w').close()\n"
        "        for _ in range(600): time.sleep(0.1)\n"
        "    return finish(*given)\n"
        "loops.finish_step = slow\n"
        "from ltx_cli.main import main; main()"
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, "generate", "a fox", *model(), *SIZE, "-o", str(place.output)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=lambda: _take_terminal(theirs),
    )
    os.close(theirs)
    while not mark.exists():
        assert process.poll() is None
        os.read(ours, 10000)
    os.close(ours)
    assert process.wait(60) == 129
    place.check_untouched()
    assert place.saved() == ["encode-prompt", "stage-1"]
    assert place.run("--resume").status == 0
    assert place.content() == whole


def _take_terminal(descriptor: int) -> None:
    """As a shell does for what it starts."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
