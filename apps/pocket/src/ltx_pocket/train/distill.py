"""Few steps without guidance: a LoRA that leads from one noise level of the distilled schedule to the next.

    python -m ltx_pocket.train.distill --out runs/distill --minutes 4 \\
        --teacher runs/transformer/diffusion.safetensors \\
        --tokenizer runs/gemma \\
        --video-vae runs/video_vae/video_vae.safetensors --audio-vae runs/audio_vae/audio_vae.safetensors

The guided teacher walks from noise to clips in small steps; where it stands at the sigmas of the distilled
schedule is kept. Between two of them the student learns the straight way, without guidance: plain regression,
since the teacher's way is determined by where it starts. In the second half the student walks itself, and the
teacher shows it the way on from the places where it gets to.
Writes `distilled_lora.safetensors` (official LoRA format, bfloat16), `log.jsonl` and `samples.png`.
"""

from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from ltx_core.schedulers import DISTILLED_SIGMA_VALUES, STAGE_2_DISTILLED_SIGMA_VALUES
from ltx_pipelines.defaults import NEGATIVE_PROMPT

from ltx_pocket.configs_text import MAX_LENGTH
from ltx_pocket.train.adapters import Adapters
from ltx_pocket.train.common import Clock, Log, arguments, warm_cosine
from ltx_pocket.train.diffusion import Diffusion, Stream, Tables, of_tokens
from ltx_pocket.train.latents import Bucket, Captions, Encoders, fill
from ltx_pocket.train.preview import Preview
from ltx_pocket.train.rough import RoughEncoders
from ltx_pocket.train.sampling import Step, stepper
from ltx_pocket.train.trainer import Loss, Metrics, Trainer
from ltx_pocket.train.walks import Course, Source
from ltx_pocket.train.weights import fingerprint, load_diffusion

AUDIO_WEIGHT = 0.5
RESERVE = 20.0


def _courses(size: str) -> tuple[Course, ...]:
    first, second = tuple(DISTILLED_SIGMA_VALUES), tuple(STAGE_2_DISTILLED_SIGMA_VALUES)

    def course(
        height: int, width: int, frames: int, sigmas: tuple[float, ...], share: float, number: int
    ) -> Course:
        return Course(Bucket(height, width, frames, share, min(number, 2048)), sigmas, share, number)

    if size == "tiny":
        return course(64, 64, 9, first, 0.6, 4), course(64, 128, 9, second, 0.4, 4)
    return (
        course(128, 128, 33, first, 0.42, 16384),
        course(256, 256, 33, second, 0.26, 5120),
        # One stage at the full size.
        course(256, 256, 33, first, 0.06, 1024),
        course(96, 96, 33, first, 0.03, 1024),
        course(192, 192, 33, second, 0.03, 768),
        course(160, 160, 33, first, 0.03, 1024),
        course(320, 320, 33, second, 0.03, 512),
        course(128, 192, 33, first, 0.02, 1024),
        course(256, 384, 33, second, 0.02, 512),
        course(192, 128, 33, first, 0.02, 1024),
        course(384, 256, 33, second, 0.02, 512),
        course(128, 128, 17, first, 0.015, 768),
        course(256, 256, 17, second, 0.015, 512),
        course(128, 128, 65, first, 0.015, 768),
        course(256, 256, 65, second, 0.015, 384),
    )


def make_loss(adapters: Adapters, network: Diffusion) -> Loss:
    """The loss of a batch: places, targets, what is given, noise levels, contexts, rotations."""

    def loss(
        video: mx.array,
        audio: mx.array,
        video_target: mx.array,
        audio_target: mx.array,
        fixed: mx.array,
        video_context: mx.array,
        audio_context: mx.array,
        level: mx.array,
        *tables: mx.array,
    ) -> tuple[mx.array, Metrics]:
        adapters.adapt()
        velocities = network.velocities(
            Stream(video, level, video_context, fixed), Stream(audio, level, audio_context), Tables(*tables)
        )
        made = 1 - of_tokens(fixed, video.shape[1]).astype(mx.float32)
        error = mx.square(velocities[0].astype(mx.float32) - video_target.astype(mx.float32)) * made
        video_loss = error.sum() / (made.sum() * video.shape[-1])
        audio_loss = mx.square(velocities[1].astype(mx.float32) - audio_target.astype(mx.float32)).mean()
        return video_loss + AUDIO_WEIGHT * audio_loss, {"video": video_loss, "audio": audio_loss}

    return loss


