"""Projection of text embeddings to the width of a stream, where the transformer does it (LTX-2.0)."""

import mlx.core as mx
import mlx.nn as nn


class PixArtAlphaTextProjection(nn.Module):
    """Linear, GELU (tanh), linear: (B, S, in_features) to (B, S, hidden_size).

    Reference component: `model/transformer/text_projection.py`.
    """

    def __init__(self, in_features: int, hidden_size: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_features, hidden_size)
        self.linear_2 = nn.Linear(hidden_size, hidden_size)

    def __call__(self, caption: mx.array) -> mx.array:
        return self.linear_2(nn.gelu_approx(self.linear_1(caption)))
