"""LoRA files of all programs, fused into a small network and taken out again."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ltx_loaders import LoaderError, Lora, LoraFusion, fuse_loras, parameter_shapes, unfuse_loras
from ltx_loaders.fp8 import Fp8Linear, dequantise, requantised
from ltx_loaders.quantize import QuantizationSpec, dequantized, quantize_weight, quantized_layer
from mlx.utils import tree_flatten

FUZZ = int(os.environ.get("LTX_FUZZ_EXAMPLES", "100"))

Tensors = dict[str, mx.array]


class Adaln(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 8)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(32, 6)
        self.to_out = [nn.Linear(6, 32)]


class Network(nn.Module):
    """A transformer in small: official names, one of them other in diffusers."""

    def __init__(self, dtype: mx.Dtype = mx.float32) -> None:
        super().__init__()
        self.patchify_proj = nn.Linear(5, 32)
        self.adaln_single = Adaln()
        self.transformer_blocks = [Block(), Block()]
        self.scale_shift_table = mx.zeros((2, 32))
        self.load_weights([(name, random(value.shape, name)) for name, value in flat(self).items()])
        self.set_dtype(dtype)


def flat(module: nn.Module) -> Tensors:
    return dict(tree_flatten(module.parameters()))


def random(shape: tuple[int, ...], name: str, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(sum(name.encode()) + 1000 * seed))


MODULES = [name.removesuffix(".weight") for name, value in flat(Network()).items() if name.endswith("weight")]
QUERY = "transformer_blocks.1.to_q"


def factors(
    seed: int = 0, rank: int = 2, modules: list[str] = MODULES
) -> dict[str, tuple[mx.array, mx.array]]:
    """A and B by module."""
    shapes = parameter_shapes(Network())
    pairs = {}
    for name in modules:
        out, into = shapes[f"{name}.weight"]
        pairs[name] = random((rank, into), name, seed + 1), random((out, rank), name + "B", seed + 1)
    return pairs


def official(pairs: dict[str, tuple[mx.array, mx.array]], prefix: str = "diffusion_model.") -> Tensors:
    tensors = {}
    for name, (a, b) in pairs.items():
        tensors |= {f"{prefix}{name}.lora_A.weight": a, f"{prefix}{name}.lora_B.weight": b}
    return tensors


def write(path: Path, tensors: Tensors, **metadata: str) -> Lora:
    mx.save_safetensors(str(path), tensors, metadata)
    return Lora.open(path)


def in_diffusers(name: str) -> str:
    return name.replace("patchify_proj", "proj_in").replace("adaln_single", "time_embed")


def kohya(pairs: dict[str, tuple[mx.array, mx.array]], alpha: float | None = None) -> Tensors:
    tensors = {}
    for name, (a, b) in pairs.items():
        flat_name = "lora_unet_" + name.replace(".", "_")
        tensors |= {f"{flat_name}.lora_down.weight": a, f"{flat_name}.lora_up.weight": b}
        if alpha is not None:
            tensors[f"{flat_name}.alpha"] = mx.array(alpha)
    return tensors


def scaled(
    pairs: dict[str, tuple[mx.array, mx.array]], factor: float
) -> dict[str, tuple[mx.array, mx.array]]:
    return {name: (a, factor * b) for name, (a, b) in pairs.items()}


RANK = 2
ADAPTER = {"transformer.r": RANK, "transformer.lora_alpha": 2 * RANK}
# (the tensors of a LoRA, metadata) by the program that writes it; all make the same change.
FORMATS: dict[str, Callable[[dict], tuple[Tensors, dict[str, Any]]]] = {
    "official": lambda pairs: (official(pairs), {}),
    "bare": lambda pairs: (official(pairs, ""), {}),
    "transformer": lambda pairs: (official(pairs, "transformer."), {}),
    "model.diffusion_model": lambda pairs: (official(pairs, "model.diffusion_model."), {}),
    "PEFT": lambda pairs: (
        {
            name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default."): value
            for name, value in official(pairs, "base_model.model.").items()
        },
        {},
    ),
    "diffusers": lambda pairs: (
        official({in_diffusers(name): pair for name, pair in pairs.items()}, "transformer."),
        {},
    ),
    "diffusers with alpha": lambda pairs: (
        official({in_diffusers(name): pair for name, pair in scaled(pairs, 0.5).items()}, "transformer."),
        {"lora_adapter_metadata": json.dumps(ADAPTER)},
    ),
    "diffusers with patterns": lambda pairs: (
        official(scaled(pairs, 0.25), "transformer."),
        {
            "lora_adapter_metadata": json.dumps(
                {
                    **ADAPTER,
                    "transformer.alpha_pattern": {name.rpartition(".")[2]: 4 * RANK for name in MODULES},
                }
            )
        },
    ),
    "diffusers, rank-stabilised": lambda pairs: (
        official(scaled(pairs, 0.5**0.5), "transformer."),
        {
            "lora_adapter_metadata": json.dumps(
                {**ADAPTER, "transformer.lora_alpha": 2, "transformer.use_rslora": True}
            )
        },
    ),
    "Comfy": lambda pairs: (
        {
            name.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): value
            for name, value in official(pairs).items()
        },
        {},
    ),
    "kohya": lambda pairs: (kohya(pairs), {}),
    "kohya with alpha": lambda pairs: (kohya(scaled(pairs, 4), RANK / 4), {}),
    "full differences": lambda pairs: (
        {f"diffusion_model.{name}.diff": b @ a for name, (a, b) in pairs.items()},
        {},
    ),
}


@pytest.mark.parametrize("origin", FORMATS)
def test_all_formats_change_the_same(origin: str, tmp_path: Path) -> None:
    pairs = factors()
    tensors, metadata = FORMATS[origin](pairs)
    network = Network()
    before = flat(network)
    (report,) = fuse_loras(network, [(write(tmp_path / "a.safetensors", tensors, **metadata), 0.5)])
    assert (report.applied, report.unmatched) == (len(MODULES), ())
    for name, value in flat(network).items():
        want = np.array(before[name])
        if name.removesuffix(".weight") in pairs:
            a, b = pairs[name.removesuffix(".weight")]
            want = want + 0.5 * np.array(b @ a)
        np.testing.assert_allclose(value, want, atol=1e-5, err_msg=name)


def test_the_scale_of_peft_stands_in_a_file_beside(tmp_path: Path) -> None:
    lora = write(tmp_path / "adapter_model.safetensors", official(factors(), "base_model.model."))
    assert lora.scaling.factor(QUERY, RANK) == 1
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 3 * RANK}))
    assert Lora.open(lora.path).scaling.factor(QUERY, RANK) == 3
    (tmp_path / "adapter_config.json").write_text("[]")
    with pytest.raises(LoaderError, match=r"adapter_config\.json is not a JSON object"):
        Lora.open(lora.path)


def test_differences_of_biases_and_tables(tmp_path: Path) -> None:
    network = Network()
    bias = network.patchify_proj.bias
    change = {
        "diffusion_model.patchify_proj.diff_b": mx.ones(32),
        "diffusion_model.scale_shift_table.diff": mx.ones((2, 32)),
    }
    (report,) = fuse_loras(network, [(write(tmp_path / "a.safetensors", change), 2.0)])
    assert report.applied == 2
    np.testing.assert_allclose(network.patchify_proj.bias, bias + 2)
    np.testing.assert_allclose(network.scale_shift_table, random((2, 32), "scale_shift_table") + 2)


@settings(max_examples=20, deadline=None)
@given(strengths=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=3), rank=st.integers(1, 4))
def test_deltas_add_up_and_come_out_again(
    tmp_path_factory: pytest.TempPathFactory, strengths: list[float], rank: int
) -> None:
    folder = tmp_path_factory.mktemp("loras")
    pairs = [factors(seed, rank) for seed in range(len(strengths))]
    loras = [
        (write(folder / f"{seed}.safetensors", official(pairs[seed])), strength)
        for seed, strength in enumerate(strengths)
    ]
    for dtype, atol in ((mx.float32, 1e-4), (mx.bfloat16, 0.1)):
        network, original = Network(dtype), Network(dtype)
        before = {name: np.array(value.astype(mx.float32)) for name, value in flat(network).items()}
        fusion = LoraFusion.of(loras, parameter_shapes(network))
        fusion.fuse(network)
        change = sum(
            strength * (pair[QUERY][1] @ pair[QUERY][0])
            for pair, strength in zip(pairs, strengths, strict=True)
        )
        want = before[f"{QUERY}.weight"] + np.array(change)
        np.testing.assert_allclose(flat(network)[f"{QUERY}.weight"].astype(mx.float32), want, atol=atol)
        np.testing.assert_array_equal(
            flat(network)[f"{QUERY}.bias"].astype(mx.float32), before[f"{QUERY}.bias"]
        )
        unfuse_loras(network, original, fusion.changes)
        for name, value in flat(network).items():
            assert value.dtype == dtype
            np.testing.assert_array_equal(value.astype(mx.float32), before[name])


def quantise(network: Network, spec: QuantizationSpec) -> Network:
    for block in network.transformer_blocks:
        block.to_q = quantized_layer(block.to_q, spec, quantize_weight(block.to_q.weight, spec, mx.float32))
    return network


SPECS = [
    QuantizationSpec(8, 32),
    QuantizationSpec(4, 32),
    QuantizationSpec(8, 32, "mxfp8"),
    QuantizationSpec(4, 16, "nvfp4"),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_in_quantised_weights(spec: QuantizationSpec, tmp_path: Path) -> None:
    """The change arrives, with the error of the quantisation; and the original bits come back."""
    lora = write(tmp_path / "a.safetensors", official(factors()))
    network = quantise(Network(), spec)
    before = flat(network)
    fusion = LoraFusion.of([(lora, 0.5)], parameter_shapes(network))
    fusion.fuse(network)
    layer = network.transformer_blocks[1].to_q
    a, b = factors()[QUERY]
    want = dequantized(quantise(Network(), spec).transformer_blocks[1].to_q) + 0.5 * (b @ a)
    error = mx.linalg.norm(dequantized(layer) - want) / mx.linalg.norm(want)
    assert error < {8: 0.03, 4: 0.13}[spec.bits]
    assert layer.weight.dtype == mx.uint32
    unfuse_loras(network, quantise(Network(), spec), fusion.changes)
    for name, value in flat(network).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_nothing_to_fuse_changes_nothing(tmp_path: Path) -> None:
    network = Network()
    before = flat(network)
    assert fuse_loras(network, []) == ()
    (report,) = fuse_loras(network, [(write(tmp_path / "a.safetensors", official(factors())), 0.0)])
    assert str(report) == f"a.safetensors: {len(MODULES)} weights changed at strength 0"
    for name, value in flat(network).items():
        np.testing.assert_array_equal(value, before[name])


def test_names_of_other_networks_are_reported(tmp_path: Path) -> None:
    tensors = official(factors()) | official(
        {f"text_encoder.{n}": pair for n, pair in enumerate(factors().values())}, ""
    )
    (report,) = fuse_loras(
        Network(), [(write(tmp_path / "a.safetensors", tensors | {"x": mx.zeros(1)}), 1.0)]
    )
    assert report.applied == len(MODULES)
    assert len(report.unmatched) == len(MODULES) + 1
    assert "7 names do not belong to this network: x, text_encoder.0" in str(report)


def test_a_part_of_the_network_goes_without_what_it_has_not(tmp_path: Path) -> None:
    lora = write(tmp_path / "a.safetensors", official(factors(modules=["patchify_proj"])))
    part = Network()
    del part["patchify_proj"]
    assert fuse_loras(part, [(lora, 1.0)], part=True)[0].applied == 0
    with pytest.raises(LoaderError, match="none of its 1 names belongs"):
        fuse_loras(part, [(lora, 1.0)])


def test_a_block_alone_is_fused_by_the_prefix_of_its_names(tmp_path: Path) -> None:
    loras = [(write(tmp_path / "a.safetensors", kohya(factors(), 3.0)), 0.7)]
    whole, pieces = Network(), Network()
    fuse_loras(whole, loras)
    fusion = LoraFusion.of(loras, parameter_shapes(pieces))
    for index, block in enumerate(pieces.transformer_blocks):
        fusion.fuse(block, f"transformer_blocks.{index}.")
    for name, value in flat(whole).items():
        if name.startswith("transformer_blocks."):
            np.testing.assert_array_equal(flat(pieces)[name], value, err_msg=name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: {k.replace("to_q", "x"): v for k, v in tensors.items() if "_q" in k}, "none of its"),
        (lambda tensors: {k: v for k, v in tensors.items() if "lora_B" not in k}, "one of its two"),
        (lambda tensors: {k: v[:1] if "lora_A" in k else v for k, v in tensors.items()}, "no product"),
        (lambda tensors: {k: v[:, :4] if "_A" in k else v for k, v in tensors.items()}, "another generation"),
        (lambda tensors: tensors | {"diffusion_model.patchify_proj.dora_scale": mx.ones(1)}, "is a DoRA"),
        (lambda tensors: tensors | {"a.lora_magnitude_vector": mx.ones(1)}, "is a DoRA"),
        (lambda tensors: {"a.hada_w1_a": mx.ones(1)}, "is a LoHa"),
        (lambda tensors: {"a.lokr_w1": mx.ones(1)}, "is a LoKr"),
        (lambda tensors: {"a.alpha": mx.ones(1)}, "is no LoRA"),
        (lambda tensors: {"x": mx.ones(1)}, "is no LoRA"),
        (lambda tensors: tensors | {"diffusion_model.patchify_proj.alpha": mx.ones(2)}, "alpha of 2"),
        (lambda tensors: tensors | {"diffusion_model.patchify_proj.diff": mx.ones((2, 5))}, "a full diff"),
        (lambda tensors: {k: v.astype(mx.int32) for k, v in tensors.items()}, "dtype I32"),
        (lambda tensors: tensors | {f"diffusion_model.{QUERY}.lora_up.weight": mx.ones(2)}, "the same of"),
    ],
)  # fmt: skip
def test_a_lora_for_something_else_is_refused_and_nothing_changes(
    change, message: str, tmp_path: Path
) -> None:
    network = Network()
    before = flat(network)
    good = write(tmp_path / "good.safetensors", official(factors()))
    with pytest.raises(LoaderError, match=message) as refused:
        fuse_loras(
            network, [(good, 1.0), (write(tmp_path / "bad.safetensors", change(official(factors(1)))), 1.0)]
        )
    assert "bad.safetensors" in str(refused.value)
    for name, value in flat(network).items():
        np.testing.assert_array_equal(value, before[name])
    with pytest.raises(LoaderError, match="does not exist"):
        Lora.open(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"transformer.use_dora": True}, "DoRA"),
        ({"transformer.lora_alpha": "x"}, "must be a number"),
        ({"transformer.lora_alpha": float("nan")}, "must be a number"),
        ({"transformer.alpha_pattern": 1}, "must be a number"),
        ([], "not a JSON object"),
    ],
)
def test_metadata_that_cannot_be(values: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match=message):
        write(tmp_path / "a.safetensors", official(factors()), lora_adapter_metadata=json.dumps(values))


def test_files_say_how_references_are_scaled(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.safetensors", official(factors()))
    assert (plain.reference_downscale_factor, plain.reference_temporal_scale_factor) == (1, 1)
    given = {"reference_downscale_factor": "2", "reference_temporal_scale_factor": "4"}
    other = write(tmp_path / "b.safetensors", official(factors()), **given)
    assert (other.reference_downscale_factor, other.reference_temporal_scale_factor) == (2, 4)


@pytest.mark.parametrize("factor", ["0", "-1", "1.5", "two", "", "9" * 5000])
def test_other_factors_are_refused(tmp_path: Path, factor: str) -> None:
    with pytest.raises(LoaderError, match="reference_downscale_factor"):
        write(tmp_path / "a.safetensors", official(factors()), reference_downscale_factor=factor)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Sound files, of which the fuzz makes others."""
    files = []
    for origin in ("kohya with alpha", "diffusers with patterns", "full differences"):
        tensors, metadata = FORMATS[origin](factors())
        path = tmp_path_factory.mktemp("seeds") / "a.safetensors"
        files.append(write(path, tensors, **metadata).path.read_bytes())
    return files


