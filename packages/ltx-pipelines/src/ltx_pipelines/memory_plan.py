"""What a run will need of the machine's memory, stage by stage, worked out before anything is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import mlx.nn as nn
from ltx_core import VideoPixelShape
from ltx_loaders import nbytes

from ltx_pipelines.activations import (
    decoder_bytes,
    encoder_bytes,
    sound_bytes,
    text_bytes,
    transformer_bytes,
    upsampler_bytes,
)
from ltx_pipelines.guided import MAX_PASSES, STACK_BELOW_TOKENS
from ltx_pipelines.models import CheckpointModels
from ltx_pipelines.residency import STREAMED, Memory
from ltx_pipelines.stages import StagePlan

if TYPE_CHECKING:
    from ltx_pipelines.config import ClipConfig

# Interpreter and libraries.
PROGRAM = 400_000_000


@dataclass(frozen=True)
class ClipSize:
    """What the activations of a run depend on.

    Attributes:
        guided: whether there is a negative prompt, and more than one pass for a step.
        images, references: given pictures and reference videos, each with tokens of its own.
    """

    height: int
    width: int
    num_frames: int
    frame_rate: float
    picture: bool = True
    sound: bool = True
    guided: bool = False
    images: int = 0
    references: int = 0

    @staticmethod
    def of(config: "ClipConfig") -> "ClipSize":
        """The size of what a config asks for."""
        return ClipSize(
            config.height,
            config.width,
            config.num_frames,
            config.frame_rate,
            config.has_picture,
            config.generate_audio,
            hasattr(config, "negative_prompt"),
            len(config.images),
            len(getattr(config, "video_conditioning", ())),
        )

    def shape(self, divisor: int = 1) -> VideoPixelShape:
        """The clip `divisor` times smaller along each side."""
        return VideoPixelShape(
            1, self.num_frames, self.height // divisor, self.width // divisor, self.frame_rate
        )


@dataclass(frozen=True)
class StageMemory:
    """Bytes that a stage needs: weights that are in memory, and what it computes with them."""

    name: str
    weights: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.activations


@dataclass(frozen=True)
class MemoryPlan:
    """All stages of a run; `peak` is what the largest needs, with the program itself."""

    stages: tuple[StageMemory, ...]

    @property
    def peak(self) -> int:
        return PROGRAM + max((stage.total for stage in self.stages), default=0)


def plan_memory(
    models: CheckpointModels,
    size: ClipSize,
    stages: Sequence[StagePlan],
    memory: Memory | None = None,
    *,
    transformer_scale: float = 1.0,
) -> MemoryPlan:
    """The plan of a run.

    Args:
        size: of the clip.
        stages: of the pipeline; those that it has no network for need nothing.
        memory: what stays resident; None: as the models have it.
        transformer_scale: size of the transformer's weights against what they are (for other quantisations).
    """
    memory = memory or models.memory
    planner = _Planner(models, size, memory, transformer_scale)
    made = tuple(planner.stage(stage.name) for stage in stages)
    if memory is Memory.KEEP:
        # The weights of earlier stages stay.
        resident: dict[str, int] = {}
        kept = []
        for stage in made:
            resident[NETWORKS.get(stage.name, stage.name)] = stage.weights
            kept.append(replace(stage, weights=sum(resident.values())))
        made = tuple(kept)
    return MemoryPlan(made)


# What a stage works with; two stages with the same name here share their weights.
NETWORKS = {
    "enhance prompt": "text",
    "encode prompt": "text",
    "denoise": "transformer",
    "stage 1": "transformer",
    "stage 2": "transformer",
    "upsample": "upsampler",
    "encode video": "video encoder",
    "encode references": "video encoder",
    "decode video": "video decoder",
    "decode anew": "video decoder",
    "encode audio": "audio encoder",
    "decode audio": "audio decoder",
}


class _Planner:
    """One plan; networks are built without their weights, once each."""

    def __init__(
        self, models: CheckpointModels, size: ClipSize, memory: Memory, transformer_scale: float
    ) -> None:
        self.models = models
        self.size = size
        self.memory = memory
        self.transformer_scale = transformer_scale
        self._networks: dict[str, tuple[Any, int]] = {}

    def stage(self, name: str) -> StageMemory:
        estimates: dict[str, Callable[[], tuple[int, int]]] = {
            "text": self._text,
            "transformer": lambda: self._transformer(2 if name == "stage 1" else 1),
            "upsampler": self._upsampler,
            "video encoder": self._video_encoder,
            "video decoder": self._video_decoder,
            "audio encoder": lambda: self._sound("audio_encoder"),
            "audio decoder": lambda: self._sound("audio_decoder", "vocoder"),
        }
        estimate = estimates.get(NETWORKS.get(name, ""))
        weights, activations = estimate() if estimate else (0, 0)
        return StageMemory(name, weights, activations)

    def weights(self, component: str) -> tuple[Any, int]:
        """A network without its weights, and what these take while it runs."""
        if component not in self._networks:
            network = self.models.network(component)
            streamed = STREAMED.get(component) if self.memory is Memory.LOW else None
            self._networks[component] = network, resident_bytes(network, streamed)
        return self._networks[component]

    def _text(self) -> tuple[int, int]:
        gemma, gemma_weights = self.weights("text_encoder")
        processor, processor_weights = self.weights("embeddings_processor")
        width: int = processor.video_embeddings_connector.config.inner_dim
        if self.memory is Memory.LOW:
            # Of what streams, Gemma's layers are gone when the connectors' turn comes.
            weights = max(gemma_weights, processor_weights)
        else:
            weights = gemma_weights + processor_weights
        return weights, text_bytes(gemma.config, width, self.models.dtype)

    def _transformer(self, divisor: int) -> tuple[int, int]:
        size, layout = self.size, self.models.layout
        half = "_audio" if not size.picture else "_video" if not size.sound else ""
        network, weights = self.weights(f"transformer{half}")
        shape, video = size.shape(divisor), 0
        if size.picture:
            _, _, frames, height, width = layout.video_tools(shape).target_shape
            video = height * width * (frames * (1 + size.references) + size.images)
        audio = layout.audio_tools(shape).target_shape.frames if size.sound else 0
        activations = transformer_bytes(
            network.config,
            self.models.dtype,
            video_tokens=video,
            audio_tokens=audio,
            passes=MAX_PASSES if size.guided and video < STACK_BELOW_TOKENS else 1,
            texts=2 if size.guided else 1,
            streamed=self.memory is Memory.LOW,
        )
        return round(weights * self.transformer_scale), activations

    def _upsampler(self) -> tuple[int, int]:
        network, weights = self.weights("spatial_upsampler")
        latent = self.models.layout.video_tools(self.size.shape()).target_shape[2:]
        return weights, upsampler_bytes(network.config, self.models.dtype, latent)

    def _video_encoder(self) -> tuple[int, int]:
        from ltx_models.video_vae.tile_grid import prepare_tiles_for_encoding
        from ltx_models.video_vae.tiling import TileSizeConfig

        network, weights = self.weights("video_encoder")
        clip, factors = self._pixels(), self.models.layout.scale_factors
        grid = prepare_tiles_for_encoding(clip, TileSizeConfig.default(), factors)
        return weights, encoder_bytes(network.config, self.models.dtype, _largest(grid, clip))

    def _video_decoder(self) -> tuple[int, int]:
        from ltx_models.video_vae.tile_grid import prepare_tiles_for_decoding
        from ltx_models.video_vae.tiling import TileSizeConfig

        network, weights = self.weights("video_decoder")
        factors, size = self.models.layout.scale_factors, self.size
        tiling = TileSizeConfig.auto(height=size.height, width=size.width, scale_factors=factors)
        latent = self.models.layout.video_tools(size.shape()).target_shape[2:]
        grid = prepare_tiles_for_decoding(latent, tiling, factors)
        tile = _largest(grid, latent)
        return weights, decoder_bytes(network.config, self.models.dtype, tile, self._pixels())

    def _sound(self, *components: str) -> tuple[int, int]:
        weights = sum(self.weights(component)[1] for component in components)
        return weights, sound_bytes(self.size.num_frames / self.size.frame_rate)

    def _pixels(self) -> tuple[int, int, int]:
        return self.size.num_frames, self.size.height, self.size.width


def _largest(grid: Any, whole: Sequence[int]) -> list[int]:
    """Length of the longest tile along each axis; `whole` is all of the axis."""
    return [
        max(tile.source.indices(length)[1] - tile.source.indices(length)[0] for tile in tiles)
        for tiles, length in zip(grid, whole, strict=True)
    ]


def resident_bytes(network: nn.Module, streamed: Any = None) -> int:
    """What a network's weights take in memory while it runs, none of which was read yet.

    Args:
        streamed: what is read while it runs, as in `STREAMED`; None: nothing, all weights are in memory.
    """
    total = nbytes(network)
    if streamed is None:
        return total
    passing = [0]
    for path in streamed.get("blocks", ()):
        sizes = [nbytes(block) for block in _at(network, path)]
        total -= sum(sizes)
        passing.append(2 * max(sizes, default=0))
    for path in streamed.get("parts", ()):
        size = nbytes(_at(network, path))
        total -= size
        passing.append(size)
    return total + max(passing)


def _at(network: Any, path: str) -> Any:
    for name in path.split("."):
        network = getattr(network, name)
    return network
