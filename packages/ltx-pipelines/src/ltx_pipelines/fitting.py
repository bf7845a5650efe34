"""Whether a run fits the machine, and what would make it fit."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ltx_core import ConfigError

from ltx_pipelines.machine import available_memory
from ltx_pipelines.memory_plan import NETWORKS, ClipSize, MemoryPlan, plan_memory
from ltx_pipelines.models import CheckpointModels, ModelSource
from ltx_pipelines.residency import Memory
from ltx_pipelines.stages import StagePlan

if TYPE_CHECKING:
    from ltx_pipelines.config import ClipConfig

# Bits for a weight of the transformer's blocks with scales and offsets, by what `-q` takes; at 4 bits the
# sensitive quarter has 8. What is not quantised is the share of the transformer around the blocks.
QUANTISED_BITS = {"8": 8.5, "4": 0.75 * 4.5 + 0.25 * 8.5}
NOT_QUANTISED = 0.03
SMALLER = (3 / 4, 1 / 2, 1 / 4)


def gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def check_memory(
    models: ModelSource, config: "ClipConfig", stages: Sequence[StagePlan], *, force: bool = False
) -> MemoryPlan | None:
    """What a run takes; one that is too large for this machine is refused, unless it is forced. Nothing is
    read. Of networks that come from elsewhere than files nothing is known: None.

    Raises:
        ConfigError: saying what is needed, what there is, and which options would do.
    """
    available = available_memory()
    if not isinstance(models, CheckpointModels):
        return None
    size = ClipSize.of(config)
    plan = plan_memory(models, size, stages)
    if force or available is None or plan.peak <= available:
        return plan
    largest = max(plan.stages, key=lambda stage: stage.total)
    fitting = list(options_that_fit(models, size, stages, available))
    told = f"what fits: {'; '.join(fitting)}" if fitting else "no smaller clip fits either"
    if NETWORKS.get(largest.name) == "text":
        told += "; a text encoder of 4 bits is a quarter as large (mlx-community/gemma-3-12b-it-4bit)"
    raise ConfigError(
        f"this run needs about {gigabytes(plan.peak)} of memory (stage {largest.name!r}: "
        f"{gigabytes(largest.weights)} of weights, {gigabytes(largest.activations)} to compute with), and "
        f"{gigabytes(available)} are free here; {told}; or --force to try it all the same"
    )


def options_that_fit(
    models: CheckpointModels, size: ClipSize, stages: Sequence[StagePlan], available: int
) -> Iterator[str]:
    """Options with which the run takes no more than `available` bytes: the same clip in other ways, else a
    smaller one."""
    same = [
        f"{name} ({gigabytes(peak)})"
        for name, peak in alternatives(models, size, stages).items()
        if peak <= available
    ]
    yield from same
    if not same:
        for memory, option in ((models.memory, ""), (Memory.LOW, " with --low-ram")):
            for share in SMALLER:
                smaller = _smaller(size, share)
                if plan_memory(models, smaller, stages, memory).peak <= available:
                    yield f"--width {smaller.width} --height {smaller.height}{option}"
                    return
                shorter = replace(size, num_frames=int(size.num_frames * share) // 8 * 8 + 1)
                if plan_memory(models, shorter, stages, memory).peak <= available:
                    yield f"--num-frames {shorter.num_frames}{option}"
                    return


def alternatives(models: CheckpointModels, size: ClipSize, stages: Sequence[StagePlan]) -> dict[str, int]:
    """Peaks of the same clip with options that were not given."""
    peaks = {}
    if models.quantize is None:
        for choice, bits in QUANTISED_BITS.items():
            scale = NOT_QUANTISED + (1 - NOT_QUANTISED) * bits / (8 * models.dtype.size)
            peaks[f"-q {choice}"] = plan_memory(models, size, stages, transformer_scale=scale).peak
    if models.memory is not Memory.LOW:
        peaks["--low-ram"] = plan_memory(models, size, stages, Memory.LOW).peak
    return peaks


def _smaller(size: ClipSize, share: float) -> ClipSize:
    height, width = (max(64, int(side * share) // 64 * 64) for side in (size.height, size.width))
    return replace(size, height=height, width=width)
