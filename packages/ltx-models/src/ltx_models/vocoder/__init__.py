"""The vocoders: log-mel spectrogram to waveform."""

from ltx_models.vocoder.bandwidth import VocoderWithBWE, build_vocoder
from ltx_models.vocoder.config import BandwidthExtensionConfig, GeneratorConfig, VocoderConfig
from ltx_models.vocoder.generator import Vocoder

__all__ = [
    "BandwidthExtensionConfig",
    "GeneratorConfig",
    "Vocoder",
    "VocoderConfig",
    "VocoderWithBWE",
    "build_vocoder",
]
