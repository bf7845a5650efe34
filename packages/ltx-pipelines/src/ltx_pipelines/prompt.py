"""Prompts to the contexts that the transformer attends to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlx.core as mx

from ltx_pipelines.events import OnStep, StageEvent
from ltx_pipelines.saved import StageStore, kept
from ltx_pipelines.tokenizer import Tokenizer
from ltx_pipelines.tripwires import check_signal

if TYPE_CHECKING:
    from ltx_models.text_encoder import EmbeddingsProcessor, GemmaTextModel

    from ltx_pipelines.models import ModelSource

STAGE = "encode prompt"


@dataclass(frozen=True, eq=False)
class PromptContext:
    """One encoded prompt: `video` (1, S, E_v) and `audio` (1, S, E_a)."""

    video: mx.array
    audio: mx.array


class TextEncoder:
    """Tokenizer, Gemma and connectors as one callable."""

    def __init__(
        self, tokenizer: Tokenizer, gemma: "GemmaTextModel", processor: "EmbeddingsProcessor"
    ) -> None:
        self.tokenizer = tokenizer
        self.gemma = gemma
        self.processor = processor

    def __call__(self, prompt: str) -> PromptContext:
        """Encode one prompt; evaluated arrays."""
        tokens = self.tokenizer.encode(prompt)
        hidden_states = self.gemma(tokens.valid_ids, offset=tokens.padding)
        mx.eval(hidden_states)
        video, audio = self.processor.process_hidden_states(hidden_states, self.tokenizer.max_length)
        mx.eval(video, audio)
        check_signal(STAGE, "video context", video)
        check_signal(STAGE, "audio context", audio)
        return PromptContext(video, audio)


def encode_prompts(
    models: "ModelSource", prompts: Sequence[str], on_step: OnStep, store: StageStore | None = None
) -> list[PromptContext]:
    """Encode each prompt by itself, so that none depends on the others."""

    def make() -> dict[str, mx.array]:
        arrays: dict[str, mx.array] = {}
        with models.text_encoder() as encode:
            for index, prompt in enumerate(prompts):
                if index:
                    on_step(StageEvent(STAGE, index, len(prompts)))
                context = encode(prompt)
                arrays |= {f"video_{index}": context.video, f"audio_{index}": context.audio}
        return arrays

    on_step(StageEvent(STAGE, 0, len(prompts)))
    arrays = kept(store, STAGE, make)
    on_step(StageEvent(STAGE, len(prompts), len(prompts)))
    contexts = ((arrays[f"video_{index}"], arrays[f"audio_{index}"]) for index in range(len(prompts)))
    return [PromptContext(video, audio) for video, audio in contexts]
