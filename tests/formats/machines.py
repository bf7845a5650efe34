"""The table of Macs in README.md: which options fit which memory, by the planner, and what lies on the disk.

    python -m tests.formats.machines

writes it. Files are those of LTX-2.3's sizes with holes in place of numbers; nothing is computed.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ltx_loaders import nbytes
from ltx_pipelines import CheckpointModels, Memory, StagePlan, activations
from ltx_pipelines.memory_plan import ClipSize, plan_memory

from tests.full_size_files import write_checkpoint, write_gemma, write_upscaler

DOCUMENT = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- machines: begin -->\n", "<!-- machines: end -->\n"
STAGES = [
    StagePlan(name, 1)
    for name in ("encode prompt", "stage 1", "upsample", "stage 2", "decode video", "decode audio")
]
PARAMETERS = 18_988_838_144
"""Of the transformer of LTX-2.3."""
SMALL, LARGE = ClipSize(512, 768, 121, 24.0), ClipSize(1024, 1536, 121, 24.0)


@dataclass(frozen=True)
class Mac:
    """A machine and how it runs the model.

    Attributes:
        gigabytes: of memory, in units of 2^30 bytes.
        options: for people.
        bits: of the transformer and of the text encoder; None: the official files.
        memory: what stays resident.
    """

    gigabytes: int
    options: str
    bits: int | None
    memory: Memory

    @property
    def usable(self) -> float:
        """Bytes that Metal recommends for a program: two thirds of the memory, or three quarters."""
        return self.gigabytes * 2**30 * (3 / 4 if self.gigabytes > 36 else 2 / 3)


MACS = [
    Mac(16, "4 bits, `--low-ram`", 4, Memory.LOW),
    Mac(32, "4 bits", 4, Memory.FREE),
    Mac(64, "none", None, Memory.FREE),
    Mac(128, "in Python `memory=Memory.KEEP`, for many clips", None, Memory.KEEP),
]


@contextmanager
def _as_on_a_mac() -> Iterator[None]:
    """Activations as GPUs have them, where convolutions are not summed in float32."""
    own = activations.backend
    activations.backend = lambda: "metal"
    try:
        yield
    finally:
        activations.backend = own


def plan(mac: Mac, models: CheckpointModels) -> list[float]:
    """Planned peaks of both sizes."""
    with _as_on_a_mac():
        return [float(plan_memory(models, size, STAGES, mac.memory).peak) for size in (SMALL, LARGE)]


def on_disk(models: CheckpointModels) -> float:
    """Bytes of the files; a pack is smaller by what quantisation saves of the transformer."""
    assert models.upsampler_path is not None
    files = [models.checkpoint.path, Path(models.upsampler_path), *models.gemma.iterdir()]
    size = sum(path.stat().st_size for path in files)
    if models.quantize is not None:
        size -= 2 * PARAMETERS - nbytes(models.network("transformer"))
    return float(size)


def rows(folder: Path) -> list[tuple[Mac, list[float], float]]:
    """Each machine with planned peaks and bytes on the disk."""
    checkpoint, upscaler = write_checkpoint(folder, "2.3"), write_upscaler(folder, "2.3")
    gemmas = {None: write_gemma(folder / "gemma"), 4: write_gemma(folder / "gemma-4bit", 4)}
    opened = {
        bits: CheckpointModels(checkpoint, gemma, upscaler, dtype="bfloat16", quantize=bits)
        for bits, gemma in gemmas.items()
    }
    return [(mac, plan(mac, opened[mac.bits]), on_disk(opened[mac.bits])) for mac in MACS]


def table(made: list[tuple[Mac, list[float], float]]) -> str:
    """The rows in Markdown."""
    lines = [
        "| memory | options | 768x512, 5 s | 1536x1024, 5 s | on disk |",
        "| --- | --- | --- | --- | --- |",
    ]
    for mac, peaks, size in made:
        cells = [f"{peak / 1e9:.0f} GB" if peak <= mac.usable else "too large" for peak in peaks]
        lines.append(f"| {mac.gigabytes} GB | {mac.options} | {' | '.join(cells)} | {size / 1e9:.0f} GB |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table into the document."""
    with tempfile.TemporaryDirectory() as folder:
        new = table(rows(Path(folder)))
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}{new}{END}{after}", encoding="utf-8")
    print(new)


if __name__ == "__main__":
    main()
