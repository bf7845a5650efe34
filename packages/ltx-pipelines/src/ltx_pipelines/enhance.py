"""Prompt enhancement: Gemma, which encodes the prompt anyway, first writes it out in the model's terms."""

import copy
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from ltx_core import ConfigError

from ltx_pipelines.config import ClipConfig
from ltx_pipelines.events import OnStep, StageEvent
from ltx_pipelines.prompt import TextEncoder
from ltx_pipelines.saved import SavedStage, StageStore
from ltx_pipelines.stages import StagePlan
from ltx_pipelines.system_prompts import IMAGE_TO_VIDEO, TEXT_TO_AUDIO, TEXT_TO_VIDEO

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource

C = TypeVar("C", bound=ClipConfig)

STAGE = "enhance prompt"

# As the reference has them.
MAX_NEW_TOKENS = 512
TEMPERATURE = 0.7

# Typographic marks to those of a keyboard, by their names: look-alikes in a source are traps.
_PLAIN = {
    ord("\N{LEFT SINGLE QUOTATION MARK}"): "'",
    ord("\N{RIGHT SINGLE QUOTATION MARK}"): "'",
    ord("\N{PRIME}"): "'",
    ord("\N{LEFT DOUBLE QUOTATION MARK}"): '"',
    ord("\N{RIGHT DOUBLE QUOTATION MARK}"): '"',
    ord("\N{EN DASH}"): "-",
    ord("\N{EM DASH}"): "-",
    ord("\N{MINUS SIGN}"): "-",
    ord("\N{NO-BREAK SPACE}"): " ",
}
_REFUSAL = re.compile(r"^.{0,40}\b(sorry|i cannot|i can't|i am unable|i'm unable|as an ai)\b", re.IGNORECASE)
_COMMON_WORDS = (
    "a an and are as at behind by from her his in into is it its near of off on onto or over she he the "
    "their then they through to under up while with"
)
_COMMON = frozenset(_COMMON_WORDS.split())


def enhance_prompt(models: "ModelSource", config: C, on_step: OnStep, store: StageStore | None = None) -> C:
    """The config with a prompt that says more, and with the one that was given as its `user_prompt`.

    Where what Gemma writes is of no use (nothing, a refusal, noise), the config stays as it is.

    Args:
        store: keeps what was written, and gives back what an earlier run has kept.

    Raises:
        ConfigError: the text encoder is not in memory as a whole: all of it is needed for every word.
    """
    on_step(StageEvent(STAGE, 0, MAX_NEW_TOKENS))
    saved = None if store is None else store.load(STAGE)
    if saved is None:
        saved = SavedStage({}, text=_write(models, config, on_step))
        if store is not None:
            store.save(STAGE, saved)
    # It is over, however few the words.
    on_step(StageEvent(STAGE, MAX_NEW_TOKENS, MAX_NEW_TOKENS))
    if not is_useful(saved.text):
        return config
    # Not dataclasses.replace: what a config has worked out from a source file must not be worked out again.
    enhanced = copy.copy(config)
    for name, value in (("user_prompt", config.prompt), ("prompt", saved.text)):
        object.__setattr__(enhanced, name, value)
    return enhanced


def _write(models: "ModelSource", config: ClipConfig, on_step: OnStep) -> str:
    words: list[int] = []
    with models.text_encoder() as encoder:
        if not isinstance(encoder.gemma.layers, list):
            raise ConfigError(
                "the prompt cannot be written out with little memory: the text encoder would be read from "
                "disk for every word; leave --enhance-prompt or --low-ram out"
            )
        for token in _written(encoder, config):
            words.append(token)
            on_step(StageEvent(STAGE, len(words), MAX_NEW_TOKENS))
        return clean(encoder.tokenizer.decode(words))


def _written(encoder: TextEncoder, config: ClipConfig) -> Iterator[int]:
    """The tokens that Gemma answers with."""
    from ltx_models.text_encoder import Sampler, generate

    system = TEXT_TO_VIDEO
    if not config.has_picture:
        system = TEXT_TO_AUDIO
    elif config.starts_from_pictures:
        system = IMAGE_TO_VIDEO
    chat = encoder.tokenizer.chat(system, f"Request: {config.prompt.strip()}")
    if chat is None:
        return
    yield from generate(
        encoder.gemma,
        chat,
        max_new_tokens=MAX_NEW_TOKENS,
        stop=encoder.tokenizer.stop_ids,
        choose=Sampler(TEMPERATURE, config.seed),
    )


def enhancement_plan() -> StagePlan:
    """`enhance_prompt`."""
    return StagePlan(STAGE, MAX_NEW_TOKENS, f"up to {MAX_NEW_TOKENS} tokens")


def clean(text: str) -> str:
    """Plain quotation marks and dashes, one paragraph of whole sentences, nothing before its first word."""
    line = " ".join(text.translate(_PLAIN).split())
    start = re.search(r"[^\W\d_]|\"", line)
    # The last sentence is not whole where the most tokens were reached.
    end = re.search(r".*[.!?][\"']?", line)
    return line[start.start() : end.end() if end else len(line)] if start else ""


def is_useful(text: str) -> bool:
    """Whether a text may stand for a prompt: English words, not the same ones over and over, no refusal."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    common = sum(word in _COMMON for word in words)
    varied = len(set(words)) > 0.25 * len(words)
    readable = "\ufffd" not in text and "<" not in text and sum(map(len, words)) > 0.6 * len(text)
    return len(words) >= 5 and common > 0.1 * len(words) and varied and readable and not _REFUSAL.search(text)
