"""The parts of the measurement that are about single pipelines, each on clips that show what it is for."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from ltx_pocket.evaluate.autoencoders import Autoencoders
from ltx_pocket.evaluate.beat import Drummer, measure_beat
from ltx_pocket.evaluate.doubling import Doubler, measure_doubling
from ltx_pocket.evaluate.extension import Extender, measure_extension
from ltx_pocket.evaluate.judge import Case, unseen
from ltx_pocket.evaluate.keyframes import Interpolator, measure_keyframes
from ltx_pocket.evaluate.makers import Maker, PipelineName, World, make_maker
from ltx_pocket.evaluate.retake import Retaker, measure_retakes
from ltx_pocket.evaluate.settings import Settings, Track
from ltx_pocket.evaluate.sharpness import measure_sharpness
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.evaluate.sounds import Singer, measure_sounds
from ltx_pocket.evaluate.tracks import travelling
from ltx_pocket.model import (
    create_audio_to_video_pipeline,
    create_extend_pipeline,
    create_keyframe_interpolation_pipeline,
    create_text_to_audio_pipeline,
    open_models,
    temporal_upscaler,
)

STAGES = (
    PipelineName.one_stage,
    PipelineName.two_stage,
    PipelineName.two_stage_hq,
    PipelineName.distilled,
)


def _few(cases: Iterator[Case], settings: Settings) -> list[Case]:
    return list(islice(cases, settings.few))


def keyframes(settings: Settings, track: Track) -> dict[str, Any]:
    """From the first picture of a scene to its last."""
    pipeline = create_keyframe_interpolation_pipeline(settings.weights, dtype=settings.dtype)
    make = Interpolator(pipeline, settings.size, settings.steps)
    chosen = _few(travelling(settings.seed), settings)
    sheet = ContactSheet(settings.out / "keyframes.png")
    return {"keyframes": measure_keyframes(make, track(chosen, "keyframes"), sheet)}


def retake(settings: Settings, track: Track) -> dict[str, Any]:
    """The middle third of scenes in another colour and with another tone."""
    make = Retaker(open_models(settings.weights, distilled=True, dtype=settings.dtype), settings.size)
    chosen = _few(unseen(settings.seed), settings)
    sheet = ContactSheet(settings.out / "retake.png")
    return {"retake": measure_retakes(make, track(chosen, "retake"), sheet)}


def extend(settings: Settings, track: Track) -> dict[str, Any]:
    """Halves of scenes made whole."""
    pipeline = create_extend_pipeline(settings.weights, dtype=settings.dtype)
    chosen = _few(travelling(settings.seed), settings)
    found = {}
    for name, before in {"behind": False, "before": True}.items():
        make = Extender(pipeline, settings.size, before)
        sheet = ContactSheet(settings.out / f"extend-{name}.png")
        found[name] = measure_extension(make, track(chosen, f"extend, {name}"), sheet)
    return found


def audio_to_video(settings: Settings, track: Track) -> dict[str, Any]:
    """Bounces to the pulses of scenes."""
    pipeline = create_audio_to_video_pipeline(settings.weights, dtype=settings.dtype)
    make = Drummer(pipeline, settings.size, settings.steps)
    chosen = _few(filter(lambda case: case.asks_for_pulses, unseen(settings.seed)), settings)
    sheet = ContactSheet(settings.out / "audio-to-video.png")
    return {"audio-to-video": measure_beat(make, chosen, track, "audio-to-video", sheet)}


def text_to_audio(settings: Settings, track: Track) -> dict[str, Any]:
    """Sounds without pictures."""
    pipeline = create_text_to_audio_pipeline(settings.weights, dtype=settings.dtype)
    chosen = _few(filter(lambda case: "sound" in case.parts, unseen(settings.seed)), settings)
    make = Singer(pipeline, settings.size, settings.steps)
    return {"text-to-audio": measure_sounds(make, track(chosen, "text-to-audio"))}


def stages(settings: Settings, track: Track) -> dict[str, Any]:
    """The same prompts and seeds in one stage and in two, and scenes through the autoencoders."""
    chosen, world = _few(unseen(settings.seed), settings), World(settings.size)
    makers: dict[str, Maker] = {
        name.value: make_maker(name, settings.size, settings.weights, settings.dtype, settings.steps)
        for name in STAGES
    }
    autoencoders = Autoencoders(open_models(settings.weights, distilled=False, dtype=settings.dtype))
    makers["autoencoders"] = lambda case, image=None: autoencoders(world(case))
    found = {}
    for name, make in makers.items():
        sheet = ContactSheet(settings.out / f"stages-{name}.png")
        found[name] = measure_sharpness(make, world, track(chosen, f"stages, {name}"), sheet)
    return found


def frame_rate(settings: Settings, track: Track) -> dict[str, Any]:
    """Clips and scenes at twice the frame rate."""
    models = open_models(settings.weights, distilled=True, dtype=settings.dtype)
    make = Doubler(models, settings.size, temporal_upscaler(settings.weights))
    chosen = _few(unseen(settings.seed), settings)
    sheet = ContactSheet(settings.out / "frame-rate.png")
    return {"doubled": measure_doubling(make, track(chosen, "frame rate"), sheet)}
