"""The res_2s loop: a second-order exponential method with fresh noise in every step (arXiv:2308.02157)."""

import math
from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from ltx_core.denoisers import Denoiser
from ltx_core.diffusion_steps import Res2sDiffusionStep, Sigmas
from ltx_core.loops import (
    StepEvent,
    advance,
    as_schedule,
    check_start,
    check_states,
    draw_again,
    finish_step,
    post_process_latent,
    predict,
)
from ltx_core.noisers import NoiseFn
from ltx_core.res2s import get_res2s_coefficients, refine_anchor
from ltx_core.types import LatentState

# Stands in for the final 0 of a schedule, where log(sigma) has no value; one more prediction follows there.
LAST_SIGMA = float(np.float32(0.0011))
# The noise of substeps is not configurable in the reference.
SUBSTEP_ETA = 0.5


def res2s_audio_video_denoising_loop(
    sigmas: Sigmas,
    video_state: LatentState | None,
    audio_state: LatentState | None,
    stepper: Res2sDiffusionStep,
    denoiser: Denoiser,
    noise: NoiseFn,
    substep_noise: NoiseFn,
    eta: float = 0.5,
    bongmath: bool = True,
    bongmath_max_iter: int = 100,
    legacy_mode: bool = True,
    start: int = 0,
) -> Iterator[StepEvent]:
    """Two predictions per step, at sigma and at the geometric mean of sigma and the next one.

    A schedule that ends with 0 takes one step more: to 0.0011 instead, and from there the prediction. The
    coefficients are float64 on the host; the reference's float64 arrays are not needed, because the formulas
    are arranged so that nothing cancels and the refinement is in closed form.

    Args:
        sigmas: the schedule.
        video_state: noisy state, or None.
        audio_state: noisy state, or None.
        stepper: adds the noise.
        denoiser: predicts x0; at the substep it is called with the one sigma [s] and index 0.
        noise: for the steps, drawn for video, then for audio. The official pipelines use
            `noisers.standardized` noise.
        substep_noise: for the substeps, in the same order.
        eta: part of the next sigma that is fresh noise, for steps (substeps: 0.5).
        bongmath: refine the starting point of short steps, so that it agrees with the noisy substep.
        bongmath_max_iter: rounds of that.
        legacy_mode: noise for the whole stream, then conditioned tokens are restored. False: noise by each
            token's own level; as soon as one token has mask 0 there is none at all.
        start: steps made before, of which the states are the result.

    Raises:
        ConfigError: if `sigmas` is no schedule, there is nothing to denoise, or `start` is none of its steps.
    """
    states = check_states(video_state, audio_state)
    schedule = as_schedule(sigmas)
    ends_at_zero = schedule[-1] == 0
    if ends_at_zero:
        schedule = [*schedule[:-1], LAST_SIGMA, 0.0]
    full_steps = len(schedule) - 1 - ends_at_zero
    check_start(start, len(schedule) - 1)
    draw_again(states, [substep_noise, noise] * min(start, full_steps))

    def inject(
        state: LatentState,
        start: mx.array,
        end: mx.array,
        pair: tuple[float, float],
        draw: NoiseFn,
        amount: float,
    ) -> mx.array:
        fresh = draw(state.latent)
        if legacy_mode:
            noisy = stepper.step(start, end, pair, 0, fresh, amount)
            return post_process_latent(noisy, state.denoise_mask, state.clean_latent)
        mask = np.array(state.denoise_mask, np.float64)
        return stepper.step(start, end, [mask * pair[0], mask * pair[1]], 0, fresh, amount)

    for index in range(start, full_steps):
        sigma, sigma_next = schedule[index], schedule[index + 1]
        middle_sigma = math.sqrt(sigma * sigma_next)
        h = math.log(sigma / sigma_next)
        a21, b1, b2 = get_res2s_coefficients(h)
        refine = bongmath and h < 0.5 and sigma > 0.03
        keep, move = refine_anchor(h * a21, bongmath_max_iter if refine else 0)

        first = predict(denoiser, states, schedule, index)

        def substep(
            state: LatentState,
            x0: mx.array,
            q: float = h * a21,
            pair: tuple[float, float] = (sigma, middle_sigma),
        ) -> mx.array:
            start = state.latent.astype(mx.float32)
            return inject(state, start, start + q * (x0 - start), pair, substep_noise, SUBSTEP_ETA)

        middle = advance(states, first, substep)
        second = predict(denoiser, middle, [middle_sigma], 0)

        latents: list[mx.array | None] = []
        for state, x0, ahead, x0_ahead in zip(states, first, middle, second, strict=True):
            if state is None or x0 is None or ahead is None or x0_ahead is None:
                latents.append(None)
                continue
            anchor = keep * state.latent + move * (ahead.latent - (h * a21) * x0)
            end = anchor + h * (b1 * (x0 - anchor) + b2 * (x0_ahead - anchor))
            latents.append(inject(state, anchor, end, (sigma, sigma_next), noise, eta))
        states = advance(states, (latents[0], latents[1]), lambda _state, latent: latent)
        yield finish_step(schedule, index, states, first)

    if ends_at_zero:
        last = predict(denoiser, states, schedule, full_steps)
        states = advance(states, last, lambda _state, x0: x0)
        yield finish_step(schedule, full_steps, states, last)
