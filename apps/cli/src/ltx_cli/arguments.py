"""Options that the parser cannot express, for they have several values of which some may be left out:
`--image PATH [FRAME] [STRENGTH]`, `--lora PATH [STRENGTH [SECOND]]`, `--seed N [N ...]`."""

from collections.abc import Sequence

from ltx_core import ConfigError
from ltx_pipelines import ImageCondition, LoraPathStrength, ReferenceVideo

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


def parse_image(text: str) -> ImageCondition:
    """One joined `--image`.

    Raises:
        ConfigError: the frame is no whole number, or the strength is not between 0 and 1.
    """
    path, *numbers = text.split(SEPARATOR)
    frame, strength = (numbers + ["0", "1"][len(numbers) :])[:2]
    return ImageCondition(path, _frame(frame), float(strength))


def parse_reference(text: str) -> ReferenceVideo:
    """One joined `--video-conditioning`.

    Raises:
        ConfigError: the strength is not between 0 and 1.
    """
    path, *strength = text.split(SEPARATOR)
    return ReferenceVideo(path, *map(float, strength))


def parse_lora(text: str) -> LoraPathStrength:
    """One joined `--lora`.

    Raises:
        ConfigError: the strength is not finite.
    """
    path, *strength = text.split(SEPARATOR)
    return LoraPathStrength(path, *map(float, strength))


def parse_distilled_lora(text: str | None) -> LoraPathStrength | None:
    """One joined `--distilled-lora`, if it was given.

    Raises:
        ConfigError: the strength is not finite.
    """
    return None if text is None else parse_lora(text)


def parse_numbers(option: str, text: str) -> list[int]:
    """One joined option of whole numbers from 0.

    Raises:
        ConfigError: something else is among them.
    """
    values = text.split(SEPARATOR)
    if not all(value.isdecimal() for value in values):
        raise ConfigError(f"{option} {' '.join(values)}: give whole numbers from 0, such as {option} 14 28")
    return [int(value) for value in values]


def _frame(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(
            f"--image frame {text!r} is not a whole number; the form is --image PATH [FRAME] [STRENGTH]"
        ) from None
