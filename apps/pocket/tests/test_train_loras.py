"""Style and in-context LoRAs: what they learn from is what pipelines give them; files that pipelines take."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np
import pytest
from ltx_core.conditioning import VideoConditionByReferenceLatent
from ltx_core.types import Modality
from ltx_loaders import LoaderError, Lora
from ltx_models.transformer import LTXModel
from ltx_pipelines import DistilledConfig, ReferenceVideo
from ltx_pipelines.events import ignore
from ltx_pipelines.references import AttentionStrength, ReferenceScale, encode_references
from ltx_pocket.evaluate.following import reference, untold
from ltx_pocket.evaluate.judge import unseen
from ltx_pocket.evaluate.makers import Size, World, to_bytes
from ltx_pocket.evaluate.run import measure
from ltx_pocket.evaluate.settings import Part, Settings
from ltx_pocket.evaluate.tracks import track_distance
from ltx_pocket.model import create_distilled_pipeline, create_ic_lora_pipeline, open_models, style_lora
from ltx_pocket.pack import pack
from ltx_pocket.train.adapters import Adapters
from ltx_pocket.train.diffusion import Stream, of_tokens, sinusoids
from ltx_pocket.train.distill import make_loss
from ltx_pocket.train.ic_lora import References, disguised
from ltx_pocket.train.ic_lora import main as ic_lora_training
from ltx_pocket.train.latents import Bucket, Encoders
from ltx_pocket.train.loras import Workshop, lora_arguments, of_pictures, plain_tables
from ltx_pocket.train.pairs import encode_view, fill_pairs
from ltx_pocket.train.style import batches, neon
from ltx_pocket.train.style import main as style_training
from ltx_pocket.train.weights import load_diffusion
from ltx_pocket.world import Scene, Thing, caption, render, sample_scene, silhouettes
from ltx_pocket.world import pack as pack_scenes
from ltx_pocket.world.captions import PARTS, caption_with_parts
from ltx_pocket.world.detectors import is_neon, look

from tests.untrained_pocket import untrained_parts, write_untrained

BALL = Thing("circle", "red", "medium", "right", 0.25, 0.4, 0.4)
SCENE = Scene((BALL,), "sea", "low")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def encoders(model: Path) -> Encoders:
    return Encoders(model.parent / "video_vae.safetensors", model.parent / "audio_vae.safetensors")


def test_neon_things_are_told_from_solid_ones() -> None:
    rng = np.random.default_rng(1)
    scenes = [scene for scene in (sample_scene(rng) for _ in range(16)) if scene.things[0].colour != "white"]
    told = [
        [is_neon(np.array(clip), 16.0) for clip in render(pack_scenes(scenes[:8]), 128, 128, 5, 16.0, style)]
        for style in ("plain", "neon")
    ]
    assert not any(told[0])
    assert sum(map(bool, told[1])) >= 7
    white = replace(SCENE, things=(replace(BALL, colour="white"),), background="black")
    assert is_neon(np.array(render(pack_scenes([white]), 64, 64, 9, 16.0)[0]), 16.0) is None


def test_a_silhouette_moves_as_the_thing_does_and_shows_nothing_else() -> None:
    rng = np.random.default_rng(0)
    shown = np.array(silhouettes(pack_scenes([disguised(SCENE, rng)]), 64, 64, 33, 16.0)[0])
    thing = look(shown, 16.0).things[0]
    assert (thing.motion, thing.colour) == ("right", "white")
    np.testing.assert_allclose(thing.track.x[0], BALL.x, atol=0.03)
    assert (shown[:, :4] == 0).all()
    shapes = {disguised(SCENE, rng).things[0].shape for _ in range(30)}
    assert len(shapes) > 4


def test_captions_leave_out_what_they_are_told_to() -> None:
    rng = np.random.default_rng(0)
    text, parts = caption_with_parts(SCENE, rng, complete=True, without=("motion",))
    assert parts == set(PARTS) - {"motion", "size"} or parts == set(PARTS) - {"motion"}
    assert "right" not in text.lower()


@pytest.mark.parametrize("downscale", [1, 2])
def test_training_sees_the_tokens_that_the_pipeline_makes(
    model: Path, encoders: Encoders, downscale: int
) -> None:
    bucket, references = Bucket(128, 64, 9, 1.0, 1), References(downscale)
    tools = encoders.video_tools(bucket)
    shown = silhouettes(pack_scenes([SCENE]), *references.size(bucket))
    trained = encode_view(encoders, shown)

    models = open_models(model, distilled=True, dtype="float32")
    # As large as the clip, as people give it.
    video = ReferenceVideo(np.repeat(np.repeat(to_bytes(shown[0]), downscale, 1), downscale, 2))
    (item,) = encode_references(
        models, [video], bucket.shape, ReferenceScale(downscale), AttentionStrength(), ignore
    )
    assert isinstance(item, VideoConditionByReferenceLatent)
    state = item.apply_to(tools.create_initial_state(), tools)
    np.testing.assert_array_equal(references.positions(encoders, bucket), state.positions)
    clean = state.clean_latent[:, tools.num_tokens :]
    scale = float(mx.abs(clean).max())
    np.testing.assert_allclose(trained.astype(mx.float32), clean, atol=0.02 * scale)

    given = references.given(encoders, bucket, np.array([False]))
    tokens = of_tokens(given, state.latent.shape[1])
    np.testing.assert_array_equal(1 - tokens.astype(mx.float32), state.denoise_mask)
    first = references.given(encoders, bucket, np.array([True]))
    frame = tools.target_shape.height * tools.target_shape.width
    assert int(of_tokens(first, tokens.shape[1]).sum() - tokens.sum()) == frame

    # The same velocities as those of the pipeline's network.
    network, _ = load_diffusion(model.parent / "diffusion.safetensors", mx.float32)
    for name in ("proj_out", "audio_proj_out"):
        head = network.transformer[name]
        head.weight = 0.1 * mx.random.normal(head.weight.shape)
    sound = encoders.audio_tools(bucket)
    audio = mx.random.normal((1, sound.num_tokens, encoders.audio_features))
    noisy = mx.concatenate([mx.random.normal((1, tools.num_tokens, clean.shape[2])), clean], axis=1)
    contexts = network.contexts(mx.array([[2, 5]]), mx.array([2]))
    sigma = np.float32([0.7])
    found = network.velocities(
        Stream(noisy, sinusoids(sigma), contexts[0], given),
        Stream(audio, sinusoids(sigma), contexts[1]),
        references.tables(network, encoders, bucket),
    )
    generator = LTXModel(network.transformer.config)
    generator.update(network.transformer.parameters())
    times, sound_times = mx.array(sigma) * state.denoise_mask, mx.full((1, sound.num_tokens, 1), 0.7)
    wanted = generator(
        Modality(noisy, mx.array(sigma), times, state.positions, contexts[0]),
        Modality(audio, mx.array(sigma), sound_times, sound.positions(), contexts[1]),
    )
    for own, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(own, other, atol=2e-5 * float(mx.abs(other).max()))


def test_clips_of_the_world_follow_their_references() -> None:
    case = next(untold(case) for case in unseen(1) if case.scene.things[0].motion == "circle")
    assert "motion" in case.parts
    size = Size(128, 128)
    assert reference(case.scene, size).shape == (33, 128, 128, 3)
    made = World(size)(case)
    way = track_distance(case.scene, made)
    assert way is not None
    assert way < 0.03
    late = track_distance(case.scene, made._replace(frames=np.roll(made.frames, 10, axis=0)))
    assert late is not None
    assert late > 0.1


def options(model: Path, out: Path) -> list[str]:
    """The arguments that a person gives."""
    parts = model.parent
    arguments = {
        "out": out,
        "base": parts / "diffusion.safetensors",
        "distilled": parts / "lora.safetensors",
        "video-vae": parts / "video_vae.safetensors",
        "audio-vae": parts / "audio_vae.safetensors",
        "tokenizer": parts / "tokenizer",
        "size": "tiny",
        "minutes": 0.05,
        "tokens": 150,
        "encode-seconds": 0,
    }
    return [text for name, value in arguments.items() for text in (f"--{name}", str(value))]


def train(main: Callable[[], None], model: Path, out: Path, *more: str) -> None:
    """A whole training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *options(model, out), *more])
        main()


