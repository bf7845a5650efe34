"""Options that the option parser cannot express: `--image PATH [FRAME] [STRENGTH]`, repeatable."""

from collections.abc import Sequence

from ltx_core import ConfigError
from ltx_pipelines import ImageCondition

# Joins the values of one --image into a single argument; cannot occur in a path.
SEPARATOR = "\0"


def join_image_values(arguments: Sequence[str]) -> list[str]:
    """Arguments with the one to three values of every `--image` joined into one."""
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        joined.append(argument)
        if argument == "--":
            return joined + rest
        if argument == "--image" and rest:
            values = [rest.pop(0)]
            while rest and len(values) < 3 and _is_number(rest[0]):
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


def _frame(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(
            f"--image frame {text!r} is not a whole number; the form is --image PATH [FRAME] [STRENGTH]"
        ) from None
