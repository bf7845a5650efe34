"""What of a clip is given in training: time ranges, twins, images, and sound alone."""

from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_core.conditioning import TemporalRegionMask
from ltx_core.patchifiers import AudioPatchifier, VideoLatentPatchifier
from ltx_core.tools import AudioLatentTools, VideoLatentTools
from ltx_core.types import AudioLatentShape, VideoLatentShape, VideoPixelShape
from ltx_loaders.weights import conv_axes
from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig
from ltx_pocket import configs
from ltx_pocket.configs_text import gemma_config, transformer_section
from ltx_pocket.train import batches, transformer, walks
from ltx_pocket.train import given as parts
from ltx_pocket.train.batches import Data, flattened
from ltx_pocket.train.diffusion import Diffusion, Stream
from ltx_pocket.train.files import write_checkpoint
from ltx_pocket.train.given import Times, add_twins, draw_given, group_size, outside
from ltx_pocket.train.latents import NO_PICTURES, Bucket, Captions, Encoders, Pool
from ltx_pocket.train.rough import RoughEncoders
from ltx_pocket.train.trainer import Trainer
from ltx_pocket.train.transformer import make_loss, noisy
from ltx_pocket.train.walks import Course, Source
from ltx_pocket.world import sample_scene
from mlx.utils import tree_flatten

BUCKET = Bucket(64, 64, 17, 1.0, 8)


@pytest.fixture(scope="module")
def network(encoders: Encoders, captions: Captions) -> Diffusion:
    network = Diffusion(
        transformer_section(encoders.video_channels, encoders.audio_features, "tiny"),
        gemma_config(captions.vocab_size, "tiny"),
    )
    network.initialize()
    for name in ("proj_out", "audio_proj_out"):
        head = network.transformer[name]
        head.weight = 0.1 * mx.random.normal(head.weight.shape)
    return network


def data_of(pool: Pool, network: Diffusion) -> Data:
    bucket, encoders = pool.bucket, pool.encoders
    tools = encoders.video_tools(bucket), encoders.audio_tools(bucket)
    ids, lengths = pool.captions.encode(["ugly"])
    negative = network.contexts(mx.array(ids), mx.array(lengths))
    return Data(
        [pool], [network.tables(*tools, bucket.keyframes)], np.random.default_rng(0), 10**6, 8, negative
    )


def tools(frames: int, rate: float) -> tuple[VideoLatentTools, AudioLatentTools]:
    pixels = VideoPixelShape(1, frames, 64, 96, rate)
    shape = AudioLatentShape.from_video_pixel_shape(
        pixels, channels=2, mel_bins=16, sample_rate=16000, hop_length=160
    )
    video = VideoLatentTools(VideoLatentPatchifier(1), VideoLatentShape.from_pixel_shape(pixels, 16), rate)
    return video, AudioLatentTools(AudioPatchifier(1, 16000, 160), shape)


@settings(max_examples=30, deadline=None)
@given(
    frames=st.integers(1, 6).map(lambda k: 8 * k + 1),
    rate=st.sampled_from([8.0, 16.0, 24.0]),
    seed=st.integers(0, 99),
)
def test_ranges_are_those_of_the_pipelines(frames: int, rate: float, seed: int) -> None:
    video, audio = tools(frames, rate)
    times, size = Times.of(video, audio), group_size(audio.num_tokens)
    assert len(times.sounds) * size == audio.num_tokens
    rng = np.random.default_rng(seed)
    kept, heard = outside(rng, 20, times)
    again = np.random.default_rng(seed)
    ends = np.sort(again.uniform(0, 0.97 * times.frames[-1, 1], (2, 20)), axis=0)
    kind = again.integers(3, size=20)
    for row in range(20):
        start = 0.0 if kind[row] == 1 else float(ends[0, row])
        end = float("inf") if kind[row] == 2 else float(ends[1, row])
        region = TemporalRegionMask(start, end, rate)
        for own, latents, each in ((kept, video, 6), (heard, audio, size)):
            mask = np.array(region.apply_to(latents.create_initial_state(), latents).denoise_mask)[0, :, 0]
            # A group of audio tokens is made if one of them is.
            np.testing.assert_array_equal(own[row], mask.reshape(-1, each).max(axis=1) == 0)
    assert not kept.all(axis=1).any()


