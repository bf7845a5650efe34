"""The vocoders as networks: lengths, channel order, precision, configs."""

import math

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError, ShapeError
from ltx_models.vocoder import Vocoder, VocoderConfig, VocoderWithBWE, build_vocoder

HIFI_GAN = {
    "upsample_initial_channel": 8,
    "upsample_rates": [3, 2],
    "upsample_kernel_sizes": [7, 4],
    "resblock_kernel_sizes": [3, 5],
    "resblock_dilation_sizes": [[1, 3], [1, 2]],
    "resblock": "1",
    "stereo": True,
    "num_mels": 4,
}
BIG_VGAN = {
    **HIFI_GAN,
    "resblock": "AMP1",
    "activation": "snakebeta",
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
}
EXTENSION = {
    **BIG_VGAN,
    "upsample_rates": [4, 3],
    "upsample_kernel_sizes": [8, 5],
    "n_fft": 16,
    "hop_length": 4,
    "input_sampling_rate": 16000,
    "output_sampling_rate": 48000,
    "apply_final_activation": False,
}
NESTED = {"vocoder": BIG_VGAN, "bwe": EXTENSION}


def build(section: dict) -> Vocoder | VocoderWithBWE:
    mx.random.seed(3)
    return build_vocoder(VocoderConfig.from_config(section))


def random(*shape: int, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 2),
    frames=st.integers(1, 6),
    rates=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    data=st.data(),
)
def test_length_is_the_product_of_the_rates(
    batch: int, frames: int, rates: list[int], data: st.DataObject
) -> None:
    kernels = [rate + 2 * data.draw(st.integers(0, 5)) for rate in rates]
    network = build({**HIFI_GAN, "upsample_rates": rates, "upsample_kernel_sizes": kernels})
    waveform = network(random(batch, 2, frames, 4))
    assert waveform.shape == (batch, 2, frames * math.prod(rates))
    assert waveform.dtype == mx.float32
    assert float(mx.abs(waveform).max()) <= 1.0


@pytest.mark.parametrize("section", [HIFI_GAN, BIG_VGAN, NESTED], ids=["hifi-gan", "bigvgan", "extended"])
def test_computes_in_float32_per_sample(section: dict) -> None:
    network = build(section)
    mel = random(2, 2, 3, 4)
    both = network(mel)
    assert both.dtype == mx.float32
    np.testing.assert_allclose(np.array(both)[1:], np.array(network(mel[1:])), atol=1e-5)
    assert network(mel.astype(mx.bfloat16)).dtype == mx.float32
    network.eval_every = 1
    np.testing.assert_array_equal(np.array(network(mel)), np.array(both))


def test_left_channel_comes_first() -> None:
    """Input channels are (stereo, mel): the first half of conv_pre sees the left channel only."""
    network = build(HIFI_GAN)
    weight = np.array(network.conv_pre.weight)
    weight[..., 4:] = 0
    network.conv_pre.weight = mx.array(weight)
    mel = random(1, 2, 3, 4)
    left = mx.concatenate([random(1, 1, 3, 4, seed=5), mel[:, 1:]], axis=1)
    right = mx.concatenate([mel[:, :1], random(1, 1, 3, 4, seed=5)], axis=1)
    np.testing.assert_array_equal(np.array(network(mel)), np.array(network(right)))
    assert np.abs(np.array(network(mel)) - np.array(network(left))).max() > 0


def test_extension_adds_to_the_resampled_waveform() -> None:
    """Without a residual the result is the first vocoder's waveform at three times the rate."""
    network = build(NESTED)
    network.bwe_generator.conv_post.weight *= 0
    mel = random(1, 2, 4, 4)
    low = network.vocoder(mel)
    full = network(mel)
    assert low.shape == (1, 2, 24)
    assert full.shape == (1, 2, 72)
    np.testing.assert_allclose(np.array(full), np.clip(np.array(network.resample(low)), -1, 1), atol=1e-6)


def test_extension_pads_to_whole_hops_and_cuts() -> None:
    """Five frames of 6 samples are no multiple of the hop of 4."""
    assert build(NESTED)(random(1, 2, 5, 4)).shape == (1, 2, 90)


