"""The audio VAE: shapes, causality, statistics, configs."""

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError, ShapeError
from ltx_core.types import Audio
from ltx_models.audio_vae import (
    AudioDecoder,
    AudioEncoder,
    AudioVAEConfig,
    PerChannelStatistics,
    decode_audio,
    encode_audio,
)
from ltx_models.vocoder import VocoderConfig, build_vocoder

SMALL = {
    "ch": 4,
    "ch_mult": [1, 2, 2],
    "num_res_blocks": 1,
    "z_channels": 2,
    "mel_bins": 16,
    "attn_resolutions": [],
    "mid_block_add_attention": False,
}
LIMITS = settings(max_examples=20, deadline=None)


def section(**changes: object) -> dict:
    return {"model": {"params": {"ddconfig": {**SMALL, **changes}, "sampling_rate": 16000}}}


CONFIG = AudioVAEConfig.from_config(section())
SPREAD = mx.arange(CONFIG.token_dim, dtype=mx.float32)


def give_statistics(network: AudioDecoder | AudioEncoder) -> None:
    network.per_channel_statistics.mean_of_means = SPREAD - 3.0
    network.per_channel_statistics.std_of_means = 0.5 + SPREAD


@pytest.fixture(scope="module")
def decoder() -> AudioDecoder:
    mx.random.seed(1)
    network = AudioDecoder(CONFIG)
    give_statistics(network)
    return network


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    mx.random.seed(2)
    network = AudioEncoder(CONFIG)
    give_statistics(network)
    return network


