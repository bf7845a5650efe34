"""How large the tiles are in which a clip is encoded or decoded, in frames and pixels.

Rules and defaults: official release 1.2.0 (`ltx_core.tiling`).
"""

from dataclasses import dataclass
from typing import Self

from ltx_core.errors import ConfigError
from ltx_core.types import SpatioTemporalScaleFactors, VideoPixelShape

# The edge of an encoded tile is wrong where the padding reaches; smaller overlaps would let it through.
MIN_ENCODE_OVERLAP_FRAMES = 16
MIN_ENCODE_OVERLAP_PIXELS = 64


@dataclass(frozen=True)
class DimensionSizeConfig:
    """Tile size and overlap along one axis, in frames or pixels; `tile_size` 0: the axis is not tiled."""

    tile_size: int = 0
    overlap: int = 0

    def __post_init__(self) -> None:
        """Raises ConfigError for negative numbers, and unless the overlap is smaller than the tile."""
        if self.tile_size < 0 or self.overlap < 0:
            raise ConfigError(
                f"tile size and overlap must not be negative, got {self.tile_size}, {self.overlap}"
            )
        if self.tile_size == 0 and self.overlap != 0:
            raise ConfigError(f"an axis that is not tiled (size 0) has overlap 0, got {self.overlap}")
        if 0 < self.tile_size <= self.overlap:
            raise ConfigError(
                f"the overlap must be smaller than the tile, got {self.overlap} of {self.tile_size}"
            )

    def is_tiled(self) -> bool:
        """Whether the dimension is cut at all."""
        return self.tile_size > 0


@dataclass(frozen=True)
class TileSizeConfig:
    """Tile sizes of a clip: frames along time, pixels along height and width."""

    frames: DimensionSizeConfig = DimensionSizeConfig()
    height: DimensionSizeConfig = DimensionSizeConfig()
    width: DimensionSizeConfig = DimensionSizeConfig()

    @classmethod
    def default(cls) -> Self:
        """80 frames and 768 x 768 pixels, with overlaps of 24 frames and 64 pixels. For encoding."""
        return cls(DimensionSizeConfig(80, 24), DimensionSizeConfig(768, 64), DimensionSizeConfig(768, 64))

    @classmethod
    def from_long_side(
        cls,
        *,
        long_side: DimensionSizeConfig,
        height: int,
        width: int,
        scale_factors: SpatioTemporalScaleFactors,
        frames: DimensionSizeConfig | None = None,
    ) -> Self:
        """Tiles with about the shape of the clip: `long_side` along its longer axis.

        Args:
            long_side: size and overlap in pixels; both axes get the overlap.
            height: of the clip, in pixels.
            width: of the clip, in pixels.
            scale_factors: pixels per latent.
            frames: along time; None: not tiled.

        Raises:
            ConfigError: if `long_side` is not tiled or an edge of the clip is not positive.
        """
        if not long_side.is_tiled() or min(height, width) < 1:
            raise ConfigError(
                f"from_long_side needs a tile size and a clip, got {long_side}, {height} x {width}"
            )

        def axis(length: int, factor: int) -> DimensionSizeConfig:
            share = round(
                (long_side.tile_size // factor) * (length // factor) / (max(height, width) // factor)
            )
            tile = max(2, long_side.overlap // factor + 1, share) * factor
            return DimensionSizeConfig(max(tile, long_side.overlap + factor), long_side.overlap)

        return cls(
            frames=frames or DimensionSizeConfig(),
            height=axis(height, scale_factors.height),
            width=axis(width, scale_factors.width),
        )

    @classmethod
    def auto(cls, *, height: int, width: int, scale_factors: SpatioTemporalScaleFactors) -> Self:
        """What the pipelines decode with: 768 / 64 pixels on the longer side, 80 / 24 frames."""
        return cls.from_long_side(
            long_side=DimensionSizeConfig(768, 64),
            height=height,
            width=width,
            scale_factors=scale_factors,
            frames=DimensionSizeConfig(80, 24),
        )

    def validate(
        self, scale_factors: SpatioTemporalScaleFactors, video_shape: VideoPixelShape | None = None
    ) -> None:
        """Check the sizes against the latent grid, and a clip's too if it is given.

        Raises:
            ConfigError: sizes or overlaps that are no multiples of the grid, tiles below two latents, or a
                clip whose size does not fit the grid.
        """
        for name, axis, factor in zip(
            ("frames", "height", "width"), self._axes(), scale_factors, strict=True
        ):
            if axis.is_tiled() and (
                axis.tile_size < 2 * factor or axis.tile_size % factor or axis.overlap % factor
            ):
                raise ConfigError(
                    f"{name}: tile size and overlap must be multiples of {factor} and the tile at least "
                    f"{2 * factor}, got {axis.tile_size} and {axis.overlap}"
                )
        if video_shape is None:
            return
        time, height, width = scale_factors
        if video_shape.height % height or video_shape.width % width or (video_shape.frames - 1) % time:
            raise ConfigError(
                f"a clip must have {time} k + 1 frames, and {height} and {width} must divide its height and "
                f"width, got {video_shape.frames} frames of {video_shape.height} x {video_shape.width}"
            )

    def validate_for_encoding(self) -> None:
        """Raises ConfigError if an overlap is smaller than 16 frames or 64 pixels."""
        least = (MIN_ENCODE_OVERLAP_FRAMES, MIN_ENCODE_OVERLAP_PIXELS, MIN_ENCODE_OVERLAP_PIXELS)
        for name, axis, overlap in zip(("frames", "height", "width"), self._axes(), least, strict=True):
            if axis.is_tiled() and axis.overlap < overlap:
                raise ConfigError(
                    f"{name}: to encode, tiles must overlap by {overlap} at least, got {axis.overlap}"
                )

    def video_chunks_number(self, num_frames: int) -> int:
        """The number of chunks in which a clip is decoded, as progress bars need it."""
        if not self.frames.is_tiled():
            return 1
        step = self.frames.tile_size - self.frames.overlap
        return (num_frames - 1 + step - 1) // step

    def _axes(self) -> tuple[DimensionSizeConfig, DimensionSizeConfig, DimensionSizeConfig]:
        return self.frames, self.height, self.width
