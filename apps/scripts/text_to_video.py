"""Text to video, plainly: one stage, prompt guidance only.

uv run python apps/scripts/text_to_video.py "a red ball bouncing over the sea" -o clip.mp4
"""

from ltx_pipelines import TextToVideoConfig, TextToVideoPipeline
from model_files import clip, open_models, parser, show

arguments = parser(__doc__).parse_args()
pipeline = TextToVideoPipeline(open_models(arguments, distilled=False))
config = TextToVideoConfig(**clip(arguments), cfg_scale=3.0)
print(pipeline(config, on_step=show).save(arguments.output))
