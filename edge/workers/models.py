"""Loads a model beside the one that judges, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from edge.contract.gen import worker_pb2
from edge.detect.loaded_pack import LoadedPack
from edge.errors import ModelError


@dataclass(frozen=True, slots=True)
class ModelArrived:
    """Result of a LoadModel."""

    swap: int
    pack: LoadedPack | None
    error: str
    use: bool


class WorkerModels:
    """Loads one model after another. The newest swap counts."""

    def __init__(
        self,
        arrived: Callable[[ModelArrived], None],
        mark: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """``arrived`` is called in the loading thread, and ``mark`` is entered in it."""
        self._arrived = arrived
        self._mark = mark
        self._waiting: ModelArrived | None = None
        self._used = 0

    def load(self, command: worker_pb2.LoadModel) -> None:
        """Starts to load a model and returns at once. Raises RuntimeError when no thread can be started."""
        swap, directory, digest, use = command.swap, Path(command.directory), command.digest, command.use

        def load() -> None:
            pack, error = None, ""
            try:
                with self._mark():
                    pack = LoadedPack.load(directory)
                if pack.digest != digest:
                    raise ModelError(f"{directory}: digest {pack.digest}, {digest} was checked")
            except Exception as failure:  # on any failure the old model goes on
                pack, error = None, f"{type(failure).__name__}: {failure}"
            self._arrived(ModelArrived(swap, pack, error, use))

        threading.Thread(target=load, name="model", daemon=True).start()

    def keep(self, model: ModelArrived) -> None:
        """Keeps a loaded model until it is used or forgotten."""
        self._waiting = model if model.pack is not None else None

    def take(self, swap: int) -> LoadedPack | None:
        """Removes and returns the model that was loaded for this swap, or None when there is none."""
        waiting, self._waiting = self._waiting, None
        return waiting.pack if waiting is not None and waiting.swap == swap else None

    def used(self, swap: int) -> bool:
        """Records that the model of this swap is about to judge. Returns False when a newer swap is already
        in use."""
        newest = swap >= self._used
        self._used = max(self._used, swap)
        return newest
