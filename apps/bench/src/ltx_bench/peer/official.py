"""The official ltx-core (1.0.0; 1.1 and 1.2 have the same names)."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from measuring import Run, filled, noise

Request = dict[str, Any]
Config = dict[str, Any]

SIGMA = 0.9
SCALE_TIME, SCALE_SPACE = 8, 32


def official_version() -> str:
    return version("ltx-core")


def build_transformer(config: Config, device: str, dtype: torch.dtype) -> Any:
    from ltx_core.model.transformer import LTXModelConfigurator

    return filled(lambda: LTXModelConfigurator.from_config(config), device, dtype)


def modalities(request: Request, device: str, dtype: torch.dtype) -> list[Any]:
    """Both streams as a denoising step has them: every token has a noise level."""
    from ltx_core.model.transformer import Modality

    sizes, section = request["sizes"], request["config"]["transformer"]
    batch, text = sizes["batch"], sizes["text_tokens"]
    streams = []
    for prefix, tokens, positions in (
        ("", sizes["video_tokens"], video_positions(sizes, device)),
        ("audio_", sizes["audio_tokens"], audio_positions(sizes, device)),
    ):
        width = section[f"{prefix}num_attention_heads"] * section[f"{prefix}attention_head_dim"]
        if not section.get("caption_proj_before_connector", False):
            width = section["caption_channels"]
        streams.append(
            Modality(
                latent=noise((batch, tokens, section.get(f"{prefix}in_channels", 128)), device, dtype),
                sigma=torch.full((batch,), SIGMA, device=device),
                timesteps=torch.full((batch, tokens, 1), SIGMA, device=device),
                positions=positions.expand(batch, *positions.shape[1:]),
                context=noise((batch, text, width), device, dtype, 1),
            )
        )
    return streams


def video_positions(sizes: dict[str, int], device: str) -> torch.Tensor:
    """(1, 3, tokens, 2): seconds and pixels where each token begins and ends."""
    frames = (sizes["frames"] - 1) // SCALE_TIME + 1
    axes = [
        (torch.arange(frames, device=device), SCALE_TIME / 24),
        (torch.arange(sizes["height"] // SCALE_SPACE, device=device), SCALE_SPACE),
        (torch.arange(sizes["width"] // SCALE_SPACE, device=device), SCALE_SPACE),
    ]
    grid = torch.meshgrid(*(axis.float() * scale for axis, scale in axes), indexing="ij")
    starts = torch.stack(grid).flatten(1)
    lengths = torch.tensor([[scale] for _, scale in axes], device=device)
    return torch.stack([starts, starts + lengths], dim=-1)[None]


def audio_positions(sizes: dict[str, int], device: str) -> torch.Tensor:
    """(1, 1, tokens, 2): seconds."""
    starts = torch.arange(sizes["audio_tokens"], device=device) * 0.04
    return torch.stack([starts, starts + 0.04], dim=-1)[None, None].float()


def run_transformer(network: Any, request: Request, device: str, dtype: torch.dtype) -> Run:
    from ltx_core.guidance.perturbations import BatchedPerturbationConfig

    video, audio = modalities(request, device, dtype)
    perturbations = BatchedPerturbationConfig.empty(request["sizes"]["batch"])
    return lambda: network(video, audio, perturbations)


def run_guided(network: Any, request: Request, device: str, dtype: torch.dtype) -> Run:
    """The passes of a guided step one by one, as the official pipelines call them; not what combines them."""
    from ltx_core.guidance.perturbations import (
        BatchedPerturbationConfig,
        Perturbation,
        PerturbationConfig,
        PerturbationType,
    )

    video, audio = modalities(request, device, dtype)
    block = 28 if request["config"]["transformer"].get("cross_attention_adaln") else 29
    skipped = [PerturbationType.SKIP_VIDEO_SELF_ATTN, PerturbationType.SKIP_AUDIO_SELF_ATTN]
    isolated = [PerturbationType.SKIP_A2V_CROSS_ATTN, PerturbationType.SKIP_V2A_CROSS_ATTN]
    passes = [[], []]
    if request["variant"] == "full":
        passes.append([Perturbation(kind, [block]) for kind in skipped])
        passes.append([Perturbation(kind, None) for kind in isolated])
    configs = [BatchedPerturbationConfig([PerturbationConfig(each)]) for each in passes]
    return lambda: [network(video, audio, config) for config in configs]


def build_video_decoder(config: Config, device: str, dtype: torch.dtype) -> Any:
    from ltx_core.model.video_vae import VideoDecoderConfigurator

    return filled(lambda: VideoDecoderConfigurator.from_config(config), device, dtype)


def latent_of(request: Request, device: str, dtype: torch.dtype) -> torch.Tensor:
    """A random video latent."""
    sizes = request["sizes"]
    frames = (sizes["frames"] - 1) // SCALE_TIME + 1
    shape = (frames, sizes["height"] // SCALE_SPACE, sizes["width"] // SCALE_SPACE)
    return noise((1, request["config"]["vae"]["latent_channels"], *shape), device, dtype)


def pixels_of(request: Request, device: str, dtype: torch.dtype) -> torch.Tensor:
    """Random pixels."""
    sizes = request["sizes"]
    return noise((1, 3, sizes["frames"], sizes["height"], sizes["width"]), device, dtype)


def run_video_decoder(network: Any, request: Request, device: str, dtype: torch.dtype) -> Run:
    latent = latent_of(request, device, dtype)
    return lambda: network(latent)


def build_video_encoder(config: Config, device: str, dtype: torch.dtype) -> Any:
    from ltx_core.model.video_vae import VideoEncoderConfigurator

    return filled(lambda: VideoEncoderConfigurator.from_config(config), device, dtype)


def run_video_encoder(network: Any, request: Request, device: str, dtype: torch.dtype) -> Run:
    pixels = pixels_of(request, device, dtype)
    return lambda: network(pixels)


def build_audio_decoder(config: Config, device: str, dtype: torch.dtype) -> Any:
    from ltx_core.model.audio_vae import AudioDecoderConfigurator

    return filled(lambda: AudioDecoderConfigurator.from_config(config), device, dtype)


def run_audio_decoder(network: Any, request: Request, device: str, dtype: torch.dtype) -> Run:
    network_config = request["config"]["audio_vae"]["model"]["params"]["ddconfig"]
    bins = network_config["mel_bins"] // 4
    latent = noise((1, network_config["z_channels"], request["sizes"]["count"], bins), device, dtype)
    return lambda: network(latent)


def build_vocoder(config: Config, device: str, dtype: torch.dtype) -> Any:
    from ltx_core.model.audio_vae import VocoderConfigurator

    return filled(lambda: VocoderConfigurator.from_config(config), device, torch.float32)


def run_vocoder(network: Any, request: Request, device: str, dtype: torch.dtype) -> Run:
    mel = noise(tuple(request["sizes"]["mel_shape"]), device, torch.float32)
    return lambda: network(mel)


Entry = tuple[Callable[..., Any], Callable[..., Run], Callable[[], str]]

OFFICIAL: dict[str, Entry] = {
    "transformer": (build_transformer, run_transformer, official_version),
    "guided": (build_transformer, run_guided, official_version),
    "video-decode": (build_video_decoder, run_video_decoder, official_version),
    "video-encode": (build_video_encoder, run_video_encoder, official_version),
    "audio-decode": (build_audio_decoder, run_audio_decoder, official_version),
    "vocoder": (build_vocoder, run_vocoder, official_version),
}
