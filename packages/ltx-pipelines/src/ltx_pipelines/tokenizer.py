"""Prompts to token ids, with the tokenizer of a local Gemma directory."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from ltx_core.errors import ConfigError
from ltx_loaders.errors import LoaderError

# Entries of tokenizer_config.json about how to find or rebuild a tokenizer, not about this one.
IGNORED_SETTINGS = frozenset(
    {
        "added_tokens_decoder",
        "auto_map",
        "backend",
        "is_local",
        "local_files_only",
        "model_max_length",
        "processor_class",
        "tokenizer_class",
    }
)

FILES = ("tokenizer.json", "tokenizer.model")

# The text connectors tile this many registers over the positions behind the text.
LENGTH_UNIT = 128

# They begin and end what one side of a chat says.
TURNS = ("<start_of_turn>", "<end_of_turn>")
DEFAULT_LENGTH = 1024


@dataclass(frozen=True)
class Tokens:
    """One tokenised prompt.

    Attributes:
        input_ids: (1, max_length) int32, padded on the left.
        attention_mask: (1, max_length) int32, 1 for tokens of the prompt, 0 for padding.
        valid_ids: (1, n) int32, the ids without padding, as the text encoder takes them.
        padding: number of padding tokens, which is the position of the first valid one.
    """

    input_ids: mx.array
    attention_mask: mx.array
    valid_ids: mx.array
    padding: int


class Tokenizer:
    """The tokenizer of a Gemma directory, set up as the text encoder was trained.

    Args:
        directory: holds `tokenizer.json`, or else `tokenizer.model`; or a folder "tokenizer" beside it does,
            as in repositories of diffusers. Nothing is downloaded.
        max_length: positions per prompt, a multiple of 128; longer prompts are cut off on the right. None:
            1024, as the released models have it, or less if tokenizer_config.json has a `model_max_length`.

    Raises:
        LoaderError: there is no tokenizer in the directory, it is damaged, or it has no <bos> token.
        ConfigError: `max_length` is no positive multiple of 128.
    """

    def __init__(self, directory: str | Path, max_length: int | None = None) -> None:
        directory = _place(Path(directory))
        if max_length is None:
            max_length = min(DEFAULT_LENGTH, _settings(directory).get("model_max_length", DEFAULT_LENGTH))
        if max_length < 1 or max_length % LENGTH_UNIT:
            raise ConfigError(f"max_length is {max_length}; it must be a positive multiple of {LENGTH_UNIT}")
        self.max_length = max_length
        self._tokenizer = _load(directory)
        self.bos_id: int | None = self._tokenizer.bos_token_id
        if self.bos_id is None:
            raise LoaderError(f"the tokenizer in {directory} has no <bos> token; it is not that of Gemma")
        pad_id = self._tokenizer.pad_token_id
        self.pad_id: int = self._tokenizer.eos_token_id if pad_id is None else pad_id
        known = self._tokenizer.get_vocab()
        self._turns = [known[name] for name in TURNS if name in known]

    def encode(self, text: str) -> Tokens:
        """Token ids of a prompt: stripped of outer white space, <bos> first; no text gives <bos> alone."""
        ids = self._tokenizer(text.strip(), truncation=True, max_length=self.max_length)["input_ids"]
        # Gemma's own tokenizer puts <bos> there; a converted one may not.
        if not ids or ids[0] != self.bos_id:
            ids = [self.bos_id, *ids][: self.max_length]
        pads = self.max_length - len(ids)
        return Tokens(
            input_ids=mx.array([[self.pad_id] * pads + ids], dtype=mx.int32),
            attention_mask=mx.array([[0] * pads + [1] * len(ids)], dtype=mx.int32),
            valid_ids=mx.array([ids], dtype=mx.int32),
            padding=pads,
        )

    def chat(self, system: str, user: str) -> list[int] | None:
        """Token ids of a request, up to where the answer begins; None: the tokenizer is not one for chats."""
        if len(self._turns) < len(TURNS):
            return None
        start, end = TURNS
        # Gemma has no turn for the system: what it is told stands before the first request.
        text = f"{start}user\n{system}\n\n{user}{end}\n{start}model\n"
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        assert self.bos_id is not None
        return [self.bos_id, *ids]

    @property
    def stop_ids(self) -> set[int]:
        """Tokens that end an answer."""
        return {self._tokenizer.eos_token_id, *self._turns}

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


def _place(directory: Path) -> Path:
    """The folder with the tokenizer's files; `directory` itself where there are none."""
    beside = directory.parent / "tokenizer"
    found = (place for place in (directory, beside) for name in FILES if (place / name).is_file())
    return next(found, directory)


def _load(directory: Path) -> Any:
    """A fast tokenizer of transformers. That package is imported here, because it takes a second."""
    fast, sentencepiece = (directory / name for name in FILES)
    if not fast.is_file() and not sentencepiece.is_file():
        raise LoaderError(
            f"{directory} holds no tokenizer (tokenizer.json or tokenizer.model); download it from the "
            "repository of the text encoder"
        )
    # Without PyTorch, transformers would print a notice that only matters to those who need its models.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    import transformers

    try:
        if fast.is_file():
            tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(fast), **_options(directory))
        else:
            tokenizer = transformers.GemmaTokenizer.from_pretrained(str(directory), local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception
        raise LoaderError(f"the tokenizer in {directory} cannot be loaded: {error}") from error
    tokenizer.truncation_side = "right"
    return tokenizer


def _settings(directory: Path) -> dict[str, Any]:
    """The object in `tokenizer_config.json`; the special tokens of Gemma where there is no such file."""
    file = directory / "tokenizer_config.json"
    if not file.is_file():
        return {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise LoaderError(f"{file} is damaged: not a JSON object")
    return settings


def _options(directory: Path) -> dict[str, Any]:
    """What the settings say of the tokenizer itself."""
    # Older files describe a special token by an object, of which only the text matters here.
    return {
        key: value["content"] if isinstance(value, dict) and "content" in value else value
        for key, value in _settings(directory).items()
        if key not in IGNORED_SETTINGS
    }
