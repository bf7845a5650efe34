"""Floating-point operations of autoencoders, vocoder and upscaler: those of their convolutions."""

import math
from collections.abc import Sequence

from ltx_models.audio_vae import AudioVAEConfig
from ltx_models.upsampler import LatentUpsamplerConfig
from ltx_models.video_vae import VideoVAEConfig
from ltx_models.vocoder import VocoderConfig
from ltx_models.vocoder.config import AUDIO_CHANNELS, GeneratorConfig

from ltx_bench.clips import Clip
from ltx_bench.configs import Config

KERNEL = 27
"""Taps of a 3 x 3 x 3 convolution."""


def convolution(positions: int, taps: int, inputs: int, outputs: int) -> int:
    """One that makes `positions` positions."""
    return 2 * positions * taps * inputs * outputs


def video_decoder_flops(config: Config, clip: Clip) -> int:
    """A clip in one piece."""
    vae = VideoVAEConfig.from_config(config["vae"])
    time, height, width = vae.scale_factors
    size = [(clip.frames - 1) // time + 1, clip.height // height, clip.width // width]
    channels = vae.decoder_in_channels
    total = convolution(math.prod(size), KERNEL, vae.latent_channels, channels)
    for block in vae.decoder_blocks:
        if block.name == "res_x":
            total += 2 * block.num_layers * convolution(math.prod(size), KERNEL, channels, channels)
            continue
        out = channels // block.multiplier
        total += convolution(math.prod(size), KERNEL, channels, out * math.prod(block.stride))
        size = [length * factor for length, factor in zip(size, block.stride, strict=True)]
        # The first frame was doubled on the way down.
        size[0] -= block.stride[0] - 1
        channels = out
    return total + convolution(math.prod(size), KERNEL, channels, vae.out_channels * vae.patch_size**2)


def video_encoder_flops(config: Config, clip: Clip) -> int:
    """A clip in one piece."""
    vae = VideoVAEConfig.from_config(config["vae"])
    size = [clip.frames, clip.height // vae.patch_size, clip.width // vae.patch_size]
    channels = vae.latent_channels
    total = convolution(math.prod(size), KERNEL, vae.in_channels * vae.patch_size**2, channels)
    for block in vae.encoder_blocks:
        if block.name == "res_x":
            total += 2 * block.num_layers * convolution(math.prod(size), KERNEL, channels, channels)
            continue
        out = channels * block.multiplier
        size[0] += block.stride[0] - 1
        total += convolution(math.prod(size), KERNEL, channels, out // math.prod(block.stride))
        size = [length // factor for length, factor in zip(size, block.stride, strict=True)]
        channels = out
    return total + convolution(math.prod(size), KERNEL, channels, vae.encoder_out_channels)


def audio_decoder_flops(config: Config, frames: int) -> int:
    """A latent of that many frames, to a spectrogram."""
    vae = AudioVAEConfig.from_config(config["audio_vae"])
    widths = [vae.ch * multiple for multiple in vae.ch_mult]
    size, channels = [frames, vae.latent_bins], widths[-1]
    total = convolution(math.prod(size), 9, vae.z_channels, channels)
    total += 4 * convolution(math.prod(size), 9, channels, channels)
    for level in reversed(range(len(widths))):
        for _ in range(vae.num_res_blocks + 1):
            positions, out = math.prod(size), widths[level]
            total += convolution(positions, 9, channels, out) + convolution(positions, 9, out, out)
            total += convolution(positions, 1, channels, out) if channels != out else 0
            channels = out
        if level:
            # The first frame is dropped after the convolution.
            total += convolution(4 * math.prod(size), 9, channels, channels)
            size = [2 * size[0] - 1, 2 * size[1]]
    return total + convolution(math.prod(size), 9, channels, vae.out_ch)


def vocoder_flops(config: Config, frames: int) -> int:
    """A spectrogram of that many frames, to a waveform; without the filters of the activations."""
    vocoder = VocoderConfig.from_config(config["vocoder"])
    total = _generator(vocoder.generator, frames)
    if vocoder.bwe is None:
        return total
    samples = frames * vocoder.generator.hop_length
    again, bins = samples // vocoder.bwe.hop_length, 2 * (vocoder.bwe.n_fft // 2 + 1)
    spectrum = convolution(again, vocoder.bwe.n_fft, 1, bins)
    mel = convolution(again, 1, bins // 2, vocoder.bwe.generator.mel_bins)
    return total + AUDIO_CHANNELS * (spectrum + mel) + _generator(vocoder.bwe.generator, again)


def _generator(generator: GeneratorConfig, frames: int) -> int:
    width = generator.upsample_initial_channel
    total = convolution(frames, 7, AUDIO_CHANNELS * generator.mel_bins, width)
    for rate, kernel in zip(generator.upsample_rates, generator.upsample_kernel_sizes, strict=True):
        # A transposed convolution: every input reaches `kernel` outputs.
        total += convolution(frames, kernel, width, width // 2)
        frames, width = frames * rate, width // 2
        total += sum(_block(frames, width, kernel, dilations) for kernel, dilations in _blocks(generator))
    return total + convolution(frames, 7, width, AUDIO_CHANNELS)


def _blocks(generator: GeneratorConfig) -> list[tuple[int, Sequence[int]]]:
    return list(zip(generator.resblock_kernel_sizes, generator.resblock_dilation_sizes, strict=True))


def _block(frames: int, width: int, kernel: int, dilations: Sequence[int]) -> int:
    return 2 * len(dilations) * convolution(frames, kernel, width, width)


def upsampler_flops(config: Config, clip: Clip) -> int:
    """The spatial upscaler, from the latent of a clip of that size to one of twice its sides."""
    network = LatentUpsamplerConfig.from_config(config["spatial_upscaler"])
    time, height, width = VideoVAEConfig.from_config(config["vae"]).scale_factors
    positions = ((clip.frames - 1) // time + 1) * (clip.height // height) * (clip.width // width)
    channels, blocks = network.mid_channels, network.num_blocks_per_stage
    total = convolution(positions, KERNEL, network.in_channels, channels)
    total += convolution(positions, 9, channels, 4 * channels)
    total += 2 * blocks * convolution(positions + 4 * positions, KERNEL, channels, channels)
    return total + convolution(4 * positions, KERNEL, channels, network.in_channels)
