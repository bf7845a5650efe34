"""Options must be declared at the root to be known whatever the directory that pytest is given."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fixtures",
        metavar="DIR",
        help="directory of recorded reference cases for tests/parity (default: the copy in tests/fixtures)",
    )
