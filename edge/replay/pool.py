"""Judges many files on all cores. A decoder that crashes fails only its own file."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol

_judge: FileJudge | None = None


class FileJudge(Protocol):
    """Judges files one after the other in one process."""

    def run(self, path: Path, *, windows: bool) -> dict[str, Any]:
        """Returns the report on one file. It holds ``path``, ``error`` and ``reason`` when the file cannot
        be judged."""
        ...


class JudgeSetup(Protocol):
    """The configuration of a judge. It is small enough to send to another process."""

    def open_judge(self) -> FileJudge: ...


def _start(setup: JudgeSetup) -> None:
    global _judge
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the process at once, without a traceback
    _judge = setup.open_judge()


def _run(path: Path, windows: bool) -> dict[str, Any]:
    assert _judge is not None
    return _judge.run(path, windows=windows)


class ReplayPool:
    """Judges files in several processes and yields reports in order of completion."""

    def __init__(self, setup: JudgeSetup, jobs: int) -> None:
        self._setup = setup
        self._jobs = jobs

    def reports(self, paths: Sequence[Path], *, windows: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields pairs of a path's index and its report."""
        if self._jobs == 1 and len(paths) == 1:
            yield 0, self._setup.open_judge().run(paths[0], windows=windows)
            return
        left = dict(enumerate(paths))
        for index, report in self._round(left, self._jobs, windows):
            del left[index]
            yield index, report
        # A crash ends the whole pool. The remaining files then run one by one to find the culprit.
        for index, path in list(left.items()):
            reports = list(self._round({index: path}, 1, windows))
            yield from reports or [
                (
                    index,
                    {
                        "path": str(path),
                        "error": "the decoder crashed on this file",
                        "reason": "broken_media",
                    },
                )
            ]

    def _round(
        self, paths: dict[int, Path], jobs: int, windows: bool
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            max_workers=min(jobs, max(1, len(paths))),
            mp_context=context,
            initializer=_start,
            initargs=(self._setup,),
        ) as executor:
            futures: dict[Future[dict[str, Any]], int] = {}
            try:
                for index, path in paths.items():
                    futures[executor.submit(_run, path, windows)] = index
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BrokenProcessPool:
                return
            except BaseException:  # after Ctrl-C, or when the caller stops early, do not wait for a long file
                for process in (executor._processes or {}).values():
                    process.terminate()
                raise
            finally:
                executor.shutdown(wait=True, cancel_futures=True)
