"""What all pipelines have in common, for code that takes any of them."""

from typing import Protocol, TypeVar

from ltx_core.noisers import NoiseFn

from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.models import ModelSource
from ltx_pipelines.result import GenerationResult
from ltx_pipelines.stages import StagePlan

C = TypeVar("C", contravariant=True)


class Pipeline(Protocol[C]):
    """A recipe: a config to a finished clip."""

    models: ModelSource

    def plan(self, config: C) -> list[StagePlan]: ...

    def __call__(
        self, config: C, *, on_step: OnStep = ignore, noise: NoiseFn | None = None
    ) -> GenerationResult: ...
