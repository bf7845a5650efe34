"""Pipelines of two processes make the clip that one makes."""

import json

import pytest

from tests.distributed.processes import run_together
from tests.e2e.test_loras import AUDIO, VIDEO, write_lora
from tests.recordings import CASES, unpacked


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """What `pipelines.py` prints, for each process."""
    folder, models = tmp_path_factory.mktemp("together"), unpacked(CASES)
    lora = write_lora(
        folder / "lora.safetensors", models / "ltx-2.0" / "checkpoint.safetensors", VIDEO, AUDIO
    )
    ran = run_together(folder, [["-m", "tests.distributed.pipelines", models, lora]] * 2)
    for each in ran:
        assert each.status == 0, each.err
    return [json.loads(each.out) for each in ran]


@pytest.mark.parametrize(
    "case",
    [
        "2.0 split",
        "2.0 tokens",
        "2.0 shard, little memory",
        "2.3 split, silent",
        "2.3 tokens, little memory",
        "2.3 shard",
    ],
)
def test_the_latents_are_those_of_one_process(results: list[dict[str, float]], case: str) -> None:
    for each in results:
        assert each[case] < 1e-4
