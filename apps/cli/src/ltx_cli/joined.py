"""Options that the parser cannot express, for they have several values of which some may be left out:
`--image PATH [FRAME] [STRENGTH]`, `--lora PATH [STRENGTH [SECOND]]`, `--seed N [N ...]`."""

from collections.abc import Sequence

# Options with numbers behind the first value that may be left out: how many values each has at most.
VALUES = {
    "--image": 3,
    "--lora": 3,
    "--video-conditioning": 2,
    "--distilled-lora": 2,
    "--seed": 1000,
    "--stg-blocks": 1000,
    "--audio-stg-blocks": 1000,
}

# Joins the values of one such option into a single argument; cannot occur in a path.
SEPARATOR = "\0"


def join_values(arguments: Sequence[str]) -> list[str]:
    """Arguments with the values of every option in `VALUES` joined into one."""
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        joined.append(argument)
        if argument == "--":
            return joined + rest
        if argument in VALUES and rest:
            values = [rest.pop(0)]
            while rest and len(values) < VALUES[argument] and _is_number(rest[0]):
                values.append(rest.pop(0))
            joined.append(SEPARATOR.join(values))
    return joined


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
