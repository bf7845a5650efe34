"""Conditioning items: what is given (images, clips, sounds, regions), written into a latent state."""

from ltx_core.conditioning.attention_strength import ConditioningItemAttentionStrengthWrapper
from ltx_core.conditioning.item import ConditioningItem
from ltx_core.conditioning.mask_utils import build_attention_mask, downsample_mask_video_to_latent
from ltx_core.conditioning.masked import TemporalRegionMask, VideoConditionByMask
from ltx_core.conditioning.reference import AudioConditionByReferenceLatent, VideoConditionByReferenceLatent
from ltx_core.conditioning.video import VideoConditionByKeyframeIndex, VideoConditionByLatentIndex

__all__ = [
    "AudioConditionByReferenceLatent",
    "ConditioningItem",
    "ConditioningItemAttentionStrengthWrapper",
    "TemporalRegionMask",
    "VideoConditionByKeyframeIndex",
    "VideoConditionByLatentIndex",
    "VideoConditionByMask",
    "VideoConditionByReferenceLatent",
    "build_attention_mask",
    "downsample_mask_video_to_latent",
]
