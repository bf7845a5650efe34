"""Prompts to the contexts that the transformer attends to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlx.core as mx

from ltx_pipelines.events import OnStep, StageEvent
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


def encode_prompts(models: "ModelSource", prompts: Sequence[str], on_step: OnStep) -> list[PromptContext]:
    """Encode each prompt by itself, so that none depends on the others."""
    on_step(StageEvent(STAGE, 0, len(prompts)))
    contexts = []
    with models.text_encoder() as encode:
        for index, prompt in enumerate(prompts, start=1):
            contexts.append(encode(prompt))
            on_step(StageEvent(STAGE, index, len(prompts)))
    return contexts
