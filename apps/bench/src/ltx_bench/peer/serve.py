"""Measures other implementations of the networks, for `ltx_bench.peers`; needs nothing of this project.

Runs under an interpreter with torch and the peers. A line of JSON on standard input is a request, a line on
standard output its answer. What libraries print goes to standard error.
"""

import gc
import json
import os
import sys
import traceback
from typing import Any

import torch
from measuring import Timing, forget_memory, measure
from official import OFFICIAL
from others import DIFFUSERS, TRANSFORMERS

IMPLEMENTATIONS = {"ltx-core": OFFICIAL, "diffusers": DIFFUSERS, "transformers": TRANSFORMERS}


class Server:
    """Answers requests; keeps the network of the last one until another is asked for."""

    def __init__(self) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.key: Any = None
        self.network: Any = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["ask"] == "versions":
            return {"torch": torch.__version__, "device": self.device}
        if request["ask"] == "forget":
            self.forget()
            return {}
        return self.measure(request)

    def forget(self) -> None:
        self.key = self.network = None
        gc.collect()
        forget_memory(self.device)

    def measure(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["implementation"]
        build, prepare, version = IMPLEMENTATIONS[name][request["kind"]]
        key = [name, *request["network"]]
        dtype = getattr(torch, request["dtype"])
        if self.key != key:
            self.forget()
            self.network = build(request["config"], self.device, dtype)
            self.key = key
        with torch.inference_mode():
            run = prepare(self.network, request, self.device, dtype)
            timing = Timing(request["warmup"], request["count"], request["seconds"])
            result = measure(run, timing, self.device)
        del run
        weights = sum(value.nbytes for value in self.network.parameters())
        forget_memory(self.device)
        return {
            "implementation": f"{name} {version()}",
            "torch": torch.__version__,
            "weights": weights,
            **result,
        }


def main() -> None:
    # The real output is for answers alone.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    server = Server()
    for line in sys.stdin:
        try:
            answer = server.answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            server.forget()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
