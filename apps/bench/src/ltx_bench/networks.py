"""The networks of a config, filled with random weights where they run: nothing is read, nothing is copied."""

import math
from collections.abc import Callable
from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import LTXError
from ltx_loaders import QuantizationPolicy, evaluate, nbytes, quantize_module
from ltx_loaders.components import COMPONENTS
from ltx_models.text_encoder import GemmaConfig, GemmaTextModel
from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig
from ltx_pipelines.cadence import EvaluationCadence
from ltx_pipelines.machine import available_memory
from mlx.utils import tree_flatten

from ltx_bench.configs import Config

__all__ = ["build", "nbytes", "randomize"]

# Scales of norms and standard deviations: around 1, as in trained networks.
AROUND_ONE = ("norm.weight", "std_of_means", "_layernorm.weight")


def build(
    component: str,
    config: Config,
    dtype: mx.Dtype,
    quantize: str | None = None,
    change: Callable[[Any], None] | None = None,
) -> Any:
    """A network with random weights, evaluated.

    Args:
        component: a name of `ltx_loaders.components.COMPONENTS`, "text_encoder" or "spatial_upsampler".
        dtype: of its weights, unless the component always runs in another.
        quantize: of a transformer, as `QuantizationPolicy.of` takes it.
        change: what is done with it before its weights exist.

    Raises:
        LTXError: its weights alone are more than the memory that is free.
    """
    network: nn.Module
    if component == "text_encoder":
        network = GemmaTextModel(GemmaConfig.from_config(config["gemma"]))
    elif component == "spatial_upsampler":
        network = LatentUpsampler(LatentUpsamplerConfig.from_config(config["spatial_upscaler"]))
    else:
        entry = COMPONENTS[component]
        options: dict[str, Any] = {}
        if component == "embeddings_processor":
            options["gemma"] = GemmaConfig.from_config(config["gemma"])
        network = entry.create(config[entry.section], **options)
        dtype = entry.dtype or dtype
    randomize(network, dtype)
    if quantize is not None:
        quantize_module(network, QuantizationPolicy.of(quantize), config["transformer"]["num_layers"])
    if change is not None:
        change(network)
    free, size = available_memory(), nbytes(network)
    if free is not None and size > free:
        raise LTXError(
            f"the weights of the {component} take {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are "
            "free; measure on a larger machine, or try the commands out with --scale tiny"
        )
    EvaluationCadence.here().apply(component, network)
    evaluate(network)
    return network


def randomize(network: nn.Module, dtype: mx.Dtype) -> None:
    """Uniform random weights whose outputs stay near 1 in size; nothing is computed yet.

    Random, because matrix products of zeros run faster than those of numbers.
    """
    parameters: dict[str, mx.array] = dict(tree_flatten(network.parameters()))
    keys = mx.random.split(mx.random.key(0), len(parameters))
    weights = []
    for (name, value), key in zip(parameters.items(), keys, strict=True):
        weights.append((name, _random(name, value.shape, dtype, key)))
    network.load_weights(weights, strict=True)


def _random(name: str, shape: tuple[int, ...], dtype: mx.Dtype, key: mx.array) -> mx.array:
    if name.endswith(AROUND_ONE) and len(shape) == 1:
        return mx.random.uniform(0.9, 1.1, shape, dtype, key)
    # Rows of a matrix or a convolution: inputs of one output, all axes but the first.
    inputs = math.prod(shape[1:]) if len(shape) > 1 else 1
    bound = math.sqrt(3 / inputs) if len(shape) > 1 else 0.02
    return mx.random.uniform(-bound, bound, shape, dtype, key)
