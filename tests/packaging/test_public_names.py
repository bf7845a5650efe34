"""Public names of a package are those in its `__all__`: documented, and in the API pages."""

import re
from pathlib import Path

import griffe
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["ltx_core", "ltx_models", "ltx_loaders", "ltx_pipelines"]
PARTS = ["transformer", "text_encoder", "video_vae", "audio_vae", "vocoder", "upsampler"]
# Of ltx_models the subpackages are public.
PUBLIC = ["ltx_core", *(f"ltx_models.{part}" for part in PARTS), "ltx_loaders", "ltx_pipelines"]


@pytest.fixture(scope="module")
def sources() -> griffe.GriffeLoader:
    """The packages as they are written; nothing is imported."""
    folders = [ROOT / "packages" / name.replace("_", "-") / "src" for name in PACKAGES]
    loader = griffe.GriffeLoader(search_paths=folders)
    for name in PACKAGES:
        loader.load(name)
    loader.resolve_aliases(implicit=True, external=False)
    return loader


def public_names(loader: griffe.GriffeLoader, module: str) -> list[str]:
    return [str(name) for name in loader.modules_collection[module].exports or ()]


def target(loader: griffe.GriffeLoader, module: str, name: str) -> griffe.Object:
    found = loader.modules_collection[module].members[name]
    return found.final_target if isinstance(found, griffe.Alias) else found


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_sorted_and_there(module: str, sources: griffe.GriffeLoader) -> None:
    names = public_names(sources, module)
    assert names
    assert len(names) == len(set(names))
    members = sources.modules_collection[module].members
    assert set(names) <= set(members)
    own = re.compile(r"ltx_(core|models|loaders|pipelines)\.")
    imported = {
        name
        for name, member in members.items()
        if isinstance(member, griffe.Alias) and own.match(member.target_path) and not name.startswith("_")
    }
    modules = {name for name in imported if target(sources, module, name).is_module}
    assert imported - modules == set(names), "what a package brings into its own namespace is public"


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_and_their_methods_are_documented(module: str, sources: griffe.GriffeLoader) -> None:
    for name in public_names(sources, module):
        thing = target(sources, module, name)
        assert thing.docstring, f"{module}.{name}"
        methods = thing.members.items() if thing.is_class else ()
        for method, member in methods:
            if member.is_function and not method.startswith("_"):
                assert member.docstring, f"{module}.{name}.{method}"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_api_pages_have_all_of_them(package: str, sources: griffe.GriffeLoader) -> None:
    page = (ROOT / "docs" / "api" / f"{package}.md").read_text(encoding="utf-8")
    listed = re.findall(r"^::: (\S+)$", page, re.M)
    modules = [module for module in PUBLIC if module.split(".")[0] == package]
    assert sorted(listed) == sorted(
        f"{module}.{name}" for module in modules for name in public_names(sources, module)
    )
