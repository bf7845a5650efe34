"""Keeping or regenerating parts of the target: by a mask in space and time, or by a time range."""

from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from ltx_core.conditioning.item import check_strength, require_video
from ltx_core.errors import ConditioningError
from ltx_core.patchifiers import get_pixel_coords
from ltx_core.tools import LatentTools, VideoLatentTools
from ltx_core.types import LatentState


class VideoConditionByMask:
    """Given content wherever a mask is 1.

    Args:
        latent: (B, C, F, H, W), the target's shape.
        mask: (B, F, H, W) over the latent: 1 keeps the given content, 0 generates, fractions mix.
        strength: 1 keeps the masked content clean, 0 generates it.
    """

    def __init__(self, latent: mx.array, mask: mx.array, strength: float = 1.0) -> None:
        self.latent = latent
        self.mask = mask
        self.strength = strength

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """The state with the content as its clean latent under the mask.

        Raises:
            ConditioningError: if latent or mask are not of the target's shape, or strength is outside [0, 1].
        """
        tools = require_video(latent_tools, self)
        target = tools.target_shape
        if self.latent.shape != target.to_shape() or self.mask.shape != (target.batch, *target[2:]):
            raise ConditioningError(
                f"latent {self.latent.shape} and mask {self.mask.shape} do not fit {target.to_shape()}"
            )
        check_strength(self.strength)
        mask = tools.patchifier.patchify(self.mask[:, None].astype(mx.float32))
        content = tools.patchifier.patchify(self.latent)
        count = tools.num_tokens
        clean, denoise = latent_state.clean_latent, latent_state.denoise_mask
        mixed = clean[:, :count] * (1 - mask) + content * mask
        masked = denoise[:, :count] * (1 - mask) + (1.0 - self.strength) * mask
        return latent_state.replace(
            clean_latent=mx.concatenate([mixed.astype(clean.dtype), clean[:, count:]], axis=1),
            denoise_mask=mx.concatenate([masked, denoise[:, count:]], axis=1),
        )


@dataclass(frozen=True)
class TemporalRegionMask:
    """Regenerates a time range, all tokens that touch [start_time, end_time), and keeps the rest.

    Attributes:
        start_time: seconds.
        end_time: seconds.
        fps: frames per second of the video (not used for audio).
    """

    start_time: float
    end_time: float
    fps: float

    def seconds(self, latent_tools: LatentTools) -> np.ndarray:
        """When each token of the target begins and ends: (B, T, 2) float32 in seconds."""
        bounds = latent_tools.patchifier.get_patch_grid_bounds(latent_tools.target_shape)
        if not isinstance(latent_tools, VideoLatentTools):
            return np.array(bounds[:, 0], np.float32)
        frames = get_pixel_coords(bounds, latent_tools.scale_factors, latent_tools.causal_fix)
        return np.array(frames[:, 0], np.float32) / np.float32(self.fps)

    def touched(self, latent_tools: LatentTools) -> np.ndarray:
        """Which tokens of the target touch the range: (B, T) bool."""
        seconds = self.seconds(latent_tools)
        after = seconds[..., 1] > np.float32(self.start_time)
        inside: np.ndarray = after & (seconds[..., 0] < np.float32(self.end_time))
        return inside

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """The state with denoise mask 1 inside and 0 outside the range; appended tokens keep theirs.

        Raises:
            ConditioningError: if the range is empty.
        """
        if self.end_time <= self.start_time:
            raise ConditioningError(f"the time range [{self.start_time}, {self.end_time}) s is empty")
        mask = mx.array(self.touched(latent_tools)[..., None].astype(np.float32))
        appended = latent_state.denoise_mask[:, latent_tools.num_tokens :]
        return latent_state.replace(denoise_mask=mx.concatenate([mask, appended], axis=1))
