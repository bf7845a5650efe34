"""The command in two processes: one clip, one voice, and an end whatever happens."""

from pathlib import Path

from tests.distributed.processes import run_together
from tests.e2e.inspect_media import read_clip

COMMAND = "from ltx_cli.main import main; main()"
# Ends the process where it would tell the other one about its first pass.
DIES = f"""
import os
from ltx_core import guided_denoiser
guided_denoiser.gather_items = lambda *_: os._exit(9)
{COMMAND}
"""
CLIP = ("generate", "a red ball", "--height", 64, "--width", 64, "--num-frames", 9, "--steps", 2)


def test_they_make_one_clip(tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    command = ["-c", COMMAND, *CLIP, "--pipeline", "one-stage", "--no-audio", "-o", output]
    first, second = run_together(tmp_path, [command] * 2)
    assert first.status == 0, first.err
    assert second.status == 0, second.err
    assert len(read_clip(output).frames) == 9
    assert str(output) in first.err
    assert second.out == second.err == ""


def test_one_that_dies_ends_the_other(tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    arguments = [*CLIP, "--pipeline", "one-stage", "--no-audio", "-o", output]
    first, second = run_together(tmp_path, [["-c", COMMAND, *arguments], ["-c", DIES, *arguments]])
    assert second.status == 9
    assert first.status not in (0, 9)
    assert "another process has ended before the clip was made" in first.err
    assert not output.exists()


def test_one_that_cannot_begin_says_so(tmp_path: Path) -> None:
    commands = [["-c", COMMAND, *CLIP, "-o", tmp_path / "clip.mp4", *more] for more in ([], ["--lora", "no"])]
    first, second = run_together(tmp_path, commands)
    assert first.status == second.status == 1
    assert "rank 1 cannot take part" in first.err
    assert second.err.startswith("rank 1: error: no")


def test_what_is_wrong_for_all_is_said_once(tmp_path: Path) -> None:
    command = ["-c", COMMAND, *CLIP, "-o", tmp_path / "clip.mp4", "--devices", "shard"]
    first, second = run_together(tmp_path, [command] * 2)
    assert first.status == second.status == 1
    assert "5 heads" in first.err
    assert "2 processes" in first.err
    assert second.err == ""
