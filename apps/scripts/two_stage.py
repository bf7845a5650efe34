"""Two stages: guided at half size, latent upscaling x2, a few steps with the distilled LoRA at full size.

uv run python apps/scripts/two_stage.py "a red ball bouncing over the sea" -o clip.mp4
"""

from ltx_pipelines import TwoStageConfig, TwoStagePipeline
from model_files import clip, distilled_lora, open_models, parser, show

arguments = parser(__doc__).parse_args()
models = open_models(arguments, distilled=False, two_stages=True)
pipeline = TwoStagePipeline(models, distilled_lora(arguments))
config = TwoStageConfig(**clip(arguments))
for stage in pipeline.plan(config):
    print(stage.name, stage.detail)
print(pipeline(config, on_step=show).save(arguments.output))
