"""The example of the README."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_example_prints_what_it_says() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    video, audio, operations = map(float, ran.stdout.split())
    assert (video, audio) == (6144, 126)
    assert f"{operations:.1f} (TFLOP)" in code