def test_what_looks_the_same_in_the_style_is_left_as_it_is(model: Path, tmp_path: Path) -> None:
    args = lora_arguments(None, minutes=1, rank=2).parse_args(options(model, tmp_path))
    workshop = Workshop.open(args)
    teacher, network = workshop.network(), workshop.network()
    for own in (teacher, network):
        for name in ("proj_out", "audio_proj_out"):
            head = own.transformer[name]
            head.weight = mx.full(head.weight.shape, 0.1)

    def plain(scenes: Sequence[Scene], bucket: Bucket, _: np.random.Generator) -> mx.array:
        return render(pack_scenes(scenes), *bucket_size(bucket))

    buckets = [Bucket(64, 64, 9, 1.0, 2)]
    losses = []
    for view in (plain, neon):
        pairs = fill_pairs(
            buckets, workshop.encoders, workshop.captions, workshop.rng, 0, sample_scene, view, caption
        )
        tables = [plain_tables(network, workshop.encoders, own) for own in pairs]
        adapters = Adapters(network.transformer, 2, of_pictures)
        batch = next(batches(workshop, pairs, tables, teacher))
        losses.append(float(make_loss(adapters, network)(*batch)[0]))
    assert losses[0] < 1e-6 < 1e-3 < losses[1]


def bucket_size(bucket: Bucket) -> tuple[int, int, int, float]:
    return bucket.height, bucket.width, bucket.num_frames, bucket.frame_rate