def random(*shape: int, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


@LIMITS
@given(batch=st.integers(1, 2), frames=st.integers(1, 9))
def test_decoder_gives_four_frames_per_latent_less_three(
    decoder: AudioDecoder, batch: int, frames: int
) -> None:
    mel = decoder(random(batch, 2, frames, 4))
    assert mel.shape == (batch, 2, 4 * frames - 3, 16)


@LIMITS
@given(batch=st.integers(1, 2), frames=st.integers(1, 30))
def test_encoder_gives_one_latent_per_four_frames_begun(
    encoder: AudioEncoder, batch: int, frames: int
) -> None:
    latent = encoder(random(batch, 2, frames, 16))
    assert latent.shape == (batch, 2, -(-frames // 4), 4)
    assert latent.dtype == mx.float32


@LIMITS
@given(frames=st.integers(2, 8), data=st.data())
def test_decoder_is_causal(decoder: AudioDecoder, frames: int, data: st.DataObject) -> None:
    """Latent t reaches the mel frames from 4t - 3 on, and no earlier one."""
    first = data.draw(st.integers(1, frames - 1))
    latent = random(1, 2, frames, 4)
    changed = mx.concatenate([latent[:, :, :first], random(1, 2, frames - first, 4, seed=7)], axis=2)
    before, after = np.array(decoder(latent)), np.array(decoder(changed))
    np.testing.assert_allclose(before[:, :, : 4 * first - 3], after[:, :, : 4 * first - 3], atol=1e-5)
    assert np.abs(before[:, :, 4 * first - 3] - after[:, :, 4 * first - 3]).max() > 1e-4


@LIMITS
@given(frames=st.integers(2, 24), data=st.data())
def test_encoder_is_causal(encoder: AudioEncoder, frames: int, data: st.DataObject) -> None:
    """Mel frame m reaches the latents from m / 4 on, rounded up, and no earlier one."""
    first = data.draw(st.integers(1, frames - 1))
    mel = random(1, 2, frames, 16)
    changed = mx.concatenate([mel[:, :, :first], random(1, 2, frames - first, 16, seed=7)], axis=2)
    kept = -(-first // 4)
    before, after = np.array(encoder(mel)), np.array(encoder(changed))
    np.testing.assert_allclose(before[:, :, :kept], after[:, :, :kept], atol=1e-5)


@LIMITS
@given(channels=st.integers(1, 4), bins=st.integers(1, 5), frames=st.integers(1, 5))
def test_statistics_agree_in_both_layouts_and_invert(channels: int, bins: int, frames: int) -> None:
    """A token lists the bins of channel 0, then those of channel 1, and so on."""
    statistics = PerChannelStatistics(channels * bins)
    statistics.mean_of_means = random(channels * bins)
    statistics.std_of_means = 0.5 + mx.abs(random(channels * bins, seed=1))
    latent = random(2, channels, frames, bins, seed=2)
    tokens = latent.transpose(0, 2, 1, 3).reshape(2, frames, -1)
    normal = statistics.normalize_latent(latent)
    np.testing.assert_array_equal(
        np.array(normal.transpose(0, 2, 1, 3).reshape(2, frames, -1)), np.array(statistics.normalize(tokens))
    )
    np.testing.assert_allclose(np.array(statistics.un_normalize_latent(normal)), np.array(latent), atol=1e-5)
    np.testing.assert_allclose(
        np.array(statistics.un_normalize(statistics.normalize(tokens))), np.array(tokens), atol=1e-5
    )


def test_batch_entries_do_not_mix(decoder: AudioDecoder, encoder: AudioEncoder) -> None:
    latent, mel = random(2, 2, 3, 4), random(2, 2, 9, 16)
    np.testing.assert_allclose(np.array(decoder(latent))[1:], np.array(decoder(latent[1:])), atol=1e-5)
    np.testing.assert_allclose(np.array(encoder(mel))[1:], np.array(encoder(mel[1:])), atol=1e-5)


def test_evaluating_between_levels_changes_nothing(decoder: AudioDecoder, encoder: AudioEncoder) -> None:
    latent, mel = random(1, 2, 3, 4), random(1, 2, 9, 16)
    lazy = np.array(decoder(latent)), np.array(encoder(mel))
    decoder.eval_every = encoder.eval_every = 1
    try:
        np.testing.assert_array_equal(np.array(decoder(latent)), lazy[0])
        np.testing.assert_array_equal(np.array(encoder(mel)), lazy[1])
    finally:
        decoder.eval_every = encoder.eval_every = 0


def test_bfloat16_weights_take_float32_latents() -> None:
    network = AudioDecoder(CONFIG)
    network.set_dtype(mx.bfloat16)
    assert network(random(1, 2, 2, 4)).dtype == mx.bfloat16


def test_encode_audio_and_decode_audio(decoder: AudioDecoder, encoder: AudioEncoder) -> None:
    mono = Audio(0.1 * random(2, 4800), 48000)
    latent = encode_audio(mono, encoder)
    assert latent.shape == (1, 2, 3, 4)  # 1600 samples at 16 kHz, 11 mel frames
    vocoder = build_vocoder(
        VocoderConfig.from_config(
            {
                "upsample_initial_channel": 4,
                "upsample_rates": [2],
                "upsample_kernel_sizes": [4],
                "num_mels": 16,
            }
        )
    )
    decoded = decode_audio(latent, decoder, vocoder)
    assert decoded.waveform.shape == (2, 18)
    assert decoded.sampling_rate == 24000
    with pytest.raises(ShapeError, match="batch of 2"):
        decode_audio(mx.concatenate([latent, latent]), decoder, vocoder)


@pytest.mark.parametrize("shape", [(1, 3, 2, 4), (1, 2, 2, 16), (1, 2, 0, 4), (2, 2, 4)])
def test_decoder_refuses_other_shapes(decoder: AudioDecoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="audio decoder takes"):
        decoder(mx.zeros(shape))


def test_encoder_refuses_mono(encoder: AudioEncoder) -> None:
    with pytest.raises(ShapeError, match="audio encoder takes"):
        encoder(mx.zeros((1, 1, 8, 16)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attn_resolutions", [64]),
        ("mid_block_add_attention", True),
        ("norm_type", "group"),
        ("causality_axis", "width"),
        ("double_z", False),
        ("resamp_with_conv", False),
        ("ch_mult", [1, 2]),
        ("mel_bins", 62),
    ],
)
def test_config_refuses_what_the_network_lacks(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        AudioVAEConfig.from_config(section(**{key: value}))


def test_config_needs_the_number_of_mel_bins_somewhere() -> None:
    with pytest.raises(ConfigError, match="mel_bins"):
        AudioVAEConfig.from_config(section(mel_bins=None))
    elsewhere = {**section(mel_bins=None), "preprocessing": {"mel": {"n_mel_channels": 32}}}
    assert AudioVAEConfig.from_config(elsewhere).mel_bins == 32


def test_config_defaults_are_the_official_sizes() -> None:
    network = {"mel_bins": 64, "mid_block_add_attention": False}
    config = AudioVAEConfig.from_config({"model": {"params": {"ddconfig": network}}})
    assert (config.ch, config.ch_mult, config.z_channels, config.token_dim) == (128, (1, 2, 4), 8, 128)
    assert (config.sample_rate, config.mel_hop_length, config.n_fft) == (16000, 160, 1024)
