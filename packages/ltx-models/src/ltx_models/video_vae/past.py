"""Clips that come in chunks of frames: what their layers have to remember from one chunk to the next.

Every layer of the video VAE works on its own frame and at most two frames beside it. Given a clip chunk by
chunk, and the few frames before that it still needs, it puts out what it would put out for the whole clip.
Where it looks ahead, its output comes as many frames later, and the last chunk brings what is left. Nothing
is computed twice, so that chunks cost no time, but save the memory of large arrays.
"""

import mlx.core as mx

FRAMES = 1
"""The axis of time, channels last."""


class Past:
    """The frames of one clip that the layers of one network still need.

    Attributes:
        ends: whether the chunk at hand is the clip's last one.
    """

    def __init__(self, ends: bool = False) -> None:
        self.ends = ends
        self._frames: dict[int, mx.array] = {}
        self._started: set[int] = set()

    @property
    def arrays(self) -> list[mx.array]:
        """All that is remembered: to be evaluated with the chunk's output, else it keeps the chunk alive."""
        return list(self._frames.values())

    def of(self, layer: object) -> mx.array | None:
        """What a layer remembers."""
        return self._frames.get(id(layer))

    def keep(self, layer: object, frames: mx.array) -> None:
        """Let a layer remember frames (B, f, H, W, C), instead of those it had."""
        if not self.ends:
            self._frames[id(layer)] = mx.contiguous(frames)

    def starts(self, layer: object) -> bool:
        """Whether a layer asks for the first time, which is at the clip's first frame."""
        first = id(layer) not in self._started
        if not self.ends:
            self._started.add(id(layer))
        return first

    def delayed(self, layer: object, x: mx.array, count: int) -> mx.array:
        """The next `count` frames of what comes in as x: a skip connection beside layers that look ahead."""
        kept = self.of(layer)
        if kept is not None:
            x = mx.concatenate([kept, x], axis=FRAMES)
        if count < x.shape[FRAMES] or kept is not None:
            self.keep(layer, x[:, count:])
        return x[:, :count]


WHOLE = Past(ends=True)
"""Of a clip that comes in one piece: it remembers nothing."""
