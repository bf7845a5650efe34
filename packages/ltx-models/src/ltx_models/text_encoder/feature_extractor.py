"""From the hidden states of all Gemma layers to features of the connectors' width.

The states of a token are flattened with the layer index fastest (index = channel * layers + layer) and
projected. The two generations differ in the normalisation before it. Reference component:
`text_encoders/gemma/feature_extractor.py`.
"""

import math
from collections.abc import Iterator, Sequence

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ShapeError
from ltx_core.maths import precise_sum, rms_norm

EPS = 1e-6

# The flattened activation is 49 times as wide as Gemma 3 12B itself; this many tokens at a time have one.
TOKENS_AT_ONCE = 256

Features = tuple[mx.array, mx.array]


def _check_layers(hidden_states: Sequence[mx.array], num_layers: int, embedding_dim: int) -> None:
    shapes = {x.shape for x in hidden_states}
    if len(hidden_states) != num_layers or len(shapes) != 1 or next(iter(shapes))[2:] != (embedding_dim,):
        raise ShapeError(
            f"got {len(hidden_states)} hidden states of shapes {sorted(shapes)}; expected {num_layers} of "
            f"one shape (B, T, {embedding_dim})"
        )


def _chunks(hidden_states: Sequence[mx.array]) -> Iterator[list[mx.array]]:
    """All layers of a few tokens at a time."""
    for start in range(0, hidden_states[0].shape[1], TOKENS_AT_ONCE):
        yield [x[:, start : start + TOKENS_AT_ONCE] for x in hidden_states]


def _flatten_layers(layers: list[mx.array]) -> mx.array:
    """L arrays (B, T, D) to (B, T, D * L), layer fastest."""
    return mx.stack(layers, axis=-1).flatten(-2)


class FeatureExtractorV1(nn.Module):
    """8 (x - mean) / (max - min), each layer over its tokens and channels, then one projection for both.

    Args:
        embedding_dim: width of the hidden states and of the features.
        num_layers: number of hidden states (one more than the decoder has layers).
    """

    def __init__(self, embedding_dim: int, num_layers: int) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.num_layers = num_layers
        self.aggregate_embed = nn.Linear(embedding_dim * num_layers, embedding_dim, bias=False)

    def __call__(self, hidden_states: Sequence[mx.array]) -> Features:
        """Video and audio features (the same), each (B, T, embedding_dim).

        Args:
            hidden_states: `num_layers` arrays (B, T, embedding_dim) of valid tokens.

        Raises:
            ShapeError: another number or width of hidden states.
        """
        _check_layers(hidden_states, self.num_layers, self.embedding_dim)
        statistics = [_mean_and_range(x) for x in hidden_states]
        features = []
        for chunk in _chunks(hidden_states):
            normed = [
                (8 * (x.astype(mx.float32) - mean) / (spread + EPS)).astype(x.dtype)
                for x, (mean, spread) in zip(chunk, statistics, strict=True)
            ]
            features.append(self.aggregate_embed(_flatten_layers(normed)))
        joined = mx.concatenate(features, axis=1)
        return joined, joined


def _mean_and_range(x: mx.array) -> tuple[mx.array, mx.array]:
    """Mean and max - min of each sample, (B, 1, 1) float32."""
    x = x.astype(mx.float32)
    count = x.shape[1] * x.shape[2]
    mean = precise_sum(x, 1) / (count + EPS)
    spread = x.max(axis=(1, 2), keepdims=True) - x.min(axis=(1, 2), keepdims=True)
    return mean, spread


class FeatureExtractorV2(nn.Module):
    """RMS norm of each token and layer times sqrt(width / embedding_dim), then a projection per modality.

    Args:
        embedding_dim: width of the hidden states.
        num_layers: number of hidden states (one more than the decoder has layers).
        video_dim: width of the video features.
        audio_dim: width of the audio features.
    """

    def __init__(self, embedding_dim: int, num_layers: int, video_dim: int, audio_dim: int) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.num_layers = num_layers
        self.video_scale = math.sqrt(video_dim / embedding_dim)
        self.audio_scale = math.sqrt(audio_dim / embedding_dim)
        self.video_aggregate_embed = nn.Linear(embedding_dim * num_layers, video_dim)
        self.audio_aggregate_embed = nn.Linear(embedding_dim * num_layers, audio_dim)

    def __call__(self, hidden_states: Sequence[mx.array]) -> Features:
        """Video features (B, T, video_dim) and audio features (B, T, audio_dim).

        Args:
            hidden_states: `num_layers` arrays (B, T, embedding_dim) of valid tokens.

        Raises:
            ShapeError: another number or width of hidden states.
        """
        _check_layers(hidden_states, self.num_layers, self.embedding_dim)
        video, audio = [], []
        for chunk in _chunks(hidden_states):
            normed = _flatten_layers([rms_norm(x, eps=EPS) for x in chunk])
            video.append(self.video_aggregate_embed(normed * self.video_scale))
            audio.append(self.audio_aggregate_embed(normed * self.audio_scale))
        return mx.concatenate(video, axis=1), mx.concatenate(audio, axis=1)
