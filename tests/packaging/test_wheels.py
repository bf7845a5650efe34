"""Wheels, each installed into an empty environment with what it declares and nothing else."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["ltx-core", "ltx-models", "ltx-loaders", "ltx-pipelines"]
APPS = {f"ltx-{path.name}": path for path in sorted((ROOT / "apps").iterdir()) if path.name != "scripts"}
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
    """Wheels and source distributions of everything, as `uv build --all-packages` makes them."""
    folder = tmp_path_factory.mktemp("wheels")
    run(uv, "build", "--quiet", "--all-packages", "--out-dir", folder, cwd=ROOT)
    return folder


def built(wheels: Path, package: str, ending: str) -> Path:
    (found,) = wheels.glob(f"{package.replace('-', '_')}-*{ending}")
    return found


@pytest.mark.parametrize("package", [*PACKAGES, *APPS])
def test_a_wheel_holds_the_package_and_nothing_else(wheels: Path, package: str) -> None:
    name = package.replace("-", "_")
    with zipfile.ZipFile(built(wheels, package, ".whl")) as wheel:
        files = wheel.namelist()
        metadata = wheel.read(next(file for file in files if file.endswith("/METADATA"))).decode()
    roots = {file.split("/")[0] for file in files}
    assert len(roots) == 2
    assert all(root.startswith(name) for root in roots)
    assert f"{name}/py.typed" in files
    assert not [file for file in files if re.search(r"(^|/)(tests?|fixtures|conftest)(/|\.|_)", file)]
    version = re.findall(r"^Version: (.+)$", metadata, re.M)[0]
    folder = next(path for path in (ROOT / "packages" / package, *APPS.values()) if _named(path, package))
    changes = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", changes, re.M)[0] == version


def _named(folder: Path, package: str) -> bool:
    project = folder / "pyproject.toml"
    return project.is_file() and f'name = "{package}"' in project.read_text(encoding="utf-8")


def environment(uv: str, wheels: Path, package: str, folder: Path, *extra: str) -> Path:
    """The Python of an empty environment with one package in it."""
    python = folder / "venv" / "bin" / "python"
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    wheel = built(wheels, package, ".whl")
    install = (uv, "pip", "install", "--quiet", "--python", python, "--find-links", wheels)
    run(*install, f"{wheel}{EXTRA}", *extra, cwd=folder)
    return python


@pytest.mark.parametrize("package", PACKAGES)
def test_each_alone_runs_its_readme_and_its_tests(
    uv: str, wheels: Path, tmp_path: Path, package: str
) -> None:
    """The tests come from the source distribution, the package from the wheel."""
    python = environment(uv, wheels, package, tmp_path, "pytest", "hypothesis")
    listed = set(re.findall(r"^ltx-\w+", run(uv, "pip", "list", "--python", python, cwd=tmp_path), re.M))
    assert listed == set(PACKAGES[: PACKAGES.index(package) + 1])
    shutil.unpack_archive(built(wheels, package, ".tar.gz"), tmp_path)
    (source,) = (path for path in tmp_path.iterdir() if path.name.startswith(package.replace("-", "_")))
    shutil.rmtree(source / "src")
    command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "tests")
    output = run(*command, cwd=source)
    assert "[100%]" in output
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
