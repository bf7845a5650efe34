"""The video VAE: pixels to 64 numbers for every 32 x 32 pixels of 8 frames, and back.

    python -m ltx_pocket.train.video_vae --out runs/video_vae --minutes 8

With `--decoder-of video_vae.safetensors` only the decoder learns on; the encoder and the latents' statistics
stay what they are, bit by bit, because other networks depend on them.
Writes `video_vae.safetensors` (official layout), the state to go on from, `log.jsonl` and `samples.png`.
"""

from collections.abc import Iterator
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_core.device import default_dtype
from ltx_loaders import Checkpoint
from ltx_models.video_vae import VideoDecoder, VideoEncoder, VideoVAEConfig
from mlx.utils import tree_map

from ltx_pocket import configs
from ltx_pocket.train.common import Clock, Log, arguments, run
from ltx_pocket.train.data import ClipPool, Scenes, batches, clips, held_out
from ltx_pocket.train.files import save_checkpoint
from ltx_pocket.train.samples import psnr, write_grid
from ltx_pocket.train.trainer import Loss, Metrics, Trainer
from ltx_pocket.world import BACKGROUNDS

FRAME_RATES = (8.0, 12.0, 16.0, 16.0, 16.0, 24.0)
"""Frames a second in training; the native rate more often than others."""

OTHER_SIZES = ((0.75, 1.5), (0.5, 3), (1.25, 0.625), (1.5, 0.5))
"""Edges of other clips and their number in a batch, relative to the native ones."""

Shape = tuple[int, int, int]
"""Clips, frames, edge in pixels."""


class VideoVAE(nn.Module):
    """Encoder and decoder, trained together."""

    def __init__(self, config: VideoVAEConfig) -> None:
        super().__init__()
        self.encoder = VideoEncoder(config)
        self.decoder = VideoDecoder(config)
        # Known only when the training is over; until then latents are as they are.
        self.encoder.per_channel_statistics.freeze()
        self.decoder.per_channel_statistics.freeze()


def _slope(x: mx.array, axis: int) -> mx.array:
    """Mean absolute difference of neighbours along an axis."""
    after = [slice(None)] * x.ndim
    before = list(after)
    after[axis], before[axis] = slice(1, None), slice(None, -1)
    return mx.abs(x[tuple(after)] - x[tuple(before)]).mean()


