"""Our numbers against the reference's, one test for each recorded case."""

import importlib
from pathlib import Path

import pytest

from tests.parity import harness

for module in sorted(Path(__file__).parent.glob("cases_*.py")):
    importlib.import_module(f"tests.parity.{module.stem}")

# Cases of components that do not exist yet: listed by name at the end of the run.
NOT_YET: frozenset[str] = frozenset()


def test_case(case_path: Path, parity_results: list[harness.Result], not_covered: list[str]) -> None:
    case = harness.Case.load(case_path)
    label = f"{case.root.name}/{case.name}"
    covered = harness.find_runner(case.name)
    if covered is None:
        if case.name in NOT_YET:
            not_covered.append(label)
            pytest.skip("not covered yet")
        pytest.fail(f"no function covers the case {case.name!r} ({case_path})")
    result = harness.judge(case, covered.kind, covered.run(case))
    result.name = label
    parity_results.append(result)
    assert not result.failures, "\n".join([label, *result.failures])
