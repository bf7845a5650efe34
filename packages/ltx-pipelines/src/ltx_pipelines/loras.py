"""LoRAs that a caller asks for: adapter files with strengths, fused into the transformer when it is built."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.nn as nn
from ltx_core import ConfigError
from ltx_loaders import Lora, LoraFusion, LoraReport, fuse_loras, parameter_shapes


@dataclass(frozen=True)
class LoraPathStrength:
    """A LoRA file, and the factor of its change to the weights; 0 leaves it out."""

    path: str | Path
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.strength):
            raise ConfigError(f"LoRA strength {self.strength} is not a number; 1 is what a LoRA was made for")

    def __str__(self) -> str:
        """For people: the file's name, and the strength where it is not 1."""
        return Path(self.path).name + ("" if self.strength == 1 else f" ({self.strength:g})")


def require_distilled_lora(lora: LoraPathStrength | None) -> LoraPathStrength:
    """The distilled LoRA of a second stage.

    Raises:
        ConfigError: there is none, or its strength is 0: few steps on an undistilled model give noise.
    """
    if lora is None or lora.strength == 0:
        given = "none was given" if lora is None else f"{Path(lora.path).name} was given at strength 0"
        raise ConfigError(
            f"the second stage runs the distilled schedule with the distilled LoRA, and {given}; pass "
            "ltx-2-19b-distilled-lora-384 or ltx-2.3-22b-distilled-lora-384, as the checkpoint is, or choose "
            "a one-stage pipeline"
        )
    return lora


def check_loras(transformer: nn.Module, loras: Sequence[LoraPathStrength]) -> tuple[LoraReport, ...]:
    """What each would change of a whole transformer; none of their weights is read.

    Raises:
        LoaderError: a file is missing, damaged, no LoRA, or for another network; the message names it.
    """
    return LoraFusion.of(_open(loras), parameter_shapes(transformer)).reports


def fuse(transformer: nn.Module, component: str, loras: Sequence[LoraPathStrength]) -> None:
    """Fuse all of them into a transformer of a checkpoint; nothing is computed yet.

    Args:
        component: its name in `COMPONENTS`: one stream's half goes without what is for the other.
    """
    fuse_loras(transformer, _open(loras), part=component != "transformer")


def _open(loras: Sequence[LoraPathStrength]) -> list[tuple[Lora, float]]:
    return [(Lora.open(lora.path), lora.strength) for lora in loras]
