"""One forward of a transformer of LTX-2.0's size from a file, with its blocks streamed: memory and time.

    python -m tests.streaming_full_size --blocks 48 --folder /tmp

writes a checkpoint of random weights (38 GB for all 48 blocks), runs the network on it, prints the peak of
this process's memory, the time and the part of it that was waited for the disk, and removes the file.
"""

import argparse
import json
import lzma
import math
import os
import resource
import time
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_core.types import Modality
from ltx_loaders import Checkpoint
from ltx_loaders.streaming import nbytes, stream

FULL_SIZE = Path(__file__).parent / "fixtures" / "full_size" / "ltx-2.0.json.xz"
PREFIX = "model.diffusion_model."
NOISE = 2**25
"""Random numbers that all weights are cut from: bytes on a disk are not slower for being new."""


def write(path: Path, blocks: int) -> int:
    """A checkpoint in bfloat16 with the first blocks of the transformer; returns its size in bytes."""
    reference = json.loads(lzma.decompress(FULL_SIZE.read_bytes()))
    config = {"transformer": reference["config"]["transformer"] | {"num_layers": blocks}}
    kept = tuple(f"{PREFIX}transformer_blocks.{index}." for index in range(blocks))
    shapes = {
        name: shape
        for name, shape in reference["tensors"]["transformer"].items()
        if name.startswith(kept) or not name.startswith(f"{PREFIX}transformer_blocks.")
    }
    header: dict[str, object] = {"__metadata__": {"config": json.dumps(config), "model_version": "2.0.0"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    noise = (0.015 * mx.random.normal((NOISE,), key=mx.random.key(0))).astype(mx.bfloat16)
    data = np.array(noise.view(mx.uint16)).tobytes()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            size = 2 * math.prod(shape)
            while size:
                size -= file.write(memoryview(data)[:size])
        file.flush()
        os.fsync(file.fileno())
    return path.stat().st_size


def forget(path: Path) -> None:
    """Take a file out of the system's page cache, so that it is read from the disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_speed(path: Path, size: int = 2**31) -> float:
    """Bytes per second of plain reading from the disk."""
    forget(path)
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        done = 0
        while done < size and (part := file.read(2**24)):
            done += len(part)
    forget(path)
    return done / (time.perf_counter() - started)


def modality(tokens: int, axes: int, text: int) -> Modality:
    keys = mx.random.split(mx.random.key(axes), 2)
    start = mx.broadcast_to(mx.arange(tokens, dtype=mx.float32)[:, None] / 8, (1, axes, tokens, 1))
    return Modality(
        latent=mx.random.normal((1, tokens, 128), key=keys[0]),
        sigma=mx.array([0.9]),
        timesteps=mx.full((1, tokens, 1), 0.9),
        positions=mx.concatenate([start, start + 0.1], axis=-1),
        context=mx.random.normal((1, text, 3840), key=keys[1]),
        context_mask=None,
    )


def peak() -> float:
    """The most memory that this process has ever had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def run(path: Path, dtype: mx.Dtype, tokens: int, text: int) -> None:
    """Build, stream, one forward."""

    def build() -> nn.Module:
        return Checkpoint.open(path).build("transformer", dtype)

    print(f"disk: {read_speed(path) / 1e9:.2f} GB/s")
    transformer = build()
    stream(transformer, build, ["transformer_blocks"])
    mx.eval(transformer.parameters())
    print(f"resident: {nbytes(transformer) / 1e9:.2f} GB; peak so far {peak():.2f} GB")
    started = time.perf_counter()
    velocities = transformer(
        modality(tokens, 3, text), modality(max(tokens // 10, 1), 1, text), cache=transformer.make_cache()
    )
    mx.eval(velocities)
    seconds = time.perf_counter() - started
    blocks = transformer.transformer_blocks
    finite = all(bool(mx.isfinite(velocity).all()) for velocity in velocities)
    print(
        f"{len(blocks)} blocks, {tokens} video tokens, {text} text tokens, {dtype}: {seconds:.1f} s, "
        f"of which {blocks.seconds_waited:.1f} s waited for the disk "
        f"({blocks.bytes_read / 1e9:.1f} GB of weights); "
        f"peak memory {peak():.2f} GB, arrays {mx.get_peak_memory() / 1e9:.2f} GB; finite: {finite}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--blocks", type=int, default=48)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--text", type=int, default=1024)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    path = options.folder / "ltx-2.0-random.safetensors"
    try:
        started = time.perf_counter()
        size = write(path, options.blocks)
        print(f"{path}: {size / 1e9:.2f} GB, written in {time.perf_counter() - started:.0f} s")
        run(path, getattr(mx, options.dtype), options.tokens, options.text)
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
