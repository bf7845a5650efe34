"""Filling a network with the tensors of an official file.

Module trees follow the official checkpoint's, so a tensor's name is found by stripping a prefix; layouts
differ for convolutions only (channels first there, last in MLX), and the module's type says how.
"""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten

from ltx_loaders.errors import LoaderError
from ltx_loaders.quantize import quantized_layer, read_spec

# From the official layout (PyTorch) to MLX's, by the module that holds the weight.
CONV_AXES: list[tuple[type[nn.Module], tuple[int, ...]]] = [
    (nn.ConvTranspose1d, (1, 2, 0)),
    (nn.Conv1d, (0, 2, 1)),
    (nn.Conv2d, (0, 2, 3, 1)),
    (nn.Conv3d, (0, 2, 3, 4, 1)),
]


@dataclass(frozen=True)
class KeyMap:
    """How a component's tensors are named in a file.

    Attributes:
        prefixes: file prefix -> prefix in the module tree; each is stripped exactly once.
        exclude: file prefixes below those that belong to another component.
        rename: last part of a name in the file -> in the module (names that Python cannot spell).
        ignore: patterns of module names that the file may hold and the network does not use.
    """

    prefixes: Mapping[str, str]
    exclude: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()

    def module_name(self, key: str) -> str | None:
        """The name in the module tree of the file's tensor `key`; None if it belongs to another component."""
        if key.startswith(self.exclude):
            return None
        for prefix, target in self.prefixes.items():
            if key.startswith(prefix):
                name = target + key[len(prefix) :]
                head, dot, last = name.rpartition(".")
                return head + dot + self.rename.get(last, last)
        return None

    def file_name(self, name: str) -> str:
        """The inverse of `module_name`, for messages."""
        head, dot, last = name.rpartition(".")
        spelled = {new: old for old, new in self.rename.items()}
        name = head + dot + spelled.get(last, last)
        # The most specific one: the encoder's own tensors are anywhere, its statistics in one place.
        prefix, target = max(
            (item for item in self.prefixes.items() if name.startswith(item[1])),
            key=lambda item: len(item[1]),
        )
        return prefix + name[len(target) :]

    def ignores(self, name: str) -> bool:
        """Whether a tensor of that name is knowingly not used."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.ignore)


def conv_axes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names of the convolution weights, with the axes that bring an official tensor to MLX's layout."""
    axes = {}
    for name, part in module.named_modules():
        for kind, order in CONV_AXES:
            if isinstance(part, kind):
                axes[f"{name}.weight" if name else "weight"] = order
                break
    return axes


def quantise_as_stored(module: nn.Module, tensors: Mapping[str, mx.array], keys: KeyMap, source: str) -> None:
    """Make the layers of a network quantised ones that are so in a file: with `scales` beside the weight.

    Raises:
        LoaderError: the sizes of a weight and its scales belong to no quantisation.
    """
    layers: list[tuple[str, nn.Module]] = []
    modules = dict(module.named_modules())
    for key in tensors:
        path = (keys.module_name(key) or "").removesuffix(".scales")
        layer = modules.get(path) if key.endswith(".scales") else None
        if not isinstance(layer, nn.Linear | nn.Embedding):
            continue
        stored = {part: key.removesuffix("scales") + part for part in ("weight", "scales", "biases")}
        parameters = {part: tensors[name] for part, name in stored.items() if name in tensors}
        try:
            spec = read_spec(layer.weight.shape, parameters)
        except LoaderError as error:
            raise LoaderError(f"{source}: {key}: {error}") from None
        layers.append((path, quantized_layer(layer, spec, {})))
    module.update_modules(tree_unflatten(layers))


def load_weights(
    module: nn.Module,
    tensors: Mapping[str, mx.array],
    keys: KeyMap,
    dtype: mx.Dtype,
    source: str,
) -> None:
    """Set every parameter of `module` from the tensors of a file; nothing is read from disk yet. Linear
    layers and embeddings that the file has quantised become quantised ones: bits and group size follow from
    the tensors' shapes.

    Args:
        tensors: official names -> (lazy) arrays in the official layout.
        dtype: of the floating-point parameters.
        source: what the tensors come from, for messages.

    Raises:
        LoaderError: parameters without a tensor, tensors without a parameter, or other shapes; the message
            lists the first few of each; or a quantisation that does not exist.
    """
    quantise_as_stored(module, tensors, keys, source)
    parameters: dict[str, mx.array] = dict(tree_flatten(module.parameters()))
    axes = conv_axes(module)
    loaded: dict[str, mx.array] = {}
    unexpected: list[str] = []
    misshapen: dict[str, str] = {}
    for key, tensor in tensors.items():
        name = keys.module_name(key)
        if name is None:
            continue
        parameter = parameters.get(name)
        if parameter is None:
            if not keys.ignores(name):
                unexpected.append(key)
            continue
        if name in axes and tensor.ndim == len(axes[name]):
            tensor = tensor.transpose(axes[name])
        if tensor.shape != parameter.shape:
            want = _official(parameter, axes.get(name))
            misshapen[name] = f"{key} is {_order(tensors[key].shape)} where the config asks for {want}"
            continue
        if mx.issubdtype(tensor.dtype, mx.floating):
            tensor = tensor.astype(dtype)
        # A transposed view would be copied anew by every convolution.
        loaded[name] = mx.contiguous(tensor) if name in axes else tensor
    missing = [keys.file_name(name) for name in parameters if name not in loaded and name not in misshapen]
    problems = [
        *_report("missing", missing),
        *_report("unexpected", unexpected),
        *_report("misshapen", list(misshapen.values())),
    ]
    if problems:
        raise LoaderError(
            f"{source} does not fit the network its config describes: {'; '.join(problems)}. "
            "The file is incomplete, or its config belongs to other weights"
        )
    module.load_weights(list(loaded.items()), strict=True)


def _order(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _official(parameter: mx.array, axes: tuple[int, ...] | None) -> str:
    """The shape of a parameter as an official file has it."""
    if axes is None:
        return _order(parameter.shape)
    official = [0] * parameter.ndim
    for position, axis in enumerate(axes):
        official[axis] = parameter.shape[position]
    return _order(official)


def _report(kind: str, names: list[str], limit: int = 5) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return [f"{len(names)} {kind} ({', '.join(sorted(names)[:limit])}{more})"]
