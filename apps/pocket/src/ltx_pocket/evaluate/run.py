"""The whole measurement: what was asked for, part by part, into a report."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ltx_core import ConfigError
from ltx_core.device import backend, resolve_dtype
from ltx_pipelines import DistilledConfig, DistilledPipeline, TextToVideoConfig, TextToVideoPipeline

from ltx_pocket.evaluate.autoencoders import measure_autoencoders
from ltx_pocket.evaluate.following import Follower, measure_following, untold
from ltx_pocket.evaluate.judge import Case, unseen
from ltx_pocket.evaluate.makers import Generator, Maker, PipelineName, Size, make_maker
from ltx_pocket.evaluate.parts import measure_images, measure_prompts, measure_style
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.model import create_ic_lora_pipeline, open_models, style_lora

T = TypeVar("T")

NATIVE = Size()

REPORT = "report.json"


class Part(StrEnum):
    """What can be measured. Bounces with a sound are rare among prompts, so they have a part of their own."""

    prompts = "prompts"
    bounce = "bounce"
    vae = "vae"
    guidance = "guidance"
    image = "image"
    ic_lora = "ic-lora"
    style = "style"


class Track(Protocol):
    """The items unchanged, while someone watches how far it has come."""

    def __call__(self, items: Sequence[T], what: str) -> Iterable[T]: ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to measure.

    Attributes:
        out: folder of the report and the pictures.
        weights: folder of the model.
        pipelines: for prompts and images.
        count: clips of each part.
        few: clips of bounces, and at each guidance scale.
        scales: of guidance, for picture and sound alike.
        steps: of guided pipelines; None for the model's own.
        seed: of scenes, wordings and noise.
        dtype: "float32", "bfloat16" or None for what suits the device.
    """

    out: Path
    weights: Path
    parts: tuple[Part, ...] = tuple(Part)
    pipelines: tuple[PipelineName, ...] = (PipelineName.distilled,)
    count: int = 100
    few: int = 32
    scales: tuple[float, ...] = (1, 2, 3, 5)
    steps: int | None = None
    seed: int = 7
    size: Size = NATIVE
    dtype: str | None = None

    def __post_init__(self) -> None:
        if min(self.count, self.few) < 1:
            raise ConfigError(f"at least one clip is needed, got {min(self.count, self.few)}")


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
        Part.image: _images,
        Part.ic_lora: _references,
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
