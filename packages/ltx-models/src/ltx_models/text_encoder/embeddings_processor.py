"""From Gemma's hidden states to the contexts of the diffusion transformer.

Reference component: `text_encoders/gemma/embeddings_processor.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ConfigError
from ltx_core.maths import check_config_value

from ltx_models.text_encoder.connectors import ConnectorConfig, Embeddings1DConnector
from ltx_models.text_encoder.feature_extractor import FeatureExtractorV1, FeatureExtractorV2

# The config keys of the second feature extractor: all of them with these values, or none of them.
V2_KEYS = {
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_proj_input_norm": False,
    "caption_projection_second_linear": False,
}


class EmbeddingsProcessorOutput(NamedTuple):
    """Contexts, each (B, max_length, width of its connector). Every position is valid: there is no mask."""

    video_encoding: mx.array
    audio_encoding: mx.array


@dataclass(frozen=True)
class EmbeddingsProcessorConfig:
    """Feature extractor and connectors.

    Attributes:
        gemma_width: width of the hidden states.
        gemma_layers: number of decoder layers; there is one hidden state more.
        per_token_norm: the second feature extractor (2.3 and later) instead of the first.
    """

    gemma_width: int
    gemma_layers: int
    per_token_norm: bool
    video: ConnectorConfig
    audio: ConnectorConfig

    @classmethod
    def from_config(
        cls, section: Mapping[str, Any], gemma_width: int, gemma_layers: int
    ) -> "EmbeddingsProcessorConfig":
        """Read the transformer's config section.

        Raises:
            ConfigError: the keys of the feature extractor are incomplete or have other values, the widths of
                features and connectors differ, or a connector's value is not supported.
        """
        result = cls(
            gemma_width=gemma_width,
            gemma_layers=gemma_layers,
            per_token_norm=_per_token_norm(section),
            video=ConnectorConfig.from_config(section),
            audio=ConnectorConfig.from_config(section, audio=True),
        )
        if result.per_token_norm:
            widths = {"": _width(section, ""), "audio_": _width(section, "audio_")}
            source = "{0}num_attention_heads * {0}attention_head_dim"
        else:
            widths = {"": gemma_width, "audio_": gemma_width}
            source = "Gemma's width"
        for prefix, connector in (("", result.video), ("audio_", result.audio)):
            if connector.inner_dim != widths[prefix]:
                raise ConfigError(
                    f"config: {prefix}connector_num_attention_heads * {prefix}connector_attention_head_dim "
                    f"is {connector.inner_dim}; it must be the width of the text features, {widths[prefix]} "
                    f"({source.format(prefix)})"
                )
        return result


def _per_token_norm(section: Mapping[str, Any]) -> bool:
    """Which feature extractor the config asks for."""
    present = [key for key in V2_KEYS if key in section]
    if not present:
        # The first extractor has no name of its own in the configs.
        check_config_value(section, "text_encoder_norm_type", None)
        return False
    if missing := [key for key in V2_KEYS if key not in section]:
        raise ConfigError(
            f"config has {', '.join(map(repr, present))} but not {', '.join(map(repr, missing))}; supported: "
            "all four of them or none"
        )
    for key, value in V2_KEYS.items():
        check_config_value(section, key, value)
    check_config_value(section, "text_encoder_norm_type", "per_token_rms")
    return True


def _width(section: Mapping[str, Any], prefix: str) -> int:
    """Width of a stream of the diffusion transformer."""
    keys = (f"{prefix}num_attention_heads", f"{prefix}attention_head_dim")
    for key in keys:
        if not isinstance(section.get(key), int):
            raise ConfigError(f"config key {key!r} is {section.get(key)!r}; it must be a positive integer")
    result: int = section[keys[0]] * section[keys[1]]
    return result


class EmbeddingsProcessor(nn.Module):
    """Feature extractor and one connector for each modality.

    Attributes follow the prefixes in an official checkpoint: `text_embedding_projection` and, below
    `model.diffusion_model`, `video_embeddings_connector` and `audio_embeddings_connector`.
    """

    def __init__(self, config: EmbeddingsProcessorConfig) -> None:
        super().__init__()
        num_layers = config.gemma_layers + 1
        self.text_embedding_projection: FeatureExtractorV1 | FeatureExtractorV2
        if config.per_token_norm:
            self.text_embedding_projection = FeatureExtractorV2(
                config.gemma_width, num_layers, config.video.inner_dim, config.audio.inner_dim
            )
        else:
            self.text_embedding_projection = FeatureExtractorV1(config.gemma_width, num_layers)
        self.video_embeddings_connector = Embeddings1DConnector(config.video)
        self.audio_embeddings_connector = Embeddings1DConnector(config.audio)

    @property
    def eval_every(self) -> int:
        """As `Embeddings1DConnector.eval_every`, of both connectors."""
        return self.video_embeddings_connector.eval_every

    @eval_every.setter
    def eval_every(self, blocks: int) -> None:
        self.video_embeddings_connector.eval_every = self.audio_embeddings_connector.eval_every = blocks

    def process_hidden_states(
        self, hidden_states: Sequence[mx.array], max_length: int = 1024
    ) -> EmbeddingsProcessorOutput:
        """Contexts of both modalities.

        Args:
            hidden_states: of all Gemma layers, each (B, T, width), of the valid tokens of prompts of equal
                length.
            max_length: length of the contexts, a multiple of 128. The model was trained with 1024; the
                registers behind the text carry learned information and are not to be cut off.

        Raises:
            ShapeError: hidden states of another number or width, or a length that does not fit.
        """
        video, audio = self.text_embedding_projection(hidden_states)
        return EmbeddingsProcessorOutput(
            self.video_embeddings_connector(video, max_length),
            self.audio_embeddings_connector(audio, max_length),
        )
