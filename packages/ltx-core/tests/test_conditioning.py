"""Conditioning items and attention masks."""

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPE = core.VideoLatentShape(1, 3, 3, 2, 4)
TOOLS = core.VideoLatentTools(core.VideoLatentPatchifier(1), SHAPE, fps=24.0)
AUDIO = core.AudioLatentTools(core.AudioPatchifier(4), core.AudioLatentShape(1, 2, 6, 4))


def _normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def _apply(*items: core.ConditioningItem, tools: core.LatentTools = TOOLS) -> core.LatentState:
    return core.state_with_conditionings(tools.create_initial_state(), items, tools)


def _frames(state: core.LatentState) -> np.ndarray:
    """Time bounds of all tokens in pixel frames."""
    return np.array(state.positions[0, 0]) * TOOLS.fps


@settings(max_examples=30, deadline=None)
@given(index=st.integers(0, 2), strength=st.floats(0, 1), data=st.data())
def test_given_frames_replace_clean_latent_and_mask(index: int, strength: float, data: st.DataObject) -> None:
    frames = data.draw(st.integers(1, 3 - index))
    latent = _normal(0, 1, 3, frames, 2, 4)
    state = _apply(core.VideoConditionByLatentIndex(latent, strength, index))
    place = slice(8 * index, 8 * (index + frames))
    assert mx.array_equal(state.clean_latent[:, place], TOOLS.patchifier.patchify(latent))
    np.testing.assert_allclose(state.denoise_mask[:, place], 1 - strength, atol=1e-6)
    elsewhere = [i for i in range(24) if not place.start <= i < place.stop]
    assert not np.array(state.clean_latent)[:, elsewhere].any()
    assert (np.array(state.denoise_mask)[:, elsewhere] == 1).all()
    assert not mx.any(state.latent)


@settings(max_examples=30, deadline=None)
@given(frame=st.integers(0, 40), strength=st.floats(0, 1))
def test_a_keyframe_lies_at_its_pixel_frame(frame: int, strength: float) -> None:
    image = _normal(0, 1, 3, 1, 2, 4)
    state = _apply(core.VideoConditionByKeyframeIndex(image, frame, strength))
    assert state.latent.shape == (1, 32, 3)
    assert not mx.any(state.latent[:, 24:])
    assert mx.array_equal(state.clean_latent[:, 24:], TOOLS.patchifier.patchify(image))
    np.testing.assert_allclose(state.denoise_mask[:, 24:], 1 - strength, atol=1e-6)
    np.testing.assert_allclose(_frames(state)[24:], [[frame, frame + 1]] * 8, atol=1e-4)
    assert mx.array_equal(state.positions[:, 1:, 24:], state.positions[:, 1:, :8])
    assert state.attention_mask is None


def test_a_clip_of_many_pixel_frames_keeps_its_spans() -> None:
    clip = _normal(0, 1, 3, 2, 2, 4)
    state = _apply(core.VideoConditionByKeyframeIndex(clip, 16, 1.0, num_pixel_frames=9))
    np.testing.assert_allclose(_frames(state)[24::8], [[16, 24], [24, 32]], atol=1e-4)


def test_a_reference_lies_over_the_target() -> None:
    half = _normal(0, 1, 3, 3, 1, 2)
    state = _apply(core.VideoConditionByReferenceLatent(half, downscale_factor=2))
    np.testing.assert_allclose(_frames(state)[24::2], [[0, 1], [1, 9], [9, 17]], atol=1e-4)
    assert state.positions[0, 1, 24].tolist() == [0, 64]
    assert state.positions[0, 2, 25].tolist() == [64, 128]


def test_a_reference_at_a_lower_frame_rate_ends_with_the_target() -> None:
    sparse = _normal(0, 1, 3, 2, 2, 4)
    state = _apply(core.VideoConditionByReferenceLatent(sparse, temporal_scale_factor=4))
    np.testing.assert_allclose(_frames(state)[24::8], [[0, 1], [1, 33]], atol=1e-4)


def test_an_audio_reference_is_appended() -> None:
    tokens, positions = _normal(0, 1, 4, 8), _normal(1, 1, 1, 4, 2)
    state = _apply(core.AudioConditionByReferenceLatent(tokens, positions, 0.75), tools=AUDIO)
    assert mx.array_equal(state.clean_latent[:, 6:], tokens)
    assert mx.array_equal(state.positions[:, :, 6:], positions)
    assert state.denoise_mask[0, 6:, 0].tolist() == [0.25] * 4


