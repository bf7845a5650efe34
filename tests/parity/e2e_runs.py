"""Which of our pipelines stands for which official class, and with which arguments."""

from ltx_pipelines import (
    DistilledConfig,
    DistilledPipeline,
    GenerationResult,
    OneStageConfig,
    OneStagePipeline,
)

from tests.parity.e2e import Run, runs


@runs("DistilledPipeline")
def distilled(run: Run) -> GenerationResult:
    return DistilledPipeline(run.models())(DistilledConfig(**run.clip()), noise=run.noise)


@runs("TI2VidOneStagePipeline")
def one_stage(run: Run) -> GenerationResult:
    config = OneStageConfig(**run.clip(), **run.guidance())
    return OneStagePipeline(run.models())(config, noise=run.noise)
