"""A hash list in a file of this machine, which somebody else replaces now and then."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import Field

from edge.errors import CheckpointStale, ExchangeFailed
from edge.exchange.kind import ExchangeKind, KindOptions, Opening
from edge.exchange.listed import format_named, pages_of, path_of
from edge.exchange.page import SharedPage


class LocalFileOptions(KindOptions):
    path: Path = Field(description="The file.")
    format: str = Field("", description="Its format, as of `bank import`. Empty: the file shows it itself.")


class LocalFile:
    def __init__(self, opening: Opening[LocalFileOptions]) -> None:
        self._path = opening.options.path
        self._folder = opening.folder
        self._format = format_named(opening.options.format)

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        stamp = self._stamp()
        if checkpoint == stamp:
            return
        if checkpoint:
            raise CheckpointStale(f"{self._path} has changed")
        with tempfile.TemporaryFile(dir=self._folder) as copy, self._path.open("rb") as file:
            shutil.copyfileobj(file, copy)
            copy.flush()
            if self._stamp() != stamp:
                raise ExchangeFailed(f"{self._path} changed while it was read; replace it by rename")
            yield from pages_of(path_of(copy), self._format, str(self._path), self._path.stem, stamp)

    def _stamp(self) -> str:
        try:
            status = self._path.stat()
        except OSError as error:
            raise ExchangeFailed(f"{self._path}: {error.strerror or error}") from None
        return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


KIND: Final = ExchangeKind(
    name="file",
    summary="A hash list in a file of this machine.",
    options=LocalFileOptions,
    open=LocalFile,
)
