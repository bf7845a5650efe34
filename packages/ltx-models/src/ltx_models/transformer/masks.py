"""Attention masks as additive biases.

A masked position gets half of the lowest finite number instead of the lowest: fused kernels multiply the
bias by log2(e), which would make the lowest infinite, and a row that is masked everywhere NaN.
"""

import mlx.core as mx


def prepare_attention_mask(attention_mask: mx.array, dtype: mx.Dtype) -> mx.array:
    """Bias of a mask over the context.

    Args:
        attention_mask: integers or booleans (B, S) or (B, T, S), 1 = keep and 0 = drop, become
            (B, 1, 1 or T, S); floats are additive already and pass through unchanged.
        dtype: of the bias.
    """
    if mx.issubdtype(attention_mask.dtype, mx.floating):
        return attention_mask.astype(dtype)
    batch, length = attention_mask.shape[0], attention_mask.shape[-1]
    drop = (attention_mask.astype(mx.int32) - 1).reshape(batch, 1, -1, length)
    return drop.astype(dtype) * (mx.finfo(dtype).max / 2)


def prepare_self_attention_mask(attention_mask: mx.array, dtype: mx.Dtype) -> mx.array:
    """Bias log(m) of self-attention weights m in [0, 1]: (B, T, T), or broadcastable, to (B, 1, T, T)."""
    weights = attention_mask.astype(mx.float32)
    smallest_normal = 2.0**-126
    bias = mx.where(
        weights > 0,
        mx.log(mx.maximum(weights, smallest_normal)),
        mx.array(mx.finfo(dtype).min / 2, mx.float32),
    )
    return bias.astype(dtype)[:, None]
