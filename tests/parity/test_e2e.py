"""Our pipelines against whole recorded runs of the official ones, one test for each run."""

from pathlib import Path

import pytest

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
