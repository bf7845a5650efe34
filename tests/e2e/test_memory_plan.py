"""The memory plan of the published sizes: files with true headers and holes in place of numbers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ltx_core  # noqa: F401  (BLAS before mlx)
import pytest
from ltx_core import ConfigError
from ltx_pipelines import CheckpointModels, Memory, OneStageConfig, StagePlan, fitting
from ltx_pipelines.memory_plan import ClipSize, plan_memory

from tests.e2e.conftest import Ran
from tests.full_size_files import write_checkpoint, write_gemma

STAGES = [StagePlan(name, 1) for name in ("encode prompt", "denoise", "decode video", "decode audio")]
CLIP = ClipSize(512, 768, 121, 24.0)
GB = 10**9


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """LTX-2.0 and its text encoder."""
    root = tmp_path_factory.mktemp("full-size")
    return {"checkpoint": write_checkpoint(root), "gemma": write_gemma(root / "gemma")}


def open_models(files: dict[str, Path], **options: Any) -> CheckpointModels:
    return CheckpointModels(files["checkpoint"], files["gemma"], dtype="bfloat16", **options)


def test_the_published_sizes(full_size: dict[str, Path]) -> None:
    models = open_models(full_size)
    text, denoise, video, _ = plan_memory(models, CLIP, STAGES).stages
    # 11.8 and 1.4 billion weights of the text encoder and its connectors; 18.9 of the transformer.
    assert 26 * GB < text.weights < 27.5 * GB
    assert denoise.weights == 2 * 18_876_174_592
    assert GB < denoise.activations < 4 * GB
    assert video.weights == 2 * (528_380_720 + 2 * 128)
    low = plan_memory(models, CLIP, STAGES, Memory.LOW)
    assert low.stages[0].weights < 3 * GB
    # Two blocks of 0.38 billion weights, and what stands around the blocks.
    assert 2 * GB < low.stages[1].weights < 2.5 * GB
    kept = plan_memory(models, CLIP, STAGES, Memory.KEEP)
    assert kept.stages[-1].weights > text.weights + denoise.weights
    quantised = plan_memory(open_models(full_size, quantize="8"), CLIP, STAGES).stages[1].weights
    estimate = fitting.NOT_QUANTISED + (1 - fitting.NOT_QUANTISED) * 8.5 / 16
    assert quantised == pytest.approx(estimate * denoise.weights, rel=0.02)


def test_a_larger_clip_never_takes_less(full_size: dict[str, Path]) -> None:
    models = open_models(full_size)
    for change in ({"height": 1024}, {"num_frames": 241}, {"guided": True}, {"images": 2}, {"references": 1}):
        larger = plan_memory(models, replace(CLIP, **change), STAGES)
        for before, after in zip(plan_memory(models, CLIP, STAGES).stages, larger.stages, strict=True):
            assert after.total >= before.total, change


def test_what_does_not_fit_is_refused(full_size: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    models, config = open_models(full_size), OneStageConfig(prompt="a fox", height=512, width=768)
    for memory, message in (
        (80, None),
        (
            30,
            r"needs about 4\d\.\d GB .*'denoise': 37\.8 GB of weights.* 30\.0 GB are free.*-q 8 .*--low-ram",
        ),
        (20, r"what fits: --low-ram \("),
        (5, r"what fits: (--width|--num-frames) \d+.* with --low-ram; or --force"),
        (1, "no smaller clip fits either; or --force"),
    ):
        monkeypatch.setattr(fitting, "available_memory", lambda memory=memory: memory * GB)
        if message is None:
            fitting.check_memory(models, config, STAGES)
        else:
            with pytest.raises(ConfigError, match=message):
                fitting.check_memory(models, config, STAGES)


def test_the_command(ltx: Callable[..., Ran], full_size: dict[str, Path]) -> None:
    ran = ltx("info", full_size["checkpoint"], "--plan", "--gemma", full_size["gemma"], "--dtype", "bfloat16")
    assert ran.status == 0, ran.err
    for text in ("encode prompt", "denoise", "37.8 GB", "peak, with the program", "with --low-ram"):
        assert text in ran.out
    ran = ltx("info", full_size["checkpoint"], "--plan")
    assert ran.status == 1
    assert "--plan needs --gemma" in ran.err
