"""A pocket model with every file of the shipped one, at any size, whose weights are drawn at random."""

from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_loaders.weights import conv_axes
from ltx_models.audio_vae import AudioDecoder, AudioEncoder, AudioVAEConfig
from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig
from ltx_models.video_vae import VideoDecoder, VideoEncoder, VideoVAEConfig
from ltx_models.vocoder import VocoderConfig, build_vocoder
from ltx_pocket import configs
from ltx_pocket.configs_text import gemma_config, transformer_section
from ltx_pocket.pack import Parts, pack
from ltx_pocket.tokenizer import build_tokenizer, write_tokenizer
from ltx_pocket.train.adapters import Adapters
from ltx_pocket.train.diffusion import Diffusion
from ltx_pocket.train.files import save_checkpoint, write_checkpoint
from ltx_pocket.train.weights import fingerprint, save_diffusion
from mlx.utils import tree_flatten


def write_autoencoders(folder: Path, size: str = "tiny") -> tuple[VideoVAEConfig, AudioVAEConfig]:
    """Write `video_vae.safetensors`, `audio_vae.safetensors` and `vocoder.safetensors`."""
    mx.random.seed(0)
    sections = {
        "video_vae": ("vae", configs.video_vae(size)),
        "audio_vae": ("audio_vae", configs.audio_vae(size)),
        "vocoder": ("vocoder", configs.vocoder(size)),
    }
    video = VideoVAEConfig.from_config(sections["video_vae"][1])
    audio = AudioVAEConfig.from_config(sections["audio_vae"][1])
    networks: dict[str, dict[str, nn.Module]] = {
        "video_vae": {"video_encoder": VideoEncoder(video), "video_decoder": VideoDecoder(video)},
        "audio_vae": {"audio_encoder": AudioEncoder(audio), "audio_decoder": AudioDecoder(audio)},
        "vocoder": {"vocoder": build_vocoder(VocoderConfig.from_config(sections["vocoder"][1]))},
    }
    for name, parts in networks.items():
        section, values = sections[name]
        save_checkpoint(folder / f"{name}.safetensors", parts, {section: values})
    return video, audio


def untrained_parts(folder: Path) -> Parts:
    """What `write_untrained` packs."""
    return Parts(
        diffusion=folder / "diffusion.safetensors",
        video_vae=folder / "video_vae.safetensors",
        audio_vae=folder / "audio_vae.safetensors",
        vocoder=folder / "vocoder.safetensors",
        tokenizer=folder / "tokenizer",
        lora=folder / "lora.safetensors",
        spatial_upscaler=folder / "space.safetensors",
        temporal_upscaler=folder / "time.safetensors",
    )


def write_untrained(folder: Path, size: str = "tiny") -> Path:
    """Write the model to `folder / "model"`, its parts beside it, and return that folder."""
    video, audio = write_autoencoders(folder, size)
    tokenizer = build_tokenizer(captions=500)
    write_tokenizer(folder / "tokenizer", tokenizer)

    vocabulary = (tokenizer.get_vocab_size() + 63) // 64 * 64
    config: dict[str, Any] = {
        "transformer": transformer_section(video.latent_channels, audio.z_channels * audio.latent_bins, size),
        "gemma": gemma_config(vocabulary, size),
        "tokenizer": fingerprint(folder / "tokenizer"),
    }
    network = Diffusion(config["transformer"], config["gemma"])
    network.initialize()
    save_diffusion(folder / "diffusion.safetensors", network, config, mx.bfloat16)
    adapters = Adapters(network.transformer, rank=2)
    adapters.b = [0.1 * mx.random.normal(b.shape) for b in adapters.b]
    mx.save_safetensors(str(folder / "lora.safetensors"), adapters.official(), {"format": "pt"})
    for axis in ("space", "time"):
        _write_upscaler(folder / f"{axis}.safetensors", configs.upscaler(axis, size))
    pack(untrained_parts(folder), folder / "model")
    return folder / "model"


def _write_upscaler(path: Path, section: dict[str, Any]) -> None:
    """No component of a checkpoint: a file of its own, with convolutions in the official layout."""
    upscaler = LatentUpsampler(LatentUpsamplerConfig.from_config(section))
    axes = conv_axes(upscaler)
    tensors = {
        name: value.transpose(np.argsort(axes[name]).tolist()) if name in axes else value
        for name, value in tree_flatten(upscaler.parameters())
    }
    write_checkpoint(path, tensors, section)
