"""The audio VAE: log-mel spectrograms to 25 latents a second, and back.

    python -m ltx_pocket.train.audio_vae --out runs/audio_vae --minutes 2

Writes `audio_vae.safetensors` (official layout), the state to go on from, `log.jsonl` and `samples.png`.
"""

from collections.abc import Iterator
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_core.types import Audio
from ltx_models.audio_vae import AudioDecoder, AudioEncoder, AudioProcessor, AudioVAEConfig, resample
from mlx.utils import tree_map

from ltx_pocket import configs
from ltx_pocket.train.common import Clock, Log, arguments, run
from ltx_pocket.train.data import Scenes, batches, held_out, sounds
from ltx_pocket.train.files import save_checkpoint
from ltx_pocket.train.samples import write_grid
from ltx_pocket.train.trainer import Loss, Metrics, Trainer
from ltx_pocket.world import SOUNDS, SceneBatch

DECIBELS = 8.686
"""A natural logarithm of magnitudes in dB."""

AUDIBLE = -6.5
"""Log-mels below this are not heard: 60 dB less than a loud tone has."""

CHUNK = 64
"""Scenes that are turned into spectrograms at a time."""


class Halving(nn.Conv2d):
    """A convolution with stride 2, computed with stride 1 and thinned out.

    MLX (0.32.4, CUDA) keeps cuDNN's plans under keys without the input's dilation, so that the gradient of a
    strided convolution runs with the plan of an unstrided one of the same shapes, and leaves memory unset.
    """

    def __call__(self, x: mx.array) -> mx.array:
        return mx.conv2d(x, self.weight)[:, ::2, ::2] + self.bias


class AudioVAE(nn.Module):
    """Encoder and decoder, trained together."""

    def __init__(self, config: AudioVAEConfig) -> None:
        super().__init__()
        self.encoder = AudioEncoder(config)
        self.decoder = AudioDecoder(config)
        for level in self.encoder.down:
            if "downsample" in level:
                width = level.downsample.conv.bias.size
                level.downsample.conv = Halving(width, width, 3, stride=2)
        # Spectrograms are -8 +- 3, silence -11.5: numbers around 0 inside.
        first, last = self.encoder.conv_in.conv, self.decoder.conv_out.conv
        first.weight = first.weight / 3
        first.bias = first.bias + 8 * first.weight.sum(axis=(1, 2, 3))
        last.bias = last.bias - 8
        # Known only when the training is over; until then latents are as they are.
        self.encoder.per_channel_statistics.freeze()
        self.decoder.per_channel_statistics.freeze()


def frames_of(latents: int) -> int:
    """Mel frames that a decoder makes of so many latents."""
    return 4 * latents - 3


def mel_of(waveform: mx.array, processor: AudioProcessor, frames: int) -> mx.array:
    """The first frames of the log-mel (B, 2, frames, bins) of sounds at the output rate."""
    low = resample(waveform, configs.OUTPUT_RATE, configs.SAMPLE_RATE)
    return processor.waveform_to_mel(Audio(low, configs.SAMPLE_RATE))[:, :, :frames]


def mels(batch: SceneBatch, processor: AudioProcessor, latents: int) -> mx.array:
    """Log-mels of scenes, as long as `latents` latents."""
    seconds = frames_of(latents) * configs.MEL_HOP / configs.SAMPLE_RATE
    return mel_of(sounds(batch, seconds, configs.OUTPUT_RATE), processor, frames_of(latents))


def audible_error(output: mx.array, mel: mx.array) -> tuple[mx.array, mx.array]:
    """Differences of log-mels as they are heard, and where there is something to hear: 1, elsewhere 0."""
    heard = mx.maximum(output, mel) > AUDIBLE
    return mx.maximum(output, AUDIBLE) - mx.maximum(mel, AUDIBLE), heard.astype(mx.float32)


def make_loss(vae: AudioVAE, noise: float = 0.2, weight: float = 1e-4, inaudible: float = 0.15) -> Loss:
    """The loss of log-mels (B, 2, frames, bins): differences, their slopes, and latents around 0.

    Noise is added to the latents, up to `noise` of their deviation, as for the video VAE. Where nothing is
    heard, neither in the original nor in the output, differences count `inaudible` as much.
    """

    def loss(mel: mx.array) -> tuple[mx.array, Metrics]:
        latent = vae.encoder(mel)
        spread = mx.sqrt(mx.stop_gradient(latent).var(axis=(0, 2), keepdims=True))
        amount = mx.random.uniform(high=noise, shape=(latent.shape[0], 1, 1, 1))
        noisy = latent + amount * spread * mx.random.normal(latent.shape)
        output = vae.decoder(noisy).astype(mx.float32)
        clipped, heard = (mx.stop_gradient(value) for value in audible_error(output, mel))
        error = (output - mel) * (inaudible + (1 - inaudible) * heard)
        slopes = mx.abs(error[:, :, 1:] - error[:, :, :-1]).mean()
        slopes = slopes + mx.abs(error[..., 1:] - error[..., :-1]).mean()
        distance = mx.abs(error).mean()
        total = distance + 0.5 * slopes + 0.1 * mx.square(error).mean() + weight * mx.square(latent).mean()
        decibels = DECIBELS * mx.abs(clipped).sum() / (heard.sum() + 1)
        return total, {"decibels": decibels, "latent": mx.sqrt(mx.square(latent).mean())}

    return loss