def test_shares_of_what_is_given() -> None:
    times = Times.of(*tools(33, 16.0))
    drawn = draw_given(np.random.default_rng(0), 20000, times)
    assert abs(drawn.ranges.mean() - parts.RANGES) < 0.01
    assert abs(drawn.frames[~drawn.ranges, 0].mean() - parts.IMAGE) < 0.02
    assert not drawn.frames[~drawn.ranges, 1:].any()
    assert not drawn.sounds[~drawn.ranges].any()
    assert not (drawn.video & drawn.audio).any()
    own = drawn.ranges & ~drawn.video
    # The beginning, the end, and all but a middle part.
    kept = drawn.frames[own]
    first, last = kept[:, 0], kept[:, -1]
    assert min((first & ~last).mean(), (last & ~first).mean(), (first & last).mean()) > 0.1
    assert drawn.sounds[drawn.ranges].any(axis=1).mean() > 0.5
    beside = draw_given(np.random.default_rng(0), 500, times, images=2)
    assert beside.frames[:, -2:].all()
    assert not beside.frames[:, :-2].any()
    assert not beside.ranges.any()
    end = draw_given(np.random.default_rng(0), 500, times, images=1)
    assert abs(end.frames[:, 0].mean() - 0.5) < 0.1


def test_twins_move_alike_and_look_and_sound_otherwise() -> None:
    rng = np.random.default_rng(0)
    scenes, numbers = add_twins([sample_scene(rng) for _ in range(80)], rng)
    assert len(scenes) == 80
    assert (numbers != np.arange(80)).mean() == parts.TWINS
    np.testing.assert_array_equal(numbers[numbers], np.arange(80))
    for number in np.flatnonzero(numbers != np.arange(80)):
        own, other = scenes[number], scenes[numbers[number]]
        assert own.sound != other.sound
        for thing, same in zip(own.things, other.things, strict=True):
            assert thing.colour != same.colour
            assert thing.colour != own.background
            assert (thing.shape, thing.motion, thing.x, thing.phase) == (
                same.shape,
                same.motion,
                same.x,
                same.phase,
            )
    assert add_twins(scenes[:1], rng)[1].tolist() == [0]


def test_given_tokens_are_clean_and_do_not_count() -> None:
    clean = mx.random.normal((2, 12, 3))
    fixed = mx.array([[True, False, True], [False] * 3])
    made = noisy(clean, fixed, mx.array([0.9, 0.5]), mx.random.key(0))
    where = np.repeat(np.array(fixed), 4, axis=1)
    np.testing.assert_array_equal(np.array(made.tokens)[where], np.array(clean)[where])
    assert (np.abs(np.array(made.tokens - clean))[~where].max(axis=-1) > 0).all()
    wrong = mx.where(mx.array(where)[..., None], made.target + 100, made.target)
    assert made.loss(wrong).item() == 0
    assert made.loss(made.target + 1).item() == pytest.approx(1)


def test_batches_with_ranges(
    encoders: Encoders, captions: Captions, network: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "RANGES", 1.0)
    monkeypatch.setattr(batches, "SPLICED", 1.0)
    pool = Pool(BUCKET, encoders, captions, np.random.default_rng(0), wordings=1)
    pool.grow(np.random.default_rng(1))
    assert (pool.twins[8:] >= 8).all()
    assert pool.twins[[0, 7, 8, 15]].tolist() == [7, 0, 15, 8]
    batch = data_of(pool, network).batch(0)
    video, audio, known = np.array(batch.video), np.array(batch.audio), np.array(pool.ids)[:, 0]
    frames = np.repeat(np.array(batch.fixed), pool.frame_tokens, axis=1)
    heard = np.repeat(np.array(batch.heard), group_size(audio.shape[1]), axis=1)
    assert frames.any()
    assert heard.any()
    ids = np.array(batch.ids)
    for row in range(len(video)):
        scene = int(np.flatnonzero((known == ids[row % len(ids)]).all(axis=1))[0])
        other = int(pool.twins[scene])
        assert other != scene
        for tokens, own, kept in ((video, pool.video, frames), (audio, pool.audio, heard)):
            wanted = np.where(kept[row][:, None], np.array(own[other]), np.array(own[scene]))
            np.testing.assert_array_equal(tokens[row], wanted)

    seen: list[Stream] = []
    straight = network.velocities

    def watched(video: Stream, audio: Stream, tables: object) -> tuple[mx.array, mx.array]:
        seen.extend((video, audio))
        return straight(video, audio, tables)

    monkeypatch.setattr(network, "velocities", watched)
    loss, _ = make_loss(network)(*flattened(batch))
    assert np.isfinite(loss.item())
    for stream, clean, fixed in zip(seen, (video, audio), (frames, heard), strict=True):
        np.testing.assert_array_equal(np.array(stream.tokens)[fixed], clean[fixed].astype(np.float32))
        assert stream.fixed is not None


