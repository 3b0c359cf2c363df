"""Judges many files on all cores, in contained processes. A decoder that crashes fails only its own file.

What a process answers is JSON and never pickle: it has touched hostile media and must not be able to run code
in its parent.
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Protocol

import av

from edge.containment import (
    ContainmentMode,
    ProcessRole,
    contain,
    contained_environment,
    die_with,
    load_all_of,
    mode_of_environment,
    problems,
)
from edge.errors import BankError, ConfigError, GateError, ModelError
from edge.match import available
from edge.recorded_media import unexpected

_ERRORS: Final = {kind.reason: kind for kind in (BankError, ModelError)}
_MAX_BYTES: Final = 256 * 1024 * 1024
"""Largest report of one file."""

log = logging.getLogger(__name__)


class FileJudge(Protocol):
    """Judges files one after the other in one process."""

    def run(self, path: Path, *, windows: bool) -> dict[str, Any]:
        """Returns the report on one file, plain JSON values. It holds ``path``, ``error`` and ``reason`` when
        the file cannot be judged."""
        ...


class JudgeSetup(Protocol):
    """The configuration of a judge. It is small enough to send to another process."""

    def open_judge(self) -> FileJudge: ...

    def role(self, paths: Sequence[Path]) -> ProcessRole:
        """What a process may do that judges these files."""
        ...

    def take(self, path: Path, report: dict[str, Any]) -> dict[str, Any]:
        """Turns what a process has answered into the report, in the parent. Raises KeyError, TypeError or
        ValueError for an answer of another form."""
        ...


class ReplayPool:
    """Judges files in several processes and yields reports in order of completion."""

    def __init__(self, setup: JudgeSetup, jobs: int) -> None:
        self._setup = setup
        self._jobs = jobs

    def reports(self, paths: Sequence[Path], *, windows: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields pairs of a path's index and its report.

        Raises ModelError, BankError or ConfigError where no file can be judged.
        """
        waiting = deque(enumerate(paths))
        role, mode = self._setup.role(paths), mode_of_environment()
        free: list[_JudgingProcess] = []
        busy: dict[Connection, _JudgingProcess] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self._jobs:
                    process = free.pop() if free else _JudgingProcess(self._setup, role, mode)
                    process.send(*waiting.popleft(), windows)
                    busy[process.connection] = process
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    process = busy[ready]
                    if not process.begun and process.begin():
                        continue
                    del busy[ready]
                    answer = process.answer()
                    if answer is None:
                        yield process.index, _failed(process.path, "the decoder crashed on this file")
                    else:
                        free.append(process)
                        yield process.index, self._taken(process.path, answer)
        finally:
            for process in (*free, *busy.values()):
                process.end()

    def _taken(self, path: Path, answer: dict[str, Any]) -> dict[str, Any]:
        if "error" in answer:
            return _failed(path, str(answer["error"]), str(answer.get("reason")))
        try:
            return {**self._setup.take(path, answer), "path": str(path)}
        except (KeyError, TypeError, ValueError) as error:
            return _failed(path, f"the process that judged it answered no report: {type(error).__name__}")


class _JudgingProcess:
    """One process that judges one file after the other."""

    def __init__(self, setup: JudgeSetup, role: ProcessRole, mode: ContainmentMode) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_judge_files, args=(theirs, setup, role, mode, os.getpid()), daemon=True
        )
        before = dict(os.environ)
        os.environ.update(contained_environment())
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        self.begun = False
        self.index, self.path = -1, Path()

    def send(self, index: int, path: Path, windows: bool) -> None:
        self.index, self.path = index, path
        with contextlib.suppress(OSError):  # it is dead, which ``answer`` says
            self.connection.send_bytes(json.dumps([str(path), windows]).encode())

    def begin(self) -> bool:
        """Takes its first message, that it is contained. False when it has died. Raises the error by which it
        cannot judge at all."""
        self.begun = True
        said = self._receive()
        if said is None:
            return False
        if "failed" in said:
            raise _ERRORS.get(said["reason"], ConfigError)(str(said["failed"]))
        if said["missing"]:
            log.warning("a process that judges files is not fully contained: %s", "; ".join(said["missing"]))
        return True

    def answer(self) -> dict[str, Any] | None:
        """Returns its answer. None when it has died."""
        answer = self._receive()
        if answer is None:
            self.end()
        return answer

    def _receive(self) -> dict[str, Any] | None:
        try:
            said = json.loads(self.connection.recv_bytes(_MAX_BYTES))
        except (EOFError, OSError, ValueError):
            return None
        return said if isinstance(said, dict) else {}

    def end(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.join()


def _failed(path: Path, error: str, reason: str = "broken_media") -> dict[str, Any]:
    return {"path": str(path), "error": error, "reason": reason}


def _judge_files(
    connection: Connection, setup: JudgeSetup, role: ProcessRole, mode: ContainmentMode, parent: int
) -> None:
    """Runs in the process."""
    die_with(parent)  # However the command ends, also by SIGKILL, nothing goes on judging.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # either ends the process at once, without a traceback
    try:
        judge = setup.open_judge()
        load_all_of(av)
        available()
        contained = contain(role, mode)
    except GateError as error:
        connection.send_bytes(json.dumps({"failed": str(error), "reason": error.reason}).encode())
        return
    except Exception as error:  # of a library
        connection.send_bytes(json.dumps({"failed": unexpected(error), "reason": ""}).encode())
        return
    missing = () if mode is ContainmentMode.OFF else problems(contained.missing)
    connection.send_bytes(json.dumps({"missing": missing}).encode())
    while True:
        try:
            path, windows = json.loads(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(json.dumps(judge.run(Path(path), windows=windows)).encode())
