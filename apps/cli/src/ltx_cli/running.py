"""One run of a pipeline: note, plan, stages, file, time."""

import time
from dataclasses import replace

from ltx_pipelines import StageEvent, double_frame_rate
from ltx_pipelines.enhance import enhance_prompt, enhancement_plan
from ltx_pipelines.frame_rate import doubling_plan

from ltx_cli.clip import Clip
from ltx_cli.guarded import guarded
from ltx_cli.needs import needs_of
from ltx_cli.together import together
from ltx_cli.view import View


@together
def make_clip(clip: Clip, view: View) -> None:
    """Say what will be made, make it, and write it with its record.

    Raises:
        ConfigError: the machine has too little memory, and nothing was forced.
        EndedError: the run was stopped or failed; what it has made is saved.
        OutputInUseError: another run is going to write the same file.
    """
    started = time.monotonic()
    runner, config, upscaler = clip.runner, clip.config, clip.temporal_upscaler
    plan = [*([enhancement_plan()] if clip.enhance else []), *runner.plan(config)]
    if upscaler is not None:
        # In the place of the last stage: only the doubled frames are decoded.
        plan = [*plan[:-1], *doubling_plan(runner.models, upscaler, config.num_frames)]
    view.begin(replace(clip, needs=needs_of(clip, plan)), plan)
    with guarded(clip, view) as guard, view.stages(plan) as show:

        def on_step(event: StageEvent) -> None:
            show(event)
            guard.on_step(event)

        if clip.enhance:
            config = enhance_prompt(runner.models, config, on_step, guard.store)
            told = "the prompt stays as it was given: what was written in its place is of no use"
            if config.user_prompt is not None:
                told = f"prompt: {config.prompt}"
            view.say(told)
        result = runner(config, on_step=on_step, store=guard.store)
        if upscaler is not None:
            result = double_frame_rate(runner.models, result, upscaler, on_step=on_step)
        replace(result, settings={**result.settings, **clip.record(config)}).save(clip.output)
    view.end(clip.output, time.monotonic() - started)
