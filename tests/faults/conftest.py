"""The small checkpoint and the `ltx` command, as the end-to-end tests have them."""

from tests.e2e.conftest import files, ltx

__all__ = ["files", "ltx"]
