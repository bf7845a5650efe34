"""A LoRA in training: factors for every linear layer of a transformer."""

import mlx.core as mx
import mlx.nn as nn


class Adapters(nn.Module):
    """Factors of a LoRA for every linear layer of a transformer, those of equal size in one array.

    Attributes:
        a, b: for each size (n, rank, in) and (n, out, rank); the change of a weight is b @ a.
    """

    def __init__(self, transformer: nn.Module, rank: int) -> None:
        super().__init__()
        self._names: dict[tuple[int, ...], list[str]] = {}
        weights: dict[str, mx.array] = {}
        for name, module in transformer.named_modules():
            if isinstance(module, nn.Linear):
                self._names.setdefault(module.weight.shape, []).append(name)
                weights[name] = module.weight
        self.a, self.b, self._base = [], [], []
        for (out, width), names in self._names.items():
            used = min(rank, out, width)
            self.a.append(mx.random.normal((len(names), used, width)) * width**-0.5)
            self.b.append(mx.zeros((len(names), out, used)))
            self._base.append(mx.stack([weights[name] for name in names]))
        mx.eval(self.parameters(), self._base)

    def weights(self) -> list[tuple[str, mx.array]]:
        """Adapted weights by their names, in the dtype of the factors."""
        result = []
        for names, a, b, base in zip(self._names.values(), self.a, self.b, self._base, strict=True):
            adapted = base.astype(a.dtype) + b @ a
            result += [(f"{name}.weight", row) for name, row in zip(names, adapted, strict=True)]
        return result

    def official(self) -> dict[str, mx.array]:
        """As in an official LoRA file."""
        tensors = {}
        for names, a, b in zip(self._names.values(), self.a, self.b, strict=True):
            for index, name in enumerate(names):
                tensors[f"diffusion_model.{name}.lora_A.weight"] = a[index].astype(mx.bfloat16)
                tensors[f"diffusion_model.{name}.lora_B.weight"] = b[index].astype(mx.bfloat16)
        return tensors
