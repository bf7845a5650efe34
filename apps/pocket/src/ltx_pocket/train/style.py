"""An example of a style LoRA: things of neon in place of solid ones, whatever the prompt.

    python -m ltx_pocket.train.style --out runs/style --minutes 1.5 \\
        --base runs/transformer/diffusion.safetensors --distilled runs/distill/distilled_lora.safetensors \\
        --tokenizer runs/gemma \\
        --video-vae runs/video_vae/video_vae.safetensors --audio-vae runs/audio_vae/audio_vae.safetensors

Every scene is there in both styles, and the two differ by a known way in the latents. So the loss need not
be that of a rectified flow, whose target is mostly noise, and whose means would undo what the distillation
has made sharp: the model without the LoRA says where it goes from the noisy solid scene, and with the LoRA it
is to go there from the noisy neon scene, with the same noise, plus the way between the two. The sound stays.
With `--distilled` the LoRA is trained on top of that one, mostly at the noise levels of its schedule.
Writes `style.safetensors` (official LoRA format, bfloat16), `log.jsonl` and samples.
"""

from collections.abc import Iterator, Sequence

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from ltx_core.schedulers import DISTILLED_SIGMA_VALUES, LTX2Scheduler

from ltx_pocket.train.adapters import Adapters
from ltx_pocket.train.batches import GRID, levels
from ltx_pocket.train.common import run
from ltx_pocket.train.diffusion import Diffusion, Stream, Tables
from ltx_pocket.train.distill import make_loss
from ltx_pocket.train.given import IMAGE
from ltx_pocket.train.latents import Bucket
from ltx_pocket.train.loras import Workshop, adapted, lora_arguments, of_pictures, plain_tables
from ltx_pocket.train.pairs import Pairs, fill_pairs
from ltx_pocket.train.preview import Preview
from ltx_pocket.train.sampling import noised, stepper
from ltx_pocket.train.trainer import Trainer
from ltx_pocket.world import Scene, caption, pack, render, sample_scene

BUCKETS = {
    "pocket": (
        Bucket(128, 128, 33, 0.5, 6144),
        Bucket(256, 256, 33, 0.4, 2048),
        Bucket(192, 192, 33, 0.1, 1024),
    ),
    "tiny": (Bucket(64, 64, 9, 0.5, 8), Bucket(96, 96, 9, 0.5, 4)),
}


def neon(scenes: Sequence[Scene], bucket: Bucket, _: np.random.Generator) -> mx.array:
    """The view of scenes that is learnt."""
    size = bucket.height, bucket.width, bucket.num_frames, bucket.frame_rate
    return render(pack(scenes), *size, "neon")


def batches(
    workshop: Workshop, pairs: list[Pairs], tables: list[Tables], teacher: Diffusion
) -> Iterator[tuple[mx.array, ...]]:
    """As the loss of the distillation takes them, without end.

    Args:
        teacher: the model without the LoRA.
    """
    rng = workshop.rng
    while True:
        which, drawn, steps = workshop.draw(pairs, lambda which: which > 0)
        own, size = pairs[which], len(steps)
        level, sigma = levels()[mx.array(steps)], mx.array(steps / GRID, mx.float32)[:, None, None]
        contexts = teacher.contexts(drawn.ids, drawn.lengths)
        frames = np.zeros((size, (own.bucket.num_frames - 1) // 8 + 1), bool)
        frames[:, 0] = rng.random(size) < IMAGE
        fixed, key = mx.array(frames), mx.random.key(int(rng.integers(2**62)))
        # The same noise for both.
        solid = noised(drawn.video, drawn.audio, fixed, sigma, key)
        lit = noised(drawn.other, drawn.audio, fixed, sigma, key)
        video, audio = teacher.velocities(
            Stream(solid.video, level, contexts[0], fixed),
            Stream(solid.audio, level, contexts[1]),
            tables[which],
        )
        target = video.astype(mx.float32) - (drawn.other - drawn.video)
        batch = lit.video, lit.audio, target, audio.astype(mx.float32), fixed, *contexts, level
        yield (*batch, *tables[which])


def main() -> None:
    args = lora_arguments(__doc__, minutes=1.5, rank=2).parse_args()
    workshop = Workshop.open(args)
    encoders, captions, log = workshop.encoders, workshop.captions, workshop.log
    teacher, network = workshop.network(), workshop.network()
    pairs = fill_pairs(
        BUCKETS[args.size],
        encoders,
        captions,
        workshop.rng,
        args.encode_seconds,
        sample_scene,
        neon,
        caption,
    )
    log.event(scenes=sum(len(own.video) for own in pairs))
    tables = [plain_tables(network, encoders, own) for own in pairs]
    adapters = Adapters(network.transformer, args.rank, of_pictures)
    trainer = Trainer(adapters, make_loss(adapters, network), ema_decay=0.995, fused=args.fused)
    log.event(parameters=trainer.parameters)
    endless = batches(workshop, pairs, tables, teacher)
    run(trainer, endless, workshop.clock, log, learning_rate=args.lr, until=workshop.until())
    trainer.install(ema=True)
    workshop.save("style.safetensors", adapters)

    step = stepper(adapted(workshop, adapters))
    sigmas = DISTILLED_SIGMA_VALUES if args.distilled else np.array(LTX2Scheduler().execute(20)).tolist()
    preview = Preview(network, encoders, captions, args.video_vae)
    preview.draw(args.out, BUCKETS[args.size][:1], step, sigmas)
    log.event(done=args.out.name)


if __name__ == "__main__":
    main()
