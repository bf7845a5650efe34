"""An in-context LoRA: the prompt's thing moves as a silhouette in a reference video does.

    python -m ltx_pocket.train.ic_lora --out runs/ic_lora --minutes 2 \\
        --base runs/transformer/diffusion.safetensors --distilled runs/distill/distilled_lora.safetensors \\
        --tokenizer runs/gemma \\
        --video-vae runs/video_vae/video_vae.safetensors --audio-vae runs/audio_vae/audio_vae.safetensors

The reference shows a scene's first thing in white on black, often as another shape of another size. Its
tokens stand behind those of the clip, clean and at the same places, as the pipeline puts them there. The loss
is that of a rectified flow: reference and a complete caption leave little open, so that the ways to the clips
are almost straight, and a few steps are enough for them. Captions leave out the motion more often than not.
With `--distilled` the LoRA is trained on top of that one, mostly at the noise levels of its first stage, the
one that the pipeline has it in.
Writes `ic_lora.safetensors` (official LoRA format, bfloat16), `log.jsonl` and samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
from ltx_core.conditioning import VideoConditionByReferenceLatent
from ltx_core.schedulers import DISTILLED_SIGMA_VALUES, LTX2Scheduler
from ltx_loaders import Checkpoint
from ltx_models.video_vae import VideoDecoder

from ltx_pocket.train.adapters import Adapters
from ltx_pocket.train.batches import GRID, levels
from ltx_pocket.train.common import run
from ltx_pocket.train.data import held_out
from ltx_pocket.train.diffusion import Diffusion, Tables, of_tokens
from ltx_pocket.train.distill import make_loss
from ltx_pocket.train.latents import Bucket, Encoders
from ltx_pocket.train.loras import Workshop, adapted, lora_arguments, of_pictures
from ltx_pocket.train.pairs import Pairs, encode_view, fill_pairs
from ltx_pocket.train.samples import write_grid
from ltx_pocket.train.sampling import State, denoise, stepper
from ltx_pocket.train.trainer import Trainer
from ltx_pocket.world import SHAPES, SIZES, Scene, pack, sample_scene, silhouettes
from ltx_pocket.world.captions import caption_with_parts
from ltx_pocket.world.vocabulary import ROUND_SHAPES

IMAGE = 0.1
"""Part of the clips that start from a given first frame."""

UNTOLD = 0.7
"""Part of the captions that leave out the motion."""

BUCKETS = {
    # What the first stage makes.
    "pocket": (
        Bucket(128, 128, 33, 0.8, 8192),
        Bucket(96, 96, 33, 0.1, 1024),
        Bucket(128, 192, 33, 0.05, 768),
        Bucket(192, 128, 33, 0.05, 768),
    ),
    "tiny": (Bucket(64, 64, 9, 0.5, 8), Bucket(64, 128, 9, 0.5, 4)),
}


def disguised(scene: Scene, rng: np.random.Generator) -> Scene:
    """Its first thing alone, which moves as it did, but may have another shape and size."""
    thing = scene.things[0]
    shapes = [shape for shape in SHAPES if not (thing.motion == "spin" and shape in ROUND_SHAPES)]
    if rng.random() < 0.7:
        thing = replace(thing, shape=shapes[int(rng.integers(len(shapes)))])
    if rng.random() < 0.3:
        thing = replace(thing, size=SIZES[int(rng.integers(len(SIZES)))])
    return replace(scene, things=(thing,))


def write(scene: Scene, rng: np.random.Generator) -> str:
    """A caption that leaves out the motion or nothing."""
    without = ("motion",) if rng.random() < UNTOLD else ()
    return caption_with_parts(scene, rng, complete=True, without=without)[0]


@dataclass(frozen=True)
class References:
    """References that are some times smaller than the clips, along each side."""

    downscale: int = 1

    def size(self, bucket: Bucket) -> tuple[int, int, int, float]:
        """Height, width, frames, frame rate."""
        return (
            bucket.height // self.downscale,
            bucket.width // self.downscale,
            bucket.num_frames,
            bucket.frame_rate,
        )

    def view(self, scenes: Sequence[Scene], bucket: Bucket, rng: np.random.Generator) -> mx.array:
        """Pictures (B, F, H, W, 3) in [0, 1]."""
        return silhouettes(pack([disguised(scene, rng) for scene in scenes]), *self.size(bucket))

    def positions(self, encoders: Encoders, bucket: Bucket) -> mx.array:
        """Of the tokens of a clip and its reference, (1, 3, T, 2)."""
        tools = encoders.video_tools(bucket)
        shape = tools.target_shape
        small = shape._replace(height=shape.height // self.downscale, width=shape.width // self.downscale)
        item = VideoConditionByReferenceLatent(mx.zeros(small.to_shape()), self.downscale)
        return item.apply_to(tools.create_initial_state(), tools).positions

    def tables(self, network: Diffusion, encoders: Encoders, bucket: Bucket) -> Tables:
        """Rotations for them."""
        sound = encoders.audio_tools(bucket).positions()
        return network.tables_at(self.positions(encoders, bucket), sound)

    def given(self, encoders: Encoders, bucket: Bucket, images: np.ndarray) -> mx.array:
        """(B, G) bool: what is given, by groups of as many tokens as a frame of the reference has.

        Args:
            images: (B,) bool, clips that start from a given first frame.
        """
        frames, groups = encoders.video_tools(bucket).target_shape.frames, self.downscale**2
        given = np.zeros((len(images), frames * (groups + 1)), bool)
        given[:, :groups] = images[:, None]
        given[:, frames * groups :] = True
        return mx.array(given)


def batches(
    workshop: Workshop,
    references: References,
    pairs: list[Pairs],
    tables: list[Tables],
    network: Diffusion,
) -> Iterator[tuple[mx.array, ...]]:
    """As the loss of the distillation takes them, without end.

    Args:
        network: for the contexts of captions.
    """
    rng = workshop.rng
    while True:
        which, drawn, steps = workshop.draw(pairs, lambda which: False)
        own, size = pairs[which], len(steps)
        sigma = mx.array(steps / GRID, mx.float32)[:, None, None]
        fixed = references.given(workshop.encoders, own.bucket, rng.random(size) < IMAGE)
        clean = mx.concatenate([drawn.video, drawn.other], axis=1)
        first, second = mx.random.split(mx.random.key(int(rng.integers(2**62))))
        noise = mx.random.normal(clean.shape, key=first)
        hiss = mx.random.normal(drawn.audio.shape, key=second)
        video = mx.where(of_tokens(fixed, clean.shape[1]), clean, clean + sigma * (noise - clean))
        audio = drawn.audio + sigma * (hiss - drawn.audio)
        contexts = network.contexts(drawn.ids, drawn.lengths)
        batch = video, audio, noise - clean, hiss - drawn.audio, fixed, *contexts
        yield (*batch, levels()[mx.array(steps)], *tables[which])


def main() -> None:
    parser = lora_arguments(__doc__, minutes=2, rank=4)
    parser.add_argument("--downscale", type=int, default=1, help="clip size / reference size")
    args = parser.parse_args()
    workshop, references = Workshop.open(args), References(args.downscale)
    encoders, log = workshop.encoders, workshop.log
    network = workshop.network()
    pairs = fill_pairs(
        BUCKETS[args.size],
        encoders,
        workshop.captions,
        workshop.rng,
        args.encode_seconds,
        sample_scene,
        references.view,
        write,
    )
    log.event(scenes=sum(len(own.video) for own in pairs))
    tables = [references.tables(network, encoders, own.bucket) for own in pairs]
    adapters = Adapters(network.transformer, args.rank, of_pictures)
    trainer = Trainer(adapters, make_loss(adapters, network), ema_decay=0.995, fused=args.fused)
    log.event(parameters=trainer.parameters)
    endless = batches(workshop, references, pairs, tables, network)
    run(trainer, endless, workshop.clock, log, learning_rate=args.lr, until=workshop.until())
    trainer.install(ema=True)
    metadata = {"reference_downscale_factor": str(args.downscale)}
    workshop.save("ic_lora.safetensors", adapters, **metadata)
    draw_following(args.out / "samples.png", workshop, references, adapted(workshop, adapters), tables[0])
    log.event(done=args.out.name)


def draw_following(
    path: Path, workshop: Workshop, references: References, network: Diffusion, tables: Tables, count: int = 8
) -> None:
    """Clips of unseen scenes without a word of their motion: references to the left, five frames of each."""
    encoders, bucket = workshop.encoders, BUCKETS[workshop.args.size][0]
    rng = np.random.default_rng(0)
    scenes = held_out(count, 2)
    shown = references.view(scenes, bucket, rng)
    texts = [caption_with_parts(scene, rng, complete=True, without=("motion",))[0] for scene in scenes]
    ids, lengths = workshop.captions.encode(texts)
    contexts = network.contexts(mx.array(ids), mx.array(lengths))
    tools, audio_tools = encoders.video_tools(bucket), encoders.audio_tools(bucket)
    first, second = mx.random.split(mx.random.key(0))
    noise = mx.random.normal((count, tools.num_tokens, encoders.video_channels), key=first)
    video = mx.concatenate([noise, encode_view(encoders, shown).astype(mx.float32)], axis=1)
    audio = mx.random.normal((count, audio_tools.num_tokens, encoders.audio_features), key=second)
    state = State(video, audio, references.given(encoders, bucket, np.zeros(count, bool)))
    sigmas = (
        DISTILLED_SIGMA_VALUES if workshop.args.distilled else np.array(LTX2Scheduler().execute(20)).tolist()
    )
    made = denoise(stepper(network), state, sigmas, contexts, tables)
    decoder = Checkpoint.open(workshop.args.video_vae).build("video_decoder", encoders.dtype)
    assert isinstance(decoder, VideoDecoder)
    rows = []
    frames = np.linspace(0, bucket.num_frames - 1, 5).astype(int).tolist()
    for tokens, reference in zip(made.video, shown, strict=True):
        latent = tools.patchifier.unpatchify(tokens[None, : tools.num_tokens], tools.target_shape)
        clip = (decoder(latent).astype(mx.float32)[0].transpose(1, 2, 3, 0) + 1) / 2
        stretched = mx.repeat(mx.repeat(reference, references.downscale, 1), references.downscale, 2)
        rows.append(mx.concatenate([stretched[frames], clip[frames]], axis=0))
    write_grid(path, rows)


if __name__ == "__main__":
    main()
