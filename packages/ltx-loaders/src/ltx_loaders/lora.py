"""Low-rank adapters (LoRA, arXiv 2106.09685), fused into the weights of a network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ltx_loaders.errors import LoaderError
from ltx_loaders.header import SafetensorsHeader
from ltx_loaders.sources import read_tensors

PREFIX = "diffusion_model."
SUFFIXES = {".lora_A.weight": "A", ".lora_B.weight": "B"}

Factors = dict[str, dict[str, mx.array]]


@dataclass(frozen=True)
class Lora:
    """An adapter file: its header, and what it says of how to use it.

    Attributes:
        header: tensor names and raw metadata.
        reference_downscale_factor: in-context LoRAs: the reference video is this many times smaller than the
            clip along each side, and its positions are scaled up by it. 1 for other LoRAs.
        reference_temporal_scale_factor: the same for time.
    """

    header: SafetensorsHeader
    reference_downscale_factor: int = 1
    reference_temporal_scale_factor: int = 1

    @staticmethod
    def open(path: str | Path) -> "Lora":
        """Open an adapter file; only its header is read.

        Raises:
            LoaderError: the file is missing, damaged, holds no LoRA, or has a factor that is no whole number
                of at least 1.
        """
        header = SafetensorsHeader.read(path)
        if not any(name.endswith(suffix) for name in header.tensors for suffix in SUFFIXES):
            raise LoaderError(
                f"{path} is no LoRA: it has no tensors that end in {' or '.join(SUFFIXES)}; check the path"
            )
        return Lora(
            header,
            _factor(header, "reference_downscale_factor"),
            _factor(header, "reference_temporal_scale_factor"),
        )

    def tensors(self) -> dict[str, mx.array]:
        """The factors, lazily, under their names in the file."""
        return read_tensors(self.header)


def _factor(header: SafetensorsHeader, key: str) -> int:
    text = header.metadata.get(key, "1")
    if not text.strip().isdecimal() or int(text) < 1:
        raise LoaderError(
            f"{header.path}: metadata entry {key!r} is {text!r}; it must be a whole number of at least 1"
        )
    return int(text)


def _factors(tensors: Mapping[str, mx.array]) -> Factors:
    """Factors {"A": (rank, in), "B": (out, rank)} by the name of the weight that they change."""
    factors: Factors = {}
    foreign = []
    for key, tensor in tensors.items():
        suffix = next((suffix for suffix in SUFFIXES if key.endswith(suffix)), None)
        if suffix is None or not key.startswith(PREFIX):
            foreign.append(key)
            continue
        name = key[len(PREFIX) : -len(suffix)] + ".weight"
        factors.setdefault(name, {})[SUFFIXES[suffix]] = tensor
    if foreign:
        raise LoaderError(
            f"{len(foreign)} tensors are not in the official LoRA format ({', '.join(sorted(foreign)[:3])}); "
            f"expected {PREFIX}<module>.lora_A.weight and .lora_B.weight"
        )
    return factors


def fuse_loras(
    module: nn.Module,
    loras: Sequence[tuple[Mapping[str, mx.array], float]],
    ignores: Callable[[str], bool] = lambda name: False,
) -> int:
    """Add W + strength * B A to the weights of a network; nothing is computed yet.

    Args:
        module: a network whose weights have their official names and are not quantised.
        loras: for each LoRA its tensors, in the official format (there is no alpha), and its strength. Deltas
            of several are summed in float32, and the sum is rounded once to the weight's dtype.
        ignores: says of the name of a weight that the network goes without it, and so without its change:
            `KeyMap.ignores` of a part of a network.

    Returns:
        The number of pairs of factors that were applied; a LoRA of strength 0 applies none.

    Raises:
        LoaderError: foreign tensors, a LoRA without any pair, factors that belong to no weight of the network
            or do not fit it. The network is then unchanged.
    """
    weights = dict(tree_flatten(module.parameters()))
    fused: dict[str, mx.array] = {}
    applied = 0
    for tensors, strength in loras:
        factors = _factors(tensors)
        if not factors:
            raise LoaderError("a LoRA holds no tensors: there is nothing to apply")
        problems = []
        for name, pair in factors.items():
            if name not in weights and ignores(name):
                continue
            weight, a, b = weights.get(name), pair.get("A"), pair.get("B")
            if weight is None:
                problems.append(f"{name} is no weight of this network")
            elif a is None or b is None:
                problems.append(f"{name} has one of its two factors only")
            elif weight.shape != (b.shape[0], a.shape[-1]) or a.shape[0] != b.shape[-1]:
                problems.append(f"{name} is {weight.shape}, its factors are {a.shape} and {b.shape}")
            elif strength:
                delta = (strength * b.astype(mx.float32)) @ a.astype(mx.float32)
                fused[name] = fused.get(name, weight.astype(mx.float32)) + delta
                applied += 1
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise LoaderError(f"the LoRA is for another network: {'; '.join(problems[:3])}{more}")
    module.load_weights([(name, w.astype(weights[name].dtype)) for name, w in fused.items()], strict=False)
    return applied
