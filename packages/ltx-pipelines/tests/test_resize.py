import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ShapeError
from ltx_pipelines.resize import normalize_images, resize_and_center_crop

side = st.integers(1, 40)


@settings(max_examples=40, deadline=None)
@given(h=side, w=side, height=side, width=side, frames=st.integers(0, 2), value=st.integers(0, 255))
def test_a_flat_picture_stays_flat(h: int, w: int, height: int, width: int, frames: int, value: int) -> None:
    picture = np.full((frames, h, w, 3) if frames else (h, w, 3), value, np.uint8)
    result = resize_and_center_crop(picture, height, width)
    assert result.shape == (1, 3, max(frames, 1), height, width)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, value, rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(h=side, w=side, margin=st.integers(0, 5))
def test_at_its_own_scale_a_picture_is_only_cut(h: int, w: int, margin: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (h, w + 2 * margin, 3))
    result = resize_and_center_crop(picture, h, w)
    np.testing.assert_array_equal(result[0, :, 0], picture[:, margin : margin + w].transpose(2, 0, 1))


def test_pixel_centres_are_at_halves_and_edges_repeat() -> None:
    ramp = np.broadcast_to(np.array([0.0, 100.0])[None, :, None], (2, 2, 1))
    np.testing.assert_allclose(resize_and_center_crop(ramp, 4, 4)[0, 0, 0, 0], [0, 25, 75, 100])


def test_the_middle_is_kept_when_the_picture_shrinks() -> None:
    ramp = np.broadcast_to(np.arange(8.0)[None, :, None], (2, 8, 1))
    np.testing.assert_allclose(resize_and_center_crop(ramp, 1, 2)[0, 0, 0], [[2.5, 4.5]])


def test_range_of_the_encoder() -> None:
    np.testing.assert_allclose(normalize_images(np.array([0, 127.5, 255])), [-1, 0, 1])


@pytest.mark.parametrize("shape", [(4, 4), (1, 2, 3, 4, 5), (0, 4, 3)])
def test_other_axes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="expected"):
        resize_and_center_crop(np.zeros(shape), 4, 4)
    with pytest.raises(ShapeError, match="expected"):
        resize_and_center_crop(np.zeros((4, 4, 3)), 0, 4)
