"""What a converted checkpoint says of itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ltx_core.errors import ConfigError

from ltx_loaders.errors import LoaderError
from ltx_loaders.header import TensorInfo
from ltx_loaders.policy import QuantizationPolicy

METADATA_KEY = "ltx_pack"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Pack:
    """What `convert` made a checkpoint of, for people: loading it needs none of this.

    Attributes:
        source: name of the file or folder.
        policy: how its transformer was quantised; None: not at all.
        files: of the source, each with "file", "bytes" and "sha256".
    """

    source: str
    policy: QuantizationPolicy | None
    files: tuple[Mapping[str, Any], ...]

    @staticmethod
    def read(metadata: Mapping[str, str]) -> "Pack | None":
        """From the metadata of a checkpoint; None for one that `convert` has not made.

        Raises:
            LoaderError: it is of a later version, or damaged.
        """
        if METADATA_KEY not in metadata:
            return None
        try:
            values = json.loads(metadata[METADATA_KEY])
            version, source, files = (values[key] for key in ("format_version", "source", "files"))
            quantization = values["quantization"]
            policy = None if quantization is None else QuantizationPolicy.from_json(quantization)
            if not isinstance(version, int) or not isinstance(source, str) or not isinstance(files, list):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError, ConfigError):
            raise LoaderError(f"the metadata entry {METADATA_KEY!r} is damaged; convert anew") from None
        if version > FORMAT_VERSION:
            raise LoaderError(
                f"this pack has format {version}, and {FORMAT_VERSION} is known; update ltx-loaders"
            )
        return Pack(source, policy, tuple(files))

    def count(self, infos: Mapping[str, TensorInfo]) -> dict[str, int]:
        """How many numbers each tensor stands for; scales and offsets for none."""
        counts = {name: info.size for name, info in infos.items()}
        specs = [] if self.policy is None else [self.policy.spec, self.policy.sensitive_spec]
        for name, scales in infos.items():
            stem = name.removesuffix(".scales")
            weight = infos.get(f"{stem}.weight")
            if stem == name or weight is None or weight.dtype != "U32":
                continue
            for spec in specs:
                if weight.size * 32 == scales.size * spec.group_size * spec.bits:
                    counts[f"{stem}.weight"] = scales.size * spec.group_size
            counts[name] = counts[f"{stem}.biases"] = 0
        return counts
