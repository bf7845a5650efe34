"""Imports point one way: core <- models <- loaders <- pipelines <- apps; and what each may depend on."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = ["ltx_core", "ltx_models", "ltx_loaders", "ltx_pipelines", "ltx_pocket", "ltx_bench", "ltx_cli"]
SOURCES = {
    **{name: ROOT / "packages" / name.replace("_", "-") / "src" / name for name in ORDER[:4]},
    "ltx_pocket": ROOT / "apps" / "pocket" / "src" / "ltx_pocket",
    "ltx_bench": ROOT / "apps" / "bench" / "src" / "ltx_bench",
    "ltx_cli": ROOT / "apps" / "cli" / "src" / "ltx_cli",
}
# Scripts for another interpreter, where the reference is installed under our names.
FOREIGN = SOURCES["ltx_bench"] / "peer"
THIRD_PARTY = {
    "ltx_core": {"mlx", "numpy"},
    "ltx_models": {"mlx", "mlx_lm", "numpy"},
    "ltx_loaders": {"mlx", "numpy", "safetensors", "huggingface_hub"},
    "ltx_pipelines": {"mlx", "numpy", "transformers", "imageio_ffmpeg", "PIL"},
    "ltx_pocket": {"mlx", "numpy", "PIL", "rich", "tokenizers", "typer"},
    "ltx_bench": {"mlx", "numpy", "imageio_ffmpeg", "rich", "typer"},
    "ltx_cli": {"typer", "rich"},
}


def modules(package: str) -> list[Path]:
    """Files of a package that run with this project."""
    return sorted(path for path in SOURCES[package].rglob("*.py") if FOREIGN not in path.parents)


def imported_roots(path: Path) -> set[str]:
    roots: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            roots.add((node.module or "").split(".")[0])
    return roots


@pytest.mark.parametrize("package", ORDER)
def test_imports_point_one_way(package: str) -> None:
    files = modules(package)
    assert files
    allowed = set(ORDER[: ORDER.index(package) + 1])
    for path in files:
        roots = imported_roots(path)
        wrong = {root for root in roots if root in ORDER and root not in allowed}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


@pytest.mark.parametrize("package", ORDER)
def test_third_party_imports_are_the_agreed_ones(package: str) -> None:
    import sys

    own = set(ORDER) | set(sys.stdlib_module_names)
    for path in modules(package):
        strangers = imported_roots(path) - own - THIRD_PARTY[package]
        assert not strangers, f"{path.relative_to(ROOT)} imports {sorted(strangers)}"


@pytest.mark.parametrize("package", ORDER)
def test_every_used_package_is_declared(package: str) -> None:
    """What is imported is a dependency of its own, not one that happens to come along."""
    project = tomllib.loads((SOURCES[package].parents[1] / "pyproject.toml").read_text())["project"]
    names = {"PIL": "pillow"}
    declared = {
        spec.split(";")[0].split(">")[0].split("[")[0].strip().replace("-", "_")
        for spec in project["dependencies"]
    }
    for path in modules(package):
        used = {names.get(root, root) for root in imported_roots(path)}
        used &= {names.get(root, root) for root in THIRD_PARTY[package]} | set(ORDER)
        assert used - {package} <= declared, (
            f"{path.relative_to(ROOT)}: {sorted(used - declared)} not declared"
        )


@pytest.mark.parametrize("package", ORDER)
def test_versions_keep_clear_of_the_unrelated_1x_packages(package: str) -> None:
    project = tomllib.loads((SOURCES[package].parents[1] / "pyproject.toml").read_text())["project"]
    assert int(project["version"].split(".")[0]) >= 2
    for spec in project["dependencies"]:
        if spec.startswith("ltx-"):
            assert spec.endswith(">=2,<3"), spec


def test_nothing_depends_on_the_workplace() -> None:
    """No file names a folder outside the project."""
    outside = "../" + "shared"
    for path in ROOT.rglob("*"):
        if path.suffix in {".py", ".md", ".toml", ".yml"} and ".venv" not in path.parts:
            assert outside not in path.read_text(encoding="utf-8"), path
