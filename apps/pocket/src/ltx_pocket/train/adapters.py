"""A LoRA in training: factors for the linear layers of a transformer."""

from collections.abc import Callable
from typing import cast

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import mlx.nn as nn


@mx.custom_function
def unstacked(x: mx.array) -> tuple[mx.array, ...]:
    """The entries of the first axis. Their gradients are stacked, not each padded to the whole and added."""
    return tuple(part.squeeze(0) for part in mx.split(x, len(x)))


@unstacked.vjp
def _unstacked_vjp(_x: mx.array, cotangents: tuple[mx.array, ...], _: tuple[mx.array, ...]) -> mx.array:
    return mx.stack(list(cotangents))


def everywhere(_: str) -> bool:
    """Every layer."""
    return True


class Adapters(nn.Module):
    """Factors of a LoRA for linear layers of a transformer, those of equal size in one array.

    Args:
        wanted: which layers, by their names.

    Attributes:
        a, b: for each size (n, rank, in) and (n, out, rank); the change of a weight is b @ a.
    """

    def __init__(self, transformer: nn.Module, rank: int, wanted: Callable[[str], bool] = everywhere) -> None:
        super().__init__()
        self._layers: dict[tuple[int, ...], dict[str, nn.Linear]] = {}
        for name, module in transformer.named_modules():
            if isinstance(module, nn.Linear) and wanted(name):
                self._layers.setdefault(module.weight.shape, {})[name] = module
        self.a, self.b, self._base = [], [], []
        for (out, width), layers in self._layers.items():
            used = min(rank, out, width)
            self.a.append(mx.random.normal((len(layers), used, width)) * width**-0.5)
            self.b.append(mx.zeros((len(layers), out, used)))
            self._base.append(mx.stack([layer.weight for layer in layers.values()]))
        mx.eval(self.parameters(), self._base)

    def adapt(self) -> None:
        """Give the transformer's layers their adapted weights, in the dtype of the factors."""
        for layers, a, b, base in zip(self._layers.values(), self.a, self.b, self._base, strict=True):
            adapted = cast(tuple[mx.array, ...], unstacked(base.astype(a.dtype) + b @ a))
            for layer, weight in zip(layers.values(), adapted, strict=True):
                layer.weight = weight

    def weights(self) -> list[tuple[str, mx.array]]:
        """Adapted weights by their names, in the dtype of the factors."""
        result = []
        for layers, a, b, base in zip(self._layers.values(), self.a, self.b, self._base, strict=True):
            adapted = base.astype(a.dtype) + b @ a
            result += [(f"{name}.weight", row) for name, row in zip(layers, adapted, strict=True)]
        return result

    def official(self) -> dict[str, mx.array]:
        """As in an official LoRA file."""
        tensors = {}
        for layers, a, b in zip(self._layers.values(), self.a, self.b, strict=True):
            for index, name in enumerate(layers):
                tensors[f"diffusion_model.{name}.lora_A.weight"] = a[index].astype(mx.bfloat16)
                tensors[f"diffusion_model.{name}.lora_B.weight"] = b[index].astype(mx.bfloat16)
        return tensors
