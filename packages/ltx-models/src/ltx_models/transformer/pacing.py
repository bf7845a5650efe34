"""How far a network's graph is handed over to a GPU ahead of what it has computed.

What is queued holds its memory until it is done, and MLX queues far ahead: of a large network whole gigabytes
of activations. A network that is handed over in pieces, of which one is computed while the next is made,
keeps the GPU as busy and holds two pieces; nor does the GPU wait until the whole graph is made.
"""

import mlx.core as mx
from ltx_core.device import backend

from ltx_models.transformer.fused import Residual

# Size of a piece in bytes, by backend. Small pieces cost time on the host, and do not matter in memory.
PIECE = {"cuda": 2**28}

ARRAYS = 8
"""About as many arrays as large as the hidden states are made by one part of a block."""


class Pacing:
    """Called after every part of a block with the hidden states of both streams.

    Args:
        piece: bytes; 0 to leave everything to MLX.
    """

    def __init__(self, piece: int = 0) -> None:
        self._piece = piece
        self._made = 0
        self._computing: list[mx.array] = []

    @classmethod
    def here(cls) -> "Pacing":
        """As suits the device that MLX computes on."""
        return cls(PIECE.get(backend(), 0))

    def __call__(self, *hidden: Residual) -> None:
        """Hand over what was made if it is a piece, and wait for the one before it."""
        if not self._piece:
            return
        arrays = [array for states in hidden for array in states.arrays()]
        self._made += ARRAYS * max(array.nbytes for array in arrays)
        if self._made < self._piece:
            return
        self._made = 0
        try:
            mx.async_eval(arrays)
        except ValueError:
            # Inside a transformation, as that of a gradient, nothing can be computed yet.
            self._piece = 0
            return
        mx.eval(self._computing)
        self._computing = arrays
