"""Reference clips and sounds: clean tokens beside the target, which the model attends to."""

import mlx.core as mx
import numpy as np

from ltx_core.conditioning.item import append_tokens, require_video
from ltx_core.errors import ConditioningError
from ltx_core.patchifiers import get_pixel_coords
from ltx_core.tools import LatentTools
from ltx_core.types import LatentState, VideoLatentShape


class VideoConditionByReferenceLatent:
    """A reference clip for an in-context LoRA, at the target's place in time and space.

    Args:
        latent: (B, C, F, H, W), perhaps smaller than the target.
        downscale_factor: target size / reference size; stretches rows and columns. In the LoRA's metadata.
        temporal_scale_factor: target frame rate / reference frame rate; stretches time so that the last
            frames end together.
        strength: 1 keeps the reference clean, 0 generates the tokens.
    """

    def __init__(
        self,
        latent: mx.array,
        downscale_factor: int = 1,
        temporal_scale_factor: int = 1,
        strength: float = 1.0,
    ) -> None:
        if downscale_factor < 1 or temporal_scale_factor < 1:
            raise ConditioningError(
                f"scale factors are at least 1, got {downscale_factor} and {temporal_scale_factor}"
            )
        self.latent = latent
        self.downscale_factor = downscale_factor
        self.temporal_scale_factor = temporal_scale_factor
        self.strength = strength

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """The state with the tokens appended.

        Raises:
            ConditioningError: if batch or channels are not the target's, or strength is outside [0, 1].
        """
        tools = require_video(latent_tools, self)
        bounds = tools.patchifier.get_patch_grid_bounds(VideoLatentShape.from_shape(self.latent.shape))
        positions = np.array(get_pixel_coords(bounds, tools.scale_factors, tools.causal_fix), np.float32)
        stretch = self.temporal_scale_factor
        positions[:, 0] /= np.float32(tools.fps / stretch)
        if stretch != 1:
            first_end = np.array(latent_state.positions[:, 0, :1, 1:], np.float32)
            positions[:, 0] = np.maximum(positions[:, 0] - (stretch - 1) * first_end, 0)
        positions[:, 1:] *= self.downscale_factor
        tokens = tools.patchifier.patchify(self.latent)
        return append_tokens(latent_state, tools, tokens, mx.array(positions), self.strength)


class AudioConditionByReferenceLatent:
    """A reference sound beside the target's.

    Args:
        patchified: (B, T, D) tokens of the reference.
        positions: (B, 1, T, 2) seconds.
        strength: 1 keeps the reference clean, 0 generates the tokens.
    """

    def __init__(self, patchified: mx.array, positions: mx.array, strength: float = 1.0) -> None:
        self.patchified = patchified
        self.positions = positions.astype(mx.float32)
        self.strength = strength

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """The state with the tokens appended.

        Raises:
            ConditioningError: if the tokens or their positions do not fit the state, or strength is outside
                [0, 1].
        """
        expected = (self.patchified.shape[0], 1, self.patchified.shape[1], 2)
        if self.positions.shape != expected:
            raise ConditioningError(
                f"positions of the reference must be {expected}, got {self.positions.shape}"
            )
        return append_tokens(latent_state, latent_tools, self.patchified, self.positions, self.strength)
