"""Cases of the reference: how they are read, which function computes each, and how they are judged.

A case file holds inputs `in.*` and outputs `out.*` of one component of the official implementation; its
metadata entry `case` says what was called and with which scalars. A function registered with `covers`
recomputes every `out.*` of the cases whose name matches its pattern.
"""

import fnmatch
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
from ltx_loaders import Checkpoint
from safetensors import safe_open

# Relative L2 error in float32. An exception stands here with its reason, and nowhere else.
LIMITS = {"component": 1e-5, "network": 1e-4}
EXCEPTIONS: dict[tuple[str, str], tuple[float, str]] = {
    # (case pattern, output pattern): (limit, reason)
}

Values = Mapping[str, mx.array | np.ndarray]
Runner = Callable[["Case"], Values]


@dataclass(frozen=True)
class Case:
    """One recorded case. `inputs` and `outputs` are named without their `in.` and `out.` prefixes."""

    path: Path
    name: str
    reference: str
    args: dict[str, Any]
    inputs: dict[str, mx.array]
    outputs: dict[str, np.ndarray]

    @property
    def root(self) -> Path:
        """The version directory: checkpoint, upscalers, LoRAs and the Gemma folder beside `cases/`."""
        return self.path.parent.parent

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.open(self.root / "checkpoint.safetensors")

    @staticmethod
    def load(path: Path) -> "Case":
        inputs: dict[str, mx.array] = {}
        outputs: dict[str, np.ndarray] = {}
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            about = json.loads(metadata["case"])
            for key in file.keys():  # noqa: SIM118  (not a mapping)
                kind, _, name = key.partition(".")
                if kind == "in":
                    inputs[name] = mx.array(file.get_tensor(key))
                else:
                    outputs[name] = file.get_tensor(key)
        return Case(path, about["name"], metadata.get("reference", ""), about["args"], inputs, outputs)


@dataclass(frozen=True)
class Covered:
    pattern: str
    kind: str
    run: Runner


REGISTRY: list[Covered] = []


def covers(pattern: str, *, kind: str) -> Callable[[Runner], Runner]:
    """Register the function that computes the cases whose name matches a shell-style `pattern`.

    `kind`: "component" or "network", which sets the limit.
    """

    def register(run: Runner) -> Runner:
        REGISTRY.append(Covered(pattern, kind, run))
        return run

    return register


def find_runner(name: str) -> Covered | None:
    """The registered function for a case name; the longest matching pattern wins."""
    matches = [entry for entry in REGISTRY if fnmatch.fnmatchcase(name, entry.pattern)]
    return max(matches, key=lambda entry: len(entry.pattern), default=None)


def find_cases(directory: Path) -> list[Path]:
    """Every case file at or below a directory (`cases/*.safetensors` at any depth)."""
    return sorted(path for path in directory.rglob("*.safetensors") if path.parent.name == "cases")


@dataclass
class Result:
    """The verdict on one case: worst errors over its outputs."""

    name: str
    relative: float = 0.0
    absolute: float = 0.0
    limit: float = 0.0
    failures: list[str] = field(default_factory=list)


def relative_l2(value: np.ndarray, want: np.ndarray) -> float:
    """||value - want|| / ||want||, in float64; the absolute norm where the reference is zero."""
    scale = float(np.linalg.norm(want.astype(np.float64)))
    error = float(np.linalg.norm(value.astype(np.float64) - want.astype(np.float64)))
    return error / scale if scale > 0 else error


def _limit(case: Case, output: str, kind: str) -> float:
    for (case_pattern, output_pattern), (limit, _) in EXCEPTIONS.items():
        if fnmatch.fnmatchcase(case.name, case_pattern) and fnmatch.fnmatchcase(output, output_pattern):
            return limit
    return LIMITS[kind]


def _to_numpy(value: mx.array | np.ndarray) -> np.ndarray:
    if isinstance(value, mx.array):
        return np.array(value.astype(mx.float32) if value.dtype == mx.bfloat16 else value)
    return np.asarray(value)


def judge(case: Case, kind: str, values: Values) -> Result:
    """Compare everything a case recorded with everything that was computed."""
    result = Result(case.name, limit=LIMITS[kind])
    for name in sorted(set(case.outputs) - set(values)):
        result.failures.append(f"out.{name} was not computed")
    for name in sorted(set(values) - set(case.outputs)):
        result.failures.append(f"{name} was computed but the case has no out.{name}")
    for name in sorted(set(values) & set(case.outputs)):
        want, got = case.outputs[name], _to_numpy(values[name])
        if want.shape != got.shape:
            result.failures.append(f"out.{name}: shape {got.shape}, the reference has {want.shape}")
            continue
        if np.issubdtype(want.dtype, np.integer):
            different = int((got != want).sum())
            result.absolute = max(result.absolute, float(different > 0))
            if different:
                result.failures.append(f"out.{name}: {different} of {want.size} integers differ")
            continue
        relative = relative_l2(got, want)
        absolute = float(np.abs(got.astype(np.float64) - want).max(initial=0.0))
        result.relative, result.absolute = max(result.relative, relative), max(result.absolute, absolute)
        limit = _limit(case, name, kind)
        if not relative <= limit:
            result.failures.append(f"out.{name}: relative L2 error {relative:.2e} > {limit:.0e}")
    return result


def table(results: list[Result]) -> Iterator[str]:
    """The lines of the closing table."""
    width = max((len(result.name) for result in results), default=4)
    yield f"{'case':<{width}}  {'rel. L2':>8}  {'max abs':>8}  {'limit':>6}"
    for result in results:
        verdict = "" if not result.failures else "  FAILED"
        errors = f"{result.relative:8.1e}  {result.absolute:8.1e}  {result.limit:6.0e}"
        yield f"{result.name:<{width}}  {errors}{verdict}"
