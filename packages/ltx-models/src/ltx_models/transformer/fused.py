"""What stands between the matrix products of a block, in as few passes over memory as there are results.

On CUDA the passes are kernels of their own where the sizes allow it, elsewhere MLX's operations.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import mlx.core as mx
import mlx.nn as nn
from ltx_core.device import backend, compiled
from ltx_core.maths import rms_norm

from ltx_models.transformer import cuda_kernels
from ltx_models.transformer.adaln import AdaValues, Modulation


def use_kernels(dtype: mx.Dtype) -> bool:
    """Whether kernels are there for this device and dtype."""
    return backend() == "cuda" and dtype in (mx.bfloat16, mx.float32)


class Gate(NamedTuple):
    """A row that multiplies an update."""

    values: AdaValues
    row: int


class Affine(NamedTuple):
    """Rows of what is done to normed tokens: times 1 + scale, plus shift."""

    values: AdaValues
    scale: int
    shift: int


def _groups(x: mx.array, row: mx.array) -> mx.array:
    """Tokens (B, T, dim) as a row (B, G, 1, dim) for groups of equal size counts them: (B, G, T / G, dim).

    For a row (B, T or 1, dim) as they are.
    """
    return x if row.ndim == 3 else x.reshape(*row.shape[:2], -1, row.shape[-1])


def _tokens(x: mx.array) -> mx.array:
    """(B, T, dim) again."""
    return x if x.ndim == 3 else x.flatten(1, 2)


@compiled
def modulate(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    """x (1 + scale) + shift; scale and shift as `_groups` takes them."""
    return _tokens(_groups(x, scale) * (1 + scale) + shift)


@compiled
def add_gated(x: mx.array, update: mx.array, gate: mx.array) -> mx.array:
    """x + update * gate; the gate as `_groups` takes it."""
    return _tokens(_groups(x, gate) + _groups(update, gate) * gate)


class Residual:
    """Hidden states (B, T, dim) of a stream on their way through a block.

    An update is not added before something is asked for: then in one pass with the norm, if that is it.
    """

    def __init__(self, x: mx.array) -> None:
        self._x = x
        self._update: mx.array | None = None
        self._gate: Gate | None = None

    def add(self, update: mx.array, gate: Gate | None = None) -> None:
        """Add an update, times a gate."""
        self._x = self.value()
        self._update, self._gate = update, gate

    def value(self) -> mx.array:
        """The hidden states."""
        if self._update is not None:
            self._x = self._pass(None)[0]
            self._update = self._gate = None
        return self._x

    def arrays(self) -> list[mx.array]:
        """All that must be computed for them, whether they are added yet or not."""
        return [array for array in (self._x, self._update) if array is not None]

    def normed(self, eps: float, *affines: Affine) -> list[mx.array]:
        """RMS-normed hidden states: for each affine (all of one set of values); without any, as they are."""
        results = self._pass(eps, *affines)
        if self._update is not None:
            self._x, *results = results
            self._update = self._gate = None
        return results

    def _pass(self, eps: float | None, *affines: Affine) -> list[mx.array]:
        """The sum, if there is an update; then what is normed, if an epsilon is given."""
        x, update, gate = self._x, self._update, self._gate
        sets = [part.values.modulation for part in (gate, *affines[:1]) if part is not None]
        arrays = [modulation.values for modulation in sets] + ([] if update is None else [update])
        if (
            use_kernels(x.dtype)
            and cuda_kernels.width_fits(x.shape[-1])
            and all(array.dtype == x.dtype for array in arrays)
            # Groups of tokens, which only training has, are for MLX's operations.
            and all(type(modulation) is Modulation for modulation in sets)
        ):
            return _by_kernel(x, update, gate, eps, affines)
        results = []
        if update is not None:
            x = x + update if gate is None else add_gated(x, update, gate.values.rows[gate.row])
            results.append(x)
        if eps is not None:
            normed = rms_norm(x, eps=eps)
            rows = [(values.rows[scale], values.rows[shift]) for values, scale, shift in affines]
            results += [modulate(normed, *pair) for pair in rows] or [normed]
        return results


def _by_kernel(
    x: mx.array, update: mx.array | None, gate: Gate | None, eps: float | None, affines: Sequence[Affine]
) -> list[mx.array]:
    arrays = {"x": x, "update": update}
    if gate is not None:
        modulation = gate.values.modulation
        arrays |= {"gate": modulation.values, "gate_index": modulation.index}
    if affines:
        modulation = affines[0].values.modulation
        arrays |= {"values": modulation.values, "index": modulation.index}
    given = {name: array for name, array in arrays.items() if array is not None}
    rows = tuple((affine.scale, affine.shift) for affine in affines)
    call = _differentiable_pass(tuple(given), eps, 0 if gate is None else gate.row, rows)
    return list(call(*given.values()))


@cache
def _differentiable_pass(
    names: tuple[str, ...], eps: float | None, gate_row: int, affines: tuple[tuple[int, int], ...]
) -> Any:
    """`cuda_kernels.token_pass` of arrays with these names, with the gradient of MLX's operations."""
    indices = [n for n, name in enumerate(names) if name.endswith("index")]

    def spread(values: mx.array, index: mx.array | None, row: int) -> mx.array:
        return Modulation(values, index).spread(values[:, row : row + 1])

    def plain(*given: mx.array) -> list[mx.array]:
        arrays = dict(zip(names, given, strict=True))
        x, results = arrays["x"], []
        if "update" in arrays:
            update = arrays["update"]
            if "gate" in arrays:
                update = update * spread(arrays["gate"], arrays.get("gate_index"), gate_row)
            x = x + update
            results.append(x)
        if eps is not None:
            normed = rms_norm(x, eps=eps)
            for pair in affines:
                scale, shift = (spread(arrays["values"], arrays.get("index"), row) for row in pair)
                results.append(normed * (1 + scale) + shift)
            if not affines:
                results.append(normed)
        return results

    @mx.custom_function
    def call(*given: mx.array) -> tuple[mx.array, ...]:
        arrays = dict(zip(names, given, strict=True))
        normed, epsilon = eps is not None, eps or 0.0
        return tuple(
            cuda_kernels.token_pass(eps=epsilon, normed=normed, gate_row=gate_row, affines=affines, **arrays)
        )

    @call.vjp
    def gradient(primals: Any, cotangents: Any, _: Any) -> tuple[mx.array, ...]:
        primals, cotangents = _as_tuple(primals), _as_tuple(cotangents)
        floating = [n for n in range(len(names)) if n not in indices]

        def of_floating(*changed: mx.array) -> list[mx.array]:
            given = list(primals)
            for n, array in zip(floating, changed, strict=True):
                given[n] = array
            return plain(*given)

        _, found = mx.vjp(of_floating, [primals[n] for n in floating], list(cotangents))
        gradients = dict(zip(floating, found, strict=True))
        return tuple(gradients.get(n, mx.zeros_like(primal)) for n, primal in enumerate(primals))

    return call


