"""How the command ends: its exit codes, and the one line that it ends with."""

import errno
import re
import signal
import traceback
from contextlib import suppress
from enum import IntEnum
from typing import NoReturn

from ltx_core import LTXError
from ltx_loaders import ChangedFileError
from ltx_pipelines import BrokenSignalError, Cancelled, MediaError
from rich.console import Console
from rich.text import Text

from ltx_cli.interrupts import Signalled
from ltx_cli.output_lock import OutputInUseError

SIGNAL = 128


class Exit(IntEnum):
    """Exit codes; those of signals are the shell's: 128 and the number of the signal."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    MEDIA = 3
    MEMORY = 4
    BROKEN = 5
    CHANGED = 6
    IN_USE = 7
    FAULT = 70
    HANGUP = SIGNAL + signal.SIGHUP
    INTERRUPTED = SIGNAL + signal.SIGINT
    TERMINATED = SIGNAL + signal.SIGTERM


MEANINGS = {
    Exit.DONE: "Done.",
    Exit.REFUSED: "What was asked cannot be done: a wrong value, a missing or damaged model file.",
    Exit.USAGE: "The command line cannot be read: an unknown option, a missing argument.",
    Exit.MEDIA: "The clip could not be written, or its source read: disk full, no permission, ffmpeg died.",
    Exit.MEMORY: "Out of memory.",
    Exit.BROKEN: "A network gave NaN, infinity or the same number everywhere.",
    Exit.CHANGED: "A model file was changed or deleted during the run.",
    Exit.IN_USE: "Another run is writing the same output.",
    Exit.FAULT: "A fault of the program itself; its traceback stands above the last line.",
    Exit.HANGUP: "The terminal was closed (SIGHUP).",
    Exit.INTERRUPTED: "Ctrl-C (SIGINT).",
    Exit.TERMINATED: "Asked to end (SIGTERM), as when the system shuts down.",
}

# What MLX's allocators say, on CPUs, Metal and CUDA.
_OUT_OF_MEMORY = re.compile(r"malloc|unable to allocate|out of ?memory|insufficient memory", re.IGNORECASE)


class EndedError(LTXError):
    """The end of a run that made no clip: the last line, and the exit code."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


class StoppedError(EndedError, Cancelled):
    """The end of all runs: a signal, not a fault, has stopped one."""


def exit_of(error: BaseException, *, running: bool = False) -> Exit:
    """The exit code for an exception.

    Args:
        running: whether a clip is being made; before that, a file that is not there is a wrong value.
    """
    if isinstance(error, EndedError):
        return error.code
    if isinstance(error, MediaError):
        return Exit.MEDIA if running else Exit.REFUSED
    if isinstance(error, Signalled):
        return Exit(SIGNAL + error.number)
    if isinstance(error, RuntimeError) and not isinstance(error, RecursionError):
        return Exit.MEMORY if _OUT_OF_MEMORY.search(str(error)) else Exit.FAULT
    kinds: list[tuple[type[BaseException], Exit]] = [
        (KeyboardInterrupt, Exit.INTERRUPTED),
        (Cancelled, Exit.INTERRUPTED),
        (ChangedFileError, Exit.CHANGED),
        (BrokenSignalError, Exit.BROKEN),
        (OutputInUseError, Exit.IN_USE),
        (LTXError, Exit.REFUSED),
        (MemoryError, Exit.MEMORY),
        (OSError, Exit.MEDIA),
    ]
    return next((code for kind, code in kinds if isinstance(error, kind)), Exit.FAULT)


def text_of(error: BaseException) -> str:
    """What happened, in a line without a full stop."""
    if isinstance(error, EndedError):
        return str(error)
    code = exit_of(error)
    if code is Exit.MEMORY:
        return "out of memory"
    if isinstance(error, OSError):
        what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        return f"{error.filename}: {what}" if error.filename else str(what or error)
    if code is Exit.HANGUP:
        return "the terminal was closed"
    if code is Exit.TERMINATED:
        return "SIGTERM"
    if code is Exit.INTERRUPTED:
        return "Ctrl-C"
    if code is Exit.FAULT:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return str(error)


def end(error: BaseException) -> NoReturn:
    """Say in one line on stderr why the command ends, and end it; a fault's traceback stands above that."""
    code = exit_of(error)
    label = "stopped: " if code > SIGNAL else "error: "
    # Where nobody listens any more, the exit code is all there is.
    with suppress(OSError):
        if code is Exit.FAULT and not isinstance(error, EndedError):
            traceback.print_exception(error)
        line = Text(label, style="bold red") + Text(text_of(error))
        Console(stderr=True, soft_wrap=True).print(line)
    raise SystemExit(int(code)) from None