class Pool:
    """Spectrograms of many scenes, made once: a step would take longer to make than to learn from them."""

    def __init__(self, scenes: Scenes, processor: AudioProcessor, latents: int, count: int) -> None:
        self.rng = scenes.rng
        parts = []
        for _ in range(max(1, count // CHUNK)):
            parts.append(mels(scenes.draw(min(CHUNK, count)), processor, latents))
            mx.eval(parts[-1])
        self.mels = mx.concatenate(parts)
        mx.eval(self.mels)

    def draw(self, size: int) -> mx.array:
        """(size, 2, frames, bins) at random."""
        return self.mels[mx.array(self.rng.integers(self.mels.shape[0], size=size))]

    def stream(self, batch: int) -> Iterator[tuple[mx.array]]:
        """Batches without end."""
        while True:
            yield (self.draw(batch),)


def measure_statistics(vae: AudioVAE, pool: Pool, count: int, batch: int) -> None:
    """Set mean and deviation of every entry of an audio token, over training scenes."""
    sums: list[mx.array] = []
    for _ in range(max(1, count // batch)):
        latent = vae.encoder(pool.draw(batch))
        sums.append(mx.stack([latent.mean(axis=(0, 2)), mx.square(latent).mean(axis=(0, 2))]))
        mx.eval(sums)
    mean, square = mx.stack(sums).mean(axis=0).reshape(2, -1)
    deviation = mx.sqrt(mx.maximum(square - mx.square(mean), 0))
    # What hardly ever varies must not become large when it is normalised.
    deviation = mx.maximum(deviation, 0.05 * deviation.mean())
    for part in (vae.encoder, vae.decoder):
        part.per_channel_statistics.mean_of_means = mean
        part.per_channel_statistics.std_of_means = deviation


def evaluate(
    vae: AudioVAE, processor: AudioProcessor, count: int, batch: int, latents: int
) -> dict[str, float]:
    """Mean absolute error in dB of what is heard of unseen scenes: all of them, and each kind of sound."""
    scenes = held_out(count)
    values: list[float] = []
    for packed in batches(scenes, batch):
        mel = mels(packed, processor, latents)
        error, heard = audible_error(vae.decoder(vae.encoder(mel)).astype(mx.float32), mel)
        axes = (1, 2, 3)
        values += np.array(DECIBELS * mx.abs(error).sum(axis=axes) / (heard.sum(axis=axes) + 1)).tolist()
    found = {"decibels": sum(values) / len(values)}
    for name in SOUNDS:
        own = [value for value, scene in zip(values, scenes, strict=False) if scene.sound == name]
        if own:
            found[name] = sum(own) / len(own)
    return {name: round(value, 2) for name, value in found.items()}


def draw_samples(path: Path, vae: AudioVAE, processor: AudioProcessor, batch: int, latents: int) -> None:
    """Spectrograms of unseen scenes, left channel: originals in the upper row, what became of them below."""
    mel = mels(batches(held_out(batch), batch)[0], processor, latents)
    rows = [mel, vae.decoder(vae.encoder(mel)).astype(mx.float32)]

    def picture(each: mx.array) -> mx.array:
        grey = ((each[:8, 0] + 11.5) / 14).transpose(0, 2, 1)[:, ::-1]
        return mx.broadcast_to(grey[..., None], (*grey.shape, 3))

    write_grid(path, [picture(row) for row in rows])


def main() -> None:
    parser = arguments(__doc__, minutes=2)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pool", type=int, default=4096, help="spectrograms that are made in advance")
    args = parser.parse_args()
    clock = Clock(args.minutes)
    mx.random.seed(args.seed)
    tiny = args.size == "tiny"
    batch, latents = (2, 14) if tiny else (args.batch, 52)

    section = configs.audio_vae(args.size)
    config = AudioVAEConfig.from_config(section)
    vae, processor = AudioVAE(config), AudioProcessor.from_config(config)
    log = Log(args.out, clock)
    # float32: spectrograms of -11.5 to 3 need more digits than bfloat16 has.
    trainer = Trainer(vae, make_loss(vae), dtype=mx.float32, weight_decay=1e-3, fused=args.fused)
    if args.resume:
        trainer.load(args.resume)
    log.event(parameters=trainer.parameters)

    pool = Pool(Scenes(args.seed, 64 if tiny else 10_000), processor, latents, 16 if tiny else args.pool)
    log.event(pool=pool.mels.shape[0])
    until = max(0.5, 1 - 10 / clock.seconds) if clock.seconds else 0.0
    run(trainer, pool.stream(batch), clock, log, learning_rate=args.lr, until=until, folder=args.out)
    trainer.save(args.out)

    trainer.install()
    # What is measured is what is shipped: weights rounded to bfloat16.
    vae.update(tree_map(lambda w: w.astype(mx.bfloat16).astype(trainer.dtype), vae.trainable_parameters()))
    measure_statistics(vae, pool, 4 if tiny else 2048, batch)
    modules = {"audio_encoder": vae.encoder, "audio_decoder": vae.decoder}
    save_checkpoint(args.out / "audio_vae.safetensors", modules, {"audio_vae": section}, mx.bfloat16)
    draw_samples(args.out / "samples.png", vae, processor, batch, latents)
    log.event(**evaluate(vae, processor, 8 if tiny else 512, batch, latents))


if __name__ == "__main__":
    main()
