"""What the networks of a checkpoint compute, against those of the official file that it was made from."""

import functools
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np
from ltx_loaders import Checkpoint

from tests.parity import cases_audio, cases_text, cases_transformer, cases_video  # noqa: F401  (registered)
from tests.parity.harness import Case, find_runner, relative_l2
from tests.recordings import CASES, unpacked

GENERATIONS = ("ltx-2.0", "ltx-2.3")
# Recorded inputs, one case for each network: text encoder with connectors, transformer, decoders, vocoder.
RECORDED = ("text_short_128", "transformer_basic", "vae_decode", "audio_decode", "audio_encode", "vocoder")


def root(generation: str) -> Path:
    """The folder of a generation's small official model."""
    return unpacked(CASES) / generation


def outputs(case: str, generation: str, checkpoint: Checkpoint) -> Iterator[tuple[str, np.ndarray]]:
    """What the networks of a checkpoint make of the recorded inputs of a case."""
    loaded = Case.load(root(generation) / "cases" / f"{case}.safetensors")
    loaded.__dict__["checkpoint"] = checkpoint
    runner = find_runner(case)
    assert runner is not None
    for name, value in runner.run(loaded).items():
        yield name, np.array(value)


@functools.cache
def official(case: str, generation: str) -> dict[str, np.ndarray]:
    """The same from the official file."""
    checkpoint = Checkpoint.open(root(generation) / "checkpoint.safetensors")
    return dict(outputs(case, generation, checkpoint))


def error(case: str, generation: str, checkpoint: Checkpoint) -> float:
    """The worst relative L2 error of a case's outputs."""
    want = official(case, generation)
    got = dict(outputs(case, generation, checkpoint))
    assert set(got) == set(want)
    return max(relative_l2(got[name], want[name]) for name in want)


def same_weights(component: str, generation: str, checkpoint: Checkpoint) -> None:
    """Raise AssertionError unless a network, which no case is recorded for, is that of the official file."""
    from mlx.utils import tree_flatten

    want = Checkpoint.open(root(generation) / "checkpoint.safetensors").build(component, mx.float32)
    got = checkpoint.build(component, mx.float32)
    assert got.config == want.config
    pairs = zip(tree_flatten(got.parameters()), tree_flatten(want.parameters()), strict=True)
    for (name, value), (_, expected) in pairs:
        np.testing.assert_array_equal(value, expected, err_msg=name)
