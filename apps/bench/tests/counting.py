"""Floating-point operations of a graph, counted from its primitives' shapes."""

import math
from collections.abc import Callable
from typing import Any

import mlx.core as mx

PLAIN = {"Matmul", "AddMM"}


def count_flops(run: Callable[[mx.array], Any]) -> int:
    """Two for each multiplication of the matrix products and convolutions of `run`.

    `run` gets a zero that its inputs must depend on: what does not is a constant of the graph, computed
    before it.
    """
    found: list[dict[str, Any]] = []
    # What is fused has no shapes inside.
    mx.disable_compile()
    try:
        mx.export_function(found.append, run, mx.zeros(()))
    finally:
        mx.enable_compile()
    return sum(_of(event) for event in found if event["type"] == "primitive")


def _of(event: dict[str, Any]) -> int:
    name, inputs = event["name"], [entry[1] for entry in event["inputs"]]
    made = math.prod(event["outputs"][0][1])
    if name in PLAIN:
        return 2 * made * inputs[0][-1]
    if name == "Convolution":
        strides, _, _, _, dilation = event["arguments"][:5]
        weight = inputs[1]
        if max(dilation, default=1) > 1:
            # A transposed convolution: zeros stand between the inputs, and are not multiplied.
            return 2 * math.prod(inputs[0]) * math.prod(weight) // weight[-1]
        assert strides
        return 2 * made * math.prod(weight[1:])
    assert "matmul" not in name.lower(), name
    assert "conv" not in name.lower(), name
    return 0
