"""A second of a clip made anew, in picture and sound.

uv run python apps/scripts/retake.py "a blue ball bouncing over the sea" source.mp4 0.5 1.5 -o clip.mp4
"""

from ltx_pipelines import RetakeConfig, RetakePipeline
from model_files import clip, open_models, parser, show

options = parser(__doc__)
options.add_argument("source", help="any file that ffmpeg reads")
options.add_argument("start", type=float, help="seconds")
options.add_argument("end", type=float, help="seconds")
arguments = options.parse_args()

pipeline = RetakePipeline(open_models(arguments, distilled=True), distilled=True)
config = RetakeConfig(
    **clip(arguments, "num_inference_steps"),  # the size is the source's
    source=arguments.source,
    start_time=arguments.start,
    end_time=arguments.end,
    regenerate_audio=True,
)
print(pipeline(config, on_step=show).save(arguments.output))
