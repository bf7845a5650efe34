"""Which model a clip is made with: the files that were given, or else the pocket model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltx_core import ConfigError
from ltx_core.blas import limit_threads
from ltx_pipelines import CheckpointModels, LoraPathStrength
from ltx_pocket import model as pocket


@dataclass(frozen=True)
class ModelFiles:
    """Model files as they were given; none of them stands for the pocket model.

    Raises:
        ConfigError: some were given without the others that they need.
    """

    checkpoint: Path | None
    gemma: Path | None
    spatial_upscaler: Path | None

    def __post_init__(self) -> None:
        given = {name: path for name, path in vars(self).items() if path is not None}
        missing = [f"--{name}" for name in ("checkpoint", "gemma") if name not in given]
        if given and missing:
            names = " and ".join("--" + name.replace("_", "-") for name in given)
            raise ConfigError(
                f"{' and '.join(missing)} missing beside {names}; give the checkpoint and the folder of its "
                "text encoder together, or neither of them for the pocket model"
            )

    @property
    def are_pocket(self) -> bool:
        return self.checkpoint is None

    @property
    def clip(self) -> dict[str, Any]:
        """The clip where the caller does not say; empty for the defaults of the pipeline."""
        return dict(pocket.NATIVE_CLIP) if self.are_pocket else {}

    def note(self, prompt: str) -> str | None:
        """What a person should know about this prompt on this model."""
        return pocket.outside_world(prompt) if self.are_pocket else None

    def open(self, loras: Sequence[LoraPathStrength], dtype: str, *, distilled: bool) -> CheckpointModels:
        """The networks, for the distilled pipeline or for guided ones.

        Raises:
            LoaderError, ConfigError: as `CheckpointModels`.
        """
        if self.checkpoint is None or self.gemma is None:
            # Its matrix products are so small that threads wait for each other longer than they compute.
            limit_threads(1)
            return pocket.open_models(pocket.WEIGHTS, distilled=distilled, loras=loras, dtype=dtype)
        return CheckpointModels(self.checkpoint, self.gemma, self.spatial_upscaler, loras=loras, dtype=dtype)
