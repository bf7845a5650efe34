"""A clip after a reference video (depth, pose, edges, ...), by an in-context LoRA on a distilled model.

uv run python apps/scripts/ic_lora.py "a red ball over the sea" reference.mp4 ic_lora.safetensors -o clip.mp4
"""

from ltx_pipelines import ICLoraConfig, ICLoraPipeline, LoraPathStrength, ReferenceVideo
from model_files import clip, open_models, parser, show

options = parser(__doc__)
options.add_argument("reference")
options.add_argument("lora")
arguments = options.parse_args()

pipeline = ICLoraPipeline(open_models(arguments, distilled=True), [LoraPathStrength(arguments.lora)])
config = ICLoraConfig(
    **clip(arguments),
    video_conditioning=(ReferenceVideo(arguments.reference, strength=1.0),),
    conditioning_attention_strength=1.0,
)
print(pipeline(config, on_step=show).save(arguments.output))
