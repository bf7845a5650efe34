"""Default settings by generation of the model (spec: official `detect_params`)."""

from dataclasses import dataclass, replace

from ltx_core import MultiModalGuiderParams


@dataclass(frozen=True)
class PipelineDefaults:
    """What a pipeline uses where the caller does not say.

    Attributes:
        num_inference_steps: of guided pipelines.
        video, audio: guidance of the two streams.
        image_crf: H.264 quality that conditioning images are re-compressed at, as in the model's training.
    """

    num_inference_steps: int
    video: MultiModalGuiderParams
    audio: MultiModalGuiderParams
    image_crf: int


def _guidance(cfg_scale: float, stg_block: int) -> MultiModalGuiderParams:
    return MultiModalGuiderParams(
        cfg_scale=cfg_scale,
        stg_scale=1.0,
        stg_blocks=[stg_block],
        rescale_scale=0.7,
        modality_scale=3.0,
        skip_step=0,
    )


def high_quality(defaults: PipelineDefaults) -> PipelineDefaults:
    """The same for two stages of the second-order method (official `LTX_2_3_HQ_PARAMS`): fewer steps, no
    spatio-temporal guidance, and other rescaling."""
    return replace(
        defaults,
        num_inference_steps=15,
        video=replace(defaults.video, stg_scale=0.0, stg_blocks=[], rescale_scale=0.45),
        audio=replace(defaults.audio, stg_scale=0.0, stg_blocks=[], rescale_scale=1.0),
    )


LTX_2_0 = PipelineDefaults(40, _guidance(3.0, 29), _guidance(7.0, 29), image_crf=33)
LTX_2_3 = PipelineDefaults(30, _guidance(3.0, 28), _guidance(7.0, 28), image_crf=33)
LTX_2_4 = replace(LTX_2_3, image_crf=18)

# Newest first; a version takes the first row that it is at or above, anything older takes LTX_2_0.
SINCE: tuple[tuple[tuple[int, ...], PipelineDefaults], ...] = (((2, 4), LTX_2_4), ((2, 3), LTX_2_3))


def defaults_for(model_version: tuple[int, ...]) -> PipelineDefaults:
    """The defaults of a generation; () is a checkpoint without a version, which counts as the oldest."""
    return next((defaults for since, defaults in SINCE if model_version >= since), LTX_2_0)


NEGATIVE_PROMPT = ", ".join(
    """has_subtitles; has_blurbox; transition from black; transition to black; speech_ending_short; blurry;
    out of focus; overexposed; underexposed; low contrast; washed out colors; excessive noise;
    grainy texture; poor lighting; flickering; motion blur; distorted proportions; unnatural skin tones;
    deformed facial features; asymmetrical face; missing facial features; extra limbs; disfigured hands;
    wrong hand count; artifacts around text; inconsistent perspective; camera shake;
    incorrect depth of field; background too sharp; background clutter; distracting reflections;
    harsh shadows; inconsistent lighting direction; color banding; cartoonish rendering; 3D CGI look;
    unrealistic materials; uncanny valley effect; incorrect ethnicity; wrong gender;
    exaggerated expressions; wrong gaze direction; mismatched lip sync; silent or muted audio;
    distorted voice; robotic voice; echo; background noise; off-sync audio; incorrect dialogue;
    added dialogue; repetitive speech; jittery movement; awkward pauses; incorrect timing;
    unnatural transitions; inconsistent framing; tilted camera; flat lighting; inconsistent tone;
    cinematic oversaturation; stylized filters; or AI artifacts.""".replace("\n    ", " ").split("; ")
)
"""The negative prompt of the guided pipelines: a constant of the model (official release 1.2.0)."""
