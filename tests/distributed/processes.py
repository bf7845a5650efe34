"""Two processes on one machine that compute together, as `mlx.launch` starts them."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parents[2]
TIMEOUT = 300
"""Seconds that a machine with other work may take for what needs a few."""


@dataclass(frozen=True)
class Ran:
    """What one process left behind."""

    status: int
    out: str
    err: str


def environments(folder: Path, count: int) -> list[dict[str, str]]:
    """The environment of each of `count` processes that meet through free ports; writes a file into the
    folder."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        addresses = [[f"127.0.0.1:{each.getsockname()[1]}"] for each in sockets]
    hosts = folder / "hosts.json"
    hosts.write_text(json.dumps(addresses))
    # Processes of one thread each: threads that wait for work spin, and here processes wait for each other.
    shared = os.environ | {"MLX_HOSTFILE": str(hosts), "OPENBLAS_NUM_THREADS": "1"}
    return [shared | {"MLX_RANK": str(rank)} for rank in range(count)]


def run_together(
    folder: Path, commands: Sequence[Sequence[object]], also: Sequence[Mapping[str, str]] = ({}, {})
) -> list[Ran]:
    """Run one Python command for each rank, all at the same time, and wait for all of them.

    Args:
        folder: for files of the run.
        commands: arguments of the interpreter, by rank.
        also: more variables of the environment, by rank.

    Raises:
        subprocess.TimeoutExpired: one of them hangs; none is left running then.
    """
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=HERE,
            env={**environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, environment, more in zip(
            commands, environments(folder, len(commands)), also, strict=True
        )
    ]
    try:
        texts = [process.communicate(timeout=TIMEOUT) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [Ran(process.returncode, *text) for process, text in zip(started, texts, strict=True)]
