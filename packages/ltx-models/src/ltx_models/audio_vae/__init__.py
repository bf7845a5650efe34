"""The audio VAE: waveform <-> log-mel spectrogram <-> latent."""

from ltx_models.audio_vae.config import LATENT_DOWNSAMPLE_FACTOR, AudioVAEConfig
from ltx_models.audio_vae.decoder import AudioDecoder, decode_audio
from ltx_models.audio_vae.encoder import AudioEncoder, encode_audio
from ltx_models.audio_vae.processor import AudioProcessor
from ltx_models.audio_vae.resampling import resample
from ltx_models.audio_vae.statistics import PerChannelStatistics

__all__ = [
    "LATENT_DOWNSAMPLE_FACTOR",
    "AudioDecoder",
    "AudioEncoder",
    "AudioProcessor",
    "AudioVAEConfig",
    "PerChannelStatistics",
    "decode_audio",
    "encode_audio",
    "resample",
]
