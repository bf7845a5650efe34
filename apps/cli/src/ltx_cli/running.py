"""One run of a pipeline as a person sees it: note, plan, bars, file, time."""

import time
from pathlib import Path
from typing import Any

from ltx_pipelines import Pipeline, double_frame_rate
from ltx_pipelines.enhance import enhance_prompt, enhancement_plan
from ltx_pipelines.fitting import check_memory
from ltx_pipelines.frame_rate import doubling_plan
from rich.console import Console

from ltx_cli.models import ModelFiles
from ltx_cli.progress import bars, print_plan


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None: the others are left to the pipeline."""
    return {name: value for name, value in values.items() if value is not None}


def make_clip(
    files: ModelFiles,
    runner: Pipeline[Any],
    config: Any,
    output: Path,
    *,
    enhance: bool = False,
    temporal_upscaler: Path | None = None,
) -> None:
    """Say what will be made, make it, and write it.

    Args:
        enhance: have the prompt written out first, and say what it has become.
        temporal_upscaler: double the frame rate at the end with this file.

    Raises:
        ConfigError: the machine has too little memory, and nothing was forced.
    """
    started = time.monotonic()
    console = Console(stderr=True)
    plan = [*([enhancement_plan()] if enhance else []), *runner.plan(config)]
    if temporal_upscaler is not None:
        plan += doubling_plan(runner.models, temporal_upscaler, config.num_frames)
    if not files.force:
        check_memory(runner.models, config, plan)
    if note := files.note(config.prompt):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    print_plan(console, config, plan, runner.models.name, str(runner.models.dtype).removeprefix("mlx.core."))
    for report in runner.models.lora_reports:
        console.print(f"LoRA {report}", highlight=False, markup=False, soft_wrap=True)
    with bars(console, plan) as on_step:
        if enhance:
            config = enhance_prompt(runner.models, config, on_step)
            told = "the prompt stays as it was given: what was written in its place is of no use"
            if config.user_prompt is not None:
                told = f"prompt: {config.prompt}"
            console.print(told, highlight=False, markup=False, soft_wrap=True)
        result = runner(config, on_step=on_step)
        if temporal_upscaler is not None:
            result = double_frame_rate(runner.models, result, temporal_upscaler, on_step=on_step)
    result.save(output)
    seconds = time.monotonic() - started
    console.print(f"{output}: made in {seconds:.1f} s", highlight=False, markup=False, soft_wrap=True)
