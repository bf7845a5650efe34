"""What the tensors of LoRA files are called, by the programs that write them.

A name is made of prefixes, the module that is changed, and what the tensor is of its change:
`diffusion_model.transformer_blocks.0.attn1.to_q.lora_A.weight`.
"""

import re
from collections.abc import Iterable

from ltx_loaders.diffusers_keys import TRANSFORMER_RENAMES

FACTORS = re.compile(
    r"(?P<module>.+)\.(?P<factor>lora_[AB]|lora_down|lora_up|lora\.down|lora\.up)(\.[^.]+)?\.weight"
)
A_FACTORS = {"lora_A", "lora_down", "lora.down"}
# The last part of other names, and what it is of a module's change.
ENDINGS = {".alpha": "alpha", ".diff": "diff", ".diff_b": "diff_b"}

PREFIXES = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.")
# Of files whose modules are spelled with underscores throughout.
FLAT_PREFIXES = ("lora_unet_", "lora_transformer_", "lycoris_")

# Parts of names that tell other kinds of adapters, whose change is no sum of products.
OTHER_KINDS = {
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "hada_w": "LoHa",
    "lokr_w": "LoKr",
    "lora_mid": "LoCon with a third factor",
    "oft_blocks": "OFT",
    "oft_diag": "OFT",
    "boft_": "BOFT",
    "lora_A.bias": "LoRA with biases",
    "lora_B.bias": "LoRA with biases",
}


def split_name(key: str) -> tuple[str, str] | None:
    """The module that a tensor changes, with all prefixes, and what it is of the change: "A", "B", "alpha",
    "diff" or "diff_b"; None for a tensor that is no part of a LoRA."""
    if match := FACTORS.fullmatch(key):
        return match["module"], "A" if match["factor"] in A_FACTORS else "B"
    for ending, part in ENDINGS.items():
        if key.endswith(ending) and len(key) > len(ending):
            return key[: -len(ending)], part
    return None


def other_kind(keys: Iterable[str]) -> tuple[str, str] | None:
    """The kind of adapter that a file holds if it cannot be applied here, and the key that tells."""
    for key in keys:
        for part, kind in OTHER_KINDS.items():
            if part in key:
                return kind, key
    return None


def strip_prefixes(module: str) -> str:
    """The module's own name."""
    for prefix in PREFIXES:
        module = module.removeprefix(prefix)
    return module


class Spellings:
    """The weights of a network by every name that LoRA files give to their modules.

    Args:
        names: of the network's parameters, in the official spelling.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        self._flat: dict[str, str | None] = {}
        for name in names:
            module = name.removesuffix(".weight")
            for spelling in {module, TRANSFORMER_RENAMES.to_diffusers(module)}:
                self._names[spelling] = name
                flat = spelling.replace(".", "_")
                # Two modules of the same flat name could not be told apart.
                self._flat[flat] = name if self._flat.get(flat, name) == name else None

    def find(self, module: str) -> str | None:
        """The weight of a module as a file calls it; None if the network has none of this name."""
        for prefix in FLAT_PREFIXES:
            if module.startswith(prefix):
                return self._flat.get(module.removeprefix(prefix))
        return self._names.get(strip_prefixes(module))
