"""Memory that runs out, broken weights, model files that change, two runs at once, a process that dies."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import ltx_core.loops as loops
import pytest
from ltx_cli.output_lock import output_lock

from tests.e2e.conftest import FIXTURES
from tests.e2e.test_generate import edited
from tests.faults.conftest import SIZE, Place, model

At = Callable[[str, Callable[[], Any]], None]

ALL = ["encode-prompt", "stage-1", "stage-2", "upsample"]
GOES_ON = "the same command with --resume goes on there"


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def act() -> NoReturn:
        raise error

    return act


@pytest.mark.parametrize("moment", ["encode prompt", "stage 1", "decode audio"])
def test_out_of_memory(moment: str, place: Place, at: At, whole: bytes) -> None:
    """In the words of one of MLX's allocators."""
    at(moment, raising(RuntimeError("[metal::malloc] Attempting to allocate 99 bytes which is greater than")))
    ran = place.run()
    assert ran.status == 4
    place.check_untouched()
    last = ran.err.splitlines()[-1]
    assert last.startswith("error: out of memory (")
    assert "close other programs, or add --low-ram" in last
    assert "Traceback" not in ran.err
    if moment == "encode prompt":
        assert last.endswith("nothing was made yet")
        return
    assert last.endswith(GOES_ON)
    assert place.run("--resume").status == 0
    assert place.content() == whole


def test_memory_that_python_lacks(place: Place, at: At, whole: bytes) -> None:
    at("stage 2", raising(MemoryError()))
    ran = place.run()
    assert ran.status == 4
    assert ran.err.splitlines()[-1] == (
        "error: out of memory (stage 2); close other programs, or add --low-ram; "
        f"saved (stage 2, step 1 of 3); {GOES_ON}"
    )
    assert place.run("--resume", "--low-ram").status == 0
    assert place.content() == whole


def test_a_crash_in_decoding_costs_no_sampling(
    place: Place, at: At, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any kind: here a fault of the program, with its traceback above the last line."""
    at("decode video", raising(ZeroDivisionError("a fault")))
    ran = place.run()
    assert ran.status == 70
    place.check_untouched()
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1] == (
        f"error: ZeroDivisionError: a fault; please report this; saved (stage 2 is finished); {GOES_ON}"
    )
    monkeypatch.setattr(loops, "finish_step", lambda *_: pytest.fail("a step was made again"))
    assert place.run("--resume").status == 0
    assert place.content() == whole


@pytest.mark.parametrize(
    ("stage", "tensor", "saved"),
    [
        ("encode prompt", "text_embedding_projection.aggregate_embed.weight", []),
        ("stage 1", "model.diffusion_model.transformer_blocks.1.audio_ff.net.2.bias", ["encode-prompt"]),
        ("decode video", "vae.decoder.conv_out.conv.bias", ALL),
    ],
)
def test_nan_in_weights(stage: str, tensor: str, saved: list[str], place: Place, tmp_path: Path) -> None:
    """Found after the first step, not after the last: no state of it is saved."""
    steps: list[int] = []
    poisoned = edited(FIXTURES / "checkpoint.safetensors", tmp_path / "model.safetensors", poison=tensor)
    with pytest.MonkeyPatch.context() as patch:
        finish = loops.finish_step
        patch.setattr(loops, "finish_step", lambda *given: (steps.append(1), finish(*given))[1])
        ran = place.run(checkpoint=poisoned)
    assert ran.status == 5
    last = ran.err.splitlines()[-1]
    assert last.startswith(f"error: {stage}: ")
    assert "NaN" in last
    assert "--resume" not in last
    assert len(steps) == {"encode prompt": 0, "stage 1": 1, "decode video": 5}[stage]
    assert place.saved() == saved
    place.check_untouched()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A checkpoint that may be changed."""
    return Path(shutil.copy(FIXTURES / "checkpoint.safetensors", tmp_path / "own.safetensors"))


@pytest.mark.parametrize(
    ("change", "told", "options"),
    [
        (lambda path: path.unlink(), "was deleted", []),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "was changed", []),
        (lambda path: os.truncate(path, 5000), "was changed", ["--low-ram"]),
    ],
    ids=["deleted", "overwritten", "truncated"],
)
def test_model_files_change_during_the_run(
    change: Callable[[Path], None],
    told: str,
    options: list[str],
    place: Place,
    at: At,
    own: Path,
    whole: bytes,
) -> None:
    """In stage 2; with little memory its weights are read from the file in that moment."""
    at("stage 2", lambda: change(own))
    ran = place.run(*options, checkpoint=own)
    assert ran.status == 6
    last = ran.err.splitlines()[-1]
    assert last.startswith(f"error: {own} {told} during the run; put back the file that the run began with")
    assert last.endswith(GOES_ON)
    assert "Traceback" not in ran.err
    place.check_untouched()
    shutil.copy(FIXTURES / "checkpoint.safetensors", own)
    ran = place.run("--resume", checkpoint=own)
    assert ran.status == 0, ran.err
    assert "going on: stage 2" in ran.err
    assert place.content() == whole


def test_another_model_is_another_run(place: Place, at: At, own: Path) -> None:
    """What was saved with the old weights is not gone on with."""
    at("decode video", raising(MemoryError()))
    assert place.run(checkpoint=own).status == 4
    content = bytearray(own.read_bytes())
    content[-1] ^= 1  # the last bit of the last weight
    own.write_bytes(content)
    ran = place.run("--resume", checkpoint=own)
    assert "nothing is saved of such a run" in ran.err
    assert ran.status == 0


def test_two_runs_on_one_output(place: Place, whole: bytes) -> None:
    """The second ends before it begins; the first one goes on."""
    with output_lock(place.output):
        ran = place.run()
    assert ran.status == 7
    told = f"another run is making {place.output}; wait for it to end, or give another --output"
    assert ran.err.splitlines()[-1] == f"error: {told}"
    place.check_untouched()
    assert place.run().status == 0
    assert place.content() == whole


def test_two_runs_of_one_clip(place: Place, whole: bytes, tmp_path: Path) -> None:
    """The same settings at the same time, to two outputs: both save the same latents, and both are made."""
    outputs = [tmp_path / name / "clip.mp4" for name in "ab"]
    code = "from ltx_cli.main import main; main()"
    command = [sys.executable, "-c", code, "generate", "a fox", *model(), *SIZE]
    processes = []
    for output in outputs:
        output.parent.mkdir()
        processes.append(subprocess.Popen([*command, "-o", str(output)], stderr=subprocess.DEVNULL))
    assert [process.wait(120) for process in processes] == [0, 0]
    for output in outputs:
        assert Place(output, place.cache, place.run).content() == whole


def test_the_process_dies(place: Place, whole: bytes) -> None:
    """As by an error on a Mac's GPU, which nobody can catch: what was saved is there, a state every 10 s."""
    number = signal.SIGKILL
    code = (
        "import os, ltx_core.loops as loops, ltx_pipelines.latent_cache as cache\n"
        "cache.SAVE_EVERY, finish, calls = 0.0, loops.finish_step, []\n"
        "def dying(*given):\n"
        "    calls.append(1)\n"
        f"    if len(calls) == 5: os.kill(os.getpid(), {int(number)})\n"
        "    return finish(*given)\n"
        "loops.finish_step = dying\n"
        "from ltx_cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "generate", "a fox", *model(), *SIZE, "-o", str(place.output)]
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == -number
    place.check_untouched()
    ran = place.run("--resume")
    assert "going on: stage 2, step 2 of 3" in ran.err
    assert ran.status == 0
    assert place.content() == whole
