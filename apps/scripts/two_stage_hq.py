"""Two stages by the second-order method res_2s: fewer steps, more of the distilled LoRA, more detail.

uv run python apps/scripts/two_stage_hq.py "a red ball bouncing over the sea" -o clip.mp4
"""

from ltx_pipelines import TwoStageHQConfig, TwoStageHQPipeline
from model_files import clip, distilled_lora, open_models, parser, show

arguments = parser(__doc__).parse_args()
models = open_models(arguments, distilled=False, two_stages=True)
pipeline = TwoStageHQPipeline(models, distilled_lora(arguments))
config = TwoStageHQConfig(**clip(arguments))
print(pipeline(config, on_step=show).save(arguments.output))
