"""Muon ("Muon: An optimizer for hidden layers in neural networks", K. Jordan and others, 2024) on stacks.

MLX's own takes one matrix at a time, which would be thousands of small kernels here.
"""

from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import mlx.optimizers as optim
from ltx_core.device import compiled, default_dtype

STEPS = 5
"""Of the Newton-Schulz iteration."""

A, B, C = 3.4445, -4.7750, 2.0315
"""Its polynomial a x + b x^3 + c x^5 brings singular values from 0..1 near to 1."""

SIZE = 0.2
"""Root mean square of the elements of an update before the learning rate: about AdamW's, so that one learning
rate serves both ("Muon is scalable for LLM training", arXiv 2502.16982, section 2.2)."""


@compiled
def _polynomial(gram: mx.array, squared: mx.array, identity: mx.array) -> mx.array:
    return A * identity + B * gram + C * squared


def orthogonalized(matrices: mx.array) -> mx.array:
    """The nearest half-orthogonal matrices (n, rows, columns), about: singular values between 0.7 and 1.2."""
    if matrices.shape[-2] > matrices.shape[-1]:
        return orthogonalized(matrices.swapaxes(-1, -2)).swapaxes(-1, -2)
    norm = mx.sqrt(mx.square(matrices).sum(axis=(-2, -1), keepdims=True))
    x = (matrices / (norm + 1e-7)).astype(default_dtype())
    identity = mx.eye(x.shape[-2], dtype=x.dtype)
    for _ in range(STEPS):
        gram = x @ x.swapaxes(-1, -2)
        x = _polynomial(gram, gram @ gram, identity) @ x
    return x.astype(matrices.dtype)


class Muon(optim.Optimizer):
    """Momentum whose direction has all singular values alike, with decoupled weight decay.

    Args:
        momentum: of the gradient's moving average, with Nesterov's look ahead.
    """

    def __init__(self, learning_rate: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.momentum = momentum
        self.weight_decay = weight_decay

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        state["v"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]) -> mx.array:
        """A stack (n, rows, columns) after the step."""
        average = gradient + self.momentum * (state["v"] - gradient)
        state["v"] = average
        update = orthogonalized(gradient + self.momentum * (average - gradient))
        rate = self.learning_rate.astype(parameter.dtype)
        size = SIZE * max(parameter.shape[-2:]) ** 0.5
        return parameter * (1 - rate * self.weight_decay) - rate * size * update
