"""The measurement: the world is right about itself, and wrong clips are found out."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import ltx_core  # noqa: F401  (loads the BLAS before MLX)
import numpy as np
import pytest
from ltx_core import ConfigError
from ltx_pocket.evaluate.command import evaluate
from ltx_pocket.evaluate.judge import NOTHING, Case, Made, Pair, assign, compare, judge, unseen
from ltx_pocket.evaluate.makers import PipelineName, Size, World
from ltx_pocket.evaluate.sheet import ContactSheet, describe
from ltx_pocket.evaluate.tally import tally
from ltx_pocket.world import Scene, Thing
from ltx_pocket.world.captions import PARTS
from ltx_pocket.world.detectors import Clip, Heard, Seen, Track

from tests.untrained_pocket import write_untrained

SIZE = Size(64, 64)
BALL = Thing("circle", "red", "big", "bounce", 0.5, 0.62, 0.4, 0.7, 0.4)
SCENE = Scene((BALL,), "sea", "pulse")


def asked(scene: Scene, *parts: str) -> Case:
    return Case(scene, "whatever", frozenset(parts or PARTS), 0)


def shown(scene: Scene) -> Made:
    return World(SIZE)(asked(scene))


def test_the_worlds_own_clips_are_right() -> None:
    cases = [replace(case, parts=frozenset(PARTS)) for case in islice(unseen(0), 5)]
    world = World(Size(128, 128))
    summary = tally([judge(case, world(case)) for case in cases])
    assert [measure["percent"] for measure in summary["measures"].values()] == [100.0] * 5
    assert summary["number_of_things"]["percent"] == 100.0
    assert summary["measures"]["colour"]["judged"] == 5


@pytest.mark.parametrize(
    ("measure", "change"),
    [
        ("colour", lambda: replace(SCENE, things=(replace(BALL, colour="green"),))),
        ("shape", lambda: replace(SCENE, things=(replace(BALL, shape="star"),))),
        ("motion", lambda: replace(SCENE, things=(replace(BALL, motion="still"),))),
        ("background", lambda: replace(SCENE, background="black")),
        ("sound", lambda: replace(SCENE, sound="high")),
    ],
)
def test_what_is_wrong_is_found_out_and_nothing_else(measure: str, change: Callable[[], Scene]) -> None:
    verdict = judge(asked(SCENE), shown(change()))
    assert [name for name in verdict.pairs if not verdict.right(name)] == [measure]
    in_time = verdict.sync is not None and verdict.sync < 0.05
    assert in_time == (measure not in ("motion", "sound"))
    assert f"for {getattr(SCENE, measure, None) or getattr(BALL, measure)}" in describe(verdict)


def test_only_what_the_prompt_mentions_is_judged() -> None:
    other = Scene((replace(BALL, colour="blue", motion="still"),), "night", "high")
    verdict = judge(asked(SCENE, "shape"), shown(other))
    assert verdict.pairs == {"shape": (Pair("circle", "circle"),)}
    assert verdict.sync is None


def test_late_pulses_are_measured() -> None:
    made = shown(SCENE)
    late = made._replace(waveform=np.roll(made.waveform, made.sampling_rate // 5, axis=1))
    verdict = judge(asked(SCENE), late)
    assert verdict.sync == pytest.approx(0.2, abs=0.03)
    silent = judge(asked(SCENE), made._replace(waveform=np.zeros_like(made.waveform)))
    assert silent.sync == math.inf
    sync = tally([verdict, silent, judge(asked(SCENE), made)])["sync"]
    assert (sync["asked"], sync["measured"], sync["in_time"]["right"]) == (3, 2, 1)
    assert 80 < sync["mean_ms"] < 120


def seen(colour: str, shape: str, motion: str = "still") -> Seen:
    return Seen(shape, colour, motion, Track(np.zeros(0), np.zeros(0), np.zeros(0), 0.0))


def test_two_things_are_told_apart_by_what_they_are_not_by_their_order() -> None:
    first = Thing("circle", "red", "small", "right", 0.3, 0.3, 0.4)
    second = Thing("star", "blue", "small", "still", 0.5, 0.7)
    case = asked(Scene((first, second), "black", "silence"))
    heard = Heard("silence", 0.0, 0.0, (), 0.5)

    def verdict(*things: Seen) -> dict[str, tuple[Pair, ...]]:
        return compare(case, Clip("black", things), heard, 16.0).pairs

    ball, star = seen("red", "circle", "right"), seen("blue", "star")
    for order in ((ball, star), (star, ball)):
        assert all(pair.wanted == pair.found for pairs in verdict(*order).values() for pair in pairs)
    # The second one's motion is nobody's business.
    assert verdict(ball, seen("blue", "star", "spin")) == verdict(ball, star)
    # Colours that have changed places are wrong, whichever way one looks at it.
    swapped = verdict(seen("blue", "circle", "right"), seen("red", "star"))
    assert any(pair.wanted != pair.found for pair in swapped["colour"])
    assert verdict(star)["colour"] == (Pair("red", NOTHING), Pair("blue", "blue"))
    assert verdict()["shape"] == (Pair("circle", NOTHING), Pair("star", NOTHING))


def test_of_too_many_things_those_that_are_seen_most_count() -> None:
    ball, speck = seen("red", "circle"), seen("blue", "star")
    assert assign([{"colour": "blue"}], [ball, speck]) == (ball,)


def test_unseen_prompts_are_the_same_every_time() -> None:
    first, again = ([*islice(unseen(3), 4)] for _ in range(2))
    assert first == again
    assert first != [*islice(unseen(4), 4)]
    assert len({case.seed for case in first}) == 4


def test_a_sheet_shows_the_first_clips_and_tells_of_all(tmp_path: Path) -> None:
    sheet = ContactSheet(tmp_path / "sheet.png")
    made = shown(SCENE)
    verdict = judge(asked(SCENE), made)
    for _ in range(18):
        sheet.add(asked(SCENE), made, verdict)
    sheet.write()
    assert len(sheet.rows) == 16
    assert (tmp_path / "sheet.txt").read_text().count("whatever") == 18


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_untrained(tmp_path_factory.mktemp("model"))


def test_the_whole_measurement_on_an_untrained_model(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(
        out=tmp_path,
        pipeline=[PipelineName.distilled, PipelineName.world],
        count=1,
        few=1,
        guidance_sweep="1,3",
        steps=2,
        height=128,
        width=128,
        num_frames=9,
        weights=model,
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["prompts"]) == set(report["bounce"]) == set(report["image"]) == {"distilled", "world"}
    assert set(report["guidance"]) == {"1", "3"}
    # Two pulses do not fit into half a second, but what can be seen is there.
    assert report["prompts"]["world"]["measures"]["shape"]["percent"] == 100.0
    assert report["image"]["world"]["first_frame"]["mean"] == 99.0
    assert report["bounce"]["distilled"]["sync"]["asked"] == 1
    assert 0 < report["vae"]["autoencoders"]["psnr"]["mean"] < 30
    assert report["prompts"]["distilled"]["measures"]["colour"]["target"] == 95.0
    for name in ("prompts-distilled", "bounce-world", "vae", "guidance-3", "image-distilled"):
        assert (tmp_path / f"{name}.png").stat().st_size > 100
        assert (tmp_path / f"{name}.txt").read_text().startswith(" 1. ")
    assert "Guidance of the undistilled model" in capsys.readouterr().out


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sharpness is unknown; there are prompts, bounce"):
        evaluate(out=tmp_path, part="prompts,sharpness")
    with pytest.raises(ConfigError, match="'1;2' is not a list of numbers"):
        evaluate(out=tmp_path, guidance_sweep="1;2")
    with pytest.raises(ConfigError, match="at least one clip"):
        evaluate(out=tmp_path, count=0)
