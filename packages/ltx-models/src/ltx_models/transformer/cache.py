"""What stays the same over the denoising steps, computed once."""

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import mlx.core as mx

from ltx_models.transformer.shared_blocks import SharedBlocks

T = TypeVar("T")


class TransformerCache:
    """Results that depend on some of a model's inputs only (positions, masks, text), kept between calls.

    A result belongs to the very array object that it was computed from: another object, even an equal
    one, is a miss. It is dropped when that array is, so that the cache outlives nothing of its caller's,
    and there are never more than `entries_per_kind` of a kind: enough for guidance, whose passes have
    different texts.

    One cache serves one model with fixed weights: make a new one after changing them. Arrays must not be
    written to in place while it lives.

    Attributes:
        per_block: whether results that belong to a single block are kept too; all blocks' text keys and
            values take 1.2 GB in LTX-2.0, in bfloat16, for every text.
        shared: hidden states that calls with the same inputs have in common.
    """

    def __init__(self, entries_per_kind: int = 4, per_block: bool = True) -> None:
        self.entries_per_kind = entries_per_kind
        self.per_block = per_block
        self.shared = SharedBlocks()
        self._entries: dict[Hashable, list[tuple[weakref.ref[mx.array], Any]]] = {}

    def get(self, kind: Hashable, source: mx.array, compute: Callable[[], T]) -> T:
        """The result of that kind for `source`; `compute` is called if it is not there."""
        entries = [entry for entry in self._entries.get(kind, ()) if entry[0]() is not None]
        for entry in entries:
            if entry[0]() is source:
                self._entries[kind] = entries
                result: T = entry[1]
                return result
        result = compute()
        self._entries[kind] = [*entries, (weakref.ref(source), result)][-self.entries_per_kind :]
        return result

    def __len__(self) -> int:
        """Number of results that are alive."""
        return sum(ref() is not None for entries in self._entries.values() for ref, _ in entries)
