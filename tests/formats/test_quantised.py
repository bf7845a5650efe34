"""What quantisation takes away from the transformer's velocity, and the table that says so."""

import pytest
from ltx_loaders import QuantizationPolicy

from tests.formats import measure, quantised


@pytest.mark.parametrize("choice", quantised.LIMITS)
@pytest.mark.parametrize("name", [*measure.GENERATIONS, "pocket", "random"])
def test_errors_of_the_velocity(name: str, choice: str) -> None:
    builders = {
        "pocket": quantised.pocket,
        "random": lambda: quantised.random_network(4, 32, 4),
        **{generation: quantised.tiny(generation) for generation in measure.GENERATIONS},
    }
    error = quantised.velocity_error(builders[name], QuantizationPolicy.of(choice, 32))
    assert error <= quantised.LIMITS[choice]


def test_the_table_of_the_documentation_has_these_rows() -> None:
    text = quantised.DOCUMENT.read_text(encoding="utf-8").split(quantised.BEGIN)[1].split(quantised.END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert rows[0] == ["-q", *quantised.COLUMNS], "run python -m tests.formats.quantised"
    assert [cells[0] for cells in rows[2:]] == list(quantised.LIMITS)
    for choice, gigabytes, *errors, decibels in rows[2:]:
        assert all(float(error.removesuffix("%")) <= 100 * quantised.LIMITS[choice] for error in errors)
        assert float(gigabytes) < 24
        assert float(decibels) > 20
