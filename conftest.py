"""Options must be declared at the root to be known whatever the directory that pytest is given."""

import pytest


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
