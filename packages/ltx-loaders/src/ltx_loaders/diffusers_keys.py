"""What the tensors of diffusers' LTX-2 repositories are called officially, and the other way round.

Facts: diffusers' conversion script for LTX-2. One table per folder of a repository; a name is rewritten in
one pass, at the boundaries of its dotted parts, longest entries first.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ltx_loaders.components import CONNECTORS, TRANSFORMER

Pairs = tuple[tuple[str, str], ...]

NORMS: Pairs = (("q_norm", "norm_q"), ("k_norm", "norm_k"))
STATISTICS: Pairs = (
    ("per_channel_statistics.mean-of-means", "latents_mean"),
    ("per_channel_statistics.std-of-means", "latents_std"),
)


def _substitute(name: str, table: dict[str, str], pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda match: table[match[0]], name)


def _pattern(parts: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(parts, key=len, reverse=True)
    return re.compile(rf"(?:^|(?<=\.))(?:{'|'.join(map(re.escape, longest_first))})(?=\.|$)")


@dataclass(frozen=True)
class Renames:
    """How one folder's names relate to the official ones.

    Attributes:
        prefix: what official names of this component begin with, and diffusers' names do not.
        pairs: (official, diffusers) spellings of parts of names; neither side names a part twice.
    """

    prefix: str
    pairs: Pairs

    @cached_property
    def _to_diffusers(self) -> tuple[dict[str, str], re.Pattern[str]]:
        table = dict(self.pairs)
        return table, _pattern(table)

    @cached_property
    def _to_official(self) -> tuple[dict[str, str], re.Pattern[str]]:
        table = {diffusers: official for official, diffusers in self.pairs}
        return table, _pattern(table)

    def to_diffusers(self, name: str) -> str:
        """diffusers' name of the tensor with this official name."""
        return _substitute(name.removeprefix(self.prefix), *self._to_diffusers)

    def to_official(self, name: str) -> str:
        """The inverse of `to_diffusers`."""
        return self.prefix + _substitute(name, *self._to_official)


TRANSFORMER_RENAMES = Renames(
    TRANSFORMER,
    (
        ("patchify_proj", "proj_in"),
        ("audio_patchify_proj", "audio_proj_in"),
        ("adaln_single", "time_embed"),
        ("audio_adaln_single", "audio_time_embed"),
        ("prompt_adaln_single", "prompt_adaln"),
        ("audio_prompt_adaln_single", "audio_prompt_adaln"),
        ("av_ca_video_scale_shift_adaln_single", "av_cross_attn_video_scale_shift"),
        ("av_ca_audio_scale_shift_adaln_single", "av_cross_attn_audio_scale_shift"),
        ("av_ca_a2v_gate_adaln_single", "av_cross_attn_video_a2v_gate"),
        ("av_ca_v2a_gate_adaln_single", "av_cross_attn_audio_v2a_gate"),
        ("scale_shift_table_a2v_ca_video", "video_a2v_cross_attn_scale_shift_table"),
        ("scale_shift_table_a2v_ca_audio", "audio_a2v_cross_attn_scale_shift_table"),
        *NORMS,
    ),
)

CONNECTOR_RENAMES = Renames(
    "",
    (
        (CONNECTORS[0].removesuffix("."), "video_connector"),
        (CONNECTORS[1].removesuffix("."), "audio_connector"),
        ("transformer_1d_blocks", "transformer_blocks"),
        ("text_embedding_projection.aggregate_embed", "text_proj_in"),
        ("text_embedding_projection.video_aggregate_embed", "video_text_proj_in"),
        ("text_embedding_projection.audio_aggregate_embed", "audio_text_proj_in"),
        *NORMS,
    ),
)

AUDIO_VAE_RENAMES = Renames("audio_vae.", STATISTICS)

VOCODER_RENAMES = Renames(
    "vocoder.",
    (
        ("ups", "upsamplers"),
        ("resblocks", "resnets"),
        ("conv_pre", "conv_in"),
        ("conv_post", "conv_out"),
        ("act_post", "act_out"),
        ("downsample.lowpass", "downsample"),
    ),
)


def video_vae_renames(down_blocks: int, up_blocks: int) -> Renames:
    """Of a VAE with so many resamplings in its encoder and decoder.

    The official blocks are numbered in the order in which they run, residual and resampling ones in turn.
    diffusers counts pairs: the encoder's end with their resampling, and a residual block without one follows
    them; the decoder begins with that block, and its pairs begin with the resampling.
    """
    pairs = [*STATISTICS, ("res_blocks", "resnets")]
    for index in range(down_blocks):
        pairs.append((f"encoder.down_blocks.{2 * index}", f"encoder.down_blocks.{index}"))
        pairs.append((f"encoder.down_blocks.{2 * index + 1}", f"encoder.down_blocks.{index}.downsamplers.0"))
    pairs.append((f"encoder.down_blocks.{2 * down_blocks}", "encoder.mid_block"))
    pairs.append(("decoder.up_blocks.0", "decoder.mid_block"))
    for index in range(up_blocks):
        pairs.append((f"decoder.up_blocks.{2 * index + 1}", f"decoder.up_blocks.{index}.upsamplers.0"))
        pairs.append((f"decoder.up_blocks.{2 * index + 2}", f"decoder.up_blocks.{index}"))
    return Renames("vae.", tuple(pairs))
