"""Our pipelines against whole recorded runs of the official ones, one test for each run."""

from pathlib import Path

import numpy as np
import pytest
from ltx_pipelines.images import recompress

import tests.parity.e2e_runs  # noqa: F401  (registers)
from tests.parity import e2e, harness


def test_run(run_path: Path, parity_results: list[harness.Result]) -> None:
    run = e2e.Run(run_path)
    runner = e2e.RUNNERS.get(run.about["pipeline"])
    if runner is None:
        pytest.fail(f"no pipeline of ours stands for {run.about['pipeline']} ({run_path})")
    result = e2e.judge(run, runner(run))
    parity_results.append(result)
    assert not result.failures, "\n".join([result.name, *result.failures])


def test_image_codec(run_path: Path) -> None:
    """Images come out of our ffmpeg as they came out of the reference's; builds may round differently."""
    run = e2e.Run(run_path)
    images = [image for image in enumerate(run.call.get("images", [])) if image[1].get("crf")]
    for index, image in images:
        name = f"in.image.{index:02d}"
        ours = recompress(run.tensors[f"{name}.raw"], image["crf"]).astype(int)
        distance = np.abs(ours - run.tensors[f"{name}.after_codec"])
        assert distance.mean() < 0.2, (
            f"{name}: off by {distance.mean():.3f} on average, {distance.max()} at most"
        )
