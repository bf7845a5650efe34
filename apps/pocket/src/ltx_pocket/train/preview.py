"""Clips that a network in training makes, as a picture: a row for each prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
from ltx_loaders import Checkpoint
from ltx_models.video_vae import VideoDecoder

from ltx_pocket.train.data import held_out
from ltx_pocket.train.diffusion import Diffusion
from ltx_pocket.train.latents import Bucket, Captions, Encoders
from ltx_pocket.train.samples import write_grid
from ltx_pocket.train.sampling import Step, denoise, noised
from ltx_pocket.world import canonical

PROMPTS = (
    "a red ball bouncing over the sea",
    "a big yellow star spinning in the night sky with a rising tone",
    "a small green square moving right on a white background, silent",
    "a purple heart growing on a black background",
    "a blue ring moving in a circle in the rain, with the sound of rain",
    "a pink triangle falling in the sky and an orange ball",
)


def prompts(count: int) -> list[str]:
    """The same ones every time: some by hand, then those of unseen scenes."""
    return [*PROMPTS, *(canonical(scene) for scene in held_out(max(0, count - len(PROMPTS)), 1))][:count]


@dataclass(frozen=True)
class Preview:
    """What sample clips need besides the way from noise to them.

    Attributes:
        network: for contexts and rotations.
        video_vae: the file with the decoder.
    """

    network: Diffusion
    encoders: Encoders
    captions: Captions
    video_vae: Path

    def draw(
        self, folder: Path, buckets: Sequence[Bucket], step: Step, sigmas: Sequence[float], count: int = 12
    ) -> None:
        """Clips of some sizes from noise, decoded; write five frames of each (`samples-*.png`)."""
        decoder = Checkpoint.open(self.video_vae).build("video_decoder", self.encoders.dtype)
        assert isinstance(decoder, VideoDecoder)
        ids, lengths = self.captions.encode(prompts(count))
        contexts = self.network.contexts(mx.array(ids), mx.array(lengths))
        for bucket in buckets:
            tools, audio_tools = self.encoders.video_tools(bucket), self.encoders.audio_tools(bucket)
            video = mx.zeros((count, tools.num_tokens, self.encoders.video_channels))
            audio = mx.zeros((count, audio_tools.num_tokens, self.encoders.audio_features))
            fixed = mx.zeros((count, tools.target_shape.frames), mx.bool_)
            noise = noised(video, audio, fixed, 1.0, mx.random.key(0))
            made = denoise(step, noise, sigmas, contexts, self.network.tables(tools, audio_tools))
            rows = []
            for clip in made.video:
                latent = tools.patchifier.unpatchify(clip[None], tools.target_shape)
                frames = (decoder(latent).astype(mx.float32)[0].transpose(1, 2, 3, 0) + 1) / 2
                rows.append(frames[np.linspace(0, frames.shape[0] - 1, 5).astype(int).tolist()])
            write_grid(folder / f"samples-{bucket.height}.png", rows)
