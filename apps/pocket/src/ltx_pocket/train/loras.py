"""What the trainings of LoRAs on the finished model share: options, the model, noise levels, the file."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
from ltx_core.schedulers import DISTILLED_SIGMA_VALUES, STAGE_2_DISTILLED_SIGMA_VALUES
from ltx_loaders import Lora, fuse_loras

from ltx_pocket.train.adapters import Adapters
from ltx_pocket.train.batches import GRID, draw_sigmas
from ltx_pocket.train.common import Clock, Log, arguments
from ltx_pocket.train.diffusion import Diffusion, Tables
from ltx_pocket.train.latents import Captions, Encoders
from ltx_pocket.train.pairs import Drawn, Pairs
from ltx_pocket.train.weights import fingerprint, load_diffusion

ANYWHERE = 0.2
"""Part of the clips whose noise level is none of the distilled schedule: for pipelines with more steps."""

RESERVE = 8.0
"""Seconds at the end for files and samples."""


def lora_arguments(description: str | None, *, minutes: float, rank: int) -> argparse.ArgumentParser:
    """The options of these trainings."""
    parser = arguments(description, minutes=minutes)
    parser.add_argument(
        "--base", type=Path, required=True, help="diffusion.safetensors, or a packed model's folder"
    )
    parser.add_argument("--distilled", type=Path, help="distilled LoRA to train on top of")
    parser.add_argument("--video-vae", type=Path, required=True)
    parser.add_argument("--audio-vae", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument("--rank", type=int, default=rank)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--tokens", type=int, default=49152, help="tokens in a batch")
    parser.add_argument("--encode-seconds", type=float, default=15, help="time for encoding scenes")
    return parser


def of_pictures(name: str) -> bool:
    """Whether a layer of the transformer is the pictures' own: what it does to the sound, the sound hears."""
    block = name.split(".")
    return name in ("patchify_proj", "proj_out") or (len(block) > 2 and block[2] in ("attn1", "attn2", "ff"))


@dataclass(frozen=True)
class Workshop:
    """What a training starts with."""

    args: argparse.Namespace
    clock: Clock
    log: Log
    rng: np.random.Generator
    encoders: Encoders
    captions: Captions

    @staticmethod
    def open(args: argparse.Namespace) -> "Workshop":
        """From the options."""
        if args.resume:
            raise SystemExit("the training of a LoRA is one run; --resume is for the other stages")
        clock = Clock(args.minutes)
        mx.random.seed(args.seed)
        encoders, captions = Encoders(args.video_vae, args.audio_vae), Captions(args.tokenizer)
        rng = np.random.default_rng([args.seed, 3])
        return Workshop(args, clock, Log(args.out, clock), rng, encoders, captions)

    def until(self) -> float:
        """Fraction of the time after which there are no more steps; there are some in any case."""
        return max(self.clock.fraction + 0.2, 1 - RESERVE / max(self.clock.seconds, 1e-6))

    def network(self) -> Diffusion:
        """The model, with the distilled LoRA in it if there is one."""
        network, config = load_diffusion(self.args.base, self.encoders.dtype)
        if config["tokenizer"] != fingerprint(self.args.tokenizer):
            raise SystemExit("the tokenizer is not the one that the model was trained with")
        if self.args.distilled:
            fuse_loras(network.transformer, [(Lora.open(self.args.distilled), 1.0)])
        mx.eval(network.parameters())
        return network

    def size(self, pairs: Pairs) -> int:
        """Clips in a batch."""
        return int(np.clip(self.args.tokens // pairs.tokens // 8 * 8, 2, 512))

    def levels(self, size: int, tokens: int, second_stage: bool) -> np.ndarray:
        """Noise levels (size,), multiples of 1 / GRID: stops of the distilled schedule, and others.

        Args:
            tokens: of a clip's video.
            second_stage: whether clips of this size are refined, not made from noise.
        """
        others = draw_sigmas(self.rng, size, tokens)
        if not self.args.distilled:
            return np.rint(GRID * others).astype(np.int32).clip(1)
        schedule = STAGE_2_DISTILLED_SIGMA_VALUES if second_stage else DISTILLED_SIGMA_VALUES
        stops = self.rng.choice(np.array(schedule[:-1], np.float32), size=size)
        chosen = np.where(self.rng.random(size) < ANYWHERE, others, stops)
        return np.rint(GRID * chosen).astype(np.int32).clip(1)

    def draw(
        self, pairs: Sequence[Pairs], second_stage: Callable[[int], bool]
    ) -> tuple[int, Drawn, np.ndarray]:
        """A bucket at random by the shares, a batch of its pairs, and their noise levels.

        Args:
            second_stage: as of `levels`, for the bucket of a number.
        """
        shares = np.array([own.bucket.share for own in pairs])
        which = int(self.rng.choice(len(pairs), p=shares / shares.sum()))
        own = pairs[which]
        size = self.size(own)
        drawn = own.draw(self.rng, size)
        return which, drawn, self.levels(size, own.video.shape[1], second_stage(which))

    def save(self, name: str, adapters: Adapters, **metadata: str) -> None:
        """Write the official file."""
        tags = {"format": "pt", "rank": str(self.args.rank), **metadata}
        mx.save_safetensors(str(self.args.out / name), adapters.official(), tags)


def adapted(workshop: Workshop, adapters: Adapters) -> Diffusion:
    """A network of its own with the adapters' weights as they are now."""
    network, dtype = workshop.network(), workshop.encoders.dtype
    weights = [(name, weight.astype(dtype)) for name, weight in adapters.weights()]
    network.transformer.load_weights(weights, strict=False)
    mx.eval(network.parameters())
    return network


def plain_tables(network: Diffusion, encoders: Encoders, pairs: Pairs) -> Tables:
    """Rotations for the clips alone."""
    return network.tables(encoders.video_tools(pairs.bucket), encoders.audio_tools(pairs.bucket))
