"""What each of two processes runs: networks alone, then together with the other process.

Prints a JSON object: name of a case -> largest relative error of its outputs, or what went wrong.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import ltx_core as core
import mlx.core as mx
import mlx.nn as nn
from ltx_loaders import QuantizationPolicy, nbytes, quantize_module
from ltx_loaders.fp8 import Fp8Linear, requantised
from ltx_models.transformer import LTXModel, LTXModelConfig
from ltx_models.transformer.token_division import TokenDivision
from mlx.utils import tree_flatten, tree_unflatten

SECTION: dict[str, Any] = {
    "num_layers": 2,
    "num_attention_heads": 4,
    "attention_head_dim": 32,
    "in_channels": 3,
    "out_channels": 3,
    "cross_attention_dim": 128,
    "audio_num_attention_heads": 4,
    "audio_attention_head_dim": 16,
    "audio_in_channels": 5,
    "audio_out_channels": 5,
    "audio_cross_attention_dim": 64,
    "caption_channels": 6,
    "frequencies_precision": "float64",
}
GATED = {"apply_gated_attention": True, "cross_attention_adaln": True, "caption_proj_before_connector": True}
GUIDANCE = core.MultiModalGuiderParams(
    cfg_scale=3.0, stg_scale=1.0, stg_blocks=[1], rescale_scale=0.7, modality_scale=3.0
)


def network(changes: Mapping[str, Any]) -> LTXModel:
    """Random weights of moderate size everywhere, the same in all processes."""
    model = LTXModel(LTXModelConfig.from_config({**SECTION, **changes}))
    parameters: dict[str, mx.array] = dict(tree_flatten(model.parameters()))
    keys = mx.random.split(mx.random.key(7), len(parameters))
    weights = []
    for (name, value), key in zip(parameters.items(), keys, strict=True):
        scale = (value.shape[-1] if value.ndim > 1 else 16) ** -0.5
        weights.append((name, float("_norm" in name) + scale * mx.random.normal(value.shape, key=key)))
    model.load_weights(weights)
    return model


def state(seed: int, axes: int, tokens: int, width: int) -> core.LatentState:
    latent, start = (
        mx.random.normal(shape, key=mx.random.key(seed + index))
        for index, shape in enumerate([(1, tokens, width), (1, axes, tokens, 1)])
    )
    return core.LatentState(
        latent=latent,
        # The first token is given, and at another noise level.
        denoise_mask=(mx.arange(tokens) > 0).astype(mx.float32).reshape(1, -1, 1),
        positions=mx.concatenate([mx.abs(start), mx.abs(start) + 0.5], axis=-1),
        clean_latent=latent,
    )


def predict(
    model: nn.Module,
    group: mx.distributed.Group | None = None,
    params: core.MultiModalGuiderParams = GUIDANCE,
    max_batch_size: int = 1,
    masked: bool = False,
) -> list[mx.array]:
    """Predictions of a guided step at two noise levels; `masked`: with weights of attention among tokens."""
    cache, widths = model.make_cache(), (128, 64) if model.config.caption_channels is None else (6, 6)
    contexts, negatives = (
        [mx.random.normal((1, 3, width), key=mx.random.key(seed + width)) for width in widths]
        for seed in (30, 40)
    )
    denoiser = core.GuidedDenoiser(
        core.X0Model(lambda *arguments: model(*arguments, cache=cache)),
        contexts[0],
        contexts[1],
        core.MultiModalGuider(params, negatives[0]),
        core.MultiModalGuider(params, negatives[1]),
        max_batch_size=max_batch_size,
        group=group,
    )
    video, audio = state(1, 3, 7, 3), state(11, 1, 4, 5)
    if masked:
        video = video.replace(attention_mask=mx.random.uniform(shape=(1, 7, 7), key=mx.random.key(5)))
    results: list[mx.array] = []
    for step in range(2):
        results += [x for x in denoiser(video, audio, [0.9, 0.5, 0.0], step) if x is not None]
    mx.eval(results)
    return results


def error(got: Sequence[mx.array], want: Sequence[mx.array]) -> float:
    return max(
        float(mx.linalg.norm((a - b).flatten()) / mx.linalg.norm(b.flatten()))
        for a, b in zip(got, want, strict=True)
    )


def sharded(
    group: mx.distributed.Group,
    changes: Mapping[str, Any] = MappingProxyType({}),
    change: Callable[[LTXModel], Any] = lambda model: None,
) -> float:
    """Of a network whose weights are divided; `change` comes before that."""
    whole, part = network(changes), network(changes)
    for model in (whole, part):
        change(model)
    part.shard(group)
    sizes = [nbytes(model.transformer_blocks[0]) for model in (whole, part)]
    assert sizes[1] < 0.56 * sizes[0], sizes
    return error(predict(part), predict(whole))


def by_tokens(
    group: mx.distributed.Group, changes: Mapping[str, Any], masked: bool = False, stacked: int = 1
) -> float:
    """Of a network whose tokens are divided."""
    whole, part = network(changes), network(changes)
    part.divide_tokens(TokenDivision(group))
    options: dict[str, Any] = {"masked": masked, "max_batch_size": stacked}
    return error(predict(part, **options), predict(whole, **options))


def split(group: mx.distributed.Group, max_batch_size: int, **params: Any) -> float:
    """Of guidance passes that are divided."""
    model, guidance = network(GATED), core.MultiModalGuiderParams(**(vars(GUIDANCE) | params))
    together = predict(model, group, guidance, max_batch_size)
    return error(together, predict(model, None, guidance, max_batch_size))


def message(make: Callable[[], Any]) -> str:
    try:
        make()
    except core.ConfigError as problem:
        return str(problem)
    return "no error"


def to_fp8(model: LTXModel) -> None:
    """As the linear layers of an fp8 checkpoint that are kept so."""
    layers = []
    for path, layer in model.transformer_blocks[0].named_modules():
        if type(layer) is nn.Linear:
            outputs, inputs = layer.weight.shape
            kept = Fp8Linear(inputs, outputs, True)
            kept.update(requantised(layer.weight) | {"bias": layer.bias})
            layers.append((path, kept))
    model.transformer_blocks[0].update_modules(tree_unflatten(layers))


def quantise(model: LTXModel) -> None:
    assert quantize_module(model, QuantizationPolicy.of(8, group_size=32), 2)


def main() -> None:
    group = mx.distributed.init(strict=True, backend="ring")
    three = {"num_attention_heads": 3, "cross_attention_dim": 96, "audio_num_attention_heads": 3}
    three |= {"audio_cross_attention_dim": 48}
    narrow = {"audio_attention_head_dim": 8, "audio_cross_attention_dim": 32}
    results = {
        "plain": sharded(group),
        "gated": sharded(group, GATED),
        "interleaved": sharded(group, {"rope_type": "interleaved"}),
        "quantised": sharded(group, {}, quantise),
        "fp8": sharded(group, GATED, to_fp8),
        "tokens, plain": by_tokens(group, {}),
        "tokens, gated": by_tokens(group, GATED),
        "tokens, masked": by_tokens(group, GATED, masked=True),
        "tokens, stacked passes": by_tokens(group, {}, stacked=4),
        "split, 4 passes": split(group, 1),
        "split, 3 passes": split(group, 1, modality_scale=1.0),
        "split, 1 pass": split(group, 1, cfg_scale=1.0, stg_scale=0.0, modality_scale=1.0),
        "split, stacked passes": split(group, 4),
        "split, every other step": split(group, 1, skip_step=1),
        "heads": message(lambda: network(three).shard(group)),
        "groups": message(lambda: sharded(group, narrow, quantise)),
    }
    print(json.dumps(results))


main()
