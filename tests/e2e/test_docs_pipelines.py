"""What docs/pipelines.md tells people to type works as typed, on a small pocket model with random weights."""

import re
import shlex
from pathlib import Path

import ltx_core  # noqa: F401  (BLAS before mlx)
import pytest
from ltx_cli.main import main
from ltx_pocket import model as pocket

from tests.e2e.inspect_media import read_clip
from tests.e2e.newcomer import write_media
from tests.e2e.test_loras import VIDEO, write_lora
from tests.untrained_pocket import write_untrained

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "pipelines.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M))
PICTURES = re.findall(r"!\[[^\]]+\]\((pictures/[^)]+)\)", PAGE)
PIPELINES = sorted(title for title, text in SECTIONS.items() if "```sh" in text)
FRAMES = {"retake": 25, "extend": 25 + 16}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, and every file that the page names."""
    folder = tmp_path_factory.mktemp("docs")
    model = write_untrained(folder)
    write_media(folder)
    write_lora(model / pocket.IC_LORA, model / pocket.CHECKPOINT, VIDEO)
    return folder


@pytest.fixture(autouse=True)
def small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pocket model where the package has it, and little to make."""
    monkeypatch.chdir(folder)
    weights = folder / "model"
    monkeypatch.setattr(pocket, "WEIGHTS", weights)
    for function in (pocket.open_models, pocket.distilled_lora):
        monkeypatch.setattr(function, "__defaults__", (weights,))
    monkeypatch.setattr(pocket.ic_lora, "__defaults__", (weights, 1.0))
    for name, value in {"height": 64, "width": 64, "num_frames": 17}.items():
        monkeypatch.setitem(pocket.NATIVE_CLIP, name, value)


def check(section: str, path: Path) -> None:
    if section == "text-to-audio":
        assert path.stat().st_size > 1000
        return
    clip = read_clip(path)
    assert clip.frames.shape == (FRAMES.get(section, 17), 64, 64, 3)
    assert clip.sound is not None


def test_every_pipeline_has_a_section() -> None:
    assert len(PIPELINES) == 11
    for title in PIPELINES:
        assert f"(#{title})" in SECTIONS["Which one"]
        assert len(blocks(SECTIONS[title], "python")) == len(blocks(SECTIONS[title], "sh")) == 1


def test_every_pipeline_has_a_small_picture() -> None:
    assert [f"pictures/{title}.webp" for title in SECTIONS if title in PIPELINES] == PICTURES
    sizes = [(DOCS / picture).stat().st_size for picture in PICTURES]
    assert max(sizes) < 20_000
    assert sum(sizes) < 250_000


@pytest.mark.parametrize("section", PIPELINES)
def test_section(section: str, folder: Path) -> None:
    names: dict[str, object] = {}
    (common,) = blocks(SECTIONS["In common"], "python")
    exec(common, names)
    (python,), (shell,) = (blocks(SECTIONS[section], language) for language in ("python", "sh"))
    exec(python, names)
    (written,) = re.findall(r'save\("(.*?)"\)', python)
    check(section, folder / written)
    (folder / written).unlink()
    words = shlex.split(shell)
    assert words[0] == "ltx"
    assert words[-1] == written
    with pytest.raises(SystemExit) as ended:
        main(words[1:])
    assert not ended.value.code
    check(section, folder / written)
