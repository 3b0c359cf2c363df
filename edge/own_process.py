"""Runs a module of ours in a process of its own and waits for it, never longer than it may take."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from typing import Final

_PROBLEM_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended."""

    code: int
    """Its exit code; negative: the signal that ended it."""
    said: bytes
    """What it printed."""
    wrong: bytes
    """What it wrote to stderr."""

    @property
    def problem(self) -> str:
        """The end of what it said went wrong, or its exit code."""
        return self.wrong.decode(errors="replace")[-_PROBLEM_CHARS:].strip() or f"exit code {self.code}"


async def run_module(module: str, *arguments: str, given: bytes | None = None, longest_s: float) -> Ended:
    """Runs ``python -m module``, with ``given`` as its standard input.

    It is killed when it takes too long, or when this is cancelled. Raises TimeoutError, and OSError where no
    process can be started.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, wrong = await asyncio.wait_for(process.communicate(given), longest_s)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Ended(process.returncode if process.returncode is not None else -1, said, wrong)
