"""Guidance: several predictions per step, stacked in batches or one by one, combined for each stream."""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from ltx_core.denoisers import Model, Predictions, modality_from_latent_state, require_context
from ltx_core.diffusion_steps import Sigmas
from ltx_core.errors import ConfigError
from ltx_core.multimodal_guider import MultiModalGuider, MultiModalGuiderFactory, MultiModalGuiderParams
from ltx_core.perturbations import (
    BatchedPerturbationConfig,
    Perturbation,
    PerturbationConfig,
    PerturbationType,
)
from ltx_core.ranks import gather_items, own_items
from ltx_core.types import LatentState, Modality

NEUTRAL_GUIDER = MultiModalGuider(MultiModalGuiderParams())

_ISOLATED = PerturbationConfig(
    [
        Perturbation(PerturbationType.SKIP_A2V_CROSS_ATTN, None),
        Perturbation(PerturbationType.SKIP_V2A_CROSS_ATTN, None),
    ]
)


@dataclass(frozen=True, eq=False)
class GuidancePass:
    """One of the predictions that guidance combines: its text embeddings and what the network skips."""

    name: str
    video_context: mx.array | None
    audio_context: mx.array | None
    perturbations: PerturbationConfig


def guidance_passes(
    v_context: mx.array | None,
    a_context: mx.array | None,
    video_guider: MultiModalGuider,
    audio_guider: MultiModalGuider,
) -> list[GuidancePass]:
    """The passes that a step needs: "cond", then "uncond", "ptb" and "mod" if either stream wants them.

    In the "uncond" pass a stream without negative context sees its positive one. The "ptb" pass skips
    self-attention only in streams that want it. The "mod" pass skips both cross-modal attentions everywhere.

    Raises:
        ConfigError: if a stream wants classifier-free guidance and has no negative context.
    """
    passes = [GuidancePass("cond", v_context, a_context, PerturbationConfig.empty())]
    guiders = (video_guider, audio_guider)
    if any(guider.do_unconditional_generation() for guider in guiders):
        for stream, guider in (("video", video_guider), ("audio", audio_guider)):
            if guider.do_unconditional_generation() and guider.negative_context is None:
                raise ConfigError(
                    f"{stream} guidance with cfg_scale {guider.params.cfg_scale} needs a negative_context: "
                    "encode a negative prompt (it may be empty) or set cfg_scale to 1"
                )
        v_negative = v_context if video_guider.negative_context is None else video_guider.negative_context
        a_negative = a_context if audio_guider.negative_context is None else audio_guider.negative_context
        passes.append(GuidancePass("uncond", v_negative, a_negative, PerturbationConfig.empty()))
    skips = (PerturbationType.SKIP_VIDEO_SELF_ATTN, PerturbationType.SKIP_AUDIO_SELF_ATTN)
    perturbations = [
        Perturbation(skip, guider.params.stg_blocks)
        for skip, guider in zip(skips, guiders, strict=True)
        if guider.do_perturbed_generation()
    ]
    if perturbations:
        passes.append(GuidancePass("ptb", v_context, a_context, PerturbationConfig(perturbations)))
    if any(guider.do_isolated_modality_generation() for guider in guiders):
        passes.append(GuidancePass("mod", v_context, a_context, _ISOLATED))
    return passes


Guider = MultiModalGuider | MultiModalGuiderFactory


