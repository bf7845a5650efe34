"""A clip to a given sound, which is in the result as it is.

uv run python apps/scripts/audio_to_video.py "a red ball bouncing to the beat" drums.wav -o clip.mp4
"""

from ltx_pipelines import AudioToVideoConfig, AudioToVideoPipeline
from model_files import clip, distilled_lora, open_models, parser, show

options = parser(__doc__)
options.add_argument("audio", help="any file that ffmpeg reads")
arguments = options.parse_args()

models = open_models(arguments, distilled=False, two_stages=True)
pipeline = AudioToVideoPipeline(models, distilled_lora(arguments))
config = AudioToVideoConfig(**clip(arguments), audio=arguments.audio, audio_start=0.0)
print(pipeline(config, on_step=show).save(arguments.output))
