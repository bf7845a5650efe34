"""The options of guided pipelines."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer
from ltx_core import ConfigError
from ltx_pipelines import GuidanceChange

from ltx_cli.arguments import parse_numbers
from ltx_cli.groups import OptionGroup, flags, given


@dataclass(frozen=True)
class GuidanceOptions(OptionGroup):
    """Guidance of the two streams; what is not given is the model's own."""

    panel = "Guidance"

    negative_prompt: Annotated[
        str | None, typer.Option(help="What to stay away from; the model's own if not given.")
    ] = None
    cfg_scale: Annotated[float | None, typer.Option(help="Prompt guidance of the video; 1 is none.")] = None
    audio_cfg_scale: Annotated[float | None, typer.Option(help="Prompt guidance of the sound.")] = None
    stg_scale: Annotated[
        float | None, typer.Option(help="Spatio-temporal guidance of video and sound; 0 is none.")
    ] = None
    audio_stg_scale: Annotated[float | None, typer.Option(help="That of the sound, where it differs.")] = None
    stg_blocks: Annotated[
        str | None,
        typer.Option(metavar="N [N ...]", help="Transformer blocks that it works on, for the video."),
    ] = None
    audio_stg_blocks: Annotated[
        str | None, typer.Option(metavar="N [N ...]", help="The same for the sound.")
    ] = None
    rescale_scale: Annotated[
        float | None, typer.Option(help="Scale guided video back to its spread, 0 (not) to 1 (fully).")
    ] = None
    audio_rescale_scale: Annotated[float | None, typer.Option(help="The same for the sound.")] = None
    modality_scale: Annotated[
        float | None, typer.Option(help="Guidance of the video towards the sound; 1 is none.")
    ] = None
    audio_modality_scale: Annotated[
        float | None, typer.Option(help="Guidance of the sound towards the video; 1 is none.")
    ] = None
    skip_step: Annotated[
        int | None,
        typer.Option(help="After each step, this many reuse the video's guidance; 0 is none."),
    ] = None
    audio_skip_step: Annotated[int | None, typer.Option(help="The same for the sound.")] = None

    def asked(self) -> dict[str, Any]:
        """Those that were given."""
        return given(**vars(self))

    def fields(self) -> dict[str, Any]:
        """Arguments of a guided config.

        Raises:
            ConfigError: a value is out of range.
        """
        simple = {"negative_prompt", "cfg_scale", "audio_cfg_scale", "stg_scale"}
        values = {name: value for name, value in self.asked().items() if name in simple}
        video = given(
            stg_blocks=_blocks("stg_blocks", self.stg_blocks),
            rescale_scale=self.rescale_scale,
            modality_scale=self.modality_scale,
            skip_step=self.skip_step,
        )
        audio = given(
            stg_scale=self.audio_stg_scale,
            stg_blocks=_blocks("audio_stg_blocks", self.audio_stg_blocks),
            rescale_scale=self.audio_rescale_scale,
            modality_scale=self.audio_modality_scale,
            skip_step=self.audio_skip_step,
        )
        if video:
            values["video_guidance"] = GuidanceChange(**video)
        if audio:
            values["audio_guidance"] = GuidanceChange(**audio)
        return values

    def refuse(self, why: str, *, but: tuple[str, ...] = ()) -> None:
        """An option without effect is an error, not a surprise.

        Args:
            why: what it cannot be used with, and what to do.
            but: fields that do have an effect.

        Raises:
            ConfigError: other options than these were given.
        """
        useless = [name for name in self.asked() if name not in but]
        if useless:
            raise ConfigError(f"{flags(*useless)} cannot be used with {why}")


def _blocks(name: str, text: str | None) -> list[int] | None:
    return None if text is None else parse_numbers(flags(name), text)
