"""Sizes that the model can make, nearest to those that were asked for."""

from collections.abc import Mapping
from typing import Any

from ltx_core import ConfigError
from ltx_pipelines import ClipConfig, VideoInput

from ltx_cli.groups import flags

FRAME_STEP = 8


def fitted(config: type[ClipConfig], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Height, width and num_frames rounded, what else there is as it is.

    Args:
        config: of the pipeline: its sides are multiples of `size_multiple`.
        sizes: as they were given.
    """
    found = dict(sizes)
    for name in ("height", "width"):
        if name in found:
            found[name] = _nearest(found[name], config.size_multiple)
    if "num_frames" in found:
        found["num_frames"] = _nearest(found["num_frames"] - 1, FRAME_STEP, 0) + 1
    return found


def fitted_to_source(
    config: type[ClipConfig], sizes: Mapping[str, Any], source: VideoInput
) -> dict[str, Any]:
    """The same for a clip that there is already: its own sides, too, and no more frames than it has.

    Raises:
        MediaError: the clip cannot be read.
    """
    shape = source.shape(sizes.get("frame_rate"))
    found = fitted(config, {"height": shape.height, "width": shape.width, **sizes})
    if found.get("num_frames", 0) > shape.frames >= sizes["num_frames"]:
        found["num_frames"] -= FRAME_STEP
    return found


def _nearest(value: int, multiple: int, least: int | None = None) -> int:
    """What is no positive number is left for the config to refuse."""
    if value < 0 or (value == 0 and least is None):
        return value
    return max((value + multiple // 2) // multiple * multiple, multiple if least is None else least)


def rounded(asked: Mapping[str, Any], config: ClipConfig, strict: bool) -> list[str]:
    """What was asked for otherwise than it is made, for people.

    Args:
        asked: options as they were given.
        strict: whether that is an error.

    Raises:
        ConfigError: it is.
    """
    source = getattr(config, "source_shape", None)
    told = []
    for name in ("height", "width", "num_frames"):
        given, made = asked.get(name), getattr(config, name)
        if given is None and source is not None and name != "num_frames":
            given = getattr(source, name)
            what = f"the clip's {name} {given}"
        else:
            what = f"{flags(name)} {given}"
        if given in (None, made):
            continue
        need = "8 k + 1" if name == "num_frames" else f"multiples of {config.size_multiple}"
        if strict:
            raise ConfigError(
                f"{what} cannot be made, only {need}; give {flags(name)} {made}, or leave --strict out"
            )
        told.append(f"{what} becomes {made}: the model makes {need}")
    return told
