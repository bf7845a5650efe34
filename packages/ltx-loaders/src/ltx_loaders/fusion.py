"""LoRAs fused into the weights of a network, and taken out again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ltx_loaders.errors import LoaderError
from ltx_loaders.fp8 import Fp8Linear, dequantise, requantised
from ltx_loaders.lora import Lora
from ltx_loaders.lora_names import Spellings
from ltx_loaders.quantize import dequantized, quantized_like, weight_shape


@dataclass(frozen=True)
class LoraReport:
    """What became of a LoRA.

    Attributes:
        name: of its file.
        strength: that it was applied at.
        applied: changes that belong to weights of the network.
        unmatched: modules and tensors in the file that do not.
    """

    name: str
    strength: float
    applied: int
    unmatched: tuple[str, ...] = ()

    def __str__(self) -> str:
        at = "" if self.strength == 1 else f" at strength {self.strength:g}"
        text = f"{self.name}: {self.applied} weights changed{at}"
        if self.unmatched:
            more = ", ..." if len(self.unmatched) > 3 else ""
            text += f"; {len(self.unmatched)} names do not belong to this network: "
            text += ", ".join(self.unmatched[:3]) + more
        return text


@dataclass(frozen=True)
class LoraFusion:
    """Which changes of which LoRAs go to which weights of a network. Holds no tensors.

    Attributes:
        loras: with their strengths.
        changes: name of a parameter -> for each change to it the LoRA's position and its module's name there.
        reports: one for each LoRA.
    """

    loras: tuple[tuple[Lora, float], ...]
    changes: Mapping[str, Sequence[tuple[int, str]]]
    reports: tuple[LoraReport, ...]

    @staticmethod
    def of(
        loras: Sequence[tuple[Lora, float]], shapes: Mapping[str, tuple[int, ...]], *, part: bool = False
    ) -> "LoraFusion":
        """Find the weights that LoRAs change; nothing is read.

        Args:
            loras: with the factors of their changes; one of 0 changes nothing, but must fit.
            shapes: of the network's parameters, quantised ones as they were: `parameter_shapes`.
            part: the network is a part of the one that the LoRAs are for; what it lacks, it goes without.

        Raises:
            LoaderError: a LoRA that belongs to no weight of the network, or to weights of other shapes.
        """
        spellings = Spellings(shapes)
        changes: dict[str, list[tuple[int, str]]] = {}
        reports = []
        for index, (lora, strength) in enumerate(loras):
            unmatched = list(lora.others)
            misshapen = []
            applied = 0
            for module, tensors in lora.modules.items():
                weight = spellings.find(module)
                parts = {"weight": weight} if tensors.keys() & {"A", "diff"} else {}
                if "diff_b" in tensors:
                    bias = None if weight is None else weight.removesuffix(".weight") + ".bias"
                    parts["bias"] = bias if bias in shapes else None
                for kind, name in parts.items():
                    if name is None:
                        unmatched.append(module)
                        continue
                    if (shape := lora.shape(module, kind)) != shapes[name]:
                        misshapen.append(f"{name} is {_order(shapes[name])} here and {_order(shape)} there")
                        continue
                    applied += 1
                    if strength:
                        changes.setdefault(name, []).append((index, module))
            if misshapen:
                raise LoaderError(
                    f"{lora.path}: the LoRA is for a model of another generation or size: "
                    f"{_first(misshapen, '; ')}; use one that was made for this model"
                )
            if not applied and not part:
                raise LoaderError(
                    f"{lora.path}: the LoRA is for another network: none of its {len(unmatched)} names "
                    f"belongs to a weight of this one ({_first(unmatched, ', ')}); use one for this model"
                )
            reports.append(LoraReport(lora.path.name, strength, applied, () if part else tuple(unmatched)))
        return LoraFusion(tuple(loras), changes, tuple(reports))

    def fuse(self, module: nn.Module, prefix: str = "") -> None:
        """Add the changes to the weights of a module; nothing is computed yet.

        Changes of several LoRAs are summed in float32, and the sum is rounded once: to the weight's dtype, or
        to the numbers that its quantisation has.

        Args:
            module: the network, or a part of it.
            prefix: of the part's parameters in the network, such as "transformer_blocks.3.".
        """
        layers = dict(module.named_modules())
        tensors = [lora.tensors() for lora, _ in self.loras]
        for name, changes in self.changes.items():
            if not name.startswith(prefix):
                continue
            path, _, last = name[len(prefix) :].rpartition(".")
            layer = layers.get(path)
            if layer is None or not _stored(layer, last):
                continue
            kind = "bias" if last == "bias" else "weight"
            delta: mx.array | float = 0.0
            for index, source in changes:
                lora, strength = self.loras[index]
                delta = delta + lora.change(tensors[index], source, kind, strength)
            # Of quantised weights one at a time exists in full, when it is computed.
            if kind == "weight" and isinstance(layer, nn.QuantizedLinear):
                layer.update(quantized_like(layer, dequantized(layer) + delta))
            elif kind == "weight" and isinstance(layer, Fp8Linear):
                layer.update(requantised(dequantise(layer.weight_fp8, layer.weight_scale) + delta))
            else:
                layer[last] = (layer[last].astype(mx.float32) + delta).astype(layer[last].dtype)


def parameter_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of a network's parameters by name; of quantised weights, those of the numbers that they stand
    for, without their scales and offsets."""
    parameters: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
    shapes = {name: value.shape for name, value in parameters.items()}
    for path, layer in module.named_modules():
        if isinstance(layer, Fp8Linear):
            shape = layer.weight_fp8.shape
        elif isinstance(layer, nn.QuantizedLinear | nn.QuantizedEmbedding):
            shape = weight_shape(layer)
        else:
            continue
        for key in _stored(layer, "weight"):
            del shapes[f"{path}.{key}"]
        shapes[f"{path}.weight"] = shape
    return shapes


def _stored(layer: nn.Module, parameter: str) -> list[str]:
    """What a layer holds in the place of a parameter: its own name, or the parts of a quantised weight; empty
    if it has none."""
    names = [parameter]
    if parameter == "weight" and isinstance(layer, Fp8Linear):
        names = ["weight_fp8", "weight_scale"]
    elif parameter == "weight" and isinstance(layer, nn.QuantizedLinear | nn.QuantizedEmbedding):
        names = ["weight", "scales", "biases"]
    return [name for name in names if name in layer]


def fuse_loras(
    module: nn.Module, loras: Sequence[tuple[Lora, float]], *, part: bool = False
) -> tuple[LoraReport, ...]:
    """Add LoRAs at strengths to the weights of a network; nothing is computed yet. What they become in
    quantised weights is rounded to these: fuse before quantising where there is a choice.

    Args, errors: as `LoraFusion.of`. After an error the network is unchanged.
    """
    fusion = LoraFusion.of(loras, parameter_shapes(module), part=part)
    fusion.fuse(module)
    return fusion.reports


def unfuse_loras(module: nn.Module, original: nn.Module, names: Iterable[str]) -> None:
    """Give a network the weights back that LoRAs changed, bit for bit.

    Args:
        original: the same network anew, as `Checkpoint.build` gives it: nothing of it is in memory before it
            is computed with, so that only these weights are read, and none is kept twice.
        names: of the parameters, `LoraFusion.changes`.
    """
    layers, originals = dict(module.named_modules()), dict(original.named_modules())
    for name in names:
        path, _, last = name.rpartition(".")
        for key in _stored(layers[path], last):
            layers[path][key] = originals[path][key]


def _order(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _first(texts: Sequence[str], separator: str, limit: int = 3) -> str:
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return separator.join(texts[:limit]) + more
