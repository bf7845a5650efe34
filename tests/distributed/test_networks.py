"""Two processes compute what one does."""

import json

import pytest

from tests.distributed.processes import run_together

Results = dict[str, float | str]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    """What `networks.py` prints, for each process."""
    ran = run_together(tmp_path_factory.mktemp("together"), [["-m", "tests.distributed.networks"]] * 2)
    for each in ran:
        assert each.status == 0, each.err
    return [json.loads(each.out) for each in ran]


@pytest.mark.parametrize("name", ["plain", "gated", "interleaved", "quantised", "fp8"])
def test_a_divided_network_predicts_what_the_whole_one_does(results: list[Results], name: str) -> None:
    for each in results:
        assert float(each[name]) < 1e-5


@pytest.mark.parametrize("name", ["plain", "gated", "masked", "stacked passes"])
def test_divided_tokens_are_predicted_as_all_at_once(results: list[Results], name: str) -> None:
    for each in results:
        assert float(each[f"tokens, {name}"]) < 1e-5


@pytest.mark.parametrize("passes", ["4 passes", "3 passes", "1 pass", "stacked passes", "every other step"])
def test_divided_passes_give_the_same_guided_steps(results: list[Results], passes: str) -> None:
    for each in results:
        assert float(each[f"split, {passes}"]) < 1e-5


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("heads", "the 3 heads of transformer_blocks.0."),
        ("heads", "cannot be divided among 2 processes; start as many as divide 3"),
        ("groups", "to_out.0 cannot be divided among 2 processes: groups of quantised weights in a row: 1"),
    ],
)
def test_what_cannot_be_divided_is_told(results: list[Results], case: str, told: str) -> None:
    for each in results:
        assert told in str(each[case])
