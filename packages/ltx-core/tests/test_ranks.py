"""Several processes: who does what, and whether there are others. What they tell each other is tested with
real processes, in the repository's tests/distributed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ltx_core.errors import ConfigError
from ltx_core.ranks import BACKENDS, join, own_items


@dataclass(frozen=True)
class Group:
    """What is asked of `mlx.core.distributed.Group`."""

    own: int
    count: int

    def rank(self) -> int:
        return self.own

    def size(self) -> int:
        return self.count


@given(st.integers(1, 6), st.integers(1, 6))
def test_every_item_has_its_process(count: int, processes: int) -> None:
    items = list(range(count))
    groups: list[Any] = [Group(rank, processes) for rank in range(processes)]
    shares = [list(own_items(items, group)) for group in groups]
    # As `gather_items` looks for them.
    for item in items:
        assert shares[item % processes][item // processes] == item
    assert max(map(len, shares)) == -(-count // processes)
    assert min(map(len, shares)) >= 1


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One in which no launcher has said anything."""
    for name in ("MLX_RANK", "OMPI_COMM_WORLD_RANK", *BACKENDS):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_process_that_was_started_by_hand_is_alone(environment: pytest.MonkeyPatch) -> None:
    assert join() is None
    environment.setenv("MLX_HOSTFILE", "hosts.json")
    assert join() is None


def test_a_launcher_of_one_process(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # As `mlx.launch -n 1` does it.
    (tmp_path / "hosts").write_text("\n")
    environment.setenv("MLX_RANK", "0")
    environment.setenv("MLX_HOSTFILE", str(tmp_path / "hosts"))
    assert join() is None


@pytest.mark.parametrize("content", ["no list", "[]", '[["127.0.0.1:1"]]'])
def test_what_keeps_a_process_from_the_others_is_told(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    (tmp_path / "hosts").write_text(content)
    environment.setenv("MLX_RANK", "1")
    environment.setenv("MLX_HOSTFILE", str(tmp_path / "hosts"))
    with pytest.raises(ConfigError, match="cannot reach the others by ring"):
        join()
