"""What every stage of the training shares: the optimisation step, the time budget, the log and the files.

Stages are limited by the clock, not by a number of steps: learning rates and mixtures follow the fraction of
`--minutes` that has passed, compilation of kernels included.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from ltx_core.device import backend
from ltx_loaders.components import COMPONENTS
from ltx_loaders.weights import KeyMap, conv_axes
from mlx.utils import tree_flatten, tree_map, tree_map_with_path, tree_unflatten

Metrics = dict[str, mx.array]
Loss = Callable[..., tuple[mx.array, Metrics]]


def flat(tree: Any) -> list[tuple[str, mx.array]]:
    """The leaves of a tree of arrays with their dotted names."""
    return cast(list[tuple[str, mx.array]], tree_flatten(tree))


FILE_BYTES = 15 * 2**20
"""Largest file that is written: machines that are lent bring back files of 16 MiB at most."""


def arguments(description: str | None, *, minutes: float) -> argparse.ArgumentParser:
    """The options that every stage has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and samples")
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="when to stop, kernel compilation included"
    )
    parser.add_argument("--resume", type=Path, help="folder of an earlier run of this stage, to go on from")
    parser.add_argument(
        "--size", choices=("pocket", "tiny"), default="pocket", help="tiny: to try the code out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--fused", action="store_true", help="compile a step as a whole: fast, after minutes the first time"
    )
    return parser


class Clock:
    """The time budget of a run, counted from its construction."""

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.start = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    @property
    def fraction(self) -> float:
        """Part of the budget that has passed, from 0 to 1 and beyond."""
        return self.elapsed / self.seconds if self.seconds else 1.0


def warm_cosine(fraction: float, steps: int, peak: float, warmup_steps: int = 100) -> float:
    """Learning rate: a linear rise over the first steps, half a cosine over the budget, 1 % at its end."""
    rise = min(1.0, (steps + 1) / warmup_steps)
    return peak * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction))))


class Layout:
    """Where each weight of a network stands in a few long arrays: an optimiser then has a few things to do,
    not hundreds, each of which would be a kernel of its own.

    Args:
        tree: arrays by name; only their shapes are kept.
    """

    CHUNK = 3 * 2**20
    ALIGNMENT = 16

    def __init__(self, tree: dict[str, Any]) -> None:
        # (name, shape, padding): matrix products want their operands at round addresses.
        self.chunks: list[list[tuple[str, tuple[int, ...], int]]] = [[]]
        room = self.CHUNK
        for name, value in flat(tree):
            padding = -value.size % self.ALIGNMENT
            if value.size + padding > room and self.chunks[-1]:
                self.chunks.append([])
                room = self.CHUNK
            room -= value.size + padding
            self.chunks[-1].append((name, value.shape, padding))
        self.names = [name for chunk in self.chunks for name, _, _ in chunk]

    def join(self, arrays: Sequence[mx.array]) -> list[mx.array]:
        """The long arrays of the network's arrays in the tree's order, float32."""
        values = iter(arrays)
        result = []
        for chunk in self.chunks:
            pieces: list[mx.array] = []
            for _, _, padding in chunk:
                pieces.append(next(values).flatten())
                if padding:
                    pieces.append(mx.zeros(padding, pieces[-1].dtype))
            result.append(mx.concatenate(pieces).astype(mx.float32))
        return result

    def split(self, chunks: Sequence[mx.array]) -> list[mx.array]:
        """The network's arrays in the tree's order, parts of the long ones.

        Take gradients by these, not by the long arrays: that of every slice would be as long as the whole.
        """
        arrays = []
        for array, names in zip(chunks, self.chunks, strict=True):
            start = 0
            for _, shape, padding in names:
                size = math.prod(shape)
                arrays.append(array[start : start + size].reshape(shape))
                start += size + padding
        return arrays

    def tree(self, chunks: Sequence[mx.array]) -> dict[str, Any]:
        """The tree that the long arrays hold."""
        return cast(dict[str, Any], tree_unflatten(list(zip(self.names, self.split(chunks), strict=True))))

    def places(self, model: nn.Module) -> list[tuple[Any, Any]]:
        """Where a network keeps its arrays: containers and keys, in the tree's order."""
        found = []
        for name in self.names:
            *path, last = [int(part) if part.isdecimal() else part for part in name.split(".")]
            container: Any = model
            for part in path:
                container = container[part]
            found.append((container, last))
        return found


