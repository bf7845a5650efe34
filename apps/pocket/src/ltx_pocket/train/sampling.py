"""Many clips at once from the network in training: to look at it, and as the teacher of the distillation."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from ltx_pocket.train.diffusion import Contexts, Diffusion, Stream, Tables, of_tokens, sinusoids


class State(NamedTuple):
    """Tokens on their way from noise to clips, (B, T, D) float32 each, and frames that are given (B, F)."""

    video: mx.array
    audio: mx.array
    fixed: mx.array


Step = Callable[[State, float, float, Contexts, Tables], State]


def stepper(network: Diffusion, negative: Contexts | None = None, guidance: float = 1.0) -> Step:
    """One Euler step for a batch: (state, sigma, next sigma, contexts, tables) -> state.

    Args:
        network: used as it is at every step. Nothing is compiled: the kernels would take minutes, the steps
            that they save seconds.
        negative: contexts (1, 128, width) that guidance leads away from.
        guidance: strength of classifier-free guidance, for both streams; 1 for none.
    """
    guided = negative is not None and guidance != 1.0

    def guide(on: mx.array, off: mx.array) -> mx.array:
        return off + guidance * (on - off)

    def step(
        state: State, level: mx.array, delta: mx.array, contexts: Contexts, tables: Tables
    ) -> tuple[mx.array, mx.array]:
        video, audio, fixed = state
        video_context, audio_context = contexts
        if guided:
            assert negative is not None
            video, audio, fixed = (mx.concatenate([x, x]) for x in state)
            video_context, audio_context = (
                mx.concatenate([own, mx.broadcast_to(other.astype(own.dtype), own.shape)])
                for own, other in zip(contexts, negative, strict=True)
            )
        velocities = network.velocities(
            Stream(video, level, video_context, fixed), Stream(audio, level, audio_context), tables
        )
        if guided:
            pairs = [mx.split(v.astype(mx.float32), 2) for v in velocities]
            velocities = guide(*pairs[0]), guide(*pairs[1])
        moved = state.video + delta * velocities[0]
        given = of_tokens(state.fixed, moved.shape[1])
        return mx.where(given, state.video, moved), state.audio + delta * velocities[1]

    def call(state: State, sigma: float, after: float, contexts: Contexts, tables: Tables) -> State:
        level = sinusoids(np.array([sigma]))
        video, audio = step(state, level, mx.array(after - sigma, mx.float32), contexts, tables)
        mx.async_eval(video, audio)
        return State(video, audio, state.fixed)

    return call


def denoise(step: Step, state: State, sigmas: Sequence[float], contexts: Contexts, tables: Tables) -> State:
    """All steps of a schedule."""
    for sigma, after in pairwise(sigmas):
        state = step(state, sigma, after, contexts, tables)
    return state


def noised(
    video: mx.array, audio: mx.array, fixed: mx.array, sigma: float | mx.array, key: mx.array
) -> State:
    """Clean tokens brought to a noise level, or to one each (B, 1, 1), but for those that are given."""
    first, second = mx.random.split(key)
    video, audio = video.astype(mx.float32), audio.astype(mx.float32)
    noisy = (1 - sigma) * video + sigma * mx.random.normal(video.shape, key=first)
    sound = (1 - sigma) * audio + sigma * mx.random.normal(audio.shape, key=second)
    return State(mx.where(of_tokens(fixed, video.shape[1]), video, noisy), sound, fixed)