@settings(max_examples=20, deadline=None)
@given(strength=st.floats(0, 1))
def test_content_under_a_mask(strength: float) -> None:
    latent = _normal(0, *SHAPE)
    mask = mx.random.bernoulli(0.5, (1, 3, 2, 4), key=mx.random.key(1)).astype(mx.float32)
    keyframe = core.VideoConditionByKeyframeIndex(_normal(2, 1, 3, 1, 2, 4), 8, 1.0)
    state = _apply(keyframe, core.VideoConditionByMask(latent, mask, strength))
    inside = mask.reshape(1, 24, 1)
    expected = inside * TOOLS.patchifier.patchify(latent)
    np.testing.assert_allclose(state.clean_latent[:, :24], expected, atol=1e-6)
    np.testing.assert_allclose(state.denoise_mask[:, :24], 1 - strength * inside, atol=1e-6)
    assert not mx.any(state.denoise_mask[:, 24:])


@settings(max_examples=30, deadline=None)
@given(start=st.floats(0, 0.9), length=st.floats(0.01, 0.5))
def test_tokens_that_touch_a_time_range_are_generated(start: float, length: float) -> None:
    region = core.TemporalRegionMask(start, start + length, fps=24.0)
    for tools in (TOOLS, AUDIO):
        state = _apply(region, tools=tools)
        seconds = np.array(state.positions[0, 0])
        touched = (seconds[:, 1] > start) & (seconds[:, 0] < start + length)
        assert (np.array(state.denoise_mask)[0, :, 0] == touched).all()


def test_the_documented_regions() -> None:
    video = core.VideoLatentTools(core.VideoLatentPatchifier(1), SHAPE._replace(frames=4), fps=24.0)
    mask = _apply(core.TemporalRegionMask(0.3, 0.7, 24.0), tools=video).denoise_mask
    assert mask[0, ::8, 0].tolist() == [0, 1, 1, 0]
    mask = _apply(core.TemporalRegionMask(0.1, 0.2, 24.0), tools=AUDIO).denoise_mask
    assert mask[0, :, 0].tolist() == [0, 0, 0, 1, 1, 1]


def _reference(seed: int, attention: float | mx.array | None = None) -> core.ConditioningItem:
    item = core.VideoConditionByReferenceLatent(_normal(seed, 1, 3, 1, 1, 2), downscale_factor=2)
    return item if attention is None else core.ConditioningItemAttentionStrengthWrapper(item, attention)


def test_attention_between_groups() -> None:
    state = _apply(_reference(0, 0.3), _reference(1, 0.7), _reference(2))
    mask = np.array(state.attention_mask)
    assert mask.shape == (1, 30, 30)
    assert (mask == mask.transpose(0, 2, 1)).all()
    np.testing.assert_allclose(mask[0, 0], [1] * 24 + [0.3] * 2 + [0.7] * 2 + [1] * 2)
    np.testing.assert_allclose(mask[0, 24], [0.3] * 24 + [1] * 2 + [0] * 4)


def test_attention_per_token() -> None:
    state = _apply(_reference(0, mx.array([0.2, 0.9])))
    np.testing.assert_allclose(np.array(state.attention_mask)[0, 5, 24:], [0.2, 0.9], rtol=1e-6)


def test_without_a_strength_there_is_no_attention_mask() -> None:
    assert _apply(_reference(0), _reference(1)).attention_mask is None
    image = core.VideoConditionByLatentIndex(_normal(0, 1, 3, 1, 2, 4), 1.0, 0)
    assert _apply(core.ConditioningItemAttentionStrengthWrapper(image, 0.5)).attention_mask is None


def test_clearing_takes_everything_appended_away() -> None:
    state = TOOLS.clear_conditioning(_apply(_reference(0, 0.5), _reference(1)))
    assert state.latent.shape == state.clean_latent.shape == (1, 24, 3)
    assert state.positions.shape == (1, 3, 24, 2)
    assert mx.all(state.denoise_mask == 1)
    assert state.attention_mask is None
    assert TOOLS.unpatchify(state).latent.shape == SHAPE.to_shape()


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), groups=st.integers(1, 3), per=st.integers(1, 4))
def test_a_constant_pixel_mask_stays_constant(rows: int, columns: int, groups: int, per: int) -> None:
    target = core.VideoLatentShape(1, 1, 1 + groups, rows, columns)
    mask = mx.full((1, 1, 1 + groups * per, 7, 11), 0.25)
    small = core.downsample_mask_video_to_latent(mask, target)
    assert small.shape == (1, target.token_count())
    np.testing.assert_allclose(small, 0.25, rtol=1e-6)


