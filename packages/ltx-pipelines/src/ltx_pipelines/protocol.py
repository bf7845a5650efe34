"""What all pipelines have in common, for code that takes any of them."""

from typing import Protocol, TypeVar

from ltx_core import NoiseFn

from ltx_pipelines.events import OnStep, ignore
from ltx_pipelines.models import ModelSource
from ltx_pipelines.result import GenerationResult, Recipe
from ltx_pipelines.saved import StageStore
from ltx_pipelines.stages import StagePlan

C = TypeVar("C", contravariant=True)


class Pipeline(Protocol[C]):
    """A recipe: a config to a finished clip.

    Attributes:
        models: where its networks come from.
        recipe: how it is recorded.
    """

    models: ModelSource
    recipe: Recipe

    def plan(self, config: C) -> list[StagePlan]:
        """The stages of a run, in order. Raises what cannot work, before anything is read."""
        ...

    def __call__(
        self,
        config: C,
        *,
        on_step: OnStep = ignore,
        noise: NoiseFn | None = None,
        store: StageStore | None = None,
    ) -> GenerationResult: ...
