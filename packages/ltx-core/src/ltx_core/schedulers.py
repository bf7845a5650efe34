"""Noise schedules: decreasing sigmas from (nearly) 1 to 0, one more than there are steps.

Sigma is the noise level of a rectified flow, x = (1 - sigma) * x0 + sigma * noise.
"""

import math
from functools import lru_cache
from typing import Any, Protocol

import mlx.core as mx
import numpy as np

from ltx_core.beta_distribution import beta_quantile
from ltx_core.errors import ConfigError

BASE_SHIFT_ANCHOR = 1024
MAX_SHIFT_ANCHOR = 4096

DISTILLED_SIGMA_VALUES = [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0]
"""The 8 steps that the distilled models were trained on."""
STAGE_2_DISTILLED_SIGMA_VALUES = [0.909375, 0.725, 0.421875, 0.0]
"""Their 3 steps after latent upscaling."""


class SchedulerProtocol(Protocol):
    """Anything that makes a schedule of `steps` steps: (steps + 1,) float32."""

    def execute(self, steps: int, **kwargs: Any) -> mx.array:
        """Noise levels from the first to 0; keywords are those of the scheduler."""
        ...


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ConfigError(f"a schedule needs at least 1 step, got {steps}")


class LTX2Scheduler:
    """The schedule of the undistilled models: shifted towards high noise by the number of tokens.

    sigma = e^mu / (e^mu + 1/s - 1) for s from 1 to 0, with mu linear in the number of tokens: `base_shift` at
    1024, `max_shift` at 4096 (not clamped). Then 1 - sigma is stretched so that the last sigma before 0 is
    `terminal`.
    """

    def execute(
        self,
        steps: int,
        latent: mx.array | None = None,
        max_shift: float = 2.05,
        base_shift: float = 0.95,
        stretch: bool = True,
        terminal: float = 0.1,
        default_number_of_tokens: int = MAX_SHIFT_ANCHOR,
        **_kwargs: Any,
    ) -> mx.array:
        """Sigmas (steps + 1,).

        Args:
            steps: number of steps.
            latent: an array with the shape of the latent, (B, C, F, H, W); its axes from the third on are
                counted as tokens. None: `default_number_of_tokens`, which is what most official pipelines use
                whatever the size of the clip.
            max_shift: mu at 4096 tokens.
            base_shift: mu at 1024 tokens.
            stretch: whether to stretch to `terminal`.
            terminal: last sigma before the final 0.
            default_number_of_tokens: used without `latent`.

        Raises:
            ConfigError: if there is nothing to stretch: one step only, or so many tokens that every sigma
                rounds to 1; or if `terminal` is not between 0 and 1.
        """
        _check_steps(steps)
        tokens = math.prod(latent.shape[2:]) if latent is not None else default_number_of_tokens
        slope = (max_shift - base_shift) / (MAX_SHIFT_ANCHOR - BASE_SHIFT_ANCHOR)
        shift = tokens * slope + base_shift - slope * BASE_SHIFT_ANCHOR
        one = np.float32(1.0)
        index = np.arange(steps, dtype=np.float32)
        step = one / np.float32(steps)
        times = np.where(index < (steps + 1) // 2, one - index * step, (np.float32(steps) - index) * step)
        sigmas = _shifted(times, shift)
        if stretch:
            if not 0.0 < terminal < 1.0:
                raise ConfigError(f"terminal must be between 0 and 1, got {terminal}")
            cleanness = one - sigmas
            if steps == 1 or cleanness[-1] <= 0:
                raise ConfigError(
                    f"a schedule of {steps} step(s) for {tokens} tokens cannot be stretched to {terminal}: "
                    "all its sigmas are 1. Use more steps, fewer tokens, or stretch=False"
                )
            sigmas = one - cleanness / (cleanness[-1] / np.float32(1.0 - terminal))
        return mx.array(np.append(sigmas, np.float32(0.0)))


class LinearQuadraticScheduler:
    """Linear up to a threshold of signal, then quadratic (the schedule of Movie Gen, arXiv:2410.13720)."""

    def execute(
        self, steps: int, threshold_noise: float = 0.025, linear_steps: int | None = None, **_kwargs: Any
    ) -> mx.array:
        """Sigmas (steps + 1,).

        Args:
            steps: number of steps.
            threshold_noise: 1 - sigma after the linear part.
            linear_steps: length of the linear part; None: half of the steps.

        Raises:
            ConfigError: if `linear_steps` is not in 1..steps.
        """
        _check_steps(steps)
        if steps == 1:
            return mx.array([1.0, 0.0])
        linear = steps // 2 if linear_steps is None else linear_steps
        if not 1 <= linear <= steps:
            raise ConfigError(f"linear_steps must be in 1..{steps} (the number of steps), got {linear}")
        signal = [i * threshold_noise / linear for i in range(linear)]
        quadratic = steps - linear
        if quadratic > 0:
            excess = linear - threshold_noise * steps
            square = excess / (linear * quadratic**2)
            slope = threshold_noise / linear - 2 * excess / quadratic**2
            signal += [square * i**2 + slope * i + square * linear**2 for i in range(linear, steps)]
        return mx.array([1.0 - value for value in [*signal, 1.0]])


class BetaScheduler:
    """Sigmas at the quantiles of a beta distribution over the training timesteps (arXiv:2407.12173)."""

    shift = 2.37
    timesteps_length = 10000

    def execute(self, steps: int, alpha: float = 0.6, beta: float = 0.6, **_kwargs: Any) -> mx.array:
        """Sigmas, at most (steps + 1,): timesteps that coincide are taken once.

        Args:
            steps: number of steps.
            alpha: first parameter of the distribution.
            beta: second parameter of the distribution.

        Raises:
            ConfigError: if alpha or beta is not positive.
        """
        _check_steps(steps)
        if alpha <= 0 or beta <= 0:
            raise ConfigError(f"alpha and beta must be positive, got {alpha} and {beta}")
        table = _shifted_sigmas(self.shift, self.timesteps_length)
        probabilities = 1.0 - np.linspace(0.0, 1.0, steps, endpoint=False)
        quantiles = np.array([beta_quantile(float(p), alpha, beta) for p in probabilities])
        indices = np.rint(quantiles * (self.timesteps_length - 1)).astype(np.int64)
        chosen = list(dict.fromkeys(indices.tolist()))
        return mx.array(np.append(table[chosen], np.float32(0.0)))


def _shifted(times: np.ndarray, shift: float) -> np.ndarray:
    """e^shift / (e^shift + 1/t - 1), for float32 times.

    Float32 in the reference's order of operations: with many tokens 1 - sigma is a few ulps of 1, and the
    stretch of `LTX2Scheduler` magnifies them.
    """
    scale = np.float32(math.exp(min(shift, 80.0)))  # beyond, every sigma is 1 and float32 would overflow
    result: np.ndarray = np.reciprocal(scale + (np.reciprocal(times) - np.float32(1.0))) * scale
    return result


@lru_cache(maxsize=4)
def _shifted_sigmas(shift: float, length: int) -> np.ndarray:
    """The shifted sigmas of t = 1/length ... 1."""
    return _shifted(np.arange(1, length + 1, dtype=np.float32) / np.float32(length), shift)