def test_a_pixel_mask_is_averaged() -> None:
    mask = np.zeros((1, 1, 5, 4, 4), np.float32)
    mask[0, 0, 0, :2] = 1
    mask[0, 0, 1, 0, 0] = 1
    small = core.downsample_mask_video_to_latent(mask, core.VideoLatentShape(1, 1, 2, 2, 2))
    np.testing.assert_allclose(small[0], [1, 1, 0, 0, 1 / 16, 0, 0, 0], atol=1e-7)
    first_only = core.downsample_mask_video_to_latent(mask, core.VideoLatentShape(1, 1, 1, 1, 1))
    np.testing.assert_allclose(first_only, [[0.5]])


@pytest.mark.parametrize(("frames", "latent_frames"), [(4, 3), (1, 2)])
def test_a_pixel_mask_must_divide(frames: int, latent_frames: int) -> None:
    with pytest.raises(core.ShapeError, match="latent frames"):
        core.downsample_mask_video_to_latent(
            mx.ones((1, 1, frames, 4, 4)), core.VideoLatentShape(1, 1, latent_frames, 2, 2)
        )


def test_a_pixel_mask_has_one_channel() -> None:
    with pytest.raises(core.ShapeError, match="pixel mask"):
        core.downsample_mask_video_to_latent(mx.ones((1, 3, 1, 4, 4)), core.VideoLatentShape(1, 1, 1, 2, 2))


IMAGE = mx.zeros((1, 3, 1, 2, 4))
BAD = {
    "another size": core.VideoConditionByLatentIndex(mx.zeros((1, 3, 1, 2, 3)), 1.0, 0),
    "beyond the end": core.VideoConditionByLatentIndex(IMAGE, 1.0, 3),
    "negative latent": core.VideoConditionByLatentIndex(IMAGE, 1.0, -1),
    "strength above 1": core.VideoConditionByLatentIndex(IMAGE, 1.5, 0),
    "negative frame": core.VideoConditionByKeyframeIndex(IMAGE, -8, 1.0),
    "negative strength": core.VideoConditionByKeyframeIndex(IMAGE, 8, -0.1),
    "other channels": core.VideoConditionByKeyframeIndex(mx.zeros((1, 2, 1, 2, 4)), 8, 1.0),
    "other batch": core.VideoConditionByReferenceLatent(mx.zeros((2, 3, 1, 2, 4))),
    "mask of another size": core.VideoConditionByMask(mx.zeros(SHAPE), mx.zeros((1, 1, 2, 4))),
    "empty range": core.TemporalRegionMask(0.5, 0.5, 24.0),
    "attention above 1": _reference(0, 1.5),
    "attention of another length": _reference(0, mx.ones((3,))),
}


@pytest.mark.parametrize("item", BAD.values(), ids=BAD.keys())
def test_what_does_not_fit_is_refused(item: core.ConditioningItem) -> None:
    with pytest.raises(core.ConditioningError):
        _apply(item)


def test_video_items_are_for_video() -> None:
    items = [
        core.VideoConditionByLatentIndex(IMAGE, 1.0, 0),
        core.VideoConditionByKeyframeIndex(IMAGE, 8, 1.0),
        core.VideoConditionByReferenceLatent(IMAGE),
        core.VideoConditionByMask(IMAGE, IMAGE[:, 0]),
    ]
    for item in items:
        with pytest.raises(core.ConditioningError, match="audio stream"):
            _apply(item, tools=AUDIO)


def test_bad_references() -> None:
    with pytest.raises(core.ConditioningError, match="scale factors"):
        core.VideoConditionByReferenceLatent(IMAGE, downscale_factor=0)
    item = core.AudioConditionByReferenceLatent(mx.zeros((1, 4, 8)), mx.zeros((1, 1, 3, 2)))
    with pytest.raises(core.ConditioningError, match="positions"):
        _apply(item, tools=AUDIO)
