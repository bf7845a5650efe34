"""The optimisation step: weights in a few large arrays, their average, and the files to go on from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from ltx_core.device import backend
from mlx.utils import tree_map, tree_map_with_path

from ltx_pocket.train.files import flat, load_tensors, save_tensors
from ltx_pocket.train.layout import Layout, Wanted
from ltx_pocket.train.muon import Muon
from ltx_pocket.train.team import ALONE, Team

Metrics = dict[str, mx.array]
Loss = Callable[..., tuple[mx.array, Metrics]]


class Trainer:
    """AdamW with clipped gradients on a network's trainable parameters, and their moving average.

    The weights are float32; the network computes with copies of them in `dtype`. The trainer owns the
    weights: inside the network they are valid only after `install`.

    Args:
        model: the network, or a module that holds several.
        loss: batch arrays -> (loss, further numbers to log), calling `model`. It may draw random numbers.
        matrices: weights (out, in) whose optimiser is Muon; None for none of them.
        team: processes that train the same weights, each on batches of its own.
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
        matrices: Wanted | None = None,
        team: Team = ALONE,
        dtype: mx.Dtype | None = None,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        ema_decay: float = 0.999,
        clip: float = 1.0,
        fused: bool = False,
    ) -> None:
        self.model = model
        self.loss = loss
        self.team = team
        self.dtype = dtype or (mx.float32 if backend() == "cpu" else mx.bfloat16)
        self.ema_decay = ema_decay
        self.clip = clip
        # On a CPU compilation costs more than it saves.
        self.fused = fused and backend() != "cpu"
        self.steps = 0
        tree = model.trainable_parameters()
        self.layout = Layout(tree, matrices) if matrices else Layout(tree)
        # Put there one by one: an update of the tree takes as long as the whole forward pass takes to build.
        self.places = self.layout.places(model)
        self.weights: dict[str, list[mx.array]] = {"now": self._join(tree)}
        self.weights["average"] = [mx.array(chunk) for chunk in self.weights["now"]]
        # Steps so far, those of earlier runs included: the optimiser counts since it had no moments.
        self.weights["count"] = [mx.array(0.0)]
        self.optimizer: optim.Optimizer = optim.AdamW(
            0.0, betas=list(betas), weight_decay=weight_decay, bias_correction=True
        )
        if self.layout.stacks:
            self.optimizer = optim.MultiOptimizer(
                [Muon(0.0, weight_decay=weight_decay), self.optimizer],
                [lambda name, _: name.startswith("stacks")],
            )
        self.optimizer.init(self.layout.optimised(self.weights["now"]))
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
        return self.layout.parameters

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
        gradients = self.team.means(self.layout.join(slopes))
        norm = mx.sqrt(mx.stack([mx.square(g).sum() for g in gradients]).sum())
        finite = mx.isfinite(norm)
        scale = mx.minimum(1.0, self.clip / (norm + 1e-6))
        gradients = [mx.where(finite, g * scale, 0.0) for g in gradients]
        moved = self.optimizer.apply_gradients(self.layout.optimised(gradients), self.layout.optimised(now))
        now = [*moved["chunks"], *moved.get("stacks", [])]
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

    def synchronize(self) -> None:
        """Let all processes go on from the same weights, if their GPUs' last digits have led them apart."""
        if self.team.size > 1:
            for name in ("now", "average"):
                self.weights[name] = self.team.means(self.weights[name])
                mx.eval(self.weights[name])

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
        self.optimizer.init(self.layout.optimised(self.weights["now"]))
        self.assign(params, ema, int(metadata["steps"]))
