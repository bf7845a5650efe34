"""Latent upscalers, each in a file of its own."""

from pathlib import Path
from typing import TYPE_CHECKING

import mlx.core as mx
from ltx_core.errors import ConfigError

from ltx_loaders.diffusers_format import upsampler_folder
from ltx_loaders.errors import LoaderError
from ltx_loaders.header import SafetensorsHeader
from ltx_loaders.limits import build_checked
from ltx_loaders.sources import read_config, read_tensors
from ltx_loaders.weights import KeyMap, load_weights

if TYPE_CHECKING:
    from ltx_models.upsampler import LatentUpsampler


def load_upsampler(path: str | Path, dtype: mx.Dtype) -> "LatentUpsampler":
    """A latent upscaler with its weights; nothing is read from disk yet.

    Args:
        path: the upscaler's file, or a diffusers folder `latent_upsampler` or one that holds it.

    Raises:
        LoaderError: missing, damaged or foreign file, or tensors that do not fit its config.
        ConfigError: an unsupported value in its config.
    """
    from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig

    path = Path(path)
    if path.is_dir():
        header, config = upsampler_folder(path)
    else:
        header = SafetensorsHeader.read(path)
        config = read_config(header)
    if "initial_conv.weight" not in header.tensors:
        raise LoaderError(
            f"{path} is no latent upscaler: it has no tensor 'initial_conv.weight'; "
            "use a ltx-2-*-upscaler file"
        )
    try:
        upsampler = build_checked(
            lambda: LatentUpsampler(LatentUpsamplerConfig.from_config(config)),
            config,
            len(header.tensors),
            str(path),
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    load_weights(upsampler, read_tensors(header), KeyMap({"": ""}), dtype, str(path))
    return upsampler
