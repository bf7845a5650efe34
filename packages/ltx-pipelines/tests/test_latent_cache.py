"""Unfinished runs on disk: what is kept, what goes on, what goes away."""

import errno
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core import ConfigError, RandomNoise
from ltx_pipelines import latent_cache
from ltx_pipelines.atomic import TEMPORARY, write_atomically
from ltx_pipelines.latent_cache import LatentCache, SavedRun, cache_folder, cache_limit
from ltx_pipelines.saved import DrawnNoise, SavedStage, kept


class Cut(Exception):
    """Ends a run."""


def state(step: int = 1, steps: int = 3, value: float = 1.0) -> SavedStage:
    return SavedStage({"video": mx.full((1, 4, 3), value)}, step, steps)


def leave(cache: LatentCache, key: str, *stages: tuple[str, SavedStage]) -> None:
    """A run that is cut after these were saved."""
    with suppress(Cut), cache.run(key) as run:
        for stage, saved in stages:
            run.save(stage, saved)
        raise Cut


def loaded(cache: LatentCache, key: str, stage: str) -> SavedStage | None:
    return SavedRun(cache, key, True, pytest.fail).load(stage)


@settings(max_examples=20, deadline=None)
@given(
    dtype=st.sampled_from([mx.float32, mx.bfloat16, mx.float16]),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    step=st.integers(1, 9),
    draws=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=3),
    text=st.text(max_size=20),
)
def test_what_is_saved_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: mx.Dtype,
    shape: list[int],
    step: int,
    draws: list[tuple[int, int]],
    text: str,
) -> None:
    cache = LatentCache(tmp_path_factory.mktemp("cache"))
    array = mx.random.normal(shape, key=mx.random.key(step)).astype(dtype)
    leave(cache, "run", ("stage 1", SavedStage({"video": array}, step, 10, tuple(draws), text)))
    found = loaded(cache, "run", "stage 1")
    assert found is not None
    assert found.arrays["video"].dtype == dtype
    assert (
        np.array(found.arrays["video"].view(mx.uint8)).tobytes() == np.array(array.view(mx.uint8)).tobytes()
    )
    assert (found.step, found.steps, found.draws, found.text) == (step, 10, tuple(draws), text)
    assert not found.finished


def test_a_finished_run_leaves_nothing(tmp_path: Path) -> None:
    cache = LatentCache(tmp_path / "cache")
    leave(cache, "other", ("stage 1", state(3)))
    with cache.run("run") as run:
        run.save("stage 1", state(3))
        assert cache.describe("run") == "stage 1 is finished"
    assert cache.describe("run") is None
    assert [path.name for path in cache.folder.iterdir()] == ["other.stage-1.safetensors"]


def test_states_wait_for_their_time_or_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = LatentCache(tmp_path)
    with suppress(Cut), cache.run("run") as run:
        run.save("stage 1", state(1))
        assert not cache.files()
        monkeypatch.setattr(latent_cache, "SAVE_EVERY", 0.0)
        run.save("stage 1", state(1))
        assert cache.describe("run") == "stage 1, step 1 of 3"
        monkeypatch.setattr(latent_cache, "SAVE_EVERY", 1000.0)
        run.save("stage 1", state(2, value=2.0))
        assert cache.describe("run") == "stage 1, step 1 of 3"
        raise Cut
    assert cache.describe("run") == "stage 1, step 2 of 3"
    found = loaded(cache, "run", "stage 1")
    assert found is not None
    assert found.arrays["video"][0, 0, 0].item() == 2


def test_what_is_further_stays(tmp_path: Path) -> None:
    """A run that begins anew does not take away what one has made that came further."""
    cache = LatentCache(tmp_path)
    leave(cache, "run", ("stage 1", state(2, value=2.0)))
    leave(cache, "run", ("stage 1", state(1)))
    assert cache.describe("run") == "stage 1, step 2 of 3"
    with cache.run("run") as run:
        assert run.load("stage 1") is None
        run.save("stage 1", state(3))
        assert cache.describe("run") == "stage 1 is finished"


@pytest.mark.parametrize("damage", [b"", b"no safetensors", None])
def test_damaged_files_are_not_used(tmp_path: Path, damage: bytes | None) -> None:
    cache, told = LatentCache(tmp_path), list[str]()
    leave(cache, "run", ("stage 1", state()))
    (path,) = cache.files("run")
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert SavedRun(cache, "run", True, told.append).load("stage 1") is None
    assert told == ["what was saved of stage 1 is damaged: it is made anew"]
    assert cache.describe("run") is None
    leave(cache, "run", ("stage 1", state()))
    assert loaded(cache, "run", "stage 1") is not None


