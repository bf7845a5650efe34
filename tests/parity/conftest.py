"""Turns every case file below --fixtures into one test and prints one table at the end."""

from pathlib import Path

import pytest

from tests.parity import harness

DEFAULT = Path(__file__).parent.parent / "fixtures"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case_path" not in metafunc.fixturenames:
        return
    directory = Path(metafunc.config.getoption("parity_fixtures") or DEFAULT).resolve()
    paths = harness.find_cases(directory)
    if not paths:
        raise pytest.UsageError(f"no parity cases below {directory} (expected .../cases/*.safetensors)")
    metafunc.parametrize("case_path", paths, ids=[f"{p.parent.parent.name}/{p.stem}" for p in paths])


@pytest.fixture(scope="session")
def parity_results(request: pytest.FixtureRequest) -> list[harness.Result]:
    results: list[harness.Result] = []
    request.config.stash[RESULTS] = results
    return results


@pytest.fixture(scope="session")
def not_covered(request: pytest.FixtureRequest) -> list[str]:
    names: list[str] = []
    request.config.stash[NOT_COVERED] = names
    return names


RESULTS = pytest.StashKey[list[harness.Result]]()
NOT_COVERED = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash.get(RESULTS, [])
    if results:
        terminalreporter.section("parity with the reference")
        for line in harness.table(results):
            terminalreporter.write_line(line)
    names = config.stash.get(NOT_COVERED, [])
    if names:
        terminalreporter.section("not covered yet")
        for name in names:
            terminalreporter.write_line(name)
