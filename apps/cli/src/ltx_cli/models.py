"""Which model a clip is made with: the files that were given, or else the pocket model."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from ltx_core import ConfigError
from ltx_core.blas import limit_threads
from ltx_loaders.hub import is_repo_name
from ltx_pipelines import CheckpointModels, LoraPathStrength, Memory, require_distilled_lora
from ltx_pocket import model as pocket

from ltx_cli.arguments import parse_distilled_lora, parse_lora
from ltx_cli.download import paths_in_cache
from ltx_cli.groups import OptionGroup
from ltx_cli.together import devices

QUANTIZE_HELP = "Quantise the transformer: 8 or 4 bits, or mxfp8, mxfp4, nvfp4."
KEEP_FP8_HELP = " fp8 keeps the weights of an fp8 checkpoint."


_shared: ContextVar[dict[Any, CheckpointModels] | None] = ContextVar("models", default=None)


@contextmanager
def shared_models() -> Iterator[None]:
    """In this block, model files that are opened again are the same networks."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


@dataclass(frozen=True)
class ModelFiles:
    """Model files as they were given; none of them stands for the pocket model.

    Raises:
        ConfigError: some were given without the others that they need.
    """

    checkpoint: Path | None
    gemma: Path | None
    spatial_upscaler: Path | None
    distilled_lora: LoraPathStrength | None = None
    loras: tuple[LoraPathStrength, ...] = ()
    dtype: str = "auto"
    quantize: str | None = None
    low_ram: bool = False
    force: bool = False
    offline: bool = False
    devices: str | None = None

    def __post_init__(self) -> None:
        files = ("checkpoint", "gemma", "spatial_upscaler", "distilled_lora")
        given = [name for name in files if getattr(self, name) is not None]
        missing = [f"--{name}" for name in ("checkpoint", "gemma") if name not in given]
        if given and missing:
            names = " and ".join("--" + name.replace("_", "-") for name in given)
            raise ConfigError(
                f"{' and '.join(missing)} missing beside {names}; give the checkpoint and the folder of its "
                "text encoder together, or neither of them for the pocket model"
            )

    @property
    def are_pocket(self) -> bool:
        return self.checkpoint is None

    @property
    def clip(self) -> dict[str, Any]:
        """The clip where the caller does not say; empty for the defaults of the pipeline."""
        return dict(pocket.NATIVE_CLIP) if self.are_pocket else {}

    def note(self, prompt: str) -> str | None:
        """What a person should know about this prompt on this model."""
        return pocket.outside_world(prompt) if self.are_pocket else None

    def open(self, *, distilled: bool, two_stages: bool = False) -> CheckpointModels:
        """The networks; the same ones for the same arguments, inside `shared_models`.

        Args:
            distilled: for pipelines that make all of the clip in few steps, else for guided ones: with the
                distilled LoRA, if there is one, in every stage.
            two_stages: for guided pipelines that need the upscaler.

        Raises:
            LoaderError, ConfigError: as `CheckpointModels`.
        """
        shared, key = _shared.get(), (self, distilled, two_stages)
        if shared is None:
            return self._open(distilled, two_stages)
        if key not in shared:
            shared[key] = self._open(distilled, two_stages)
        return shared[key]

    def _open(self, distilled: bool, two_stages: bool) -> CheckpointModels:
        together = devices(self.devices, guided=not distilled)
        if self.checkpoint is None or self.gemma is None:
            # Its matrix products are so small that threads wait for each other longer than they compute.
            limit_threads(1)
            return pocket.open_models(
                pocket.WEIGHTS,
                distilled=distilled,
                two_stages=two_stages,
                loras=self.loras,
                dtype=self.dtype,
                quantize=self.quantize,
                devices=together,
                memory=Memory.LOW if self.low_ram else Memory.KEEP,
            )
        if any(map(is_repo_name, filter(None, (self.checkpoint, self.gemma, self.spatial_upscaler)))):
            pipeline = "distilled" if distilled else "two-stage" if two_stages else "one-stage"
            return self._from_hub(pipeline)._open(distilled, two_stages)
        loras = self.loras
        if distilled and self.distilled_lora is not None:
            loras = (self.distilled_lora, *loras)
        return CheckpointModels(
            self.checkpoint,
            self.gemma,
            self.spatial_upscaler,
            loras=loras,
            dtype=self.dtype,
            quantize=self.quantize,
            devices=together,
            memory=Memory.LOW if self.low_ram else Memory.FREE,
        )

    def _from_hub(self, pipeline: str) -> "ModelFiles":
        """The same with files in the cache for the names of repositories; one may hold several of them."""
        found: dict[str, Path] = {}
        paths: dict[str, Any] = {}
        for name in ("checkpoint", "gemma", "spatial_upscaler"):
            given: Path | None = getattr(self, name)
            role = name.replace("_", " ")
            if given is not None and is_repo_name(given):
                here = paths_in_cache(given.as_posix(), pipeline, offline=self.offline)
                if role not in here:
                    raise ConfigError(f"{given} holds no {role}, but {', '.join(here)}; give it as that")
                found = here | found
                given = here[role]
            paths[name] = given
        paths["spatial_upscaler"] = paths["spatial_upscaler"] or found.get("spatial upscaler")
        return replace(self, **paths)

    def require_distilled_lora(self) -> LoraPathStrength:
        """The LoRA that the second stage of a guided pipeline is refined with; the pocket model has its own.

        Raises:
            ConfigError: there is none.
        """
        if self.are_pocket:
            return pocket.distilled_lora(pocket.WEIGHTS)
        if self.distilled_lora is None and self.checkpoint is not None and is_repo_name(self.checkpoint):
            here = paths_in_cache(self.checkpoint.as_posix(), "two-stage", offline=self.offline)
            if "distilled LoRA" in here:
                return LoraPathStrength(here["distilled LoRA"])
        return require_distilled_lora(self.distilled_lora)

    def own_ic_loras(self) -> list[LoraPathStrength]:
        """The in-context LoRA that the model comes with, if it is the pocket model."""
        return [pocket.ic_lora(pocket.WEIGHTS)] if self.are_pocket else []

    def require_temporal_upscaler(self, path: Path | None) -> Path:
        """The upscaler in time, the one that was given or the pocket model's own.

        Raises:
            ConfigError: there is none.
        """
        if path is None and not self.are_pocket:
            raise ConfigError(
                "--double-frame-rate needs the file ltx-2-temporal-upscaler-x2; give --temporal-upscaler"
            )
        return path or pocket.temporal_upscaler(pocket.WEIGHTS)

    def refuse_distilled_lora(self, why: str) -> None:
        """A LoRA without effect is an error, not a surprise.

        Args:
            why: what it cannot be used with, and what to do.

        Raises:
            ConfigError: it was given.
        """
        if self.distilled_lora is not None:
            raise ConfigError(f"--distilled-lora cannot be used with {why}")


