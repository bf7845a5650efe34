"""The latent upscalers: twice the height and width, and twice the frame rate.

    python -m ltx_pocket.train.upscalers --out runs/upscalers --video-vae runs/video_vae/video_vae.safetensors

Each learns from pairs of latents of the same scene, rendered at both sizes or frame rates and encoded by the
trained VAE, once and in advance.
Writes `spatial_upscaler.safetensors` and `temporal_upscaler.safetensors` (official layout), the
states to go on from, `log.jsonl` and sample pictures.
"""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from ltx_core.device import compiled
from ltx_loaders import Checkpoint
from ltx_loaders.weights import KeyMap
from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig, upsample_video
from ltx_models.video_vae import VideoDecoder, VideoEncoder
from mlx.utils import tree_map

from ltx_pocket import configs
from ltx_pocket.train.common import Clock, Log, arguments, run
from ltx_pocket.train.data import Scenes, batches, clips, held_out
from ltx_pocket.train.files import official_tensors, write_checkpoint
from ltx_pocket.train.samples import psnr, write_grid
from ltx_pocket.train.trainer import Loss, Metrics, Trainer
from ltx_pocket.world import SceneBatch

NAMING = KeyMap({"": ""})
"""An upscaler's file has the network's own names."""

RATES = (16.0, 16.0, 12.0, 24.0)
"""Frames a second of the clips in training."""

OTHERS = {"space": ((33, 192), (17, 256), (33, 384)), "time": ((33, 128), (17, 256), (65, 128))}
"""Frames and edges of other clips than the native ones, an eighth as many of each."""

NAMES = {"space": "spatial_upscaler", "time": "temporal_upscaler"}


