"""Multi-head attention of the transformer and of the text connectors."""

import mlx.core as mx
import mlx.nn as nn
from ltx_core.device import backend

from ltx_models.transformer.fused import can_norm_rope, gate_heads, norm_rope
from ltx_models.transformer.rope import FreqsCis, LTXRopeType, apply_rotary_emb
from ltx_models.transformer.token_division import TokenDivision

KeysValues = tuple[mx.array, mx.array]

# Attention scores that may exist at a time on a CPU, where MLX makes all of them: 256 MB in float32.
MAX_CPU_SCORES = 2**26


def attend(
    queries: mx.array, keys: mx.array, values: mx.array, scale: float, mask: mx.array | None = None
) -> mx.array:
    """Softmax(queries keys^T scale + mask) values; all (B, heads, T, head size), the mask (B, 1, Tq | 1, Tk).

    On GPUs one fused kernel. On CPUs in blocks of queries, so that memory grows with the number of tokens and
    not with its square; every row is computed as it would be at once.
    """
    batch, heads, length, _ = queries.shape
    rows = length
    if backend() == "cpu":
        rows = max(1, MAX_CPU_SCORES // (batch * heads * keys.shape[2]))
    blocks = []
    for start in range(0, length, rows):
        part = mask
        if mask is not None and mask.shape[-2] != 1:
            part = mask[..., start : start + rows, :]
        block = queries[:, :, start : start + rows]
        blocks.append(mx.fast.scaled_dot_product_attention(block, keys, values, scale=scale, mask=part))
        if rows < length:
            mx.eval(blocks[-1])
    return blocks[0] if len(blocks) == 1 else mx.concatenate(blocks, axis=2)


class Attention(nn.Module):
    """Attention with RMS-normalised queries and keys, RoPE and, optionally, a gate for each head.

    Reference component: `model/transformer/attention.py`. Queries and keys are normalised over the whole
    inner width, before the split into heads. The gate of a head is 2 sigmoid(linear(query input)).

    Args:
        query_dim: width of the queries' input and of the output.
        context_dim: width of the keys' and values' input; None for `query_dim`.
        heads: number of heads.
        dim_head: width of one head; the inner width is heads * dim_head.
        norm_eps: epsilon of the RMS norms.
        rope_type: which channels rotate together.
        apply_gated_attention: whether heads are gated.
    """

    def __init__(
        self,
        query_dim: int,
        context_dim: int | None = None,
        heads: int = 8,
        dim_head: int = 64,
        norm_eps: float = 1e-6,
        rope_type: LTXRopeType = LTXRopeType.SPLIT,
        apply_gated_attention: bool = False,
    ) -> None:
        super().__init__()
        inner_dim = heads * dim_head
        context_dim = query_dim if context_dim is None else context_dim
        self.heads = heads
        self.scale = dim_head**-0.5
        self.rope_type = rope_type
        self.division: TokenDivision | None = None
        self.q_norm = nn.RMSNorm(inner_dim, eps=norm_eps)
        self.k_norm = nn.RMSNorm(inner_dim, eps=norm_eps)
        self.to_q = nn.Linear(query_dim, inner_dim)
        self.to_k = nn.Linear(context_dim, inner_dim)
        self.to_v = nn.Linear(context_dim, inner_dim)
        self.to_out = [nn.Linear(inner_dim, query_dim)]
        if apply_gated_attention:
            self.to_gate_logits = nn.Linear(query_dim, heads)

    def _split_heads(self, x: mx.array) -> mx.array:
        batch, length, _ = x.shape
        return x.reshape(batch, length, self.heads, -1).transpose(0, 2, 1, 3)

    def rotate(self, x: mx.array, pe: FreqsCis) -> mx.array:
        """RoPE of queries or keys (B, heads, T, dim_head)."""
        return apply_rotary_emb(x, pe, self.rope_type)

    def attend(self, queries: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None) -> mx.array:
        """The function of that name, with this layer's scale; if tokens are divided, with the keys and values
        of all of them."""
        if self.division is not None:
            keys, values = self.division.gather_heads(keys), self.division.gather_heads(values)
        return attend(queries, keys, values, self.scale, mask)

    def _normed(self, tokens: list[mx.array], norms: list[nn.Module], pe: FreqsCis | None) -> list[mx.array]:
        """Queries, keys, or both with one rotation, from (B, T, inner) to (B, heads, T, dim_head)."""
        if pe is not None and self.rope_type is LTXRopeType.SPLIT and can_norm_rope(tokens[0], norms, pe[0]):
            return norm_rope(tokens, norms, *pe)
        heads = [self._split_heads(norm(x)) for x, norm in zip(tokens, norms, strict=True)]
        return heads if pe is None else [self.rotate(x, pe) for x in heads]

    def keys_values(self, context: mx.array, pe: FreqsCis | None = None) -> KeysValues:
        """Keys (normalised and rotated) and values of a context (B, S, C), each (B, heads, S, dim_head)."""
        (keys,) = self._normed([self.to_k(context)], [self.k_norm], pe)
        return keys, self._split_heads(self.to_v(context))

    def __call__(
        self,
        x: mx.array,
        context: mx.array | None = None,
        mask: mx.array | None = None,
        pe: FreqsCis | None = None,
        k_pe: FreqsCis | None = None,
        perturbation_mask: mx.array | None = None,
        all_perturbed: bool = False,
        keys_values: KeysValues | None = None,
    ) -> mx.array:
        """Attend from x (B, T, query_dim) to the context (B, S, context_dim) and return (B, T, query_dim).

        Args:
            context: None for self-attention.
            mask: additive, broadcastable to (B, heads, T, S), in the dtype of x.
            pe: rotation of the queries, and of the keys unless `k_pe` is given.
            k_pe: rotation of the keys.
            perturbation_mask: (B, 1, 1); samples with 0 pass their values through instead of attending
                (self-attention only), values between blend.
            all_perturbed: every sample passes its values through; queries and keys are not computed.
            keys_values: what `self.keys_values(context, ...)` returned earlier, in place of computing it.
        """
        if all_perturbed:
            out = self.to_v(x if context is None else context)
        else:
            if keys_values is None and context is None and k_pe is None:
                projected = [self.to_q(x), self.to_k(x)]
                queries, keys = self._normed(projected, [self.q_norm, self.k_norm], pe)
                values = self._split_heads(self.to_v(x))
            else:
                if keys_values is None:
                    keys_values = self.keys_values(
                        x if context is None else context, pe if k_pe is None else k_pe
                    )
                keys, values = keys_values
                (queries,) = self._normed([self.to_q(x)], [self.q_norm], pe)
            heads = self.attend(queries, keys, values, mask)
            if perturbation_mask is not None:
                keep = perturbation_mask[..., None]
                heads = heads * keep + values * (1 - keep)
            out = heads.transpose(0, 2, 1, 3).flatten(-2)
        if "to_gate_logits" in self:
            out = gate_heads(out, self.to_gate_logits(x))
        return self.to_out[0](out)
