"""Models by their name on the Hugging Face hub: what a pipeline needs is fetched into the shared cache.

The cache is that of all Hugging Face libraries (`HF_HOME`), so nothing is downloaded twice, and what was cut
off is resumed.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ltx_loaders.errors import LoaderError
from ltx_loaders.header import PICKLES
from ltx_loaders.hub_files import RemoteFile, needed_files

REPO_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# Libraries whose exceptions mean that there is no connection; huggingface-hub has changed them several times.
NETWORK = ("httpx", "httpcore", "requests", "urllib3")


def is_repo_name(text: str | Path) -> bool:
    """Whether a model is given as "owner/name": it looks like that, not like a file, and is no path."""
    path = Path(text)
    looks_like_one = REPO_NAME.fullmatch(path.as_posix()) and path.suffix not in (".safetensors", *PICKLES)
    return bool(looks_like_one) and not path.exists()


@dataclass(frozen=True)
class DownloadPlan:
    """What a download would bring.

    Attributes:
        repo: "owner/name".
        revision: the commit that it names now.
        files: what is needed.
        cached: names of those that are in the cache already.
        cache: the folder of the cache.
    """

    repo: str
    revision: str
    files: tuple[RemoteFile, ...]
    cached: frozenset[str]
    cache: Path

    @property
    def missing_bytes(self) -> int:
        return sum(file.size for file in self.files if file.name not in self.cached)

    def check_disk(self) -> None:
        """Raise LoaderError unless there is room for what is missing."""
        place = next(folder for folder in (self.cache, *self.cache.parents) if folder.exists())
        free = shutil.disk_usage(place).free
        if self.missing_bytes > free:
            raise LoaderError(
                f"{self.repo} needs {self.missing_bytes / 1e9:.1f} GB and {place} has {free / 1e9:.1f} GB "
                "free; free space there, or set HF_HOME to a folder on another disk"
            )


def plan_download(
    repo: str, pipeline: str | None = None, *, fp8: bool = False, names: Sequence[str] = ()
) -> DownloadPlan:
    """Ask the hub what a repository holds; nothing is downloaded.

    Args:
        repo: "owner/name".
        pipeline: what the files are for; None: the distilled pipeline.
        fp8: prefer the checkpoint in 8-bit floating point.
        names: the files to take, instead of what the pipeline needs.

    Raises:
        LoaderError: no such repository or no access, no connection, or nothing of use in it.
    """
    import huggingface_hub as hub

    with _explained(repo):
        info = hub.HfApi().model_info(repo, files_metadata=True)
    files = [RemoteFile(file.rfilename, file.size or 0) for file in info.siblings or ()]
    if names:
        if unknown := set(names) - {file.name for file in files}:
            raise LoaderError(f"{repo} has no file {', '.join(sorted(unknown))}; it has "
                              f"{', '.join(sorted(file.name for file in files))}")  # fmt: skip
        chosen = [file for file in files if file.name in names]
    else:
        chosen = needed_files(repo, files, pipeline, fp8=fp8)
    revision = info.sha or "main"
    cached = {
        file.name for file in chosen
        if isinstance(hub.try_to_load_from_cache(repo, file.name, revision=revision), str)
    }  # fmt: skip
    return DownloadPlan(repo, revision, tuple(chosen), frozenset(cached), Path(hub.constants.HF_HUB_CACHE))


def download(plan: DownloadPlan) -> Path:
    """Fetch what is missing, resuming what was cut off.

    Returns:
        The folder of the cache in which the files lie under their names in the repository.

    Raises:
        LoaderError: not enough disk space, no access, or no connection.
    """
    import huggingface_hub as hub

    plan.check_disk()
    with _explained(plan.repo):
        for file in plan.files:
            path = hub.hf_hub_download(plan.repo, file.name, revision=plan.revision)
    return _snapshot(Path(path), plan.files[-1].name)


def cached_files(
    repo: str, pipeline: str | None = None, *, fp8: bool = False
) -> tuple[Path, list[RemoteFile]]:
    """Without a connection: the cache's folder of a repository, and what a pipeline needs of it.

    Raises:
        LoaderError: it was never downloaded, or not for this pipeline.
    """
    import huggingface_hub as hub

    try:
        folder = Path(hub.snapshot_download(repo, local_files_only=True, allow_patterns=["*"]))
    except (hub.errors.LocalEntryNotFoundError, hub.errors.HFValidationError, OSError):
        raise LoaderError(
            f"{repo} is not in the cache ({hub.constants.HF_HUB_CACHE}), and offline nothing is downloaded; "
            f"run `ltx download {repo}` with a connection once"
        ) from None
    files = [
        RemoteFile(path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return folder, needed_files(f"the cached part of {repo}", files, pipeline, fp8=fp8)


def _snapshot(path: Path, name: str) -> Path:
    """The folder that a repository's names start from, from the place of one file."""
    return path.parents[name.count("/")]


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    """The hub's errors as sentences with what to do."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{repo}"
    try:
        yield
    except errors.GatedRepoError:
        raise LoaderError(
            f"{repo} asks for consent to its licence: log in and accept it at {page}, then give this machine "
            "your token (`hf auth login`, or HF_TOKEN)"
        ) from None
    except errors.RepositoryNotFoundError:
        raise LoaderError(
            f"there is no path and no repository {repo}, or it is private; look at {page}, and log in "
            "(`hf auth login`) if it is yours"
        ) from None
    except errors.HFValidationError:
        raise LoaderError(f"{repo!r} is no name of a repository; expected owner/name") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise LoaderError(_unreachable(repo, "no connection")) from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise LoaderError(
                f"the hub refuses {repo} ({status}): accept its licence at {page} and log in "
                "(`hf auth login`)"
            ) from None
        raise LoaderError(_unreachable(repo, str(error).splitlines()[0])) from None
    except Exception as error:
        if not type(error).__module__.startswith(NETWORK) and not isinstance(error, ConnectionError):
            raise
        raise LoaderError(_unreachable(repo, str(error) or type(error).__name__)) from None


def _unreachable(repo: str, why: str) -> str:
    return (
        f"{repo} is no path, and cannot be reached on huggingface.co ({why}); check the connection and run "
        "it again, which resumes where it stopped, or use --offline with what is in the cache"
    )