class Pairs:
    """Makes latents of both sizes with the trained VAE, normalised, in float32."""

    def __init__(self, checkpoint: Checkpoint, axis: str, dtype: mx.Dtype) -> None:
        self.axis = axis
        self.encoder = checkpoint.build("video_encoder", dtype)
        self.decoder = checkpoint.build("video_decoder", dtype)
        assert isinstance(self.encoder, VideoEncoder)
        assert isinstance(self.decoder, VideoDecoder)
        mx.eval(self.encoder.parameters(), self.decoder.parameters())
        encoder, decoder = self.encoder, self.decoder
        self.encode = compiled(lambda pixels: encoder(pixels).astype(mx.float32))
        self.decode = compiled(lambda latent: decoder(latent).astype(mx.float32))
        self.statistics = encoder.per_channel_statistics

    def __call__(
        self, batch: SceneBatch, edge: int, frames: int, rate: float
    ) -> tuple[mx.array, mx.array, mx.array]:
        """(small latent, large latent, pixels of the large one) of clips of the large size."""
        large = clips(batch, edge, edge, frames, rate)
        if self.axis == "space":
            small = clips(batch, edge // 2, edge // 2, frames, rate)
        else:
            small = large[:, :, ::2]
        return self.encode(small), self.encode(large), large


def make_loss(upscaler: LatentUpsampler, pairs: Pairs, noise: float = 0.1) -> Loss:
    """The loss of (small, large) normalised latents: absolute and squared differences.

    Noise on the input, up to `noise`, because later it comes from the diffusion model.
    """

    def loss(small: mx.array, large: mx.array) -> tuple[mx.array, Metrics]:
        amount = mx.random.uniform(high=noise, shape=(small.shape[0], 1, 1, 1, 1))
        noisy = small + amount * mx.random.normal(small.shape)
        error = upsample_video(noisy, upscaler, pairs.statistics).astype(mx.float32) - large
        distance, square = mx.abs(error).mean(), mx.square(error).mean()
        return distance + square, {"relative": mx.sqrt(square / mx.square(large).mean())}

    return loss


class Pool:
    """Pairs of latents of one size of clips, normalised, encoded in advance."""

    def __init__(
        self, scenes: Scenes, pairs: Pairs, count: int, frames: int, edge: int, deadline: float = math.inf
    ) -> None:
        """Encode `count` pairs, or fewer if the time is over before (by `time.monotonic`)."""
        # As many clips at a time as 32 native ones have pixels.
        at_once = min(count, max(1, 32 * 33 * 256**2 // (frames * edge**2)))
        found: list[tuple[mx.array, mx.array]] = []
        for number in range(-(-count // at_once)):
            if found and time.monotonic() > deadline:
                break
            rate = RATES[number % len(RATES)]
            small, large, _ = pairs(scenes.draw(at_once), edge, frames, rate)
            found.append((small.astype(mx.float16), large.astype(mx.float16)))
            mx.eval(found[-1])
        self.small, self.large = (mx.concatenate(list(values)) for values in zip(*found, strict=True))
        mx.eval(self.small, self.large)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[mx.array, mx.array]:
        """`size` pairs at random, float32."""
        which = mx.array(rng.integers(len(self.small), size=size))
        return self.small[which].astype(mx.float32), self.large[which].astype(mx.float32)


def stream(rng: np.random.Generator, pools: Sequence[Pool], batch: int) -> Iterator[tuple[mx.array, ...]]:
    """Batches without end, three of four from the first pool."""
    while True:
        other = 1 + int(rng.integers(len(pools) - 1))
        yield pools[0 if rng.random() < 0.75 else other].draw(rng, batch)


def evaluate(
    path: Path, upscaler: LatentUpsampler, pairs: Pairs, count: int, batch: int, frames: int, edge: int
) -> dict[str, float]:
    """Unseen scenes: error of the latents relative to their size, and PSNR in dB of what they decode to.

    `psnr` is against the pictures; `vae` that of the true large latents, which is the best there could be.
    Draws the first scenes to `path`: original, through the VAE, through the upscaler.
    """
    errors, values, best = [], [], []
    rows: list[mx.array] = []
    for packed in batches(held_out(count), batch):
        small, large, pixels = pairs(packed, edge, frames, configs.FRAME_RATE)
        made = upsample_video(small, upscaler, pairs.statistics).astype(mx.float32)
        errors.append(float(np.array(mx.sqrt(mx.square(made - large).mean() / mx.square(large).mean()))))
        pictures = [
            mx.clip((each + 1) / 2, 0, 1) for each in (pixels, pairs.decode(large), pairs.decode(made))
        ]
        best.append(float(np.array(psnr(pictures[1], pictures[0]).mean())))
        values.append(float(np.array(psnr(pictures[2], pictures[0]).mean())))
        if len(rows) < 9:
            rows += [
                each[i].transpose(1, 2, 3, 0)[:: max(1, frames // 4)] for i in range(2) for each in pictures
            ]
    write_grid(path, rows)
    found = {"relative": np.mean(errors), "psnr": np.mean(values), "vae": np.mean(best)}
    return {name: round(float(value), 3) for name, value in found.items()}


def main() -> None:
    parser = arguments(__doc__, minutes=2)
    parser.add_argument("--video-vae", type=Path, required=True, help="video_vae.safetensors")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=4096, help="of the native size, encoded in advance")
    args = parser.parse_args()
    mx.random.seed(args.seed)
    tiny = args.size == "tiny"
    batch, frames, edge = (2, 17, 64) if tiny else (args.batch, configs.NUM_FRAMES, configs.HEIGHT)
    checkpoint = Checkpoint.open(args.video_vae)
    scenes = Scenes(args.seed, 64 if tiny else 30_000)

    for axis, name in NAMES.items():
        clock = Clock(args.minutes / 2)
        log = Log(args.out / axis, clock)
        section = configs.upscaler(axis, args.size)
        upscaler = LatentUpsampler(LatentUpsamplerConfig.from_config(section))
        trainer = Trainer(upscaler, lambda *_: (mx.array(0.0), {}), weight_decay=1e-3, fused=args.fused)
        pairs = Pairs(checkpoint, axis, trainer.dtype)
        trainer.loss = make_loss(upscaler, pairs)
        if args.resume:
            trainer.load(args.resume / axis)
        log.event(axis=axis, parameters=trainer.parameters)
        until = max(0.5, 1 - 8 / clock.seconds) if clock.seconds else 0.0
        others = ((17, 64), (33, 64)) if tiny else OTHERS[axis]
        pools = [
            Pool(
                scenes, pairs, 4 if tiny else args.pairs, frames, edge, time.monotonic() + 0.3 * clock.seconds
            )
        ]
        pools += [Pool(scenes, pairs, len(pools[0].small) // 8 or 1, *other) for other in others]
        log.event(pairs=" ".join(str(len(pool.small)) for pool in pools))
        data = stream(scenes.rng, pools, batch)
        run(trainer, data, clock, log, learning_rate=args.lr, until=until, folder=args.out / axis)
        trainer.save(args.out / axis)

        trainer.install()
        # What is measured is what is shipped: weights rounded to bfloat16.
        upscaler.update(tree_map(lambda w: w.astype(mx.bfloat16).astype(mx.float32), upscaler.parameters()))
        tensors = official_tensors(NAMING, upscaler)
        write_checkpoint(args.out / f"{name}.safetensors", tensors, section, mx.bfloat16)
        picture = args.out / f"{name}.png"
        numbers = evaluate(picture, upscaler, pairs, 4 if tiny else 48, 2 if tiny else 8, frames, edge)
        log.event(evaluated=axis, **numbers)


if __name__ == "__main__":
    main()
