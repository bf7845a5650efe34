"""Which model a clip is made with: the files that were given, or else the pocket model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ltx_core import ConfigError
from ltx_core.blas import limit_threads
from ltx_pipelines import CheckpointModels, LoraPathStrength, require_distilled_lora
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
    distilled_lora: LoraPathStrength | None = None

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

    def open(
        self, loras: Sequence[LoraPathStrength], dtype: str, *, distilled: bool, two_stages: bool = False
    ) -> CheckpointModels:
        """The networks.

        Args:
            distilled: for pipelines that make all of the clip in few steps, else for guided ones: with the
                distilled LoRA, if there is one, in every stage.
            two_stages: for guided pipelines that need the upscaler.

        Raises:
            LoaderError, ConfigError: as `CheckpointModels`.
        """
        if self.checkpoint is None or self.gemma is None:
            # Its matrix products are so small that threads wait for each other longer than they compute.
            limit_threads(1)
            return pocket.open_models(
                pocket.WEIGHTS, distilled=distilled, two_stages=two_stages, loras=loras, dtype=dtype
            )
        if distilled and self.distilled_lora is not None:
            loras = [self.distilled_lora, *loras]
        return CheckpointModels(self.checkpoint, self.gemma, self.spatial_upscaler, loras=loras, dtype=dtype)

    def require_distilled_lora(self) -> LoraPathStrength:
        """The LoRA that the second stage of a guided pipeline is refined with; the pocket model has its own.

        Raises:
            ConfigError: there is none.
        """
        if self.are_pocket:
            return pocket.distilled_lora(pocket.WEIGHTS)
        return require_distilled_lora(self.distilled_lora)

    def refuse_distilled_lora(self, why: str) -> None:
        """A LoRA without effect is an error, not a surprise.

        Args:
            why: what it cannot be used with, and what to do.

        Raises:
            ConfigError: it was given.
        """
        if self.distilled_lora is not None:
            raise ConfigError(f"--distilled-lora cannot be used with {why}")
