"""Repositories in diffusers' format: a folder for each network, other names of tensors, other configs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ltx_core.errors import ConfigError

from ltx_loaders.diffusers_config import (
    audio_vae_section,
    transformer_section,
    upsampler_config,
    vocoder_section,
)
from ltx_loaders.diffusers_keys import (
    AUDIO_VAE_RENAMES,
    CONNECTOR_RENAMES,
    TRANSFORMER_RENAMES,
    VOCODER_RENAMES,
    Renames,
    video_vae_renames,
)
from ltx_loaders.diffusers_video_vae import video_vae_section
from ltx_loaders.errors import LoaderError
from ltx_loaders.header import SafetensorsHeader, pickles_in
from ltx_loaders.sources import SourceFile, Sources, read_json, read_shards
from ltx_loaders.versions import generation_of

CLASSES = {
    "transformer": ("LTX2VideoTransformer3DModel",),
    "connectors": ("LTX2TextConnectors",),
    "vae": ("AutoencoderKLLTX2Video",),
    "audio_vae": ("AutoencoderKLLTX2Audio",),
    "vocoder": ("LTX2Vocoder", "LTX2VocoderWithBWE"),
    "latent_upsampler": ("LTX2LatentUpsamplerModel",),
}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def is_diffusers(folder: Path) -> bool:
    """Whether a folder is laid out as diffusers saves pipelines."""
    return (folder / "model_index.json").is_file() or any(
        (folder / name / "config.json").is_file() for name in CLASSES
    )


def open_diffusers(folder: Path) -> Sources:
    """The LTX-2 networks of a repository, as far as it holds them; their headers and configs are read.

    Raises:
        LoaderError: damaged or incomplete, of another model, or saved as pickle files.
        ConfigError: a config that official checkpoints have no word for.
    """
    configs = {
        name: _config(folder, name)
        for name in CLASSES
        if name != "latent_upsampler" and (folder / name / "config.json").is_file()
    }
    if not configs:
        raise LoaderError(
            f"{folder} is a diffusers repository without any of the folders {', '.join(CLASSES)}; it is "
            "incomplete, or of another model"
        )
    config: dict[str, Any] = {}
    renames: dict[str, Renames] = {}
    if "transformer" in configs:
        transformer, connectors = configs["transformer"], configs.get("connectors")
        config["transformer"] = _translate(
            folder / "transformer", lambda section: transformer_section(section, connectors), transformer
        )
        renames["transformer"] = TRANSFORMER_RENAMES
        if connectors is not None:
            renames["connectors"] = CONNECTOR_RENAMES
    if "vae" in configs:
        config["vae"] = _translate(folder / "vae", video_vae_section, configs["vae"])
        renames["vae"] = video_vae_renames(
            len(config["vae"]["encoder_blocks"]) // 2, len(config["vae"]["decoder_blocks"]) // 2
        )
    if "audio_vae" in configs:
        config["audio_vae"] = _translate(folder / "audio_vae", audio_vae_section, configs["audio_vae"])
        renames["audio_vae"] = AUDIO_VAE_RENAMES
    if "vocoder" in configs:
        config["vocoder"] = _translate(folder / "vocoder", vocoder_section, configs["vocoder"])
        renames["vocoder"] = VOCODER_RENAMES
    files = [
        SourceFile(header, {table.to_official(name): name for name in header.tensors})
        for name, table in renames.items()
        for header in _headers(folder / name)
    ]
    # Its files state no version, and what a model is best used with goes by it.
    version = {"model_version": generation_of(config["transformer"])} if "transformer" in config else {}
    return Sources(folder, "diffusers repository", tuple(files), config, version)


def upsampler_folder(path: Path) -> tuple[SafetensorsHeader, dict[str, Any]]:
    """Header and official config of a diffusers `latent_upsampler` folder, or of one inside `path`.

    Raises:
        LoaderError: there is none, or it is damaged.
    """
    folder = path / "latent_upsampler" if (path / "latent_upsampler").is_dir() else path
    config = _translate(folder, upsampler_config, _config(folder.parent, folder.name, "latent_upsampler"))
    headers = _headers(folder)
    if len(headers) > 1:
        raise LoaderError(f"{folder} holds {len(headers)} weight files; a latent upscaler has one")
    return headers[0], config


def _config(folder: Path, name: str, kind: str | None = None) -> dict[str, Any]:
    path = folder / name / "config.json"
    config = read_json(path)
    wanted, given = CLASSES[kind or name], config.get("_class_name")
    if given not in wanted:
        raise LoaderError(f"{path} describes {given!r}, not {' or '.join(wanted)}; use an LTX-2 repository")
    return config


def _translate(
    folder: Path, section: Callable[[Mapping[str, Any]], dict[str, Any]], config: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        return section(config)
    except ConfigError as error:
        raise ConfigError(f"{folder / 'config.json'}: {error}") from None


def _headers(folder: Path) -> list[SafetensorsHeader]:
    """The weight files of one network: those of the index, or the one file without a variant in its name."""
    index = folder / f"{WEIGHTS}.index.json"
    if index.is_file():
        return [SafetensorsHeader.read(file) for file in read_shards(index)]
    files = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return [SafetensorsHeader.read(files[0])]
    if files:
        names = ", ".join(file.name for file in files)
        raise LoaderError(f"{folder} holds several weight files and no index ({names}); keep one variant")
    if pickles := pickles_in(folder):
        raise LoaderError(pickles)
    raise LoaderError(f"{folder} holds no weights ({WEIGHTS}); the repository is incomplete, download it")
