"""Versions of checkpoints."""

from collections.abc import Mapping
from typing import Any


def parse_version(text: str | None) -> tuple[int, ...]:
    """Leading numeric parts of a version: "2.3.rc1" -> (2, 3), "2.4-rc2" -> (2, 4), None or "x" -> ().

    The empty tuple sorts before every version, as the reference treats a file without one.
    """
    parts: list[int] = []
    for part in (text or "").replace("-", ".").split("."):
        if not part.isdecimal():
            break
        parts.append(int(part))
    return tuple(parts)


def generation_of(transformer: Mapping[str, Any]) -> str:
    """The generation that a transformer's config section describes, by the features that tell them apart."""
    if transformer.get("use_keyframes_abs_pos_embedding") or transformer.get("ff_bias") is False:
        return "2.5"
    return "2.3" if transformer.get("cross_attention_adaln") else "2.0"
