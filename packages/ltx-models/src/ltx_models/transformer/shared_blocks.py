"""Blocks that several calls have in common, computed once.

Spatio-temporal guidance calls the network with the same inputs twice in a step, and skips self-attention in
the second call from some block on: what comes before is what the first call has computed.
"""

from dataclasses import fields

import mlx.core as mx
import numpy as np
from ltx_core.perturbations import BatchedPerturbationConfig
from ltx_core.types import Modality

Inputs = tuple[Modality | None, Modality | None]
States = tuple[mx.array | None, mx.array | None]

# Made anew for every call: of these the values are compared, of all others the array objects.
LEVELS = ("sigma", "timesteps")


def first_perturbed(perturbations: BatchedPerturbationConfig) -> int | None:
    """The first block in which any sample skips anything; None if there is no such block."""
    lists = [part.blocks for config in perturbations.perturbations for part in config.perturbations or ()]
    return min(
        (0 if blocks is None else min(blocks) for blocks in lists if blocks is None or blocks), default=None
    )


class SharedBlocks:
    """Hidden states that a later call with the same inputs can go on from.

    Which blocks such calls begin with is learnt from them: in the first step nothing is shared yet. States of
    one call are kept at a time, the first one with new latents.
    """

    def __init__(self) -> None:
        self._wanted: set[int] = set()
        self._inputs: Inputs = (None, None)
        self._states: dict[int, States] = {}
        self._keep_until = 0

    def begin(self, inputs: Inputs, perturbations: BatchedPerturbationConfig) -> tuple[int, States]:
        """How many blocks a call can leave out, and the hidden states after these."""
        first = first_perturbed(perturbations)
        self._keep_until = 0
        if first:
            self._wanted.add(first)
            if first in self._states and all(map(_same, inputs, self._inputs)):
                return first, self._states[first]
        if self._wanted and any(map(_other_latent, inputs, self._inputs)):
            self._inputs, self._states = inputs, {}
            self._keep_until = max(self._wanted) if first is None else first
        return 0, (None, None)

    def reached(self, block: int, states: States) -> None:
        """Keep the hidden states before a block if they will be asked for."""
        if block in self._wanted and block <= self._keep_until:
            self._states[block] = states


def _other_latent(left: Modality | None, right: Modality | None) -> bool:
    return (left and left.latent) is not (right and right.latent)


def _same(left: Modality | None, right: Modality | None) -> bool:
    if left is None or right is None:
        return left is right
    return all(
        _equal(getattr(left, field.name), getattr(right, field.name))
        if field.name in LEVELS
        else getattr(left, field.name) is getattr(right, field.name)
        for field in fields(Modality)
    )


def _equal(left: mx.array, right: mx.array) -> bool:
    return left is right or np.array_equal(np.array(left), np.array(right))
