"""The README's example runs, and prints what it says."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {})
    counted, shape = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ tensors, \d+ parameters", counted)
    assert shape == "(1, 4, 2, 6, 10)"
