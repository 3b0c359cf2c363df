"""Evidence in a folder of this machine, which is the default."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge.durable_files import appearing, sync_folder
from edge.errors import EvidenceStoreFailed, NotFound
from edge.settings_file import open_regular

_Value = TypeVar("_Value")


class FolderStore:
    """The folder that a gate writes its evidence to. Other gates have their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def shared(self) -> bool:
        return False

    async def save(self, name: str, source: Path) -> None:
        if source != self._folder / name:
            await self._in_thread(self._copy, name, source)

    async def size(self, name: str) -> int | None:
        return await self._in_thread(self._size, name)

    async def read(self, name: str, begin: int, length: int) -> bytes:
        return await self._in_thread(self._read, name, begin, length)

    async def remove(self, name: str) -> bool:
        return await self._in_thread(self._remove, name)

    async def _in_thread(self, function: Callable[..., _Value], *args: object) -> _Value:
        try:
            return await asyncio.to_thread(function, *args)
        except OSError as error:
            raise EvidenceStoreFailed(f"evidence folder {self._folder}: {error.strerror or error}") from None

    def _copy(self, name: str, source: Path) -> None:
        with open_regular(source) as file, appearing(self._folder / name) as copy:
            shutil.copyfileobj(file, copy)

    def _size(self, name: str) -> int | None:
        with contextlib.suppress(FileNotFoundError), open_regular(self._folder / name) as file:
            return os.fstat(file.fileno()).st_size
        return None

    def _read(self, name: str, begin: int, length: int) -> bytes:
        try:
            with open_regular(self._folder / name) as file:
                file.seek(begin)
                return file.read(length)
        except FileNotFoundError:
            raise NotFound("file of evidence", name) from None

    def _remove(self, name: str) -> bool:
        try:
            (self._folder / name).unlink()
        except FileNotFoundError:
            return False
        sync_folder(self._folder)
        return True
