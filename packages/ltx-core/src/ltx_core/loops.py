"""Denoising loops: from noise to a sample, driven by the caller.

Every loop is a generator that yields a `StepEvent` after each step, with the states evaluated; stop iterating
to cancel. `run` drives a loop to its end. A loop takes any denoiser (see `denoisers.Denoiser`), and video and
audio states of which one may be None. States are in token layout and stay float32.

Predictions are blended with the clean latents by the denoise mask before a step uses them, so conditioned
tokens stay what they are.

A loop that was cut short goes on with `start`: the number of steps made, and the states after the last of
them. What follows is bit for bit what would have followed: noise that those steps drew is drawn again and
dropped, so give it noise functions that begin anew.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import mlx.core as mx
import numpy as np

from ltx_core.denoisers import Denoiser, Predictions
from ltx_core.diffusion_steps import DiffusionStepProtocol, HeunDiffusionStep, Sigmas
from ltx_core.errors import ConfigError
from ltx_core.maths import to_denoised, to_velocity
from ltx_core.noisers import NoiseFn
from ltx_core.types import LatentState

States = tuple[LatentState | None, LatentState | None]


@dataclass(frozen=True, eq=False)
class StepEvent:
    """What a loop has to say after a step.

    Attributes:
        step: index of the step, from 0.
        num_steps: number of steps of the loop.
        sigma: noise level before the step.
        sigma_next: noise level after it.
        video: state after the step, None without video.
        audio: state after the step, None without audio.
        video_x0: (B, T, D) the step's prediction of the result, good for a preview.
        audio_x0: the same for audio.
        velocities: what gradient estimation takes to the next step beside the states; of other methods
            (None, None).
    """

    step: int
    num_steps: int
    sigma: float
    sigma_next: float
    video: LatentState | None
    audio: LatentState | None
    video_x0: mx.array | None
    audio_x0: mx.array | None
    velocities: Predictions = (None, None)


def run(loop: Iterable[StepEvent], on_step: Callable[[StepEvent], None] | None = None) -> States:
    """Drive a loop to its end and return the final (video, audio) states.

    Args:
        loop: one of the loops of this module.
        on_step: called after every step; what it raises ends the loop.

    Raises:
        ConfigError: if the loop had no step.
    """
    event = None
    for event in loop:
        if on_step is not None:
            on_step(event)
    if event is None:
        raise ConfigError("the denoising loop made no step")
    return event.video, event.audio


def as_schedule(sigmas: Sigmas) -> list[float]:
    """Sigmas as Python numbers, rounded to float32.

    Raises:
        ConfigError: unless there are at least two, finite, not increasing, and positive but for the last.
    """
    schedule: list[float] = np.array(sigmas, dtype=np.float32).tolist()
    ordered = len(schedule) > 1 and all(a >= b for a, b in pairwise(schedule))
    if not ordered or not np.isfinite(schedule).all() or schedule[-2] <= 0 or schedule[-1] < 0:
        raise ConfigError(
            f"not a schedule: {schedule}; expected at least two finite sigmas that decrease, of which only "
            "the last may be 0"
        )
    return schedule


def check_states(video_state: LatentState | None, audio_state: LatentState | None) -> States:
    """The two states as a pair.

    Raises:
        ConfigError: if there is neither.
    """
    if video_state is None and audio_state is None:
        raise ConfigError("nothing to denoise: give a video state, an audio state, or both")
    return video_state, audio_state


def check_start(start: int, steps: int) -> None:
    """Raise ConfigError unless `start` of `steps` steps can have been made, with at least one to go."""
    if not 0 <= start < steps:
        raise ConfigError(f"start {start} is not a number of steps from 0 to {steps - 1}")


def draw_again(states: States, noise: Iterable[NoiseFn]) -> None:
    """Noise as steps that are not repeated drew it, one function after the other, each for video and for
    audio; it is dropped, so that what comes behind it is the same."""
    for draw in noise:
        for state in states:
            if state is not None:
                draw(state.latent)


def post_process_latent(denoised: mx.array, denoise_mask: mx.array, clean: mx.array) -> mx.array:
    """Prediction where the mask is 1, clean latent where it is 0: x0 mask + clean (1 - mask), float32."""
    return denoised.astype(mx.float32) * denoise_mask + clean.astype(mx.float32) * (1 - denoise_mask)


def predict(denoiser: Denoiser, states: States, sigmas: Sigmas, step_index: int) -> Predictions:
    """The denoiser's predictions, blended with the clean latents."""
    video, audio = (
        None
        if state is None or x0 is None
        else post_process_latent(x0, state.denoise_mask, state.clean_latent)
        for state, x0 in zip(states, denoiser(*states, sigmas, step_index), strict=True)
    )
    return video, audio


def advance(
    states: States, predictions: Predictions, step: Callable[[LatentState, mx.array], mx.array]
) -> States:
    """Both states with the latents of `step(state, prediction)`; a stream without prediction stays."""
    video, audio = (
        state if state is None or x0 is None else state.replace(latent=step(state, x0))
        for state, x0 in zip(states, predictions, strict=True)
    )
    return video, audio


def _step(
    stepper: DiffusionStepProtocol, schedule: Sigmas, step_index: int, state: LatentState, x0: mx.array
) -> mx.array:
    return stepper.step(state.latent, x0, schedule, step_index)


