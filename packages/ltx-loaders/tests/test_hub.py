"""Repositories on the hub: what is chosen, and what is said; the hub itself is played by these tests."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors
from ltx_loaders import LoaderError
from ltx_loaders.hub import DownloadPlan, cached_files, download, is_repo_name, plan_download
from ltx_loaders.hub_files import NEEDS, RemoteFile, model_paths, needed_files

LTX_23 = [
    "README.md", "ltx-2.3-22b-dev.safetensors", "ltx-2.3-22b-dev-fp8.safetensors",
    "ltx-2.3-22b-distilled.safetensors", "ltx-2.3-22b-distilled-1.1.safetensors",
    "ltx-2.3-22b-distilled-fp8.safetensors", "ltx-2.3-22b-distilled-lora-384.safetensors",
    "ltx-2.3-22b-distilled-lora-384-1.1.safetensors", "ltx-2.3-spatial-upscaler-x2-1.0.safetensors",
    "ltx-2.3-spatial-upscaler-x2-1.1.safetensors", "ltx-2.3-spatial-upscaler-x1.5-1.0.safetensors",
    "ltx-2.3-temporal-upscaler-x2-1.0.safetensors", "model_index.json",
]  # fmt: skip
GEMMA = [
    "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "README.md",
    "model.safetensors.index.json", "tokenizer.json", "tokenizer.model", "chat_template.jinja",
]  # fmt: skip
DIFFUSERS = [
    "model_index.json", "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors",
    "transformer/diffusion_pytorch_model.fp16.safetensors", "transformer/diffusion_pytorch_model.bin",
    "vae/config.json", "vae/diffusion_pytorch_model-00001-of-00002.safetensors",
    "vae/diffusion_pytorch_model.safetensors.index.json", "text_encoder/model-00001-of-00009.safetensors",
    "tokenizer/tokenizer.json", "scheduler/scheduler_config.json", "assets/film.mp4",
    "latent_upsampler/config.json", "latent_upsampler/diffusion_pytorch_model.safetensors",
]  # fmt: skip


def chosen(names: list[str], pipeline: str | None = None, **options: Any) -> list[str]:
    files = [RemoteFile(name, 1) for name in names]
    return [file.name for file in needed_files("o/n", files, pipeline, **options)]


def test_official_repositories_give_one_checkpoint_and_what_goes_with_it() -> None:
    assert chosen(LTX_23) == [
        "ltx-2.3-22b-distilled-1.1.safetensors",
        "ltx-2.3-spatial-upscaler-x2-1.1.safetensors",
    ]
    assert chosen(LTX_23, "one-stage") == ["ltx-2.3-22b-dev.safetensors"]
    assert chosen(LTX_23, "one-stage", fp8=True) == ["ltx-2.3-22b-dev-fp8.safetensors"]
    assert chosen(LTX_23, "two-stage") == [
        "ltx-2.3-22b-dev.safetensors",
        "ltx-2.3-22b-distilled-lora-384-1.1.safetensors",
        "ltx-2.3-spatial-upscaler-x2-1.1.safetensors",
    ]


@pytest.mark.parametrize("pipeline", NEEDS)
def test_every_pipeline_finds_its_files(pipeline: str) -> None:
    assert len(chosen(LTX_23, pipeline)) == len(NEEDS[pipeline])


def test_other_repositories() -> None:
    assert chosen(GEMMA) == [name for name in GEMMA if name != "README.md"]
    assert chosen(["lora.safetensors", "README.md"]) == ["lora.safetensors"]
    found = chosen(DIFFUSERS)
    left = {"transformer/diffusion_pytorch_model.fp16.safetensors", "assets/film.mp4",
            "transformer/diffusion_pytorch_model.bin"}  # fmt: skip
    assert set(DIFFUSERS) - set(found) == left
    assert not any(name.startswith("latent_upsampler/") for name in chosen(DIFFUSERS, "one-stage"))


def test_what_the_chosen_files_are() -> None:
    def paths(names: list[str], pipeline: str) -> dict[str, str]:
        files = needed_files("o/n", [RemoteFile(name, 1) for name in names], pipeline)
        return {role: path.as_posix() for role, path in model_paths(Path("c"), files).items()}

    assert paths(LTX_23, "two-stage") == {
        "checkpoint": "c/ltx-2.3-22b-dev.safetensors",
        "spatial upscaler": "c/ltx-2.3-spatial-upscaler-x2-1.1.safetensors",
        "distilled LoRA": "c/ltx-2.3-22b-distilled-lora-384-1.1.safetensors",
    }
    assert paths(GEMMA, "two-stage") == {"gemma": "c"}
    upscaler = {"spatial upscaler": "c/latent_upsampler"}
    assert paths(DIFFUSERS, "two-stage") == {"checkpoint": "c", "gemma": "c"} | upscaler
    assert paths(["style.safetensors"], "one-stage") == {"checkpoint": "c/style.safetensors"}


@pytest.mark.parametrize(
    ("names", "pipeline", "message"),
    [
        (LTX_23, "toaster", "unknown pipeline 'toaster'; known are distilled"),
        (LTX_23[:2], "two-stage", "lacks spatial upscaler and distilled LoRA"),
        (["a.safetensors", "b.safetensors"], None, "name them: a.safetensors, b.safetensors"),
        (["pytorch_model.bin"], None, "pickle"),
        (["README.md"], None, "no .safetensors"),
    ],
)
def test_nothing_of_use(names: list[str], pipeline: str | None, message: str) -> None:
    with pytest.raises(LoaderError, match=message):
        chosen(names, pipeline)


def test_names_of_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_repo_name("Lightricks/LTX-2.3")
    assert not is_repo_name("model.safetensors")
    assert not is_repo_name("/models/ltx")
    assert not is_repo_name("a/b/c")
    assert not is_repo_name("models/mistyped.safetensors")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "ltx").mkdir(parents=True)
    assert not is_repo_name("models/ltx")


class FakeHub:
    """Repositories in memory; files arrive in a folder that looks like the cache."""

    def __init__(self, cache: Path, names: list[str]) -> None:
        self.snapshot = cache / "models--o--n" / "snapshots" / "abc"
        self.names = names
        self.fetched: list[str] = []

    def model_info(self, repo: str, *, files_metadata: bool) -> SimpleNamespace:
        assert files_metadata
        files = [SimpleNamespace(rfilename=name, size=10**9) for name in self.names]
        return SimpleNamespace(siblings=files, sha="abc")

    def cached(self, repo: str, name: str, *, revision: str) -> str | None:
        path = self.snapshot / name
        return str(path) if path.exists() else None

    def fetch(self, repo: str, name: str, *, revision: str) -> str:
        if not (self.snapshot / name).exists():
            self.fetched.append(name)
            (self.snapshot / name).parent.mkdir(parents=True, exist_ok=True)
            (self.snapshot / name).write_bytes(b"x")
        return str(self.snapshot / name)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path, DIFFUSERS)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake.fetch)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", fake.cached)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return fake


def test_only_what_is_missing_is_fetched(hub: FakeHub) -> None:
    plan = plan_download("o/n", "one-stage")
    assert plan.missing_bytes == len(plan.files) * 10**9
    assert download(plan) == hub.snapshot
    assert sorted(hub.fetched) == sorted(file.name for file in plan.files)
    again = plan_download("o/n", "one-stage")
    assert again.missing_bytes == 0
    assert again.cached == {file.name for file in plan.files}
    assert plan_download("o/n", names=["assets/film.mp4"]).files == (RemoteFile("assets/film.mp4", 10**9),)
    with pytest.raises(LoaderError, match=r"no file nothing\.bin; it has assets/film\.mp4"):
        plan_download("o/n", names=["nothing.bin"])


def test_disk_space_is_checked_before(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 10**9))
    plan = plan_download("o/n")
    with pytest.raises(LoaderError, match=r"needs 11\.0 GB and .* has 5\.0 GB free; .*HF_HOME"):
        download(plan)
    assert not hub.fetched
    assert isinstance(plan, DownloadPlan)


def test_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(repo: str, **_: Any) -> str:
        raise errors.LocalEntryNotFoundError("nothing")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", missing)
    with pytest.raises(LoaderError, match=r"not in the cache.*ltx download o/n"):
        cached_files("o/n")
    download(plan_download("o/n", "one-stage"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **_: str(hub.snapshot))
    folder, files = cached_files("o/n", "one-stage")
    assert folder == hub.snapshot
    assert len(files) == len(hub.fetched)


def response(status: int) -> Any:
    return SimpleNamespace(status_code=status, headers={}, request=None)


NoConnection = type("ConnectError", (Exception,), {"__module__": "httpx2"})


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (lambda: errors.GatedRepoError("no", response=response(403)),
         r"licence.* https://huggingface\.co/o/n.*hf auth login"),
        (lambda: errors.RepositoryNotFoundError("no", response=response(404)), "no repository o/n, or it is"),
        (lambda: errors.HfHubHTTPError("401 no", response=response(401)), r"refuses o/n \(401\).*licence"),
        (lambda: errors.HfHubHTTPError("500 oops", response=response(500)), r"cannot be reached.*500 oops"),
        (lambda: errors.HFValidationError("bad"), "no name of a repository"),
        (lambda: ConnectionError("cable"), r"cannot be reached.*cable.*--offline"),
        (lambda: NoConnection("dns"), r"cannot be reached.*dns"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, error: Any, message: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error()

    monkeypatch.setattr(hub, "model_info", fail)
    with pytest.raises(LoaderError, match=message):
        plan_download("o/n")


def test_other_errors_are_not_hidden(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("bug")

    monkeypatch.setattr(hub, "model_info", fail)
    with pytest.raises(KeyError):
        plan_download("o/n")
