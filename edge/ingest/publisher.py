"""A live publisher that sends a recorded FLV file: FFmpeg's RTMP client through PyAV.

``python -m edge.ingest.publisher FILE URL [MARK_MS …]`` publishes at the pace of a camera. It prints a JSON
line when it is live, when it sends the frame of each mark, and when it ends. It runs in its own process,
because FFmpeg holds the GIL while it waits for the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import av

from edge.background import BackgroundTasks
from edge.errors import GateError
from edge.recorded_media import open_media


class PublisherProcess:
    """Starts and follows a publisher process. Use it as an async context manager; leaving kills the process.

    ``url`` may carry ``?user=…&key=…``. ``marks_ms`` are media times; the time of sending each is recorded.
    """

    def __init__(self, path: Path, url: str, marks_ms: Sequence[int] = ()) -> None:
        self._tasks = BackgroundTasks()
        self._arguments = [str(path), url, *(str(mark) for mark in marks_ms)]
        self.live_wall_ms: int | None = None
        """When the first frame was sent."""
        self.mark_wall_ms: dict[int, int] = {}
        """When the frame of each mark was sent."""
        self.ended_wall_ms: int | None = None
        self.sent = 0
        self.error = ""
        """Why it ended early. Empty if everything was sent."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edge.ingest.publisher",
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._reading = self._tasks.start(self._read(), awaited=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def wait(self) -> None:
        """Waits until the process has ended, for whatever reason."""
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if said["event"] == "live":
                self.live_wall_ms = said["wall_ms"]
            elif said["event"] == "mark":
                self.mark_wall_ms[said["mark_ms"]] = said["wall_ms"]
            else:
                self.ended_wall_ms = said["wall_ms"]
                self.sent, self.error = said["sent"], said["error"]


def publish(path: Path, url: str, marks_ms: list[int]) -> int:
    """Publishes. Returns 0 if everything was sent, 1 if the server refused or closed the connection."""
    marks = sorted(marks_ms)
    sent = 0
    try:
        with open_media(path) as source, av.open(url, "w", format="flv") as out:
            video = source.streams.video[0]
            stream = out.add_stream_from_template(video)
            started = None
            for packet in source.demux(video):
                if packet.dts is None or packet.time_base is None:
                    continue
                at_s = float(packet.dts * packet.time_base)
                if started is None:
                    started = time.monotonic() - at_s
                time.sleep(max(0.0, started + at_s - time.monotonic()))
                packet.stream = stream
                out.mux(packet)
                sent += 1
                if sent == 1:
                    _say("live")
                while marks and at_s * 1000 >= marks[0]:
                    _say("mark", mark_ms=marks.pop(0))
    except (GateError, av.error.FFmpegError, OSError) as error:
        _say("ended", sent=sent, error=str(error))
        return 1
    _say("ended", sent=sent, error="")
    return 0


def _say(event: str, **details: Any) -> None:
    print(json.dumps({"event": event, "wall_ms": time.time_ns() // 1_000_000, **details}), flush=True)


if __name__ == "__main__":
    av.logging.set_level(None)
    sys.exit(publish(Path(sys.argv[1]), sys.argv[2], [int(mark) for mark in sys.argv[3:]]))
