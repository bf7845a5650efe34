"""The pocket model for pipelines: its files, and what it is best used with.

from ltx_pipelines import DistilledConfig
from ltx_pocket.model import NATIVE_CLIP, create_distilled_pipeline

pipeline = create_distilled_pipeline()
pipeline(DistilledConfig(prompt="a red ball bouncing over the sea", **NATIVE_CLIP)).save("clip.mp4")
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
from ltx_core import MultiModalGuiderParams
from ltx_loaders import LoaderError, QuantizationPolicy
from ltx_pipelines import (
    AudioToVideoPipeline,
    CheckpointModels,
    Devices,
    DistilledPipeline,
    ExtendPipeline,
    ICLoraPipeline,
    KeyframeInterpolationPipeline,
    LoraPathStrength,
    Memory,
    OneStagePipeline,
    PipelineDefaults,
    RetakePipeline,
    TextToAudioPipeline,
    TextToVideoPipeline,
    TwoStageHQPipeline,
    TwoStagePipeline,
)

from ltx_pocket.configs import FRAME_RATE, HEIGHT, NUM_FRAMES, WIDTH
from ltx_pocket.files import (
    CHECKPOINT,
    DISTILLED_LORA,
    GEMMA_FOLDER,
    IC_LORA,
    SPATIAL_UPSCALER,
    STYLE_LORA,
    TEMPORAL_UPSCALER,
)
from ltx_pocket.files import (
    WEIGHTS as WEIGHTS,
)
from ltx_pocket.world.captions import names_a_thing
from ltx_pocket.world.phrases import SHAPE_WORDS

NAME = "pocket"

NATIVE_CLIP: dict[str, Any] = {
    "height": HEIGHT,
    "width": WIDTH,
    "num_frames": NUM_FRAMES,
    "frame_rate": FRAME_RATE,
}
"""The clip that the model was made for, as arguments of a pipeline's config."""

# Prompt guidance alone: what the other kinds take away from the picture, so small a model does not have.
# Spatio-temporal guidance, if asked for, works on a block in the middle of the six.
_GUIDANCE = MultiModalGuiderParams(cfg_scale=3.0, stg_scale=0.0, stg_blocks=[3], rescale_scale=0.7)

# Its training pictures never were files: images are not to be re-compressed.
DEFAULTS = PipelineDefaults(num_inference_steps=20, video=_GUIDANCE, audio=_GUIDANCE, image_crf=0)


def open_models(
    folder: str | Path = WEIGHTS,
    *,
    distilled: bool,
    two_stages: bool = False,
    loras: Sequence[LoraPathStrength] = (),
    dtype: str | mx.Dtype | None = None,
    memory: Memory = Memory.KEEP,
    quantize: str | int | None = None,
    devices: Devices | None = None,
) -> CheckpointModels:
    """The networks of the pocket model.

    Args:
        folder: what `ltx_pocket.pack` has written.
        distilled: for few steps without guidance and two stages, else for guided pipelines.
        two_stages: for guided pipelines that refine in a second stage.
        loras: added after the model's own.
        dtype: as in `CheckpointModels`.
        memory: the networks are small, so they stay by default.
        quantize: as in `CheckpointModels`, in groups of 32: its layers are no multiples of 64.
        devices: as in `CheckpointModels`.

    Raises:
        LoaderError: a file is missing or damaged, or a LoRA is for another network.
    """
    folder = Path(folder)
    wanted = (
        CHECKPOINT,
        GEMMA_FOLDER,
        *((DISTILLED_LORA, SPATIAL_UPSCALER) if distilled or two_stages else ()),
    )
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing:
        raise LoaderError(
            f"the pocket model is incomplete: {', '.join(missing)} missing in {folder}; "
            "install ltx-pocket again, or give the weights of LTX-2 (--checkpoint and --gemma)"
        )
    own = [distilled_lora(folder)] if distilled else []
    return CheckpointModels(
        folder / CHECKPOINT,
        folder / GEMMA_FOLDER,
        folder / SPATIAL_UPSCALER if distilled or two_stages else None,
        loras=[*own, *loras],
        dtype=dtype,
        memory=memory,
        quantize=None if quantize is None else QuantizationPolicy.of(quantize, 32),
        devices=devices,
        name=" + ".join([NAME, *map(str, loras)]),
        defaults=DEFAULTS,
    )


def distilled_lora(folder: str | Path = WEIGHTS) -> LoraPathStrength:
    """The model's own distilled LoRA, for the second stage of guided pipelines."""
    return LoraPathStrength(Path(folder) / DISTILLED_LORA)


