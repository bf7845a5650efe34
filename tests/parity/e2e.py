"""Whole runs of the official pipelines: how they are read, run by ours, and judged.

A run is a folder with `case.json` (pipeline class, arguments, noise list) and `tensors.safetensors` (inputs,
noise in the order of the draws, outputs); its parent holds checkpoint, text encoder, upscaler and LoRAs.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
from ltx_core import Audio, MultiModalGuiderFactory, MultiModalGuiderParams
from ltx_models.video_vae import DimensionSizeConfig, TileSizeConfig, to_uint8
from ltx_pipelines import CheckpointModels, GenerationResult, ImageCondition, LoraPathStrength
from ltx_pipelines.config import Guidance
from safetensors.numpy import load_file

from tests.parity.harness import MAX_OFF_BY_ONE, Result, relative_l2

LIMIT = 1e-3


@dataclass(frozen=True)
class Run:
    """One recorded run."""

    path: Path

    @property
    def root(self) -> Path:
        """The version directory."""
        return self.path.parent

    @property
    def name(self) -> str:
        return f"{self.root.name}/{self.path.name}"

    @cached_property
    def about(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads((self.path / "case.json").read_text())
        return values

    @cached_property
    def tensors(self) -> dict[str, np.ndarray]:
        return load_file(self.path / "tensors.safetensors")

    @property
    def init(self) -> dict[str, Any]:
        """Arguments of the pipeline's construction."""
        init: dict[str, Any] = self.about["init"]
        return init

    @property
    def call(self) -> dict[str, Any]:
        """Arguments of the call."""
        call: dict[str, Any] = self.about["call"]
        return call

    def loras(self, name: str = "loras") -> tuple[LoraPathStrength, ...]:
        """LoRAs of a constructor argument."""
        return tuple(LoraPathStrength(self.root / e["path"], e["strength"]) for e in self.init.get(name, []))

    def models(self, loras: tuple[LoraPathStrength, ...] | None = None) -> CheckpointModels:
        """The networks of the run, in float32."""
        checkpoint = self.init.get("checkpoint_path") or self.init["distilled_checkpoint_path"]
        upsampler = self.init.get("spatial_upsampler_path")
        return CheckpointModels(
            self.root / checkpoint,
            self.root / self.init["gemma_root"],
            None if upsampler is None else self.root / upsampler,
            loras=self.loras() if loras is None else loras,
            dtype="float32",
        )

    def images(self) -> tuple[ImageCondition, ...]:
        """Images in order: as they left the codec, where there was one."""
        result = []
        for index, image in enumerate(self.call.get("images", [])):
            name = f"in.image.{index:02d}"
            pixels = self.tensors.get(f"{name}.after_codec", self.tensors[f"{name}.raw"])
            result.append(ImageCondition(pixels, image["frame_idx"], image["strength"], crf=0))
        return tuple(result)

    def clip(self) -> dict[str, Any]:
        """What every config takes, as far as the call has it."""
        names = ("prompt", "negative_prompt", "seed", "height", "width", "num_frames", "frame_rate")
        values = {name: self.call[name] for name in (*names, "num_inference_steps") if name in self.call}
        return {**values, "images": self.images()} if "images" in self.call else values

    def guidance(self) -> dict[str, Guidance]:
        """`video_guidance` and `audio_guidance`, as far as the call has them."""
        return {
            f"{stream}_guidance": _guidance(self.call[f"{stream}_guider_params"])
            for stream in ("video", "audio")
            if f"{stream}_guider_params" in self.call
        }

    def audio(self, name: str, sampling_rate: int) -> Audio:
        """A recorded waveform."""
        return Audio(mx.array(self.tensors[f"in.{name}.waveform"][0]), sampling_rate)

    @cached_property
    def noise(self) -> "Recorded":
        """The recorded draws."""
        return Recorded([self.tensors[entry["tensor"]] for entry in self.about["noise"]])

    def tiling(self) -> TileSizeConfig | None:
        """How the frames were decoded."""
        tiles = self.call.get("tiling_config")
        if tiles is None:
            return None
        space, time = tiles.get("spatial_config"), tiles.get("temporal_config")
        whole = DimensionSizeConfig()
        frames = (
            DimensionSizeConfig(time["tile_size_in_frames"], time["tile_overlap_in_frames"])
            if time
            else whole
        )
        pixels = (
            DimensionSizeConfig(space["tile_size_in_pixels"], space["tile_overlap_in_pixels"])
            if space
            else whole
        )
        return TileSizeConfig(frames, pixels, pixels)


