"""The `ltx` command."""
