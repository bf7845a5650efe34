"""What a newcomer does: copies the repository, types the two commands, then every block of the pages.

Blocks run as they are written, in bash, in a folder that holds what they name (`newcomer`): large models are
the small recorded ones under the published names, clips are small, and the hub is a folder (`stand_in`).
Not run here are the commands below, and blocks of docs/pipelines.md, which test_docs_pipelines runs.
"""

import shutil
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.inspect_media import read_clip
from tests.e2e.newcomer import ROOT, Block, Newcomer, blocks, commands

PAGES = sorted(["README.md", *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))])
ELSEWHERE = {"docs/pipelines.md": "tests/e2e/test_docs_pipelines.py"}
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
FULL = "needs the memory of the full networks; apps/bench/tests runs it on small ones"
PEER = "several GB of packages"
NOT_RUN = {
    "uv sync": "makes the environment that the tests run in",
    "uv sync --no-group cpu --group cuda13": "needs an NVIDIA GPU, and would change the environment",
    "uv build --all-packages": "tests/packaging builds and installs them",
    "uv run pytest": "is what runs here",
    "ltx bench run results.json --only 'transformer/2.0/*'": FULL,
    "ltx bench run results.json --peer ~/reference/bin/python": FULL,
    "ltx bench ranks results.json --processes 2": FULL,
    "ltx bench table results.json --write docs/performance.md": "has the results of those",
    "ltx bench plot results.json --folder docs/pictures --write docs/performance.md": "the same",
    "python3 -m venv ~/reference": PEER,
    "~/reference/bin/pip install torch torchaudio torchvision ltx-core==1.0.0 "
    "'diffusers>=0.42,<0.43' transformers": PEER,
    "mlx.launch --hostfile hosts.json -- ltx generate ...": "needs a second machine",
}
FIRST, SECOND = commands(blocks("README.md")[0].code)
BLOCKS = [
    block
    for page in PAGES
    for block in blocks(page)
    if page not in ELSEWHERE and commands(block.code) != [FIRST, SECOND]
]
Done = subprocess.CompletedProcess[str]


def left(block: Block) -> Block | None:
    """A block without the commands that run elsewhere: by name above, or by .ci/run, line for line."""
    if block.language == "python":
        return block
    kept = [line for line in commands(block.code) if line not in NOT_RUN and line not in CI]
    if len(kept) == len(commands(block.code)):
        return block
    return Block(block.page, block.line, block.language, "\n".join(kept)) if kept else None


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[Block, Future[Done]]:
    """Of all blocks: those of a page one after the other, two pages at a time."""
    newcomer = Newcomer.at(tmp_path_factory.mktemp("newcomer"))
    made: dict[Block, Future[Done]] = {block: Future() for block in BLOCKS}

    def read(page: str) -> None:
        for block in (block for block in BLOCKS if block.page == page):
            if (rest := left(block)) is not None:
                try:
                    made[block].set_result(newcomer.types(rest))
                except Exception as error:
                    made[block].set_exception(error)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, sorted({block.page for block in BLOCKS})))
    return made


def test_a_copy_of_the_repository_makes_a_clip_and_runs_its_tests(tmp_path: Path) -> None:
    """With the real uv and the real pocket model. One file of tests stands for all of them."""
    names = shutil.ignore_patterns(".*", "__pycache__", "site", "*.mp4")
    copy = Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=names))
    shims = tmp_path / "bin"
    shims.mkdir()
    (shims / "pip").write_text("#!/bin/sh\n")  # uv is there, or the wheels could not be tested either
    (shims / "pip").chmod(0o755)
    for command in (FIRST, f"{SECOND} packages/ltx-core/tests/test_readme.py"):
        done = subprocess.run(
            ["bash", "-c", f'PATH="{shims}:$PATH"; unset VIRTUAL_ENV; {command}'],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "[100%]" in done.stdout
    clip = read_clip(copy / "clip.mp4")
    assert clip.frames.shape == (33, 256, 256, 3)
    assert abs(clip.sound_seconds - 33 / 16) <= 1 / 16


def test_ci_runs_all_tests() -> None:
    """By the second command, with options about how."""
    (line,) = (line for line in CI if "pytest" in line)
    _, options = line.split(SECOND)
    assert not [word for word in options.split() if "/" in word or word in ("-k", "-m", "--ignore")]


def test_every_page_is_known() -> None:
    assert set(ELSEWHERE) < set(PAGES)
    assert len(BLOCKS) > 15
    written = {line for block in BLOCKS if block.language == "sh" for line in commands(block.code)}
    assert set(NOT_RUN) <= written, "not on any page any more"


@pytest.mark.parametrize("block", [block for block in BLOCKS if left(block) is not None], ids=str)
def test_block(block: Block, results: dict[Block, Future[Done]]) -> None:
    done = results[block].result()
    assert done.returncode == 0, f"{block.code}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    for line in block.code.splitlines():  # a comment behind a print is its output
        if block.language == "python" and line.startswith("print(") and "  # " in line:
            assert line.split("  # ")[1] in done.stdout
