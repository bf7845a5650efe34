"""Untrained parts of the pocket model, for tests of the training."""

from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import pytest
from ltx_pocket.tokenizer import build_tokenizer, write_tokenizer
from ltx_pocket.train.latents import Captions, Encoders

from tests.untrained_pocket import write_autoencoders


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with untrained autoencoders and a tokenizer."""
    folder = tmp_path_factory.mktemp("parts")
    write_autoencoders(folder)
    write_tokenizer(folder / "gemma", build_tokenizer(captions=500))
    return folder


@pytest.fixture(scope="session")
def encoders(files: Path) -> Encoders:
    return Encoders(files / "video_vae.safetensors", files / "audio_vae.safetensors")


@pytest.fixture(scope="session")
def captions(files: Path) -> Captions:
    return Captions(files / "gemma")
