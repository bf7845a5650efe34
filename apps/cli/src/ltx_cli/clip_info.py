"""`ltx info` of a clip: what it was made with."""

import json
from pathlib import Path
from typing import Any

from ltx_pipelines.record import read_settings
from rich.console import Console
from rich.table import Table

CLIPS = (".mp4", ".wav", ".mov", ".mkv", ".m4v", ".webm")

# Shown in other ways, or of no interest to a person.
_REST = {"format", "pipeline", "model", "prompt", "user_prompt", "files", "inputs", "versions", "command"}


def print_clip(console: Console, path: Path, *, as_json: bool) -> None:
    """The record of a clip: settings, files, versions, and how to make it again.

    Raises:
        MediaError: it cannot be read, or has no record.
    """
    settings = read_settings(path)
    if as_json:
        print(json.dumps(settings, indent=2))
        return
    rows = [("pipeline", settings["pipeline"]), ("model", settings.get("model"))]
    rows += [("prompt", settings.get("prompt")), ("asked for", settings.get("user_prompt"))]
    rows += [(name, value) for name, value in settings.items() if name not in _REST]
    for entry in settings.get("files", ()):
        rows.append((entry["role"], f"{entry['name']} {entry['fingerprint']}"))
    for entry in settings.get("inputs", ()):
        rows.append(("input", f"{entry['name']} {entry['sha256']}"))
    versions = settings.get("versions", {})
    rows.append(("versions", ", ".join(f"{package} {version}" for package, version in versions.items())))
    if command := settings.get("command"):
        rows.append(("again", f"ltx {command['name']} --from-video {path}"))
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value not in (None, "", [], ()):
            table.add_row(name, _text(value))
    console.print(table, markup=False, highlight=False)


def _text(value: Any) -> Any:
    from rich.text import Text

    return Text(value if isinstance(value, str) else json.dumps(value))
