"""The exception family of the project: everything raised on purpose is an `LTXError`.

A message names what was given, what is allowed and what to do about it.
"""


class LTXError(Exception):
    """Base of every error that these packages raise on purpose."""


class ConfigError(LTXError, ValueError):
    """A configuration value is missing, contradictory or not supported."""


class ShapeError(LTXError, ValueError):
    """An array or a size does not have the shape that the operation needs."""


class ConditioningError(LTXError, ValueError):
    """A conditioning item cannot be applied to the latent state it was given."""