def style_lora(folder: str | Path = WEIGHTS, strength: float = 1.0) -> LoraPathStrength:
    """The model's example of a style: neon things. One of the `loras` of any pipeline."""
    return LoraPathStrength(Path(folder) / STYLE_LORA, strength)


def ic_lora(folder: str | Path = WEIGHTS, strength: float = 1.0) -> LoraPathStrength:
    """The model's own in-context LoRA: things move as a white silhouette on black does."""
    return LoraPathStrength(Path(folder) / IC_LORA, strength)


def create_distilled_pipeline(folder: str | Path = WEIGHTS, **options: Any) -> DistilledPipeline:
    """Few steps without guidance, in two stages; options and errors as `open_models`."""
    return DistilledPipeline(open_models(folder, distilled=True, **options))


def create_one_stage_pipeline(folder: str | Path = WEIGHTS, **options: Any) -> OneStagePipeline:
    """All guidance in one stage; options and errors as `open_models`."""
    return OneStagePipeline(open_models(folder, distilled=False, **options))


def create_text_to_video_pipeline(folder: str | Path = WEIGHTS, **options: Any) -> TextToVideoPipeline:
    """Prompt guidance in one stage; options and errors as `open_models`."""
    return TextToVideoPipeline(open_models(folder, distilled=False, **options))


def create_two_stage_pipeline(folder: str | Path = WEIGHTS, **options: Any) -> TwoStagePipeline:
    """All guidance at half size, then few steps; options and errors as `open_models`."""
    models = open_models(folder, distilled=False, two_stages=True, **options)
    return TwoStagePipeline(models, distilled_lora(folder))


def create_two_stage_hq_pipeline(folder: str | Path = WEIGHTS, **options: Any) -> TwoStageHQPipeline:
    """The same by the second-order method; options and errors as `open_models`."""
    models = open_models(folder, distilled=False, two_stages=True, **options)
    return TwoStageHQPipeline(models, distilled_lora(folder))


def create_keyframe_interpolation_pipeline(
    folder: str | Path = WEIGHTS, **options: Any
) -> KeyframeInterpolationPipeline:
    """A clip through given frames, in two stages; options and errors as `open_models`."""
    models = open_models(folder, distilled=False, two_stages=True, **options)
    return KeyframeInterpolationPipeline(models, distilled_lora(folder))


def create_ic_lora_pipeline(folder: str | Path = WEIGHTS, **options: Any) -> ICLoraPipeline:
    """A clip after a reference video, by the model's own LoRA; options and errors as `open_models`."""
    return ICLoraPipeline(open_models(folder, distilled=True, **options), [ic_lora(folder)])


def create_audio_to_video_pipeline(folder: str | Path = WEIGHTS, **options: Any) -> AudioToVideoPipeline:
    """A clip to a given sound, in two stages; options and errors as `open_models`."""
    models = open_models(folder, distilled=False, two_stages=True, **options)
    return AudioToVideoPipeline(models, distilled_lora(folder))


def create_retake_pipeline(
    folder: str | Path = WEIGHTS, *, distilled: bool = True, **options: Any
) -> RetakePipeline:
    """A part of a clip made anew, in few steps or guided; options and errors as `open_models`."""
    return RetakePipeline(open_models(folder, distilled=distilled, **options), distilled=distilled)


def create_extend_pipeline(
    folder: str | Path = WEIGHTS, *, distilled: bool = True, **options: Any
) -> ExtendPipeline:
    """More of a clip, in few steps or guided; options and errors as `open_models`."""
    return ExtendPipeline(open_models(folder, distilled=distilled, **options), distilled=distilled)


def create_text_to_audio_pipeline(folder: str | Path = WEIGHTS, **options: Any) -> TextToAudioPipeline:
    """A sound alone, guided; options and errors as `open_models`."""
    return TextToAudioPipeline(open_models(folder, distilled=False, **options))


def temporal_upscaler(folder: str | Path = WEIGHTS) -> Path:
    """The model's own upscaler in time, for `ltx_pipelines.double_frame_rate`."""
    return Path(folder) / TEMPORAL_UPSCALER


def outside_world(prompt: str) -> str | None:
    """One sentence about what the model knows, for a prompt that names nothing of it; None for others."""
    if names_a_thing(prompt):
        return None
    shapes = ", ".join(words[0] for words in SHAPE_WORDS.values())
    return (
        "This is the pocket model, and the prompt names nothing that it knows: coloured shapes "
        f"({shapes}) over plain colours, sky, night, sea, grid or rain, which bounce, spin, grow, "
        "shrink or move about, with tones, beats or noise; for other prompts, give the weights of LTX-2 "
        "(--checkpoint and --gemma)."
    )
