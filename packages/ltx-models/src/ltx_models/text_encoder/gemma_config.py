"""The sizes of a Gemma 3 decoder, from the `config.json` of its Hugging Face directory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ltx_core.errors import ConfigError
from ltx_core.maths import check_config_value

FULL = "full_attention"
SLIDING = "sliding_attention"


@dataclass(frozen=True)
class GemmaConfig:
    """A Gemma 3 text decoder.

    Attributes:
        query_pre_attn_scalar: attention scores are divided by its square root.
        sliding_window: a sliding layer's token sees this many tokens, itself included.
        layer_types: "sliding_attention" or "full_attention" for each layer.
        rope_theta: base of the rotary frequencies of full layers.
        rope_factor: positions are divided by this in full layers (linear scaling; 1 for none).
        rope_local_theta: base of the rotary frequencies of sliding layers, which are not scaled.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float
    query_pre_attn_scalar: float
    sliding_window: int
    layer_types: tuple[str, ...]
    rope_theta: float
    rope_factor: float
    rope_local_theta: float

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "GemmaConfig":
        """Read a `config.json`, of Gemma 3 with vision (`text_config` inside) or of the text model alone.

        Both spellings of the rotary settings are understood: `rope_theta`, `rope_local_base_freq`,
        `rope_scaling`, and the newer `rope_parameters` per layer type. Absent keys have the defaults of the
        transformers library; the sizes of the network have none.

        Raises:
            ConfigError: another model type, a missing size, or a value that this network does not support.
        """
        model_type = config.get("model_type")
        if model_type not in ("gemma3", "gemma3_text"):
            raise ConfigError(
                f"config key 'model_type' is {model_type!r}; supported: 'gemma3', 'gemma3_text' (the text "
                "encoder of LTX-2.0 and LTX-2.3 is Gemma 3 12B)"
            )
        text = config.get("text_config", config)
        if not isinstance(text, Mapping):
            raise ConfigError(f"config key 'text_config' is {text!r}; it must be an object")
        check_config_value(text, "model_type", "gemma3_text" if text is not config else model_type)
        check_config_value(text, "hidden_activation", "gelu_pytorch_tanh")
        for key in ("attention_bias", "use_bidirectional_attention"):
            if text.get(key):
                check_config_value(text, key, False)
        check_config_value(text, "attn_logit_softcapping", None)

        layers = _positive_int(text, "num_hidden_layers")
        theta, factor, local_theta = _rope(text)
        result = cls(
            hidden_size=_positive_int(text, "hidden_size"),
            intermediate_size=_positive_int(text, "intermediate_size"),
            num_hidden_layers=layers,
            num_attention_heads=_positive_int(text, "num_attention_heads"),
            num_key_value_heads=_positive_int(text, "num_key_value_heads"),
            head_dim=_positive_int(text, "head_dim", 256),
            vocab_size=_positive_int(text, "vocab_size", 262208),
            rms_norm_eps=_positive(text, "rms_norm_eps", 1e-6),
            query_pre_attn_scalar=_positive(text, "query_pre_attn_scalar", 256),
            sliding_window=_positive_int(text, "sliding_window", 4096),
            layer_types=_layer_types(text, layers),
            rope_theta=theta,
            rope_factor=factor,
            rope_local_theta=local_theta,
        )
        if result.num_attention_heads % result.num_key_value_heads:
            raise ConfigError(
                f"config key 'num_attention_heads' is {result.num_attention_heads}; it must be a multiple of "
                f"'num_key_value_heads', {result.num_key_value_heads}"
            )
        if result.head_dim % 2:
            raise ConfigError(f"config key 'head_dim' is {result.head_dim}; it must be even for RoPE")
        return result


def _positive(config: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"config key {key!r} is {value!r}; it must be a positive number")
    return float(value)


def _positive_int(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = _positive(config, key, default)
    if value != int(value):
        raise ConfigError(f"config key {key!r} is {value!r}; it must be a whole number")
    return int(value)


def _object(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(f"config key {key!r} is {value!r}; it must be an object")
    return dict(value or {})


def _layer_types(config: Mapping[str, Any], layers: int) -> tuple[str, ...]:
    """A type for each layer: `layer_types`, else every `sliding_window_pattern`-th layer (6th) is full."""
    types = config.get("layer_types")
    if types is None:
        pattern = _positive_int(config, "sliding_window_pattern", 6)
        return tuple(SLIDING if (i + 1) % pattern else FULL for i in range(layers))
    if not isinstance(types, list | tuple) or len(types) != layers or not set(types) <= {FULL, SLIDING}:
        raise ConfigError(
            f"config key 'layer_types' is {types!r}; it must list {FULL!r} or {SLIDING!r} for each of the "
            f"{layers} layers"
        )
    return tuple(types)


def _rope(config: Mapping[str, Any]) -> tuple[float, float, float]:
    """Theta and linear factor of full layers, theta of sliding layers."""
    entries = _object(config, "rope_parameters")
    full = (
        {"rope_theta": config.get("rope_theta", 1e6)}
        | _object(config, "rope_scaling")
        | _object(entries, FULL)
    )
    local = {"rope_theta": config.get("rope_local_base_freq", 1e4)} | _object(entries, SLIDING)

    kind = full.get("rope_type", full.get("type", "default"))
    if kind not in ("default", "linear"):
        raise ConfigError(f"rope type of {FULL} layers is {kind!r}; supported: 'default', 'linear'")
    check_config_value(local, "rope_type", "default")
    for entry in (full, local):
        check_config_value(entry, "partial_rotary_factor", 1.0)
    factor = _positive(full, "factor") if kind == "linear" else 1.0
    return _positive(full, "rope_theta"), factor, _positive(local, "rope_theta")
