"""The table of quantisations in docs/loading.md: what they take away from the transformer's velocity.

    python -m tests.formats.quantised

measures and writes it; `test_quantised` measures what is small again and holds all of it to the limits.
"""

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_core.types import Modality
from ltx_loaders import Checkpoint, QuantizationPolicy, evaluate, quantize_module
from ltx_loaders.components import COMPONENTS
from ltx_pipelines import DistilledConfig
from ltx_pocket.files import CHECKPOINT, WEIGHTS
from ltx_pocket.model import NATIVE_CLIP, create_distilled_pipeline
from mlx.utils import tree_flatten

from tests.formats import measure

DOCUMENT = Path(__file__).parents[2] / "docs" / "loading.md"
FULL_SIZE = Path(__file__).parents[1] / "fixtures" / "full_size" / "ltx-2.0.json.xz"
BEGIN, END = "<!-- quantised: begin -->\n", "<!-- quantised: end -->\n"

# Relative L2 error of the velocity that is allowed.
LIMITS = {"8": 0.01, "4": 0.1, "mxfp8": 0.1, "mxfp4": 0.1, "nvfp4": 0.1}
# Networks with random weights: heads, width of a head, blocks.
RANDOM = {"random, 1024 wide, 6 blocks": (16, 64, 6)}
PROMPT = "a red ball bouncing over the sea"
COLUMNS = ["GB", "LTX-2.0, tiny", "LTX-2.3, tiny", *RANDOM, "pocket, trained", "its clip, dB"]


def velocity_error(build: Callable[[], nn.Module], policy: QuantizationPolicy) -> float:
    """Of the worse of the two streams, against the network with the weights that were quantised."""
    network = build()
    streams = [_tokens(network, "video", 48, 0), _tokens(network, "audio", 24, 50)]
    want = [np.array(stream) for stream in network(*streams)]
    quantize_module(network, policy, network.num_blocks)
    evaluate(network)
    got = [np.array(stream) for stream in network(*streams)]
    return max(
        float(np.linalg.norm(left - right) / np.linalg.norm(right))
        for left, right in zip(got, want, strict=True)
    )


def _tokens(network: Any, stream: str, tokens: int, seed: int) -> Modality:
    """Noise of one sample, and a random text."""
    sizes = getattr(network.config, stream)

    def normal(offset: int, *shape: int) -> mx.array:
        return mx.random.normal(shape, key=mx.random.key(seed + offset))

    start = 3 * mx.abs(normal(0, 1, len(sizes.max_pos), tokens, 1))
    sigma = mx.array([0.7])
    return Modality(
        latent=normal(1, 1, tokens, sizes.in_channels),
        sigma=sigma,
        timesteps=mx.broadcast_to(sigma[:, None, None], (1, tokens, 1)),
        positions=mx.concatenate([start, start + 0.5], axis=-1),
        context=normal(2, 1, 16, network.config.caption_channels or sizes.dim),
    )


def tiny(generation: str) -> Callable[[], nn.Module]:
    """The recorded transformer of a generation."""
    path = measure.root(generation) / "checkpoint.safetensors"
    return lambda: Checkpoint.open(path).build("transformer", mx.float32)


def pocket() -> nn.Module:
    """The trained transformer."""
    return Checkpoint.open(WEIGHTS / CHECKPOINT).build("transformer", mx.float32)


def random_network(heads: int, head_dim: int, layers: int) -> nn.Module:
    """A transformer with LTX-2.3's features, half as wide for sound; its weights keep variances."""
    section = dict(Checkpoint.open(WEIGHTS / CHECKPOINT).config["transformer"])
    section |= {
        "num_layers": layers,
        "num_attention_heads": heads,
        "attention_head_dim": head_dim,
        "cross_attention_dim": heads * head_dim,
        "audio_num_attention_heads": heads,
        "audio_attention_head_dim": head_dim // 2,
        "audio_cross_attention_dim": heads * head_dim // 2,
    }
    network = COMPONENTS["transformer"].create(section)
    mx.random.seed(0)
    weights = []
    for name, value in tree_flatten(network.parameters()):
        scale = 0.5 if "table" in name else value.shape[1] ** -0.5 if value.ndim == 2 else 0.1
        weight = mx.ones(value.shape) if "norm" in name else scale * mx.random.normal(value.shape)
        weights.append((name, weight.astype(mx.bfloat16).astype(mx.float32)))
    network.load_weights(weights)
    return network


def clip(choice: str | None) -> np.ndarray:
    """Frames of the pocket model, quantised or not."""
    pipeline = create_distilled_pipeline(quantize=choice, dtype="float32")
    return pipeline(DistilledConfig(prompt=PROMPT, **NATIVE_CLIP)).frames


def psnr(left: np.ndarray, right: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((left.astype(float) - right.astype(float)) ** 2)))


def released_gigabytes(policy: QuantizationPolicy) -> float:
    """Of the transformer of LTX-2.0 at its released size, from its shapes alone."""
    released = json.loads(lzma.decompress(FULL_SIZE.read_bytes()))
    network = COMPONENTS["transformer"].create(released["config"]["transformer"])
    network.set_dtype(mx.bfloat16)
    quantize_module(network, policy, network.num_blocks)
    return sum(value.nbytes for _, value in tree_flatten(network.parameters())) / 1e9


def row(choice: str, plain: np.ndarray) -> list[float]:
    """All columns."""
    policy, narrow = QuantizationPolicy.of(choice), QuantizationPolicy.of(choice, 32)
    return [
        released_gigabytes(policy),
        *(velocity_error(tiny(generation), narrow) for generation in measure.GENERATIONS),
        *(velocity_error(lambda s=sizes: random_network(*s), policy) for sizes in RANDOM.values()),
        velocity_error(pocket, narrow),
        psnr(clip(choice), plain),
    ]


def main() -> None:
    plain = clip(None)
    lines = ["| -q | " + " | ".join(COLUMNS) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    for choice in LIMITS:
        gigabytes, *errors, decibels = row(choice, plain)
        cells = [f"{gigabytes:.1f}", *(f"{100 * error:.2f} %" for error in errors), f"{decibels:.1f}"]
        lines.append(f"| {choice} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
