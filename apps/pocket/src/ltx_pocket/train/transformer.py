"""The diffusion model: text encoder, connectors and audio-video transformer, trained together from nothing.

    python -m ltx_pocket.train.transformer --out runs/transformer --minutes 12 \\
        --tokenizer runs/gemma \\
        --video-vae runs/video_vae/video_vae.safetensors --audio-vae runs/audio_vae/audio_vae.safetensors

A rectified flow (arXiv 2209.03003): tokens x = (1 - sigma) x0 + sigma noise, the network predicts noise - x0.
Writes `diffusion.safetensors` (moving average, bfloat16), the state to go on from, `log.jsonl` and samples.
A run may cover a part of the schedule: `--to 0.5`, and another one with `--resume` the rest. Each of them
encodes scenes of its own. `--resume` also takes the folder of a packed model, whose weights it goes on from;
`--video-vae` and `--audio-vae` its checkpoint, `--tokenizer` its folder `gemma`.

Several GPUs train together: one process for each, with the environment that `ltx_pocket.train.team` names.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from ltx_core.schedulers import LTX2Scheduler
from ltx_pipelines.defaults import NEGATIVE_PROMPT
from mlx.utils import tree_map

from ltx_pocket.configs_text import MAX_LENGTH, gemma_config, transformer_section
from ltx_pocket.train.batches import Batch, Data, flattened
from ltx_pocket.train.common import Clock, Log, Pace, arguments, warm_cosine
from ltx_pocket.train.diffusion import Contexts, Diffusion, Stream, Tables, of_tokens
from ltx_pocket.train.latents import BUCKETS, NO_PICTURES, Bucket, Captions, Encoders, Pool, fill, grow
from ltx_pocket.train.preview import Preview
from ltx_pocket.train.sampling import stepper
from ltx_pocket.train.team import Team
from ltx_pocket.train.trainer import Loss, Metrics, Trainer
from ltx_pocket.train.weights import fingerprint, load_state, save_diffusion, save_state
from ltx_pocket.world import HELD_OUT_SEED

AUDIO_WEIGHT = 0.5
MEASURED = (60, 100)
"""Steps between which the time of a step is measured: the first ones make plans for their sizes."""
RESERVE = 30.0
"""Seconds at the end for files and samples."""


def is_matrix(name: str, weight: mx.array) -> bool:
    """Whether a weight is a linear map between hidden states, for Muon; gates of heads are not."""
    return "blocks." in name and name.endswith(".weight") and weight.ndim == 2 and min(weight.shape) > 8


def flow_loss(velocity: mx.array, target: mx.array, counts: mx.array, given: mx.array) -> mx.array:
    """Mean squared error of the velocity over tokens that count, and over clips whose stream is not given.

    Args:
        velocity, target: (B, T, D).
        counts: (B, T, 1), 1 for tokens to be made.
        given: (B,) bool.
    """
    error = mx.square(velocity.astype(mx.float32) - target).mean(axis=-1, keepdims=True)
    clip = (error * counts).sum(axis=(1, 2)) / mx.maximum(counts.sum(axis=(1, 2)), 1)
    kept = 1 - given.astype(mx.float32)
    return (clip * kept).sum() / mx.maximum(kept.sum(), 1)


class Noisy(NamedTuple):
    """A stream of a batch on its way to noise.

    Attributes:
        tokens: (B, T, D), clean where they are given.
        target: the velocity.
        counts, given: as `flow_loss` takes them.
    """

    tokens: mx.array
    target: mx.array
    counts: mx.array
    given: mx.array

    def loss(self, velocity: mx.array) -> mx.array:
        """`flow_loss` of what the network says."""
        return flow_loss(velocity, self.target, self.counts, self.given)


def noisy(clean: mx.array, fixed: mx.array, sigma: mx.array, key: mx.array) -> Noisy:
    """Clean tokens (B, T, D) at noise levels (B,), but for those in groups (B, G) that are given."""
    clean = clean.astype(mx.float32)
    target = mx.random.normal(clean.shape, key=key) - clean
    given = of_tokens(fixed, clean.shape[1])
    tokens = mx.where(given, clean, clean + sigma[:, None, None] * target)
    return Noisy(tokens, target, 1 - given.astype(mx.float32), sigma == 0)


def make_loss(network: Diffusion) -> Loss:
    """The loss of a batch's arrays."""

    def loss(*arrays: mx.array) -> tuple[mx.array, Metrics]:
        fields = len(Batch._fields) - 1
        batch = Batch._make([*arrays[:fields], Tables._make(arrays[fields:])])
        times = len(batch.video) // len(batch.ids)
        contexts = [mx.concatenate([x] * times) for x in network.contexts(batch.ids, batch.lengths)]
        alone = batch.video.shape[1:] == NO_PICTURES
        negative = batch.negative_video, batch.negative_audio
        video_context, audio_context = (
            mx.where(batch.unprompted[:, None, None], other.astype(own.dtype), own)
            for own, other in zip(contexts, negative, strict=True)
        )
        first, second = mx.random.split(batch.key)
        audio = noisy(batch.audio, batch.heard, batch.audio_sigma, second)
        sound = Stream(audio.tokens, batch.audio_level, audio_context, batch.heard)
        if alone:
            audio_loss = audio.loss(network.sound_velocities(sound, batch.tables))
            return AUDIO_WEIGHT * audio_loss, {"alone": audio_loss}
        video = noisy(batch.video, batch.fixed, batch.video_sigma, first)
        picture = Stream(video.tokens, batch.video_level, video_context, batch.fixed)
        velocities = network.velocities(picture, sound, batch.tables)
        video_loss, audio_loss = video.loss(velocities[0]), audio.loss(velocities[1])
        return video_loss + AUDIO_WEIGHT * audio_loss, {"video": video_loss, "audio": audio_loss}

    return loss