class Recorded:
    """Noise from a recording: every call gives the next draw."""

    def __init__(self, draws: list[np.ndarray]) -> None:
        self.draws = draws
        self.used = 0

    def __call__(self, like: mx.array) -> mx.array:
        assert self.used < len(self.draws), f"more than {len(self.draws)} draws of noise"
        noise = self.draws[self.used]
        assert noise.shape == like.shape, f"draw {self.used}: {like.shape}, the reference drew {noise.shape}"
        self.used += 1
        return mx.array(noise.astype(np.float32))


def _guidance(values: dict[str, Any]) -> Guidance:
    bins = values.get("params_by_sigma_upper_bound")
    if bins is None:
        return MultiModalGuiderParams(**values)
    return MultiModalGuiderFactory.from_dict({bound: MultiModalGuiderParams(**p) for bound, p in bins})


Runner = Callable[[Run], GenerationResult]
RUNNERS: dict[str, Runner] = {}


def runs(pipeline: str) -> Callable[[Runner], Runner]:
    """Register what runs our pipeline with the arguments of an official class."""

    def register(function: Runner) -> Runner:
        RUNNERS[pipeline] = function
        return function

    return register


def find_runs(directory: Path) -> list[Path]:
    """Every folder of a recorded run at or below a directory."""
    return sorted(path.parent for path in directory.rglob("case.json"))


def judge(run: Run, made: GenerationResult) -> Result:
    """Compare everything that was recorded as an output."""
    result = Result(run.name, limit=LIMIT)
    if run.noise.used != len(run.noise.draws):
        result.failures.append(f"{run.noise.used} of {len(run.noise.draws)} draws of noise were used")
    for name, want, got in _pairs(run, made):
        if got is None or got.shape != want.shape:
            shape = None if got is None else got.shape
            result.failures.append(f"{name}: shape {shape}, the reference has {want.shape}")
            continue
        if np.issubdtype(want.dtype, np.integer):
            distance = np.abs(got.astype(np.int64) - want)
            if distance.max() > 1 or (distance > 0).mean() > MAX_OFF_BY_ONE:
                result.failures.append(f"{name}: {(distance > 0).sum()} of {want.size} bytes differ")
            continue
        relative = relative_l2(got, want)
        result.relative = max(result.relative, relative)
        result.absolute = max(result.absolute, float(np.abs(got.astype(np.float64) - want).max(initial=0)))
        if not relative <= LIMIT:
            result.failures.append(f"{name}: relative L2 error {relative:.2e} > {LIMIT:.0e}")
    return result


def _pairs(run: Run, made: GenerationResult) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    outputs = {name: value for name, value in run.tensors.items() if name.startswith("out.")}
    assert outputs, f"{run.path} has no outputs"
    for name, want in outputs.items():
        yield name, want, _made(run, made, name)


def _made(run: Run, made: GenerationResult, name: str) -> np.ndarray | None:
    """Our value of an output."""
    if name == "out.frames_uint8" and run.tiling() is None:
        return made.frames
    if name == "out.waveform":
        return None if made.audio is None else np.array(made.audio.waveform)
    if name in ("out.video_latent", "out.audio_latent"):
        latent = made.video_latent if name == "out.video_latent" else made.audio_latent
        return None if latent is None else np.array(latent)
    assert name in ("out.pixels_stride3", "out.frames_uint8"), f"unknown output {name}"
    if made.video_latent is None:
        return None
    with run.models(()).video_decoder() as decoder:
        tiling = run.tiling()
        pixels = (
            decoder(made.video_latent)
            if tiling is None
            else mx.concatenate(list(decoder.tiled_decode(made.video_latent, tiling)), axis=2)
        )
        if name == "out.pixels_stride3":
            return np.array(pixels)[..., ::3, ::3]
        return np.array(to_uint8(mx.clip((pixels[0].transpose(1, 2, 3, 0) + 1) / 2, 0, 1)))
