"""Measuring items one after the other, ours and the peers', into a file."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx

from ltx_bench.clips import Clip, token_counts
from ltx_bench.items import Item
from ltx_bench.machine import Machine
from ltx_bench.measure import Repetitions, measure
from ltx_bench.peers import Peers
from ltx_bench.results import OURS, Record, Results
from ltx_bench.works import WORKS, Setup

Report = Callable[[Record], None]


class Runner:
    """One run of benchmarks.

    Each network is made once and measured with all of its items; it is gone before the peers make theirs, so
    that two large ones are never in memory together and both are measured within a minute.
    """

    def __init__(
        self,
        results: Results,
        setup: Setup,
        machine: Machine,
        repetitions: Repetitions,
        peers: Peers | None = None,
        seconds: float = float("inf"),
        report: Report = lambda record: None,
    ) -> None:
        """Args:
        peers: measured beside ours; None for none.
        seconds: from now on; no item begins after that.
        report: hears of every record.
        """
        self.results = results
        self.setup = setup
        self.machine = machine
        self.repetitions = repetitions
        self.peers = peers
        self.report = report
        self.end = time.perf_counter() + seconds
        self.run = results.begin({"machine": machine.to_json(), "scale": setup.scale})

    @property
    def time_is_up(self) -> bool:
        """Whether no further item is to begin."""
        return time.perf_counter() > self.end

    def measure(self, items: Sequence[Item]) -> list[Item]:
        """Measure items; returns those that the time was too short for."""
        left: list[Item] = []
        for _, group in groupby(items, key=lambda item: item.network):
            same = list(group)
            if self.time_is_up:
                left += same
                continue
            left += self._ours(same)
            if self.peers is not None:
                self._peers(self.peers, [item for item in same if item not in left])
        return left

    def _ours(self, items: list[Item]) -> list[Item]:
        """Items of one network; returns those that are left."""
        records = self._measured(items)
        for item in items:
            if self.time_is_up:
                return items[items.index(item) :]
            self._add(item, OURS, next(records))
        return []

    def _measured(self, items: list[Item]) -> Iterator[Record]:
        prepared = None
        for item in items:
            try:
                start = time.perf_counter()
                prepared = prepared or WORKS[item.kind](self.setup, item)
                made = time.perf_counter() - start
                work = prepared.work(item)
                measurement = measure(work.run, self.repetitions, work.excluded)
                record = {
                    **asdict(measurement),
                    "weights": prepared.weights,
                    "flops": work.flops,
                    "made": made,
                }
                yield record | (work.details() if work.details else {})
                del work
            except Exception as error:
                # An item that does not fit the memory must not cost those that follow.
                traceback.print_exc()
                yield {"error": f"{type(error).__name__}: {error}"}
            mx.clear_cache()

    def _peers(self, peers: Peers, items: list[Item]) -> None:
        mx.clear_cache()
        for implementation in peers.implementations(items[0].kind) if items else ():
            for item in items:
                if self.time_is_up:
                    break
                record = peers.measure(implementation, item, self.setup, self.repetitions)
                self._add(item, record.pop("implementation", implementation), record)
            peers.forget()

    def _add(self, item: Item, implementation: str, record: Record) -> None:
        full = {"run": self.run, **describe(item, self.setup), "implementation": implementation, **record}
        self.results.add(full)
        self.report(full)


def describe(item: Item, setup: Setup) -> Record:
    """What an item is, as plain values."""
    config = setup.config(item)
    sizes: dict[str, Any] = {"size": item.size}
    if isinstance(item.size, Clip):
        video, audio = token_counts(config, item.size)
        sizes = {"size": str(item.size), "frames": item.size.frames, "tokens": video, "audio_tokens": audio}
    return {
        "item": item.name,
        "kind": item.kind,
        "version": item.version,
        **sizes,
        "batch": item.batch,
        "variant": item.variant,
    }
