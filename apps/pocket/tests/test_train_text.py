"""Tokenizer, training and distillation of the diffusion model, and the files that come out: all tiny."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ltx_core.conditioning import VideoConditionByKeyframeIndex
from ltx_core.types import Modality
from ltx_loaders import Checkpoint, LoaderError, Lora, fuse_loras, load_gemma
from ltx_loaders.weights import conv_axes
from ltx_models.transformer import LTXModel
from ltx_models.upsampler import LatentUpsampler, LatentUpsamplerConfig
from ltx_pipelines.distilled import DistilledConfig, create_distilled_pipeline
from ltx_pipelines.tokenizer import Tokenizer as PipelineTokenizer
from ltx_pocket import configs
from ltx_pocket.configs_text import MAX_LENGTH, gemma_config, transformer_section
from ltx_pocket.pack import Parts, pack, write_distilled
from ltx_pocket.tokenizer import build_tokenizer, write_tokenizer
from ltx_pocket.train.batches import Data, draw_sigmas, flattened
from ltx_pocket.train.diffusion import Diffusion, Stream, sinusoids
from ltx_pocket.train.files import write_checkpoint
from ltx_pocket.train.given import group_size
from ltx_pocket.train.latents import BUCKETS, CAPTION_TOKENS, Bucket, Captions, Encoders, Pool, grow
from ltx_pocket.train.trainer import Trainer
from ltx_pocket.train.transformer import Negative, is_matrix, make_loss
from ltx_pocket.train.weights import fingerprint, load_diffusion, load_state, save_diffusion, save_state
from ltx_pocket.world import caption, known_words, sample_scene
from mlx.utils import tree_flatten

BUCKET = Bucket(64, 64, 9, 1.0, 4)


def build(encoders: Encoders, captions: Captions) -> tuple[Diffusion, dict[str, object]]:
    config: dict[str, object] = {
        "transformer": transformer_section(encoders.video_channels, encoders.audio_features, "tiny"),
        "gemma": gemma_config(captions.vocab_size, "tiny"),
    }
    mx.random.seed(1)
    network = Diffusion(config["transformer"], config["gemma"])  # type: ignore[arg-type]
    network.initialize()
    return network, config


def give_it_something_to_say(network: Diffusion) -> None:
    """The network starts with a head that is zero."""
    for name in ("proj_out", "audio_proj_out"):
        head = network.transformer[name]
        head.weight = 0.1 * mx.random.normal(head.weight.shape)


@settings(max_examples=50, deadline=None)
@given(text=st.text())
def test_every_text_has_tokens_and_comes_back_in_lower_case(captions: Captions, text: str) -> None:
    assume(not any(name in text.lower() for name in ("<pad>", "<eos>", "<bos>")))
    tokenizer = captions.tokenizer
    ids = tokenizer.encode(text).ids
    assert ids[0] == tokenizer.token_to_id("<bos>")
    lowered = tokenizer.normalizer.normalize_str(text).removeprefix(" ") if text else ""
    assert tokenizer.decode(ids) == lowered


def test_words_of_the_grammar_are_tokens(captions: Captions) -> None:
    assert [captions.tokenizer.token_to_id(name) for name in ("<pad>", "<eos>", "<bos>")] == [0, 1, 2]
    for word in known_words():
        assert len(captions.tokenizer.encode(word).ids) == 2, word
    rng = np.random.default_rng(5)
    texts = [caption(sample_scene(rng), rng) for _ in range(300)]
    assert captions.encode(texts, 100)[1].max() <= CAPTION_TOKENS
    ids, lengths = captions.encode(["a RED ball", "a red ball"])
    np.testing.assert_array_equal(ids[0], ids[1])
    assert lengths.tolist() == [4, 4]


def test_pipelines_take_the_tokenizer(files: Path) -> None:
    tokens = PipelineTokenizer(files / "gemma").encode("a red ball")
    assert tokens.input_ids.shape == (1, MAX_LENGTH)
    assert tokens.valid_ids.shape == (1, 4)
    assert tokens.valid_ids[0, 0].item() == 2


def test_training_computes_what_generation_does(encoders: Encoders, captions: Captions) -> None:
    network, _ = build(encoders, captions)
    give_it_something_to_say(network)
    ids, lengths = captions.encode(["a red ball bouncing on the sea", "in the sky, a cube"])
    contexts = network.contexts(mx.array(ids), mx.array(lengths))
    for row in range(2):
        count = int(lengths[row])
        states = network.gemma(mx.array(ids[row : row + 1, :count]), offset=MAX_LENGTH - count)
        single = network.embeddings.process_hidden_states(states, MAX_LENGTH)
        for own, other in zip(contexts, single, strict=True):
            np.testing.assert_allclose(own[row], other[0], atol=2e-5)

    bucket = replace(BUCKET, keyframes=(0, 8))
    tools, audio_tools = encoders.video_tools(bucket), encoders.audio_tools(bucket)
    image = mx.zeros(tools.target_shape._replace(frames=1).to_shape())
    state = tools.create_initial_state()
    for frame in bucket.keyframes:
        state = VideoConditionByKeyframeIndex(image, frame, 1.0).apply_to(state, tools)
    count = state.latent.shape[1]
    video = mx.random.normal((2, count, encoders.video_channels))
    audio = mx.random.normal((2, audio_tools.num_tokens, encoders.audio_features))
    frames = np.zeros((2, count // 4), bool)
    frames[1, 0] = frames[:, -2:] = True
    fixed = frames.repeat(4, axis=1)[..., None]
    heard = np.zeros((2, audio_tools.num_tokens // group_size(audio_tools.num_tokens)), bool)
    heard[0, 1:3] = True
    silent = heard.repeat(group_size(audio_tools.num_tokens), axis=1)[..., None]
    sigma, sound_sigma = np.float32([0.3, 0.8]), np.float32([0.3, 0.0])
    found = network.velocities(
        Stream(video, sinusoids(sigma), contexts[0], mx.array(frames)),
        sound := Stream(audio, sinusoids(sound_sigma), contexts[1], mx.array(heard)),
        tables := network.tables(tools, audio_tools, bucket.keyframes),
    )
    alone = network.sound_velocities(sound, tables)

    def twice(positions: mx.array) -> mx.array:
        return mx.concatenate([positions, positions])

    timesteps = mx.array(np.where(fixed, 0, sigma[:, None, None]).astype(np.float32))
    sound_timesteps = mx.array(np.where(silent, 0, sound_sigma[:, None, None]).astype(np.float32))
    # Attentions in training take other tables.
    generator = LTXModel(network.transformer.config)
    generator.update(network.transformer.parameters())
    heard_as = Modality(
        audio, mx.array(sound_sigma), sound_timesteps, twice(audio_tools.positions()), contexts[1]
    )
    wanted = generator(
        Modality(video, mx.array(sigma), timesteps, twice(state.positions), contexts[0]), heard_as
    )
    for own, other in zip((*found, alone), (*wanted, generator(None, heard_as)[1]), strict=True):
        assert other is not None
        np.testing.assert_allclose(own, other, atol=2e-5 * float(mx.abs(other).max()))


@given(tokens=st.integers(10, 2000))
@settings(max_examples=10, deadline=None)
def test_noise_levels_lie_between_none_and_all(tokens: int) -> None:
    sigma = draw_sigmas(np.random.default_rng(0), 1000, tokens)
    assert 0 < sigma.min() < 0.2
    assert 0.9 < sigma.max() <= 1
    assert sigma.dtype == np.float32


def test_a_few_steps_reduce_the_loss_and_go_on_from_files(
    encoders: Encoders, captions: Captions, tmp_path: Path
) -> None:
    network, config = build(encoders, captions)
    trainer = Trainer(network, make_loss(network), matrices=is_matrix)
    rng = np.random.default_rng(0)
    pool = Pool(BUCKET, encoders, captions, rng)
    tables = network.tables(encoders.video_tools(BUCKET), encoders.audio_tools(BUCKET))
    negative = Negative(trainer, network, captions)
    data = Data([pool], [tables], rng, 200, 8, negative.contexts())
    batch = flattened(data.batch(0))
    losses = [trainer.step(3e-3, *batch)["loss"].item() for _ in range(6)]
    assert losses[-1] < 0.8 * losses[0]

    save_state(trainer, tmp_path, {"progress": "0.5"}, moments=True)
    other = build(encoders, captions)[0]
    again = Trainer(other, make_loss(other), matrices=is_matrix)
    assert load_state(again, tmp_path)["progress"] == "0.5"
    assert again.steps == 6
    np.testing.assert_allclose(again.weights["now"][0], trainer.weights["now"][0], rtol=5e-4, atol=1e-7)
    np.testing.assert_allclose(again.weights["average"][0], trainer.weights["average"][0], atol=1e-4)
    assert [state["step"].item() for state in again.optimizer.state["states"]] == [6, 6]
    momentum, wanted = (t.optimizer.state["states"][0]["stacks"][0]["v"] for t in (again, trainer))
    np.testing.assert_allclose(momentum, wanted, rtol=5e-3, atol=1e-6)
    plain = Trainer(other, make_loss(other))
    load_state(plain, tmp_path)
    assert plain.optimizer.state["step"].item() == 0

    trainer.install()
    save_diffusion(tmp_path / "diffusion.safetensors", network, {**config, "tokenizer": "?"}, mx.float32)
    loaded, _ = load_diffusion(tmp_path / "diffusion.safetensors", mx.float32)
    ids, lengths = (mx.array(values) for values in captions.encode(["a ball"]))
    for own, other in zip(loaded.contexts(ids, lengths), network.contexts(ids, lengths), strict=True):
        np.testing.assert_array_equal(own, other)


def start(name: str, folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """A training stage as a person runs it."""
    command = [sys.executable, "-m", f"ltx_pocket.train.{name}", "--size", "tiny", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def stage(name: str, folder: Path, *arguments: str) -> None:
    """Run one to its end."""
    assert start(name, folder, *arguments).wait() == 0


def test_pools_grow(encoders: Encoders, captions: Captions) -> None:
    rng = np.random.default_rng(0)
    pools = [Pool(replace(bucket, scenes=1), encoders, captions, rng) for bucket in BUCKETS["tiny"]]
    for pool in pools:
        pool.at_once = 2
    added = grow(pools, rng, 0.5)
    assert added >= 2
    assert sum(pool.scenes for pool in pools) == added + len(pools)
    largest = max(pools, key=lambda pool: pool.scenes)
    assert (
        len(largest.video) == len(largest.audio) == len(largest.ids) == len(largest.lengths) == largest.scenes
    )
    video, _, ids, lengths = largest.draw(rng, 50)
    assert len(video) == 50
    assert (np.count_nonzero(ids, axis=1) == lengths).all()


def test_two_processes_train_together(files: Path, tmp_path: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    (tmp_path / "hosts.json").write_text(json.dumps([[f"127.0.0.1:{port}"] for port in ports]))
    given = [
        *("--video-vae", str(files / "video_vae.safetensors")),
        *("--audio-vae", str(files / "audio_vae.safetensors")),
        *("--tokenizer", str(files / "gemma")),
    ]
    options = ["--out", "run", "--minutes", "0.1", "--tokens", "64", "--encode-seconds", "1", *given]
    running = [
        start(
            *("transformer", tmp_path, *options),
            MLX_RANK=str(rank),
            MLX_HOSTFILE=str(tmp_path / "hosts.json"),
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    logs = [tmp_path / "run" / "log.jsonl", tmp_path / "run" / "rank-1" / "log.jsonl"]
    entries = [[json.loads(line) for line in log.read_text().splitlines()] for log in logs]
    assert entries[0][0]["processes"] == 2
    assert entries[0][-1]["steps"] == entries[1][-1]["steps"] > 0
    assert (tmp_path / "run" / "diffusion.safetensors").exists()
    assert not (tmp_path / "run" / "rank-1" / "diffusion.safetensors").exists()


def test_from_training_to_a_clip(files: Path, tmp_path: Path) -> None:
    given = [
        *("--video-vae", str(files / "video_vae.safetensors")),
        *("--audio-vae", str(files / "audio_vae.safetensors")),
        *("--tokenizer", str(files / "gemma")),
    ]
    upscaler = LatentUpsampler(LatentUpsamplerConfig.from_config(configs.upscaler("space", "tiny")))
    # No component of a checkpoint: a file of its own, with convolutions in the official layout.
    axes = conv_axes(upscaler)
    tensors = {
        name: value.transpose(np.argsort(axes[name]).tolist()) if name in axes else value
        for name, value in tree_flatten(upscaler.parameters())
    }
    write_checkpoint(tmp_path / "upscaler.safetensors", tensors, configs.upscaler("space", "tiny"))
    train = ["--minutes", "0.1", "--tokens", "64", "--encode-seconds", "1", *given]
    stage("transformer", tmp_path, "--out", "first", "--to", "0.5", *train)
    stage("transformer", tmp_path, "--out", "second", "--resume", "first", *train)
    entries = [json.loads(line) for line in (tmp_path / "second" / "log.jsonl").read_text().splitlines()]
    assert entries[0]["start"] == 0.5
    assert (tmp_path / "second" / "samples-64.png").stat().st_size > 1000
    stage(
        *(
            "distill",
            tmp_path,
            "--out",
            "distill",
            "--teacher",
            "second/diffusion.safetensors",
            "--rank",
            "4",
        ),
        *("--minutes", "0.2", "--tokens", "64", "--encode-seconds", "1", "--walk-seconds", "1", *given),
        *("--spatial-upscaler", "upscaler.safetensors"),
    )

    parts = Parts(
        diffusion=tmp_path / "second" / "diffusion.safetensors",
        video_vae=files / "video_vae.safetensors",
        audio_vae=files / "audio_vae.safetensors",
        vocoder=files / "vocoder.safetensors",
        tokenizer=files / "gemma",
        lora=tmp_path / "distill" / "distilled_lora.safetensors",
        spatial_upscaler=tmp_path / "upscaler.safetensors",
    )
    model = tmp_path / "model"
    sizes = pack(parts, model)
    assert sizes["checkpoint.safetensors"] == (model / "checkpoint.safetensors").stat().st_size
    checkpoint = Checkpoint.open(model / "checkpoint.safetensors")
    assert checkpoint.model_version == (2, 3, 0)
    assert load_gemma(model / "gemma", mx.float32).config.vocab_size % 64 == 0
    # The training goes on from the packed model, without the files of the stages.
    packed = [
        *("--video-vae", "model/checkpoint.safetensors", "--audio-vae", "model/checkpoint.safetensors"),
        *("--tokenizer", "model/gemma"),
    ]
    again = ["--minutes", "0.05", "--tokens", "64", "--encode-seconds", "1", *packed]
    stage("transformer", tmp_path, "--out", "third", "--resume", "model", *again)
    network, config = load_diffusion(model, mx.float32)
    trained, _ = load_diffusion(parts.diffusion, mx.float32)
    assert config["tokenizer"] == fingerprint(files / "gemma")
    for own, other in zip(tree_flatten(network), tree_flatten(trained), strict=True):
        np.testing.assert_array_equal(own[1], other[1])

    transformer = checkpoint.build("transformer", mx.float32)
    (report,) = fuse_loras(transformer, [(Lora.open(model / "distilled_lora.safetensors"), 1.0)])
    assert report.applied > 50
    assert not report.unmatched

    write_distilled(
        model / "checkpoint.safetensors",
        model / "distilled_lora.safetensors",
        tmp_path / "distilled.safetensors",
    )
    pipeline = create_distilled_pipeline(
        tmp_path / "distilled.safetensors", model / "gemma", model / "spatial_upscaler.safetensors"
    )
    config = DistilledConfig(prompt="a red ball", height=128, width=128, num_frames=9, frame_rate=16)
    result = pipeline(config)
    assert result.frames.shape == (9, 128, 128, 3)

    (tmp_path / "other").mkdir()
    write_tokenizer(tmp_path / "other", build_tokenizer(captions=5))
    with pytest.raises(LoaderError, match="another tokenizer"):
        pack(replace(parts, tokenizer=tmp_path / "other"), model)
