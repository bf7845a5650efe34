"""Checkpoints whose linear layers are stored in 8-bit floating point (float8_e4m3fn).

A tensor X of that type stands for X * X_scale, where the scale is a single number in a tensor of its own;
without one it stands for itself. Which tensors are stored so is decided for each by its dtype.
"""

from collections.abc import Mapping

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from ltx_loaders.errors import LoaderError
from ltx_loaders.header import TensorInfo
from ltx_loaders.weights import KeyMap

FP8 = "F8_E4M3"
SCALE = "_scale"
# Factors for activations in 8 bits, which are not used here, and other programs' marks.
UNUSED = (".input_scale", ".output_scale", ".comfy_quant")


def scaled_tensors(infos: Mapping[str, TensorInfo], source: object) -> dict[str, str | None]:
    """Tensors in 8-bit floating point, with the names of their scales (None: it has none).

    Raises:
        LoaderError: another 8-bit format, a scale that is no single number, or one of a tensor that is not in
            8 bits, as packed 4-bit formats have it.
    """
    found: dict[str, str | None] = {}
    for name, info in infos.items():
        if info.dtype == "F8_E5M2":
            raise LoaderError(
                f"{source}: tensor {name} is float8_e5m2; supported: float8_e4m3fn (the official fp8 files), "
                "bfloat16, float16, float32"
            )
        if info.dtype == FP8 and not name.endswith(SCALE):
            found[name] = name + SCALE if name + SCALE in infos else None
        if name.endswith((".weight_scale", ".bias_scale")):
            owner = infos.get(name.removesuffix(SCALE))
            if owner is None or owner.dtype != FP8:
                kind = "missing" if owner is None else owner.dtype
                raise LoaderError(
                    f"{source}: {name} scales a tensor that is {kind}, as nvfp4 and other packed formats for "
                    "NVIDIA cards have it; supported: float8_e4m3fn with one scale per tensor. Use the "
                    "bfloat16 or the fp8 file"
                )
            if info.shape or info.dtype not in ("F32", "BF16", "F16"):
                raise LoaderError(
                    f"{source}: {name} is {info.dtype} of shape {info.shape}; supported: one floating-point "
                    "number per tensor"
                )
    return found


def is_helper(name: str) -> bool:
    """Whether a tensor only says how another one is stored."""
    return name.endswith((f".weight{SCALE}", f".bias{SCALE}", *UNUSED))


def dequantise(codes: mx.array, scale: mx.array | None) -> mx.array:
    """What 8-bit codes stand for, in float32, of their shape."""
    values = mx.from_fp8(codes, mx.float32)
    return values if scale is None else values * scale.astype(mx.float32)


def requantised(weight: mx.array) -> dict[str, mx.array]:
    """A float32 weight as the parameters of an `Fp8Linear`; its largest number becomes the type's, 448."""
    scale = mx.abs(weight).max() / 448
    return {"weight_fp8": mx.to_fp8(weight / mx.where(scale == 0, 1.0, scale)), "weight_scale": scale}


def dequantised(tensors: Mapping[str, mx.array], scaled: Mapping[str, str | None]) -> dict[str, mx.array]:
    """All tensors without the helpers, those in 8 bits as float32; nothing is computed yet."""
    plain = {name: tensor for name, tensor in tensors.items() if not is_helper(name)}
    for name, scale in scaled.items():
        plain[name] = dequantise(tensors[name], None if scale is None else tensors[scale])
    return plain


class Fp8Linear(nn.Module):
    """A linear layer whose weight stays in 8 bits and is expanded each time it is used.

    Attributes:
        weight_fp8: (out, in) uint8 codes of float8_e4m3fn.
        weight_scale: the number that they are multiplied with, float32.
    """

    def __init__(self, input_dims: int, output_dims: int, bias: bool) -> None:
        super().__init__()
        self.weight_fp8 = mx.zeros((output_dims, input_dims), mx.uint8)
        self.weight_scale = mx.ones((), mx.float32)
        if bias:
            self.bias = mx.zeros((output_dims,))

    def __call__(self, x: mx.array) -> mx.array:
        """(..., in) to (..., out). The codes are exact in every floating-point type, so the scale waits."""
        weight = mx.from_fp8(self.weight_fp8, x.dtype)
        y = ((x @ weight.T) * self.weight_scale).astype(x.dtype)
        return y + self.bias if "bias" in self else y


def keep_linears(module: nn.Module, keys: KeyMap, scaled: Mapping[str, str | None]) -> dict[str, str | None]:
    """Give the linear layers of a network that are stored in 8 bits weights of 8 bits.

    Returns:
        Of `scaled` what has such a layer now, by official names; everything else is to be dequantised.
    """
    modules = dict(module.named_modules())
    kept: dict[str, str | None] = {}
    layers: list[tuple[str, nn.Module]] = []
    for name, scale in scaled.items():
        path = (keys.module_name(name) or "").removesuffix(".weight")
        layer = modules.get(path)
        if type(layer) is nn.Linear:
            outputs, inputs = layer.weight.shape
            layers.append((path, Fp8Linear(inputs, outputs, "bias" in layer)))
            kept[name] = scale
    module.update_modules(tree_unflatten(layers))
    return kept


def kept_tensors(
    tensors: Mapping[str, mx.array], scaled: Mapping[str, str | None], kept: Mapping[str, str | None]
) -> dict[str, mx.array]:
    """The tensors for a network that `keep_linears` has changed."""
    plain = dequantised(tensors, {name: scale for name, scale in scaled.items() if name not in kept})
    for name, scale in kept.items():
        del plain[name]
        plain[f"{name}_fp8"] = tensors[name]
        plain[f"{name}{SCALE}"] = mx.ones(()) if scale is None else tensors[scale]
    return plain


def restore_scales(
    module: nn.Module, keys: KeyMap, tensors: Mapping[str, mx.array], kept: Mapping[str, str | None]
) -> None:
    """Give kept layers their scales in float32: one rounded to bfloat16 would be wrong for a whole layer."""
    scales = {keys.module_name(f"{name}{SCALE}"): tensors[f"{name}{SCALE}"] for name in kept}
    module.load_weights([(name, s.astype(mx.float32)) for name, s in scales.items() if name], strict=False)
