"""Signals end commands with all that they have started, and SIGHUP has a gate read its files again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest

from tests.integration.calls import TIMEOUT_S, until, write_footage

LAPS = 600


@pytest.fixture(scope="module")
def long_footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty minutes of the same four seconds: to judge it takes longer than a test waits."""
    folder = tmp_path_factory.mktemp("long")
    write_footage(folder / "short.mp4", seconds=4)
    with av.open(str(folder / "short.mp4")) as source, av.open(str(folder / "long.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux() if p.dts is not None]
        base = source.streams.video[0].time_base
        assert base is not None
        for lap in range(LAPS):
            shift = round(4 * lap / base)
            for data, pts, dts, keyframe in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = stream, base, keyframe
                packet.pts, packet.dts = (pts or 0) + shift, (dts or 0) + shift
                out.mux(packet)
    return folder / "long.mkv"


def labels(footage: Path, copies: int) -> Path:
    """A table of labelled footage."""
    rows = [f"{footage},{'fight' if number % 2 else 'calm'}" for number in range(copies)]
    path = footage.with_name("labels.csv")
    path.write_text("\n".join(["path,label", *rows]) + "\n")
    return path


def judging(parent: int) -> list[int]:
    """Processes that judge files for a command: those that have used a second of processor time."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            values = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        used_s = (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
        if int(values[1]) == parent and b"spawn_main" in (entry / "cmdline").read_bytes() and used_s > 1:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    ("command", "end", "code"),
    [
        ("replay", signal.SIGTERM, 143),
        ("replay", signal.SIGKILL, -9),
        ("tune", signal.SIGTERM, 143),
        ("model evaluate", signal.SIGTERM, 143),
    ],
)
def test_what_a_command_has_started_ends_with_it(
    command: str, end: signal.Signals, code: int, long_footage: Path, tmp_path: Path
) -> None:
    files = [str(long_footage)] if command == "replay" else [str(labels(long_footage, 2))]
    with subprocess.Popen(
        [sys.executable, "-m", "edge.cli", *command.split(), *files, "--jobs", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        try:
            [child] = until(lambda: judging(process.pid) or process.poll() or [], bool)  # type: ignore[misc]
            process.send_signal(end)
            assert process.wait(TIMEOUT_S) == code
            until(lambda: Path(f"/proc/{child}").exists(), lambda there: not there)
            assert process.stderr is not None
            assert b"Traceback" not in process.stderr.read()
        finally:
            process.kill()
