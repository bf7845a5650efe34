"""What the transformer learns from: scenes of many sizes, encoded once, with captions of many wordings."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
from ltx_core.device import default_dtype
from ltx_core.patchifiers import AudioPatchifier, VideoLatentPatchifier
from ltx_core.tools import AudioLatentTools, VideoLatentTools
from ltx_core.types import Audio, AudioLatentShape, VideoLatentShape, VideoPixelShape
from ltx_loaders import Checkpoint
from ltx_models.audio_vae import AudioEncoder, AudioProcessor, encode_audio
from ltx_models.video_vae import VideoEncoder
from tokenizers import Tokenizer

from ltx_pocket.train.data import clips, sounds
from ltx_pocket.train.given import Times, add_twins
from ltx_pocket.world import Scene, caption, caption_with_parts, pack, sample_scene

CAPTION_TOKENS = 40
"""Captions of the grammar have at most 32 tokens; longer prompts are for generation."""

PIXELS_AT_ONCE = 2**25
"""Pixels that are rendered and encoded in one go."""

LEAST_SCENES = 256
"""Encoded of a bucket in any case."""


@dataclass(frozen=True)
class Bucket:
    """Clips of one size.

    Attributes:
        height, width, num_frames, frame_rate: of the clips.
        share: relative frequency of its batches.
        scenes: how many are encoded, if there is time.
        after: fraction of the training after which it takes part.
        keyframes: pixel frames of images that are given beside the clip.
        pictures: False for sound alone.
    """

    height: int
    width: int
    num_frames: int
    share: float
    scenes: int
    after: float = 0.0
    keyframes: tuple[int, ...] = ()
    frame_rate: float = 16.0
    pictures: bool = True

    @property
    def name(self) -> str:
        extra = "".join(f"+{frame}" for frame in self.keyframes) + ("" if self.pictures else " sound")
        return f"{self.width}x{self.height}x{self.num_frames}{extra}@{self.frame_rate:g}"

    @property
    def shape(self) -> VideoPixelShape:
        return VideoPixelShape(1, self.num_frames, self.height, self.width, self.frame_rate)


LATER = 0.4
"""Fraction of the training after which other sizes than the native ones take part."""

BUCKETS = {
    "pocket": (
        # The two stages of the distilled pipeline at the native size, and what one-stage pipelines make.
        # Shapes come out of the second one: the autoencoder keeps half of them at the first one's size.
        Bucket(128, 128, 33, 0.32, 61440),
        Bucket(256, 256, 33, 0.46, 30720),
        # The same for other sizes of clips.
        Bucket(96, 96, 33, 0.03, 4096, LATER),
        Bucket(192, 192, 33, 0.04, 4096, LATER),
        Bucket(128, 192, 33, 0.025, 3072, LATER),
        Bucket(192, 128, 33, 0.025, 3072, LATER),
        Bucket(256, 384, 33, 0.02, 2048, LATER),
        Bucket(384, 256, 33, 0.02, 2048, LATER),
        # Other lengths, and another frame rate.
        Bucket(128, 128, 17, 0.015, 3072, LATER),
        Bucket(256, 256, 17, 0.015, 2048, LATER),
        Bucket(128, 128, 65, 0.025, 3072, LATER),
        Bucket(256, 256, 65, 0.02, 1536, LATER),
        Bucket(256, 256, 33, 0.015, 2048, LATER, frame_rate=24.0),
        # Clips that end at an image; those between two images, both beside the clip.
        Bucket(128, 128, 33, 0.02, 3072, LATER, keyframes=(32,)),
        Bucket(256, 256, 33, 0.025, 2048, LATER, keyframes=(32,)),
        Bucket(128, 128, 33, 0.025, 3072, LATER, keyframes=(0, 32)),
        Bucket(256, 256, 33, 0.025, 2048, LATER, keyframes=(0, 32)),
        # Sound without pictures, whose size says nothing.
        Bucket(64, 64, 33, 0.045, 8192, LATER, pictures=False),
    ),
    "tiny": (
        Bucket(64, 64, 9, 0.5, 12),
        Bucket(64, 96, 17, 0.3, 4),
        Bucket(64, 64, 9, 0.1, 4, keyframes=(0, 8)),
        Bucket(64, 64, 9, 0.1, 4, pictures=False),
    ),
}


NO_PICTURES = (1, 1)
"""Shape of what stands for the video tokens (T, D) of a sound without pictures: arrays are not empty."""


class Encoders:
    """The encoders of both VAEs, from files in the official layout."""

    def __init__(self, video: Path, audio: Path) -> None:
        self.dtype = default_dtype()
        video_encoder = Checkpoint.open(video).build("video_encoder", self.dtype)
        audio_encoder = Checkpoint.open(audio).build("audio_encoder", self.dtype)
        assert isinstance(video_encoder, VideoEncoder)
        assert isinstance(audio_encoder, AudioEncoder)
        self.video, self.audio = video_encoder, audio_encoder
        self.processor = AudioProcessor.from_config(self.audio.config)

    @property
    def video_channels(self) -> int:
        return self.video.config.latent_channels

    @property
    def audio_features(self) -> int:
        """Width of an audio token."""
        return self.audio.config.token_dim

    def video_tools(self, bucket: Bucket) -> VideoLatentTools:
        shape = VideoLatentShape.from_pixel_shape(bucket.shape, self.video_channels)
        return VideoLatentTools(VideoLatentPatchifier(1), shape, bucket.frame_rate)

    def audio_tools(self, bucket: Bucket) -> AudioLatentTools:
        config = self.audio.config
        shape = AudioLatentShape.from_video_pixel_shape(
            bucket.shape,
            channels=config.z_channels,
            mel_bins=config.latent_bins,
            sample_rate=config.sample_rate,
            hop_length=config.mel_hop_length,
        )
        return AudioLatentTools(AudioPatchifier(1, config.sample_rate, config.mel_hop_length), shape)

    def encode(self, scenes: Sequence[Scene], bucket: Bucket) -> tuple[mx.array, mx.array]:
        """Tokens of both streams, (B, T, D) float16; those of images follow those of their clip."""
        packed, split = pack(scenes), VideoLatentPatchifier(1).patchify
        video = mx.zeros((len(scenes), *NO_PICTURES))
        if bucket.pictures:
            pixels = clips(packed, bucket.height, bucket.width, bucket.num_frames, bucket.frame_rate)
            images = [pixels[:, :, frame : frame + 1] for frame in bucket.keyframes]
            video = mx.concatenate([split(self.video(part)) for part in (pixels, *images)], axis=1)
        tools, rate = self.audio_tools(bucket), self.audio.config.sample_rate
        # A little more than needed: the encoder is causal, so that what is cut off has no part in the rest.
        wave = sounds(packed, bucket.num_frames / bucket.frame_rate + 0.2, rate)
        latent = encode_audio(Audio(wave, rate), self.audio, self.processor)
        audio = tools.patchifier.patchify(latent)[:, : tools.num_tokens]
        return video.astype(mx.float16), audio.astype(mx.float16)


class Captions:
    """Captions as token ids.

    Args:
        tokenizer: folder with `tokenizer.json`.
    """

    def __init__(self, tokenizer: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding: entries of the tokenizer, rounded up."""
        return -(-self.tokenizer.get_vocab_size() // 64) * 64

    def encode(self, texts: Sequence[str], tokens: int = CAPTION_TOKENS) -> tuple[np.ndarray, np.ndarray]:
        """Ids (N, tokens) int32, zeros behind the text, and lengths (N,)."""
        ids = np.zeros((len(texts), tokens), np.int32)
        lengths = np.zeros(len(texts), np.int32)
        for row, encoded in enumerate(self.tokenizer.encode_batch(list(texts))):
            kept = encoded.ids[:tokens]
            ids[row, : len(kept)] = kept
            lengths[row] = len(kept)
        return ids, lengths


class Pool:
    """Encoded scenes of one bucket.

    Attributes:
        scenes: how many.
        video, audio: tokens (N, T, D) float16.
        ids, lengths: captions, (N, wordings, tokens) and (N, wordings).
        clip_tokens, frame_tokens: video tokens of a clip, and of one of its latent frames.
        times: of latent frames and of groups of audio tokens.
        twins: (N,) which scene is the same with other colours and another sound; itself for none.
    """

    def __init__(
        self,
        bucket: Bucket,
        encoders: Encoders,
        captions: Captions,
        rng: np.random.Generator,
        *,
        deadline: float = math.inf,
        wordings: int = 6,
    ) -> None:
        """Encode the bucket's scenes, or fewer if the time is over before (by `time.monotonic`)."""
        self.bucket, self.encoders, self.captions, self.wordings = bucket, encoders, captions, wordings
        pixels = bucket.num_frames * bucket.height * bucket.width
        self.at_once = min(bucket.scenes, max(1, PIXELS_AT_ONCE // pixels))
        tools = encoders.video_tools(bucket)
        self.clip_tokens = tools.num_tokens
        self.frame_tokens = tools.target_shape.height * tools.target_shape.width
        self.times = Times.of(tools, encoders.audio_tools(bucket))
        self.video, self.audio, self.ids, self.lengths, self.twins = self._encoded(
            rng, bucket.scenes, deadline
        )

    @property
    def scenes(self) -> int:
        return len(self.video)

    def _encoded(
        self, rng: np.random.Generator, count: int, deadline: float
    ) -> tuple[mx.array, mx.array, np.ndarray, np.ndarray, np.ndarray]:
        """New scenes: video, audio, ids, lengths, numbers of twins among them."""
        video: list[mx.array] = []
        audio: list[mx.array] = []
        texts: list[str] = []
        twins: list[np.ndarray] = []
        for first in range(0, count, self.at_once):
            if first >= LEAST_SCENES and time.monotonic() > deadline:
                break
            drawn = [sample_scene(rng) for _ in range(min(self.at_once, count - first))]
            scenes, numbers = add_twins(drawn, rng)
            tokens = self.encoders.encode(scenes, self.bucket)
            # The captions are written while the device encodes.
            mx.async_eval(tokens)
            # Captions of twins say all in which they differ.
            texts += [
                caption(scene, rng) if own == number else caption_with_parts(scene, rng, complete=True)[0]
                for number, (scene, own) in enumerate(zip(scenes, numbers, strict=True))
                for _ in range(self.wordings)
            ]
            twins.append(first + numbers)
            if video:
                mx.eval(video[-1], audio[-1])
            video.append(tokens[0])
            audio.append(tokens[1])
        ids, lengths = self.captions.encode(texts)
        joined = mx.concatenate(video), mx.concatenate(audio)
        mx.eval(joined)
        ids, lengths = ids.reshape(-1, self.wordings, ids.shape[1]), lengths.reshape(-1, self.wordings)
        return *joined, ids, lengths, np.concatenate(twins)

    def grow(self, rng: np.random.Generator) -> int:
        """Encode some more scenes, as many as in one go. Returns how many."""
        video, audio, ids, lengths, twins = self._encoded(rng, self.at_once, math.inf)
        self.twins = np.concatenate([self.twins, self.scenes + twins])
        self.video, self.audio = mx.concatenate([self.video, video]), mx.concatenate([self.audio, audio])
        mx.eval(self.video, self.audio)
        self.ids, self.lengths = np.concatenate([self.ids, ids]), np.concatenate([self.lengths, lengths])
        return len(video)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[mx.array, mx.array, np.ndarray, np.ndarray]:
        """`size` scenes at random: video, audio, ids, lengths."""
        return self.at(rng.integers(self.scenes, size=size), rng)

    def at(
        self, index: np.ndarray, rng: np.random.Generator
    ) -> tuple[mx.array, mx.array, np.ndarray, np.ndarray]:
        """These scenes, each with one of its captions: video, audio, ids, lengths."""
        size = len(index)
        wording = rng.integers(self.ids.shape[1], size=size)
        where = mx.array(index)
        return self.video[where], self.audio[where], self.ids[index, wording], self.lengths[index, wording]


def fill(
    buckets: Sequence[Bucket],
    encoders: Encoders | Sequence[Encoders],
    captions: Captions,
    rng: np.random.Generator,
    seconds: float,
) -> Iterator[Pool]:
    """The pools of all buckets, one after the other, each with its part of the time and maybe encoders of
    its own."""
    each = [encoders] * len(buckets) if isinstance(encoders, Encoders) else encoders
    pixels = [bucket.scenes * bucket.num_frames * bucket.height * bucket.width for bucket in buckets]
    start = time.monotonic()
    for number, (bucket, own) in enumerate(zip(buckets, each, strict=True), start=1):
        deadline = start + seconds * sum(pixels[:number]) / sum(pixels)
        yield Pool(bucket, own, captions, rng, deadline=deadline)


def grow(pools: Sequence[Pool], rng: np.random.Generator, seconds: float) -> int:
    """Encode more scenes for about that time, of pools at random by their shares. Returns how many."""
    shares = np.array([pool.bucket.share for pool in pools])
    deadline, added = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        added += pools[int(rng.choice(len(pools), p=shares / shares.sum()))].grow(rng)
    return added
