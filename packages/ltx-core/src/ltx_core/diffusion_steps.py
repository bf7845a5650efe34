"""One step of a sampler: from a sample at sigmas[i] to one at sigmas[i + 1], given the denoised prediction.

Sigmas may be any sequence of numbers: a list, a NumPy array or an MLX array. Coefficients are computed on the
host in float64; arrays are stepped in float32.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import mlx.core as mx
import numpy as np

from ltx_core.errors import ConfigError
from ltx_core.maths import to_velocity

Sigmas = Sequence[float] | np.ndarray | mx.array


class DiffusionStepProtocol(Protocol):
    """A step that needs one prediction. `noise` is passed by loops that were given a source of noise."""

    def step(
        self, sample: mx.array, denoised_sample: mx.array, sigmas: Sigmas, step_index: int, **kwargs: Any
    ) -> mx.array:
        """The sample at sigmas[step_index + 1], from that at sigmas[step_index] and the prediction of x0."""
        ...


def _pair(sigmas: Sigmas, step_index: int) -> tuple[float, float]:
    return float(sigmas[step_index]), float(sigmas[step_index + 1])


class EulerDiffusionStep:
    """Euler's method on the rectified flow: x + v * (sigma_next - sigma), v = (x - x0) / sigma."""

    def step(
        self, sample: mx.array, denoised_sample: mx.array, sigmas: Sigmas, step_index: int, **_kwargs: Any
    ) -> mx.array:
        """Next sample, shape and dtype of `sample`.

        Raises:
            ConfigError: if sigmas[step_index] is 0.
        """
        sigma, sigma_next = _pair(sigmas, step_index)
        velocity = to_velocity(sample, sigma, denoised_sample)
        stepped = sample.astype(mx.float32) + velocity.astype(mx.float32) * (sigma_next - sigma)
        return stepped.astype(sample.dtype)


class HeunDiffusionStep(EulerDiffusionStep):
    """Heun's method, second order: `step` predicts with Euler, `correct` averages the slopes at both ends."""

    def correct(
        self,
        sample: mx.array,
        denoised_sample: mx.array,
        predicted_sample: mx.array,
        denoised_predicted: mx.array,
        sigmas: Sigmas,
        step_index: int,
    ) -> mx.array:
        """Next sample, shape and dtype of `sample`.

        Args:
            sample: at sigmas[step_index].
            denoised_sample: prediction there.
            predicted_sample: what `step` returned, at sigmas[step_index + 1], which must not be 0.
            denoised_predicted: prediction there.
            sigmas: the schedule.
            step_index: index of the step.

        Raises:
            ConfigError: if one of the two sigmas is 0.
        """
        sigma, sigma_next = _pair(sigmas, step_index)
        x = sample.astype(mx.float32)
        first = to_velocity(x, sigma, denoised_sample)
        second = to_velocity(predicted_sample.astype(mx.float32), sigma_next, denoised_predicted)
        return (x + (first + second) * ((sigma_next - sigma) / 2)).astype(sample.dtype)


class EulerAncestralDiffusionStep:
    """Euler to a lower sigma, then fresh noise up to sigmas[i + 1], for rectified flows (alpha = 1 - sigma).

    Args:
        eta: 0 is Euler without noise, 1 fully ancestral.
        s_noise: factor on the noise.
    """

    def __init__(self, eta: float = 1.0, s_noise: float = 1.0) -> None:
        self.eta = eta
        self.s_noise = s_noise

    def step(
        self,
        sample: mx.array,
        denoised_sample: mx.array,
        sigmas: Sigmas,
        step_index: int,
        noise: mx.array | None = None,
        **_kwargs: Any,
    ) -> mx.array:
        """Next sample, shape and dtype of `sample`; the prediction itself if the next sigma is 0.

        Raises:
            ConfigError: if `eta` is above 0 and there is no noise.
        """
        sigma, sigma_next = _pair(sigmas, step_index)
        if sigma_next == 0:
            return denoised_sample.astype(sample.dtype)
        sigma_down = sigma_next * (1 + (sigma_next / sigma - 1) * self.eta)
        ratio = sigma_down / sigma
        stepped = ratio * sample.astype(mx.float32) + (1 - ratio) * denoised_sample.astype(mx.float32)
        if self.eta > 0:
            if noise is None:
                raise ConfigError(
                    "an ancestral step with eta > 0 needs noise; give the loop a `noise` function"
                )
            rescale = (1 - sigma_next) / (1 - sigma_down)
            renoise = max(sigma_next**2 - (sigma_down * rescale) ** 2, 0.0) ** 0.5
            stepped = rescale * stepped + (self.s_noise * renoise) * noise.astype(mx.float32)
        return stepped.astype(sample.dtype)


