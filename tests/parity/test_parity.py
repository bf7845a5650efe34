"""Our numbers against the reference's, one test for each recorded case."""

import importlib
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import pytest

from tests.parity import harness

for module in sorted(Path(__file__).parent.glob("cases_*.py")):
    importlib.import_module(f"tests.parity.{module.stem}")


def run_case(path: Path, dtype: mx.Dtype = mx.float32) -> harness.Result:
    """Compute a case and judge it; a case that nothing covers has failed."""
    case = harness.Case.load(path, dtype)
    covered = harness.find_runner(case.name)
    if covered is None:
        pytest.fail(f"no function covers the case {case.name!r} ({path})")
    result = harness.judge(case, covered.kind, covered.run(case))
    result.name = f"{case.root.name}/{case.name}" + ("" if dtype == mx.float32 else " (bfloat16)")
    return result


def test_case(case_path: Path, parity_results: list[harness.Result]) -> None:
    result = run_case(case_path)
    parity_results.append(result)
    assert not result.failures, "\n".join([result.name, *result.failures])


def test_case_in_bfloat16(bfloat16_case_path: Path, parity_results: list[harness.Result]) -> None:
    """Networks that run in bfloat16 on GPUs, in bfloat16 against the float32 reference."""
    result = run_case(bfloat16_case_path, mx.bfloat16)
    parity_results.append(result)
    assert not result.failures, "\n".join([result.name, *result.failures])
