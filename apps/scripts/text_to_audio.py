"""A sound alone, by the audio half of the model.

uv run python apps/scripts/text_to_audio.py "slow drum beats" -o sound.wav
"""

from ltx_pipelines import TextToAudioConfig, TextToAudioPipeline
from model_files import clip, open_models, parser, show

arguments = parser(__doc__, output="sound.wav").parse_args()
pipeline = TextToAudioPipeline(open_models(arguments, distilled=False))
config = TextToAudioConfig(**clip(arguments, "num_frames", "frame_rate", "num_inference_steps"))
print(pipeline(config, on_step=show).save(arguments.output))
