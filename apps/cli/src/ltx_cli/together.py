"""The command as one of several processes that make a clip together: `mlx.launch -n 2 ltx ...`.

All of them do the same; rank 0 alone speaks and writes. One that fails says so, and ends: the launcher then
ends the others.
"""

import io
import os
import signal
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ltx_cli.interrupts import signals_raise

if TYPE_CHECKING:
    from ltx_core.ranks import Group
    from ltx_pipelines import Devices, OnStep, StageEvent, StagePlan

    from ltx_cli.clip import Clip
    from ltx_cli.view import View

    MakeClip = Callable[[Clip, View], None]

# Where launchers say which process this is.
RANK = ("MLX_RANK", "OMPI_COMM_WORLD_RANK")
SECONDS_TO_MEET = 30
"""How long one that failed waits for the others before it ends."""
SECONDS_TO_END = 5
"""The same after Ctrl-C."""
FAILED = -1
INTERRUPTED = 128 + signal.SIGINT
"""Status, and above it those of other signals."""
LATER_STAGES = ("decode ", "upsample time")
"""Beginnings of the names of stages that need no other process."""


def run(command: Callable[[], None]) -> None:
    """Call it, in one of several processes with what has to be different there."""
    rank = next((os.environ[name] for name in RANK if name in os.environ), None)
    if rank is None:
        with signals_raise():
            command()
        return
    said = io.StringIO()
    status = 0
    try:
        if rank == "0":
            _end_when_interrupted()
            command()
        else:
            # At once, wherever it waits: nothing of it is missed.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            with redirect_stdout(said), redirect_stderr(said):
                command()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        (sys.stderr if rank == "0" else said).write(traceback.format_exc())
        status = 1
    if status == INTERRUPTED and rank == "0":
        print("stopped by Ctrl-C; nothing was written", file=sys.stderr)
    if status:
        _fail(status, f"rank {rank}: {said.getvalue()}" if said.getvalue() else "")


def devices(asked: str | None, *, guided: bool) -> "Devices | None":
    """The processes, and what they divide.

    Args:
        asked: a value of `ltx_pipelines.Division`; None: what makes all of the steps faster.
        guided: whether they are steps with guidance.

    Raises:
        ConfigError: something was asked for that there is not, or there are no other processes, or they
            cannot be reached.
    """
    from ltx_core import ConfigError
    from ltx_pipelines import Devices, Division

    known = [division.value for division in Division]
    if asked is not None and asked not in known:
        raise ConfigError(f"--devices {asked!r} is not known; choose {', '.join(known)}")
    group = _group()
    if group is not None:
        return Devices(group, Division(asked or ("split" if guided else "tokens")))
    if asked is not None:
        raise ConfigError(
            f"--devices {asked} is for several processes, and this one is alone; start them with "
            "mlx.launch -n 2 ltx ..."
        )
    return None


def together(make_clip: "MakeClip") -> "MakeClip":
    """For the function that makes a clip: in one of several processes, it has another view."""

    @wraps(make_clip)
    def make(clip: "Clip", view: "View") -> None:
        from ltx_core import ConfigError, LTXError

        group = _group()
        if group is None:
            make_clip(clip, view)
            return
        if clip.resume:
            raise ConfigError("--resume is for a single process: several save nothing; leave one of them out")
        try:
            with suppress(_Done):
                make_clip(clip, _Seen(view) if group.rank() == 0 else _Unseen())
        except RuntimeError as error:
            if "peer" not in str(error):
                raise
            raise LTXError(
                "another process has ended before the clip was made; what it says is why"
            ) from None

    return make


class _Done(BaseException):
    """What is left to do for this clip is rank 0's."""


class _Seen:
    """The view of rank 0; `begin`, which comes after all that can be found wrong before, waits for the
    others."""

    def __init__(self, view: "View") -> None:
        self.begin_alone = view.begin
        self.say = view.say
        self.stages = view.stages
        self.end = view.end

    def begin(self, clip: "Clip", stages: "Sequence[StagePlan]") -> None:
        """See `View`.

        Raises:
            ConfigError: another process cannot take part.
        """
        _begin(clip)
        self.begin_alone(clip, stages)


class _Unseen:
    """The view of a process that nobody looks at: it ends when the others need it no more."""

    def begin(self, clip: "Clip", stages: "Sequence[StagePlan]") -> None:
        """See `View`; errors as rank 0's."""
        _begin(clip)

    def say(self, text: str) -> None:
        """See `View`."""

    @contextmanager
    def stages(self, stages: "Sequence[StagePlan]") -> "Iterator[OnStep]":
        """See `View`."""
        names = [stage.name for stage in stages]
        later: set[str] = set()
        while names and names[-1].startswith(LATER_STAGES):
            later.add(names.pop())

        def on_step(event: "StageEvent") -> None:
            if event.stage in later:
                raise _Done

        yield on_step

    def end(self, output: Path, seconds: float) -> None:
        """See `View`."""


def _begin(clip: "Clip") -> None:
    from ltx_core import ConfigError

    settings = repr((clip.runner.models.name, clip.config.settings()))
    marks = _meet(zlib.crc32(settings.encode()) >> 1)
    _told.update(marks)
    failed = ", ".join(f"rank {rank}" for rank, mark in enumerate(marks) if mark == FAILED)
    if failed:
        raise ConfigError(f"{failed} cannot take part, as it says itself")
    if len(set(marks)) > 1:
        raise ConfigError("the processes were started with different commands; give all of them the same")
    _told.clear()


@cache
def _group() -> "Group | None":
    from ltx_core.ranks import join

    return join()


def _meet(mark: int) -> list[int]:
    """Tell the others a number; those of all, by rank."""
    from ltx_core.ranks import everyones

    group = _group()
    if group is None:
        return [mark]
    _met.add(mark)
    return everyones(mark, group)


_met: set[int] = set()
"""What this process has told the others."""
_told: set[int] = set()
"""What all know that this process cannot go on with; rank 0 says so."""


def _fail(status: int, said: str) -> NoReturn:
    """End with a status, and say why unless rank 0 says the same."""

    def end() -> NoReturn:
        print(said, file=sys.stderr, end="")
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by way of what closes connections, which may wait for those who wait for this process.
        os._exit(status)

    if status >= INTERRUPTED:
        said = ""
        end()
    timer = threading.Timer(SECONDS_TO_MEET, end)
    timer.daemon = True
    timer.start()
    if _told:
        said = ""
    if not _met:
        # The others wait for this process, or have the same to say.
        try:
            if _meet(FAILED)[0] == FAILED:
                said = ""
        except Exception as error:
            said += f"{error}\n"
    end()


def _end_when_interrupted() -> None:
    """Let Ctrl-C end this process even where it waits for others that are gone, and Python cannot hear."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)

    def wait() -> None:
        while os.read(reader, 1) != bytes([signal.SIGINT]):
            pass
        threading.Event().wait(SECONDS_TO_END)
        os._exit(INTERRUPTED)

    threading.Thread(target=wait, daemon=True).start()
