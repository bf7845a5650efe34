"""`ltx`, or Python (-c), with small things in the place of large ones: run by the shims of `newcomer`.

What differs: the hub is a folder with small files under published names, clips are at most 64 pixels wide and
9 frames long and guided in 2 steps, and weights are quantised in groups of 32, for the layers of the small
checkpoints are no wider.
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SMALL = {"height": 64, "width": 64, "num_frames": 9}


def play_hub(folder: Path) -> None:
    """`huggingface_hub` on a folder of folders."""
    import huggingface_hub as hub

    def info(repo: str) -> SimpleNamespace:
        paths = [path for path in sorted((folder / repo).rglob("*")) if path.is_file()]
        listed = [
            SimpleNamespace(rfilename=path.relative_to(folder / repo).as_posix(), size=path.stat().st_size)
            for path in paths
        ]
        return SimpleNamespace(siblings=listed, sha="0")

    class Api(hub.HfApi):
        def model_info(self, repo_id: str, **_: Any) -> Any:
            return info(repo_id)

    def fetch(repo: str, name: str, **_: Any) -> str:
        """Only what was asked for lies in the cache."""
        path = Path.cwd() / ".cache" / repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.symlink_to((folder / repo / name).resolve())
        return str(path)

    hub.HfApi = Api  # type: ignore[misc]
    hub.hf_hub_download = fetch
    hub.snapshot_download = lambda repo, **_: str(folder / repo)


def shrink() -> None:
    """Small clips, and few steps of guidance, whatever a config is given."""
    from ltx_loaders import policy
    from ltx_pipelines.config import ClipConfig

    check = ClipConfig.__post_init__

    def small(self: ClipConfig) -> None:
        for name, value in SMALL.items():
            if (given := getattr(self, name)) is not None and given > value:
                object.__setattr__(self, name, value)
        if hasattr(self, "negative_prompt"):
            object.__setattr__(self, "num_inference_steps", 2)
        check(self)

    ClipConfig.__post_init__ = small  # type: ignore[method-assign]
    policy.DEFAULT_GROUPS["affine"] = 32


def main() -> None:
    """Run what was given."""
    import ltx_core  # noqa: F401  (BLAS before mlx)

    shrink()
    play_hub(Path(os.environ["LTX_HUB_OF_THE_TEST"]))
    if sys.argv[1:2] == ["-c"]:
        exec(compile(sys.argv[2], "example", "exec"), {"__name__": "__main__"})
        return
    from ltx_cli.main import main as ltx

    ltx(sys.argv[1:])


if __name__ == "__main__":
    main()
