"""The training stages of the autoencoders, at sizes of a few thousand weights."""

import itertools
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from ltx_core.types import Audio
from ltx_loaders import Checkpoint, load_upsampler
from ltx_models.audio_vae import AudioProcessor, AudioVAEConfig, resample
from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig, upsample_video
from ltx_models.video_vae import VideoVAEConfig
from ltx_models.vocoder import VocoderConfig, VocoderWithBWE, build_vocoder
from ltx_models.vocoder.antialias import Activation1d
from ltx_pocket import configs
from ltx_pocket.train import audio_vae, upscalers, video_vae, vocoder
from ltx_pocket.train.activations import TrainedActivation, set_activations
from ltx_pocket.train.common import Clock, Log, run, warm_cosine
from ltx_pocket.train.data import Scenes, batches, clips, held_out
from ltx_pocket.train.files import (
    flat,
    load_tensors,
    official_tensors,
    save_checkpoint,
    save_tensors,
    write_checkpoint,
)
from ltx_pocket.train.filters import fourier_basis, kaiser_sinc_filter, set_buffers
from ltx_pocket.train.trainer import Trainer
from ltx_pocket.train.windows import set_convolutions
from ltx_pocket.world import HELD_OUT_SEED
from mlx.utils import tree_map


def make_video_vae() -> video_vae.VideoVAE:
    mx.random.seed(0)
    return video_vae.VideoVAE(VideoVAEConfig.from_config(configs.video_vae("tiny")))


def make_audio_vae() -> audio_vae.AudioVAE:
    mx.random.seed(0)
    return audio_vae.AudioVAE(AudioVAEConfig.from_config(configs.audio_vae("tiny")))


def make_vocoder() -> VocoderWithBWE:
    mx.random.seed(0)
    network = build_vocoder(VocoderConfig.from_config(configs.vocoder("tiny")))
    assert isinstance(network, VocoderWithBWE)
    set_buffers(network)
    set_activations(network)
    set_convolutions(network)
    vocoder.initialize(network)
    return network


def test_training_changes_no_vocoder() -> None:
    trained = make_vocoder()
    plain = build_vocoder(VocoderConfig.from_config(configs.vocoder("tiny")))
    plain.update(trained.parameters())
    mel = 3 * mx.random.normal((2, 2, 9, 64)) - 8

    def run(network: nn.Module) -> tuple[mx.array, dict[str, mx.array]]:
        def total(weights: dict[str, object]) -> mx.array:
            network.update(weights)
            return mx.square(network(mel) - 0.1).sum()

        value, slopes = mx.value_and_grad(total)(trained.trainable_parameters())
        return value, dict(flat(slopes))

    (value, slopes), (wanted, truth) = run(trained), run(plain)
    assert mx.allclose(value, wanted, rtol=1e-5)
    for name, slope in truth.items():
        assert mx.abs(slopes[name] - slope).max() <= 1e-4 * mx.abs(slope).max() + 1e-7, name


def loss_of(trainer: Trainer, *batch: mx.array) -> float:
    trainer.install(ema=False)
    mx.random.seed(1)
    return float(np.array(trainer.loss(*batch)[0]))


def falls(trainer: Trainer, steps: int, *batch: mx.array, to: float = 0.9) -> None:
    """A few steps on one batch reduce its loss to a part of what it was."""
    before = loss_of(trainer, *batch)
    for _ in range(steps):
        trainer.step(3e-3, *batch)
    assert loss_of(trainer, *batch) < to * before


def randomize(network: nn.Module) -> None:
    """Weights that bfloat16 holds, statistics included."""
    network.update(
        tree_map(
            lambda w: mx.random.uniform(0.5, 1.5, w.shape).astype(mx.bfloat16).astype(mx.float32),
            network.parameters(),
        )
    )


def same(a: nn.Module, b: nn.Module) -> None:
    left, right = dict(flat(a.parameters())), dict(flat(b.parameters()))
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert mx.array_equal(value, right[name]), name


