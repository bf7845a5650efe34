"""A run that can end at any moment without loss: what it has made is saved, and the last line says so."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ltx_core import LTXError
from ltx_pipelines import CheckpointModels, OnStep, StageEvent
from ltx_pipelines.events import ignore
from ltx_pipelines.latent_cache import LatentCache, SavedRun
from ltx_pipelines.metadata import settings_hash, settings_of
from ltx_pipelines.saved import StageStore

from ltx_cli.clip import Clip
from ltx_cli.exit_codes import SIGNAL, EndedError, Exit, StoppedError, exit_of, text_of
from ltx_cli.interrupts import Signalled, step_first
from ltx_cli.output_lock import output_lock
from ltx_cli.view import View

ADVICE = {
    Exit.MEDIA: "make room or give another --output",
    Exit.MEMORY: "close other programs, or add --low-ram",
    Exit.FAULT: "please report this",
}


@dataclass(frozen=True, eq=False)
class Guard:
    """What a guarded run needs.

    Attributes:
        store: for the pipeline; None: nothing is saved.
        on_step: to be called after every step, behind whatever shows it.
    """

    store: StageStore | None
    on_step: OnStep


@contextmanager
def guarded(clip: Clip, view: View) -> Iterator[Guard]:
    """Around all that makes and writes one clip.

    The latents are saved after every stage, every few seconds within one, and when the block is left by an
    exception. With `clip.resume` those of an earlier run are taken. When the clip is there they are removed.
    One of several processes is not guarded: it ends when the others do.

    Raises:
        EndedError: the block was left by an exception; the message says what happened, what is saved, and how
            to go on.
        OutputInUseError: another run is going to write the same file.
    """
    models: Any = clip.runner.models
    if getattr(models, "devices", None) is not None:
        yield Guard(None, ignore)
        return
    cache, key = LatentCache(), _key(clip)
    stage = ""
    with output_lock(clip.output):
        _announce(cache, key, clip, view)
        run: SavedRun | None = None
        try:
            with step_first(view.say) as stop, cache.run(key, resume=clip.resume, tell=view.say) as run:

                def on_step(event: StageEvent) -> None:
                    nonlocal stage
                    stage = event.stage
                    stop(event)

                yield Guard(run, on_step)
        except (Exception, Signalled) as error:
            raise _ended(error, models, stage, cache, run, view) from error


def _key(clip: Clip) -> str:
    """What two runs share if one can go on where the other was: all settings that change the clip."""
    return settings_hash({**settings_of(clip.runner, clip.config), "enhance_prompt": clip.enhance})


def _announce(cache: LatentCache, key: str, clip: Clip, view: View) -> None:
    """What is there to go on from."""
    earlier = cache.describe(key)
    if clip.resume:
        view.say(f"going on: {earlier}" if earlier else "nothing is saved of such a run: it begins anew")
    elif earlier:
        view.say(f"an unfinished run of the same settings is saved ({earlier}): --resume would go on with it")


def _ended(
    error: BaseException, models: Any, stage: str, cache: LatentCache, run: SavedRun | None, view: View
) -> EndedError:
    """The end of a run by an exception; a fault's traceback is shown before."""
    # What a signal has cut short may have failed in other ways on its way out.
    error = next((cause for cause in _causes(error) if isinstance(cause, Signalled)), error)
    code, text = exit_of(error, running=True), text_of(error)
    if code in (Exit.MEMORY, Exit.FAULT) and isinstance(models, CheckpointModels):
        # A file that is cut off under a run can look like anything.
        try:
            models.check_files()
        except LTXError as changed:
            code, text = exit_of(changed), text_of(changed)
    if code is Exit.FAULT:
        with suppress(OSError):
            view.say("".join(traceback.format_exception(error)).rstrip())
    parts = [f"{text} ({stage})" if stage and code is Exit.MEMORY else text, ADVICE.get(code, "")]
    if code is not Exit.BROKEN:
        parts.append(_saved(cache, run))
    ended = StoppedError if code > SIGNAL else EndedError
    return ended(code, "; ".join(part for part in parts if part))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those that were being handled when it came."""
    while error is not None:
        yield error
        error = error.__context__


def _saved(cache: LatentCache, run: SavedRun | None) -> str:
    """What is left of a run, and what to do."""
    position = None if run is None else cache.describe(run.key)
    trouble = "" if run is None or run.trouble is None else f"not saved: {run.trouble.strerror}; "
    if position is None:
        return f"{trouble}nothing was made yet" if not trouble else f"{trouble}it must be made anew"
    return f"{trouble}saved ({position}); the same command with --resume goes on there"
