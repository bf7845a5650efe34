"""Text from Gemma: the text encoder continues a text, token by token. Its output head is its embedding."""

from collections.abc import Callable, Collection, Iterator

import mlx.core as mx
import numpy as np

from ltx_models.text_encoder.gemma import GemmaTextModel, sliding_window_mask
from ltx_models.text_encoder.gemma_config import FULL
from ltx_models.text_encoder.mlx_lm_parts import mlx_lm_parts

Choose = Callable[[mx.array], int]
"""From logits (vocabulary,) float32 to a token."""


def greedy(logits: mx.array) -> int:
    """The most likely token."""
    return int(np.array(mx.argmax(logits)))


class Sampler:
    """Tokens drawn by their probability.

    Args:
        temperature: above 0; 1 draws as the model says, less prefers likely tokens.
        seed: of the draws.
    """

    def __init__(self, temperature: float, seed: int) -> None:
        self.temperature = temperature
        self.key = mx.random.key(seed)

    def __call__(self, logits: mx.array) -> int:
        self.key, key = mx.random.split(self.key)
        return int(np.array(mx.random.categorical(logits / self.temperature, key=key)))


class GemmaGenerator:
    """Keys and values of all that was read, so that each token is computed once."""

    def __init__(self, gemma: GemmaTextModel) -> None:
        _, cache = mlx_lm_parts()
        self.gemma = gemma
        self.caches = [cache.KVCache() for _ in gemma.layers]

    def read(self, ids: list[int]) -> mx.array:
        """Read on, and say what may follow: logits (vocabulary,) float32.

        Args:
            ids: tokens behind those that were read before; all of a prompt at first, then one at a time.
        """
        gemma, config = self.gemma, self.gemma.config
        done, count = self.caches[0].offset, len(ids)
        x = gemma.embed_tokens(mx.array([ids]))
        x = x * mx.array(config.hidden_size**0.5, dtype=x.dtype)
        # One token sees all before it.
        everything: str | mx.array | None = "causal" if count > 1 else None
        window = everything
        if done + count > config.sliding_window:
            window = sliding_window_mask(done + count, config.sliding_window)[-count:]
        for index, (layer, kind, cache) in enumerate(
            zip(gemma.layers, config.layer_types, self.caches, strict=True), 1
        ):
            x = layer(x, everything if kind == FULL else window, cache)
            if gemma.eval_every and count > 1 and index % gemma.eval_every == 0:
                mx.eval(x)
        logits: mx.array = gemma.embed_tokens.as_linear(gemma.norm(x[:, -1]))[0].astype(mx.float32)
        mx.eval(logits)
        return logits


def generate(
    gemma: GemmaTextModel,
    prompt: list[int],
    *,
    max_new_tokens: int,
    stop: Collection[int],
    choose: Choose = greedy,
) -> Iterator[int]:
    """Tokens that follow a prompt, one after the other.

    Args:
        prompt: token ids, at least one.
        max_new_tokens: the most that are given.
        stop: tokens that end it, which are not given.
        choose: among the tokens that may follow.
    """
    generator = GemmaGenerator(gemma)
    logits = generator.read(prompt)
    for _ in range(max_new_tokens):
        if not np.isfinite(np.array(mx.max(logits))):
            return
        token = choose(logits)
        if token in stop:
            return
        yield token
        logits = generator.read([token])