class Trainer:
    """AdamW with clipped gradients on a network's trainable parameters, and their moving average.

    The weights are float32; the network computes with copies of them in `dtype`. The trainer owns the
    weights: inside the network they are valid only after `install`.

    Args:
        model: the network, or a module that holds several.
        loss: batch arrays -> (loss, further numbers to log), calling `model`. It may draw random numbers.
        dtype: that the network computes in; None: bfloat16 on GPUs, float32 on CPUs.
        ema_decay: of the moving average, lower in the first steps.
        clip: largest norm of the gradient. A step whose gradient is not finite changes nothing.
        fused: compile a whole step, which takes minutes on GPUs whose kernels are not cached yet. Without it
            MLX_USE_CUDA_GRAPHS=0 makes steps several times faster on CUDA, where they wait for the host.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        *,
        dtype: mx.Dtype | None = None,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        ema_decay: float = 0.999,
        clip: float = 1.0,
        fused: bool = False,
    ) -> None:
        self.model = model
        self.loss = loss
        self.dtype = dtype or (mx.float32 if backend() == "cpu" else mx.bfloat16)
        self.ema_decay = ema_decay
        self.clip = clip
        # On a CPU compilation costs more than it saves.
        self.fused = fused and backend() != "cpu"
        self.steps = 0
        tree = model.trainable_parameters()
        self.layout = Layout(tree)
        # Put there one by one: an update of the tree takes as long as the whole forward pass takes to build.
        self.places = self.layout.places(model)
        self.weights: dict[str, list[mx.array]] = {"now": self._join(tree)}
        self.weights["average"] = [mx.array(chunk) for chunk in self.weights["now"]]
        # Steps so far, those of earlier runs included: the optimiser counts since it had no moments.
        self.weights["count"] = [mx.array(0.0)]
        self.optimizer = optim.AdamW(0.0, betas=list(betas), weight_decay=weight_decay, bias_correction=True)
        self.optimizer.init({"chunks": self.weights["now"]})
        self._compile()

    @property
    def params(self) -> dict[str, Any]:
        """The weights as a tree."""
        return self.layout.tree(self.weights["now"])

    @property
    def ema(self) -> dict[str, Any]:
        """Their moving average as a tree."""
        return self.layout.tree(self.weights["average"])

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(math.prod(shape) for chunk in self.layout.chunks for _, shape, _ in chunk)

    def _compile(self) -> None:
        self.state = [self.weights, self.optimizer.state, mx.random.state]
        self._update = (
            mx.compile(self._step, inputs=self.state, outputs=self.state) if self.fused else self._step
        )

    def _join(self, tree: dict[str, Any]) -> list[mx.array]:
        values = dict(flat(tree))
        return self.layout.join([values[name] for name in self.layout.names])

    def _forward(self, arrays: list[mx.array], *batch: mx.array) -> tuple[mx.array, Metrics]:
        for (container, key), array in zip(self.places, arrays, strict=True):
            container[key] = array
        return self.loss(*batch)

    def _step(self, *batch: mx.array) -> Metrics:
        now = self.weights["now"]
        arrays = self.layout.split([chunk.astype(self.dtype) for chunk in now])
        (loss, metrics), slopes = mx.value_and_grad(self._forward)(arrays, *batch)
        gradients = self.layout.join(slopes)
        norm = mx.sqrt(mx.stack([mx.square(g).sum() for g in gradients]).sum())
        finite = mx.isfinite(norm)
        scale = mx.minimum(1.0, self.clip / (norm + 1e-6))
        gradients = [mx.where(finite, g * scale, 0.0) for g in gradients]
        now = self.optimizer.apply_gradients({"chunks": gradients}, {"chunks": now})["chunks"]
        count = self.weights["count"][0] + 1
        decay = mx.minimum(self.ema_decay, (1 + count) / (10 + count))
        average = [p + decay * (e - p) for e, p in zip(self.weights["average"], now, strict=True)]
        self.weights.update(now=now, average=average, count=[count])
        return {"loss": loss, **metrics, "gradient": norm}

    def step(self, learning_rate: float, *batch: mx.array) -> Metrics:
        """One optimisation step, started but not waited for."""
        self.optimizer.learning_rate = mx.array(learning_rate)
        metrics = self._update(*batch)
        self.steps += 1
        mx.async_eval(metrics, self.state)
        return metrics

    def install(self, ema: bool = True) -> None:
        """Give the network its weights: the moving average, or those of the last step."""
        self.model.update(tree_map(mx.array, self.ema if ema else self.params))

    def assign(self, params: dict[str, Any], ema: dict[str, Any], steps: int) -> None:
        """Go on from these weights, this average of them, and this many steps."""
        self.weights.update(now=self._join(params), average=self._join(ema), count=[mx.array(float(steps))])
        self.steps = steps
        self._compile()

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs: the weights, and in bfloat16 their average and the moments."""
        tensors = dict(flat({"params": self.params}))
        for name, value in flat({"ema": self.ema, "optimizer": self.optimizer.state}):
            tensors[name] = value.astype(mx.bfloat16) if value.ndim else value
        save_tensors(folder, "state", tensors, {"steps": str(self.steps)})

    def load(self, folder: Path) -> None:
        """Go on from what `save` has written. Without moments that fit, the optimiser starts with new ones.

        Raises:
            FileNotFoundError: there is no state in `folder`.
            ValueError: the state is that of another network.
        """
        tensors, metadata = load_tensors(folder, "state")

        def restore(name: str, value: mx.array) -> mx.array:
            found = tensors.get(name)
            if found is None or found.shape != value.shape:
                raise ValueError(f"the state in {folder} belongs to another network: {name} does not fit")
            return found.astype(value.dtype)

        params = tree_map_with_path(restore, self.params, path="params")
        ema = tree_map_with_path(restore, self.ema, path="ema")
        moments = flat({"optimizer": self.optimizer.state})
        if all(name in tensors and tensors[name].shape == value.shape for name, value in moments):
            self.optimizer.state = tree_map_with_path(restore, self.optimizer.state, path="optimizer")
        self.optimizer.init({"chunks": self.weights["now"]})
        self.assign(params, ema, int(metadata["steps"]))


