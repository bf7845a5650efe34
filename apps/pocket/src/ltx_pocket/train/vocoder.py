"""The vocoder: log-mel spectrograms to sound at 16 kHz, and its extension to 48 kHz.

    python -m ltx_pocket.train.vocoder --out runs/vocoder --audio-vae runs/audio_vae/audio_vae.safetensors

Half of the spectrograms of a batch have been through the audio VAE, as all of them will have later.
Writes `vocoder.safetensors` (official layout), the state to go on from, `log.jsonl` and sounds.
"""

from collections.abc import Iterator
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from ltx_core.device import compiled
from ltx_loaders import Checkpoint
from ltx_models.audio_vae import AudioDecoder, AudioEncoder, AudioProcessor, resample
from ltx_models.vocoder import VocoderConfig, VocoderWithBWE, build_vocoder
from mlx.utils import tree_map

from ltx_pocket import configs
from ltx_pocket.train.audio_vae import DECIBELS, frames_of, mel_of
from ltx_pocket.train.common import Clock, Log, Loss, Metrics, Trainer, arguments, run, save_checkpoint
from ltx_pocket.train.data import Scenes, batches, held_out, sounds
from ltx_pocket.train.filters import fourier_basis, set_buffers
from ltx_pocket.train.samples import write_wav
from ltx_pocket.world import SOUNDS

RATIO = configs.OUTPUT_RATE // configs.SAMPLE_RATE


class Magnitudes:
    """Magnitude spectra of overlapping windows, four to a window, by one matrix product.

    Args:
        n_fft: samples of a window.
    """

    def __init__(self, n_fft: int) -> None:
        self.n_fft = n_fft
        self.basis = mx.array(fourier_basis(n_fft).T * (4 / n_fft))

    def __call__(self, waveform: mx.array) -> mx.array:
        """(B, 2, samples) -> (B, 2, windows, n_fft / 2 + 1), about 1 for a tone of full scale."""
        hop = self.n_fft // 4
        count = waveform.shape[-1] // hop
        parts = waveform[..., : count * hop].reshape(*waveform.shape[:-1], count, hop)
        frames = mx.concatenate([parts[..., i : count - 3 + i, :] for i in range(4)], axis=-1)
        real, imaginary = mx.split(frames @ self.basis, 2, axis=-1)
        return mx.sqrt(mx.square(real) + mx.square(imaginary) + 1e-12)


def spectral_loss(output: mx.array, target: mx.array, resolutions: list[Magnitudes]) -> mx.array:
    """Distance of magnitude spectra at several resolutions: relative, and of logarithms above -70 dB.

    Multi-resolution STFT loss of Parallel WaveGAN (arXiv:1910.11480).
    """
    total = mx.array(0.0)
    for magnitudes in resolutions:
        a, b = magnitudes(output), magnitudes(target)
        relative = mx.sqrt(mx.square(a - b).mean() / (mx.square(b).mean() + 1e-6))
        total = total + relative + mx.abs(mx.log(a + 3e-4) - mx.log(b + 3e-4)).mean()
    return total / len(resolutions)


def make_loss(vocoder: VocoderWithBWE, waveform_weight: float = 5.0) -> Loss:
    """The loss of (log-mel, sound at 16 kHz, sound at 48 kHz).

    Spectra, and the waveforms themselves: the phase of the world's tones follows from their pitch, and where
    it does not (noise) the spectra outweigh them. The extension learns on the first stage's output as it is.
    """
    low_spectra = [Magnitudes(n_fft) for n_fft in (256, 512, 1024)]
    full_spectra = [Magnitudes(n_fft) for n_fft in (512, 1024, 2048)]

    def loss(mel: mx.array, low_target: mx.array, full_target: mx.array) -> tuple[mx.array, Metrics]:
        low = vocoder.vocoder(mel)
        full = extend(vocoder, mx.stop_gradient(low))
        low_spectral = spectral_loss(low, low_target, low_spectra)
        full_spectral = spectral_loss(full, full_target, full_spectra)
        low_waveform = mx.abs(low - low_target).mean()
        full_waveform = mx.abs(full - full_target).mean()
        total = low_spectral + full_spectral + waveform_weight * (low_waveform + full_waveform)
        return total, {
            "low_spectral": low_spectral,
            "full_spectral": full_spectral,
            "low_waveform": low_waveform,
            "full_waveform": full_waveform,
        }

    return loss


def initialize(vocoder: VocoderWithBWE) -> None:
    """Make the first layers take log-mels (about -8 +- 3) to numbers around 0; the last ones start quietly.

    Otherwise the first steps are lost: periodic activations of large numbers have chaotic gradients.
    """
    for generator in (vocoder.vocoder, vocoder.bwe_generator):
        first, last = generator.conv_pre, generator.conv_post
        first.weight = first.weight / 3
        first.bias = 8 * first.weight.sum(axis=(1, 2))
        last.weight = last.weight / 10


def extend(vocoder: VocoderWithBWE, low: mx.array) -> mx.array:
    """The second half of the vocoder's call: (B, 2, samples) at 16 kHz to 48 kHz."""
    return mx.clip(vocoder.bwe_generator(vocoder.mel_stft(low)) + vocoder.resample(low), -1.0, 1.0)


