"""How often networks evaluate what they have computed so far: the one setting for all of them.

Metal kills command buffers that run for long (about ten seconds, less while a display is on), so there the
work is handed over in pieces. CUDA keeps what a graph computes until much of it is done, gigabytes of a VAE's
large arrays, so there these are evaluated block by block. Elsewhere a network is one graph, which is faster.
Tiles of a clip are evaluated one by one everywhere.
"""

from dataclasses import dataclass

import mlx.nn as nn
from ltx_core.device import backend


@dataclass(frozen=True)
class EvaluationCadence:
    """After how many blocks each kind of network evaluates; 0: it does not before its end.

    Attributes:
        text_encoder: layers of Gemma.
        connectors: blocks of the text connectors.
        transformer: its blocks.
        autoencoders: blocks of the VAEs within a tile, of the vocoder and of the upscalers.
    """

    text_encoder: int = 0
    connectors: int = 0
    transformer: int = 0
    autoencoders: int = 0

    @classmethod
    def here(cls) -> "EvaluationCadence":
        """What suits the device that MLX computes on."""
        return {"metal": METAL, "cuda": CUDA}.get(backend(), cls())

    def apply(self, component: str, network: nn.Module) -> None:
        """Set it for a network; `component` is its name in `COMPONENTS`, or "text_encoder"."""
        kind = component.partition("_")[0]
        names = {"text": "text_encoder", "embeddings": "connectors", "transformer": "transformer"}
        network.eval_every = getattr(self, names.get(kind, "autoencoders"))


METAL = EvaluationCadence(text_encoder=1, connectors=1, transformer=4, autoencoders=1)
CUDA = EvaluationCadence(autoencoders=1)
