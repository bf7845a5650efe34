"""`--preview`: a picture of the clip so far, beside the output."""

from collections.abc import Callable
from pathlib import Path

from ltx_pipelines import ModelSource, StageEvent
from ltx_pipelines.preview import LatentToRGB, latent_to_rgb, picture_strip


class PreviewWriter:
    """Called with the events of a run; writes `clip.preview.png` after every so many denoising steps.

    Args:
        models: that the clip is made with.
        output: of the clip.
        every: so many steps; the last one of a stage in any case.
        wrote: called with the path, the event, and the map, when a picture is there.
        tell: gets a sentence when none can be written; the run goes on.
    """

    def __init__(
        self,
        models: ModelSource,
        output: Path,
        every: int,
        wrote: Callable[[Path, StageEvent, LatentToRGB], None],
        tell: Callable[[str], None],
    ) -> None:
        self.models, self.every, self.wrote, self.tell = models, every, wrote, tell
        self.path = output.with_suffix(".preview.png")
        self._map: LatentToRGB | None = None

    def __call__(self, event: StageEvent) -> None:
        if self._map is None:
            # At the first event no network is in memory: there is room for the one that it is fitted with.
            self._map = latent_to_rgb(self.models)
        if event.video is None or not event.index:
            return
        if event.index % self.every == 0 or event.index == event.total:
            try:
                picture_strip(self._map(event.video), self.path)
            except OSError as error:
                self.tell(f"the preview {self.path} cannot be written: {error.strerror or error}")
            else:
                self.wrote(self.path, event, self._map)
