"""What tests everywhere have in common; options must be declared here to be known whatever the directory that
pytest is given."""

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal() -> None:
    """Processes in the background, as pytest-xdist's, ignore some, and those that they start inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)


def pytest_addoption(parser: pytest.Parser) -> None:
    # pytest itself lists its fixtures with --fixtures, also called --funcargs; here the first name is ours.
    taken = parser.optparser._option_string_actions.pop("--fixtures", None)
    if taken is not None:
        taken.option_strings = [name for name in taken.option_strings if name != "--fixtures"]
    parser.addoption(
        "--fixtures",
        dest="parity_fixtures",
        metavar="DIR",
        help="directory of recorded reference cases for tests/parity (default: those in tests/fixtures)",
    )
