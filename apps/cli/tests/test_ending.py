"""How the command ends: signals, exit codes, the last line, and one run for one output."""

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from ltx_cli import exit_codes
from ltx_cli.exit_codes import MEANINGS, EndedError, Exit, StoppedError, end, exit_of, text_of
from ltx_cli.interrupts import Signalled, signals_raise, step_first
from ltx_cli.output_lock import OutputInUseError, output_lock
from ltx_core import ConfigError
from ltx_loaders import ChangedFileError, LoaderError
from ltx_pipelines import BrokenSignalError, Cancelled, MediaError, StageEvent

EVENT = StageEvent("stage 1", 1, 8)
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTX_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("no"), Exit.REFUSED, "no"),
        (LoaderError("damaged"), Exit.REFUSED, "damaged"),
        (MediaError("ffmpeg failed"), Exit.MEDIA, "ffmpeg failed"),
        (
            OSError(errno.ENOSPC, "No space left on device", "clip.mp4"),
            Exit.MEDIA,
            "clip.mp4: the disk is full",
        ),
        (OSError(errno.EACCES, "Permission denied"), Exit.MEDIA, "Permission denied"),
        (OSError("odd"), Exit.MEDIA, "odd"),
        (MemoryError(), Exit.MEMORY, "out of memory"),
        (RuntimeError("[malloc_or_wait] Unable to allocate 99 bytes."), Exit.MEMORY, "out of memory"),
        (RuntimeError("[metal::malloc] Attempting to allocate 9 bytes"), Exit.MEMORY, "out of memory"),
        (RuntimeError("Command buffer execution failed: Insufficient Memory"), Exit.MEMORY, "out of memory"),
        (RuntimeError("cudaMallocAsync(&data) failed: out of memory"), Exit.MEMORY, "out of memory"),
        (BrokenSignalError("NaN"), Exit.BROKEN, "NaN"),
        (ChangedFileError("a was changed"), Exit.CHANGED, "a was changed"),
        (OutputInUseError("in use"), Exit.IN_USE, "in use"),
        (Cancelled(), Exit.INTERRUPTED, "Ctrl-C"),
        (KeyboardInterrupt(), Exit.INTERRUPTED, "Ctrl-C"),
        (Signalled(signal.SIGINT), Exit.INTERRUPTED, "Ctrl-C"),
        (Signalled(signal.SIGTERM), Exit.TERMINATED, "SIGTERM"),
        (Signalled(signal.SIGHUP), Exit.HANGUP, "the terminal was closed"),
        (ZeroDivisionError("two\nlines"), Exit.FAULT, "ZeroDivisionError: two lines"),
        (RuntimeError("[matmul] shapes"), Exit.FAULT, "RuntimeError: [matmul] shapes"),
        (EndedError(Exit.MEMORY, "saved"), Exit.MEMORY, "saved"),
    ],
)
def test_every_end_has_a_code_and_a_line(
    error: BaseException, code: Exit, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_of(error, running=True) is code
    assert text_of(error) == text
    with pytest.raises(SystemExit) as ended:
        end(error)
    assert ended.value.code == (Exit.REFUSED if isinstance(error, MediaError) else code)
    err = capsys.readouterr().err
    label = "stopped" if code > 128 else "error"
    assert err.splitlines()[-1] == f"{label}: {text}"
    assert len(err.splitlines()) == 1 or code is Exit.FAULT


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Exit)
    assert len({code.value for code in Exit}) == len(Exit)
    assert issubclass(StoppedError, Cancelled)


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is what is left."""

    def broken(*_: object, **_options: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(exit_codes.Console, "print", broken)
    with pytest.raises(SystemExit) as ended:
        end(ConfigError("no"))
    assert ended.value.code == 1


@pytest.mark.parametrize("number", HANDLED)
def test_signals_end_at_once(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in HANDLED]
    try:
        with pytest.raises(Signalled) as caught, signals_raise():
            os.kill(os.getpid(), number)
        assert caught.value.number == number
        # Only a person may cut short what follows.
        assert [signal.getsignal(one) for one in HANDLED] == [signal.SIG_DFL, signal.SIG_IGN, signal.SIG_IGN]
    finally:
        for one, handler in zip(HANDLED, before, strict=True):
            signal.signal(one, handler)
    with signals_raise():
        assert signal.getsignal(number) not in before
    assert [signal.getsignal(one) for one in HANDLED] == before


def test_ignored_signals_stay_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_raise():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_leave_signals_alone() -> None:
    found: list[object] = []

    def run() -> None:
        with signals_raise():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]


def test_the_first_interrupt_waits_for_the_step() -> None:
    said: list[str] = []
    steps = 0
    with pytest.raises(Cancelled), step_first(said.append) as on_step:  # noqa: PT012
        on_step(EVENT)
        os.kill(os.getpid(), signal.SIGINT)
        steps += 1  # the step goes on
        assert said == ["stopping after this step; Ctrl-C again stops at once"]
        on_step(EVENT)
        steps += 1
    assert steps == 1


def test_the_second_interrupt_does_not_wait() -> None:
    before = [signal.getsignal(one) for one in HANDLED]
    try:
        with pytest.raises(Signalled), step_first(lambda _: None):  # noqa: PT012
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("went on")
    finally:
        for one, handler in zip(HANDLED, before, strict=True):
            signal.signal(one, handler)


def test_an_interrupt_after_the_last_step_ends_what_follows() -> None:
    with pytest.raises(Signalled), step_first(lambda _: None):
        os.kill(os.getpid(), signal.SIGINT)


def test_one_run_for_one_output(tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    with output_lock(output):
        with output_lock(tmp_path / "other.mp4"):
            pass
        with pytest.raises(OutputInUseError, match=r"another run is making .*clip\.mp4"), output_lock(output):
            pass
        # Another name of the same file.
        (tmp_path / "link").symlink_to(tmp_path)
        with pytest.raises(OutputInUseError), output_lock(tmp_path / "link" / "clip.mp4"):
            pass
    with output_lock(output):
        pass
    assert list((tmp_path / "cache" / "locks").iterdir()) == []
    assert not output.exists()


def test_a_killed_run_holds_no_output(tmp_path: Path) -> None:
    output = tmp_path / "clip.mp4"
    code = (
        "import sys, time; from pathlib import Path; from ltx_cli.output_lock import output_lock\n"
        "with output_lock(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, output], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(OutputInUseError), output_lock(output):
        pass
    process.kill()
    process.wait()
    with output_lock(output):
        pass


def test_without_a_cache_nothing_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LTX_CACHE", str(tmp_path / "file"))
    with output_lock(tmp_path / "clip.mp4"), output_lock(tmp_path / "clip.mp4"):
        pass


def test_locks_under_contention(tmp_path: Path) -> None:
    """Many take the lock in turn; never two at once."""
    output, inside, worst = tmp_path / "clip.mp4", [0], [0]

    def run() -> None:
        for _ in range(50):
            with suppress(OutputInUseError), output_lock(output):
                inside[0] += 1
                worst[0] = max(worst[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == [1]
