"""Turns every case file below --fixtures into tests and prints one table at the end."""

from pathlib import Path

import pytest

from tests.parity import harness

DEFAULT = Path(__file__).parent.parent / "fixtures"
RESULTS = pytest.StashKey[list[harness.Result]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture in ("case_path", "bfloat16_case_path"):
        if fixture not in metafunc.fixturenames:
            continue
        directory = Path(metafunc.config.getoption("parity_fixtures") or DEFAULT).resolve()
        paths = harness.find_cases(directory)
        if not paths:
            raise pytest.UsageError(f"no parity cases below {directory} (expected .../cases/*.safetensors)")
        if fixture == "bfloat16_case_path":
            paths = [path for path in paths if harness.runs_in_bfloat16(path.stem)]
        metafunc.parametrize(fixture, paths, ids=[f"{p.parent.parent.name}/{p.stem}" for p in paths])


@pytest.fixture(scope="session")
def parity_results(request: pytest.FixtureRequest) -> list[harness.Result]:
    results: list[harness.Result] = []
    request.config.stash[RESULTS] = results
    return results


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash.get(RESULTS, [])
    if results:
        terminalreporter.section("parity with the reference")
        for line in harness.table(results):
            terminalreporter.write_line(line)
