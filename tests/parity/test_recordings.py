"""What is packed in tests/fixtures: it covers everything, and what is broken in it, or in a run, is found."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tests.parity.test_parity  # noqa: F401  (registers)
from tests.parity import e2e, harness
from tests.parity.test_e2e import test_run as judge_run
from tests.recordings import CASES, PACKED, RUNS, pack, places, unpacked

ROOT = Path(__file__).parents[2]
SHORT = "retake_distilled"


def changed_run(tmp_path: Path, **about: str) -> Path:
    """A copy of a packed run whose `case.json` says something else."""
    source, target = unpacked(RUNS) / "ltx-2.3" / SHORT, tmp_path / "ltx-2.3" / SHORT
    target.mkdir(parents=True)
    for entry in source.parent.iterdir():
        if entry.name != SHORT:
            (target.parent / entry.name).symlink_to(entry)
    values = json.loads((source / "case.json").read_text())
    (target / "case.json").write_text(json.dumps(values | about))
    (target / "tensors.safetensors").symlink_to(source / "tensors.safetensors")
    return target


def change_tensors(run: Path, **tensors: np.ndarray) -> None:
    path = run / "tensors.safetensors"
    values = load_file(path)
    path.unlink()
    save_file(values | {name.replace("__", "."): value for name, value in tensors.items()}, path)


def test_every_pipeline_and_every_component_is_recorded() -> None:
    runs = [e2e.Run(path) for path in e2e.find_runs(unpacked(RUNS))]
    assert {run.about["pipeline"] for run in runs} == set(e2e.RUNNERS)
    cases = {path.stem for path in harness.find_cases(unpacked(CASES))}
    covered = {covered.pattern for covered in map(harness.find_runner, cases) if covered is not None}
    # This one release 1.2.0 has, but no pipeline of it.
    assert covered | {"euler_ancestral_step"} == {entry.pattern for entry in harness.REGISTRY}


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in PACKED.rglob("*") if path.is_file()) <= 10e6


def test_a_changed_output_of_a_run_fails(tmp_path: Path) -> None:
    run = changed_run(tmp_path)
    latent = load_file(run / "tensors.safetensors")["out.video_latent"]
    change_tensors(run, out__video_latent=latent * np.float32(1.01), out__audio_latent=np.zeros((1, 2)))
    with pytest.raises(AssertionError) as error:
        judge_run(run, [])
    said = str(error.value)
    assert "out.video_latent: relative L2 error 9" in said
    assert "out.audio_latent: shape" in said
    assert "out.pixels_stride3" not in said


def test_other_noise_fails(tmp_path: Path) -> None:
    run = changed_run(tmp_path)
    noise = load_file(run / "tensors.safetensors")["noise.00"]
    change_tensors(run, noise__00=noise[:, ::-1].copy())
    with pytest.raises(AssertionError, match=r"out\.video_latent: relative L2 error"):
        judge_run(run, [])


def test_a_run_of_an_unknown_pipeline_fails(tmp_path: Path) -> None:
    run = changed_run(tmp_path, pipeline="TimeTravelPipeline")
    with pytest.raises(pytest.fail.Exception, match="no pipeline of ours stands for TimeTravelPipeline"):
        judge_run(run, [])


@pytest.mark.parametrize("keep", [0, 0.001, 0.5, 0.9999])
def test_a_cut_archive_is_refused(keep: float, tmp_path: Path) -> None:
    archive = tmp_path / "cut.tar.xz"
    content = CASES.read_bytes()
    archive.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(pytest.UsageError, match=r"cut\.tar\.xz is damaged: "):
        unpacked(archive)


@pytest.mark.parametrize("place", [0, 0.2, 0.7])
def test_a_changed_archive_is_refused(place: float, tmp_path: Path) -> None:
    archive = tmp_path / "changed.tar.xz"
    content = bytearray(CASES.read_bytes())
    content[int(len(content) * place)] ^= 1
    archive.write_bytes(content)
    with pytest.raises(pytest.UsageError, match=r"changed\.tar\.xz is damaged: "):
        unpacked(archive)


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match=r"away\.tar\.xz is missing"):
        unpacked(tmp_path / "away.tar.xz")


def test_packing_keeps_everything(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "b" / "empty").mkdir(parents=True)
    (folder / "b" / "bytes").write_bytes(bytes(range(256)))
    (folder / "a").symlink_to("b/bytes")
    first, second = tmp_path / "1.tar.xz", tmp_path / "2.tar.xz"
    pack(folder, first)
    (folder / "b" / "bytes").touch()
    pack(folder, second)
    assert first.read_bytes() == second.read_bytes()
    assert places(tmp_path) == [tmp_path, unpacked(first), unpacked(second)]
    made = unpacked(second)
    assert [path.relative_to(made).as_posix() for path in sorted(made.rglob("*"))] == [
        "a",
        "b",
        "b/bytes",
        "b/empty",
    ]
    assert (made / "a").read_bytes() == bytes(range(256))


def parity(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_directory_without_cases_fails(tmp_path: Path) -> None:
    for file in ("test_e2e.py", "test_parity.py"):
        ran = parity(f"tests/parity/{file}", "--fixtures", tmp_path)
        assert ran.returncode != 0
        assert f"nothing recorded below {tmp_path}" in ran.stdout + ran.stderr


def test_a_directory_with_a_damaged_archive_fails(tmp_path: Path) -> None:
    (tmp_path / "cases.tar.xz").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    ran = parity("tests/parity/test_parity.py", "--fixtures", tmp_path)
    assert ran.returncode != 0
    assert "cases.tar.xz is damaged: " in ran.stdout + ran.stderr
