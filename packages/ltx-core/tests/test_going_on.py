"""Loops that were cut short and go on: bit for bit what they would have given, wherever they were cut."""

from collections.abc import Callable, Iterator
from typing import Any

import ltx_core as core
import mlx.core as mx
import numpy as np
import pytest
from ltx_core.denoisers import Denoiser, Predictions

Loop = Callable[..., Iterator[core.StepEvent]]

STEPS = 5
SCHEDULE: list[float] = [*np.linspace(1.0, 0.2, STEPS).tolist(), 0.0]


def ancestral(*given: Any, **options: Any) -> Iterator[core.StepEvent]:
    stepper = core.EulerAncestralDiffusionStep()
    return core.euler_denoising_loop(*given[:3], stepper, given[3], noise=core.RandomNoise(7), **options)


def res2s(*given: Any, **options: Any) -> Iterator[core.StepEvent]:
    """Both kinds of noise from one function, as a caller may replace them."""
    noise = core.standardized(core.RandomNoise(8))
    return core.res2s_audio_video_denoising_loop(
        *given[:3], core.Res2sDiffusionStep(), given[3], noise=noise, substep_noise=noise, **options
    )


LOOPS: dict[str, Loop] = {
    "euler": lambda s, v, a, d, **o: core.euler_denoising_loop(s, v, a, core.EulerDiffusionStep(), d, **o),
    "ancestral": ancestral,
    "heun": lambda s, v, a, d, **o: core.heun_denoising_loop(s, v, a, core.HeunDiffusionStep(), d, **o),
    "gradient": lambda s, v, a, d, **o: core.gradient_estimating_euler_denoising_loop(
        s, v, a, core.EulerDiffusionStep(), d, **o
    ),
    "res2s": res2s,
}
every_loop = pytest.mark.parametrize("name", LOOPS)


def state(seed: int, tokens: int) -> core.LatentState:
    latent, clean = (mx.random.normal((1, tokens, 3), key=mx.random.key(seed + i)) for i in range(2))
    mask = mx.array([0.0, 0.3, *[1.0] * (tokens - 2)]).reshape(1, tokens, 1)
    return core.LatentState(latent, mask, mx.zeros((1, 1, tokens, 2)), clean)


def denoiser(
    video: core.LatentState | None, audio: core.LatentState | None, sigmas: Any, index: int
) -> Predictions:
    """Depends on the state and on the noise level."""
    level = float(sigmas[index])
    first, second = (None if one is None else mx.sin(one.latent) * (1 - level) for one in (video, audio))
    return first, second


@every_loop
@pytest.mark.parametrize("streams", [(6, 4), (6, None), (None, 4)])
def test_going_on_gives_the_same_bits(name: str, streams: tuple[int | None, int | None]) -> None:
    loop = LOOPS[name]
    states = [None if tokens is None else state(seed, tokens) for seed, tokens in enumerate(streams)]
    whole = list(loop(SCHEDULE, *states, denoiser))
    for cut, event in enumerate(whole[:-1], start=1):
        options: dict[str, Any] = {"start": cut}
        if name == "gradient":
            options["velocities"] = event.velocities
        rest = list(loop(SCHEDULE, event.video, event.audio, denoiser, **options))
        assert [later.step for later in rest] == list(range(cut, len(whole)))
        for ours, theirs in zip(rest, whole[cut:], strict=True):
            assert (ours.sigma, ours.sigma_next) == (theirs.sigma, theirs.sigma_next)
            for one, other in ((ours.video, theirs.video), (ours.audio, theirs.audio)):
                assert (one is None) == (other is None)
                if one is not None and other is not None:
                    assert np.array(one.latent).tobytes() == np.array(other.latent).tobytes()


def test_gradient_estimation_needs_its_velocities() -> None:
    """Without them it goes on as at its beginning, and differs."""
    loop, start = LOOPS["gradient"], state(0, 6)
    whole = list(loop(SCHEDULE, start, None, denoiser))
    rest = list(loop(SCHEDULE, whole[1].video, None, denoiser, start=2))
    assert rest[-1].video is not None
    assert whole[-1].video is not None
    assert not np.array_equal(np.array(rest[-1].video.latent), np.array(whole[-1].video.latent))


@every_loop
@pytest.mark.parametrize("start", [-1, STEPS + 1, 1000])
def test_no_step_of_the_schedule(name: str, start: int) -> None:
    with pytest.raises(core.ConfigError, match=f"start {start} is not a number of steps"):
        core.run(LOOPS[name](SCHEDULE, state(0, 6), None, denoiser, start=start))


@pytest.mark.parametrize("skip_step", [1, 2])
def test_skipped_steps_go_on_with_the_last_prediction(skip_step: int) -> None:
    """Cut where the next step would not call the network."""
    params = core.MultiModalGuiderParams(cfg_scale=2.0, skip_step=skip_step)
    context = mx.ones((1, 2, 3))

    def model(video: core.Modality | None, audio: Any, perturbations: Any) -> Predictions:
        assert video is not None
        return mx.cos(video.latent + video.context.sum()), None

    def guided() -> core.GuidedDenoiser:
        return core.GuidedDenoiser(model, context, None, core.MultiModalGuider(params, -context))

    def run(first: core.LatentState | None, made: Denoiser, start: int = 0) -> list[np.ndarray]:
        events = core.euler_denoising_loop(
            SCHEDULE, first, None, core.EulerDiffusionStep(), made, start=start
        )
        latents = []
        for event in events:
            assert event.video is not None
            latents.append(np.array(event.video.latent))
        return latents

    start = state(0, 6)
    whole = run(start, guided())
    for cut in range(1, STEPS):
        first, second = guided(), guided()
        steps = core.euler_denoising_loop(SCHEDULE, start, None, core.EulerDiffusionStep(), first)
        event = next(event for event in steps if event.step == cut - 1)
        second.last = first.last
        assert np.array_equal(run(event.video, second, cut)[-1], whole[-1])
