"""The vocoder: log-mel spectrograms to sound at 16 kHz, and its extension to 48 kHz.

    python -m ltx_pocket.train.vocoder --out runs/vocoder --audio-vae runs/audio_vae/audio_vae.safetensors

Half of the spectrograms of a batch have been through the audio VAE, as all of them will have later, some
of them with noise on their latents. Learns from short windows of sounds that were made once.
Writes `vocoder.safetensors` (official layout), the state to go on from, `log.jsonl` and sounds.
"""

from collections.abc import Iterator
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from ltx_loaders import Checkpoint
from ltx_models.audio_vae import AudioDecoder, AudioEncoder, AudioProcessor, resample
from ltx_models.vocoder import VocoderConfig, VocoderWithBWE, build_vocoder
from mlx.utils import tree_map

from ltx_pocket import configs
from ltx_pocket.train.activations import set_activations
from ltx_pocket.train.audio_vae import DECIBELS, frames_of, mel_of
from ltx_pocket.train.common import Clock, Log, arguments, run
from ltx_pocket.train.data import Scenes, batches, held_out, sounds
from ltx_pocket.train.files import save_checkpoint
from ltx_pocket.train.filters import fourier_basis, set_buffers
from ltx_pocket.train.samples import write_wav
from ltx_pocket.train.trainer import Loss, Metrics, Trainer
from ltx_pocket.train.windows import set_convolutions
from ltx_pocket.world import SOUNDS
from ltx_pocket.world.detectors import listen

RATIO = configs.OUTPUT_RATE // configs.SAMPLE_RATE

CHUNK = 32
"""Scenes that are prepared at a time."""


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
    """Distance of magnitude spectra at several resolutions: relative, and of logarithms above -60 dB.

    Multi-resolution STFT loss of Parallel WaveGAN (arXiv:1910.11480).
    """
    total = mx.array(0.0)
    for magnitudes in resolutions:
        a, b = magnitudes(output), magnitudes(target)
        relative = mx.sqrt(mx.square(a - b).mean() / (mx.square(b).mean() + 1e-6))
        total = total + relative + mx.abs(mx.log(a + 1e-3) - mx.log(b + 1e-3)).mean()
    return total / len(resolutions)


def make_loss(vocoder: VocoderWithBWE, waveform_weight: float = 5.0) -> Loss:
    """The loss of (log-mel, sound at 16 kHz, sound at 48 kHz, whether it is tonal: 1 or 0 for each item).

    Spectra, and the waveforms themselves where they follow from the spectrogram: the phase of the world's
    tones does, that of noise does not. The extension learns on the first stage's output as it is.
    """
    low_spectra = [Magnitudes(n_fft) for n_fft in (256, 512, 1024)]
    full_spectra = [Magnitudes(n_fft) for n_fft in (512, 1024, 2048)]

    def loss(
        mel: mx.array, low_target: mx.array, full_target: mx.array, tonal: mx.array
    ) -> tuple[mx.array, Metrics]:
        low = vocoder.vocoder(mel)
        full = extend(vocoder, mx.stop_gradient(low))
        low_spectral = spectral_loss(low, low_target, low_spectra)
        full_spectral = spectral_loss(full, full_target, full_spectra)
        weight = tonal[:, None, None]
        low_waveform = (weight * mx.abs(low - low_target)).mean()
        full_waveform = (weight * mx.abs(full - full_target)).mean()
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
    """Spectrograms, as they are and as the audio VAE returns them, and the sounds that belong to them."""

    def __init__(self, checkpoint: Checkpoint | None, processor: AudioProcessor, latents: int) -> None:
        self.processor = processor
        self.frames = frames_of(latents)
        self.coder: tuple[AudioEncoder, AudioDecoder] | None = None
        if checkpoint:
            encoder = checkpoint.build("audio_encoder", mx.float32)
            decoder = checkpoint.build("audio_decoder", mx.float32)
            assert isinstance(encoder, AudioEncoder)
            assert isinstance(decoder, AudioDecoder)
            mx.eval(encoder.parameters(), decoder.parameters())
            self.coder = encoder, decoder

    @property
    def seconds(self) -> float:
        """What is asked of the world: a little more than what is used, for the window at the end."""
        return self.frames * configs.MEL_HOP / configs.SAMPLE_RATE + 0.04

    def mel(self, full: mx.array) -> mx.array:
        """Log-mels (B, 2, frames, bins) of sounds at 48 kHz."""
        return mel_of(full, self.processor, self.frames)

    def coded(self, mel: mx.array, noise: float = 0.0) -> mx.array:
        """Log-mels through the audio VAE, with noise on the latents: none for some clips, up to `noise`."""
        if not self.coder:
            return mel
        encoder, decoder = self.coder
        latent = encoder(mel)
        amount = mx.random.uniform(-noise, noise, (latent.shape[0], 1, 1, 1))
        return decoder(latent + mx.maximum(amount, 0) * mx.random.normal(latent.shape))


