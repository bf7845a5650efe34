"""What a config may ask for: a damaged one must not make a network that takes hours to build."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from ltx_core.errors import LTXError

from ltx_loaders.errors import LoaderError

T = TypeVar("T")

# The largest number in any official config is the sampling rate 48000.
LARGEST = 1_000_000
# Keys that count layers, each of which has tensors of its own.
LAYERS = frozenset(
    {
        "num_layers",
        "num_hidden_layers",
        "num_blocks_per_stage",
        "num_res_blocks",
        "connector_num_layers",
        "audio_connector_num_layers",
    }
)


def build_checked(create: Callable[[], T], section: Mapping[str, Any], tensors: int, source: str) -> T:
    """Build a network from a config that nobody has looked at yet.

    Args:
        create: builds it.
        section: the config that it is built from.
        tensors: how many tensors there are for it.
        source: where both come from, for messages.

    Raises:
        LoaderError: a number is out of all proportion, or a value is not what its key needs.
        LTXError: what `create` itself says about a value.
    """
    for key, value in _numbers(section):
        if key in LAYERS and value > tensors:
            why = f"there are {tensors} tensors for all layers"
        elif isinstance(value, int) and abs(value) > LARGEST:
            why = f"at most {LARGEST} is possible"
        else:
            continue
        raise LoaderError(
            f"{source}: config key {key!r} is {str(value)[:20]}, and {why}; the config is damaged or belongs "
            "to other weights, use the official file"
        )
    try:
        return create()
    except LTXError:
        raise
    except Exception as error:
        # Values of every wrong kind: a list for a number, a missing part, a size that MLX refuses.
        reason = str(error).split("\n")[0][:200]
        raise LoaderError(
            f"{source} describes no network that can be built ({type(error).__name__}: {reason}); the config "
            "is damaged, use the official file"
        ) from None


def _numbers(section: Mapping[str, Any]) -> Iterator[tuple[str, int | float]]:
    """Every number, with the key that it or its list stands under. Not recursive: configs nest at will."""
    pending: list[tuple[str, Any]] = list(section.items())
    while pending:
        key, value = pending.pop()
        if isinstance(value, Mapping):
            pending.extend((str(name), part) for name, part in value.items())
        elif isinstance(value, list | tuple):
            pending.extend((key, part) for part in value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield key, value
