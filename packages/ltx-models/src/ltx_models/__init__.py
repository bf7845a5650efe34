"""The networks of LTX-2 on MLX: built from a checkpoint's config, filled with weights by ltx-loaders.

One subpackage each: `transformer`, `text_encoder`, `video_vae`, `audio_vae`, `vocoder`, `upsampler`.
"""

import ltx_core  # noqa: F401  (loads the BLAS before mlx)