def finish_step(
    schedule: Sigmas,
    step_index: int,
    states: States,
    predictions: Predictions,
    velocities: Predictions = (None, None),
) -> StepEvent:
    """Evaluate a step and describe it."""
    latents = [state.latent for state in states if state is not None]
    mx.eval(latents, [array for array in (*predictions, *velocities) if array is not None])
    sigma, sigma_next = float(schedule[step_index]), float(schedule[step_index + 1])
    return StepEvent(step_index, len(schedule) - 1, sigma, sigma_next, *states, *predictions, velocities)


def euler_denoising_loop(
    sigmas: Sigmas,
    video_state: LatentState | None,
    audio_state: LatentState | None,
    stepper: DiffusionStepProtocol,
    denoiser: Denoiser,
    noise: NoiseFn | None = None,
    start: int = 0,
) -> Iterator[StepEvent]:
    """One prediction per step, for any step that needs no more: Euler, ancestral Euler.

    Args:
        sigmas: the schedule, n + 1 values for n steps.
        video_state: noisy state, or None.
        audio_state: noisy state, or None.
        stepper: e.g. `EulerDiffusionStep`, `EulerAncestralDiffusionStep`.
        denoiser: predicts x0.
        noise: for stochastic steps; drawn for video, then for audio, in every step but one to sigma 0. After
            the noise conditioned tokens are restored.
        start: steps made before, of which the states are the result.

    Raises:
        ConfigError: if `sigmas` is no schedule, there is nothing to denoise, or `start` is none of its steps.
    """
    states = check_states(video_state, audio_state)
    schedule = as_schedule(sigmas)
    check_start(start, len(schedule) - 1)
    draw_again(states, [] if noise is None else [noise] * start)

    def noisy_step(draw: NoiseFn, index: int, state: LatentState, x0: mx.array) -> mx.array:
        stepped = stepper.step(state.latent, x0, schedule, index, noise=draw(state.latent))
        return post_process_latent(stepped, state.denoise_mask, state.clean_latent)

    for index, sigma_next in enumerate(schedule[start + 1 :], start):
        predictions = predict(denoiser, states, schedule, index)
        if noise is None or sigma_next == 0:
            states = advance(states, predictions, partial(_step, stepper, schedule, index))
        else:
            states = advance(states, predictions, partial(noisy_step, noise, index))
        yield finish_step(schedule, index, states, predictions)


def heun_denoising_loop(
    sigmas: Sigmas,
    video_state: LatentState | None,
    audio_state: LatentState | None,
    stepper: HeunDiffusionStep,
    denoiser: Denoiser,
    start: int = 0,
) -> Iterator[StepEvent]:
    """Second order: two predictions per step, one for a step to sigma 0. Arguments as `euler_denoising_loop`.

    Raises:
        ConfigError: if `sigmas` is no schedule, there is nothing to denoise, or `start` is none of its steps.
    """
    states = check_states(video_state, audio_state)
    schedule = as_schedule(sigmas)
    check_start(start, len(schedule) - 1)
    for index, sigma_next in enumerate(schedule[start + 1 :], start):
        predictions = predict(denoiser, states, schedule, index)
        predicted = advance(states, predictions, partial(_step, stepper, schedule, index))
        if sigma_next > 0:
            second = predict(denoiser, predicted, schedule, index + 1)
            video, audio = (
                ahead
                if state is None or ahead is None or x0 is None or x0_ahead is None
                else state.replace(
                    latent=stepper.correct(state.latent, x0, ahead.latent, x0_ahead, schedule, index)
                )
                for state, x0, ahead, x0_ahead in zip(states, predictions, predicted, second, strict=True)
            )
            predicted = (video, audio)
        states = predicted
        yield finish_step(schedule, index, states, predictions)


def gradient_estimating_euler_denoising_loop(
    sigmas: Sigmas,
    video_state: LatentState | None,
    audio_state: LatentState | None,
    stepper: DiffusionStepProtocol,
    denoiser: Denoiser,
    ge_gamma: float = 2.0,
    start: int = 0,
    velocities: Predictions = (None, None),
) -> Iterator[StepEvent]:
    """First order with a corrected velocity, v_prev + gamma * (v - v_prev) (openreview o2ND9v0CeK).

    The network's own velocity is kept for the next step, not the corrected one; a step to sigma 0 returns the
    prediction. Arguments as `euler_denoising_loop`, `ge_gamma`, with which 1 is Euler, and `velocities`: to
    go on from `start`, those of the last event.

    Raises:
        ConfigError: if `sigmas` is no schedule, there is nothing to denoise, or `start` is none of its steps.
    """
    states = check_states(video_state, audio_state)
    schedule = as_schedule(sigmas)
    check_start(start, len(schedule) - 1)
    for index, (sigma, sigma_next) in enumerate(pairwise(schedule[start:]), start):
        predictions = predict(denoiser, states, schedule, index)
        if sigma_next == 0:
            states = advance(states, predictions, lambda _state, x0: x0)
            yield finish_step(schedule, index, states, predictions)
            return
        fresh: list[mx.array | None] = []
        corrected: list[mx.array | None] = []
        for state, x0, before in zip(states, predictions, velocities, strict=True):
            velocity = None if state is None or x0 is None else to_velocity(state.latent, sigma, x0)
            if state is not None and velocity is not None and before is not None:
                x0 = to_denoised(state.latent, ge_gamma * (velocity - before) + before, sigma)
            fresh.append(velocity)
            corrected.append(x0)
        velocities = (fresh[0], fresh[1])
        states = advance(states, (corrected[0], corrected[1]), partial(_step, stepper, schedule, index))
        yield finish_step(schedule, index, states, predictions, velocities)
