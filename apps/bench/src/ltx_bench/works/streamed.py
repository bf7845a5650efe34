"""A transformer whose blocks are read from a file while it runs."""

import json
import tempfile
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from ltx_loaders import Checkpoint, stream
from ltx_loaders.components import COMPONENTS
from mlx.utils import tree_flatten

from ltx_bench.clips import contexts, latent_states, modality
from ltx_bench.configs import Config
from ltx_bench.flops import transformer_flops
from ltx_bench.items import Item
from ltx_bench.networks import nbytes
from ltx_bench.works.base import Prepared, Setup, Work
from ltx_bench.works.transformer import SIGMA, text_tokens, tokens_of

BLOCKS = 8
"""Of 48: a file of 6.4 GB is written in seconds, and time and bytes are in proportion to the blocks."""

NOISE = 2**25
"""Random numbers that all weights are cut from: bytes on a disk are not slower for being new."""


def low_ram(setup: Setup, item: Item) -> Prepared:
    """One call of a transformer of the first `BLOCKS` blocks, whose weights are read as under `Memory.LOW`,
    mostly from the system's page cache: the file was just written."""
    full = setup.config(item)
    layers = min(BLOCKS, full["transformer"]["num_layers"])
    config: Config = full | {"transformer": full["transformer"] | {"num_layers": layers}}
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "transformer.safetensors")
    size = write_random(path, config)

    def build() -> nn.Module:
        return Checkpoint.open(path).build("transformer", setup.dtype)

    network: Any = build()
    stream(network, build, ["transformer_blocks"])
    mx.eval(network.parameters())

    def work(item: Item) -> Work:
        states = latent_states(config, item.clip)
        texts = contexts(config, setup.dtype, tokens=text_tokens(setup))
        cache = network.make_cache()
        # The file lives as long as the work.
        blocks, held = network.transformer_blocks, folder

        def run() -> Any:
            streams = (
                modality(state, text, SIGMA, setup.dtype) for state, text in zip(states, texts, strict=True)
            )
            return network(*streams, cache=cache)

        def details() -> dict[str, Any]:
            return {
                "blocks": layers,
                "of_blocks": full["transformer"]["num_layers"],
                "file": size,
                "read": blocks.bytes_read,
                "waited": blocks.seconds_waited,
                "folder": held.name,
            }

        return Work(run, transformer_flops(config, tokens_of(setup, item)), None, details)

    return Prepared(work, nbytes(network))


def write_random(path: Path, config: Config) -> int:
    """A checkpoint with a transformer of random bfloat16 weights; returns its size in bytes."""
    component = COMPONENTS["transformer"]
    network = component.create(config["transformer"])
    parameters: dict[str, mx.array] = dict(tree_flatten(network.parameters()))
    header: dict[str, Any] = {"__metadata__": {"config": json.dumps(config), "model_version": "2.0.0"}}
    end = 0
    for name, value in parameters.items():
        start, end = end, end + 2 * value.size
        header[component.keys.file_name(name)] = {
            "dtype": "BF16",
            "shape": list(value.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    noise = mx.random.uniform(-0.02, 0.02, (min(NOISE, end // 2),), key=mx.random.key(0)).astype(mx.bfloat16)
    data = memoryview(np.array(noise.view(mx.uint16)).tobytes())
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        while end:
            end -= file.write(data[:end])
    return path.stat().st_size
