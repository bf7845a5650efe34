"""Which weights of a transformer are quantised, and how."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from ltx_core.errors import ConfigError
from mlx.utils import tree_unflatten

from ltx_loaders.quantize import DEFAULT_GROUPS, QuantizationSpec, quantize_weight, quantized_layer

# The linear layers of the blocks: 97 % of a released transformer's weights. What stands around the blocks
# (patchify_proj, the adaLN layers, proj_out, the text projections) and the few weights of the attention gates
# act on all tokens of all blocks, and stay as they are.
QUANTISED = re.compile(
    r"transformer_blocks\.(?P<block>\d+)\..+\.(?P<layer>to_q|to_k|to_v|to_out\.0|net\.0\.proj|net\.2)\.weight"
)
# A quarter of the blocks' weights makes more than half of the error that all of them make at 4 bits.
SENSITIVE = {"to_v", "to_out.0"}

# What `-q` takes, and the bits and the mode of each.
CHOICES = {
    "8": (8, "affine"),
    "4": (4, "affine"),
    "mxfp8": (8, "mxfp8"),
    "mxfp4": (4, "mxfp4"),
    "nvfp4": (4, "nvfp4"),
}


@dataclass(frozen=True)
class QuantizationPolicy:
    """How the weights of a transformer are quantised.

    Attributes:
        spec: of the linear layers of the blocks.
        sensitive_spec: of those where errors do most harm: all of the first and of the last block, and the
            values and outputs of every attention.
    """

    spec: QuantizationSpec
    sensitive_spec: QuantizationSpec

    @staticmethod
    def of(choice: str | int, group_size: int | None = None) -> "QuantizationPolicy":
        """The policy for 8 or 4 bits in groups of 64, or for "mxfp8", "mxfp4" or "nvfp4". What is sensitive
        has 8 bits at least.

        Args:
            group_size: how many weights share a scale, if not 64, in the mode affine; others have but one.

        Raises:
            ConfigError: another choice, or a group size that does not exist.
        """
        if str(choice) not in CHOICES:
            raise ConfigError(f"quantisation {choice!r} is not supported; choose {', '.join(CHOICES)}")
        bits, mode = CHOICES[str(choice)]
        affine = mode == "affine"
        spec = QuantizationSpec(bits, (affine and group_size) or DEFAULT_GROUPS[mode], mode)
        if bits == 8:
            return QuantizationPolicy(spec, spec)
        return QuantizationPolicy(spec, QuantizationSpec(8, spec.group_size if affine else 32))

    def spec_of(self, name: str, shape: tuple[int, ...], num_blocks: int) -> QuantizationSpec | None:
        """How a parameter of the transformer is quantised; None: it is not.

        Args:
            name: in the official spelling, without the file's prefix.
            shape: of the parameter. Rows that are no multiple of the group size stay as they are.
            num_blocks: of the network.
        """
        match = QUANTISED.fullmatch(name)
        if match is None:
            return None
        sensitive = match["layer"] in SENSITIVE or int(match["block"]) in (0, num_blocks - 1)
        spec = self.sensitive_spec if sensitive else self.spec
        return spec if len(shape) == 2 and shape[1] % spec.group_size == 0 else None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "QuantizationPolicy":
        """The inverse of `to_json`.

        Raises:
            ConfigError: a quantisation that does not exist.
            KeyError, TypeError: something else.
        """
        return QuantizationPolicy(
            *(QuantizationSpec(**values[field.name]) for field in fields(QuantizationPolicy))
        )

    def __str__(self) -> str:
        if self.sensitive_spec == self.spec:
            return str(self.spec)
        return f"{self.spec}; first and last block, attention values and outputs: {self.sensitive_spec}"


def quantize_module(module: nn.Module, policy: QuantizationPolicy, num_blocks: int, prefix: str = "") -> int:
    """Quantise linear layers of a transformer or of a part of it; nothing is computed yet.

    Evaluated one layer after the other (`evaluate`), a weight exists in full only until it is quantised.

    Args:
        num_blocks: of the whole network.
        prefix: of the part's parameters in the network, such as "transformer_blocks.3.".

    Returns:
        The number of layers that were quantised; those that the file has quantised are left as they are.
    """
    layers = []
    for path, layer in module.named_modules():
        if type(layer) is not nn.Linear:
            continue
        spec = policy.spec_of(f"{prefix}{path}.weight", layer.weight.shape, num_blocks)
        if spec is not None:
            parameters = quantize_weight(layer.weight, spec, layer.weight.dtype)
            layers.append((path, quantized_layer(layer, spec, parameters)))
    module.update_modules(tree_unflatten(layers))
    return len(layers)


def evaluate(module: nn.Module) -> None:
    """Compute a network's weights, layer by layer: what one is made from is let go before the next is
    read."""
    for _, layer in module.named_modules():
        mx.eval([value for value in layer.values() if isinstance(value, mx.array)])
    mx.eval(module.parameters())
