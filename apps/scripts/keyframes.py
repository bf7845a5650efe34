"""From one image to the next: keyframe interpolation in two stages.

uv run python apps/scripts/keyframes.py "a red ball over the sea" first.png last.png -o clip.mp4
"""

from ltx_pipelines import ImageCondition, KeyframeInterpolationConfig, KeyframeInterpolationPipeline
from model_files import clip, distilled_lora, open_models, parser, show

options = parser(__doc__)
options.add_argument("first")
options.add_argument("last")
arguments = options.parse_args()

models = open_models(arguments, distilled=False, two_stages=True)
pipeline = KeyframeInterpolationPipeline(models, distilled_lora(arguments))
images = ImageCondition(arguments.first, frame=0), ImageCondition(arguments.last, frame=-1)
config = KeyframeInterpolationConfig(**clip(arguments), images=images)
print(pipeline(config, on_step=show).save(arguments.output))