def main() -> None:
    parser = arguments(__doc__, minutes=4)
    parser.add_argument(
        "--teacher", type=Path, required=True, help="diffusion.safetensors, or a packed model's folder"
    )
    parser.add_argument("--video-vae", type=Path, required=True)
    parser.add_argument("--audio-vae", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument(
        "--spatial-upscaler", type=Path, help="the second stage starts from what it makes, half of the times"
    )
    parser.add_argument("--guidance", type=float, default=2.0, help="of the teacher")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--tokens", type=int, default=98304, help="tokens in a batch")
    parser.add_argument("--encode-seconds", type=float, default=25, help="time for encoding scenes")
    parser.add_argument(
        "--walk-seconds", type=float, default=60, help="time for the teacher's ways, at first"
    )
    args = parser.parse_args()
    if args.resume:
        raise SystemExit("a distillation is one run; --resume is for the other stages")
    clock = Clock(args.minutes)
    log = Log(args.out, clock)
    mx.random.seed(args.seed)
    rng = np.random.default_rng([args.seed, 1])
    encoders, captions = Encoders(args.video_vae, args.audio_vae), Captions(args.tokenizer)
    teacher_network, config = load_diffusion(args.teacher, encoders.dtype)
    network, _ = load_diffusion(args.teacher, encoders.dtype)
    if config["tokenizer"] != fingerprint(args.tokenizer):
        raise SystemExit("the tokenizer is not the one that the teacher was trained with")

    courses = _courses(args.size)
    # Sizes occur with more than one schedule; their scenes are encoded once.
    buckets = list({course.bucket.shape: course.bucket for course in courses}.values())
    encoders_of = dict.fromkeys((bucket.shape for bucket in buckets), encoders)
    if args.spatial_upscaler:
        rough = RoughEncoders(args.video_vae, args.audio_vae, args.spatial_upscaler)
        encoders_of |= {course.bucket.shape: rough for course in courses if course.sigmas[0] < 1}
    own = [encoders_of[bucket.shape] for bucket in buckets]
    pools = {pool.bucket.shape: pool for pool in fill(buckets, own, captions, rng, args.encode_seconds)}
    sources = []
    for course in courses:
        tables = network.tables(encoders.video_tools(course.bucket), encoders.audio_tools(course.bucket))
        sources.append(Source(course, pools[course.bucket.shape], tables, []))
    ids, lengths = captions.encode([NEGATIVE_PROMPT], MAX_LENGTH)
    negative = teacher_network.contexts(mx.array(ids), mx.array(lengths))
    teacher = stepper(teacher_network, negative, args.guidance)
    log.event(scenes=sum(pool.scenes for pool in pools.values()))

    def size(source: Source) -> int:
        return int(np.clip(args.tokens // source.tokens // 8 * 8, 1, 512))

    def walks(seconds: float, student: Step | None = None) -> None:
        """Ways for every course, each for its part of the time, at least one batch."""
        begin = clock.elapsed
        work = np.cumsum([s.course.trajectories * s.tokens * len(s.course.sigmas) for s in sources])
        for source, done in zip(sources, work / work[-1], strict=True):
            number = 0
            while number < source.course.trajectories:
                source.grow(size(source), rng, network, teacher, student)
                number += size(source)
                if clock.elapsed - begin > seconds * done:
                    break
            name, levels = source.course.bucket.name, len(source.course.sigmas) - 1
            log.event(course=name, levels=levels, ways=number, student=int(student is not None))

    walks(args.walk_seconds)
    adapters = Adapters(network.transformer, args.rank)
    trainer = Trainer(adapters, make_loss(adapters, network), ema_decay=0.998, fused=args.fused)
    log.event(parameters=trainer.parameters)

    shares = np.array([course.share for course in courses])
    until = max(0.7, 1 - RESERVE / max(clock.seconds, 1e-6))
    begin, own_ways = min(clock.fraction, until - 1e-6), False
    while clock.fraction < until:
        progress = (clock.fraction - begin) / (until - begin)
        if progress > 0.5 and not own_ways:
            own_ways = True
            trainer.install(ema=True)
            walks(args.walk_seconds / 3, student_step(adapters, args.teacher, encoders.dtype))
        source = sources[rng.choice(len(sources), p=shares / shares.sum())]
        rate = warm_cosine(progress, trainer.steps, args.lr)
        log.add(trainer.steps, trainer.step(rate, *source.batch(rng, size(source))), rate=rate)

    trainer.install(ema=True)
    step = student_step(adapters, args.teacher, encoders.dtype)
    for source in sources[:2]:
        log.event(
            course=source.course.bucket.name, **source.compare(size(source), rng, network, teacher, step)
        )
    mx.save_safetensors(
        str(args.out / "distilled_lora.safetensors"),
        adapters.official(),
        {"format": "pt", "rank": str(args.rank)},
    )
    preview = Preview(network, encoders, captions, args.video_vae)
    preview.draw(args.out, buckets[:2], step, DISTILLED_SIGMA_VALUES)
    log.event(done=args.out.name)


def student_step(adapters: Adapters, teacher: Path, dtype: mx.Dtype) -> Step:
    """Steps of the student with its weights as they are now, in a network of its own."""
    network, _ = load_diffusion(teacher, dtype)
    weights = [(name, weight.astype(dtype)) for name, weight in adapters.weights()]
    network.transformer.load_weights(weights, strict=False)
    mx.eval(network.parameters())
    return stepper(network)


if __name__ == "__main__":
    main()
