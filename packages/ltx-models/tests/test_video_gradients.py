"""The convolution's own gradients, used on CUDA, against MLX's."""

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_models.video_vae import convolution


@pytest.mark.parametrize("padding", [(0, 1, 1), (0, 0, 0)])
@given(batch=st.integers(1, 5), channels=st.integers(1, 4), part=st.integers(1, 400))
@settings(max_examples=10, deadline=None)
def test_gradients(padding: tuple[int, int, int], batch: int, channels: int, part: int) -> None:
    mx.random.seed(batch)
    x = mx.random.normal((batch, 4, 5, 6, channels))
    weight = mx.random.normal((3, 3, 3, 3, channels))

    def plain(a: mx.array, w: mx.array) -> mx.array:
        return mx.conv3d(a, w, padding=padding)

    output = plain(x, weight)
    cotangent = mx.random.normal(output.shape)
    kept, convolution.PART = convolution.PART, part
    try:
        _, want = mx.vjp(plain, [x, weight], [cotangent])
        _, got = mx.vjp(convolution._with_fast_gradients(padding), [x, weight], [cotangent])
    finally:
        convolution.PART = kept
    for ours, theirs in zip(got, want, strict=True):
        assert mx.allclose(ours, theirs, atol=1e-4, rtol=1e-4)