def test_from_training_to_clips(model: Path, tmp_path: Path) -> None:
    train(style_training, model, tmp_path / "style")
    train(ic_lora_training, model, tmp_path / "ic", "--downscale", "2")
    style, ic_lora = tmp_path / "style" / "style.safetensors", tmp_path / "ic" / "ic_lora.safetensors"
    assert Lora.open(style).reference_downscale_factor == 1
    assert Lora.open(ic_lora).reference_downscale_factor == 2
    changed = [name for name, value in Lora.open(style).tensors().items() if "lora_B" in name and value.any()]
    assert len(changed) > 20
    assert not any("audio" in name for name in changed)
    assert (tmp_path / "style" / "samples-64.png").stat().st_size > 1000
    assert (tmp_path / "ic" / "samples.png").stat().st_size > 1000

    with pytest.raises(LoaderError, match="ic_lora"):
        create_ic_lora_pipeline(model)
    packed = replace(untrained_parts(model.parent), temporal_upscaler=None, style=style, ic_lora=ic_lora)
    folder = tmp_path / "model"
    assert {"style.safetensors", "ic_lora.safetensors"} < set(pack(packed, folder))
    config = DistilledConfig(prompt="a red ball", height=64, width=64, num_frames=9, frame_rate=16)
    plain, styled = (
        create_distilled_pipeline(folder, loras=loras)(config).frames for loras in ([], [style_lora(folder)])
    )
    assert (plain != styled).any()

    settings = Settings(
        out=tmp_path,
        weights=folder,
        parts=(Part.ic_lora, Part.style),
        few=1,
        size=Size(128, 128, 9),
    )
    measure(settings, lambda items, what: items)
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["ic-lora"]) == {"with reference", "without"}
    assert report["ic-lora"]["with reference"]["measures"]["motion"]["judged"] == 1
    assert report["style"]["with the LoRA"]["neon"]["judged"] in (0, 1)
    for name in ("ic-lora-with-reference", "style-without"):
        assert (tmp_path / f"{name}.png").stat().st_size > 100


def test_seeds_of_evaluation_words_are_those_of_the_case() -> None:
    first, again = ([untold(case).prompt for case in islice(unseen(2), 4)] for _ in range(2))
    assert first == again
