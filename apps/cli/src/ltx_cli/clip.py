"""What a command asks for: a clip that is not begun yet."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ltx_pipelines import ClipConfig, Pipeline

from ltx_cli.models import ModelFiles
from ltx_cli.needs import Needs


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip to make.

    Attributes:
        files: the model that makes it.
        runner: with these networks.
        config: what it shows.
        output: where it is written.
        enhance: have the prompt written out first, and say what it has become.
        temporal_upscaler: double the frame rate at the end with this file.
        command: of the command line: "name", and "options" by which it can be made again; for its record.
        notes: what a person should know before it begins.
        needs: of the machine, when that is worked out.
        resume: go on where a run with the same settings was interrupted.
    """

    files: ModelFiles
    runner: Pipeline[Any]
    config: ClipConfig
    output: Path
    enhance: bool = False
    temporal_upscaler: Path | None = None
    command: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    needs: Needs | None = None
    resume: bool = False

    def record(self, config: ClipConfig) -> dict[str, Any]:
        """`command` with what was worked out since: a prompt that was written out is what makes the clip."""
        if not self.command:
            return {}
        options = {**self.command["options"], "prompt": config.prompt}
        options.pop("enhance_prompt", None)
        return {"command": {**self.command, "options": options}}
