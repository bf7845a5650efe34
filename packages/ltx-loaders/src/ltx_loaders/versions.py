"""Version strings of checkpoints."""


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
