"""What stands behind options that `joined` has joined."""

from ltx_core import ConfigError
from ltx_pipelines import ImageCondition, LoraPathStrength, ReferenceVideo

from ltx_cli.joined import SEPARATOR


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