def reconstruction_loss(output: mx.array, target: mx.array) -> mx.array:
    """How far (B, 3, F, H, W) is from its target: pixels, edges, motion, and flat areas.

    Absolute differences of the pixels, of their slopes along every axis (edges stay sharp, still things stay
    still) and of means over 8 x 8 pixels (flat colours), and squared differences, which the PSNR measures.
    """
    error = output.astype(mx.float32) - target
    b, c, f, h, w = error.shape
    coarse = error.reshape(b, c, f, h // 8, 8, w // 8, 8).mean(axis=(4, 6))
    slopes = _slope(error, 3) + _slope(error, 4) + 0.5 * _slope(error, 2)
    return mx.abs(error).mean() + slopes + mx.abs(coarse).mean() + 8 * mx.square(error).mean()


def add_noise(latent: mx.array, most: float) -> mx.array:
    """Noise on latents, up to `most` of the deviation of their channels, another amount for each clip.

    Decoders have to live with what the diffusion model makes; encoders cannot hide much in tiny differences.
    Relative to the deviation it does not reward large latents.
    """
    spread = mx.sqrt(mx.stop_gradient(latent).var(axis=(0, 2, 3, 4), keepdims=True))
    amount = mx.random.uniform(high=most, shape=(latent.shape[0], 1, 1, 1, 1))
    return latent + amount * spread * mx.random.normal(latent.shape)


def make_loss(vae: VideoVAE, noise: float = 0.1, weight: float = 1e-4) -> Loss:
    """The loss of clips (B, 3, F, H, W) in [-1, 1]: reconstruction, and latents around 0."""

    def loss(pixels: mx.array) -> tuple[mx.array, Metrics]:
        latent = vae.encoder(pixels).astype(mx.float32)
        output = vae.decoder(add_noise(latent, noise))
        total = reconstruction_loss(output, pixels) + weight * mx.square(latent).mean()
        error = mx.square(output.astype(mx.float32) - pixels).mean() / 4
        return total, {"psnr": -10 * mx.log10(error), "latent": mx.sqrt(mx.square(latent).mean())}

    return loss


def make_decoder_loss(decoder: VideoDecoder, noise: float = 0.15) -> Loss:
    """The loss of clips and their latents, with the decoder alone."""

    def loss(pixels: mx.array, latent: mx.array) -> tuple[mx.array, Metrics]:
        output = decoder(add_noise(latent, noise))
        error = mx.square(output.astype(mx.float32) - pixels).mean() / 4
        return reconstruction_loss(output, pixels), {"psnr": -10 * mx.log10(error)}

    return loss


def with_latents(
    encoder: VideoEncoder, batches: Iterator[tuple[mx.array]]
) -> Iterator[tuple[mx.array, mx.array]]:
    """Batches as `make_decoder_loss` takes them."""
    for (pixels,) in batches:
        yield pixels, encoder(pixels).astype(mx.float32)


def load(vae: VideoVAE, path: Path, dtype: mx.Dtype) -> None:
    """Give the networks the weights and statistics of a file; from then on only the decoder is trained.

    Raises:
        LoaderError: the file is damaged or holds networks of another size.
    """
    checkpoint = Checkpoint.open(path)
    vae.encoder.update(checkpoint.build("video_encoder", dtype).parameters())
    vae.decoder.update(checkpoint.build("video_decoder", dtype).parameters())
    mx.eval(vae.parameters())
    vae.encoder.freeze()


class Stream:
    """Batches without end: cuts of clips, of an eighth of the pixels, in the first part of the training; then
    mostly whole clips, some of other sizes.

    Args:
        native: a whole clip's batch, frames and edge.
        count: clips that are rendered of the native size at once; they are renewed from time to time.
    """

    def __init__(self, scenes: Scenes, native: Shape, count: int) -> None:
        self.scenes, self.native, self.count = scenes, native, count
        self.rng = scenes.rng
        self.pools: list[ClipPool] = []

    def fill(self) -> None:
        """Render the clips."""
        _, frames, edge = self.native
        # No array of 2^31 elements: indices have 32 bits.
        shard = min(self.count, 2**31 // (frames * edge * edge * 3) // 16 * 16 or 1)
        for number in range(-(-self.count // shard)):
            rate = FRAME_RATES[number % len(FRAME_RATES)]
            self.pools.append(ClipPool(self.scenes, shard, edge, frames, rate))

    def cut(self) -> mx.array:
        """A batch of cuts."""
        batch, frames, edge = self.native
        pool = self.pools[self.rng.integers(len(self.pools))]
        return pool.draw(self.rng, 6 * batch, edge // 2, frames // 16 * 8 + 1)

    def whole(self) -> mx.array:
        """A batch of whole clips, one in four of another size than the native one."""
        batch, frames, edge = self.native
        if self.rng.random() < 0.75:
            return self.pools[self.rng.integers(len(self.pools))].draw(self.rng, batch, edge, frames)
        size, share = OTHER_SIZES[self.rng.integers(len(OTHER_SIZES))]
        rate = FRAME_RATES[self.rng.integers(len(FRAME_RATES))]
        edge = round(size * edge / 32) * 32
        return clips(self.scenes.draw(max(1, round(batch * share))), edge, edge, frames, rate)

    def batches(self, clock: Clock, until: float, cuts: float) -> Iterator[tuple[mx.array]]:
        """Batches; cuts before the fraction `cuts` of the time, and one in five of them after it."""
        while True:
            early = clock.fraction < cuts * until
            yield (self.cut() if early or self.rng.random() < 0.2 else self.whole(),)


def measure_statistics(vae: VideoVAE, scenes: Scenes, clips_number: int, native: Shape) -> None:
    """Set the mean and deviation of every latent channel, over native clips of the training scenes."""
    batch, frames, edge = native
    sums: list[mx.array] = []
    for _ in range(max(1, clips_number // batch)):
        pixels = clips(scenes.draw(batch), edge, edge, frames, configs.FRAME_RATE)
        latent = vae.encoder(pixels).astype(mx.float32)
        sums.append(mx.stack([latent.mean(axis=(0, 2, 3, 4)), mx.square(latent).mean(axis=(0, 2, 3, 4))]))
        mx.eval(sums)
    mean, square = mx.stack(sums).mean(axis=0)
    deviation = mx.sqrt(mx.maximum(square - mx.square(mean), 1e-8))
    for part in (vae.encoder, vae.decoder):
        part.per_channel_statistics.mean_of_means = mean
        part.per_channel_statistics.std_of_means = deviation


def evaluate(vae: VideoVAE, count: int, shape: Shape) -> dict[str, float]:
    """PSNR in dB of unseen scenes: the mean, the worst clip, and each background's mean."""
    batch, frames, edge = shape
    scenes = held_out(count)
    values: list[float] = []
    for packed in batches(scenes, batch):
        pixels = clips(packed, edge, edge, frames, configs.FRAME_RATE)
        output = vae.decoder(vae.encoder(pixels).astype(mx.float32))
        copies = (mx.clip(output.astype(mx.float32), -1, 1) + 1) / 2
        values += np.array(psnr(copies, (pixels + 1) / 2)).tolist()
    found: dict[str, float] = {"psnr": float(np.mean(values)), "worst": min(values)}
    for name in BACKGROUNDS:
        own = [value for value, scene in zip(values, scenes, strict=False) if scene.background == name]
        if own:
            found[name] = float(np.mean(own))
    return {name: round(value, 2) for name, value in found.items()}


def draw_samples(path: Path, vae: VideoVAE, shape: Shape, rows: int = 6) -> None:
    """Unseen clips and below each its reconstruction, five frames of both."""
    batch, frames, edge = shape
    pictures: list[mx.array] = []
    for packed in batches(held_out(rows + batch), batch)[: -(-rows // batch)]:
        pixels = clips(packed, edge, edge, frames, configs.FRAME_RATE)
        output = vae.decoder(vae.encoder(pixels).astype(mx.float32)).astype(mx.float32)
        for original, copy in zip(pixels, output, strict=True):
            for clip in (original, copy):
                pictures.append(((clip + 1) / 2).transpose(1, 2, 3, 0)[:: max(1, frames // 4)])
    write_grid(path, pictures[: 2 * rows])


def main() -> None:
    parser = arguments(__doc__, minutes=8)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument(
        "--batch", type=int, default=4, help="native clips in a batch; cuts of them: six times"
    )
    parser.add_argument("--clips", type=int, default=9600, help="rendered in advance, 6.5 MB each")
    parser.add_argument(
        "--decoder-of", type=Path, help="video_vae.safetensors whose decoder is to learn on, alone"
    )
    parser.add_argument("--cuts", type=float, default=0.55, help="part of the time with cuts only")
    args = parser.parse_args()
    clock = Clock(args.minutes)
    mx.random.seed(args.seed)
    tiny = args.size == "tiny"
    native: Shape = (2, 17, 64) if tiny else (args.batch, configs.NUM_FRAMES, configs.HEIGHT)

    section = configs.video_vae(args.size)
    vae = VideoVAE(VideoVAEConfig.from_config(section))
    log = Log(args.out, clock)
    loss = make_loss(vae)
    if args.decoder_of:
        load(vae, args.decoder_of, default_dtype())
        loss = make_decoder_loss(vae.decoder)
    trainer = Trainer(vae, loss, weight_decay=1e-3, fused=args.fused)
    if args.resume:
        trainer.load(args.resume)
    log.event(parameters=trainer.parameters, native="x".join(map(str, native)))

    # The end is for the statistics and the evaluation.
    until = max(0.5, 1 - 40 / clock.seconds) if clock.seconds else 0.0
    scenes = Scenes(args.seed + trainer.steps, 64 if tiny else 30_000)
    data = Stream(scenes, native, 8 if tiny else args.clips)
    data.fill()
    log.event(clips=sum(len(pool.middles) for pool in data.pools))
    stream: Iterator[tuple[mx.array, ...]] = data.batches(clock, until, args.cuts)
    if args.decoder_of:
        stream = with_latents(vae.encoder, data.batches(clock, until, args.cuts))
    run(trainer, stream, clock, log, learning_rate=args.lr, until=until, folder=args.out)
    trainer.save(args.out)

    trainer.install()
    # What is measured is what is shipped: weights rounded to bfloat16.
    vae.update(tree_map(lambda w: w.astype(mx.bfloat16).astype(trainer.dtype), vae.trainable_parameters()))
    if not args.decoder_of:
        measure_statistics(vae, scenes, 4 if tiny else 640, native)
    modules = {"video_encoder": vae.encoder, "video_decoder": vae.decoder}
    save_checkpoint(args.out / "video_vae.safetensors", modules, {"vae": section}, mx.bfloat16)
    draw_samples(args.out / "samples.png", vae, native)
    log.event(evaluated="native", **evaluate(vae, 4 if tiny else 96, native))
    batch, frames, edge = native
    log.event(
        evaluated="half", **evaluate(vae, 6 if tiny else 96, (3 * batch, frames // 16 * 8 + 1, edge // 2))
    )


if __name__ == "__main__":
    main()
