"""Other implementations of the same networks, measured by a process of another interpreter.

`ltx_bench/peer` holds the scripts that run there. They speak lines of JSON: a request that says what to
measure, with the config of the network, and an answer with the record.
"""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ltx_bench.clips import Clip, token_counts
from ltx_bench.items import Item
from ltx_bench.measure import Repetitions
from ltx_bench.results import Record
from ltx_bench.works.audio import mel_shape
from ltx_bench.works.base import Setup
from ltx_bench.works.transformer import text_tokens

SCRIPT = Path(__file__).parent / "peer" / "serve.py"

# What measures a kind of item, the one that ratios are taken of first.
IMPLEMENTATIONS: dict[str, tuple[str, ...]] = {
    "transformer": ("ltx-core",),
    "guided": ("ltx-core",),
    "video-decode": ("diffusers", "ltx-core"),
    "video-encode": ("diffusers", "ltx-core"),
    "gemma": ("transformers",),
    "audio-decode": ("ltx-core",),
    "vocoder": ("ltx-core",),
}


class Peers:
    """The process that measures peers; a context manager, which ends it."""

    def __init__(self, python: str, path: Sequence[Path] = (), only: Sequence[str] = ()) -> None:
        """Start it.

        Args:
            python: an interpreter with torch, and with the peers that are to be measured.
            path: folders to import from, before its own.
            only: names of implementations; without any, all of `IMPLEMENTATIONS`.
        """
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
        self.only = tuple(only)
        self.process = subprocess.Popen(
            [python, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        # Its imports must not run beside the first measurement.
        self.versions = self.ask({"ask": "versions"})

    def implementations(self, kind: str) -> list[str]:
        """Those that can measure a kind of item."""
        names = IMPLEMENTATIONS.get(kind, ())
        return [name for name in names if not self.only or name in self.only]

    def measure(self, implementation: str, item: Item, setup: Setup, repetitions: Repetitions) -> Record:
        """The record of an item; of one whose variant the peer does not have, an error."""
        config = setup.config(item)
        if item.kind == "transformer" and item.variant:
            return {"error": f"{implementation} has no variant {item.variant}"}
        sizes: dict[str, Any] = {"count": item.size}
        if isinstance(item.size, Clip):
            video, audio = token_counts(config, item.size)
            clip = {"width": item.size.width, "height": item.size.height, "frames": item.size.frames}
            sizes = clip | {"video_tokens": video, "audio_tokens": audio}
        else:
            sizes["mel_shape"] = mel_shape(config, item.size)
        return self.ask(
            {
                "ask": "measure",
                "implementation": implementation,
                "kind": item.kind,
                "network": item.network,
                "config": config,
                "dtype": str(setup.dtype).removeprefix("mlx.core."),
                "sizes": sizes | {"batch": item.batch, "text_tokens": text_tokens(setup)},
                "variant": item.variant,
                "warmup": repetitions.warmup,
                "count": repetitions.count,
                "seconds": repetitions.seconds,
            }
        )

    def forget(self) -> None:
        """Let go of the network that was measured last."""
        self.ask({"ask": "forget"})

    def ask(self, request: Record) -> Record:
        """One request; a process that has died answers with an error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"error": f"the peer's process ended with status {self.process.wait()}"}
        answer: Record = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        deadline = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
