"""Wheels, each installed into an empty environment with what it declares and nothing else."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["ltx-core", "ltx-models", "ltx-loaders", "ltx-pipelines"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
EXTRA = "[cpu]" if sys.platform == "linux" else ""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def uv() -> str:
    found = shutil.which("uv")
    assert found, "uv is what builds the project; it must be on the path"
    return found


@pytest.fixture(scope="module")
def wheels(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for package in PACKAGES:
        run(uv, "build", "--quiet", "--wheel", "--package", package, "--out-dir", folder, cwd=ROOT)
    return folder


def environment(uv: str, wheels: Path, package: str, folder: Path, *extra: str) -> Path:
    """The Python of an empty environment with one package in it."""
    python = folder / "venv" / "bin" / "python"
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    wheel = next(wheels.glob(f"{package.replace('-', '_')}-*.whl"))
    install = (uv, "pip", "install", "--quiet", "--python", python, "--find-links", wheels)
    run(*install, f"{wheel}{EXTRA}", *extra, cwd=folder)
    return python


def test_core_alone_runs_its_readme_and_its_tests(uv: str, wheels: Path, tmp_path: Path) -> None:
    python = environment(uv, wheels, "ltx-core", tmp_path, "pytest", "hypothesis")
    listed = run(uv, "pip", "list", "--python", python, cwd=tmp_path)
    assert "ltx-core" in listed
    assert not re.search(r"ltx-(models|loaders|pipelines)", listed)
    shutil.copytree(ROOT / "packages/ltx-core/tests", tmp_path / "tests")
    shutil.copy(ROOT / "packages/ltx-core/README.md", tmp_path)
    output = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)
    assert re.search(r"\d+ passed", output)
    assert "skipped" not in output


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_the_others_import_with_what_they_declare(
    uv: str, wheels: Path, tmp_path: Path, package: str
) -> None:
    python = environment(uv, wheels, package, tmp_path)
    name = package.replace("-", "_")
    source = ROOT / "packages" / package / "src"
    modules = sorted(
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for path in source.rglob("*.py")
    )
    code = [
        "import importlib, pathlib",
        f"for name in {modules!r}: importlib.import_module(name)",
        f"import {name} as package",
        "print(package.__file__)",
        "assert pathlib.Path(package.__file__).with_name('py.typed').exists()",
    ]
    assert str(tmp_path) in run(python, "-c", "\n".join(code), cwd=tmp_path)