def test_the_pocket_sizes() -> None:
    video = video_vae.VideoVAE(VideoVAEConfig.from_config(configs.video_vae()))
    audio = audio_vae.AudioVAE(AudioVAEConfig.from_config(configs.audio_vae()))
    sound = build_vocoder(VocoderConfig.from_config(configs.vocoder()))

    def count(network: nn.Module) -> int:
        return sum(value.size for _, value in flat(network.trainable_parameters()))

    assert video.encoder.config.scale_factors == (8, 32, 32)
    assert 3.5e6 < count(video) < 4.0e6
    assert 1e6 < count(audio) + count(sound) < 1.6e6
    for axis in ("space", "time"):
        upscaler = LatentUpsampler(LatentUpsamplerConfig.from_config(configs.upscaler(axis)))
        assert upscaler.config.in_channels == configs.LATENT_CHANNELS
        assert count(upscaler) < 0.4e6


def test_video_vae_learns_and_goes_on(tmp_path: Path) -> None:
    vae = make_video_vae()
    pixels = clips(Scenes(0, 4).draw(2), 32, 32, 9, 16.0)
    assert pixels.shape == (2, 3, 9, 32, 32)
    trainer = Trainer(vae, video_vae.make_loss(vae), dtype=mx.float32)
    falls(trainer, 12, pixels)
    trainer.save(tmp_path)

    other = make_video_vae()
    again = Trainer(other, video_vae.make_loss(other), dtype=mx.float32)
    again.load(tmp_path)
    assert again.steps == 12
    for (name, a), (_, b) in zip(flat(trainer.params), flat(again.params), strict=True):
        assert mx.array_equal(a, b), name
    again.step(1e-3, pixels)
    assert int(np.array(again.optimizer.state["step"])) == 13

    audio = make_audio_vae()
    with pytest.raises(ValueError, match="another network"):
        Trainer(audio, audio_vae.make_loss(audio)).load(tmp_path)
    with pytest.raises(FileNotFoundError):
        again.load(tmp_path / "nowhere")


def test_video_checkpoint(tmp_path: Path) -> None:
    vae = make_video_vae()
    randomize(vae)
    vae.decoder.per_channel_statistics.update(vae.encoder.per_channel_statistics.parameters())
    modules = {"video_encoder": vae.encoder, "video_decoder": vae.decoder}
    path = save_checkpoint(
        tmp_path / "vae.safetensors", modules, {"vae": configs.video_vae("tiny")}, mx.bfloat16
    )
    checkpoint = Checkpoint.open(path)
    assert checkpoint.generation == "2.3"
    for name, module in modules.items():
        same(module, checkpoint.build(name, mx.float32))
    assert "vae.per_channel_statistics.mean-of-means" in checkpoint.header.tensors


def test_a_decoder_learns_alone(tmp_path: Path) -> None:
    first = make_video_vae()
    randomize(first)
    modules = {"video_encoder": first.encoder, "video_decoder": first.decoder}
    path = save_checkpoint(
        tmp_path / "a.safetensors", modules, {"vae": configs.video_vae("tiny")}, mx.bfloat16
    )
    vae = make_video_vae()
    video_vae.load(vae, path, mx.float32)
    trainer = Trainer(vae, video_vae.make_decoder_loss(vae.decoder))
    pixels = clips(Scenes(0, 4).draw(2), 64, 64, 9, 16.0)
    (batch,) = itertools.islice(video_vae.with_latents(vae.encoder, iter([(pixels,)])), 1)
    falls(trainer, 10, *batch, to=0.98)
    trainer.install()
    modules = {"video_encoder": vae.encoder, "video_decoder": vae.decoder}
    again = save_checkpoint(
        tmp_path / "b.safetensors", modules, {"vae": configs.video_vae("tiny")}, mx.bfloat16
    )
    before, after = (mx.load(str(name)) for name in (path, again))
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before.keys() == after.keys()
    changed = {name for name in before if not mx.array_equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("vae.decoder.") for name in changed)


def test_statistics_normalise_the_latents() -> None:
    vae = make_video_vae()
    scenes = Scenes(0, 1)
    video_vae.measure_statistics(vae, scenes, 4, (2, 9, 64))
    latent = vae.encoder(clips(scenes.draw(2), 64, 64, 9, 16.0))
    assert mx.allclose(latent.mean(axis=(0, 2, 3, 4)), mx.zeros(16), atol=1e-3)
    assert mx.allclose(latent.var(axis=(0, 2, 3, 4)), mx.ones(16), atol=0.02)
    found = video_vae.evaluate(vae, 4, (2, 9, 32))
    assert found["worst"] <= found["psnr"]


