"""Signals that end a run: Ctrl-C, a closed terminal, a system that shuts down.

Within a clip, Ctrl-C lets the step end that is being made; everything else ends at once, by an exception, so
that what was made is saved and what is half-written is removed on the way out.
"""

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ltx_pipelines import OnStep, StageEvent

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signalled(BaseException):
    """A signal ends the program. As `KeyboardInterrupt`, it is no error that anything may handle.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.strsignal(number))
        self.number = number


def _raise(number: int, _frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        _leave_terminal()
    # What follows is short, and must not be cut short again; but a person has the last word.
    for other in SIGNALS:
        signal.signal(other, signal.SIG_DFL if other == signal.SIGINT else signal.SIG_IGN)
    raise Signalled(number)


def _leave_terminal() -> None:
    """A closed terminal takes no more output: every write would be an error. It is not even known as a
    terminal any more, only as a device. A file in its place still takes the output."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals but for ignored ones: `nohup` and a shell's `&` protect a program from them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number, old in before.items() if old != signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in handled:
            # Not where `_raise` has taken it away meanwhile: the program is about to end.
            if signal.getsignal(number) == handler:
                signal.signal(number, before[number])


@contextmanager
def signals_raise() -> Iterator[None]:
    """Signals that end the program raise `Signalled`."""
    with _handling(_raise, *SIGNALS):
        yield


@contextmanager
def step_first(say: Callable[[str], None]) -> Iterator["OnStep"]:
    """Ctrl-C once ends a run after the step that is being made, twice at once.

    Args:
        say: tells that the first one was heard.

    Yields:
        What is to be called after every step; raises `Cancelled`.

    Raises:
        Signalled: Ctrl-C came too late for any step; the run is over, and what follows it must not begin.
    """
    from ltx_pipelines import Cancelled

    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            _raise(number, frame)
        asked = True
        say("stopping after this step; Ctrl-C again stops at once")

    def on_step(_event: "StageEvent") -> None:
        if asked:
            raise Cancelled("stopped by Ctrl-C")

    with _handling(handle, signal.SIGINT):
        yield on_step
    if asked:
        raise Signalled(signal.SIGINT)
