"""New frames behind a clip, or before it, which go on with its motion and its sound.

uv run python apps/scripts/extend.py "a red ball bouncing over the sea" source.mp4 16 -o longer.mp4
"""

from ltx_pipelines import ExtendConfig, ExtendPipeline
from model_files import clip, open_models, parser, show

options = parser(__doc__)
options.add_argument("source", help="any file that ffmpeg reads")
options.add_argument("new_frames", type=int, help="a multiple of 8")
options.add_argument("--before", action="store_true")
arguments = options.parse_args()

pipeline = ExtendPipeline(open_models(arguments, distilled=True), distilled=True)
config = ExtendConfig(
    **clip(arguments, "num_inference_steps", "num_frames"),  # num_frames: what the model works on at once
    source=arguments.source,
    new_frames=arguments.new_frames,
    before=arguments.before,
)
result = pipeline(config, on_step=show)
print(result.save(arguments.output), len(result.frames), "frames")
