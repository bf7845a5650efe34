"""Latents of unfinished runs on disk: what `ltx ... --resume` goes on from."""

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlx.core as mx
from ltx_core import ConfigError

from ltx_pipelines.atomic import TEMPORARY, write_atomically
from ltx_pipelines.saved import SavedStage

FOLDER_VARIABLE = "LTX_CACHE"
LIMIT_VARIABLE = "LTX_CACHE_GB"
DEFAULT_LIMIT_GB = 4.0
FORMAT = 1
SUFFIX = ".safetensors"
SAVE_EVERY = 10.0
"""Seconds between two states of a stage on disk: what a power cut costs beside the step it falls into."""
STALE = 3600.0
"""Seconds after which an unfinished file belongs to no run any more."""

Tell = Callable[[str], None]


def cache_folder() -> Path:
    """Where programs keep what they can make anew on this system, or what the variable LTX_CACHE says."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ltx-mlx"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ltx-mlx"


def cache_limit() -> int:
    """Bytes that unfinished runs may take together: 4 GB, or what the variable LTX_CACHE_GB says.

    Raises:
        ConfigError: it says something else than a number.
    """
    given = os.environ.get(LIMIT_VARIABLE, "")
    try:
        gigabytes = float(given or DEFAULT_LIMIT_GB)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        raise ConfigError(f"{LIMIT_VARIABLE} {given!r} is not a number of gigabytes, 0 or more")
    return int(gigabytes * 1e9)


class LatentCache:
    """Unfinished runs in a folder. Several processes may use it at once, also for the same run.

    Args:
        folder: None: `latents` in `cache_folder()`; it is made when something is saved.
        limit: bytes that all runs may take together, the oldest of which are removed first; the newest one
            always stays. None: `cache_limit()`.
    """

    def __init__(self, folder: Path | None = None, limit: int | None = None) -> None:
        self.folder = cache_folder() / "latents" if folder is None else folder
        self.limit = cache_limit() if limit is None else limit

    @contextmanager
    def run(self, key: str, *, resume: bool = False, tell: Tell = lambda _: None) -> Iterator["SavedRun"]:
        """A store for one run of a pipeline.

            with LatentCache().run(settings_hash(settings_of(pipeline, config)), resume=True) as store:
                pipeline(config, store=store).save("clip.mp4")

        When the block is left by an exception (an interruption, a fault), the last state is saved; when it is
        left without one, all that was saved of the run is removed: write the clip inside it.

        Args:
            key: what all runs have in common that must give the same bytes; a name for files.
            resume: go on with what an earlier run has saved. False: begin anew. What is saved replaces what
                an earlier run has saved of the same stage, if that is not further.
            tell: gets a sentence when latents cannot be saved or read; the run goes on.
        """
        run = SavedRun(self, key, resume, tell)
        try:
            yield run
        except BaseException:
            run.flush()
            raise
        run.remove()

    def files(self, key: str = "") -> list[Path]:
        """Those of a run, or of all; the oldest first."""
        found = []
        with suppress(OSError):
            for path in self.folder.glob(f"{key or '*'}.*{SUFFIX}"):
                with suppress(OSError):
                    found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found)]

    def describe(self, key: str) -> str | None:
        """How far an unfinished run came, for people; None: nothing of it is saved."""
        for path in reversed(self.files(key)):
            if (found := read_stage(path)) is not None:
                return _position(*found)
        return None

    def trim(self, keep: str) -> None:
        """Remove the oldest runs but for `keep` until all are within the limit, and what killed processes
        have left."""
        with suppress(OSError):
            for path in self.folder.glob(f"{TEMPORARY}*"):
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > STALE:
                        path.unlink()
        sizes: dict[str, int] = {}
        for path in self.files():
            name = path.name.split(".")[0]
            # The newest file of a run decides its place in the order.
            size = sizes.pop(name, 0)
            with suppress(OSError):
                sizes[name] = size + path.stat().st_size
        total = sum(sizes.values())
        for name, size in sizes.items():
            if total <= self.limit:
                return
            if name != keep:
                self.remove(name)
                total -= size

    def remove(self, key: str) -> None:
        """Remove a run's files."""
        for path in self.files(key):
            with suppress(OSError):
                path.unlink()


class SavedRun:
    """One run's place in a cache; a `StageStore`.

    Attributes:
        trouble: why the last state could not be saved; None: it was, or there was none.
    """

    def __init__(self, cache: LatentCache, key: str, resume: bool, tell: Tell) -> None:
        if not key.isalnum():
            raise ConfigError(f"the key {key!r} of a run is not a name of letters and digits")
        self.cache, self.key, self.resume, self.tell = cache, key, resume, tell
        self.trouble: OSError | None = None
        self._pending: tuple[str, SavedStage] | None = None
        self._written = time.monotonic()

    def _path(self, stage: str) -> Path:
        return self.cache.folder / f"{self.key}.{stage.replace(' ', '-')}{SUFFIX}"

    def load(self, stage: str) -> SavedStage | None:
        """What an earlier run has saved of a stage, if this one goes on with it."""
        path = self._path(stage)
        if not self.resume or not path.exists():
            return None
        found = read_stage(path)
        if found is None:
            self.tell(f"what was saved of {stage} is damaged: it is made anew")
            return None
        saved = found[1]
        mx.eval(saved.arrays)
        return saved

    def save(self, stage: str, saved: SavedStage) -> None:
        """Write a finished stage; the state of one that is not, if the last one on disk is 10 s old."""
        self._pending = stage, saved
        if saved.finished or time.monotonic() - self._written >= SAVE_EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet. Never raises for the disk: see `trouble`."""
        if self._pending is None:
            return
        stage, saved = self._pending
        path = self._path(stage)
        earlier = read_stage(path) if path.exists() else None
        if earlier is None or _progress(earlier[1]) < _progress(saved):
            try:
                self.cache.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(path, _content(stage, saved))
            except OSError as error:
                if self.trouble is None:
                    self.tell(f"latents cannot be saved in {self.cache.folder}: {error.strerror or error}")
                self.trouble = error
                return
            self.cache.trim(self.key)
        self.trouble, self._pending, self._written = None, None, time.monotonic()

    def remove(self) -> None:
        """Remove what is saved of this run."""
        self.cache.remove(self.key)


def _position(stage: str, saved: SavedStage) -> str:
    return f"{stage} is finished" if saved.finished else f"{stage}, step {saved.step} of {saved.steps}"


def _progress(saved: SavedStage) -> tuple[bool, int]:
    return saved.finished, saved.step


def _content(stage: str, saved: SavedStage) -> bytes:
    """The file of a stage."""
    facts = {
        "format": FORMAT,
        "stage": stage,
        "step": saved.step,
        "steps": saved.steps,
        "draws": saved.draws,
        "text": saved.text,
    }
    file = io.BytesIO()
    mx.save_safetensors(file, saved.arrays, {"ltx_saved": json.dumps(facts)})
    return file.getvalue()


def read_stage(path: Path) -> tuple[str, SavedStage] | None:
    """A stage's name and what was saved of it, its arrays not read yet; None: the file is gone or damaged."""
    try:
        loaded: Any = mx.load(str(path), return_metadata=True)
        arrays, metadata = loaded
        facts = json.loads(metadata["ltx_saved"])
        if facts["format"] != FORMAT:
            return None
        draws = tuple(map(tuple, facts["draws"]))
        return facts["stage"], SavedStage(arrays, facts["step"], facts["steps"], draws, facts["text"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None
