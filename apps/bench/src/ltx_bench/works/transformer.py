"""Calls of the diffusion transformer, and whole guided steps."""

from dataclasses import replace
from functools import partial
from typing import Any

import mlx.core as mx
from ltx_core import (
    GuidedDenoiser,
    MultiModalGuider,
    MultiModalGuiderParams,
    X0Model,
)
from ltx_models.transformer import LTXModel
from ltx_models.transformer.token_division import TokenDivision
from ltx_pipelines.defaults import defaults_for

from ltx_bench.clips import TEXT_TOKENS, contexts, latent_states, modality, token_counts
from ltx_bench.flops import Tokens, transformer_flops
from ltx_bench.items import SIZES, Item
from ltx_bench.networks import build, nbytes
from ltx_bench.works.base import Prepared, Setup, Work

SIGMA = 0.9


def text_tokens(setup: Setup) -> int:
    """Length of the encoded text."""
    return min(TEXT_TOKENS, SIZES[setup.scale].text)


def tokens_of(setup: Setup, item: Item) -> Tokens:
    """Sizes of a call for an item, in a step that is not the first of its generation."""
    config = setup.config(item)
    video, audio = token_counts(config, item.clip)
    return Tokens(video, audio, text_tokens(setup), item.batch, text_known=True)


def transformer(setup: Setup, item: Item) -> Prepared:
    """One call: the velocities of both streams, in a step that is not the first of its generation.

    The variant is a quantisation, "q8" and so on.
    """
    config, dtype = setup.config(item), setup.dtype
    network = build("transformer", config, dtype, item.variant.removeprefix("q") or None)

    def work(item: Item) -> Work:
        video, audio = latent_states(config, item.clip, item.batch)
        texts = contexts(config, dtype, item.batch, text_tokens(setup))
        cache = network.make_cache()

        def run() -> Any:
            streams = (
                modality(state, text, SIGMA, dtype) for state, text in zip((video, audio), texts, strict=True)
            )
            return network(*streams, cache=cache)

        return Work(run, transformer_flops(config, tokens_of(setup, item)))

    return Prepared(work, nbytes(network))


def guidance(version: str, variant: str) -> tuple[MultiModalGuiderParams, MultiModalGuiderParams]:
    """Of both streams: the defaults of a version, "full", or its classifier-free part alone, "cfg"."""
    defaults = defaults_for(tuple(map(int, version.split("."))))
    if variant == "full":
        return defaults.video, defaults.audio
    alone: dict[str, Any] = {"stg_scale": 0.0, "modality_scale": 1.0}
    return replace(defaults.video, **alone), replace(defaults.audio, **alone)


PASSES = {"cfg": 2, "full": 4}
"""Calls of the network in a step."""


def guided(setup: Setup, item: Item, group: mx.distributed.Group | None = None) -> Prepared:
    """One guided step: predictions with the prompt and the negative one ("cfg"), and also with skipped
    self-attention and with the streams isolated ("full"), one by one and combined.

    Args:
        group: processes that divide what the variant ends in: the passes ("/split"), the video's tokens
            ("/tokens") or the network ("/shard").
    """
    config, dtype = setup.config(item), setup.dtype
    kind, _, division = item.variant.partition("/")
    network = build("transformer", config, dtype, change=partial(_divide, division=division, group=group))

    def work(item: Item) -> Work:
        states = latent_states(config, item.clip)
        video, audio = contexts(config, dtype, tokens=text_tokens(setup))
        negatives = contexts(config, dtype, tokens=text_tokens(setup))
        video_guider, audio_guider = (
            MultiModalGuider(params, negative)
            for params, negative in zip(guidance(item.version, kind), negatives, strict=True)
        )
        model = X0Model(partial(network, cache=network.make_cache()))
        split = group if division == "split" else None
        denoiser = GuidedDenoiser(model, video, audio, video_guider, audio_guider, group=split)
        sigmas = mx.array([SIGMA, 0.8, 0.0])

        def run() -> Any:
            return denoiser(*states, sigmas, 0)

        # Skipped attention is not counted out: that of one block in one pass, and that between the streams.
        return Work(run, PASSES[kind] * transformer_flops(config, tokens_of(setup, item)))

    return Prepared(work, nbytes(network))


def _divide(network: LTXModel, division: str, group: mx.distributed.Group | None) -> None:
    if group is not None and division == "shard":
        network.shard(group)
    if group is not None and division == "tokens":
        network.divide_tokens(TokenDivision(group))
