"""Where the pocket model's files lie."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The folder that ships with this package."""

CHECKPOINT = "checkpoint.safetensors"
DISTILLED_LORA = "distilled_lora.safetensors"
SPATIAL_UPSCALER = "spatial_upscaler.safetensors"
TEMPORAL_UPSCALER = "temporal_upscaler.safetensors"
STYLE_LORA = "style.safetensors"
IC_LORA = "ic_lora.safetensors"
GEMMA_FOLDER = "gemma"
