"""Configs of the pocket model's text encoder and transformer: LTX-2.3 with every feature on, only smaller.

What the sizes do not touch is as in the released checkpoints, but for one number: the rotary frequencies span
a factor of 200 instead of 10000. Positions are the same pixels and seconds, but small heads have few
frequencies: none is to be spent on turns that neighbouring latents, 32 pixels apart, cannot tell apart.
"""

import math
from dataclasses import dataclass
from typing import Any

MAX_LENGTH = 128
"""Positions of a prompt: one for each register of the connectors."""


@dataclass(frozen=True)
class TextSizes:
    """Sizes of the text encoder: a Gemma 3 decoder."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    key_value_heads: int
    head_dim: int


@dataclass(frozen=True)
class TransformerSizes:
    """Sizes of the transformer and of the connectors, which have the streams' widths.

    Both streams have the same number of heads.
    """

    layers: int
    connector_layers: int
    heads: int
    video_head_dim: int

    def audio_head_dim(self, audio_features: int) -> int:
        """A stream must be wider than its tokens: their noise is part of the velocity that it predicts."""
        return 8 * math.ceil((audio_features + 16) / (8 * self.heads))


TEXT_SIZES = {
    "pocket": TextSizes(128, 256, 2, 4, 2, 32),
    "tiny": TextSizes(32, 48, 2, 2, 1, 16),
}
TRANSFORMER_SIZES = {
    "pocket": TransformerSizes(6, 1, 5, 32),
    "tiny": TransformerSizes(2, 1, 2, 24),
}


def gemma_config(vocab_size: int, size: str = "pocket") -> dict[str, Any]:
    """The `config.json` of the text encoder."""
    sizes = TEXT_SIZES[size]
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "hidden_size": sizes.hidden_size,
        "intermediate_size": sizes.intermediate_size,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.key_value_heads,
        "head_dim": sizes.head_dim,
        "query_pre_attn_scalar": sizes.head_dim,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": MAX_LENGTH,
        "sliding_window": MAX_LENGTH,
        "layer_types": ["sliding_attention"] * (sizes.layers - 1) + ["full_attention"],
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": vocab_size,
    }


def transformer_section(video_channels: int, audio_features: int, size: str = "pocket") -> dict[str, Any]:
    """The section `transformer` of the checkpoint's config.

    Args:
        video_channels: of the video VAE's latent.
        audio_features: of a token of the audio VAE's latent, channels times bins.
        size: a name of `TRANSFORMER_SIZES`.
    """
    sizes = TRANSFORMER_SIZES[size]
    audio_head_dim = sizes.audio_head_dim(audio_features)
    video_width, audio_width = sizes.heads * sizes.video_head_dim, sizes.heads * audio_head_dim
    return {
        "_class_name": "AVTransformer3DModel",
        "num_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "attention_head_dim": sizes.video_head_dim,
        "in_channels": video_channels,
        "out_channels": video_channels,
        "cross_attention_dim": video_width,
        "audio_num_attention_heads": sizes.heads,
        "audio_attention_head_dim": audio_head_dim,
        "audio_in_channels": audio_features,
        "audio_out_channels": audio_features,
        "audio_cross_attention_dim": audio_width,
        "caption_channels": TEXT_SIZES[size].hidden_size,
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
        "attention_type": "default",
        "dropout": 0.0,
        "norm_eps": 1e-6,
        "norm_elementwise_affine": False,
        "standardization_norm": "rms_norm",
        "qk_norm": "rms_norm",
        "num_embeds_ada_norm": 1000,
        "num_vector_embeds": None,
        "only_cross_attention": False,
        "cross_attention_norm": True,
        "double_self_attention": False,
        "upcast_attention": False,
        "use_linear_projection": False,
        "positional_embedding_type": "rope",
        "positional_embedding_theta": 200.0,
        "positional_embedding_max_pos": [20, 2048, 2048],
        "audio_positional_embedding_max_pos": [20],
        "rope_type": "split",
        "frequencies_precision": "float64",
        "use_middle_indices_grid": True,
        "causal_temporal_positioning": True,
        "timestep_scale_multiplier": 1000,
        "av_ca_timestep_scale_multiplier": 1000.0,
        "use_audio_video_cross_attention": True,
        "av_cross_ada_norm": True,
        "share_ff": False,
        "apply_gated_attention": True,
        "cross_attention_adaln": True,
        "use_prompt_adaln_single": True,
        "use_embeddings_connector": True,
        "connector_num_layers": sizes.connector_layers,
        "connector_num_attention_heads": sizes.heads,
        "connector_attention_head_dim": sizes.video_head_dim,
        "audio_connector_num_layers": sizes.connector_layers,
        "audio_connector_num_attention_heads": sizes.heads,
        "audio_connector_attention_head_dim": audio_head_dim,
        "connector_positional_embedding_max_pos": [4096],
        "connector_num_learnable_registers": 128,
        "connector_norm_output": True,
        "connector_learnable_registers_std": 1,
        "connector_apply_gated_attention": True,
        "caption_proj_before_connector": True,
        "caption_projection_first_linear": False,
        "caption_proj_input_norm": False,
        "caption_projection_second_linear": False,
        "text_encoder_norm_type": "per_token_rms",
    }
