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
    """A LoRA file, and the factor of its change to the weights; 0 leaves it out.

    Attributes:
        second: the factor in the second stage of a pipeline that has two; None: the same.
    """

    path: str | Path
    strength: float = 1.0
    second: float | None = None

    def __post_init__(self) -> None:
        for strength in (self.strength, self.second):
            if strength is not None and not math.isfinite(strength):
                raise ConfigError(f"LoRA strength {strength} is not a number; 1 is what a LoRA was made for")

    def __str__(self) -> str:
        """For people: the file's name, and the strengths where they are not 1."""
        strengths = [self.strength] if self.second in (None, self.strength) else [self.strength, self.second]
        shown = (
            ""
            if strengths == [1]
            else f" ({', '.join(f'{each:g}' for each in strengths if each is not None)})"
        )
        return Path(self.path).name + shown

    def of_stage(self, number: int) -> "LoraPathStrength":
        """The file at its strength in the first stage (1) or the second (2)."""
        return LoraPathStrength(
            self.path, self.strength if number == 1 or self.second is None else self.second
        )


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
