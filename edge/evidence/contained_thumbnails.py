"""Has thumbnails of live streams made in a contained process, from the gate's side. It starts with the first
frame and ends when no more are wanted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import Final

from edge.containment import ContainmentMode, contained_environment
from edge.errors import BrokenMedia
from edge.evidence.posters import JPEG_HEAD
from edge.evidence.thumbnail_messages import ANSWER_HEAD, MAX_THUMBNAIL_BYTES, Keyframe
from edge.stream import FrameSizeLimit

_MOST_S: Final = 30.0
"""For one frame, the process's start included."""
_NICENESS: Final = 10
"""Streams are judged first."""


class ThumbnailProcess:
    """One process, started when it is needed. Frames are made one after another."""

    def __init__(self, containment: ContainmentMode, largest: FrameSizeLimit) -> None:
        self._containment = containment
        self._largest = largest
        self._process: asyncio.subprocess.Process | None = None
        self._one = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return None if self._process is None else self._process.pid

    async def picture(self, keyframe: Keyframe) -> bytes:
        """Returns a JPEG. Raises BrokenMedia where there is none, also when the keyframe crashes its decoder
        or takes it too long. The next frame then starts the process anew."""
        async with self._one:
            try:
                async with asyncio.timeout(_MOST_S):
                    is_picture, content = await self._ask(keyframe)
            except TimeoutError:
                await self._end()
                raise BrokenMedia(f"its thumbnail took more than {_MOST_S:.0f} s") from None
            except (asyncio.IncompleteReadError, ConnectionError, OSError):
                await self._end()
                raise BrokenMedia("the decoder crashed on it") from None
            except BaseException:
                await self._end()
                raise
        if not is_picture:
            raise BrokenMedia(content.decode(errors="replace"))
        if not content.startswith(JPEG_HEAD):
            raise BrokenMedia("its thumbnail is no JPEG")
        return content

    async def stop(self) -> None:
        """Ends the process. The next frame starts it anew."""
        async with self._one:
            await self._end()

    async def _ask(self, keyframe: Keyframe) -> tuple[bool, bytes]:
        process = self._process
        if process is None or process.returncode is not None:
            self._process = process = await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(keyframe.to_bytes())
        await process.stdin.drain()
        is_picture, length = ANSWER_HEAD.unpack(await process.stdout.readexactly(ANSWER_HEAD.size))
        if length > MAX_THUMBNAIL_BYTES:
            raise ConnectionError("an answer that is too large")
        return is_picture, await process.stdout.readexactly(length)

    async def _start(self) -> asyncio.subprocess.Process:
        request = {
            "parent": os.getpid(),
            "containment": self._containment,
            "long_edge": self._largest.long_edge,
            "short_edge": self._largest.short_edge,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edge.evidence.thumbnail_process",
            json.dumps(request),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=contained_environment(),
        )
        with contextlib.suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        return process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
