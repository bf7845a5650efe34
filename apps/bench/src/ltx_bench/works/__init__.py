"""What each kind of item does, with which network."""

from collections.abc import Callable

from ltx_bench.items import Item
from ltx_bench.works.audio import audio_decode, vocoder
from ltx_bench.works.autoencoder import upscale, video_decode, video_encode
from ltx_bench.works.base import Prepared, Setup, Work
from ltx_bench.works.generation import distilled
from ltx_bench.works.streamed import low_ram
from ltx_bench.works.text import connectors, gemma
from ltx_bench.works.transformer import guided, transformer

WORKS: dict[str, Callable[[Setup, Item], Prepared]] = {
    "transformer": transformer,
    "guided": guided,
    "video-decode": video_decode,
    "video-encode": video_encode,
    "upscale": upscale,
    "gemma": gemma,
    "connectors": connectors,
    "audio-decode": audio_decode,
    "vocoder": vocoder,
    "distilled": distilled,
    "low-ram": low_ram,
}
"""From the setup and the first item that shares it to a network that is ready for its items."""

__all__ = ["WORKS", "Prepared", "Setup", "Work"]