class Pool:
    """Many scenes' spectrograms and sounds, made once, of which windows are drawn.

    Rows are mel frames: a window begins with a frame, and there the world's tones have always the same phase.
    """

    def __init__(self, scenes: Scenes, pairs: Pairs, count: int) -> None:
        self.rng = scenes.rng
        self.frames = pairs.frames
        parts: list[list[mx.array]] = []
        samples = self.frames * configs.MEL_HOP
        for _ in range(max(1, count // CHUNK)):
            packed = scenes.draw(min(CHUNK, count))
            full = sounds(packed, pairs.seconds, configs.OUTPUT_RATE)
            low = resample(full, configs.OUTPUT_RATE, configs.SAMPLE_RATE)
            mel = pairs.mel(full)
            # Half precision: an error of -66 dB, half of the memory.
            waves = (low[..., :samples].astype(mx.float16), full[..., : RATIO * samples].astype(mx.float16))
            tonal = (packed.sound != SOUNDS.index("noise")).astype(mx.float32)
            values = [mel, pairs.coded(mel, noise=0.3), *waves]
            parts.append([*(self._rows(value) for value in values), tonal])
            mx.eval(parts[-1])
        self.mel, self.coded, self.low, self.full, self.tonal = (
            mx.concatenate(list(values)) for values in zip(*parts, strict=True)
        )
        mx.eval(self.mel, self.coded, self.low, self.full, self.tonal)

    def _rows(self, value: mx.array) -> mx.array:
        """(B, 2, frames, n) or (B, 2, frames * n) -> (B * frames, 2, n)."""
        batch = value.shape[0]
        value = value.reshape(batch, 2, self.frames, -1).transpose(0, 2, 1, 3)
        return value.reshape(batch * self.frames, 2, -1)

    def draw(self, size: int, window: int) -> tuple[mx.array, ...]:
        """Log-mels (size, 2, window, bins), sounds at 16 and 48 kHz (size, 2, samples), and who is tonal."""
        item = self.rng.integers(self.tonal.shape[0], size=size)
        # As many windows at a clip's start, where the network sees no frame before, as elsewhere in a second.
        start = np.maximum(0, self.rng.integers(-10, self.frames - window + 1, size=size))
        rows = mx.array((item * self.frames + start)[:, None] + np.arange(window))
        half = size // 2
        mel = mx.concatenate([self.mel[rows[:half]], self.coded[rows[half:]]]).transpose(0, 2, 1, 3)
        low, full = (
            wave[rows].astype(mx.float32).transpose(0, 2, 1, 3).reshape(size, 2, -1)
            for wave in (self.low, self.full)
        )
        return mel, low, full, self.tonal[mx.array(item)]

    def stream(self, size: int, window: int) -> Iterator[tuple[mx.array, ...]]:
        """Batches without end."""
        while True:
            yield self.draw(size, window)


def evaluate(vocoder: VocoderWithBWE, pairs: Pairs, count: int, batch: int) -> dict[str, float]:
    """Of unseen scenes through VAE and vocoder: what the detectors hear, and how far spectra are away.

    Returns:
        right: share of scenes whose kind of sound is recognised, and `right_uncoded` without the VAE.
        decibels: log-spectral distance above -70 dB, also for each kind of sound. Shares of the kinds that
        are not always recognised: `right_<kind>`. position: mean error of the stereo position, 0 to 1.
        onset: largest of the scenes' median errors in seconds of the pulses' beginnings.
    """
    scenes, spectra = held_out(count), Magnitudes(1024)
    distances: dict[str, list[float]] = {"decibels": []}
    right: dict[str, list[float]] = {"right": [], "right_uncoded": []}
    positions: list[float] = []
    onsets: list[float] = []
    for start, packed in zip(range(0, count, batch), batches(scenes, batch), strict=False):
        full = sounds(packed, pairs.seconds, configs.OUTPUT_RATE)
        mel = pairs.mel(full)
        outputs = vocoder(pairs.coded(mel)), vocoder(mel)
        target = full[..., : outputs[0].shape[-1]]
        a, b = (mx.log(spectra(each) + 3e-4) for each in (outputs[0], target))
        distance = np.array(DECIBELS * mx.sqrt(mx.square(a - b).mean(axis=(1, 2, 3)))).tolist()
        coded, uncoded, true = (np.array(each) for each in (*outputs, target))
        for index, scene in enumerate(scenes[start : start + batch]):
            heard, truth = (listen(each[index], configs.OUTPUT_RATE) for each in (coded, true))
            hit = float(heard.sound == scene.sound)
            right["right"].append(hit)
            right.setdefault(f"right_{scene.sound}", []).append(hit)
            right["right_uncoded"].append(
                float(listen(uncoded[index], configs.OUTPUT_RATE).sound == scene.sound)
            )
            distances["decibels"].append(distance[index])
            distances.setdefault(scene.sound, []).append(distance[index])
            if scene.sound != "silence":
                positions.append(abs(heard.position - truth.position))
            if hit and truth.onsets:
                gaps = [min(abs(o - t) for o in heard.onsets) for t in truth.onsets]
                onsets.append(float(np.median(gaps)))
    found = {name: float(np.mean(values)) for name, values in (right | distances).items()}
    found = {name: value for name, value in found.items() if "right_" not in name or value < 1}
    found |= {"position": float(np.mean(positions or [0.0])), "onset": max(onsets, default=0.0)}
    return {name: round(value, 3) for name, value in found.items()}


def write_samples(folder: Path, vocoder: VocoderWithBWE, pairs: Pairs) -> None:
    """One file: for every kind of sound, an unseen scene's original, then what became of it."""
    scenes = held_out(200)
    chosen = [next((s for s in scenes if s.sound == name), None) for name in SOUNDS if name != "silence"]
    pieces = []
    for packed in batches([scene for scene in chosen if scene], 1):
        full = sounds(packed, pairs.seconds, configs.OUTPUT_RATE)
        output = vocoder(pairs.coded(pairs.mel(full)))[0]
        pieces += [full[0, :, : output.shape[-1]], output]
    write_wav(folder / "samples.wav", mx.concatenate(pieces, axis=-1), configs.OUTPUT_RATE)


def main() -> None:
    parser = arguments(__doc__, minutes=3)
    parser.add_argument(
        "--audio-vae", type=Path, help="audio_vae.safetensors; without it only true spectrograms"
    )
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pool", type=int, default=4096, help="scenes that are synthesized in advance")
    parser.add_argument("--window", type=int, default=80, help="mel frames of 10 ms that a step looks at")
    args = parser.parse_args()
    clock = Clock(args.minutes)
    mx.random.seed(args.seed)
    tiny = args.size == "tiny"
    batch, latents, window = (2, 14, 20) if tiny else (args.batch, 52, args.window)

    section = configs.vocoder(args.size)
    vocoder = build_vocoder(VocoderConfig.from_config(section))
    assert isinstance(vocoder, VocoderWithBWE)
    set_buffers(vocoder)
    set_activations(vocoder)
    set_convolutions(vocoder)
    initialize(vocoder)
    processor = AudioProcessor(configs.SAMPLE_RATE, configs.MEL_BINS, configs.MEL_HOP, 1024)
    pairs = Pairs(Checkpoint.open(args.audio_vae) if args.audio_vae else None, processor, latents)
    log = Log(args.out, clock)
    # float32: rounding adds up over many convolutions in a row.
    trainer = Trainer(vocoder, make_loss(vocoder), dtype=mx.float32, betas=(0.8, 0.99), fused=args.fused)
    if args.resume:
        trainer.load(args.resume)
    log.event(parameters=trainer.parameters)

    until = max(0.5, 1 - 25 / clock.seconds) if clock.seconds else 0.0
    pool = Pool(Scenes(args.seed, 64 if tiny else 10_000), pairs, 16 if tiny else args.pool)
    log.event(pool=pool.tonal.shape[0])
    run(trainer, pool.stream(batch, window), clock, log, learning_rate=args.lr, until=until, folder=args.out)
    trainer.save(args.out)

    trainer.install()
    # What is measured is what is shipped: weights rounded to bfloat16.
    vocoder.update(tree_map(lambda w: w.astype(mx.bfloat16).astype(mx.float32), vocoder.parameters()))
    save_checkpoint(args.out / "vocoder.safetensors", {"vocoder": vocoder}, {"vocoder": section}, mx.bfloat16)
    write_samples(args.out, vocoder, pairs)
    log.event(**evaluate(vocoder, pairs, 8 if tiny else 256, batch))


if __name__ == "__main__":
    main()