def test_the_oldest_go_first(tmp_path: Path) -> None:
    cache = LatentCache(tmp_path, limit=0)
    leave(cache, "a", ("stage 1", state()))
    size = cache.files()[0].stat().st_size
    cache.limit = round(3.5 * size)
    for key in ("b", "c"):
        leave(cache, key, ("stage 1", state()))
    # The first run is taken up again, so it is not the oldest any more.
    leave(cache, "a", ("stage 1", state(2)))
    for order, key in enumerate("bca"):
        os.utime(cache.files(key)[0], (order, order))
    leave(cache, "d", ("stage 1", state(3)), ("stage 2", state()))
    assert [cache.describe(key) is not None for key in "bcad"] == [False, False, True, True]
    # A run is never the victim of its own size.
    cache.limit = 1
    leave(cache, "d", ("stage 3", state()))
    assert len(cache.files()) == len(cache.files("d")) == 3


def test_what_killed_processes_left_goes_away(tmp_path: Path) -> None:
    cache = LatentCache(tmp_path)
    old, new = (tmp_path / f"{TEMPORARY}{name}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    leave(cache, "run", ("stage 1", state()))
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_a_full_disk_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """The earlier state is still there, nothing half-written beside it, the run goes on."""
    cache, told = LatentCache(tmp_path), list[str]()
    leave(cache, "run", ("stage 1", state(1)))
    before = [path.read_bytes() for path in cache.files()]

    def full(*_: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        monkeypatch.setattr(latent_cache, "write_atomically", full)
    else:
        monkeypatch.setattr(os, call, full)
    with suppress(Cut), cache.run("run", tell=told.append) as run:
        run.save("stage 1", state(3))
        run.save("stage 2", state(1))
        assert run.trouble is not None
        raise Cut
    assert told == [f"latents cannot be saved in {tmp_path}: No space left on device"]
    monkeypatch.undo()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "file").touch()
    with LatentCache(tmp_path / "file" / "cache").run("run", tell=told.append) as run:
        run.save("stage 1", state(3))
    assert told == [f"latents cannot be saved in {tmp_path / 'file' / 'cache'}: Not a directory"]


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"first")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")  # type: ignore[arg-type]
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"first"]


def test_two_runs_at_once(tmp_path: Path) -> None:
    """Both save the same stages, over and over, while a third reads: every state that is found is whole."""
    cache = LatentCache(tmp_path)
    stop, found = threading.Event(), list[str]()

    def write(seed: int) -> None:
        for step in range(1, 30):
            run = SavedRun(cache, "run", False, found.append)
            run.save("stage 1", SavedStage({"video": mx.full((50, 50), float(step))}, step, 100))
            run.flush()

    def read() -> None:
        while not stop.is_set():
            saved = SavedRun(cache, "run", True, found.append).load("stage 1")
            if saved is not None and not bool((saved.arrays["video"] == saved.step).all()):
                found.append(f"torn at {saved.step}")

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(2)]
    reader = threading.Thread(target=read)
    for thread in (*threads, reader):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join()
    assert not found
    assert cache.describe("run") == "stage 1, step 29 of 100"


def test_where_and_how_much(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LTX_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "xdg" / "ltx-mlx"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ltx-mlx"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "ltx-mlx"
    monkeypatch.setenv("LTX_CACHE", str(tmp_path / "mine"))
    assert LatentCache().folder == tmp_path / "mine" / "latents"
    for given_, limit in (("", 4_000_000_000), ("0.5", 500_000_000), ("0", 0)):
        monkeypatch.setenv("LTX_CACHE_GB", given_)
        assert cache_limit() == limit
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("LTX_CACHE_GB", wrong)
        with pytest.raises(ConfigError, match="LTX_CACHE_GB"):
            LatentCache()


@pytest.mark.parametrize("key", ["", "a/b", "../x", "a.b", "*"])
def test_keys_are_names(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="not a name"), LatentCache(tmp_path).run(key):
        pass


def test_draws_are_made_again() -> None:
    """What comes behind a stage that is not repeated is the same as behind one that is."""
    shapes = [(1, 4, 3), (1, 2, 5)]
    noise = DrawnNoise(RandomNoise(3))
    for shape in shapes:
        noise(mx.zeros(shape))
    expected, again = noise.noise(mx.zeros((2, 2))), RandomNoise(3)
    noise.result({}).draw_again(again)
    assert noise.draws == shapes
    assert np.array_equal(again(mx.zeros((2, 2))), expected)


def test_stages_without_steps_are_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, mx.array]:
        made.append(1)
        return {"video": mx.ones((2,))}

    assert kept(None, "upsample", make)["video"].shape == (2,)
    cache = LatentCache(tmp_path)
    for _ in range(2):
        with suppress(Cut), cache.run("run", resume=True) as run:
            assert kept(run, "upsample", make)["video"].tolist() == [1, 1]
            raise Cut
    assert len(made) == 2
