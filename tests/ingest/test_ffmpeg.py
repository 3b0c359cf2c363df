"""The ffmpeg program as a publisher: bursts at 4 Mbit/s, and a stream that has run for hours."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import pytest

from edge.ingest import Closed
from tests.conftest import require

if TYPE_CHECKING:
    from tests.ingest.conftest import ScriptedGate, StartIngest

pytestmark = pytest.mark.integration


PATIENT: Final = {"admit_timeout_s": 20.0, "watch_open_timeout_s": 20.0, "gate_stall_s": 20.0}
"""On a busy machine a gate that answers late is not down."""


@pytest.fixture(scope="module", autouse=True)
def ffmpeg() -> None:
    require(shutil.which("ffmpeg") is not None, "ffmpeg")


async def run_ffmpeg(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("ffmpeg", "-nostdin", "-v", "error", *arguments)
    assert await process.wait() == 0


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds at a constant 4 Mbit/s, with audio."""
    path = tmp_path_factory.mktemp("heavy") / "heavy.flv"
    command = (
        "-f lavfi -i testsrc2=s=640x360:r=30:d=6 -f lavfi -i sine=r=44100:d=6 "
        "-c:v libx264 -preset ultrafast -g 60 "
        "-b:v 4M -minrate 4M -maxrate 4M -bufsize 2M -nal-hrd cbr -x264opts filler=1"
    )
    asyncio.run(run_ffmpeg(*command.split(), str(path)))
    assert path.stat().st_size > 2_500_000
    return path


def encoded(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.dts is not None]


async def test_a_burst_arrives_whole(gate: ScriptedGate, run_ingest: StartIngest, heavy: Path) -> None:
    running = await run_ingest(**PATIENT)
    await run_ffmpeg("-i", str(heavy), "-c", "copy", "-f", "flv", running.url())
    await running.until(lambda: running.of(Closed))
    assert [unit.data for unit in gate.units] == encoded(heavy)


async def test_a_stream_beyond_4_6_hours(gate: ScriptedGate, run_ingest: StartIngest, heavy: Path) -> None:
    running = await run_ingest(**PATIENT)
    offset = ("-output_ts_offset", "20000")
    await run_ffmpeg("-i", str(heavy), "-c", "copy", *offset, "-f", "flv", running.url())
    await running.until(lambda: running.of(Closed))
    assert [unit.data for unit in gate.units] == encoded(heavy)
    assert gate.units[0].dts_ms >= 20_000_000
    assert gate.units[-1].dts_ms - gate.units[0].dts_ms == pytest.approx(179 / 30 * 1000, abs=2)
    assert running.ingest.counters["time_jumps"] == 0


async def test_ten_at_once(gate: ScriptedGate, run_ingest: StartIngest, heavy: Path) -> None:
    running = await run_ingest(**PATIENT)
    urls = [running.url(f"cam{index}", f"user=u{index}") for index in range(10)]
    await asyncio.gather(*(run_ffmpeg("-i", str(heavy), "-c", "copy", "-f", "flv", url) for url in urls))
    await running.until(lambda: len(running.of(Closed)) == 10)
    assert len(gate.units) == 10 * 180
    assert {event.reason for event in running.of(Closed)} == {"publisher"}
