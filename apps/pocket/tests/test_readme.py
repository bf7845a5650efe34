"""The README's example runs."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_example() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, object] = {}
    exec(compile(code, str(README), "exec"), names)
    for name in ("frames", "sound"):
        shape = re.search(rf"^{name} = .*# (\(.*?\)) in", code, re.M)
        assert shape is not None
        assert str(names[name].shape) == shape.group(1)  # type: ignore[attr-defined]
