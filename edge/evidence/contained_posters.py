"""Has poster frames made in a contained process, from the gate's side. The gate itself decodes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge.containment import ContainmentMode, contained_environment
from edge.errors import BrokenMedia
from edge.evidence.posters import MAX_BYTES, posters_of_bytes

_MOST_S: Final = 30.0
_NICENESS: Final = 10
"""Streams are judged first."""


async def posters_contained(path: Path, moments_ms: Sequence[int], containment: ContainmentMode) -> bytes:
    """Returns the content of a file of posters of this clip.

    Raises BrokenMedia where no frame can be decoded, also when the clip crashes its decoder, and
    TimeoutError where it takes too long. That may be the machine's fault.
    """
    request = {
        "parent": os.getpid(),
        "path": str(path),
        "moments_ms": list(moments_ms),
        "containment": containment,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "edge.evidence.poster_process",
        json.dumps(request),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=contained_environment(),
        limit=MAX_BYTES + 1,
    )
    with contextlib.suppress(OSError):  # it has ended already
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
    try:
        async with asyncio.timeout(_MOST_S):
            content, wrong = await _bounded(process)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        problem = wrong.decode(errors="replace").strip().splitlines()[-1:] or [
            f"the decoder crashed on this clip (exit code {process.returncode})"
        ]
        raise BrokenMedia(problem[0][:500])
    posters_of_bytes(content)
    return content


async def _bounded(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """Reads what the process says, at most as much as posters have."""
    assert process.stdout is not None
    assert process.stderr is not None
    content, wrong = await asyncio.gather(_read(process.stdout, MAX_BYTES), _read(process.stderr, MAX_BYTES))
    await process.wait()
    return content, wrong


async def _read(reader: asyncio.StreamReader, most: int) -> bytes:
    content = bytearray()
    while chunk := await reader.read(1 << 16):
        content += chunk
        if len(content) > most:
            raise BrokenMedia(f"posters: more than {most} bytes")
    return bytes(content)