class Log:
    """Numbers of a run: all of them to `log.jsonl`, a line to the terminal every few seconds."""

    def __init__(self, folder: Path, clock: Clock, every: float = 10.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / "log.jsonl").open("a")
        self.clock = clock
        self.every = every
        self.kept: list[Metrics] = []
        self.since = clock.elapsed

    def add(self, step: int, metrics: Metrics, **more: float | str) -> None:
        """Count a step. Waits for the one before it, so that the GPU is never more than one step behind."""
        if self.kept:
            mx.eval(self.kept[-1])
        self.kept.append(metrics)
        now = self.clock.elapsed
        if now - self.since < self.every and len(self.kept) < 1000:
            return
        mx.eval(self.kept)
        names = dict.fromkeys(name for entry in self.kept for name in entry)
        means: dict[str, float | str] = {}
        for name in names:
            values = [float(np.array(entry[name])) for entry in self.kept if name in entry]
            means[name] = round(sum(values) / len(values), 6)
        milliseconds = 1000 * (self.clock.elapsed - self.since) / len(self.kept)
        self.event(step=step, **means, **more, ms=round(milliseconds, 1))
        self.kept, self.since = [], self.clock.elapsed

    def event(self, **values: float | str) -> None:
        """Write and show one line now."""
        entry = {"seconds": round(self.clock.elapsed, 1), **values}
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()
        shown = (
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in entry.items()
        )
        print(f"{min(1.0, self.clock.fraction):4.0%} " + "  ".join(shown), flush=True)