def test_audio_vae_learns_and_is_saved(tmp_path: Path) -> None:
    vae = make_audio_vae()
    processor = AudioProcessor.from_config(vae.encoder.config)
    pool = audio_vae.Pool(Scenes(0, 8), processor, 5, 4)
    mel = pool.draw(2)
    assert mel.shape == (2, 2, 17, configs.MEL_BINS)
    falls(Trainer(vae, audio_vae.make_loss(vae), dtype=mx.float32), 40, mel)
    audio_vae.measure_statistics(vae, pool, 4, 2)
    modules = {"audio_encoder": vae.encoder, "audio_decoder": vae.decoder}
    path = save_checkpoint(tmp_path / "audio.safetensors", modules, {"audio_vae": configs.audio_vae("tiny")})
    for name, module in modules.items():
        same(module, Checkpoint.open(path).build(name, mx.float32))


def test_a_thinned_out_convolution_is_the_strided_one() -> None:
    mx.random.seed(0)
    thinned = audio_vae.Halving(3, 4, 3, stride=2)
    strided = nn.Conv2d(3, 4, 3, stride=2)
    strided.update(thinned.parameters())
    for shape in ((2, 9, 7, 3), (1, 8, 10, 3)):
        x = mx.random.normal(shape)
        assert mx.allclose(thinned(x), strided(x), atol=1e-6)


def test_what_is_not_heard_is_no_error() -> None:
    mel = mx.array([[-11.0, -9.0, -2.0, -8.0]])
    error, heard = audio_vae.audible_error(mx.array([[-7.0, -11.0, -3.0, -4.5]]), mel)
    assert mx.allclose(error, mx.array([[0.0, 0.0, -1.0, 2.0]]))
    assert heard.tolist() == [[0, 0, 1, 1]]


def test_vocoder_learns_and_is_saved(tmp_path: Path) -> None:
    network = make_vocoder()
    processor = AudioProcessor(configs.SAMPLE_RATE, configs.MEL_BINS, configs.MEL_HOP, 1024)
    pairs = vocoder.Pairs(None, processor, 5)
    batch = vocoder.Pool(Scenes(3, 8), pairs, 4).draw(2, 9)
    assert [value.shape for value in batch] == [(2, 2, 9, 64), (2, 2, 1440), (2, 2, 4320), (2,)]
    mel = batch[0]
    trainer = Trainer(network, vocoder.make_loss(network), dtype=mx.float32)
    falls(trainer, 15, *batch, to=1.0)
    assert mx.allclose(network(mel), vocoder.extend(network, network.vocoder(mel)), atol=1e-5)
    path = save_checkpoint(
        tmp_path / "v.safetensors", {"vocoder": network}, {"vocoder": configs.vocoder("tiny")}
    )
    same(network, Checkpoint.open(path).build("vocoder", mx.float32))


def test_windows_are_what_belongs_together() -> None:
    processor = AudioProcessor(configs.SAMPLE_RATE, configs.MEL_BINS, configs.MEL_HOP, 1024)
    pool = vocoder.Pool(Scenes(0, 8), vocoder.Pairs(None, processor, 12), 8)
    mel, low, full, _ = pool.draw(8, 20)
    measured = processor.waveform_to_mel(Audio(low, configs.SAMPLE_RATE))[:, :, :20]
    # Away from the ends, where the window of a frame reaches beyond what was drawn; above its rounding.
    inner = slice(4, 16)
    for value in (measured, mel):
        assert value[:, :, inner].max() > -2
    assert mx.abs(mx.maximum(measured, -5) - mx.maximum(mel, -5))[:, :, inner].max() < 0.1
    again = resample(full, configs.OUTPUT_RATE, configs.SAMPLE_RATE)
    assert mx.abs(again - low)[..., 160:-160].max() < 2e-3


@pytest.mark.parametrize("length", [2, 3, 17])
def test_gradients_of_activations(length: int) -> None:
    mx.random.seed(length)
    given, trained = Activation1d(3), TrainedActivation(3)
    given.upsample.filter = given.downsample.lowpass.filter = mx.array(kaiser_sinc_filter())[None, None]
    given.act.alpha, given.act.beta = mx.random.normal((2, 3))
    trained.update(given.parameters())
    trained.prepare()
    x, cotangent = mx.random.normal((2, 2, length, 3))

    def gradients(activation: Activation1d) -> tuple[mx.array, ...]:
        def run(x: mx.array, alpha: mx.array, beta: mx.array) -> mx.array:
            activation.act.update({"alpha": alpha, "beta": beta})
            return activation(x)

        primals = [x, activation.act.alpha, activation.act.beta]
        outputs, found = mx.vjp(run, primals, [cotangent])
        activation.act.update({"alpha": primals[1], "beta": primals[2]})
        return (*outputs, *found)

    for a, b in zip(gradients(given), gradients(trained), strict=True):
        assert mx.allclose(a, b, atol=1e-5)