class Pairs:
    """Makes batches: spectrograms, some of them through the audio VAE, and the sounds that belong to them."""

    def __init__(self, checkpoint: Checkpoint | None, processor: AudioProcessor, latents: int) -> None:
        self.processor = processor
        self.frames = frames_of(latents)
        self.round_trip = None
        if checkpoint:
            encoder = checkpoint.build("audio_encoder", mx.float32)
            decoder = checkpoint.build("audio_decoder", mx.float32)
            assert isinstance(encoder, AudioEncoder)
            assert isinstance(decoder, AudioDecoder)
            mx.eval(encoder.parameters(), decoder.parameters())
            self.round_trip = compiled(lambda mel: decoder(encoder(mel)))

    def __call__(self, full: mx.array, coded: slice) -> tuple[mx.array, mx.array, mx.array]:
        """(log-mel, 16 kHz, 48 kHz) of sounds at 48 kHz; those of `coded` go through the VAE."""
        mel = mel_of(full, self.processor, self.frames)
        if self.round_trip:
            mel = mx.concatenate([mel[: coded.start], self.round_trip(mel[coded])])
        low = resample(full, configs.OUTPUT_RATE, configs.SAMPLE_RATE)
        samples = self.frames * configs.MEL_HOP
        return mel, low[..., :samples], full[..., : RATIO * samples]

    @property
    def seconds(self) -> float:
        """What is asked of the world: a little more than what is used, for the window at the end."""
        return self.frames * configs.MEL_HOP / configs.SAMPLE_RATE + 0.04


def stream(scenes: Scenes, pairs: Pairs, batch: int) -> Iterator[tuple[mx.array, ...]]:
    """Batches without end."""
    while True:
        full = sounds(scenes.draw(batch), pairs.seconds, configs.OUTPUT_RATE)
        yield pairs(full, slice(batch // 2, None))


def evaluate(vocoder: VocoderWithBWE, pairs: Pairs, count: int, batch: int) -> dict[str, float]:
    """Log-spectral distance in dB, above -70 dB, of unseen scenes through VAE and vocoder; also by sound."""
    scenes, spectra = held_out(count), Magnitudes(1024)
    values: list[float] = []
    for packed in batches(scenes, batch):
        full = sounds(packed, pairs.seconds, configs.OUTPUT_RATE)
        mel, _, target = pairs(full, slice(0, None))
        a, b = (mx.log(spectra(each) + 3e-4) for each in (vocoder(mel), target))
        values += np.array(DECIBELS * mx.sqrt(mx.square(a - b).mean(axis=(1, 2, 3)))).tolist()
    found = {"decibels": sum(values) / len(values)}
    for name in SOUNDS:
        own = [value for value, scene in zip(values, scenes, strict=False) if scene.sound == name]
        if own:
            found[name] = sum(own) / len(own)
    return {name: round(value, 2) for name, value in found.items()}


def write_samples(folder: Path, vocoder: VocoderWithBWE, pairs: Pairs) -> None:
    """One file: for every kind of sound, an unseen scene's original, then what became of it."""
    scenes = held_out(200)
    chosen = [next((s for s in scenes if s.sound == name), None) for name in SOUNDS if name != "silence"]
    pieces = []
    for packed in batches([scene for scene in chosen if scene], 1):
        full = sounds(packed, pairs.seconds, configs.OUTPUT_RATE)
        mel, _, target = pairs(full, slice(0, None))
        pieces += [target[0], vocoder(mel)[0]]
    write_wav(folder / "samples.wav", mx.concatenate(pieces, axis=-1), configs.OUTPUT_RATE)


def main() -> None:
    parser = arguments(__doc__, minutes=3)
    parser.add_argument(
        "--audio-vae", type=Path, help="audio_vae.safetensors; without it only true spectrograms"
    )
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    clock = Clock(args.minutes)
    mx.random.seed(args.seed)
    tiny = args.size == "tiny"
    batch, latents = (2, 6) if tiny else (args.batch, 52)

    section = configs.vocoder(args.size)
    vocoder = build_vocoder(VocoderConfig.from_config(section))
    assert isinstance(vocoder, VocoderWithBWE)
    set_buffers(vocoder)
    initialize(vocoder)
    processor = AudioProcessor(configs.SAMPLE_RATE, configs.MEL_BINS, configs.MEL_HOP, 1024)
    pairs = Pairs(Checkpoint.open(args.audio_vae) if args.audio_vae else None, processor, latents)
    scenes = Scenes(args.seed, 64 if tiny else 30_000)
    log = Log(args.out, clock)
    # float32: rounding adds up over many convolutions in a row.
    trainer = Trainer(vocoder, make_loss(vocoder), dtype=mx.float32, betas=(0.8, 0.99))
    if args.resume:
        trainer.load(args.resume)
    log.event(parameters=trainer.parameters)

    until = max(0.5, 1 - 15 / clock.seconds) if clock.seconds else 0.0
    data = stream(scenes, pairs, batch)
    run(trainer, data, clock, log, learning_rate=args.lr, until=until, folder=args.out)
    trainer.save(args.out)

    trainer.install()
    # What is measured is what is shipped: weights rounded to bfloat16.
    vocoder.update(tree_map(lambda w: w.astype(mx.bfloat16).astype(mx.float32), vocoder.parameters()))
    save_checkpoint(args.out / "vocoder.safetensors", {"vocoder": vocoder}, {"vocoder": section}, mx.bfloat16)
    write_samples(args.out, vocoder, pairs)
    log.event(**evaluate(vocoder, pairs, 8 if tiny else 256, batch))


if __name__ == "__main__":
    main()