def save_tensors(
    folder: Path, stem: str, tensors: Mapping[str, mx.array], metadata: dict[str, str] | None = None
) -> list[Path]:
    """Write tensors to `stem-1.safetensors`, `stem-2.safetensors` and so on, none larger than FILE_BYTES."""
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, mx.array]] = [{}]
    room = FILE_BYTES
    for name, value in tensors.items():
        if value.nbytes > room and shards[-1]:
            shards.append({})
            room = FILE_BYTES
        shards[-1][name] = value
        room -= value.nbytes
    for stale in folder.glob(f"{stem}-*.safetensors"):
        stale.unlink()
    paths = [folder / f"{stem}-{number}.safetensors" for number in range(1, len(shards) + 1)]
    for path, shard in zip(paths, shards, strict=True):
        mx.save_safetensors(str(path), shard, metadata or {})
    return paths


def load_tensors(folder: Path, stem: str) -> tuple[dict[str, mx.array], dict[str, str]]:
    """What `save_tensors` has written.

    Raises:
        FileNotFoundError: there are no such files.
    """
    paths = sorted(folder.glob(f"{stem}-*.safetensors"))
    if not paths:
        raise FileNotFoundError(
            f"{folder} has no {stem}-*.safetensors; give the --out folder of an earlier run"
        )
    tensors: dict[str, mx.array] = {}
    metadata: dict[str, str] = {}
    for path in paths:
        shard, metadata = cast(Any, mx.load(str(path), return_metadata=True))
        tensors.update(shard)
    return tensors, metadata


def official_tensors(component: str | KeyMap, module: nn.Module) -> dict[str, mx.array]:
    """A network's weights under the names and in the layout of an official checkpoint.

    Args:
        component: a name of `ltx_loaders.components.COMPONENTS`, or how the tensors are named.
        module: the network of that component.
    """
    keys = component if isinstance(component, KeyMap) else COMPONENTS[component].keys
    axes = conv_axes(module)
    tensors = {}
    for name, value in flat(module.parameters()):
        if name in axes:
            order = axes[name]
            value = mx.contiguous(value.transpose([order.index(axis) for axis in range(len(order))]))
        tensors[keys.file_name(name)] = value
    return tensors


def save_checkpoint(
    path: Path,
    modules: Mapping[str, nn.Module],
    config: Mapping[str, Any],
    dtype: mx.Dtype = mx.float32,
) -> Path:
    """Write networks as an official single file: names, layout, and the config in the metadata.

    Args:
        modules: component name -> network; components that share tensors (statistics) agree on them.
        config: the sections that these components need.
        dtype: of the floating-point tensors.
    """
    tensors: dict[str, mx.array] = {}
    for component, module in modules.items():
        tensors |= official_tensors(component, module)
    return write_checkpoint(path, tensors, config, dtype)


def write_checkpoint(
    path: Path, tensors: Mapping[str, mx.array], config: Mapping[str, Any], dtype: mx.Dtype = mx.float32
) -> Path:
    """Write tensors that have their official names already, with the config in the metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cast = {
        name: value.astype(dtype) if mx.issubdtype(value.dtype, mx.floating) else value
        for name, value in tensors.items()
    }
    metadata = {"config": json.dumps(config), "model_version": "2.3.0", "format": "pt"}
    beside = path.with_suffix(".partial.safetensors")
    mx.save_safetensors(str(beside), cast, metadata)
    beside.rename(path)
    return path


def run(
    trainer: Trainer,
    batches: Iterable[tuple[mx.array, ...]],
    clock: Clock,
    log: Log,
    *,
    learning_rate: float,
    until: float = 1.0,
    folder: Path | None = None,
    save_every: float = 150.0,
) -> None:
    """Train until the given fraction of the time budget.

    Args:
        batches: an endless iterator; it may look at the clock.
        learning_rate: the highest one, see `warm_cosine`.
        until: stop at this fraction of the clock's budget.
        folder: save the state there every `save_every` seconds, in case that the run is cut off.
    """
    saved, first = clock.elapsed, trainer.steps
    for batch in batches:
        if clock.fraction >= until:
            return
        # A warm-up after every start: an earlier run's moments may be gone.
        rate = warm_cosine(clock.fraction / until, trainer.steps - first, learning_rate)
        log.add(trainer.steps, trainer.step(rate, *batch), rate=rate)
        if folder and clock.elapsed - saved > save_every:
            trainer.save(folder)
            saved = clock.elapsed
