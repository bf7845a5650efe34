"""More scenes while the transformer learns: another GPU encodes them, the training takes them over.

    python -m ltx_pocket.train.scenes --out runs/scenes --minutes 10 --tokenizer runs/gemma \\
        --video-vae runs/video_vae/video_vae.safetensors --audio-vae runs/audio_vae/audio_vae.safetensors

Round after round of scenes of all sizes, `NUMBER.BUCKET.safetensors`; `transformer --scenes runs/scenes`
reads them as they appear, and deletes them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import numpy as np

from ltx_pocket.train.common import Clock, Log, arguments
from ltx_pocket.train.latents import BUCKETS, Captions, Encoders, Pool

CACHE = 4 * 2**30
"""Bytes of freed memory that are kept: another process may want the rest."""


def collect(folder: Path, pools: Sequence[Pool]) -> int:
    """Add all rounds that are complete to their pools, and delete their files. Returns how many scenes."""
    added = 0
    for pool in pools:
        for path in sorted(folder.glob(f"*.{pool.bucket.name}.safetensors")):
            before = pool.scenes
            pool.extend(path)
            path.unlink()
            added += pool.scenes - before
    return added


def main() -> None:
    parser = arguments(__doc__, minutes=10)
    parser.add_argument("--video-vae", type=Path, required=True)
    parser.add_argument("--audio-vae", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument("--scenes", type=int, default=8192, help="in a round, of all buckets together")
    args = parser.parse_args()
    clock = Clock(args.minutes)
    log = Log(args.out, clock)
    mx.set_cache_limit(CACHE)
    encoders, captions = Encoders(args.video_vae, args.audio_vae), Captions(args.tokenizer)
    # Not the scenes of the transformer's own pools: those are drawn with [seed, steps].
    rng = np.random.default_rng([args.seed, 0, 1])
    buckets = BUCKETS[args.size]
    number = total = 0
    while clock.fraction < 1:
        for bucket in buckets:
            if clock.fraction >= 1:
                break
            count = max(1, round(args.scenes * bucket.share))
            Pool(replace(bucket, scenes=count), encoders, captions, rng).save(
                args.out / f"{number:04}.{bucket.name}.safetensors"
            )
            total += count
        number += 1
        log.event(rounds=number, scenes=total)


if __name__ == "__main__":
    main()
