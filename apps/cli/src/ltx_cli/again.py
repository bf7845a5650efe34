"""Making a clip again from its record."""

from pathlib import Path
from typing import Any

from ltx_core import ConfigError
from ltx_pipelines.metadata import file_record, settings_of
from ltx_pipelines.record import read_settings

from ltx_cli.clip import Clip

# What a clip depends on besides its options and files.
DEPENDS = ("dtype", "backend", "device", "devices", "quantize")


def options_of(path: Path, command: str) -> dict[str, Any]:
    """The options by which a clip can be made again.

    Raises:
        ConfigError: it was made by another command, or by none.
        MediaError: it cannot be read, or has no record.
    """
    made = read_settings(path).get("command")
    if not isinstance(made, dict) or not isinstance(made.get("options"), dict):
        raise ConfigError(f"{path} was not made by this command; `ltx info {path}` shows what is known of it")
    if made.get("name") != command:
        raise ConfigError(
            f"{path} was made by ltx {made.get('name')}; use ltx {made.get('name')} --from-video"
        )
    return dict(made["options"])


def compare(path: Path, clip: Clip) -> list[str]:
    """What is otherwise here than it was for the clip at `path`, for people; with none of it, and with the
    same options, the clip comes out the same."""
    then, now = read_settings(path), settings_of(clip.runner, clip.config)
    if clip.temporal_upscaler is not None:
        now["files"].append(file_record("temporal upscaler", clip.temporal_upscaler))
    told = []
    for what, names in (("files", "fingerprint"), ("inputs", "sha256")):
        before, here = (_digests(settings.get(what), names) for settings in (then, now))
        told += [
            f"{name} is another file than {path.name} was made with"
            for name in here
            if name in before and here[name] != before[name]
        ]
        told += [
            f"{path.name} was made with {name}, which is not used now" for name in before if name not in here
        ]
    versions = then.get("versions") or {}
    for package, version in now["versions"].items():
        if package in versions and versions[package] != version:
            told.append(f"{path.name} was made with {package} {versions[package]}, this is {version}")
    for name in DEPENDS:
        if name in then and then[name] != now[name]:
            first, second = (settings[name] or "none" for settings in (then, now))
            told.append(f"{path.name} was made with {name} {first}, this is {second}")
    return [f"warning: {text}; it may come out differently" for text in told]


def _digests(entries: Any, kind: str) -> dict[str, Any]:
    return {str(entry["name"]): entry.get(kind) for entry in entries or () if isinstance(entry, dict)}
