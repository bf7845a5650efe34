"""Which component lives where in an official checkpoint. One entry each; the rest is mechanism."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import mlx.nn as nn

from ltx_loaders.weights import KeyMap

if TYPE_CHECKING:
    from ltx_models.text_encoder import GemmaConfig

Config = Mapping[str, Any]

STATISTICS = {"mean-of-means": "mean_of_means", "std-of-means": "std_of_means"}
UNUSED_STATISTICS = (
    "per_channel_statistics.channel",
    "per_channel_statistics.mean-of-stds",
    "per_channel_statistics.mean-of-stds_over_std-of-means",
)
TRANSFORMER = "model.diffusion_model."
CONNECTORS = (f"{TRANSFORMER}video_embeddings_connector.", f"{TRANSFORMER}audio_embeddings_connector.")


@dataclass(frozen=True)
class Component:
    """How to build one network from a checkpoint.

    Attributes:
        section: the part of the config that describes it.
        keys: where its tensors are.
        create: (section, options) -> network with placeholder weights.
        dtype: the precision it always runs in; None for the one asked for.
    """

    section: str
    keys: KeyMap
    create: Callable[..., nn.Module]
    dtype: mx.Dtype | None = None


# A network's module is imported when the first of its kind is built: opening a file needs none of them.


def _transformer(section: Config) -> nn.Module:
    from ltx_models.transformer import LTXModel, LTXModelConfig, LTXModelType

    return LTXModel(LTXModelConfig.from_config(section, model_type=LTXModelType.AudioVideo))


def _video_transformer(section: Config) -> nn.Module:
    from ltx_models.transformer import LTXModel, LTXModelConfig, LTXModelType

    return LTXModel(LTXModelConfig.from_config(section, model_type=LTXModelType.VideoOnly))


def _audio_transformer(section: Config) -> nn.Module:
    from ltx_models.transformer import LTXModel, LTXModelConfig, LTXModelType

    return LTXModel(LTXModelConfig.from_config(section, model_type=LTXModelType.AudioOnly))


def _embeddings_processor(section: Config, gemma: "GemmaConfig") -> nn.Module:
    from ltx_models.text_encoder import EmbeddingsProcessor, EmbeddingsProcessorConfig

    config = EmbeddingsProcessorConfig.from_config(section, gemma.hidden_size, gemma.num_hidden_layers)
    return EmbeddingsProcessor(config)


def _video_encoder(section: Config) -> nn.Module:
    from ltx_models.video_vae import VideoEncoder, VideoVAEConfig

    return VideoEncoder(VideoVAEConfig.from_config(section))


def _video_decoder(section: Config) -> nn.Module:
    from ltx_models.video_vae import VideoDecoder, VideoVAEConfig

    return VideoDecoder(VideoVAEConfig.from_config(section))


def _audio_encoder(section: Config) -> nn.Module:
    from ltx_models.audio_vae import AudioEncoder, AudioVAEConfig

    return AudioEncoder(AudioVAEConfig.from_config(section))


def _audio_decoder(section: Config) -> nn.Module:
    from ltx_models.audio_vae import AudioDecoder, AudioVAEConfig

    return AudioDecoder(AudioVAEConfig.from_config(section))


def _vocoder(section: Config) -> nn.Module:
    from ltx_models.vocoder import VocoderConfig, build_vocoder

    return build_vocoder(VocoderConfig.from_config(section))


def _vae(prefix: str, part: str) -> KeyMap:
    return KeyMap(
        prefixes={f"{prefix}.{part}.": "", f"{prefix}.per_channel_statistics.": "per_channel_statistics."},
        rename=STATISTICS,
        ignore=UNUSED_STATISTICS,
    )


COMPONENTS: dict[str, Component] = {
    "transformer": Component(
        "transformer",
        KeyMap({TRANSFORMER: ""}, exclude=CONNECTORS),
        _transformer,
    ),
    "transformer_video": Component(
        "transformer",
        KeyMap(
            {TRANSFORMER: ""},
            exclude=CONNECTORS,
            ignore=(
                "audio_*",
                "av_ca_*",
                "transformer_blocks.*.audio_*",
                "transformer_blocks.*.video_to_audio_attn.*",
                "transformer_blocks.*.scale_shift_table_a2v_ca_*",
            ),
        ),
        _video_transformer,
    ),
    "transformer_audio": Component(
        "transformer",
        KeyMap(
            {TRANSFORMER: ""},
            exclude=CONNECTORS,
            ignore=(
                "patchify_proj.*",
                "proj_out.*",
                "scale_shift_table",
                "adaln_single.*",
                "prompt_adaln_single.*",
                "caption_projection.*",
                "keyframes_abs_pos_embedding",
                "av_ca_*",
                "transformer_blocks.*.attn?.*",
                "transformer_blocks.*.ff.*",
                "transformer_blocks.*.scale_shift_table*",
                "transformer_blocks.*.prompt_scale_shift_table",
                "transformer_blocks.*.audio_to_video_attn.*",
                "transformer_blocks.*.video_to_audio_attn.*",
            ),
        ),
        _audio_transformer,
    ),
    "embeddings_processor": Component(
        "transformer",
        KeyMap(
            {
                "text_embedding_projection.": "text_embedding_projection.",
                CONNECTORS[0]: "video_embeddings_connector.",
                CONNECTORS[1]: "audio_embeddings_connector.",
            }
        ),
        _embeddings_processor,
    ),
    "video_encoder": Component("vae", _vae("vae", "encoder"), _video_encoder),
    "video_decoder": Component("vae", _vae("vae", "decoder"), _video_decoder),
    "audio_encoder": Component(
        "audio_vae",
        _vae("audio_vae", "encoder"),
        _audio_encoder,
    ),
    "audio_decoder": Component(
        "audio_vae",
        _vae("audio_vae", "decoder"),
        _audio_decoder,
    ),
    # A bfloat16 vocoder is audibly worse: rounding adds up over a hundred convolutions in a row.
    "vocoder": Component(
        "vocoder",
        KeyMap({"vocoder.": ""}, ignore=("mel_stft.stft_fn.inverse_basis",)),
        _vocoder,
        dtype=mx.float32,
    ),
}
"""What a checkpoint is made of: where each network's tensors stand, and how it is built."""

# What `ltx info` counts: disjoint groups of tensors by their prefix, most specific first.
GROUPS: dict[str, tuple[str, ...]] = {
    "text connectors": CONNECTORS,
    "text projection": ("text_embedding_projection.",),
    "transformer": (TRANSFORMER,),
    "video encoder": ("vae.encoder.",),
    "video decoder": ("vae.decoder.",),
    "video statistics": ("vae.per_channel_statistics.",),
    "audio encoder": ("audio_vae.encoder.",),
    "audio decoder": ("audio_vae.decoder.",),
    "audio statistics": ("audio_vae.per_channel_statistics.",),
    "vocoder": ("vocoder.",),
    "duration head": ("duration_head.",),
}
