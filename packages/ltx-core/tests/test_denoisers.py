"""Denoisers: what the network is asked, and how its answers are combined."""

from dataclasses import dataclass, field

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.denoisers import Predictions

Params = core.MultiModalGuiderParams


def _normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


@dataclass
class ToyNetwork:
    """Every sample's prediction depends on all that it is given, and on nothing of the other samples."""

    calls: list[tuple[core.Modality | None, core.Modality | None, core.BatchedPerturbationConfig | None]] = (
        field(default_factory=list)
    )

    def __call__(
        self,
        video: core.Modality | None,
        audio: core.Modality | None,
        perturbations: core.BatchedPerturbationConfig | None,
    ) -> Predictions:
        self.calls.append((video, audio, perturbations))
        streams = (video, audio)
        results = [
            None if m is None else self._predict(m, streams[1 - index], index, perturbations)
            for index, m in enumerate(streams)
        ]
        return results[0], results[1]

    def _predict(
        self,
        own: core.Modality,
        other: core.Modality | None,
        index: int,
        perturbations: core.BatchedPerturbationConfig | None,
    ) -> mx.array:
        config = perturbations or core.BatchedPerturbationConfig.empty(own.latent.shape[0])
        attend = config.mask(core.PerturbationType(index), 1)
        cross = config.mask(core.PerturbationType(2 + index), 0)
        x = own.latent * (1 - 0.5 * own.timesteps) + mx.mean(own.context, axis=(1, 2), keepdims=True)
        x = x + 0.3 * attend * mx.mean(own.latent, axis=1, keepdims=True)
        if other is not None:
            x = x + 0.2 * cross * mx.mean(other.latent, axis=(1, 2), keepdims=True)
        return x + 0.1 * own.sigma.reshape(-1, 1, 1) + (0.0 if own.enabled else 10.0)


def _state(seed: int, batch: int, tokens: int, width: int, attention: bool = False) -> core.LatentState:
    mask = mx.broadcast_to((mx.arange(tokens) > 0).astype(mx.float32).reshape(1, -1, 1), (batch, tokens, 1))
    return core.LatentState(
        latent=_normal(seed, batch, tokens, width),
        denoise_mask=mask,
        positions=_normal(seed + 1, batch, 1, tokens, 2),
        clean_latent=_normal(seed + 2, batch, tokens, width),
        attention_mask=mx.ones((batch, tokens, tokens)) if attention else None,
    )


FULL = Params(cfg_scale=3.0, stg_scale=1.0, stg_blocks=[1], rescale_scale=0.7, modality_scale=2.0)


@dataclass
class Scene:
    """Both streams with everything that guidance needs."""

    batch: int = 1
    network: ToyNetwork = field(default_factory=ToyNetwork)

    def __post_init__(self) -> None:
        self.video, self.audio = _state(0, self.batch, 5, 3, attention=True), _state(10, self.batch, 4, 2)
        self.contexts = [_normal(20 + i, self.batch, 6, 7 + i) for i in range(2)]
        self.negatives = [_normal(30 + i, self.batch, 6, 7 + i) for i in range(2)]

    def guided(self, video: Params, audio: Params, max_batch_size: int = 1) -> core.GuidedDenoiser:
        guiders = [
            core.MultiModalGuider(params, negative)
            for params, negative in zip((video, audio), self.negatives, strict=True)
        ]
        return core.GuidedDenoiser(self.network, *self.contexts, *guiders, max_batch_size=max_batch_size)

    def simple(self) -> core.SimpleDenoiser:
        return core.SimpleDenoiser(self.network, *self.contexts)


def _equal(a: Predictions, b: Predictions) -> None:
    for x, y in zip(a, b, strict=True):
        assert x is not None
        assert y is not None
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_the_network_sees_the_state() -> None:
    scene = Scene()
    scene.simple()(scene.video, scene.audio, [1.0, 0.25, 0.0], 1)
    video, audio, perturbations = scene.network.calls[0]
    assert video is not None
    assert audio is not None
    assert perturbations is None
    assert video.latent is scene.video.latent
    assert video.positions is scene.video.positions
    assert video.attention_mask is scene.video.attention_mask
    assert video.context is scene.contexts[0]
    assert video.sigma.tolist() == [0.25]
    assert video.timesteps.flatten().tolist() == [0, 0.25, 0.25, 0.25, 0.25]
    assert audio.context is scene.contexts[1]


def test_a_frozen_stream_is_at_sigma_0() -> None:
    scene = Scene()
    frozen = scene.audio.replace(frozen=True, denoise_mask=mx.zeros_like(scene.audio.denoise_mask))
    for denoiser in (scene.simple(), scene.guided(FULL, Params())):
        scene.network.calls.clear()
        denoiser(scene.video, frozen, [0.8, 0.0], 0)
        for _, audio, _ in scene.network.calls:
            assert audio is not None
            assert not mx.any(audio.sigma)
            assert not mx.any(audio.timesteps)


