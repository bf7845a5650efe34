"""The page that promises: every row names tests that exist, every test is in a row, codes are those of the
command."""

import ast
import re
from pathlib import Path

from ltx_cli.exit_codes import MEANINGS, Exit

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "reliability.md").read_text(encoding="utf-8")
FILES = ("test_disk.py", "test_faults.py", "test_interrupts.py")
KILLED = 137
"""128 and SIGKILL: the shell's, not the command's."""


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = re.split(r"^## ", PAGE, flags=re.M)
    text = next(part for part in section if part.startswith(heading + "\n"))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_fault_table_is_what_the_tests_run() -> None:
    tests = {
        node.name
        for name in FILES
        for node in ast.parse((HERE / name).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    table = rows("Faults")
    named = [name for row in table for name in re.findall(r"`(test_\w+)`", row[-1])]
    assert sorted(named) == sorted(tests)
    codes = {code.value for code in Exit} | {KILLED}
    for row in table:
        assert len(row) == 6, row
        assert all(row), row
        assert int(row[4]) in codes, row


def test_the_exit_codes_are_those_of_the_command() -> None:
    assert [(int(code), meaning) for code, meaning in rows("Exit codes")] == [
        (code.value, meaning) for code, meaning in MEANINGS.items()
    ]


def test_the_codes_in_the_fault_table_are_those_that_the_tests_expect() -> None:
    """Each test compares a status with the code of its row, or with 0."""
    for row in rows("Faults"):
        (name,) = re.findall(r"`(test_\w+)`", row[-1])
        source = next(
            ast.unparse(node)
            for file in FILES
            for node in ast.parse((HERE / file).read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef) and node.name == name
        )
        helper = "check_loss(" in source and row[4] == "3"
        killed = "== -number" in source and row[4] == str(KILLED)
        assert re.search(rf"== \[?{row[4]}\b", source) or helper or killed, name
