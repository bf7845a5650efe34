"""The whole measurement: what was asked for, part by part, into a report."""

import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from typing import Any

from ltx_core.device import backend, resolve_dtype
from ltx_pipelines import DistilledConfig, DistilledPipeline, TextToVideoConfig, TextToVideoPipeline

from ltx_pocket.evaluate import chains
from ltx_pocket.evaluate.autoencoders import measure_autoencoders
from ltx_pocket.evaluate.following import Follower, measure_following, untold
from ltx_pocket.evaluate.judge import Case, unseen
from ltx_pocket.evaluate.makers import Generator, Maker, PipelineName, make_maker
from ltx_pocket.evaluate.parts import measure_images, measure_prompts, measure_style
from ltx_pocket.evaluate.settings import Part, Settings, Track
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.model import create_ic_lora_pipeline, open_models, style_lora

REPORT = "report.json"


def measure(settings: Settings, track: Track) -> dict[str, Any]:
    """Measure every part, writing the report after each; returns it as plain JSON values.

    Raises:
        LTXError: the model is missing or damaged, or a setting is not possible.
    """
    report: dict[str, Any] = {
        "weights": str(settings.weights),
        "device": backend(),
        "dtype": str(resolve_dtype(settings.dtype)).removeprefix("mlx.core."),
        "mlx": version("mlx"),
        "size": settings.size._asdict(),
        "seed": settings.seed,
    }
    measures: dict[Part, Callable[[Settings, Track], dict[str, Any]]] = {
        Part.prompts: _prompts,
        Part.bounce: _bounces,
        Part.vae: _vae,
        Part.guidance: _guidance,
        Part.stages: chains.stages,
        Part.image: _images,
        Part.keyframes: chains.keyframes,
        Part.ic_lora: _references,
        Part.audio_to_video: chains.audio_to_video,
        Part.text_to_audio: chains.text_to_audio,
        Part.retake: chains.retake,
        Part.extend: chains.extend,
        Part.frame_rate: chains.frame_rate,
        Part.style: _style,
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    for part in settings.parts:
        report[part.value] = measures[part](settings, track)
        (settings.out / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _makers(settings: Settings) -> Iterator[tuple[str, Maker]]:
    for name in settings.pipelines:
        yield (
            name.value,
            make_maker(name, settings.size, settings.weights, settings.dtype, settings.steps),
        )


def _prompts(settings: Settings, track: Track) -> dict[str, Any]:
    chosen = list(islice(unseen(settings.seed), settings.count))
    return _on_pipelines(settings, track, "prompts", chosen)


def _bounces(settings: Settings, track: Track) -> dict[str, Any]:
    wanted = filter(lambda case: case.asks_for_pulses, unseen(settings.seed))
    return _on_pipelines(settings, track, "bounce", list(islice(wanted, settings.few)))


def _on_pipelines(settings: Settings, track: Track, part: str, chosen: list[Case]) -> dict[str, Any]:
    found = {}
    for name, make in _makers(settings):
        sheet = ContactSheet(settings.out / f"{part}-{name}.png")
        found[name] = measure_prompts(make, track(chosen, f"{part}, {name}"), sheet)
    return found


def _vae(settings: Settings, track: Track) -> dict[str, Any]:
    models = open_models(settings.weights, distilled=False, dtype=settings.dtype)
    chosen = list(islice(unseen(settings.seed), settings.count))
    sheet = ContactSheet(settings.out / "vae.png")
    measured = measure_autoencoders(models, track(chosen, "autoencoders"), sheet, settings.size)
    return {"autoencoders": measured}


def _guidance(settings: Settings, track: Track) -> dict[str, Any]:
    """The undistilled model under guidance by the prompt alone."""
    pipeline = TextToVideoPipeline(open_models(settings.weights, distilled=False, dtype=settings.dtype))
    chosen = list(islice(unseen(settings.seed), settings.few))
    found = {}
    for scale in settings.scales:
        options = {"cfg_scale": scale, "audio_cfg_scale": scale, "num_inference_steps": settings.steps}
        make = Generator(pipeline, TextToVideoConfig, settings.size, options)
        sheet = ContactSheet(settings.out / f"guidance-{scale:g}.png")
        found[f"{scale:g}"] = measure_prompts(make, track(chosen, f"guidance {scale:g}"), sheet)
    return found


def _images(settings: Settings, track: Track) -> dict[str, Any]:
    chosen = list(islice(unseen(settings.seed), settings.count))
    found = {}
    for name, make in _makers(settings):
        sheet = ContactSheet(settings.out / f"image-{name}.png")
        found[name] = measure_images(make, track(chosen, f"image, {name}"), sheet, settings.size)
    return found


def _references(settings: Settings, track: Track) -> dict[str, Any]:
    """With the in-context LoRA, and the same prompts without a reference."""
    chosen = list(islice(map(untold, unseen(settings.seed)), settings.few))
    pipeline = create_ic_lora_pipeline(settings.weights, dtype=settings.dtype)
    plain = make_maker(PipelineName.distilled, settings.size, settings.weights, settings.dtype)
    makers = {"with reference": Follower(pipeline, settings.size), "without": plain}
    found = {}
    for name, make in makers.items():
        sheet = ContactSheet(settings.out / f"ic-lora-{name.replace(' ', '-')}.png")
        found[name] = measure_following(make, track(chosen, f"ic-lora, {name}"), sheet)
    return found


def _style(settings: Settings, track: Track) -> dict[str, Any]:
    """With the style's LoRA and without."""
    chosen = list(islice(unseen(settings.seed), settings.few))
    found = {}
    for name, loras in {"with the LoRA": [style_lora(settings.weights)], "without": []}.items():
        models = open_models(settings.weights, distilled=True, loras=loras, dtype=settings.dtype)
        make = Generator(DistilledPipeline(models), DistilledConfig, settings.size, {})
        sheet = ContactSheet(settings.out / f"style-{name.replace(' ', '-')}.png")
        found[name] = measure_style(make, track(chosen, f"style, {name}"), sheet)
    return found