def test_the_buffers_of_a_vocoder_are_those_of_the_released_ones() -> None:
    half = [0.00202896, 0.00938947, -0.02554346, -0.05765738, 0.12857258, 0.44320980]
    np.testing.assert_allclose(kaiser_sinc_filter(), [*half, *half[::-1]], atol=1e-6)
    basis = fourier_basis(64)
    wave = np.cos(2 * np.pi * 5 * np.arange(64) / 64)
    magnitude = np.hypot(*np.split(basis @ wave, 2))
    assert magnitude.argmax() == 5
    np.testing.assert_allclose(magnitude[5], 16, atol=1e-3)
    trained = [name for name, _ in flat(make_vocoder().trainable_parameters())]
    assert not any("filter" in name or "basis" in name for name in trained)


@pytest.mark.parametrize("axis", ["space", "time"])
def test_upscaler_learns_and_is_saved(axis: str, tmp_path: Path) -> None:
    vae = make_video_vae()
    modules = {"video_encoder": vae.encoder, "video_decoder": vae.decoder}
    path = save_checkpoint(tmp_path / "vae.safetensors", modules, {"vae": configs.video_vae("tiny")})
    pairs = upscalers.Pairs(Checkpoint.open(path), axis, mx.float32)
    section = configs.upscaler(axis, "tiny")
    network = LatentUpsampler(LatentUpsamplerConfig.from_config(section))
    small, large, _ = pairs(Scenes(0, 4).draw(2), 64, 17, 16.0)
    assert small.shape == ((2, 16, 3, 1, 1) if axis == "space" else (2, 16, 2, 2, 2))
    assert upsample_video(small, network, pairs.statistics).shape == large.shape == (2, 16, 3, 2, 2)
    pool = upscalers.Pool(Scenes(0, 4), pairs, 3, 17, 64)
    drawn = next(upscalers.stream(np.random.default_rng(0), [pool, pool], 2))
    assert [value.shape for value in drawn] == [small.shape, large.shape]
    falls(Trainer(network, upscalers.make_loss(network, pairs), dtype=mx.float32), 10, small, large)
    tensors = official_tensors(upscalers.NAMING, network)
    same(network, load_upsampler(write_checkpoint(tmp_path / "u.safetensors", tensors, section), mx.float32))


def test_shards_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ltx_pocket.train.files.FILE_BYTES", 1000)
    tensors = {f"t{i}": mx.full((50 * (i + 1),), i) for i in range(6)}
    save_tensors(tmp_path, "x", tensors)
    paths = save_tensors(tmp_path, "x", dict(itertools.islice(tensors.items(), 5)), {"a": "b"})
    assert sorted(tmp_path.iterdir()) == paths
    found, metadata = load_tensors(tmp_path, "x")
    assert metadata["a"] == "b"
    assert found.keys() == set(list(tensors)[:5])


def test_a_run_follows_the_clock(tmp_path: Path) -> None:
    network = nn.Linear(2, 1)
    trainer = Trainer(network, lambda x: (mx.square(network(x)).mean(), {}), dtype=mx.float32)
    clock = Clock(0.3 / 60)
    log = Log(tmp_path, clock, every=0.05)
    run(trainer, itertools.repeat((mx.ones((4, 2)),)), clock, log, learning_rate=1e-2, until=0.5)
    assert 0.5 <= clock.fraction < 1.5
    assert trainer.steps > 0
    assert (tmp_path / "log.jsonl").read_text().count("gradient") > 0
    rates = [warm_cosine(fraction, 1000, 1.0) for fraction in np.linspace(0, 1, 9)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert Clock(0).fraction == 1.0


def test_training_never_sees_held_out_scenes() -> None:
    with pytest.raises(ValueError, match="evaluation"):
        Scenes(HELD_OUT_SEED, 1)
    assert held_out(3) == held_out(3)
    assert len(batches(held_out(5), 2)) == 2
