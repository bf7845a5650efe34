"""The two modules of mlx-lm that are used here, without its package: that imports all of transformers, which
takes a second at every start."""

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType

PACKAGE = "mlx_lm"
PARTS = ("mlx_lm.models.gemma3_text", "mlx_lm.models.cache")


@cache
def mlx_lm_parts() -> tuple[ModuleType, ModuleType]:
    """`mlx_lm.models.gemma3_text` and `mlx_lm.models.cache`. Whoever imports mlx-lm itself, before or after,
    gets all of it.

    Raises:
        ImportError: mlx-lm is not installed.
    """
    if PACKAGE in sys.modules:
        return _import()
    spec = find_spec(PACKAGE)
    if spec is None:
        return _import()
    # The package as it is before its own code has run.
    sys.modules[PACKAGE] = module_from_spec(spec)
    try:
        return _import()
    except (ImportError, AttributeError):
        # A release whose modules need the package.
        _forget()
        return _import()
    finally:
        if getattr(sys.modules.get(PACKAGE), "load", None) is None:
            _forget()


def _import() -> tuple[ModuleType, ModuleType]:
    gemma3_text, cache_module = map(import_module, PARTS)
    return gemma3_text, cache_module


def _forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]
