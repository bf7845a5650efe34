"""LTX-2 checkpoints to MLX networks: official files, lazily, without a conversion step."""

import ltx_core  # noqa: F401  (loads the BLAS before mlx)

from ltx_loaders.checkpoint import Checkpoint, Group
from ltx_loaders.components import COMPONENTS, Component
from ltx_loaders.conversion import Conversion, convert
from ltx_loaders.errors import LoaderError
from ltx_loaders.fusion import LoraFusion, LoraReport, fuse_loras, parameter_shapes, unfuse_loras
from ltx_loaders.gemma import find_gemma_directory, load_gemma, read_gemma_config
from ltx_loaders.header import SafetensorsHeader, TensorInfo
from ltx_loaders.lora import Lora
from ltx_loaders.pack import Pack
from ltx_loaders.policy import QuantizationPolicy, evaluate, quantize_module
from ltx_loaders.quantize import QuantizationSpec
from ltx_loaders.streaming import StreamedBlocks, nbytes, stream
from ltx_loaders.upsampler import load_upsampler
from ltx_loaders.versions import parse_version
from ltx_loaders.watch import ChangedFileError, FileWatch
from ltx_loaders.weights import KeyMap, load_weights

__all__ = [
    "COMPONENTS",
    "ChangedFileError",
    "Checkpoint",
    "Component",
    "Conversion",
    "FileWatch",
    "Group",
    "KeyMap",
    "LoaderError",
    "Lora",
    "LoraFusion",
    "LoraReport",
    "Pack",
    "QuantizationPolicy",
    "QuantizationSpec",
    "SafetensorsHeader",
    "StreamedBlocks",
    "TensorInfo",
    "convert",
    "evaluate",
    "find_gemma_directory",
    "fuse_loras",
    "load_gemma",
    "load_upsampler",
    "load_weights",
    "nbytes",
    "parameter_shapes",
    "parse_version",
    "quantize_module",
    "read_gemma_config",
    "stream",
    "unfuse_loras",
]
