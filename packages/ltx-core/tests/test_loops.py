"""Denoising loops: exactness, order of convergence, distributions, events, streams."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.denoisers import Denoiser, Predictions
from ltx_core.loops import as_schedule

Loop = Callable[
    [list[float], core.LatentState | None, core.LatentState | None, Denoiser], Iterator[core.StepEvent]
]


def _noise(seed: int) -> core.NoiseFn:
    return core.RandomNoise(seed)


LOOPS: dict[str, Loop] = {
    "euler": lambda s, v, a, d: core.euler_denoising_loop(s, v, a, core.EulerDiffusionStep(), d),
    "ancestral": lambda s, v, a, d: core.euler_denoising_loop(
        s, v, a, core.EulerAncestralDiffusionStep(), d, noise=_noise(7)
    ),
    "heun": lambda s, v, a, d: core.heun_denoising_loop(s, v, a, core.HeunDiffusionStep(), d),
    "gradient": lambda s, v, a, d: core.gradient_estimating_euler_denoising_loop(
        s, v, a, core.EulerDiffusionStep(), d
    ),
    "res2s": lambda s, v, a, d: core.res2s_audio_video_denoising_loop(
        s, v, a, core.Res2sDiffusionStep(), d, noise=_noise(8), substep_noise=_noise(9)
    ),
}
every_loop = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS.keys())


def _state(latent: mx.array, mask: mx.array | None = None, clean: mx.array | None = None) -> core.LatentState:
    batch, tokens, _ = latent.shape
    return core.LatentState(
        latent,
        mx.ones((batch, tokens, 1)) if mask is None else mask,
        mx.zeros((batch, 1, tokens, 2)),
        mx.zeros_like(latent) if clean is None else clean,
    )


def _normal(seed: int, *shape: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def _constant(video: mx.array | None, audio: mx.array | None) -> Denoiser:
    return lambda video_state, audio_state, sigmas, step_index: (video, audio)


def _line(steps: int, last: float = 0.0) -> list[float]:
    return np.linspace(1.0, last, steps + 1).tolist()


@every_loop
def test_a_constant_prediction_is_the_result(loop: Loop) -> None:
    video, audio = _normal(0, 1, 6, 3), _normal(1, 1, 4, 2)
    states = (_state(_normal(2, 1, 6, 3)), _state(_normal(3, 1, 4, 2)))
    final_video, final_audio = core.run(loop(_line(5), *states, _constant(video, audio)))
    assert final_video is not None
    assert final_audio is not None
    np.testing.assert_allclose(final_video.latent, video, atol=1e-5)
    np.testing.assert_allclose(final_audio.latent, audio, atol=1e-5)
    assert final_video.latent.dtype == mx.float32
    assert final_video.positions is states[0].positions


@every_loop
def test_one_stream_is_enough(loop: Loop) -> None:
    x = _normal(0, 1, 6, 3)
    state = _state(_normal(1, 1, 6, 3))
    video, audio = core.run(loop(_line(3), state, None, _constant(x, None)))
    assert audio is None
    assert video is not None
    np.testing.assert_allclose(video.latent, x, atol=1e-5)
    video, audio = core.run(loop(_line(3), None, state, _constant(None, x)))
    assert video is None
    assert audio is not None
    np.testing.assert_allclose(audio.latent, x, atol=1e-5)


@every_loop
def test_a_stream_without_prediction_stays(loop: Loop) -> None:
    states = (_state(_normal(0, 1, 6, 3)), _state(_normal(1, 1, 4, 2)))
    _, audio = core.run(loop(_line(3), *states, _constant(_normal(2, 1, 6, 3), None)))
    assert audio is states[1]


@every_loop
def test_conditioned_tokens_stay_clean(loop: Loop) -> None:
    clean = _normal(0, 1, 6, 3)
    mask = mx.array([0.0, 1, 1, 0, 1, 1]).reshape(1, 6, 1)
    start = core.lerp(clean, _normal(1, 1, 6, 3), mask)
    seen = []

    def denoiser(video: core.LatentState | None, *_: object) -> Predictions:
        assert video is not None
        seen.append(video.latent)
        return mx.sin(video.latent), None

    core.run(loop(_line(5), _state(start, mask, clean), None, denoiser))
    for latent in seen:
        for token in (0, 3):
            np.testing.assert_allclose(latent[:, token], clean[:, token], atol=1e-5)


@every_loop
def test_events_tell_the_progress(loop: Loop) -> None:
    state = _state(_normal(0, 1, 6, 3))
    events = list(loop(_line(4), state, None, _constant(_normal(1, 1, 6, 3), None)))
    assert [event.step for event in events] == list(range(events[0].num_steps))
    assert events[0].sigma == 1
    assert events[-1].sigma_next == 0
    for before, after in pairwise(events):
        assert before.sigma_next == after.sigma
        assert before.sigma > before.sigma_next
    assert all(event.video_x0 is not None and event.audio_x0 is None for event in events)


@every_loop
def test_a_caller_may_stop(loop: Loop) -> None:
    calls = 0

    def denoiser(video: core.LatentState | None, *_: object) -> Predictions:
        nonlocal calls
        calls += 1
        assert video is not None
        return video.latent, None

    next(iter(loop(_line(20), _state(_normal(0, 1, 6, 3)), None, denoiser)))
    assert calls <= 2

    def cancel(event: core.StepEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        core.run(loop(_line(20), _state(_normal(0, 1, 6, 3)), None, denoiser), on_step=cancel)


MEAN, SPREAD = 1.5, 0.4


def _std(sigma: float) -> float:
    return math.sqrt(((1 - sigma) * SPREAD) ** 2 + sigma**2)


def gaussian_denoiser(
    video: core.LatentState | None,
    audio: core.LatentState | None,
    sigmas: core.diffusion_steps.Sigmas,
    index: int,
) -> Predictions:
    """The exact denoiser of data from a normal distribution, for which the flow has a closed form."""
    assert video is not None
    sigma = float(sigmas[index])
    gain = (1 - sigma) * SPREAD**2 / _std(sigma) ** 2
    return MEAN + gain * (video.latent - (1 - sigma) * MEAN), None


def _error(loop: Loop, steps: int) -> float:
    """Largest distance from the exact flow at sigma 0.2."""
    start = mx.linspace(-2, 2, 64).reshape(1, 64, 1)
    video, _ = core.run(loop(_line(steps, last=0.2), _state(start), None, gaussian_denoiser))
    assert video is not None
    exact = (1 - 0.2) * MEAN + _std(0.2) * start
    return mx.max(mx.abs(video.latent - exact)).item()


class NoiselessRes2sStep(core.Res2sDiffusionStep):
    def step(self, sample: mx.array, denoised_sample: mx.array, *args: object, **kwargs: object) -> mx.array:
        return denoised_sample


LOOPS_WITHOUT_NOISE: dict[str, tuple[int, Loop]] = {
    "euler": (1, LOOPS["euler"]),
    "heun": (2, LOOPS["heun"]),
    "res2s": (
        2,
        lambda s, v, a, d: core.res2s_audio_video_denoising_loop(
            s, v, a, NoiselessRes2sStep(), d, noise=mx.zeros_like, substep_noise=mx.zeros_like, bongmath=False
        ),
    ),
}


@pytest.mark.parametrize(("order", "loop"), LOOPS_WITHOUT_NOISE.values(), ids=LOOPS_WITHOUT_NOISE.keys())
def test_order_of_convergence(order: int, loop: Loop) -> None:
    coarse, fine = _error(loop, 10), _error(loop, 20)
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.35)


@every_loop
def test_samples_have_the_distribution_of_the_data(loop: Loop) -> None:
    start = _normal(0, 1, 4000, 1)
    video, _ = core.run(loop(_line(60), _state(start), None, gaussian_denoiser))
    assert video is not None
    assert mx.mean(video.latent).item() == pytest.approx(MEAN, abs=0.03)
    assert mx.std(video.latent).item() == pytest.approx(SPREAD, rel=0.06)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), steps=st.integers(1, 6))
def test_equivalences(seed: int, steps: int) -> None:
    start = _state(_normal(seed, 1, 5, 2))
    sigmas = _line(steps)
    euler, _ = core.run(LOOPS["euler"](sigmas, start, None, gaussian_denoiser))
    others = [
        core.euler_denoising_loop(
            sigmas, start, None, core.EulerAncestralDiffusionStep(eta=0.0), gaussian_denoiser, noise=_noise(1)
        ),
        core.gradient_estimating_euler_denoising_loop(
            sigmas, start, None, core.EulerDiffusionStep(), gaussian_denoiser, ge_gamma=1.0
        ),
    ]
    for loop in others:
        video, _ = core.run(loop)
        assert video is not None
        assert euler is not None
        np.testing.assert_allclose(video.latent, euler.latent, atol=2e-5)


def test_noise_is_drawn_for_video_then_audio_and_not_at_the_end() -> None:
    drawn = []

    def noise(like: mx.array) -> mx.array:
        drawn.append(like.shape[1])
        return mx.zeros_like(like)

    states = (_state(_normal(0, 1, 6, 3)), _state(_normal(1, 1, 4, 2)))
    denoiser = _constant(_normal(2, 1, 6, 3), _normal(3, 1, 4, 2))
    step = core.EulerAncestralDiffusionStep()
    core.run(core.euler_denoising_loop(_line(3), *states, step, denoiser, noise=noise))
    assert drawn == [6, 4, 6, 4]
    drawn.clear()
    core.run(
        core.res2s_audio_video_denoising_loop(
            _line(2), *states, core.Res2sDiffusionStep(), denoiser, noise=noise, substep_noise=noise
        )
    )
    assert drawn == [6, 4] * 4


def test_the_same_noise_gives_the_same_sample() -> None:
    def sample() -> mx.array:
        video, _ = core.run(LOOPS["res2s"](_line(4), _state(_normal(0, 1, 6, 3)), None, gaussian_denoiser))
        assert video is not None
        return video.latent

    assert mx.array_equal(sample(), sample())


def test_res2s_by_token_level() -> None:
    def final(mask: mx.array) -> mx.array:
        loop = core.res2s_audio_video_denoising_loop(
            _line(4),
            _state(_normal(0, 1, 6, 3), mask),
            None,
            core.Res2sDiffusionStep(),
            gaussian_denoiser,
            noise=_noise(1),
            substep_noise=_noise(2),
            legacy_mode=False,
        )
        video, _ = core.run(loop)
        assert video is not None
        return video.latent

    assert mx.all(mx.isfinite(final(mx.ones((1, 6, 1)))))
    assert mx.all(mx.isfinite(final(mx.array([0, 0.3, 1, 1, 1, 1]).reshape(1, 6, 1))))


@pytest.mark.parametrize(
    "sigmas", [[], [1.0], [0.5, 1.0], [1.0, float("nan")], [1.0, 0.0, 0.0], [1.0, -0.1], [float("inf"), 1.0]]
)
@every_loop
def test_what_is_no_schedule_is_refused(loop: Loop, sigmas: list[float]) -> None:
    with pytest.raises(core.ConfigError, match="not a schedule"):
        core.run(loop(sigmas, _state(_normal(0, 1, 2, 2)), None, gaussian_denoiser))


@every_loop
def test_there_must_be_something_to_denoise(loop: Loop) -> None:
    with pytest.raises(core.ConfigError, match="nothing to denoise"):
        core.run(loop(_line(2), None, None, gaussian_denoiser))


def test_run_needs_a_step() -> None:
    with pytest.raises(core.ConfigError, match="no step"):
        core.run(iter([]))


def test_schedules_may_be_arrays() -> None:
    values = [1.0, 0.5, 0.0]
    assert as_schedule(mx.array(values)) == as_schedule(np.array(values)) == as_schedule(values) == values


@every_loop
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([1.0, 0.909375, 0.3]))
def test_a_denoise_mask_of_ones_gives_the_unconditioned_result(loop: Loop, seed: int, scale: float) -> None:
    """Bit for bit, noise included: what the clean latent would be does not matter."""

    def result(clean: mx.array) -> mx.array:
        state = _state(_normal(seed, 1, 5, 3), mx.ones((1, 5, 1)), clean)
        noised = core.GaussianNoiser(_noise(seed))(state, scale)
        denoiser: Denoiser = lambda video, audio, sigmas, index: (0.5 * video.latent, None)  # noqa: E731
        final, _ = core.run(loop(_line(4), noised, None, denoiser))
        assert final is not None
        return final.latent

    np.testing.assert_array_equal(result(_normal(seed + 1, 1, 5, 3)), result(mx.zeros((1, 5, 3))))
