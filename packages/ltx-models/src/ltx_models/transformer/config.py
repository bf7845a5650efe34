"""What a checkpoint's config says about the transformer."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ltx_core.errors import ConfigError
from ltx_core.maths import check_config_value

from ltx_models.transformer.rope import LTXRopeType

# What the networks of this family have in common: another value means another network.
FIXED = {
    "dropout": 0.0,
    "attention_bias": True,
    "num_vector_embeds": None,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "use_linear_projection": False,
    "only_cross_attention": False,
    "cross_attention_norm": True,
    "double_self_attention": False,
    "upcast_attention": False,
    "standardization_norm": "rms_norm",
    "norm_elementwise_affine": False,
    "qk_norm": "rms_norm",
    "positional_embedding_type": "rope",
    "use_middle_indices_grid": True,
}
FIXED_AUDIO_VIDEO = {"use_audio_video_cross_attention": True, "share_ff": False, "av_cross_ada_norm": True}


class LTXModelType(Enum):
    """Which streams a model has."""

    AudioVideo = "ltx av model"
    VideoOnly = "ltx video only model"
    AudioOnly = "ltx audio only model"

    def is_video_enabled(self) -> bool:
        """Whether it has the video stream."""
        return self is not LTXModelType.AudioOnly

    def is_audio_enabled(self) -> bool:
        """Whether it has the audio stream."""
        return self is not LTXModelType.VideoOnly


@dataclass(frozen=True)
class StreamConfig:
    """Sizes of one stream.

    Attributes:
        heads, head_dim: of its attentions; the stream's width is their product.
        in_channels, out_channels: of its tokens.
        max_pos: for each position axis the coordinate that RoPE maps to 1.
        ff_bias: whether its feed-forward layers have biases.
    """

    heads: int
    head_dim: int
    in_channels: int
    out_channels: int
    max_pos: tuple[float, ...]
    ff_bias: bool

    @property
    def dim(self) -> int:
        return self.heads * self.head_dim


@dataclass(frozen=True)
class LTXModelConfig:
    """The transformer, with official names where a value is taken over as it is.

    Attributes:
        video, audio: the streams; None for one that the model lacks.
        caption_channels: width of the text embeddings that a caption projection in each stream takes; None
            if they come projected (by the connectors).
        av_ca_timestep_scale_multiplier: scale of the sigma that the gates between the streams see.
        double_precision_rope: see `rope.generate_freq_grid`.
        cross_attention_adaln: whether text attention is modulated.
        use_prompt_adaln_single: whether the modulation of the text depends on sigma.
        use_keyframes_abs_pos_embedding: whether video tokens of a single pixel frame are marked.
    """

    num_layers: int
    video: StreamConfig | None
    audio: StreamConfig | None
    caption_channels: int | None
    norm_eps: float = 1e-6
    positional_embedding_theta: float = 10000.0
    timestep_scale_multiplier: float = 1000
    av_ca_timestep_scale_multiplier: float = 1
    rope_type: LTXRopeType = LTXRopeType.SPLIT
    double_precision_rope: bool = False
    apply_gated_attention: bool = False
    cross_attention_adaln: bool = False
    use_prompt_adaln_single: bool = True
    use_keyframes_abs_pos_embedding: bool = False

    @property
    def adaln_embedding_coefficient(self) -> int:
        """Rows of a block's modulation: shift, scale, gate for each modulated part."""
        return 9 if self.cross_attention_adaln else 6

    @classmethod
    def from_config(
        cls, section: Mapping[str, Any], model_type: LTXModelType = LTXModelType.AudioVideo
    ) -> "LTXModelConfig":
        """From the section `transformer` of a checkpoint's config.

        Absent keys have the reference's defaults, apart from the sizes, which must be there.

        Raises:
            ConfigError: a size is missing, or a value asks for a network that this is not.
        """
        for key, value in FIXED.items():
            check_config_value(section, key, value)
        both = model_type is LTXModelType.AudioVideo
        if both:
            for key, value in FIXED_AUDIO_VIDEO.items():
                check_config_value(section, key, value)
            check_config_value(
                section, "audio_num_attention_heads", _size(section, "num_attention_heads")
            )  # RoPE between the streams is cut into heads once for both.
        rope_type = section.get("rope_type", LTXRopeType.SPLIT.value)
        if rope_type not in [kind.value for kind in LTXRopeType]:
            raise ConfigError(f"config key 'rope_type' is {rope_type!r}; supported: 'split', 'interleaved'")
        projected = section.get("caption_proj_before_connector", False)
        return cls(
            num_layers=_size(section, "num_layers"),
            video=_stream(section, "", 3) if model_type.is_video_enabled() else None,
            audio=_stream(section, "audio_", 1) if model_type.is_audio_enabled() else None,
            caption_channels=None if projected else _size(section, "caption_channels"),
            norm_eps=section.get("norm_eps", 1e-6),
            positional_embedding_theta=section.get("positional_embedding_theta", 10000.0),
            timestep_scale_multiplier=section.get("timestep_scale_multiplier", 1000),
            av_ca_timestep_scale_multiplier=section.get("av_ca_timestep_scale_multiplier", 1),
            rope_type=LTXRopeType(rope_type),
            double_precision_rope=section.get("frequencies_precision") == "float64",
            apply_gated_attention=section.get("apply_gated_attention", False),
            cross_attention_adaln=section.get("cross_attention_adaln", False),
            use_prompt_adaln_single=section.get("use_prompt_adaln_single", True),
            use_keyframes_abs_pos_embedding=section.get("use_keyframes_abs_pos_embedding", False),
        )


def _size(section: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = section.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        given = f"is {value!r}" if key in section else "is missing"
        raise ConfigError(f"config key {key!r} {given}; it must be a positive integer")
    return value


def _stream(section: Mapping[str, Any], prefix: str, axes: int) -> StreamConfig:
    max_pos = section.get(f"{prefix}positional_embedding_max_pos", [20, 2048, 2048][:axes])
    if len(max_pos) != axes:
        raise ConfigError(
            f"config key '{prefix}positional_embedding_max_pos' is {max_pos!r}; supported: {axes} values"
        )
    stream = StreamConfig(
        heads=_size(section, f"{prefix}num_attention_heads"),
        head_dim=_size(section, f"{prefix}attention_head_dim"),
        in_channels=_size(section, f"{prefix}in_channels", 128 if prefix else None),
        out_channels=_size(section, f"{prefix}out_channels", 128 if prefix else None),
        max_pos=tuple(max_pos),
        ff_bias=section.get(f"{prefix}ff_bias", True),
    )
    # The text, and RoPE between the streams, have the width of the stream they meet.
    check_config_value(section, f"{prefix}cross_attention_dim", stream.dim)
    return stream
