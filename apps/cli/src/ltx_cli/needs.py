"""What a run needs of the machine, worked out before anything is loaded."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ltx_loaders.gemma import gemma_files
from ltx_pipelines import CheckpointModels, StagePlan
from ltx_pipelines.fitting import check_memory, gigabytes
from ltx_pipelines.machine import available_memory
from ltx_pipelines.metadata import weight_files

if TYPE_CHECKING:
    from ltx_cli.clip import Clip

# Of H.264 at the quality that clips are written in, above what was measured; a wav file's samples.
BITS_PER_PIXEL = 0.5
BYTES_PER_SECOND_OF_SOUND = 200_000


@dataclass(frozen=True)
class Needs:
    """Bytes; None where nothing is known.

    Attributes:
        memory: at most, in the largest stage.
        memory_free: of this machine.
        model_files: on disk.
        clip: about what will be written.
        disk_free: where it will be written.
    """

    memory: int | None
    memory_free: int | None
    model_files: int | None
    clip: int
    disk_free: int

    def __str__(self) -> str:
        """For people, in a line."""
        parts = []
        if self.memory is not None:
            free = "" if self.memory_free is None else f" of {gigabytes(self.memory_free)} that are free"
            parts.append(f"memory: up to {gigabytes(self.memory)}{free}")
        if self.model_files is not None:
            parts.append(f"model files: {_size(self.model_files)}")
        parts.append(f"disk: about {_size(self.clip)} of {gigabytes(self.disk_free)} that are free")
        return "; ".join(parts)


def _size(count: int) -> str:
    return gigabytes(count) if count >= 10**9 else f"{max(count / 1e6, 0.1):.1f} MB"


def needs_of(clip: "Clip", stages: Sequence[StagePlan]) -> Needs:
    """What a clip needs.

    Raises:
        ConfigError: the machine has too little memory, and nothing was forced.
    """
    models, config = clip.runner.models, clip.config
    plan = check_memory(models, config, stages, force=clip.files.force)
    pixels = config.height * config.width * config.num_frames if config.has_picture else 0
    return Needs(
        memory=None if plan is None else plan.peak,
        memory_free=available_memory(),
        model_files=_model_bytes(clip) if isinstance(models, CheckpointModels) else None,
        clip=round(pixels * BITS_PER_PIXEL / 8 + config.seconds * BYTES_PER_SECOND_OF_SOUND),
        disk_free=shutil.disk_usage(clip.output.parent).free,
    )


def _model_bytes(clip: "Clip") -> int:
    files: list[Path] = []
    for _, path, _ in weight_files(clip.runner):
        files += gemma_files(path) if path.is_dir() else [path]
    if clip.temporal_upscaler is not None:
        files.append(clip.temporal_upscaler)
    return sum(file.stat().st_size for file in set(files))
