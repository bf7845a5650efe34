"""`ltx keyframes`: a clip that passes through given images."""

from ltx_core import ConfigError
from ltx_pipelines import KeyframeInterpolationConfig, KeyframeInterpolationPipeline, check_output

from ltx_cli.arguments import parse_image
from ltx_cli.clip import Clip
from ltx_cli.clips import clip_command
from ltx_cli.guidance import GuidanceOptions
from ltx_cli.models import ModelOptions
from ltx_cli.options import Images, OutputOptions, Prompt, RunOptions, SizeOptions
from ltx_cli.sizes import fitted


@clip_command
def keyframes(
    prompt: Prompt,
    *,
    image: Images = None,
    size: SizeOptions,
    run: RunOptions,
    guidance: GuidanceOptions,
    model: ModelOptions,
    out: OutputOptions,
) -> Clip:
    """Make a clip that moves from one image to the next, in two guided stages.

    For example, from a first frame to a last one: --image first.png 0 --image last.png -1
    """
    check_output(out.output)
    files = model.files()
    config = KeyframeInterpolationConfig(
        **{**files.clip, **fitted(KeyframeInterpolationConfig, size.fields())},
        **guidance.fields(),
        **run.fields(),
        prompt=prompt,
        images=tuple(parse_image(value) for value in image or ()),
        generate_audio=not out.no_audio,
    )
    _check_apart(config)
    refiner = files.require_distilled_lora()
    models = files.open(distilled=False, two_stages=True)
    runner = KeyframeInterpolationPipeline(models, refiner)
    return Clip(files, runner, config, out.output, run.enhance_prompt)


def _check_apart(config: KeyframeInterpolationConfig) -> None:
    """An image whose frame was forgotten would stand at frame 0 with another."""
    frames = [image.resolve_frame(config.num_frames) for image in config.images]
    twice = next((frame for frame in frames if frames.count(frame) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"more than one image at frame {twice}; say where each stands: --image PATH FRAME (-1 = last)"
        )
