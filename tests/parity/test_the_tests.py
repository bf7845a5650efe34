"""The parity tests can fail: a small change to what they compare against, or to a weight, is found."""

import json
from collections.abc import Callable
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import mlx.core as mx
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.parity import harness
from tests.parity.test_parity import run_case
from tests.recordings import CASES, unpacked

SAMPLES = [
    "ltx-2.0/schedulers",
    "ltx-2.0/guiders",
    "ltx-2.0/diffusion_steps",
    "ltx-2.0/conditioning_video",
    "ltx-2.0/vae_decode",
    "ltx-2.0/audio_decode",
    "ltx-2.0/text_short_128",
    "ltx-2.3/transformer_basic",
    "ltx-2.3/sampling_guided",
    "ltx-2.3/vocoder",
]
# Tensors of the checkpoint, and a case that computes with them.
WEIGHTS = [
    ("ltx-2.0/transformer_basic", "model.diffusion_model.caption_projection.linear_1.weight"),
    ("ltx-2.0/transformer_basic", "model.diffusion_model.transformer_blocks.1.attn1.q_norm.weight"),
    ("ltx-2.0/vae_decode", "vae.decoder.up_blocks.2.res_blocks.1.conv2.conv.weight"),
    ("ltx-2.0/vae_decode", "vae.per_channel_statistics.std-of-means"),
    ("ltx-2.0/audio_decode", "audio_vae.decoder.mid.block_1.conv1.conv.bias"),
    ("ltx-2.0/vocoder", "vocoder.resblocks.7.convs2.1.weight"),
    ("ltx-2.0/text_short_128", "text_embedding_projection.aggregate_embed.weight"),
    ("ltx-2.0/text_short_128", "model.diffusion_model.audio_embeddings_connector.learnable_registers"),
    ("ltx-2.3/transformer_basic", "model.diffusion_model.transformer_blocks.2.prompt_scale_shift_table"),
    ("ltx-2.3/transformer_basic", "model.diffusion_model.transformer_blocks.0.attn2.to_gate_logits.bias"),
    ("ltx-2.3/vae_decode", "vae.decoder.conv_out.conv.bias"),
    ("ltx-2.3/vocoder", "vocoder.bwe_generator.act_post.act.beta"),
]


def case_path(label: str) -> Path:
    version, name = label.split("/")
    return unpacked(CASES) / version / "cases" / f"{name}.safetensors"


def copy_case(source: Path, target: Path, change: Callable[[str, np.ndarray], np.ndarray]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with safe_open(source, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(
        {key: np.ascontiguousarray(change(key, value)) for key, value in tensors.items()}, target, metadata
    )


def link_models(source: Path, target: Path, but: str = "") -> None:
    """Everything beside the cases, by links."""
    for entry in source.iterdir():
        if entry.name not in {"cases", but}:
            (target / entry.name).symlink_to(entry.resolve())


@pytest.mark.parametrize("label", SAMPLES)
def test_every_output_counts(label: str, tmp_path: Path) -> None:
    """Each recorded output in turn is changed by 1 %; the verdict names it, and nothing else."""
    case = harness.Case.load(case_path(label))
    covered = harness.find_runner(case.name)
    assert covered is not None
    values = covered.run(case)
    assert not harness.judge(case, covered.kind, values).failures
    for name, output in list(case.outputs.items()):
        if not np.any(output):
            continue
        case.outputs[name] = output + 1 if np.issubdtype(output.dtype, np.integer) else output * 1.01
        failures = harness.judge(case, covered.kind, values).failures
        assert len(failures) == 1, name
        assert failures[0].startswith(f"out.{name}: ")
        case.outputs[name] = output


def test_a_changed_case_file_fails_and_an_equal_one_passes(tmp_path: Path) -> None:
    source, target = case_path("ltx-2.3/audio_decode"), tmp_path / "v" / "cases" / "audio_decode.safetensors"
    copy_case(source, target, lambda _key, value: value)
    link_models(source.parent.parent, target.parent.parent)
    assert not run_case(target).failures
    copy_case(source, target, lambda key, value: value * np.float32(1.01 if key == "out.t6" else 1))
    assert [failure.split(":")[0] for failure in run_case(target).failures] == ["out.t6"]


@pytest.mark.parametrize(("label", "tensor"), WEIGHTS)
def test_every_weight_counts(label: str, tensor: str, tmp_path: Path) -> None:
    source = case_path(label)
    root = tmp_path / "version"
    (root / "cases").mkdir(parents=True)
    link_models(source.parent.parent, root, but="checkpoint.safetensors")
    (root / "cases" / source.name).symlink_to(source)
    original = source.parent.parent / "checkpoint.safetensors"
    tensors = mx.load(str(original))
    assert isinstance(tensors, dict)
    with safe_open(original, framework="numpy") as file:
        metadata = file.metadata()
    tensors[tensor] = tensors[tensor] * 1.1 + 0.01
    mx.save_safetensors(str(root / "checkpoint.safetensors"), tensors, metadata)
    assert run_case(root / "cases" / source.name).failures


def test_an_unknown_case_fails(tmp_path: Path) -> None:
    target = tmp_path / "v" / "cases" / "time_travel.safetensors"
    target.parent.mkdir(parents=True)
    about = {"name": "time_travel", "args": {}}
    save_file({"out.x": np.zeros(1, np.float32)}, target, {"case": json.dumps(about)})
    with pytest.raises(pytest.fail.Exception, match="no function covers the case 'time_travel'"):
        run_case(target)


def test_missing_and_extra_outputs_fail() -> None:
    case = harness.Case.load(case_path("ltx-2.0/noisers"))
    covered = harness.find_runner("noisers")
    assert covered is not None
    values = dict(covered.run(case))
    name = next(iter(values))
    value = values.pop(name)
    assert harness.judge(case, "component", values).failures == [f"out.{name} was not computed"]
    extra = values | {name: value, "ghost": value}
    assert harness.judge(case, "component", extra).failures == [
        "ghost was computed but the case has no out.ghost"
    ]
    wrong = values | {name: value[:1]}
    assert "shape" in harness.judge(case, "component", wrong).failures[0]
    broken = values | {name: value * mx.nan}
    assert "relative L2 error nan" in harness.judge(case, "component", broken).failures[0]
