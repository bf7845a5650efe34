"""Settings outside the command line: in TOML files, in lines of a batch, in the record of a clip.

A setting has the name of its option (`num_frames` or `num-frames`) and the value that stands behind it: a
number, a text, true for an option without a value, and a list where there are several:
`image = [["first.png", 0], "b.png"]`.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from ltx_core import ConfigError

from ltx_cli.joined import SEPARATOR

Settings = dict[str, Any]


def read_config(path: Path) -> Settings:
    """The settings of a TOML file.

    Raises:
        ConfigError: there is no such file, or it is no TOML.
    """
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML file: {error}") from None


def read_batch(path: Path) -> list[tuple[str, Settings]]:
    """Where each clip of a batch is asked for, and its settings: JSON objects or prompts, one a line. Empty
    lines and those that begin with # are left out.

    Raises:
        ConfigError: there is no such file, nothing in it, or a line that begins like JSON is none.
    """
    found: list[tuple[str, Settings]] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        text, where = line.strip(), f"{path.name}, line {number}"
        if not text or text.startswith("#"):
            continue
        try:
            found.append((where, json.loads(text) if text.startswith("{") else {"prompt": text}))
        except ValueError as error:
            raise ConfigError(f"{where} is no JSON object: {error}") from None
    if not found:
        raise ConfigError(
            f"{path} asks for no clip; write a prompt or a JSON object with settings in each line"
        )
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigError(f"{path} cannot be read: {reason}") from None


def arguments_of(
    context: typer.Context, settings: Mapping[str, Any], where: str, but: Iterable[str]
) -> Settings:
    """Settings as the parser has them from a command line, by parameters of the command.

    Args:
        where: they come from, for messages.
        but: names of parameters that are no settings of a clip.

    Raises:
        ConfigError: the command has no such option, or it takes no such value.
    """
    parameters = {parameter.name: parameter for parameter in context.command.params}
    known = sorted(set(filter(None, parameters)) - {*but, "help"})
    found = {}
    for key, value in settings.items():
        name = key.replace("-", "_")
        if name not in known:
            raise ConfigError(
                f"{where}: {key!r} is no setting of ltx {context.info_name}; there are {', '.join(known)}"
            )
        if value is not None:
            found[name] = _argument(parameters[name], value, f"{where}: {key}")
    return found


def _argument(parameter: Any, value: Any, where: str) -> Any:
    if getattr(parameter, "is_flag", False):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} is {value!r}; it is true or false")
        return value
    if not getattr(parameter, "multiple", False):
        return _joined(value, where)
    several = value if isinstance(value, list) else [value]
    if any(_is_number(part) for part in several):
        several = [several]
    return [_joined(part, where) for part in several]


def _joined(value: Any, where: str) -> str:
    parts = value if isinstance(value, list) else [value]
    if not parts or not all(isinstance(part, str) or _is_number(part) for part in parts):
        raise ConfigError(f"{where} is {value!r}; it is a text, a number, or a list of them")
    return SEPARATOR.join(map(str, parts))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def settings_of(arguments: Mapping[str, Any]) -> Settings:
    """The inverse of `arguments_of`: what the parser has made of a command line, as plain values."""
    return {name: _plain(value) for name, value in arguments.items() if value not in (None, False, [], ())}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and SEPARATOR in value:
        return value.split(SEPARATOR)
    return value