def test_extension_keeps_a_sine() -> None:
    network = build(NESTED)
    low = np.sin(2 * np.pi * 1000 * np.arange(400) / 16000)
    full = np.array(network.resample(mx.array(low, mx.float32)[None, None]))[0, 0]
    expected = np.sin(2 * np.pi * 1000 * np.arange(1200) / 48000)
    np.testing.assert_allclose(full[60:-60], expected[60:-60], atol=0.01)


@settings(max_examples=20, deadline=None)
@given(frames=st.integers(1, 6), data=st.data())
def test_extension_hears_no_later_sample(frames: int, data: st.DataObject) -> None:
    network = build(NESTED)
    network.mel_stft.stft_fn.forward_basis = random(18, 1, 16)
    network.mel_stft.mel_basis = mx.abs(random(4, 9))
    kept = data.draw(st.integers(0, frames))
    waveform = random(1, 2, frames * 4)
    changed = mx.concatenate([waveform[..., : kept * 4], random(1, 2, (frames - kept) * 4, seed=9)], axis=-1)
    before, after = network.mel_stft(waveform), network.mel_stft(changed)
    assert before.shape == (1, 2, frames, 4)
    np.testing.assert_array_equal(np.array(before)[:, :, :kept], np.array(after)[:, :, :kept])


@pytest.mark.parametrize("shape", [(1, 1, 3, 4), (1, 2, 3, 5), (2, 3, 4)])
def test_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="vocoder takes"):
        build(HIFI_GAN)(mx.zeros(shape))


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({**HIFI_GAN, "resblock": "2"}, "resblock"),
        ({**HIFI_GAN, "stereo": False}, "stereo"),
        ({**BIG_VGAN, "activation": "snake"}, "activation"),
        ({**HIFI_GAN, "upsample_rates": [3]}, "upsample_rates"),
        ({**HIFI_GAN, "upsample_kernel_sizes": [6, 4]}, "upsample_kernel_sizes"),
        ({**HIFI_GAN, "resblock_kernel_sizes": [3]}, "resblock_kernel_sizes"),
        ({**HIFI_GAN, "resblock_kernel_sizes": [3, 4]}, "resblock_kernel_sizes"),
        ({**HIFI_GAN, "upsample_initial_channel": 3}, "upsample_initial_channel"),
        ({"bwe": EXTENSION}, "vocoder"),
        ({**NESTED, "bwe": {k: v for k, v in EXTENSION.items() if k != "n_fft"}}, "n_fft"),
        ({**NESTED, "bwe": {**EXTENSION, "output_sampling_rate": 44100}}, "output_sampling_rate"),
        ({**NESTED, "bwe": {**EXTENSION, "hop_length": 5}}, "upsample_rates"),
        ({**NESTED, "bwe": {**EXTENSION, "apply_final_activation": True}}, "apply_final_activation"),
    ],
)
def test_config_refuses_what_the_network_lacks(section: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        VocoderConfig.from_config(section)


def test_sampling_rates_come_from_the_config() -> None:
    assert build(HIFI_GAN).output_sampling_rate == 24000
    assert build({**HIFI_GAN, "output_sampling_rate": 32000}).output_sampling_rate == 32000
    extended = build(NESTED)
    assert isinstance(extended, VocoderWithBWE)
    assert (extended.vocoder.output_sampling_rate, extended.output_sampling_rate) == (16000, 48000)


def test_config_defaults_are_the_official_sizes() -> None:
    config = VocoderConfig.from_config({}).generator
    assert (config.hop_length, config.upsample_initial_channel, config.mel_bins) == (240, 1024, 64)
    assert config.final_activation == "tanh"


@settings(max_examples=20, deadline=None)
@given(
    rate=st.integers(1, 4),
    activation=st.sampled_from([HIFI_GAN, BIG_VGAN]),
    frames=st.integers(1, 4),
)
def test_final_activation_bounds_the_waveform(rate: int, activation: dict, frames: int) -> None:
    network = build({**activation, "upsample_rates": [rate], "upsample_kernel_sizes": [rate + 2]})
    network.conv_post.weight *= 1e4
    assert float(mx.abs(network(random(1, 2, frames, 4))).max()) <= 1.0
