"""Turns every case file and every recorded run below --fixtures into tests; one table at the end."""

from pathlib import Path

import pytest

from tests.parity import e2e, harness

DEFAULT = Path(__file__).parent.parent / "fixtures"
RESULTS = pytest.StashKey[list[harness.Result]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    directory = Path(metafunc.config.getoption("parity_fixtures") or DEFAULT).resolve()
    if "run_path" in metafunc.fixturenames:
        runs = e2e.find_runs(directory)
        metafunc.parametrize("run_path", runs, ids=[f"{path.parent.name}/{path.name}" for path in runs])
    for fixture in ("case_path", "bfloat16_case_path"):
        if fixture not in metafunc.fixturenames:
            continue
        paths = harness.find_cases(directory)
        if not paths and not e2e.find_runs(directory):
            raise pytest.UsageError(
                f"nothing recorded below {directory} (expected .../cases/*.safetensors or .../case.json)"
            )
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
