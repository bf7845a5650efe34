"""Two modules of mlx-lm, without the rest of it."""

import subprocess
import sys

import pytest

FROM_PARTS = """
import sys
from ltx_models.text_encoder.mlx_lm_parts import mlx_lm_parts
"""
# Both are one package's: the layers take the cache that they were written for.
SAME = "assert mlx_lm_parts() is mlx_lm_parts() and mlx_lm_parts()[0].KVCache is mlx_lm_parts()[1].KVCache\n"


@pytest.mark.parametrize(
    "code",
    [
        "mlx_lm_parts()\nassert not {'transformers', 'mlx_lm', 'mlx_lm.models'} & set(sys.modules)",
        "mlx_lm_parts()\nimport mlx_lm.models.gemma3_text\nassert mlx_lm.load and mlx_lm.models.gemma3_text",
        "import mlx_lm\nassert mlx_lm_parts()[0] is mlx_lm.models.gemma3_text\nassert mlx_lm.load",
    ],
)
def test_the_rest_is_neither_needed_nor_in_the_way(code: str) -> None:
    command = [sys.executable, "-c", FROM_PARTS + code + "\n" + SAME]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
