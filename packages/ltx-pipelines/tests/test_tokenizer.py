"""The prompt tokenizer on tiny tokenizers written by the tests."""

import json
import subprocess
import sys
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.errors import ConfigError
from ltx_loaders.errors import LoaderError
from ltx_pipelines.tokenizer import Tokenizer

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]


def write_tokenizer(directory: Path, adds_bos: bool = True, settings_file: bool = True) -> Path:
    """A tokenizer of single characters in Gemma's format: space as U+2581, bytes for the unknown."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyz"]
    model = models.BPE({p: i for i, p in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Replace("▁", " ")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 2)]
        )
    tokenizer.save(str(directory / "tokenizer.json"))
    if settings_file:
        config = {
            "bos_token": {"content": "<bos>", "lstrip": False},
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "tokenizer_class": "GemmaTokenizer",
            "model_max_length": 10,
            "added_tokens_decoder": {"0": {"content": "<pad>"}},
        }
        (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(write_tokenizer(tmp_path_factory.mktemp("gemma")), max_length=128)


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=200))
def test_layout_of_any_prompt(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.encode(text)
    ids, mask, valid = (x[0].tolist() for x in (tokens.input_ids, tokens.attention_mask, tokens.valid_ids))
    assert len(ids) == len(mask) == 128
    assert tokens.padding == 128 - len(valid)
    assert mask == [0] * tokens.padding + [1] * len(valid)
    assert ids == [0] * tokens.padding + valid
    assert valid[0] == 2


@settings(max_examples=50, deadline=None)
@given(text=st.text("abc xyz", max_size=300), outer=st.text(" \n\t", max_size=4))
def test_ids_are_bos_and_the_stripped_text_cut_on_the_right(
    tokenizer: Tokenizer, text: str, outer: str
) -> None:
    letters = {character: 261 + i for i, character in enumerate("abcdefghijklmnopqrstuvwxyz")} | {" ": 260}
    want = [2, *(letters[character] for character in text.strip())][:128]
    assert tokenizer.encode(outer + text + outer).valid_ids[0].tolist() == want


@pytest.mark.parametrize("text", ["", "  \n"])
def test_no_text_is_a_single_bos(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode(text).valid_ids.tolist() == [[2]]


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("settings_file", [True, False])
@pytest.mark.parametrize("text", ["a fox", "x" * 300])
def test_bos_is_first_exactly_once(tmp_path: Path, adds_bos: bool, settings_file: bool, text: str) -> None:
    tokenizer = Tokenizer(write_tokenizer(tmp_path, adds_bos, settings_file), 128)
    ids = tokenizer.encode(text).valid_ids[0].tolist()
    assert ids[0] == 2
    assert ids.count(2) == 1
    assert len(ids) == min(len(text) + 1, 128)


def test_sentencepiece_model_alone(tmp_path: Path) -> None:
    import sentencepiece

    sentences = iter(["a fox in the snow", "the wind is in the west", "a train crosses the bridge"] * 5)
    with (tmp_path / "tokenizer.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences,
            model_writer=file,
            model_type="bpe",
            vocab_size=300,
            byte_fallback=True,
            pad_id=0,
            eos_id=1,
            bos_id=2,
            unk_id=3,
            pad_piece="<pad>",
            eos_piece="<eos>",
            bos_piece="<bos>",
            unk_piece="<unk>",
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    tokenizer = Tokenizer(tmp_path, 128)
    for text in ("a fox in  the snow", "Café: 😀\nrain", "w" * 200):
        want = [2, *processor.encode(text)][:128]
        assert tokenizer.encode(text).valid_ids[0].tolist() == want
    assert (tokenizer.bos_id, tokenizer.pad_id) == (2, 0)


@pytest.mark.parametrize("max_length", [0, -128, 100, 1025])
def test_max_length_must_be_a_multiple_of_128(tmp_path: Path, max_length: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 128"):
        Tokenizer(tmp_path, max_length)


def test_directory_without_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match=r"tokenizer\.json"):
        Tokenizer(tmp_path)
    with pytest.raises(LoaderError, match="holds no tokenizer"):
        Tokenizer(tmp_path / "missing")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"])
def test_damaged_file(tmp_path: Path, name: str) -> None:
    if name == "tokenizer_config.json":
        write_tokenizer(tmp_path)
    (tmp_path / name).write_bytes(b"\x00not a tokenizer")
    with pytest.raises(LoaderError, match=r"(cannot be loaded|is damaged)"):
        Tokenizer(tmp_path)


@pytest.mark.parametrize(("stated", "length"), [(256, 256), (1024, 1024), (10**30, 1024)])
def test_a_folder_may_ask_for_fewer_positions(tmp_path: Path, stated: int, length: int) -> None:
    write_tokenizer(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": stated}))
    assert Tokenizer(tmp_path).max_length == length
    assert Tokenizer(tmp_path, max_length=128).max_length == 128


def test_transformers_is_imported_on_first_use_only() -> None:
    code = "import sys, ltx_pipelines.tokenizer; assert not {'transformers', 'tokenizers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