def _as_tuple(arrays: Any) -> tuple[mx.array, ...]:
    return (arrays,) if isinstance(arrays, mx.array) else tuple(arrays)


def can_norm_rope(tokens: mx.array, norms: Sequence[nn.Module], cos: mx.array) -> bool:
    """Whether `norm_rope` takes tokens (B, T, width), these norms and this table of RoPE by halves."""
    return (
        cos.ndim == 4
        and use_kernels(tokens.dtype)
        and all(type(norm) is nn.RMSNorm for norm in norms)
        and cuda_kernels.heads_fit(tokens.shape[-1], 2 * cos.shape[-1])
    )


def norm_rope(
    tokens: Sequence[mx.array], norms: Sequence[nn.Module], cos: mx.array, sin: mx.array
) -> list[mx.array]:
    """Norms, then RoPE by halves of heads, of queries or of queries and keys.

    Args:
        tokens: each (B, T, width).
        cos, sin: (B or 1, heads, T, half of a head).

    Returns:
        For each of the tokens (B, heads, T, size); in memory the heads of a token stay together, so that they
        need not be copied before or after attention.
    """
    # As they lie in memory: heads within tokens.
    tables = [mx.contiguous(table.transpose(0, 2, 1, 3)) for table in (cos, sin)]
    weights = [norm.weight.astype(tokens[0].dtype) for norm in norms]
    results = _differentiable_norm_rope(len(tokens), norms[0].eps)(*tokens, *weights, *tables)
    heads = cos.shape[1]
    return [x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3) for x in _as_tuple(results)]


@cache
def _differentiable_norm_rope(count: int, eps: float) -> Any:
    def plain(*given: mx.array) -> list[mx.array]:
        tokens, weights, (cos, sin) = given[:count], given[count:-2], given[-2:]
        results = []
        for x, weight in zip(tokens, weights, strict=True):
            heads = rms_norm(x, weight, eps).reshape(*x.shape[:2], cos.shape[2], -1)
            a, b = mx.split(heads.astype(mx.float32), 2, axis=-1)
            rotated = mx.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
            results.append(rotated.reshape(x.shape).astype(x.dtype))
        return results

    @mx.custom_function
    def call(*given: mx.array) -> tuple[mx.array, ...]:
        return tuple(
            cuda_kernels.norm_rope(list(given[:count]), list(given[count:-2]), given[-2], given[-1], eps)
        )

    @call.vjp
    def gradient(primals: Any, cotangents: Any, _: Any) -> tuple[mx.array, ...]:
        # Nobody asks for the gradient of the tables.
        *learnt, cos, sin = primals
        _, found = mx.vjp(lambda *arrays: plain(*arrays, cos, sin), learnt, list(_as_tuple(cotangents)))
        return (*found, mx.zeros_like(cos), mx.zeros_like(sin))

    return call


@compiled
def _gated(heads: mx.array, logits: mx.array) -> mx.array:
    return heads * (2 * mx.sigmoid(logits))[..., None]


@mx.custom_function
def _gated_by_kernel(heads: mx.array, logits: mx.array) -> mx.array:
    return cuda_kernels.gate_heads(heads, logits)


@_gated_by_kernel.vjp
def _gated_gradient(primals: Any, cotangent: mx.array, _: Any) -> tuple[mx.array, ...]:
    return tuple(mx.vjp(_gated, list(primals), [cotangent])[1])


def gate_heads(x: mx.array, logits: mx.array) -> mx.array:
    """Tokens x (B, T, width) with each of their heads times 2 sigmoid of its logit, (B, T, heads)."""
    heads = x.reshape(*logits.shape, -1)
    fits = use_kernels(x.dtype) and heads.shape[-1] % cuda_kernels.PACK == 0
    gated = cast(mx.array, _gated_by_kernel(heads, logits)) if fits else _gated(heads, logits)
    return gated.flatten(-2)
