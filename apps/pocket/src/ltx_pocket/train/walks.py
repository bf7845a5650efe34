"""The ways from noise to clips that the distillation learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from ltx_pocket.train.diffusion import Contexts, Diffusion, Tables, of_tokens, sinusoids
from ltx_pocket.train.given import draw_given
from ltx_pocket.train.latents import Bucket, Pool
from ltx_pocket.train.sampling import State, Step, denoise, noised

SUBSTEPS = {0.909375: 3, 0.725: 5, 0.421875: 6, 0.0: 8}
"""Steps of the teacher on its way to a sigma of the schedule; 1 to the others, which are close together."""

ROUGH = 0.5
"""Part of the second stage's ways that begin with upscaled clips."""


@dataclass(frozen=True)
class Course:
    """Clips of one size and the schedule that they are made with.

    Attributes:
        share: of the steps.
        trajectories: how many are walked, if there is time.
    """

    bucket: Bucket
    sigmas: tuple[float, ...]
    share: float
    trajectories: int


class Trajectories(NamedTuple):
    """Places on the way and where the teacher goes from there, for every noise level but the last.

    Attributes:
        video, audio: (N, levels, T, D) float16 where a step begins.
        video_target, audio_target: velocities of the teacher's way to the next level.
        fixed: (N, F) bool.
        video_context, audio_context: (N, 128, width).
    """

    video: mx.array
    audio: mx.array
    video_target: mx.array
    audio_target: mx.array
    fixed: mx.array
    video_context: mx.array
    audio_context: mx.array


def segment(sigma: float, after: float) -> list[float]:
    """Noise levels of the teacher's small steps between two levels of the schedule."""
    return np.linspace(sigma, after, SUBSTEPS.get(round(after, 6), 1) + 1).tolist()


def walk(
    state: State,
    sigmas: Sequence[float],
    contexts: Contexts,
    tables: Tables,
    teacher: Step,
    student: Step | None = None,
) -> Trajectories:
    """One batch of ways through a schedule. With a student, it is the one that walks."""
    starts: list[State] = []
    targets: list[tuple[mx.array, mx.array]] = []
    for sigma, after in pairwise(sigmas):
        starts.append(state)
        end, inner = state, segment(sigma, after)
        for here, there in pairwise(inner):
            end = teacher(end, here, there, contexts, tables)
        targets.append(
            ((state.video - end.video) / (sigma - after), (state.audio - end.audio) / (sigma - after))
        )
        state = end if student is None else student(state, sigma, after, contexts, tables)

    def stacked(arrays: list[mx.array]) -> mx.array:
        return mx.stack(arrays, axis=1).astype(mx.float16)

    return Trajectories(
        stacked([s.video for s in starts]),
        stacked([s.audio for s in starts]),
        stacked([video for video, _ in targets]),
        stacked([audio for _, audio in targets]),
        state.fixed,
        *contexts,
    )


@dataclass
class Source:
    """What trajectories of one course are made of, and those that there are."""

    course: Course
    pool: Pool
    tables: Tables
    found: list[Trajectories]

    @property
    def tokens(self) -> int:
        """Of a clip, both streams."""
        return self.pool.clip_tokens + self.pool.audio.shape[1]

    def begin(self, size: int, rng: np.random.Generator, network: Diffusion) -> tuple[State, Contexts]:
        """Where ways begin: the first stage starts from noise, the second from noised clips, half of them
        upscaled, if the pool has such. What is given is of the clips as they are."""
        own, audio, ids, lengths = self.pool.draw(rng, size)
        video, rough = mx.split(own, [self.pool.clip_tokens], axis=1)
        contexts = network.contexts(mx.array(ids), mx.array(lengths))
        fixed = mx.array(draw_given(rng, size, self.pool.times).frames)
        if rough.shape[1] and self.course.sigmas[0] < 1:
            upscaled = mx.array(rng.random(size) < ROUGH)[:, None, None]
            video = mx.where(upscaled & ~of_tokens(fixed, video.shape[1]), rough, video)
        key = mx.random.key(int(rng.integers(2**62)))
        return noised(video, audio, fixed, self.course.sigmas[0], key), contexts

    def compare(
        self, size: int, rng: np.random.Generator, network: Diffusion, teacher: Step, student: Step
    ) -> dict[str, float]:
        """Mean squared distance between the clips of student and teacher from the same noise; that of two
        different clips is 2."""
        state, contexts = self.begin(size, rng, network)
        sigmas = self.course.sigmas
        small = [sigmas[0], *(sigma for pair in pairwise(sigmas) for sigma in segment(*pair)[1:])]
        wanted = denoise(teacher, state, small, contexts, self.tables)
        found = denoise(student, state, self.course.sigmas, contexts, self.tables)
        pairs = {"video": (wanted.video, found.video), "audio": (wanted.audio, found.audio)}
        return {
            f"{name}_distance": round(float(mx.square(own - other).mean()), 5)
            for name, (own, other) in pairs.items()
        }

    def grow(
        self,
        size: int,
        rng: np.random.Generator,
        network: Diffusion,
        teacher: Step,
        student: Step | None = None,
    ) -> None:
        """Walk `size` more ways."""
        state, contexts = self.begin(size, rng, network)
        found = walk(state, self.course.sigmas, contexts, self.tables, teacher, student)
        mx.eval(found)
        self.found.append(found)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[mx.array, ...]:
        """Steps at random from one of the walks."""
        walks = self.found[rng.integers(len(self.found))]
        which = mx.array(rng.integers(len(walks.video), size=size))
        # Steps are as frequent as they are long, but for a half that is spread evenly.
        lengths = -np.diff(self.course.sigmas)
        chances = 0.5 * lengths / lengths.sum() + 0.5 / len(lengths)
        level = rng.choice(len(lengths), p=chances, size=size)
        where = which, mx.array(level)
        return (
            *(values[where] for values in walks[:4]),
            *(values[which] for values in walks[4:]),
            sinusoids(np.array(self.course.sigmas))[mx.array(level)],
            *self.tables,
        )
