"""Errors of reading weights."""

from ltx_core.errors import LTXError


class LoaderError(LTXError):
    """A file of weights is missing, damaged, foreign, or does not fit the network it should fill."""