class Negative:
    """Contexts of the negative prompt, by the weights as they are: constants of the steps that follow."""

    def __init__(self, trainer: Trainer, network: Diffusion, captions: Captions) -> None:
        self.trainer, self.network = trainer, network
        ids, lengths = captions.encode([NEGATIVE_PROMPT], MAX_LENGTH)
        self.ids, self.lengths = mx.array(ids), mx.array(lengths)

    def contexts(self, ema: bool = False) -> Contexts:
        """Computed now."""
        self.trainer.install(ema)
        result = self.network.contexts(self.ids, self.lengths)
        mx.eval(result)
        return result


def validations(
    encoders: Encoders, captions: Captions, network: Diffusion, buckets: Sequence[Bucket], size: int
) -> Iterator[tuple[Pool, Tables]]:
    """Pools of unseen scenes, for numbers that can be compared."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    for bucket in buckets:
        unseen = Bucket(bucket.height, bucket.width, bucket.num_frames, 1.0, size)
        pool = Pool(unseen, encoders, captions, rng, wordings=1)
        yield pool, network.tables(encoders.video_tools(bucket), encoders.audio_tools(bucket))


def main() -> None:
    parser = arguments(__doc__, minutes=12)
    parser.add_argument("--video-vae", type=Path, required=True)
    parser.add_argument("--audio-vae", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--tokens", type=int, default=131072, help="tokens in a batch")
    parser.add_argument("--clips", type=int, default=768, help="most clips in a batch")
    parser.add_argument(
        "--step-ms", type=float, default=80, help="smaller batches, if a step takes longer than this"
    )
    parser.add_argument("--encode-seconds", type=float, default=75, help="time for encoding scenes")
    parser.add_argument(
        "--grow", type=float, default=0.05, help="part of the time for encoding more scenes while training"
    )
    parser.add_argument("--start", type=float, help="fraction of the schedule to go on from, if not the last")
    parser.add_argument("--to", type=float, default=1.0, help="fraction of the schedule where to stop")
    parser.add_argument("--moments", action="store_true", help="save the optimiser's moments")
    args = parser.parse_args()
    team = Team.join()
    first = team.rank == 0
    if not first:
        args.out = args.out / f"rank-{team.rank}"
    clock = Clock(args.minutes)
    log = Log(args.out, clock)
    # The same first weights in all processes, and batches of their own.
    mx.random.seed(args.seed)

    encoders, captions = Encoders(args.video_vae, args.audio_vae), Captions(args.tokenizer)
    config: dict[str, Any] = {
        "transformer": transformer_section(encoders.video_channels, encoders.audio_features, args.size),
        "gemma": gemma_config(captions.vocab_size, args.size),
        "tokenizer": fingerprint(args.tokenizer),
    }
    network = Diffusion(config["transformer"], config["gemma"])
    network.initialize()
    loss = make_loss(network)
    trainer = Trainer(network, loss, matrices=is_matrix, team=team, weight_decay=0.01, fused=args.fused)
    start = 0.0
    if args.resume:
        metadata = load_state(trainer, args.resume)
        start = float(metadata["progress"]) if args.start is None else args.start
        if metadata["tokenizer"] != config["tokenizer"]:
            raise SystemExit("the tokenizer is not the one that the earlier run was trained with")
    log.event(parameters=trainer.parameters, start=start, processes=team.size)

    # Other scenes for every part of the training, and in every process.
    rng = np.random.default_rng([args.seed, trainer.steps, team.rank])
    pools, tables = [], []
    for pool in fill(BUCKETS[args.size], encoders, captions, rng, args.encode_seconds):
        pools.append(pool)
        tables.append(
            network.tables(
                encoders.video_tools(pool.bucket), encoders.audio_tools(pool.bucket), pool.bucket.keyframes
            )
        )
        log.event(encoded=pool.bucket.name, scenes=pool.scenes)
    negative = Negative(trainer, network, captions)
    data = Data(pools, tables, rng, args.tokens, args.clips, negative.contexts())
    sizes = BUCKETS[args.size][:2] if first else ()
    unseen = list(validations(encoders, captions, network, sizes, 8 if len(pools) < 4 else 128))
    log.event(batches=" ".join(f"{p.bucket.name}:{data.size(p)}" for p in pools))

    def validate() -> None:
        """The loss of the moving average on unseen scenes, always with the same noise."""
        fixed_rng = np.random.default_rng(0)
        contexts = negative.contexts(ema=True)
        network.update(tree_map(lambda w: w.astype(trainer.dtype), trainer.ema))
        for pool, table in unseen:
            check = Data([pool], [table], fixed_rng, 10**9, pool.scenes, contexts)
            _, metrics = loss(*flattened(check.batch(0)))
            log.event(
                unseen=pool.bucket.name,
                **{name: round(cast(float, value.item()), 5) for name, value in metrics.items()},
            )

    def save(progress: float) -> None:
        """The state to go on from, and the file of the stage. The network has the weights of the latter
        afterwards: rounded to bfloat16, so that what is looked at is what is shipped."""
        metadata = {"tokenizer": config["tokenizer"], "progress": str(progress)}
        save_state(trainer, args.out, metadata, args.moments)
        network.update(tree_map(lambda w: w.astype(mx.bfloat16).astype(trainer.dtype), trainer.ema))
        save_diffusion(args.out / "diffusion.safetensors", network, config, mx.bfloat16)

    until = max(0.5, 1 - RESERVE / max(clock.seconds, 1e-6))
    timed: list[float] = []
    # All processes take the same steps: of the same sizes, at the same rates.
    pace, plan = Pace(team, clock), np.random.default_rng([args.seed, trainer.steps])
    first_step, checked, grown = trainer.steps, -1, clock.elapsed
    begin = now = min(pace.fraction(), until - 1e-6)
    while now < until:
        progress = start + (args.to - start) * (now - begin) / (until - begin)
        since = trainer.steps - first_step
        if since and since % 100 == 0:
            trainer.synchronize()
            data.negative = negative.contexts()
            added = grow(pools, rng, args.grow * (clock.elapsed - grown))
            grown = clock.elapsed
            log.event(added=added, scenes=sum(pool.scenes for pool in pools))
        if MEASURED[0] <= since <= MEASURED[1]:
            mx.eval(trainer.state)
            timed.append(clock.elapsed)
            if since == MEASURED[1]:
                # The median: a size that comes for the first time takes seconds.
                data.fit(args.step_ms, team.agreed(1000 * float(np.median(np.diff(timed)))))
                log.event(tokens=data.tokens, clips=data.largest)
        if first and math.floor(6 * now) > checked:
            checked = math.floor(6 * now)
            validate()
            if since:
                save(progress)
        which = data.choose(progress, plan)
        rate = warm_cosine(progress, since, args.lr, 300)
        batch = data.batch(which)
        log.add(trainer.steps, trainer.step(rate, *flattened(batch)), rate=rate, progress=round(progress, 3))
        now = pace.fraction()

    if first:
        validate()
        contexts = negative.contexts(ema=True)
        save(args.to)
        show(network, encoders, captions, contexts, args)
    log.event(done=args.out.name, steps=trainer.steps)


def show(
    network: Diffusion,
    encoders: Encoders,
    captions: Captions,
    negative: Contexts,
    args: argparse.Namespace,
) -> None:
    """Clips of the network as it is."""
    sigmas = np.array(LTX2Scheduler().execute(4 if args.size == "tiny" else 24)).tolist()
    step = stepper(network, negative, guidance=2.0)
    preview = Preview(network, encoders, captions, args.video_vae)
    preview.draw(args.out, BUCKETS[args.size][:2], step, sigmas)


if __name__ == "__main__":
    main()
