"""Convolutions and filters in polyphase form against plain NumPy with inserted zeros."""

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_models.vocoder import convolution
from ltx_models.vocoder.antialias import (
    Activation1d,
    downsample_phases,
    hann_sinc_filter,
    upsample_phases,
)
from ltx_models.vocoder.convolution import conv1d, conv_transpose1d

LIMITS = settings(max_examples=30, deadline=None)
# Kaiser-windowed sinc of the released checkpoints, rounded.
HALF = [0.00202896, 0.00938947, -0.02554346, -0.05765738, 0.12857258, 0.44320980]
KAISER = np.array(HALF + HALF[::-1])


def zero_stuffed(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Transposed convolution by definition: zeros between the samples, then a full convolution."""
    batch, length, _ = x.shape
    out_channels, kernel, _ = weight.shape
    full = np.zeros((batch, (length - 1) * stride + kernel, out_channels))
    for sample in range(length):
        for tap in range(kernel):
            full[:, sample * stride + tap] += x[:, sample] @ weight[:, tap].T
    return full


def interpolated(x: np.ndarray, taps: np.ndarray, ratio: int) -> np.ndarray:
    """The reference's recipe for one signal: replicate, insert zeros, filter, crop."""
    size = len(taps)
    if size % 2:
        pad = (size // 2) // ratio
        left, right = 2 * pad * ratio, size - ratio
    else:
        pad = size // ratio - 1
        left = pad * ratio + (size - ratio) // 2
        right = pad * ratio + (size - ratio + 1) // 2
    padded = np.pad(x, pad, mode="edge")[None, :, None]
    return ratio * zero_stuffed(padded, taps[None, :, None], ratio)[0, left:-right, 0]


def decimated(x: np.ndarray, taps: np.ndarray, ratio: int) -> np.ndarray:
    """The reference's recipe for one signal: replicate, filter, keep every `ratio`-th sample."""
    padded = np.pad(x, (len(taps) // 2 - 1, len(taps) // 2), mode="edge")
    return np.correlate(padded, taps, mode="valid")[::ratio]


@LIMITS
@given(
    batch=st.integers(1, 2),
    length=st.integers(1, 9),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 6),
    extra=st.integers(0, 11),
    data=st.data(),
)
def test_transposed_convolution(
    batch: int, length: int, channels: tuple[int, int], stride: int, extra: int, data: st.DataObject
) -> None:
    kernel = stride + extra
    padding = data.draw(st.integers(0, extra // 2))
    rng = np.random.default_rng(length)
    x, weight = (
        rng.normal(size=(batch, length, channels[0])),
        rng.normal(size=(channels[1], kernel, channels[0])),
    )
    expected = zero_stuffed(x, weight, stride)
    expected = expected[:, padding : expected.shape[1] - padding]
    got = conv_transpose1d(
        mx.array(x, mx.float32), mx.array(weight, mx.float32), stride=stride, padding=padding
    )
    np.testing.assert_allclose(np.array(got), expected, atol=1e-4)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@LIMITS
@given(kernel=st.integers(1, 7), dilation=st.integers(1, 5), padding=st.integers(0, 6))
def test_dilated_convolution_on_both_paths(device: str, kernel: int, dilation: int, padding: int) -> None:
    """The path of GPUs runs here too: only the choice between the two is simulated."""
    rng = np.random.default_rng(kernel)
    length = 8 + dilation * (kernel - 1)
    x, weight = rng.normal(size=(2, length, 3)), rng.normal(size=(4, kernel, 3))
    padded = np.pad(x, [(0, 0), (padding, padding), (0, 0)])
    count = padded.shape[1] - dilation * (kernel - 1)
    expected = sum(padded[:, k * dilation :][:, :count] @ weight[:, k].T for k in range(kernel))
    with pytest.MonkeyPatch.context() as patch:
        if device == "gpu":
            patch.setattr(convolution.mx, "default_device", lambda: mx.gpu)
        got = conv1d(
            mx.array(x, mx.float32), mx.array(weight, mx.float32), padding=padding, dilation=dilation
        )
    np.testing.assert_allclose(np.array(got), expected, atol=1e-4)


@LIMITS
@given(length=st.integers(1, 20), ratio=st.integers(2, 4), hann=st.booleans())
def test_interpolation(length: int, ratio: int, hann: bool) -> None:
    if hann:
        taps = hann_sinc_filter(ratio).astype(np.float64)
    else:
        ratio, taps = 2, KAISER
    x = np.random.default_rng(length).normal(size=(2, length, 3))
    phases = upsample_phases(mx.array(x, mx.float32), mx.array(taps, mx.float32), ratio)
    got = np.array(mx.stack(phases, axis=2).reshape(2, ratio * length, 3))
    for sample in range(2):
        for channel in range(3):
            expected = interpolated(x[sample, :, channel], taps, ratio)
            np.testing.assert_allclose(got[sample, :, channel], expected, atol=1e-5)


@LIMITS
@given(length=st.integers(1, 20))
def test_decimation(length: int) -> None:
    x = np.random.default_rng(length).normal(size=(2, 2 * length, 3))
    phases = [mx.array(x[:, phase::2], mx.float32) for phase in range(2)]
    got = np.array(downsample_phases(phases, mx.array(KAISER, mx.float32)))
    for sample in range(2):
        for channel in range(3):
            np.testing.assert_allclose(
                got[sample, :, channel], decimated(x[sample, :, channel], KAISER, 2), atol=1e-5
            )


def test_anti_aliased_snake() -> None:
    rng = np.random.default_rng(0)
    x, alpha, beta = rng.normal(size=(1, 17, 2)), rng.normal(size=2), rng.normal(size=2)
    layer = Activation1d(2)
    layer.act.alpha, layer.act.beta = mx.array(alpha, mx.float32), mx.array(beta, mx.float32)
    layer.upsample.filter = mx.array(KAISER, mx.float32).reshape(1, 1, -1)
    layer.downsample.lowpass.filter = layer.upsample.filter
    got = layer(mx.array(x, mx.float32))
    for channel in range(2):
        high = interpolated(x[0, :, channel], KAISER, 2)
        high = high + np.sin(high * np.exp(alpha[channel])) ** 2 / (np.exp(beta[channel]) + 1e-9)
        np.testing.assert_allclose(np.array(got)[0, :, channel], decimated(high, KAISER, 2), atol=1e-5)


def test_hann_sinc_filter_for_three() -> None:
    """Numbers of the reference, around the middle of the 43 taps."""
    taps = hann_sinc_filter(3)
    assert taps.shape == (43,)
    np.testing.assert_allclose(taps[18:22], [0.0031139, 0.1353460, 0.2719427, 0.33], atol=1e-6)
    np.testing.assert_allclose(taps, taps[::-1], atol=1e-7)
