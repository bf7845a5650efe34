"""A run that was cut goes on, and gives what it would have given: the same bytes, wherever it was cut."""

from pathlib import Path

import pytest
from ltx_pipelines import Cancelled, CheckpointModels, Memory, OnStep, StageEvent
from ltx_pipelines.latent_cache import LatentCache

from tests.faults.runs import RUNS, content


@pytest.fixture(scope="module")
def models(files: dict[str, Path]) -> CheckpointModels:
    """In the device's own dtype: what holds on CPUs in float32 is to hold on GPUs in bfloat16."""
    return CheckpointModels(*files.values(), memory=Memory.KEEP)


def cut_at(stage: str, index: int) -> OnStep:
    """A callback that ends a run at one of its events."""

    def on_step(event: StageEvent) -> None:
        if (event.stage, event.index) == (stage, index):
            raise Cancelled("cut")

    return on_step


@pytest.mark.parametrize("name", RUNS)
def test_resumed_is_the_same_at_every_cut(name: str, models: CheckpointModels, tmp_path: Path) -> None:
    """Cut at every event in turn, the beginnings of stages among them, and gone on from there each time."""
    pipeline, config = RUNS[name](models)
    events: list[StageEvent] = []
    expected = content(pipeline(config, on_step=events.append))
    cache = LatentCache(tmp_path)
    # The same unfinished run, cut anew a little further each time.
    for event in events:
        with pytest.raises(Cancelled), cache.run("run", resume=True) as store:
            content(pipeline(config, on_step=cut_at(event.stage, event.index), store=store))
    with cache.run("run", resume=True) as store:
        assert content(pipeline(config, store=store)) == expected
    assert not cache.files()
