"""Many files on all cores; a decoder that crashes costs its own file and no other."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from edge.replay.report import Replay, ReplaySetup

_replay: Replay | None = None


def _start(setup: ReplaySetup) -> None:
    global _replay
    _replay = Replay(setup)


def _run(path: Path, windows: bool) -> dict[str, Any]:
    assert _replay is not None
    return _replay.run(path, windows=windows)


class ReplayPool:
    """Reports in order of completion."""

    def __init__(self, setup: ReplaySetup, jobs: int) -> None:
        self._setup = setup
        self._jobs = jobs

    def reports(self, paths: Sequence[Path], *, windows: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        """Pairs of the path's index and its report."""
        if self._jobs == 1 and len(paths) == 1:
            yield 0, Replay(self._setup).run(paths[0], windows=windows)
            return
        left = dict(enumerate(paths))
        for index, report in self._round(left, self._jobs, windows):
            del left[index]
            yield index, report
        # A crash takes the whole pool with it: who did it is found one by one.
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
            finally:
                executor.shutdown(wait=True, cancel_futures=True)