def test_sound_alone_trains_the_audio_half(
    encoders: Encoders, captions: Captions, network: Diffusion
) -> None:
    bucket = Bucket(64, 64, 17, 1.0, 8, pictures=False)
    pool = Pool(bucket, encoders, captions, np.random.default_rng(0))
    assert pool.video.shape[1:] == NO_PICTURES
    trainer = Trainer(network, make_loss(network), matrices=transformer.is_matrix, dtype=mx.float32)
    before = dict(tree_flatten(trainer.params))
    batch = flattened(data_of(pool, network).batch(0))
    losses = [trainer.step(2e-3, *batch) for _ in range(8)]
    assert losses[-1]["alone"].item() < 0.9 * losses[0]["alone"].item()
    changed = {
        name
        for name, value in tree_flatten(trainer.params)
        if mx.abs(value - before[name]).max().item() > 1e-5
    }
    assert "transformer.audio_proj_out.weight" in changed
    assert "transformer.transformer_blocks.0.audio_attn1.to_q.weight" in changed
    assert not changed & {
        "transformer.proj_out.weight",
        "transformer.transformer_blocks.0.attn1.to_q.weight",
        "transformer.transformer_blocks.0.video_to_audio_attn.to_q.weight",
    }


def test_second_stages_start_from_upscaled_clips(
    files: Path, captions: Captions, network: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = configs.upscaler("space", "tiny")
    upscaler = LatentUpsampler(LatentUpsamplerConfig.from_config(section))
    axes = conv_axes(upscaler)
    tensors = {
        name: value.transpose(np.argsort(axes[name]).tolist()) if name in axes else value
        for name, value in tree_flatten(upscaler.parameters())
    }
    write_checkpoint(files / "upscaler.safetensors", tensors, section)
    rough = RoughEncoders(*(files / f"{name}.safetensors" for name in ("video_vae", "audio_vae", "upscaler")))
    bucket = Bucket(64, 128, 9, 1.0, 4)
    pool = Pool(bucket, rough, captions, np.random.default_rng(0), wordings=1)
    count = pool.clip_tokens
    assert pool.video.shape[1] == 2 * count
    tables = network.tables(rough.video_tools(bucket), rough.audio_tools(bucket))
    monkeypatch.setattr(walks, "ROUGH", 1.0)

    def begin(sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        source = Source(Course(bucket, (sigma, 0.0), 1.0, 4), pool, tables, [])
        assert source.tokens == count + pool.audio.shape[1]
        rng = np.random.default_rng(3)
        clips = np.array(pool.video)[np.random.default_rng(3).integers(pool.scenes, size=16)]
        state, _ = source.begin(16, rng, network)
        return np.array(state.video), np.repeat(np.array(state.fixed), count // 2, axis=1), clips

    # Hardly any noise, so that it can be seen what was noised.
    video, fixed, clips = begin(1e-4)
    assert 0 < fixed.mean() < 1
    np.testing.assert_array_equal(video[fixed], clips[:, :count][fixed].astype(np.float32))
    np.testing.assert_allclose(video[~fixed], clips[:, count:][~fixed], atol=2e-3, rtol=1e-3)
    assert np.abs(clips[:, :count] - clips[:, count:]).mean() > 0.05
    assert begin(1.0)[0].std() > 0.5