@dataclass(frozen=True)
class ModelOptions(OptionGroup):
    """The options that choose a model."""

    panel = "Model"
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="LTX-2 checkpoint: a file, a folder or owner/name on the hub; the pocket model if not given."
        ),
    ] = None
    gemma: Annotated[
        Path | None,
        typer.Option(help="Folder of the Gemma 3 text encoder or owner/name on the hub, with --checkpoint."),
    ] = None
    spatial_upscaler: Annotated[
        Path | None, typer.Option(help="Latent upscaler x2, for two-stage pipelines.")
    ] = None
    distilled_lora: Annotated[
        str | None,
        typer.Option(
            metavar="PATH [STRENGTH]",
            help="Distilled LoRA at a strength (1): makes an undistilled checkpoint fit for few steps.",
        ),
    ] = None
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH [STRENGTH [SECOND]]",
            help="LoRA at a strength (1), and at another one in the second of two stages. Repeatable.",
        ),
    ] = None
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto"
    quantize: Annotated[
        str | None,
        typer.Option("--quantize", "-q", metavar="BITS", help=QUANTIZE_HELP + KEEP_FP8_HELP),
    ] = None
    low_ram: Annotated[
        bool,
        typer.Option("--low-ram", help="Read the large networks from disk block by block while they run."),
    ] = False
    force: Annotated[
        bool, typer.Option("--force", help="Run even if the machine seems to have too little memory.")
    ] = False
    offline: Annotated[
        bool, typer.Option("--offline", help="Download nothing: take what owner/name has in the cache.")
    ] = False
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="split|tokens|shard",
            help="What processes that mlx.launch has started divide: the passes of guided steps, the video's "
            "tokens, or the transformer. If not given, the passes, and where there are none the tokens.",
        ),
    ] = None

    def files(self) -> ModelFiles:
        """What they name.

        Raises:
            ConfigError: the strength of a LoRA is not finite; or as `ModelFiles`.
        """
        return ModelFiles(
            self.checkpoint,
            self.gemma,
            self.spatial_upscaler,
            parse_distilled_lora(self.distilled_lora),
            tuple(parse_lora(value) for value in self.lora or ()),
            self.dtype,
            self.quantize,
            self.low_ram,
            self.force,
            self.offline,
            self.devices,
        )
