from typing import Any

import pytest
from ltx_core.errors import ConfigError
from ltx_models.video_vae import VideoDecoder, VideoEncoder, VideoVAEConfig

SECTION: dict[str, Any] = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "latent_channels": 4,
    "decoder_base_channels": 2,
    "timestep_conditioning": False,
    "encoder_blocks": [["res_x", 1], ["compress_space_res", {"multiplier": 1}], ["compress_time_res", {}]],
    "decoder_blocks": [
        ["res_x", {"num_layers": 2, "inject_noise": False}],
        ["compress_all", {"multiplier": 2, "residual": True}],
    ],
}


def test_values_and_defaults() -> None:
    config = VideoVAEConfig.from_config(SECTION)
    assert config.scale_factors == (2, 8, 8)
    assert (config.latent_channels, config.in_channels, config.patch_size) == (4, 3, 4)
    assert [block.name for block in config.decoder_blocks] == ["compress_all", "res_x"]
    assert config.decoder_blocks[0].residual
    assert [block.multiplier for block in config.encoder_blocks] == [1, 1, 2]
    assert config.decoder_in_channels == 4
    assert config.encoder_out_channels == 5
    assert not config.causal_decoder


@pytest.mark.parametrize(
    ("changes", "encoder", "decoder"),
    [
        ({}, "zeros", "reflect"),
        ({"spatial_padding_mode": "zeros"}, "zeros", "zeros"),
        ({"spatial_padding_mode": "reflect"}, "reflect", "reflect"),
        ({"encoder_spatial_padding_mode": "reflect"}, "reflect", "reflect"),
    ],
)
def test_one_padding_key_has_two_defaults(changes: dict[str, Any], encoder: str, decoder: str) -> None:
    config = VideoVAEConfig.from_config(SECTION | changes)
    assert (config.encoder_padding, config.decoder_padding) == (encoder, decoder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "CausalDiffusionVAE"}, "_class_name"),
        ({"dims": 2}, "dims"),
        ({"norm_layer": "group_norm"}, "norm_layer"),
        ({"latent_log_var": "none"}, "latent_log_var.*uniform"),
        ({"timestep_conditioning": True}, "timestep_conditioning"),
        ({"spatial_padding_mode": "circular"}, "spatial_padding_mode.*'zeros', 'reflect'"),
        ({"encoder_blocks": []}, "encoder_blocks.*missing"),
        ({"decoder_blocks": [["attn", {}]]}, "attn.*supported: res_x"),
        ({"decoder_blocks": [["compress_all_res", {}]]}, "supported"),
        ({"encoder_blocks": [["compress_all", {}]]}, "supported"),
        ({"encoder_blocks": ["res_x"]}, "a block is"),
        ({"encoder_blocks": [["res_x", {}]]}, "num_layers"),
        ({"decoder_blocks": [["res_x", {"num_layers": 1, "inject_noise": True}]]}, "inject_noise"),
        ({"encoder_blocks": [["compress_space_res", {}]]}, "disagree"),
    ],
)
def test_what_the_networks_cannot_honour_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VideoVAEConfig.from_config(SECTION | changes)


def test_timestep_conditioning_is_true_when_absent() -> None:
    section = {key: value for key, value in SECTION.items() if key != "timestep_conditioning"}
    with pytest.raises(ConfigError, match="timestep_conditioning"):
        VideoVAEConfig.from_config(section)


def test_channels_that_do_not_divide_are_refused() -> None:
    config = VideoVAEConfig.from_config(SECTION | {"latent_channels": 2})
    with pytest.raises(ConfigError, match="encoder block"):
        VideoEncoder(config)
    blocks = [["compress_all", {"multiplier": 1, "residual": True}]]
    config = VideoVAEConfig.from_config(SECTION | {"decoder_blocks": blocks, "decoder_base_channels": 3})
    with pytest.raises(ConfigError, match="residual decoder block"):
        VideoDecoder(config)
