"""A distilled model in two stages: 8 steps at half size, latent upscaling x2, 3 steps at full size.

uv run python apps/scripts/distilled.py "a red ball bouncing over the sea" -o clip.mp4

Progress comes with a guess of the result, as latents; raising `Cancelled` there ends the run.
"""

from ltx_pipelines import DistilledConfig, DistilledPipeline, StageEvent
from model_files import clip, open_models, parser

arguments = parser(__doc__).parse_args()


def show(event: StageEvent) -> None:
    guess = "" if event.video is None else f", latent {event.video.shape}"
    print(f"{event.stage}: {event.index} of {event.total}{guess}")


pipeline = DistilledPipeline(open_models(arguments, distilled=True))
result = pipeline(DistilledConfig(**clip(arguments)), on_step=show)
print(result.save(arguments.output), result.frames.shape, result.settings)
