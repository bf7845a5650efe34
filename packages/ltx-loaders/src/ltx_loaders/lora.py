"""Files of low-rank adapters (LoRA, arXiv 2106.09685), as the programs that train them write them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from ltx_loaders.errors import LoaderError
from ltx_loaders.header import SafetensorsHeader, TensorInfo
from ltx_loaders.lora_names import other_kind, split_name, strip_prefixes
from ltx_loaders.sources import read_tensors

FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True)
class Scaling:
    """What PEFT's configuration says of the factor alpha / rank; None for alpha: the factor is 1.

    Attributes:
        alpha: for all modules but those of `patterns`.
        patterns: the end of a module's name -> its alpha.
        rank_stabilised: divide by the root of the rank.
    """

    alpha: float | None = None
    patterns: tuple[tuple[str, float], ...] = ()
    rank_stabilised: bool = False

    def factor(self, module: str, rank: int) -> float:
        alpha = self.alpha
        for pattern, own in self.patterns:
            if module == pattern or module.endswith("." + pattern):
                alpha = own
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)


@dataclass(frozen=True)
class Lora:
    """An adapter file: its header, and what it says of how to use it.

    Attributes:
        header: tensor names and raw metadata.
        modules: module as the file calls it -> what of its change ("A", "B", "alpha", "diff", "diff_b") ->
            the tensor's name.
        others: tensors that are no part of a change.
        scaling: factors of modules that have no alpha of their own.
        reference_downscale_factor: in-context LoRAs: the reference video is this many times smaller than the
            clip along each side, and its positions are scaled up by it. 1 for other LoRAs.
        reference_temporal_scale_factor: the same for time.
    """

    header: SafetensorsHeader
    modules: Mapping[str, Mapping[str, str]]
    others: tuple[str, ...] = ()
    scaling: Scaling = Scaling()
    reference_downscale_factor: int = 1
    reference_temporal_scale_factor: int = 1

    @staticmethod
    def open(path: str | Path) -> "Lora":
        """Open an adapter file; only its header is read.

        Raises:
            LoaderError: the file is missing, damaged, holds no LoRA or an adapter of another kind (DoRA,
                LoHa, ...), or says something of its use that cannot be.
        """
        header = SafetensorsHeader.read(path)
        if other := other_kind(header.tensors):
            kind, key = other
            raise LoaderError(
                f"{path} is a {kind} ({key}), whose change to a weight is no plain product of two factors; "
                "use a plain LoRA, or have its trainer write the change out as one"
            )
        modules, others = _modules(header)
        if not modules:
            raise LoaderError(
                f"{path} is no LoRA: it has no tensors such as <module>.lora_A.weight, "
                "<module>.lora_down.weight or <module>.diff; check the path"
            )
        return Lora(
            header,
            modules,
            others,
            _scaling(header),
            _factor(header, "reference_downscale_factor"),
            _factor(header, "reference_temporal_scale_factor"),
        )

    @property
    def path(self) -> Path:
        return self.header.path

    def tensors(self) -> dict[str, mx.array]:
        """The tensors, lazily, under their names in the file; new ones with each call."""
        return read_tensors(self.header)

    def shape(self, module: str, part: str) -> tuple[int, ...]:
        """Of the change to a module's weight ("weight") or bias ("bias")."""
        names = self.modules[module]
        if part == "bias":
            return self.header.tensors[names["diff_b"]].shape
        if "A" in names:
            return (self.header.tensors[names["B"]].shape[0], self.header.tensors[names["A"]].shape[1])
        return self.header.tensors[names["diff"]].shape

    def change(self, tensors: Mapping[str, mx.array], module: str, part: str, strength: float) -> mx.array:
        """strength * alpha / rank * B A, or a full difference, in float32.

        Args:
            tensors: what `tensors` returned.
            part: "weight" or "bias".
        """
        names = self.modules[module]
        if part == "bias":
            return strength * tensors[names["diff_b"]].astype(mx.float32)
        if "A" not in names:
            return strength * tensors[names["diff"]].astype(mx.float32)
        a, b = (tensors[names[factor]].astype(mx.float32) for factor in "AB")
        if "alpha" in names:
            b = b * tensors[names["alpha"]].astype(mx.float32).reshape(()) / a.shape[0]
        else:
            strength *= self.scaling.factor(strip_prefixes(module), a.shape[0])
        return (strength * b) @ a


def _modules(header: SafetensorsHeader) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """Changes by module, and what is no part of one."""
    modules: dict[str, dict[str, str]] = {}
    others = []
    for key in header.tensors:
        parts = split_name(key)
        if parts is None:
            others.append(key)
            continue
        module, part = parts
        names = modules.setdefault(module, {})
        if part in names:
            raise LoaderError(f"{header.path} is damaged: {names[part]} and {key} are the same of one module")
        names[part] = key
    for module in [module for module, names in modules.items() if set(names) == {"alpha"}]:
        others.append(modules.pop(module)["alpha"])
    for module, names in modules.items():
        if why := _problem({part: header.tensors[key] for part, key in names.items()}):
            raise LoaderError(f"{header.path} is damaged: the change to {module} {why}")
    return modules, tuple(others)


def _problem(infos: Mapping[str, TensorInfo]) -> str | None:
    """What is wrong with the tensors of one module's change."""
    if foreign := sorted({info.dtype for info in infos.values()} - FLOATS):
        return f"has dtype {foreign[0]}; known are {', '.join(sorted(FLOATS))}"
    a, b = infos.get("A"), infos.get("B")
    if (a is None) != (b is None):
        return "has one of its two factors only"
    if a and b:
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1] or not a.shape[0]:
            return f"has factors of shapes {a.shape} and {b.shape}, which have no product"
        if "diff" in infos:
            return "has both factors and a full difference"
    if "alpha" in infos and infos["alpha"].size != 1:
        return f"has an alpha of {infos['alpha'].size} numbers"
    return None


def _scaling(header: SafetensorsHeader) -> Scaling:
    """From the metadata that diffusers writes, or the configuration that PEFT writes beside the file."""
    if (text := header.metadata.get("lora_adapter_metadata")) is not None:
        source, prefix = f"{header.path}: metadata entry 'lora_adapter_metadata'", "transformer."
    elif (file := header.path.parent / "adapter_config.json").is_file():
        source, prefix = str(file), ""
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            text = ""
    else:
        return Scaling()
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise LoaderError(f"{source} is not a JSON object; the scale of the LoRA cannot be told")
    if values.get(f"{prefix}use_dora"):
        raise LoaderError(f"{source} says that it is a DoRA; use a plain LoRA")
    patterns = values.get(f"{prefix}alpha_pattern") or {}
    alpha = values.get(f"{prefix}lora_alpha")
    numbers = [alpha, *(patterns.values() if isinstance(patterns, dict) else ["no object"])]
    for number in numbers:
        if number is not None and (type(number) not in (int, float) or not abs(number) < 1e6):
            raise LoaderError(f"{source} gives {number!r} as an alpha of the LoRA; it must be a number")
    return Scaling(alpha, tuple(patterns.items()), bool(values.get(f"{prefix}use_rslora")))


def _factor(header: SafetensorsHeader, key: str) -> int:
    text = header.metadata.get(key, "1")
    if not text.strip().isdecimal() or len(text) > 9 or int(text) < 1:
        raise LoaderError(
            f"{header.path}: metadata entry {key!r} is {text!r}; it must be a whole number of at least 1"
        )
    return int(text)
