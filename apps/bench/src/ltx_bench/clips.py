"""Sizes of clips, and the random inputs that networks get for them."""

from dataclasses import dataclass

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
from ltx_core import LatentState, VideoPixelShape
from ltx_core.types import Modality
from ltx_pipelines.layout import layout_of

from ltx_bench.configs import Config

TEXT_TOKENS = 1024
FRAME_RATE = 24.0


@dataclass(frozen=True, order=True)
class Clip:
    """A clip's width, height and frames, in pixels."""

    width: int
    height: int
    frames: int

    @staticmethod
    def parse(text: str) -> "Clip":
        """From "768x512x121"."""
        return Clip(*map(int, text.split("x")))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"

    def pixels(self, batch: int = 1) -> VideoPixelShape:
        """As pipelines have it."""
        return VideoPixelShape(batch, self.frames, self.height, self.width, FRAME_RATE)


def token_counts(config: Config, clip: Clip) -> tuple[int, int]:
    """Video and audio tokens of a clip."""
    layout, shape = layout_of(config), clip.pixels()
    return layout.video_tools(shape).num_tokens, layout.audio_tools(shape).num_tokens


def noise(shape: tuple[int, ...], dtype: mx.Dtype = mx.float32, key: int = 0) -> mx.array:
    """Normal random numbers, evaluated."""
    value = mx.random.normal(shape, key=mx.random.key(key)).astype(dtype)
    mx.eval(value)
    return value


def latent_states(config: Config, clip: Clip, batch: int = 1) -> tuple[LatentState, LatentState]:
    """Video and audio in the middle of denoising."""
    layout, shape = layout_of(config), clip.pixels(batch)
    states = []
    for key, tools in enumerate((layout.video_tools(shape), layout.audio_tools(shape))):
        state = tools.create_initial_state()
        states.append(state.replace(latent=noise(state.latent.shape, key=key)))
    return states[0], states[1]


def text_width(config: Config, stream: str) -> int:
    """Channels of the text that a stream of the transformer gets."""
    section = config["transformer"]
    if not section.get("caption_proj_before_connector", False):
        return int(section["caption_channels"])
    prefix = "" if stream == "video" else "audio_"
    return int(section[f"{prefix}num_attention_heads"] * section[f"{prefix}attention_head_dim"])


def contexts(
    config: Config, dtype: mx.Dtype, batch: int = 1, tokens: int = TEXT_TOKENS
) -> tuple[mx.array, mx.array]:
    """Encoded text of both streams."""
    video, audio = (
        noise((batch, tokens, text_width(config, stream)), dtype, key)
        for key, stream in enumerate(("video", "audio"), start=2)
    )
    return video, audio


def modality(state: LatentState, context: mx.array, sigma: float, dtype: mx.Dtype) -> Modality:
    """What the transformer sees at a noise level. As in a generation, the levels are new arrays each time and
    everything else is the same."""
    return Modality(
        latent=state.latent.astype(dtype),
        sigma=mx.full((state.latent.shape[0],), sigma),
        timesteps=state.denoise_mask * sigma,
        positions=state.positions,
        context=context,
        keyframes_mask=state.keyframes_mask,
    )
