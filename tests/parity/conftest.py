"""Turns every case file and every recorded run below --fixtures into tests; one table at the end."""

from pathlib import Path

import pytest

from tests import recordings
from tests.parity import e2e, harness

FIXTURES = {"case_path", "bfloat16_case_path", "run_path"}
RESULTS = pytest.StashKey[list[harness.Result]]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = FIXTURES.intersection(metafunc.fixturenames)
    if not wanted:
        return
    directory = Path(metafunc.config.getoption("parity_fixtures") or recordings.PACKED).resolve()
    places = recordings.places(directory)
    cases = [path for place in places for path in harness.find_cases(place)]
    runs = [path for place in places for path in e2e.find_runs(place)]
    if not cases and not runs:
        raise pytest.UsageError(
            f"nothing recorded below {directory} (expected .../cases/*.safetensors or .../case.json)"
        )
    recorded = {
        "case_path": cases,
        "bfloat16_case_path": [path for path in cases if harness.runs_in_bfloat16(path.stem)],
        "run_path": runs,
    }
    for name in wanted:
        metafunc.parametrize(name, recorded[name], ids=_label)


def _label(path: Path) -> str:
    """Of a case file or of a run's folder: the version directory and the name."""
    return f"{path.parent.name}/{path.name}" if path.is_dir() else f"{path.parents[1].name}/{path.stem}"


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
