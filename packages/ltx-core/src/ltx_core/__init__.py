"""Sampling maths of LTX-2 on MLX."""

from ltx_core import blas as blas  # isort: skip  (must come before anything that imports mlx)

from ltx_core.errors import ConditioningError, ConfigError, LTXError, ShapeError
from ltx_core.maths import check_config_value, rms_norm, to_denoised, to_velocity
from ltx_core.perturbations import (
    BatchedPerturbationConfig,
    Perturbation,
    PerturbationConfig,
    PerturbationType,
)
from ltx_core.types import (
    VIDEO_SCALE_FACTORS,
    Audio,
    AudioLatentShape,
    LatentState,
    Modality,
    SpatioTemporalScaleFactors,
    VideoLatentShape,
    VideoPixelShape,
)

__all__ = [
    "VIDEO_SCALE_FACTORS",
    "Audio",
    "AudioLatentShape",
    "BatchedPerturbationConfig",
    "ConditioningError",
    "ConfigError",
    "LTXError",
    "LatentState",
    "Modality",
    "Perturbation",
    "PerturbationConfig",
    "PerturbationType",
    "ShapeError",
    "SpatioTemporalScaleFactors",
    "VideoLatentShape",
    "VideoPixelShape",
    "check_config_value",
    "rms_norm",
    "to_denoised",
    "to_velocity",
]
