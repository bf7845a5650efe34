"""Several processes with a device each, beside one process: a guided step, divided.

`python -m ltx_bench.ranks '{...}'` is what each process runs; it prints its record as JSON.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
from ltx_core import LTXError
from ltx_core.device import backend
from ltx_core.ranks import join

from ltx_bench.clips import Clip
from ltx_bench.items import SIZES, Item
from ltx_bench.measure import Repetitions, measure
from ltx_bench.results import OURS, Record

DIVISIONS = ("split", "tokens", "shard")
"""Of the passes of guidance, of the video's tokens, or of the network: `ltx_pipelines.devices.Division`."""

ONE = "one device"
"""The implementation that the others' ratios are taken of."""

TIMEOUT = 300
"""Seconds for one measurement: processes that wait for each other may wait for ever."""


def list_ranks(scale: str, processes: int) -> list[Item]:
    """Guided steps for so many processes, of the second smallest clip."""
    clip = SIZES[scale].clips[1]
    variants = [f"{kind}/{division}" for kind in ("cfg", "full") for division in DIVISIONS]
    return [Item("ranks", "2.0", clip, variant=f"{variant}/{processes}") for variant in variants]


def measure_ranks(items: list[Item], scale: str, repetitions: Repetitions) -> Iterator[tuple[Item, Record]]:
    """Records of items by several processes, each followed by that of one process alone; these are measured
    once for every kind of step."""
    alone: dict[str, Record] = {}
    for item in items:
        kind, division, processes = item.variant.split("/")
        request = {"size": str(item.size), "version": item.version, "scale": scale} | asdict(repetitions)
        if kind not in alone:
            alone[kind] = run_together(request | {"variant": kind}, 1)
        yield (
            item,
            {
                "implementation": OURS,
                **run_together(request | {"variant": f"{kind}/{division}"}, int(processes)),
            },
        )
        yield item, {"implementation": ONE, **alone[kind]}


def run_together(request: Record, processes: int) -> Record:
    """What rank 0 of so many processes measured; memory is that of the rank that takes most."""
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "ltx_bench.ranks", json.dumps(request)],
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for environment in environments(Path(folder), processes)
        ]
        try:
            texts = [process.communicate(timeout=TIMEOUT)[0] for process in started]
        except subprocess.TimeoutExpired:
            return {"error": f"no end after {TIMEOUT} seconds"}
        finally:
            for process in started:
                process.kill()
                process.wait()
    failed = [process.returncode for process in started if process.returncode]
    if failed:
        return {"error": f"processes ended with status {failed}"}
    records: list[Record] = [json.loads(text.splitlines()[-1]) for text in texts]
    return records[0] | {"peak": max(record["peak"] for record in records), "devices": processes}


def environments(folder: Path, processes: int) -> list[dict[str, str]]:
    """What each process is told about the others, and about its own device."""
    if backend() == "metal":
        raise LTXError("several devices of one machine are for CUDA and CPUs; a Mac has one")
    ports = free_ports(processes)
    hosts = folder / "hosts.json"
    hosts.write_text(json.dumps([[f"127.0.0.1:{port}"] for port in ports]))
    shared = {"MLX_HOSTFILE": str(hosts), "OPENBLAS_NUM_THREADS": "1"}
    if backend() == "cuda":
        size = {"MLX_WORLD_SIZE": str(processes)}
        shared = {"NCCL_HOST_IP": "127.0.0.1", "NCCL_PORT": str(ports[0])} | size
    made = []
    for rank in range(processes):
        own = {"CUDA_VISIBLE_DEVICES": str(rank)} if backend() == "cuda" else {}
        made.append(own if processes == 1 else own | shared | {"MLX_RANK": str(rank)})
    return made


def free_ports(count: int) -> list[int]:
    """Numbers of ports that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def main(text: str) -> None:
    """One process: meets the others, measures with them, prints the record."""
    from ltx_bench.works import Setup
    from ltx_bench.works.transformer import guided

    request: dict[str, Any] = json.loads(text)
    group = join()
    item = Item("ranks", request["version"], Clip.parse(request["size"]), variant=request["variant"])
    prepared = guided(Setup(request["scale"]), item, group)
    work = prepared.work(item)
    # All of them must run equally often: no end by the clock.
    repetitions = Repetitions(request["warmup"], request["count"], float("inf"))
    measurement = measure(work.run, repetitions)
    mx.synchronize()
    print(json.dumps({**asdict(measurement), "weights": prepared.weights, "flops": work.flops}))


if __name__ == "__main__":
    main(sys.argv[1])
