"""Clips that a network in training makes, as a picture: a row for each prompt."""

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import numpy as np
from ltx_loaders import Checkpoint
from ltx_models.video_vae import VideoDecoder

from ltx_pocket.train.data import held_out
from ltx_pocket.train.diffusion import Contexts, Diffusion, Tables
from ltx_pocket.train.latents import Bucket, Captions, Encoders
from ltx_pocket.train.samples import write_grid
from ltx_pocket.train.sampling import State, noised
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


def draw_samples(
    path: Path,
    denoise: Callable[[State, Contexts, Tables], State],
    network: Diffusion,
    encoders: Encoders,
    captions: Captions,
    video_vae: Path,
    bucket: Bucket,
    count: int = 12,
) -> None:
    """Make clips from noise, decode them, and write five frames of each."""
    decoder = Checkpoint.open(video_vae).build("video_decoder", encoders.dtype)
    assert isinstance(decoder, VideoDecoder)
    video_tools, audio_tools = encoders.video_tools(bucket), encoders.audio_tools(bucket)
    tables = network.tables(video_tools, audio_tools)
    ids, lengths = captions.encode(prompts(count))
    contexts = network.contexts(mx.array(ids), mx.array(lengths))
    video = mx.zeros((count, video_tools.num_tokens, encoders.video_channels))
    audio = mx.zeros((count, audio_tools.num_tokens, encoders.audio_features))
    fixed = mx.zeros((count, video_tools.target_shape.frames), mx.bool_)
    made = denoise(noised(video, audio, fixed, 1.0, mx.random.key(0)), contexts, tables)
    rows = []
    for clip in made.video:
        latent = video_tools.patchifier.unpatchify(clip[None], video_tools.target_shape)
        frames = (decoder(latent).astype(mx.float32)[0].transpose(1, 2, 3, 0) + 1) / 2
        rows.append(frames[np.linspace(0, frames.shape[0] - 1, 5).astype(int).tolist()])
    write_grid(path, rows)
