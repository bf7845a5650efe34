"""The configs of the published checkpoints, and a tiny version of each to try benchmarks out with."""

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "configs"
VERSIONS = ("2.0", "2.3")

Config = dict[str, Any]


@cache
def load_config(version: str, scale: str = "full") -> Config:
    """Sections `transformer`, `vae`, `audio_vae`, `vocoder`, `gemma` and `spatial_upscaler`.

    Args:
        version: of `VERSIONS`.
        scale: "full" for the published sizes, "tiny" for networks of the same kind that run anywhere.
    """
    config: Config = json.loads((FOLDER / f"ltx-{version}.json").read_text())
    return _reduced(config) if scale == "tiny" else config


def _reduced(config: Config) -> Config:
    """The same switches, small numbers."""
    transformer = config["transformer"] | {
        "num_layers": 2,
        "num_attention_heads": 4,
        "attention_head_dim": 32,
        "cross_attention_dim": 128,
        "audio_num_attention_heads": 4,
        "audio_attention_head_dim": 16,
        "audio_cross_attention_dim": 64,
        "caption_channels": 64,
        "in_channels": 16,
        "out_channels": 16,
        "connector_num_layers": 1,
    }
    gemma = config["gemma"] | {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 7,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 256,
    }
    # The connectors have the width of the text features: Gemma's, or that of the stream.
    projected = transformer.get("caption_proj_before_connector", False)
    for prefix, width in (("", 128), ("audio_", 64)):
        heads = {"num_attention_heads": 4, "attention_head_dim": (width if projected else 64) // 4}
        transformer |= {f"{prefix}connector_{name}": value for name, value in heads.items()}
    vae = config["vae"] | {"latent_channels": 16, "decoder_base_channels": 8}
    for key in ("encoder_blocks", "decoder_blocks"):
        vae[key] = [
            [name, settings | {"num_layers": 1} if name == "res_x" else settings]
            for name, settings in vae[key]
        ]
    params = config["audio_vae"]["model"]["params"]
    # The reference takes the width for that of its statistics, which have 8 channels of 16 bins.
    network = params["ddconfig"] | {"ch": 128, "ch_mult": [1, 1, 1], "num_res_blocks": 1}
    audio = config["audio_vae"] | {"model": {"params": params | {"ddconfig": network}}}
    return {
        "transformer": transformer,
        "vae": vae,
        "audio_vae": audio,
        "vocoder": _reduced_vocoder(config["vocoder"]),
        "gemma": gemma,
        "spatial_upscaler": config["spatial_upscaler"] | {"in_channels": 16, "mid_channels": 32},
    }


def _reduced_vocoder(section: Config) -> Config:
    if "bwe" in section:
        return {name: _reduced_vocoder(part) for name, part in section.items()}
    return section | {"upsample_initial_channel": 64} | ({"num_mels": 64} if "hop_length" in section else {})