WORDS = [
    b"lora_A",
    b"lora_B",
    b"alpha",
    b"diff",
    b"to_q",
    b"F32",
    b"U8",
    b"[0",
    b"-1",
    b"null",
    b"{",
    b"",
    b"dora_scale",
]


@settings(max_examples=FUZZ, deadline=None)
@given(data=st.data())
def test_mutated_files_are_applied_or_refused(
    data: st.DataObject, seeds: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = data.draw(st.sampled_from(seeds))
    header = int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what a file says stands in its header.
        position = data.draw(st.integers(0, min(len(content), header + 16)))
        length = data.draw(st.integers(0, 12))
        new = data.draw(st.one_of(st.sampled_from(WORDS), st.binary(max_size=8)))
        content = content[:position] + new + content[position + length :]
    # The header's length is repaired, or every change of it would end there.
    if data.draw(st.booleans()) and (end := content.rfind(b"}}", 0, header + 64)) > 0:
        content = (end + 2 - 8).to_bytes(8, "little") + content[8:]
    path = tmp_path_factory.mktemp("fuzz") / "a.safetensors"
    path.write_bytes(content)
    network = Network()
    try:
        fuse_loras(network, [(Lora.open(path), 1.0)])
    except LoaderError:
        return
    mx.eval(network.parameters())


def test_in_weights_of_8_bits_floating_point(tmp_path: Path) -> None:
    def kept() -> Network:
        network = Network()
        for block in network.transformer_blocks:
            layer, block.to_q = block.to_q, Fp8Linear(32, 6, bias=True)
            block.to_q.update({**requantised(layer.weight), "bias": layer.bias})
        return network

    network = kept()
    fusion = LoraFusion.of(
        [(write(tmp_path / "a.safetensors", official(factors())), 0.5)], parameter_shapes(network)
    )
    assert fusion.reports[0].applied == len(MODULES)
    fusion.fuse(network)
    a, b = factors()[QUERY]
    layer = network.transformer_blocks[1].to_q
    want = Network().transformer_blocks[1].to_q.weight + 0.5 * (b @ a)
    error = mx.linalg.norm(dequantise(layer.weight_fp8, layer.weight_scale) - want) / mx.linalg.norm(want)
    assert error < 0.05
    unfuse_loras(network, kept(), fusion.changes)
    for name, value in flat(kept()).items():
        np.testing.assert_array_equal(flat(network)[name], value, err_msg=name)