class Res2sDiffusionStep:
    """Adds noise to a deterministic step of res_2s: further down first, then up with fresh noise."""

    @staticmethod
    def get_sde_coeff(
        sigma_next: float | np.ndarray,
        sigma_up: float | np.ndarray | None = None,
        sigma_down: float | np.ndarray | None = None,
        sigma_max: float | np.ndarray = 1.0,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(alpha_ratio, sigma_down, sigma_up), float64, from the noise to add or the level to go down to.

        Args:
            sigma_next: level after the step; all arguments may be arrays of one shape.
            sigma_up: amount of noise to add, at most 0.9999 * sigma_next.
            sigma_down: level before adding noise; wins over `sigma_up`. With neither nothing is added.
            sigma_max: level of pure noise.
        """
        target = np.asarray(sigma_next, np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            if sigma_down is not None:
                down = np.asarray(sigma_down, np.float64)
                alpha = (1 - target) / (1 - down)
                up = np.sqrt(np.maximum(target**2 - down**2 * alpha**2, 0))
            else:
                up = np.minimum(
                    0.0 if sigma_up is None else np.asarray(sigma_up, np.float64), target * 0.9999
                )
                residual = np.sqrt(np.maximum(target**2 - up**2, 0))
                alpha = np.ones_like(target) if sigma_up is None else sigma_max - target + residual
                down = residual / alpha
        down = np.where(np.isnan(down), target, down)
        return np.asarray(np.nan_to_num(alpha, nan=1.0)), down, np.asarray(np.nan_to_num(up))

    def step(
        self,
        sample: mx.array,
        denoised_sample: mx.array,
        sigmas: Sequence[float | np.ndarray] | np.ndarray | mx.array,
        step_index: int,
        noise: mx.array,
        eta: float = 0.5,
        **_kwargs: Any,
    ) -> mx.array:
        """Next sample, dtype of `denoised_sample`.

        Args:
            sample: where the step started, at sigmas[step_index].
            denoised_sample: where the deterministic step arrived, at sigmas[step_index + 1] (not an x0).
            sigmas: the schedule; its entries may be arrays per token, (B, T, 1).
            step_index: index of the step.
            noise: shape of the sample.
            eta: fraction of the next sigma that is fresh noise.

        If a next sigma is 0, or eta is, or no step is left, `denoised_sample` is returned for all tokens.
        """
        sigma = np.asarray(sigmas[step_index], np.float64)
        target = np.asarray(sigmas[step_index + 1], np.float64)
        alpha, down, up = self.get_sde_coeff(target, sigma_up=target * eta)
        if np.any(up == 0) or np.any(target == 0) or np.any(sigma == target):
            return denoised_sample
        # alpha * (x - (sigma - down) * e) + up * noise with e = (x - y) / (sigma - target), gathered so that
        # no array is divided by the small difference of the sigmas: float32 suffices.
        share = (sigma - down) / (sigma - target)
        x, y = sample.astype(mx.float32), denoised_sample.astype(mx.float32)
        stepped = _weight(alpha * (1 - share)) * x + _weight(alpha * share) * y
        return (stepped + _weight(up) * noise.astype(mx.float32)).astype(denoised_sample.dtype)


def _weight(value: np.ndarray) -> float | mx.array:
    return float(value) if value.ndim == 0 else mx.array(value.astype(np.float32))
