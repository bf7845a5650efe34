"""Where pipelines get their networks, and how long each stays in memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar

import mlx.core as mx
import mlx.nn as nn
from ltx_core import ConfigError
from ltx_core.device import resolve_dtype
from ltx_loaders import (
    Checkpoint,
    FileWatch,
    LoraReport,
    Pack,
    QuantizationPolicy,
    evaluate,
    find_gemma_directory,
    load_gemma,
    load_upsampler,
    quantize_module,
    read_gemma_config,
    stream,
)
from ltx_loaders.gemma import gemma_files

from ltx_pipelines.cadence import EvaluationCadence
from ltx_pipelines.defaults import PipelineDefaults, defaults_for
from ltx_pipelines.devices import Devices, Division
from ltx_pipelines.distillation import is_distilled
from ltx_pipelines.layout import LatentLayout, read_layout
from ltx_pipelines.loras import LoraPathStrength, check_loras, fuse
from ltx_pipelines.prompt import TextEncoder
from ltx_pipelines.residency import LOW_CACHE_LIMIT, STREAMED, Memory
from ltx_pipelines.tokenizer import Tokenizer

if TYPE_CHECKING:
    from ltx_models.audio_vae import AudioDecoder, AudioEncoder, AudioProcessor
    from ltx_models.transformer import LTXModel
    from ltx_models.upsampler import LatentUpsampler
    from ltx_models.video_vae import PerChannelStatistics, VideoDecoder, VideoEncoder
    from ltx_models.vocoder import Vocoder, VocoderWithBWE

    AnyVocoder = Vocoder | VocoderWithBWE

T = TypeVar("T")

CHECKED = ("transformer", "video_encoder", "video_decoder", "audio_decoder", "vocoder")


class ModelOptions(TypedDict, total=False):
    """Options of `CheckpointModels` that the factories of pipelines pass on."""

    loras: Sequence[LoraPathStrength]
    dtype: str | mx.Dtype | None
    memory: Memory
    quantize: str | int | QuantizationPolicy | None
    devices: Devices | None


class ModelSource(Protocol):
    """Gives pipelines the network that they need next. Each is valid inside its `with` block only.

    Attributes:
        name: for people and records.
        defaults: what the model is best used with.
        dtype: of weights and activations.
        layout: of its latents.
        num_blocks: of its transformer.
        distilled: whether it is made for few steps without guidance; None: not known.
        lora_reports: what each LoRA that was checked would change.
        pass_group: processes that divide the passes of guided steps; None: this one makes all of them.
    """

    name: str
    defaults: PipelineDefaults
    dtype: mx.Dtype
    layout: LatentLayout
    num_blocks: int
    distilled: bool | None
    lora_reports: list[LoraReport]
    pass_group: mx.distributed.Group | None

    def require_spatial_upsampler(self) -> None:
        """Raise ConfigError if there is no spatial upscaler."""

    def require_audio_encoder(self) -> None:
        """Raise LoaderError if the audio encoder is missing or damaged."""

    def text_encoder(self) -> AbstractContextManager[TextEncoder]:
        """Tokenizer, Gemma and the connectors."""
        ...

    def transformer(
        self,
        *,
        video: bool = True,
        audio: bool = True,
        loras: Sequence[LoraPathStrength] = (),
        stage: int = 1,
    ) -> AbstractContextManager["LTXModel"]:
        """The whole network or one stream's half of it, with the model's LoRAs at their strengths in that
        stage (1 or 2), and then these."""

    def check_loras(self, loras: Sequence[LoraPathStrength]) -> None:
        """Raise LoaderError unless these, of a stage alone, fit the transformer."""

    def video_encoder(self) -> AbstractContextManager["VideoEncoder"]:
        """Pixels to video latents."""
        ...

    def video_decoder(self) -> AbstractContextManager["VideoDecoder"]:
        """Video latents to pixels."""
        ...

    def audio_encoder(self) -> AbstractContextManager[tuple["AudioEncoder", "AudioProcessor"]]:
        """Log-mels to audio latents, with what makes log-mels of sound."""
        ...

    def audio_decoder(self) -> AbstractContextManager[tuple["AudioDecoder", "AnyVocoder"]]:
        """Audio latents to log-mels, and the vocoder."""
        ...

    def spatial_upsampler(
        self,
    ) -> AbstractContextManager[tuple["LatentUpsampler", "PerChannelStatistics"]]:
        """The x2 upscaler, with the statistics of the video latents."""
        ...


class CheckpointModels:
    """The networks of an official checkpoint file, a Gemma directory and an upscaler file."""

    def __init__(
        self,
        checkpoint: str | Path,
        gemma: str | Path,
        spatial_upsampler: str | Path | None = None,
        *,
        loras: Sequence[LoraPathStrength] = (),
        dtype: str | mx.Dtype | None = None,
        memory: Memory = Memory.FREE,
        quantize: str | int | QuantizationPolicy | None = None,
        devices: Devices | None = None,
        name: str | None = None,
        defaults: PipelineDefaults | None = None,
    ) -> None:
        """Open the files (headers and configs only).

        Args:
            checkpoint: single-file checkpoint.
            gemma: folder of the text encoder.
            spatial_upsampler: x2 latent upscaler, for two-stage pipelines.
            loras: fused into the transformer, in this order.
            dtype: "float32", "bfloat16" or None for what suits the device.
            memory: what stays resident between stages.
            quantize: the transformer's weights, as they are read and after its LoRAs: 8 or 4 bits, "mxfp8",
                "mxfp4", "nvfp4" or a policy. None: as they are stored, those of an fp8 checkpoint expanded;
                "fp8": these kept in 8 bits and expanded at each use.
            devices: processes that denoise together; None: this one does it alone.
            name: for people and records; None: the names of checkpoint and LoRAs.
            defaults: what the model is best used with; None: by the generation that the checkpoint states.

        Raises:
            LoaderError: a file is missing, damaged or foreign, or a LoRA is for another network.
            ConfigError: an unsupported dtype or quantisation, a text encoder of another kind, or more devices
                than a transformer can be divided among.
        """
        if keep_fp8 := quantize == "fp8":
            quantize = None
        if not isinstance(quantize, QuantizationPolicy | None):
            quantize = QuantizationPolicy.of(quantize)
        self.checkpoint = Checkpoint.open(checkpoint, keep_fp8=keep_fp8)
        if keep_fp8 and not self.checkpoint.is_fp8:
            raise ConfigError(
                f"{self.checkpoint.path} has no weights in fp8 to be kept; take the fp8 checkpoint, or "
                "quantise to 8 bits"
            )
        self.layout = read_layout(self.checkpoint)
        self.gemma = find_gemma_directory(gemma)
        self.gemma_config = read_gemma_config(self.gemma)
        self.upsampler_path = spatial_upsampler
        self.loras = tuple(loras)
        self.dtype = resolve_dtype(dtype)
        self.memory = memory
        self.quantize = quantize
        self.devices = devices
        self.pass_group = devices.group if devices and devices.division is Division.SPLIT else None
        pack = Pack.read(self.checkpoint.metadata)
        source = Path(pack.source) if pack else self.checkpoint.path
        self.name = name or " + ".join([source.name, *map(str, self.loras)])
        if policy := quantize or (pack and pack.policy):
            self.name += f", quantised to {policy.spec}"
        self.defaults = defaults or defaults_for(self.checkpoint.model_version)
        self.num_blocks = int(self.checkpoint.section("transformer")["num_layers"])
        self.distilled = is_distilled(source)
        if self.loras and not self.distilled:
            # One of them may be the distilled one.
            self.distilled = None
        self.lora_reports: list[LoraReport] = []
        self._resident: dict[str, Any] = {}
        self._watch = FileWatch()
        self._check()
        self._watch.add(self._paths())
        if memory is Memory.LOW:
            mx.set_cache_limit(LOW_CACHE_LIMIT)

    def _paths(self) -> Iterator[str | Path]:
        yield from (file.header.path for file in self.checkpoint.files)
        yield from gemma_files(self.gemma)
        yield from (lora.path for lora in self.loras)
        if self.upsampler_path is not None:
            yield self.upsampler_path

    def check_files(self) -> None:
        """Raise ChangedFileError unless all files are those that were opened."""
        self._watch.check()

    def _check(self) -> None:
        """Fit every tensor to its network, reading none of them: a missing one must not be found when the
        clip has been denoised and the decoder's turn comes."""
        load_gemma(self.gemma, self.dtype)
        self.checkpoint.build("embeddings_processor", self.dtype, gemma=self.gemma_config)
        for component in CHECKED:
            network = self.checkpoint.build(component, self.dtype)
            if component == "transformer":
                self.lora_reports += check_loras(network, self.loras)
                self._check_quantization(network)
                self._divide(network)
        if self.upsampler_path is not None:
            load_upsampler(self.upsampler_path, self.dtype)

    def _check_quantization(self, transformer: nn.Module) -> None:
        if self.quantize is None:
            return
        if self.memory is Memory.LOW:
            raise ConfigError(
                "weights that are read anew for every step would be quantised anew each time; convert the "
                "checkpoint once (ltx convert -q) and use what that writes with little memory"
            )
        if not quantize_module(transformer, self.quantize, self.num_blocks):
            raise ConfigError(
                f"{self.checkpoint.path} cannot be quantised to {self.quantize.spec}: its layers are "
                f"quantised already, or their sizes are no multiples of {self.quantize.spec.group_size}"
            )

    def require_spatial_upsampler(self) -> None:
        """Raise ConfigError if there is no spatial upscaler."""
        if self.upsampler_path is None:
            raise ConfigError(
                "this pipeline needs a spatial latent upscaler (x2) and none was given; pass the file "
                "ltx-2-spatial-upscaler-x2, or choose a one-stage pipeline"
            )

    def require_audio_encoder(self) -> None:
        """Raise LoaderError if the audio encoder is missing or damaged."""
        self.checkpoint.build("audio_encoder", self.dtype)

    def text_encoder(self) -> AbstractContextManager[TextEncoder]:
        """Tokenizer, Gemma and the connectors."""
        return self._use("text_encoder", self._build_text_encoder)

    def transformer(
        self,
        *,
        video: bool = True,
        audio: bool = True,
        loras: Sequence[LoraPathStrength] = (),
        stage: int = 1,
    ) -> AbstractContextManager["LTXModel"]:
        """The whole network or one stream's half of it, with the model's LoRAs, and then these."""
        half = "_video" if not audio else "_audio" if not video else ""
        component = f"transformer{half}"
        fused = [*(lora.of_stage(stage) for lora in self.loras), *loras]
        key = " + ".join([component, *(f"{lora.path} {lora.strength}" for lora in fused)])
        return self._use(key, lambda: self._read(component, fused))

    def check_loras(self, loras: Sequence[LoraPathStrength]) -> None:
        """Raise LoaderError unless these, of a stage alone, fit the transformer."""
        reports = check_loras(self.checkpoint.build("transformer", self.dtype), loras)
        # The same networks may serve several pipelines.
        self.lora_reports += [report for report in reports if report not in self.lora_reports]
        self._watch.add(lora.path for lora in loras)

    def video_encoder(self) -> AbstractContextManager["VideoEncoder"]:
        """Pixels to video latents."""
        return self._use("video_encoder", lambda: self._read("video_encoder"))

    def video_decoder(self) -> AbstractContextManager["VideoDecoder"]:
        """Video latents to pixels."""
        return self._use("video_decoder", lambda: self._read("video_decoder"))

    def audio_encoder(self) -> AbstractContextManager[tuple["AudioEncoder", "AudioProcessor"]]:
        """Log-mels to audio latents, with what makes log-mels of sound."""
        return self._use("audio_encoder", self._build_audio_encoder)

    def audio_decoder(self) -> AbstractContextManager[tuple["AudioDecoder", "AnyVocoder"]]:
        """Audio latents to log-mels, and the vocoder."""
        return self._use("audio_decoder", lambda: (self._read("audio_decoder"), self._read("vocoder")))

    def spatial_upsampler(self) -> AbstractContextManager[tuple["LatentUpsampler", "PerChannelStatistics"]]:
        """The x2 upscaler, with the statistics of the video latents."""
        return self._use("spatial_upsampler", self._build_upsampler)

    def network(self, component: str, loras: Sequence[LoraPathStrength] | None = None) -> Any:
        """A network as a run has it, none of whose weights is read yet.

        Args:
            component: a name of `COMPONENTS`, or "text_encoder" or "spatial_upsampler".
            loras: for a transformer; None: the model's own, as the first stage has them.

        Raises:
            ChangedFileError: a file is another one by now, or gone.
        """
        self.check_files()
        if component == "text_encoder":
            return load_gemma(self.gemma, self.dtype)
        if component == "spatial_upsampler":
            self.require_spatial_upsampler()
            assert self.upsampler_path is not None
            return load_upsampler(self.upsampler_path, self.dtype)
        options = {"gemma": self.gemma_config} if component == "embeddings_processor" else {}
        network = self.checkpoint.build(component, self.dtype, **options)
        if component.startswith("transformer"):
            fuse(network, component, self.loras if loras is None else loras)
            if self.quantize is not None:
                quantize_module(network, self.quantize, self.num_blocks)
            self._divide(network)
        return network

    def _divide(self, transformer: Any) -> None:
        """Leave other processes their share of its weights or its tokens."""
        if self.devices is None:
            return
        if self.devices.division is Division.SHARD:
            transformer.shard(self.devices.group)
        if self.devices.division is Division.TOKENS:
            transformer.divide_tokens(self.devices.tokens)

    def _build_text_encoder(self) -> TextEncoder:
        gemma, processor = self._read("text_encoder"), self._read("embeddings_processor")
        return TextEncoder(Tokenizer(self.gemma), gemma, processor)

    def _read(self, component: str, loras: Sequence[LoraPathStrength] | None = None) -> Any:
        """A network with its weights in memory, but for those that are read while it runs."""
        network = self.network(component, loras)
        EvaluationCadence.here().apply(component, network)
        if self.memory is Memory.LOW and component in STREAMED:
            stream(network, lambda: self.network(component, loras), **STREAMED[component])
        # Read the weights now: inside a command buffer of the first step a slow disk would stall the GPU.
        evaluate(network)
        return network

    def _build_audio_encoder(self) -> tuple["AudioEncoder", "AudioProcessor"]:
        from ltx_models.audio_vae import AudioProcessor

        encoder = self._read("audio_encoder")
        return encoder, AudioProcessor.from_config(encoder.config)

    def _build_upsampler(self) -> tuple["LatentUpsampler", "PerChannelStatistics"]:
        upsampler = self._read("spatial_upsampler")
        # The statistics stand in the encoder; its other weights stay on disk.
        return upsampler, self.network("video_encoder").per_channel_statistics

    @contextmanager
    def _use(self, name: str, build: Callable[[], T]) -> Iterator[T]:
        """A network for the length of a `with` block."""
        network = self._resident.get(name)
        if network is None:
            network = build()
            if self.memory is Memory.KEEP:
                self._resident[name] = network
        try:
            yield network
        finally:
            del network
            if self.memory is not Memory.KEEP:
                mx.clear_cache()
