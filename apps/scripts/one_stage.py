"""One stage under all kinds of guidance, by an image at its first frame if there is one.

uv run python apps/scripts/one_stage.py "a red ball bouncing over the sea" --image start.png -o clip.mp4
"""

from ltx_pipelines import GuidanceChange, ImageCondition, OneStageConfig, OneStagePipeline
from model_files import clip, open_models, parser, show

options = parser(__doc__)
options.add_argument("--image", help="what the clip starts from")
arguments = options.parse_args()

pipeline = OneStagePipeline(open_models(arguments, distilled=False))
config = OneStageConfig(
    **clip(arguments),
    images=() if arguments.image is None else (ImageCondition(arguments.image, frame=0, strength=1.0),),
    # In place of what the model is best used with; what is not named stays.
    video_guidance=GuidanceChange(cfg_scale=3.0, stg_scale=1.0, rescale_scale=0.7),
    audio_guidance=GuidanceChange(cfg_scale=5.0, modality_scale=2.0),
)
print(pipeline(config, on_step=show).save(arguments.output))
