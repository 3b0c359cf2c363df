"""A real ffmpeg that publishes over RTMP."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.servers.server_process import end

PATTERN = ("-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30")
STOP_S = 5.0


class Publisher:
    """ffmpeg that publishes ``source`` (a file in real time, or the test pattern) to ``url``, mute or not."""

    def __init__(self, url: str, source: Path | None = None, *, sound: bool = False) -> None:
        media = PATTERN if source is None else ("-re", "-i", str(source))
        codec = (
            ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "30")
            if source is None
            else ("-c", "copy")
        )
        mute = () if sound else ("-an",)
        self._process = subprocess.Popen(
            ["ffmpeg", "-nostdin", "-v", "error", *media, *mute, *codec, "-f", "flv", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Returns the exit code. Raises subprocess.TimeoutExpired while it still publishes."""
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        end(self._process, STOP_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
