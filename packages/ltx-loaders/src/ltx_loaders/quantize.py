"""Quantised weights: how they are made, told apart in a file, and made into floating-point numbers again."""

from collections.abc import Mapping
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ConfigError
from ltx_models.quantized import QuantizedLinear

from ltx_loaders.errors import LoaderError

# Group sizes and bits that MLX has kernels for, by mode; the first of each is the default.
MODES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "affine": ((64, 32, 128), (8, 4, 6, 5, 3, 2)),
    "mxfp8": ((32,), (8,)),
    "mxfp4": ((32,), (4,)),
    "nvfp4": ((16,), (4,)),
}
DEFAULT_GROUPS = {mode: groups[0] for mode, (groups, _) in MODES.items()}
# Modes without offsets, by bits and group size.
FLOATING_MODES = {(8, 32): "mxfp8", (4, 32): "mxfp4", (4, 16): "nvfp4"}


@dataclass(frozen=True)
class QuantizationSpec:
    """How one weight is quantised.

    Attributes:
        bits: of a number.
        group_size: neighbours of a row that share a scale (and, in the mode affine, an offset).
        mode: of `mlx.core.quantize`.
    """

    bits: int = 8
    group_size: int = 64
    mode: str = "affine"

    def __post_init__(self) -> None:
        groups, bits = MODES.get(self.mode, ((), ()))
        if self.group_size not in groups or self.bits not in bits:
            known = "; ".join(
                f"{mode}: {', '.join(map(str, bits))} bits in groups of {', '.join(map(str, groups))}"
                for mode, (groups, bits) in MODES.items()
            )
            raise ConfigError(
                f"quantisation to {self.bits} bits in groups of {self.group_size}, mode {self.mode!r}, is "
                f"not supported; known are {known}"
            )

    def __str__(self) -> str:
        return f"{self.mode} {self.bits} bits, groups of {self.group_size}"


def quantize_weight(weight: mx.array, spec: QuantizationSpec, dtype: mx.Dtype) -> dict[str, mx.array]:
    """A weight (out, in) as the parameters of a quantised layer: "weight" (uint32), "scales" and, in the mode
    affine, "biases"; nothing is computed yet.

    The weight is rounded to bfloat16, and affine scales and offsets are bfloat16 numbers, whatever the
    dtypes, so that a weight has one quantised form, in files and in memory. The codes are chosen for the
    rounded scales, not for those before rounding as `mlx.core.quantize` does: at 8 bits that takes a quarter
    off the error.

    Args:
        dtype: of affine scales and offsets.
    """
    weight = weight.astype(mx.bfloat16).astype(mx.float32)
    packed, scales, *rest = mx.quantize(weight, spec.group_size, spec.bits, mode=spec.mode)
    if not rest:
        return {"weight": packed, "scales": scales}
    scales, biases = scales.astype(mx.bfloat16), rest[0].astype(mx.bfloat16)
    if 8 % spec.bits == 0:
        packed = _pack(weight, scales, biases, spec)
    return {"weight": packed, "scales": scales.astype(dtype), "biases": biases.astype(dtype)}


def _pack(weight: mx.array, scales: mx.array, biases: mx.array, spec: QuantizationSpec) -> mx.array:
    """Codes nearest to (weight - bias) / scale, the first of each byte and word in its lowest bits."""
    scales, biases = (value.astype(mx.float32)[..., None] for value in (scales, biases))
    groups = weight.reshape(*weight.shape[:-1], -1, spec.group_size)
    codes = mx.round((groups - biases) / mx.where(scales == 0, 1.0, scales))
    codes = mx.clip(codes, 0, 2**spec.bits - 1).astype(mx.uint8).flatten(-2)
    per_byte = 8 // spec.bits
    packed = codes[..., ::per_byte]
    for index in range(1, per_byte):
        packed = packed | (codes[..., index::per_byte] << (index * spec.bits))
    return mx.contiguous(packed).view(mx.uint32)


def dequantized(layer: nn.Module) -> mx.array:
    """The weight of a quantised layer as numbers, in float32; nothing is computed yet."""
    scales, biases = layer["scales"], layer.get("biases")
    if biases is not None:
        # In their own dtype they would round what comes out.
        scales, biases = scales.astype(mx.float32), biases.astype(mx.float32)
    return mx.dequantize(
        layer["weight"],
        scales=scales,
        biases=biases,
        group_size=layer.group_size,
        bits=layer.bits,
        mode=layer.mode,
        dtype=mx.float32,
    )


def weight_shape(layer: nn.Module) -> tuple[int, ...]:
    """The shape that a quantised layer's weight stands for."""
    rows, columns = layer["weight"].shape
    return (rows, columns * 32 // layer.bits)


def quantized_like(layer: nn.Module, weight: mx.array) -> dict[str, mx.array]:
    """A weight quantised as that of a layer is: its new parameters."""
    spec = QuantizationSpec(layer.bits, layer.group_size, layer.mode)
    return quantize_weight(weight, spec, layer["scales"].dtype)


def quantized_layer(
    layer: nn.Module, spec: QuantizationSpec, parameters: Mapping[str, mx.array]
) -> nn.Module:
    """A layer in the place of a linear one or an embedding, with these quantised parameters and its bias."""
    rows, columns = layer.weight.shape
    made: nn.Module
    if isinstance(layer, nn.Embedding):
        made = nn.QuantizedEmbedding(rows, columns, spec.group_size, spec.bits, mode=spec.mode)
    else:
        made = QuantizedLinear(columns, rows, False, spec.group_size, spec.bits, mode=spec.mode)
        if "bias" in layer:
            made.bias = layer.bias
    for key, value in parameters.items():
        made[key] = value
    return made


def read_spec(shape: tuple[int, ...], parameters: Mapping[str, mx.array]) -> QuantizationSpec:
    """How a file has quantised a weight.

    Args:
        shape: (out, in) that the network asks for.
        parameters: "weight" and "scales" as the file has them, and "biases" if it does.

    Raises:
        LoaderError: no quantisation of such a weight looks like this.
    """
    weight, scales, biases = (parameters.get(key) for key in ("weight", "scales", "biases"))
    try:
        if weight is None or scales is None or weight.dtype != mx.uint32:
            raise ConfigError("the packed weight or its scales are missing")
        rows, columns = shape
        if weight.shape[0] != rows or scales.shape[0] != rows or len(weight.shape) != 2:
            raise ConfigError("the rows do not agree")
        bits, group_size = 32 * weight.shape[1] // columns, columns // scales.shape[1]
        if bits * columns != 32 * weight.shape[1] or group_size * scales.shape[1] != columns:
            raise ConfigError("no number of bits and no group size gives these sizes")
        if biases is not None:
            if biases.shape != scales.shape:
                raise ConfigError("scales and offsets do not agree")
            return QuantizationSpec(bits, group_size, "affine")
        return QuantizationSpec(bits, group_size, FLOATING_MODES.get((bits, group_size), "affine"))
    except (ConfigError, IndexError, ZeroDivisionError, ValueError) as error:
        shapes = ", ".join(f"{key} {value.shape} {value.dtype}" for key, value in parameters.items())
        raise LoaderError(f"for a weight of {shape} the file has {shapes}: {error}") from None