class GuidedDenoiser:
    """Multi-modal guidance: up to four predictions per step, combined by each stream's guider.

    It remembers the `last` guided predictions, which steps that are skipped (`skip_step`) return again; use
    one object per generation, and set `last` in a new one to go on with a generation that was cut short.

    Args:
        model: predicts x0 (see `X0Model`).
        v_context: (B, S, E) text embedding for video, None without video.
        a_context: (B, S, E) text embedding for audio, None without audio.
        video_guider: a guider, or a factory that picks one by sigma; None: no guidance for video.
        audio_guider: the same for audio.
        max_batch_size: samples per call of the network. The passes are stacked along the batch axis up to
            that many; 1 runs them one by one, with the least memory and the same result up to rounding.
        group: processes that divide the passes among themselves; each has the whole network, is called with
            the same states, and gets the same results. None: this process computes all passes.

    Raises:
        ConfigError: if `max_batch_size` is less than 1.
    """

    def __init__(
        self,
        model: Model,
        v_context: mx.array | None,
        a_context: mx.array | None,
        video_guider: Guider | None = None,
        audio_guider: Guider | None = None,
        max_batch_size: int = 1,
        group: mx.distributed.Group | None = None,
    ) -> None:
        if max_batch_size < 1:
            raise ConfigError(f"max_batch_size must be at least 1, got {max_batch_size}")
        self.model = model
        self.v_context = v_context
        self.a_context = a_context
        self.video_guider = video_guider
        self.audio_guider = audio_guider
        self.max_batch_size = max_batch_size
        self.group = group
        self.last: Predictions = (None, None)
        self._constants: dict[tuple[int, ...], tuple[Sequence[mx.array], mx.array]] = {}
        self._positions: Predictions = (None, None)

    def __call__(
        self,
        video_state: LatentState | None,
        audio_state: LatentState | None,
        sigmas: Sigmas,
        step_index: int,
    ) -> Predictions:
        """Guided predictions of x0 for the streams that are given.

        A stream whose step is skipped is disabled in every pass and gets its last prediction again; if that
        holds for all streams the network is not called.

        Raises:
            ConfigError: if the context, or the negative context that guidance needs, of a stream is missing.
        """
        sigma = float(sigmas[step_index])
        states = (video_state, audio_state)
        self._forget(states, step_index)
        contexts = (
            None if video_state is None else require_context(self.v_context, "video"),
            None if audio_state is None else require_context(self.a_context, "audio"),
        )
        guiders = tuple(
            NEUTRAL_GUIDER if state is None or guider is None else _at(guider, sigma)
            for state, guider in zip(states, (self.video_guider, self.audio_guider), strict=True)
        )
        skipped = tuple(
            state is not None and last is not None and guider.should_skip_step(step_index)
            for state, guider, last in zip(states, guiders, self.last, strict=True)
        )
        if all(skip or state is None for skip, state in zip(skipped, states, strict=True)):
            return self.last
        passes = guidance_passes(*contexts, *guiders)
        if self.group is None:
            results = self._predict(passes, states, sigma, skipped)
        else:
            own = self._predict(own_items(passes, self.group), states, sigma, skipped)
            gathered = iter(gather_items([part for part in own if part], len(passes), self.group))
            results = tuple(None if part is None else next(gathered) for part in own)
        guided = (
            last if skip else None if result is None else guider.calculate(*_by_name(passes, result))
            for last, skip, result, guider in zip(self.last, skipped, results, guiders, strict=True)
        )
        video, audio = guided
        self.last = (video, audio)
        return self.last

    def _forget(self, states: tuple[LatentState | None, LatentState | None], step_index: int) -> None:
        """Drop what belongs to another generation: its positions are other arrays."""
        if step_index == 0:
            self.last = (None, None)
        video, audio = (None if state is None else state.positions for state in states)
        if video is not self._positions[0] or audio is not self._positions[1]:
            self._constants.clear()
            self._positions = (video, audio)

    def _predict(
        self,
        passes: Sequence[GuidancePass],
        states: tuple[LatentState | None, LatentState | None],
        sigma: float,
        skipped: tuple[bool, ...],
    ) -> tuple[list[mx.array] | None, ...]:
        """The predictions of these passes, for each stream."""
        batch = next(state for state in states if state is not None).latent.shape[0]
        configs = [item.perturbations for item in passes for _ in range(batch)]
        contexts = ([item.video_context for item in passes], [item.audio_context for item in passes])
        outputs: tuple[list[mx.array], list[mx.array]] = ([], [])
        for start in range(0, len(configs), self.max_batch_size):
            end = min(start + self.max_batch_size, len(configs))
            video, audio = (
                self._modality(state, context, sigma, not skip, start, end)
                for state, context, skip in zip(states, contexts, skipped, strict=True)
            )
            chunk = BatchedPerturbationConfig(configs[start:end])
            result = self.model(
                video, audio, chunk if any(c.perturbations for c in configs[start:end]) else None
            )
            for collected, value in zip(outputs, result, strict=True):
                if value is not None:
                    collected.append(value)
            if end - start < len(configs):
                mx.eval([value for value in result if value is not None])
        stacked = (mx.concatenate(part) if part else None for part in outputs)
        return tuple(
            None if whole is None else [whole[i : i + batch] for i in range(0, len(configs), batch)]
            for whole in stacked
        )

    def _modality(
        self,
        state: LatentState | None,
        contexts: Sequence[mx.array | None],
        sigma: float,
        enabled: bool,
        start: int,
        end: int,
    ) -> Modality | None:
        """Rows start..end - 1 of the passes stacked along the batch axis."""
        if state is None:
            return None
        times = len(contexts)

        def constant(array: mx.array) -> mx.array:
            return self._constant([array] * times, start, end)

        def optional(array: mx.array | None) -> mx.array | None:
            return None if array is None else constant(array)

        stacked = LatentState(
            latent=_rows([state.latent] * times, start, end),
            denoise_mask=constant(state.denoise_mask),
            positions=constant(state.positions),
            clean_latent=state.clean_latent,
            attention_mask=optional(state.attention_mask),
            keyframes_mask=optional(state.keyframes_mask),
            frozen=state.frozen,
        )
        context = self._constant([c for c in contexts if c is not None], start, end)
        return modality_from_latent_state(stacked, context, sigma, enabled)

    def _constant(self, arrays: Sequence[mx.array], start: int, end: int) -> mx.array:
        """`_rows`, made once and kept: successive steps get the same array object."""
        key = (*(id(array) for array in arrays), start, end)
        if key not in self._constants:
            # The sources are kept with the result, so that an id cannot come to mean another array.
            self._constants[key] = (arrays, _rows(arrays, start, end))
        return self._constants[key][1]


def _at(guider: Guider, sigma: float) -> MultiModalGuider:
    return guider.build_from_sigma(sigma) if isinstance(guider, MultiModalGuiderFactory) else guider


def _rows(arrays: Sequence[mx.array], start: int, end: int) -> mx.array:
    """Rows start..end - 1 of arrays stacked along the batch axis; a whole array is returned as it is."""
    batch = arrays[0].shape[0]
    parts = []
    for index in range(start // batch, (end - 1) // batch + 1):
        low, high = max(start - index * batch, 0), min(end - index * batch, batch)
        parts.append(arrays[index] if (low, high) == (0, batch) else arrays[index][low:high])
    return parts[0] if len(parts) == 1 else mx.concatenate(parts)


def _by_name(
    passes: Sequence[GuidancePass], results: Sequence[mx.array]
) -> tuple[mx.array, mx.array | float, mx.array | float, mx.array | float]:
    """Predictions in the order of `MultiModalGuider.calculate`; 0.0 for passes that nobody wanted."""
    named = {item.name: result for item, result in zip(passes, results, strict=True)}
    return named["cond"], named.get("uncond", 0.0), named.get("ptb", 0.0), named.get("mod", 0.0)
