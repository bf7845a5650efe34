"""Images and clips at a place in time: in the target's own tokens, or in tokens beside them."""

import mlx.core as mx
import numpy as np

from ltx_core.conditioning.item import append_tokens, check_strength, require_video
from ltx_core.errors import ConditioningError
from ltx_core.patchifiers import get_pixel_coords, to_positions
from ltx_core.tools import LatentTools
from ltx_core.types import LatentState, VideoLatentShape


class VideoConditionByLatentIndex:
    """Given latent frames in place of the target's, from a latent frame on.

    Writes the clean latent and the denoise mask (1 - strength); the noiser does the rest.

    Args:
        latent: (B, C, F, H, W), batch, channels, height and width as the target's.
        strength: 1 keeps the content, 0 ignores it.
        latent_idx: first latent frame to replace.
    """

    def __init__(self, latent: mx.array, strength: float, latent_idx: int) -> None:
        self.latent = latent
        self.strength = strength
        self.latent_idx = latent_idx

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """The state with the frames written into it.

        Raises:
            ConditioningError: if the frames do not fit the target, or strength is outside [0, 1].
        """
        tools = require_video(latent_tools, self)
        target = tools.target_shape
        given = VideoLatentShape.from_shape(self.latent.shape)
        if given._replace(frames=target.frames) != target:
            raise ConditioningError(
                f"the conditioning latent {given.to_shape()} does not fit the target {target.to_shape()}: "
                "all sizes but the number of frames must be the same. Encode the image at the target's size"
            )
        if not 0 <= self.latent_idx <= target.frames - given.frames:
            raise ConditioningError(
                f"{given.frames} latent frame(s) at index {self.latent_idx} do not fit into {target.frames}"
            )
        check_strength(self.strength)
        tokens = tools.patchifier.patchify(self.latent).astype(latent_state.clean_latent.dtype)
        start = tools.patchifier.get_token_count(target._replace(frames=self.latent_idx))
        mask = mx.full((*tokens.shape[:2], 1), 1.0 - self.strength, dtype=latent_state.denoise_mask.dtype)
        return latent_state.replace(
            clean_latent=_overwrite(latent_state.clean_latent, tokens, start),
            denoise_mask=_overwrite(latent_state.denoise_mask, mask, start),
        )


def _overwrite(array: mx.array, part: mx.array, start: int) -> mx.array:
    """`array` (B, T, D) with the tokens from `start` on replaced by `part`."""
    return mx.concatenate([array[:, :start], part, array[:, start + part.shape[1] :]], axis=1)


class VideoConditionByKeyframeIndex:
    """Given frames beside the target: appended tokens that lie at a pixel frame in time.

    Args:
        keyframes: (B, C, F, H, W), usually one encoded image.
        frame_idx: pixel frame where they start.
        strength: 1 keeps the content clean, 0 generates the tokens.
        num_pixel_frames: pixel frames that were encoded. With 1, every latent frame covers one pixel frame,
            [start, start + 1).
    """

    def __init__(
        self, keyframes: mx.array, frame_idx: int, strength: float, num_pixel_frames: int = 1
    ) -> None:
        self.keyframes = keyframes
        self.frame_idx = frame_idx
        self.strength = strength
        self.num_pixel_frames = num_pixel_frames

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """The state with the tokens appended.

        Raises:
            ConditioningError: if the frames do not fit the target, the index is negative, or strength is
                outside [0, 1].
        """
        tools = require_video(latent_tools, self)
        if self.frame_idx < 0:
            raise ConditioningError(f"frame_idx counts pixel frames from the start, got {self.frame_idx}")
        bounds = tools.patchifier.get_patch_grid_bounds(VideoLatentShape.from_shape(self.keyframes.shape))
        # Only a keyframe at the very start follows the causal grid of the target.
        coords = np.array(
            get_pixel_coords(bounds, tools.scale_factors, tools.causal_fix and self.frame_idx == 0)
        )
        coords[:, 0] += self.frame_idx
        if self.num_pixel_frames == 1:
            coords[:, 0, :, 1] = coords[:, 0, :, 0] + 1
        tokens = tools.patchifier.patchify(self.keyframes)
        positions = to_positions(mx.array(coords), tools.fps)
        return append_tokens(latent_state, tools, tokens, positions, self.strength)
