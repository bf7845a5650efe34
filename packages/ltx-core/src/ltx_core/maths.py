"""Small formulas that several components share."""

import math
from collections.abc import Mapping
from typing import Any

import mlx.core as mx

from ltx_core.errors import ConfigError

SUM_BLOCK = 256


def precise_sum(x: mx.array, axis: int = 0) -> mx.array:
    """Sum over `axis` and all axes after it, which stay with size 1.

    In blocks, because MLX's CPU backend adds a row into very few float32 accumulators: a standard deviation
    of 1e6 numbers is off by 2e-4 there, one of 1e7 by a hundredth; in blocks it is exact to rounding.
    """
    kept, summed = x.shape[:axis], x.ndim - axis
    x = x.reshape(*kept, -1)
    while x.shape[-1] > SUM_BLOCK:
        x = mx.pad(x, [(0, 0)] * axis + [(0, -x.shape[-1] % SUM_BLOCK)])
        x = x.reshape(*kept, -1, SUM_BLOCK).sum(axis=-1)
    return x.sum(axis=-1).reshape(*kept, *[1] * summed)


def precise_mean(x: mx.array, axis: int = 0) -> mx.array:
    """Mean over `axis` and all axes after it, which stay with size 1; see `precise_sum`."""
    return precise_sum(x, axis) / math.prod(x.shape[axis:])


def precise_std(x: mx.array, axis: int = 0) -> mx.array:
    """Unbiased standard deviation over `axis` and all axes after it, which stay with size 1."""
    squares = precise_sum(mx.square(x - precise_mean(x, axis)), axis)
    return mx.sqrt(squares / (math.prod(x.shape[axis:]) - 1))


def rms_norm(x: mx.array, weight: mx.array | None = None, eps: float = 1e-6) -> mx.array:
    """x / sqrt(mean(x^2) + eps) over the last axis, times `weight` (size of that axis) if given."""
    return mx.fast.rms_norm(x, weight, eps)


def to_velocity(
    sample: mx.array, sigma: float | mx.array, denoised_sample: mx.array, calc_dtype: mx.Dtype = mx.float32
) -> mx.array:
    """Velocity of a rectified flow, (x - x0) / sigma, in the sample's dtype.

    Args:
        sample: x, any shape.
        sigma: noise level of the whole sample, a scalar.
        denoised_sample: x0, shape of the sample.
        calc_dtype: dtype of the arithmetic.

    Raises:
        ConfigError: if sigma is 0, where the velocity does not exist.
    """
    scale = sigma.item() if isinstance(sigma, mx.array) else sigma
    if scale == 0:
        raise ConfigError("there is no velocity at sigma 0: the schedule must not continue after its final 0")
    velocity = (sample.astype(calc_dtype) - denoised_sample.astype(calc_dtype)) / scale
    return velocity.astype(sample.dtype)


def to_denoised(
    sample: mx.array, velocity: mx.array, sigma: float | mx.array, calc_dtype: mx.Dtype = mx.float32
) -> mx.array:
    """Clean sample of a rectified flow, x - velocity * sigma, in the sample's dtype.

    `sigma` is a scalar or broadcasts against the sample, such as timesteps (B, T, 1) per token.
    """
    if isinstance(sigma, mx.array):
        sigma = sigma.astype(calc_dtype)
    return (sample.astype(calc_dtype) - velocity.astype(calc_dtype) * sigma).astype(sample.dtype)


def check_config_value(config: Mapping[str, Any], key: str, expected: Any) -> None:
    """Refuse a configuration value that the network was not written for. An absent key is accepted.

    Raises:
        ConfigError: naming the key, its value and the supported one.
    """
    if key in config and config[key] != expected:
        raise ConfigError(f"config key {key!r} is {config[key]!r}; supported: {expected!r}")


def lerp(start: mx.array, end: mx.array, weight: float | mx.array) -> mx.array:
    """start + weight * (end - start), exactly `start` at weight 0 and exactly `end` at weight 1.

    `weight` is a scalar or broadcasts against the arrays.
    """
    difference = end - start
    if isinstance(weight, mx.array):
        return mx.where(weight < 0.5, start + weight * difference, end - (1 - weight) * difference)
    return start + weight * difference if weight < 0.5 else end - (1 - weight) * difference
