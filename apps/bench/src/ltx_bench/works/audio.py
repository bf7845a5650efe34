"""From an audio latent to a waveform."""

from ltx_pipelines.layout import layout_of

from ltx_bench.clips import noise
from ltx_bench.configs import Config
from ltx_bench.flops_convolutions import audio_decoder_flops, vocoder_flops
from ltx_bench.items import Item
from ltx_bench.networks import build, nbytes
from ltx_bench.works.base import Prepared, Setup, Work

MEL_FRAMES = 4
"""Mel frames of a latent frame; the first one stands for a single one."""


def mel_shape(config: Config, frames: int) -> tuple[int, int, int, int]:
    """Spectrogram of a latent of that many frames, (1, stereo, frames, bins)."""
    bins = config["audio_vae"]["model"]["params"]["ddconfig"]["mel_bins"]
    return 1, 2, MEL_FRAMES * (frames - 1) + 1, bins


def audio_decode(setup: Setup, item: Item) -> Prepared:
    """A latent to a spectrogram."""
    config = setup.config(item)
    decoder = build("audio_decoder", config, setup.dtype)

    def work(item: Item) -> Work:
        layout = layout_of(config)
        latent = noise((1, layout.audio_channels, item.count, layout.audio_bins), setup.dtype)
        return Work(lambda: decoder(latent), audio_decoder_flops(config, item.count))

    return Prepared(work, nbytes(decoder))


def vocoder(setup: Setup, item: Item) -> Prepared:
    """The spectrogram of a latent to a waveform, in float32."""
    config = setup.config(item)
    network = build("vocoder", config, setup.dtype)

    def work(item: Item) -> Work:
        mel = noise(mel_shape(config, item.count))
        return Work(lambda: network(mel), vocoder_flops(config, mel.shape[2]))

    return Prepared(work, nbytes(network))
