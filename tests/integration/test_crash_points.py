"""kill -9 of the gate between verdict and confirmation, at every named point and at random times."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks._crash_lane import Lane, Outcome
from benchmarks.crash import at_random, away_and_before, durable, media, write_loop
from benchmarks.servers import nginx_rtmp
from edge import crash_points
from edge.cli.demo_footage import demo_footage
from edge.errors import NotFound
from tests.conftest import require

EDGE = Path(crash_points.__file__).parent
PATIENCE = 4
"""Extra trials at a point that was not reached."""
CALL = re.compile(r'crash_point\("([a-z_.]+)"\)')


def test_every_point_is_in_the_list_and_once_in_the_code() -> None:
    sources = [
        path.read_text(encoding="utf-8") for path in EDGE.rglob("*.py") if path.name != "crash_points.py"
    ]
    found = [name for source in sources for name in CALL.findall(source)]
    assert sorted(found) == sorted(crash_points.POINTS)


@pytest.mark.parametrize("spec", ["nowhere", "cut.durable:0", "cut.durable+x", "cut.durable:1:2"])
def test_a_point_that_does_not_exist_is_a_clear_error(spec: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import edge.crash_points"],
        env={**os.environ, crash_points.VARIABLE: spec},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert f"{crash_points.VARIABLE}: NAME[:NTH][+MS], with a NAME of: cut.verdict" in ended.stderr


@pytest.fixture(scope="module")
def programme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        calm = demo_footage(None, None).calm[0].path
    except NotFound as error:
        require(False, str(error))
        raise
    path = tmp_path_factory.mktemp("programme") / "loop.flv"
    write_loop(path, calm)
    return path


def some(wanted: int) -> Iterator[bool]:
    yield from [True] * wanted
    while True:
        yield False


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_block_and_one_strike_outlive_every_crash_and_the_stream_is_cut(
    programme: Path, tmp_path: Path
) -> None:
    """``Lane.trial`` raises if one of these does not hold."""
    require(nginx_rtmp.available(), "nginx with libnginx-mod-rtmp, or ffmpeg,")
    pushed = media()

    def caller(name: str, trials: Callable[[Lane], Iterator[Outcome]]) -> set[str]:
        with Lane(tmp_path / name, pushed, programme, nginx=False) as lane:
            outcomes = [outcome.point for outcome in trials(lane) if outcome.crashed]
            reached = {point for outcome in outcomes for point in outcome.split(", ")}
            missed = [point for point in crash_points.DURABLE if trials is durable and point not in reached]
            # On a busy machine the cut is over before everything around it is written.
            for point in missed * PATIENCE:
                if point not in reached and lane.trial(point).crashed:
                    reached.add(point)
            lane.kill()
            assert lane.audit() > 0
            return reached

    def nginx() -> int:
        with Lane(tmp_path / "nginx", pushed, programme, nginx=True) as lane:
            for point in ("cut.verdict", "ledger.committed", "cutter.asked"):
                # A write that a busy ledger leaves to the journal does not pass this point of the ledger.
                assert any(lane.trial(point).crashed for _ in range(PATIENCE)), point
            more = some(2)
            crashed = sum(
                outcome.crashed for outcome in at_random(lane, random.Random(7), lambda: next(more))
            )
            lane.kill()
            assert lane.audit() > 0
            return crashed

    with ThreadPoolExecutor(3) as pool:
        lanes = (
            pool.submit(caller, "durable", durable),
            pool.submit(caller, "away", away_and_before),
        )
        running = pool.submit(nginx)
        reached = {point for lane in lanes for point in lane.result()}
        running.result()
    assert reached == set(crash_points.POINTS), "a point was not reached"
