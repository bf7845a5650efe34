"""The pocket model's tokenizer: byte-level BPE over the words of the caption grammar, so that no text fails.

Run `python -m ltx_pocket.tokenizer FOLDER` to build its two files; the same grammar gives the same files.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from ltx_pocket.configs_text import MAX_LENGTH
from ltx_pocket.world import caption, known_words, sample_scene

PAD, EOS, BOS = "<pad>", "<eos>", "<bos>"
"""As in Gemma, with the same ids: 0, 1, 2."""

VOCAB_SIZE = 1024
CAPTIONS = 20000
SEED = 4


def _texts(captions: int) -> Iterator[str]:
    rng = np.random.default_rng(SEED)
    for _ in range(captions):
        yield caption(sample_scene(rng), rng)
    # Every word often enough to be one token, however rare its phrase is.
    for _ in range(20):
        yield " ".join(sorted(known_words()))


def build_tokenizer(captions: int = CAPTIONS) -> Tokenizer:
    """Train it on captions of the world.

    Prompts are lower-cased, because nothing in the world depends on case, and get a space in front, so that a
    word is the same token at the start of a prompt as inside.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Prepend(" ")])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[PAD, EOS, BOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(captions), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


def write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` into a Gemma folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "padding_side": "left",
        "model_max_length": MAX_LENGTH,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_tokenizer(Path(sys.argv[1]), build_tokenizer())
