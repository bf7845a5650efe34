"""The formulas against the primitives of the networks' graphs, at tiny sizes."""

from typing import Any

import ltx_bench.networks as networks
import ltx_models.video_vae.convolution
import mlx.core as mx
import pytest
from ltx_bench import flops, flops_convolutions
from ltx_bench.clips import Clip, contexts, latent_states, modality, noise, token_counts
from ltx_bench.configs import VERSIONS, load_config

from apps.bench.tests.counting import count_flops

CLIP = Clip(96, 64, 17)
TEXT = 128


@pytest.fixture(params=VERSIONS)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load_config(request.param, "tiny")


@pytest.fixture
def whole_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on GPUs: on CPUs they are matrix products that compute a few windows too many."""
    monkeypatch.setattr(ltx_models.video_vae.convolution, "backend", lambda: "metal")


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("text_known", [False, True])
def test_transformer(config: dict[str, Any], batch: int, text_known: bool) -> None:
    network = networks.build("transformer", config, mx.float32)
    video, audio = latent_states(config, CLIP, batch)
    text = contexts(config, mx.float32, batch, TEXT)
    cache = network.make_cache()

    def run(zero: mx.array) -> Any:
        # What the cache has belongs to the array itself.
        own = text if text_known else tuple(array + zero for array in text)
        streams = [
            modality(state.replace(latent=state.latent + zero), context, 0.5, mx.float32)
            for state, context in zip((video, audio), own, strict=True)
        ]
        return network(*streams, cache=cache)

    if text_known:
        mx.eval(run(mx.zeros(())))
    tokens = flops.Tokens(*token_counts(config, CLIP), TEXT, batch, text_known=text_known)
    counted, formula = count_flops(run), flops.transformer_flops(config, tokens)
    # Noise levels are no inputs of the graph: what is made of them is left out of the count.
    assert counted <= formula
    assert counted == pytest.approx(formula, rel=0.02)


def test_text(config: dict[str, Any]) -> None:
    gemma = networks.build("text_encoder", config, mx.float32)
    ids = mx.arange(48, dtype=mx.int32)[None]

    def encode(zero: mx.array) -> Any:
        return gemma.hidden_states(ids + zero.astype(mx.int32))

    assert count_flops(encode) == flops.gemma_flops(config, 48)
    connectors = networks.build("embeddings_processor", config, mx.float32)
    states = [noise((1, 48, 64), key=key) for key in range(8)]

    def connect(zero: mx.array) -> Any:
        return connectors.process_hidden_states([state + zero for state in states], 128)

    assert count_flops(connect) == flops.connectors_flops(config, 48, 128)


@pytest.mark.usefixtures("whole_convolutions")
def test_video_autoencoder(config: dict[str, Any]) -> None:
    decoder = networks.build("video_decoder", config, mx.float32)
    latent, pixels = noise((1, 16, 3, 2, 3)), noise((1, 3, 17, 64, 96))
    assert count_flops(lambda zero: decoder(latent + zero)) == flops_convolutions.video_decoder_flops(
        config, CLIP
    )
    encoder = networks.build("video_encoder", config, mx.float32)
    assert count_flops(lambda zero: encoder(pixels + zero)) == flops_convolutions.video_encoder_flops(
        config, CLIP
    )


@pytest.mark.usefixtures("whole_convolutions")
def test_upscaler(config: dict[str, Any]) -> None:
    network = networks.build("spatial_upsampler", config, mx.float32)
    latent = noise((1, 16, 3, 2, 3))
    assert count_flops(lambda zero: network(latent + zero)) == flops_convolutions.upsampler_flops(
        config, CLIP
    )


def test_audio(config: dict[str, Any]) -> None:
    decoder = networks.build("audio_decoder", config, mx.float32)
    latent = noise((1, 8, 10, 16))
    assert count_flops(lambda zero: decoder(latent + zero)) == flops_convolutions.audio_decoder_flops(
        config, 10
    )
    vocoder = networks.build("vocoder", config, mx.float32)
    mel = noise((1, 2, 12, 64))
    counted = count_flops(lambda zero: vocoder(mel + zero))
    # Transposed convolutions run as plain ones, whose edges compute a few samples that are cut off.
    assert counted == pytest.approx(flops_convolutions.vocoder_flops(config, 12), rel=0.01)


def test_the_published_sizes() -> None:
    """What the issue of this project says of 6,144 tokens: about 196 TFLOP."""
    config = load_config("2.0")
    assert token_counts(config, Clip(768, 512, 121)) == (6144, 126)
    for known in (False, True):
        tokens = flops.Tokens(6144, 126, 1024, text_known=known)
        assert flops.transformer_flops(config, tokens) == pytest.approx(196e12, rel=0.02)
