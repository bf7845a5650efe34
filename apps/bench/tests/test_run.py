"""Runs of benchmarks, at tiny sizes."""

import json
import sys
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import mlx.core as mx
import pytest
from ltx_bench import peers as peers_module
from ltx_bench.commands import app
from ltx_bench.items import choose, list_items
from ltx_bench.machine import Machine
from ltx_bench.measure import Repetitions, measure
from ltx_bench.peers import IMPLEMENTATIONS, Peers
from ltx_bench.results import OURS, Record, Results
from ltx_bench.runner import Runner
from ltx_bench.works import Setup
from typer.testing import CliRunner

ONCE = Repetitions(warmup=0, count=1)
MACHINE = Machine("x", "cpu", "0", "float32", 8, 1e11, 1e10, {})

# Answers as peer/serve.py does, without torch.
STUB = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    answer = {"asked": request["ask"]}
    if request["ask"] == "measure":
        if request["kind"] == "vocoder":
            sys.exit(3)
        answer = {
            "implementation": request["implementation"] + " 1.0", "seconds": [0.5], "peak": 7, "weights": 5,
            "flops": 3, "sizes": request["sizes"], "layers": request["config"]["transformer"]["num_layers"],
        }
    print(json.dumps(answer), flush=True)
"""


def run(path: Path, *patterns: str, peers: Peers | None = None, seconds: float = 1e9) -> list[Record]:
    runner = Runner(Results(path), Setup("tiny"), MACHINE, ONCE, peers, seconds)
    left = runner.measure(list(choose(list_items("tiny"), patterns)))
    records: list[Record] = json.loads(path.read_text())["records"]
    assert len(left) + len({record["item"] for record in records}) == len(
        list(choose(list_items("tiny"), patterns))
    )
    return records


def test_every_kind_of_item(tmp_path: Path) -> None:
    records = run(
        tmp_path / "results.json", "transformer/2.0/*", "guided/2.3/*", "video-*/2.0/64x64x9", "gemma/*",
        "connectors/2.3/*", "audio-decode/2.0/*", "vocoder/2.0/*", "upscale/2.0/*", "low-ram/*",
    )  # fmt: skip
    for record in records:
        assert "error" not in record, record
        assert record["implementation"] == OURS
        assert len(record["seconds"]) == 1
        assert record["peak"] >= record["before"] > 0
        assert record["peak"] > record["weights"] > 0
        assert record["flops"] > 0
    quantised = {
        record["variant"]: record["weights"] for record in records if record["kind"] == "transformer"
    }
    assert quantised["q8"] < 0.7 * quantised[""]
    (streamed,) = (record for record in records if record["kind"] == "low-ram")
    assert streamed["read"] > streamed["weights"]
    assert not Path(streamed["folder"]).exists()


def test_a_whole_generation(tmp_path: Path) -> None:
    (record,) = run(tmp_path / "results.json", "distilled/2.0/*")
    assert "error" not in record, record
    stages = record["stages"]
    names = ["encode prompt", "stage 1", "upsample", "stage 2", "decode video", "decode audio", "write"]
    assert list(stages) == names
    assert sum(stages.values()) == pytest.approx(record["seconds"][0], rel=0.2)


def test_an_item_that_fails_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(setup: Setup, item: object) -> None:
        raise MemoryError("too large")

    monkeypatch.setitem(sys.modules["ltx_bench.runner"].WORKS, "gemma", fail)
    records = run(tmp_path / "results.json", "gemma/*", "audio-decode/2.0/*")
    assert records[0]["error"] == "MemoryError: too large"
    assert "error" not in records[1]


def test_no_item_begins_after_the_time(tmp_path: Path) -> None:
    assert run(tmp_path / "results.json", "transformer/*", seconds=-1.0) == []


def test_peers_are_measured_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "stub.py"
    stub.write_text(STUB)
    monkeypatch.setattr(peers_module, "SCRIPT", stub)
    with Peers(sys.executable, [tmp_path]) as peers:
        patterns = ("transformer/2.0/64x64x9", "transformer/2.0/*/q8", "video-encode/2.0/*")
        records = run(tmp_path / "results.json", *patterns, "vocoder/2.0/*", "gemma/*", peers=peers)
    assert peers.process.returncode == 3
    found = {(record["item"], record["implementation"]): record for record in records}
    beside = found["transformer/2.0/64x64x9", "ltx-core 1.0"]
    assert (beside["seconds"], beside["layers"], beside["sizes"]["video_tokens"]) == ([0.5], 2, 8)
    assert {beside["run"]} == {record["run"] for record in records}
    assert "no variant q8" in found["transformer/2.0/64x64x9/q8", "ltx-core"]["error"]
    assert ("video-encode/2.0/64x64x9", "diffusers 1.0") in found
    # A peer that dies costs only what it was to measure.
    assert "status 3" in found["vocoder/2.0/9", "ltx-core"]["error"]
    assert "status 3" in found["gemma/2.0/128", "transformers"]["error"]
    assert "error" not in found["gemma/2.0/128", OURS]


def test_only_the_peers_that_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "stub.py"
    stub.write_text(STUB)
    monkeypatch.setattr(peers_module, "SCRIPT", stub)
    with Peers(sys.executable, only=["diffusers"]) as peers:
        assert peers.implementations("video-decode") == ["diffusers"]
        assert peers.implementations("transformer") == []
    assert {kind for kind, names in IMPLEMENTATIONS.items() if "ltx-core" in names} > {
        "transformer",
        "guided",
    }


def test_measuring() -> None:
    runs: list[int] = []

    def work() -> mx.array:
        runs.append(1)
        return mx.zeros((1000, 250)) + len(runs)

    measured = measure(work, Repetitions(warmup=2, count=3))
    assert (len(runs), len(measured.seconds)) == (5, 3)
    assert measured.peak - measured.before >= 10**6
    assert min(measured.seconds) <= measured.median <= max(measured.seconds)
    # One run counts in any case, and what is excluded is not counted.
    clock = iter(range(0, 1000, 100))
    measured = measure(work, Repetitions(warmup=0, count=3, seconds=-1.0), lambda: next(clock))
    assert len(measured.seconds) == 1
    assert measured.median < -99


def test_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    arguments = ["ranks", str(path), "--scale", "tiny", "--only", "*/cfg/shard/2", "--repeats", "1"]
    ran = CliRunner().invoke(app, [*arguments, "--warmup", "1"])
    assert ran.exit_code == 0, ran.output
    together, alone = json.loads(path.read_text())["records"]
    assert (together["implementation"], together["devices"]) == (OURS, 2)
    assert (alone["implementation"], alone["devices"]) == ("one device", 1)
    assert together["weights"] < 0.8 * alone["weights"]


def test_the_commands(tmp_path: Path) -> None:
    path, page = tmp_path / "results.json", tmp_path / "page.md"
    command = CliRunner()
    only = ["--only", "video-decode/2.0/64*", "--only", "audio-decode/*"]
    listed = command.invoke(app, ["list", "--scale", "tiny", *only])
    assert listed.output.split() == [
        "video-decode/2.0/64x64x9", "video-decode/2.0/64x64x17", "audio-decode/2.0/9", "audio-decode/2.3/9",
    ]  # fmt: skip
    quick = ["--scale", "tiny", "--repeats", "1", "--warmup", "1"]
    ran = command.invoke(app, ["run", str(path), *only, *quick])
    assert ran.exit_code == 0, ran.output
    assert "audio-decode/2.3/9" in ran.output
    assert "audio-decode/2.3/9" in command.invoke(app, ["table", str(path)]).output
    marks = [f"<!-- ltx bench {what}: {mark} -->" for what in ("table", "plot") for mark in ("begin", "end")]
    page.write_text("\n".join(marks))
    assert command.invoke(app, ["table", str(path), "--write", str(page)]).exit_code == 0
    assert "| video-decode/2.0/64x64x17 |" in page.read_text()
    folder = tmp_path / "pictures"
    folder.mkdir()
    drawn = command.invoke(app, ["plot", str(path), "--folder", str(folder), "--write", str(page)])
    assert drawn.exit_code == 0
    assert (folder / "video-decode-time.svg").exists()
    assert "(pictures/video-decode-time.svg)" in page.read_text()
    assert "| video-decode/2.0/64x64x17 |" in page.read_text()
