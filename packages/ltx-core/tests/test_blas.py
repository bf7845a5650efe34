"""OpenBLAS and its threads, in processes of their own: a library is loaded once."""

import os
import subprocess
import sys

import pytest
from ltx_core.blas import STATUS

CODE = """
import ctypes
import ltx_core
from ltx_core.blas import STATUS, limit_threads
library = ctypes.CDLL(STATUS.removeprefix("loaded: "))
library.openblas_set_num_threads(2)
limit_threads(5)
two = library.openblas_get_num_threads()
limit_threads(1)
print(two, library.openblas_get_num_threads())
"""


@pytest.mark.skipif(
    not STATUS.startswith("loaded: ") or os.cpu_count() == 1, reason="no OpenBLAS, or one processor"
)
@pytest.mark.parametrize(("variable", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
def test_fewer_threads_unless_the_environment_says_how_many(variable: dict[str, str], threads: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment | variable, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", threads]


def test_nothing_happens_without_it() -> None:
    code = "from ltx_core.blas import STATUS, limit_threads; limit_threads(1); print(STATUS)"
    environment = os.environ | {"LTX_OPENBLAS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("not loaded")
