"""The table of formats in docs/loading.md: its rows, what is allowed for each, and what is measured.

    python -m tests.formats.table

measures every format and writes the table; `test_formats` holds the same rows to their limits.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ltx_loaders import Checkpoint

from tests.formats import measure, writers

DOCUMENT = Path(__file__).parents[2] / "docs" / "loading.md"
BEGIN, END = "<!-- formats: begin -->\n", "<!-- formats: end -->\n"

Opener = Callable[[Path, Path], Checkpoint]


@dataclass(frozen=True)
class Row:
    """A format.

    Attributes:
        name: for people.
        give: what stands on the command line.
        open: (official file, empty folder) -> the same weights in this format, opened.
        cases: recorded cases whose outputs are compared with those from the official file.
        limit: relative L2 error that is allowed.
    """

    name: str
    give: str
    open: Opener
    cases: tuple[str, ...] = measure.RECORDED
    limit: float = 1e-6

    def error(self, generation: str, folder: Path) -> float:
        """The worst relative L2 error over the cases."""
        checkpoint = self.open(measure.root(generation) / "checkpoint.safetensors", folder)
        return max(measure.error(case, generation, checkpoint) for case in self.cases)


def _exact(writer: writers.Writer) -> Opener:
    return lambda official, folder: Checkpoint.open(writer(official, folder))


def _fp8(keep: bool) -> Opener:
    return lambda official, folder: Checkpoint.open(writers.fp8(official, folder), keep_fp8=keep)


# The transformer alone is in 8 bits or less: its velocity is what differs.
VELOCITY = ("transformer_basic",)

ROWS = [
    Row("official single file", "the file", _exact(writers.single_file)),
    Row("folder with it, and with LoRAs and upscalers", "the folder", _exact(writers.folder_of_one)),
    Row("component files, VAE keys bare", "the folder", _exact(writers.component_files)),
    Row("component files, VAE keys with `vae.`", "the folder", _exact(writers.component_files_prefixed)),
    Row("component files, chosen one by one", "`Checkpoint.open([...])`", _exact(writers.component_list)),
    Row("official names in shards with an index", "the folder", _exact(writers.sharded)),
    Row("diffusers repository", "its folder", _exact(writers.diffusers)),
    Row("diffusers repository in shards", "its folder", _exact(writers.diffusers_sharded)),
    Row("fp8, expanded on load", "the file", _fp8(keep=False), VELOCITY, 0.05),
    Row("fp8, kept in 8 bits", "the file, `-q fp8`", _fp8(keep=True), VELOCITY, 0.05),
]


def table(measured: dict[str, dict[str, float]]) -> str:
    """Markdown; `measured`: row -> generation -> error."""
    lines = [
        "| weights as | give | " + " | ".join(measure.GENERATIONS) + " | allowed |",
        "| --- | --- |" + " --- |" * len(measure.GENERATIONS) + " --- |",
    ]
    for row in ROWS:
        errors = " | ".join(f"{measured[row.name][version]:.1g}" for version in measure.GENERATIONS)
        lines.append(f"| {row.name} | {row.give} | {errors} | {row.limit:g} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    measured: dict[str, dict[str, float]] = {}
    for row in ROWS:
        measured[row.name] = {}
        for generation in measure.GENERATIONS:
            with tempfile.TemporaryDirectory() as folder:
                measured[row.name][generation] = row.error(generation, Path(folder))
        print(row.name, measured[row.name], flush=True)
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(before + BEGIN + table(measured) + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
