"""What can be measured: a list of items, each with a name that options choose by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ltx_bench.clips import TEXT_TOKENS, Clip
from ltx_bench.configs import VERSIONS


@dataclass(frozen=True)
class Item:
    """One measurement.

    Attributes:
        kind: of work, a key of `ltx_bench.works.WORKS`.
        version: of the networks.
        size: of the clip, or a number of tokens or frames where there is no clip.
        batch: samples in one call.
        variant: of the network or of the work: "q8", "cfg" and so on.
    """

    kind: str
    version: str
    size: Clip | int
    batch: int = 1
    variant: str = ""

    @property
    def name(self) -> str:
        """Such as "transformer/2.0/768x512x121/q8"."""
        batch = [f"b{self.batch}"] if self.batch > 1 else []
        return "/".join([self.kind, self.version, str(self.size), *batch, *filter(None, [self.variant])])

    @property
    def network(self) -> tuple[str, str, str]:
        """Items with the same one share a network."""
        return self.kind, self.version, self.variant if self.kind == "transformer" else ""

    @property
    def clip(self) -> Clip:
        """The size, of an item that has a clip."""
        assert isinstance(self.size, Clip)
        return self.size

    @property
    def count(self) -> int:
        """The size, of an item that has a number."""
        assert isinstance(self.size, int)
        return self.size


@dataclass(frozen=True)
class Sizes:
    """Clips of a list of items.

    Attributes:
        clips: those of the comparison with the reference, smallest first.
        tokens: over which the transformer's cost is plotted.
        frames: over which the decoder's cost is plotted.
        text: tokens of a prompt.
        audio: latent frames of a sound.
    """

    clips: tuple[Clip, ...]
    tokens: tuple[Clip, ...]
    frames: tuple[Clip, ...]
    text: int
    audio: int


SIZES = {
    "full": Sizes(
        clips=(Clip(768, 512, 121), Clip(1280, 704, 121), Clip(1536, 1024, 121)),
        # 3,072, 38,400 and 50,688 tokens; with the clips above, 6,144, 14,080 and 24,576.
        tokens=(Clip(768, 512, 57), Clip(1536, 1024, 193), Clip(1536, 1024, 257)),
        frames=tuple(Clip(768, 512, frames) for frames in (25, 57, 121, 185, 257)),
        text=TEXT_TOKENS,
        audio=126,
    ),
    "tiny": Sizes(
        clips=(Clip(64, 64, 9), Clip(128, 64, 9)),
        tokens=(Clip(64, 64, 17),),
        frames=(Clip(64, 64, 9), Clip(64, 64, 17)),
        text=128,
        audio=9,
    ),
}


def list_items(scale: str = "full") -> list[Item]:
    """All items of a scale, the most telling first; those of one network follow each other."""
    sizes = SIZES[scale]
    small, *_ = sizes.clips
    items: list[Item] = []
    for version in VERSIONS:
        clips = [*sizes.clips, *(sizes.tokens if version == "2.0" else ())]
        items += [Item("transformer", version, clip) for clip in clips]
        items.insert(len(items) - len(clips) + 1, Item("transformer", version, small, batch=2))
        items += [Item("guided", version, small, variant=variant) for variant in ("cfg", "full")]
    for variant in ("q8", "q4"):
        items.append(Item("transformer", "2.0", small, variant=variant))
    for version in VERSIONS:
        frames = [clip for clip in sizes.frames if clip not in sizes.clips] if version == "2.0" else []
        items += [Item("video-decode", version, clip) for clip in [*sizes.clips[:2], *frames]]
        items.append(Item("video-encode", version, small))
    items.append(Item("gemma", "2.0", sizes.text))
    for version in VERSIONS:
        items.append(Item("connectors", version, sizes.text))
        items.append(Item("audio-decode", version, sizes.audio))
        items.append(Item("vocoder", version, sizes.audio))
        items.append(Item("upscale", version, small))
    items += [Item("distilled", version, small) for version in VERSIONS]
    items.append(Item("low-ram", "2.0", small))
    return items


def choose(items: Sequence[Item], patterns: Sequence[str]) -> Iterator[Item]:
    """Those whose name matches one of the patterns ("transformer/*", "*/2.3/*"); all of them without any.
    In the order of the patterns."""
    chosen: dict[str, Item] = {}
    for pattern in patterns or ["*"]:
        chosen |= {item.name: item for item in items if fnmatchcase(item.name, pattern)}
    yield from chosen.values()
