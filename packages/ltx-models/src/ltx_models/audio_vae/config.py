"""What an audio VAE is made of, as the checkpoint's metadata says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ltx_core.errors import ConfigError
from ltx_core.maths import check_config_value

LATENT_DOWNSAMPLE_FACTOR = 4
"""Mel frames per latent frame, and mel bins per latent bin."""


@dataclass(frozen=True)
class AudioVAEConfig:
    """Sizes of the audio VAE and of the mel front end that belongs to it.

    Attributes:
        ch: channels of the finest level.
        ch_mult: multiples of `ch`, one per level, finest first.
        num_res_blocks: residual blocks per level in the encoder; the decoder has one more.
        in_channels: audio channels of the encoder's input.
        out_ch: audio channels of the decoder's output.
        z_channels: channels of the latent.
        mel_bins: mel bands of a spectrogram.
        sample_rate: rate in Hz that spectrograms are computed at.
        mel_hop_length: samples between mel frames.
        n_fft: samples of a mel frame's window.
    """

    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    in_channels: int
    out_ch: int
    z_channels: int
    mel_bins: int
    sample_rate: int
    mel_hop_length: int
    n_fft: int

    @property
    def latent_bins(self) -> int:
        """Frequency bins of a latent frame."""
        return self.mel_bins // LATENT_DOWNSAMPLE_FACTOR

    @property
    def token_dim(self) -> int:
        """Width of a latent frame as a token: z_channels * latent_bins."""
        return self.z_channels * self.latent_bins

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Self:
        """From the `audio_vae` entry of a checkpoint's config. Absent sizes have the official defaults.

        Raises:
            ConfigError: for attention layers, another norm or causal axis, a depth other than three levels,
                or where the number of mel bins is not given.
        """
        model = section.get("model", {}).get("params", {})
        network = model.get("ddconfig", {})
        preprocessing = section.get("preprocessing", {})
        stft = preprocessing.get("stft", {})

        check_config_value(network, "norm_type", "pixel")
        check_config_value(network, "causality_axis", "height")
        check_config_value(network, "double_z", True)
        check_config_value(network, "resamp_with_conv", True)
        if attention := network.get("attn_resolutions"):
            raise ConfigError(f"config key 'attn_resolutions' is {attention!r}; supported: []")
        # Absent means true to the reference, and would need weights that no released checkpoint has.
        if network.get("mid_block_add_attention", True):
            raise ConfigError("config key 'mid_block_add_attention' is true or absent; supported: false")

        mel_bins = (
            network.get("mel_bins")
            or preprocessing.get("mel", {}).get("n_mel_channels")
            or section.get("variables", {}).get("mel_bins")
        )
        if not mel_bins or mel_bins % LATENT_DOWNSAMPLE_FACTOR:
            raise ConfigError(f"config key 'mel_bins' is {mel_bins!r}; supported: a multiple of 4")
        ch_mult = tuple(network.get("ch_mult", (1, 2, 4)))
        if 2 ** (len(ch_mult) - 1) != LATENT_DOWNSAMPLE_FACTOR:
            raise ConfigError(
                f"config key 'ch_mult' is {ch_mult!r}; supported: three levels (4 x 4 reduction)"
            )
        return cls(
            ch=network.get("ch", 128),
            ch_mult=ch_mult,
            num_res_blocks=network.get("num_res_blocks", 2),
            in_channels=network.get("in_channels", 2),
            out_ch=network.get("out_ch", 2),
            z_channels=network.get("z_channels", 8),
            mel_bins=mel_bins,
            sample_rate=model.get("sampling_rate", 16000),
            mel_hop_length=stft.get("hop_length", 160),
            n_fft=stft.get("filter_length", 1024),
        )
