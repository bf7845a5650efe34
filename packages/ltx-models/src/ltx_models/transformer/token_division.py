"""The tokens of the video divided among processes, each of which has the whole transformer.

Everything but attention treats tokens one by one. In attention, each process asks for its own tokens, and the
keys and values are gathered from all of them. Audio tokens are few: every process has all of them.
"""

from dataclasses import replace

import mlx.core as mx

from ltx_models.transformer.adaln import Modulation
from ltx_models.transformer.transformer_args import TransformerArgs


class TokenDivision:
    """Which tokens this process has, of the video that is passing through a network.

    Args:
        group: the processes. They call the network together, with the same inputs.
    """

    def __init__(self, group: mx.distributed.Group) -> None:
        self.group = group
        self._length = 0

    def own(self, args: TransformerArgs) -> TransformerArgs:
        """This process's share of a stream, the same number of tokens in all of them: after the last token
        there may be some of zeros, which are no keys or values for any."""
        self._length = args.x.shape[1]
        mask, cross = args.self_attention_mask, args.cross
        if cross is not None:
            cos, sin = cross.positional_embeddings
            cross = replace(
                cross,
                positional_embeddings=(self._share(cos, 2), self._share(sin, 2)),
                scale_shift_timestep=self._modulation(cross.scale_shift_timestep),
                gate_timestep=self._modulation(cross.gate_timestep),
            )
        cos, sin = args.positional_embeddings
        return replace(
            args,
            x=self._share(args.x, 1),
            timesteps=self._modulation(args.timesteps),
            embedded_timestep=self._modulation(args.embedded_timestep),
            positional_embeddings=(self._share(cos, 2), self._share(sin, 2)),
            # Of those who ask; whom they may see are all.
            self_attention_mask=None if mask is None else self._share(mask, 2),
            cross=cross,
        )

    def gather(self, tokens: mx.array) -> mx.array:
        """Tokens (B, T / processes, C) of all processes: (B, T, C)."""
        batch, _, width = tokens.shape
        everywhere = mx.distributed.all_gather(tokens, group=self.group)
        ranks = everywhere.reshape(self.group.size(), batch, -1, width)
        return ranks.transpose(1, 0, 2, 3).reshape(batch, -1, width)[:, : self._length]

    def gather_heads(self, x: mx.array) -> mx.array:
        """Keys or values (B, heads, T / processes, size) of all processes: (B, heads, T, size)."""
        # As they lie in memory, or soon do: heads within tokens.
        tokens = self.gather(x.transpose(0, 2, 1, 3).flatten(2))
        return tokens.reshape(*tokens.shape[:2], x.shape[1], -1).transpose(0, 2, 1, 3)

    def _share(self, array: mx.array, axis: int) -> mx.array:
        each = -(-array.shape[axis] // self.group.size())
        start = min(self.group.rank() * each, array.shape[axis])
        share = array[(slice(None),) * axis + (slice(start, start + each),)]
        missing = each - share.shape[axis]
        if missing:
            share = mx.pad(share, [(0, missing if n == axis else 0) for n in range(array.ndim)])
        return share

    def _modulation(self, modulation: Modulation) -> Modulation:
        index = modulation.index
        return modulation if index is None else replace(modulation, index=self._share(index, 1))
