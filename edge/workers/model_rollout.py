"""One model swap over all workers: every worker loads the model before any judges with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from edge.contract.gen import worker_pb2
from edge.errors import ModelError


class ModelRollout:
    """Tracks which workers have not yet loaded the model. Workers are named by their process ids."""

    def __init__(self, number: int, directory: str, digest: str, workers: Iterable[int]) -> None:
        self.number = number
        self._directory = directory
        self._digest = digest
        self.workers = frozenset(workers)
        """All workers that were told to load it."""
        self._waiting = set(self.workers)
        self._errors: list[str] = []
        self._done = asyncio.Event()
        self._settle()

    def command(self, *, use: bool = False) -> worker_pb2.ToWorker:
        load = worker_pb2.LoadModel(swap=self.number, directory=self._directory, digest=self._digest, use=use)
        return worker_pb2.ToWorker(load_model=load)

    def loaded(self, worker: int, answer: worker_pb2.ModelLoaded) -> None:
        if answer.swap == self.number and worker in self._waiting:
            if answer.error:
                self._errors.append(answer.error)
            self.gone(worker)

    def gone(self, worker: int) -> None:
        """Stops waiting for a worker that has answered or died. Its successor is told of the model when it
        is ready."""
        self._waiting.discard(worker)
        self._settle()

    async def wait(self, timeout_s: float) -> None:
        """Waits until every worker has answered.

        Raises ModelError when a worker cannot load the model or does not answer in time.
        """
        try:
            await asyncio.wait_for(self._done.wait(), timeout_s)
        except TimeoutError:
            raise ModelError(f"not loaded by every worker within {timeout_s:g} s") from None
        if self._errors:
            raise ModelError(f"a worker cannot load it: {self._errors[0]}")

    def _settle(self) -> None:
        if not self._waiting:
            self._done.set()
