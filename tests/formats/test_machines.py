"""The README's table of Macs is what the planner says."""

from pathlib import Path

from tests.formats import machines


def test_the_table_is_up_to_date(tmp_path: Path) -> None:
    rows = machines.rows(tmp_path)
    for mac, (small, _), _ in rows:
        assert small <= mac.usable, mac
    assert machines.table(rows) in machines.DOCUMENT.read_text(encoding="utf-8")