def test_neutral_guidance_is_one_plain_pass() -> None:
    scene = Scene()
    plain = scene.simple()(scene.video, scene.audio, [0.8, 0.0], 0)
    _equal(scene.guided(Params(), Params())(scene.video, scene.audio, [0.8, 0.0], 0), plain)
    assert len(scene.network.calls) == 2
    assert scene.network.calls[1][2] is None


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 3), max_batch_size=st.integers(1, 13))
def test_batching_does_not_change_the_result(batch: int, max_batch_size: int) -> None:
    scene = Scene(batch)
    audio = Params(cfg_scale=7.0, stg_scale=0.5, stg_blocks=None)
    one_by_one = scene.guided(FULL, audio)(scene.video, scene.audio, [0.8, 0.0], 0)
    count = len(scene.network.calls)
    assert count == 4 * batch
    batched = scene.guided(FULL, audio, max_batch_size)(scene.video, scene.audio, [0.8, 0.0], 0)
    calls = scene.network.calls[count:]
    assert len(calls) == -(-4 * batch // max_batch_size)
    assert all(video is not None and len(video.latent) <= max_batch_size for video, _, _ in calls)
    _equal(batched, one_by_one)


def test_guidance_combines_the_passes() -> None:
    scene = Scene()
    network, sigmas = scene.network, [0.8, 0.0]

    def alone(contexts: list[mx.array], *skips: core.Perturbation) -> Predictions:
        config = core.BatchedPerturbationConfig([core.PerturbationConfig(skips)])
        return network(
            core.modality_from_latent_state(scene.video, contexts[0], 0.8),
            core.modality_from_latent_state(scene.audio, contexts[1], 0.8),
            config,
        )

    kinds = core.PerturbationType
    passes = [
        alone(scene.contexts),
        alone(scene.negatives),
        alone(scene.contexts, core.Perturbation(kinds.SKIP_VIDEO_SELF_ATTN, [1])),
        alone(
            scene.contexts,
            core.Perturbation(kinds.SKIP_A2V_CROSS_ATTN, None),
            core.Perturbation(kinds.SKIP_V2A_CROSS_ATTN, None),
        ),
    ]
    audio_params = Params(cfg_scale=2.0, modality_scale=1.5)
    expected = [
        core.MultiModalGuider(params).calculate(*(each[stream] for each in passes))
        for stream, params in enumerate((FULL, audio_params))
    ]
    guided = scene.guided(FULL, audio_params)(scene.video, scene.audio, sigmas, 0)
    _equal(guided, (expected[0], expected[1]))


def test_a_pass_runs_if_either_stream_wants_it() -> None:
    scene = Scene()
    scene.guided(Params(stg_scale=1.0, stg_blocks=[1]), Params(cfg_scale=2.0))(
        scene.video, scene.audio, [0.8, 0.0], 0
    )
    assert len(scene.network.calls) == 3
    _, _, perturbations = scene.network.calls[2]
    assert perturbations is not None
    assert perturbations.all_in_batch(core.PerturbationType.SKIP_VIDEO_SELF_ATTN, 1)
    assert not perturbations.any_in_batch(core.PerturbationType.SKIP_AUDIO_SELF_ATTN, 1)


def test_a_stream_without_negative_context_keeps_its_positive_one() -> None:
    scene = Scene()
    denoiser = core.GuidedDenoiser(
        scene.network, *scene.contexts, core.MultiModalGuider(Params(cfg_scale=2.0), scene.negatives[0])
    )
    denoiser(scene.video, scene.audio, [0.8, 0.0], 0)
    video, audio, _ = scene.network.calls[1]
    assert video is not None
    assert audio is not None
    assert video.context is scene.negatives[0]
    assert audio.context is scene.contexts[1]


def test_skipped_steps_reuse_the_last_prediction() -> None:
    scene = Scene()
    denoiser = scene.guided(Params(cfg_scale=2.0, skip_step=1), Params(cfg_scale=2.0, skip_step=2))
    sigmas = [1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0]
    # Computed: video at even steps, audio at every third.
    expected_calls = {0: (True, True), 1: None, 2: (True, False), 3: (False, True), 4: (True, False), 5: None}
    last: Predictions = (None, None)
    for index, enabled in expected_calls.items():
        scene.network.calls.clear()
        result = denoiser(scene.video, scene.audio, sigmas, index)
        if enabled is None:
            assert not scene.network.calls
        for video, audio, _ in scene.network.calls:
            assert video is not None
            assert audio is not None
            assert (video.enabled, audio.enabled) == enabled
        for stream in range(2):
            if enabled is None or not enabled[stream]:
                assert result[stream] is last[stream]
        last = result


def test_video_alone_may_skip_too() -> None:
    scene = Scene()
    denoiser = scene.guided(Params(cfg_scale=2.0, skip_step=1), Params())
    first = denoiser(scene.video, None, [1.0, 0.5, 0.0], 0)
    scene.network.calls.clear()
    assert denoiser(scene.video, None, [1.0, 0.5, 0.0], 1) == first
    assert not scene.network.calls


def test_nothing_is_skipped_before_the_first_prediction() -> None:
    scene = Scene()
    denoiser = scene.guided(Params(skip_step=3), Params(skip_step=3))
    video, audio = denoiser(scene.video, scene.audio, [1.0, 0.5, 0.0], 1)
    assert video is not None
    assert audio is not None


def test_a_new_generation_does_not_see_the_old_one() -> None:
    denoiser_scene, other = Scene(), Scene()
    other.video = other.video.replace(latent=2 * other.video.latent, positions=mx.ones((1, 1, 5, 2)))
    denoiser = denoiser_scene.guided(Params(skip_step=5), Params(skip_step=5))
    denoiser(denoiser_scene.video, denoiser_scene.audio, [1.0, 0.0], 0)
    again = denoiser(other.video, other.audio, [1.0, 0.0], 0)
    fresh = other.guided(Params(), Params())(other.video, other.audio, [1.0, 0.0], 0)
    _equal(again, fresh)


def test_guidance_by_sigma() -> None:
    scene = Scene()
    factory = core.MultiModalGuiderFactory.from_dict(
        {1.0: Params(cfg_scale=4.0), 0.5: Params()}, scene.negatives[0]
    )
    denoiser = core.GuidedDenoiser(scene.network, *scene.contexts, factory)
    for index, passes in ((0, 2), (1, 2), (2, 1)):
        scene.network.calls.clear()
        denoiser(scene.video, scene.audio, [1.0, 0.7, 0.5, 0.0], index)
        assert len(scene.network.calls) == passes


@pytest.mark.parametrize("max_batch_size", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [1, 2])
def test_constants_are_the_same_objects_in_every_step(batch: int, max_batch_size: int) -> None:
    scene = Scene(batch)
    denoiser = scene.guided(FULL, FULL, max_batch_size)
    loop = core.euler_denoising_loop(
        [1.0, 0.7, 0.4, 0.0], scene.video, scene.audio, core.EulerDiffusionStep(), denoiser
    )
    core.run(loop)
    per_step = len(scene.network.calls) // 3
    names = ("context", "positions", "attention_mask", "context_mask", "keyframes_mask")
    for first, later in zip(scene.network.calls, scene.network.calls[per_step:], strict=False):
        for before, after in zip(first[:2], later[:2], strict=True):
            assert all(getattr(before, name) is getattr(after, name) for name in names)


def test_passes_one_by_one_copy_nothing() -> None:
    scene = Scene()
    scene.guided(FULL, FULL)(scene.video, scene.audio, [0.8, 0.0], 0)
    for video, _, _ in scene.network.calls:
        assert video is not None
        assert video.latent is scene.video.latent
        assert video.positions is scene.video.positions
        assert video.attention_mask is scene.video.attention_mask


def test_velocities_become_predictions() -> None:
    scene = Scene()

    def velocities(
        video: core.Modality | None, audio: core.Modality | None, perturbations: object
    ) -> Predictions:
        assert video is not None
        return mx.ones_like(video.latent), None

    x0, audio = core.SimpleDenoiser(core.X0Model(velocities), scene.contexts[0], None)(
        scene.video, None, [0.5, 0.0], 0
    )
    assert audio is None
    np.testing.assert_allclose(x0, scene.video.latent - 0.5 * scene.video.denoise_mask, rtol=1e-6)


def test_errors() -> None:
    scene = Scene()
    with pytest.raises(core.ConfigError, match="video context"):
        core.SimpleDenoiser(scene.network, None, scene.contexts[1])(scene.video, None, [1.0, 0.0], 0)
    with pytest.raises(core.ConfigError, match="audio context"):
        core.GuidedDenoiser(scene.network, scene.contexts[0], None)(None, scene.audio, [1.0, 0.0], 0)
    with pytest.raises(core.ConfigError, match="audio guidance"):
        core.GuidedDenoiser(
            scene.network, *scene.contexts, audio_guider=core.MultiModalGuider(Params(cfg_scale=2.0))
        )(scene.video, scene.audio, [1.0, 0.0], 0)
    with pytest.raises(core.ConfigError, match="max_batch_size"):
        scene.guided(FULL, FULL, max_batch_size=0)
