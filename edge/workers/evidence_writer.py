"""Writes evidence clips of a worker's streams, in threads beside the judging loop."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from cachetools import FIFOCache

from edge.contract.gen import worker_pb2
from edge.errors import GateError
from edge.evidence import write_clip
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.evidence_media import EvidenceMedia, Media
from edge.workers.worker_stream import WorkerStream

_WRITERS_S: Final = 3.0
"""How long a stopping worker waits for clips that are being written."""
_SIZES: Final = 256
"""Number of ended streams whose frame size is remembered."""

log = structlog.get_logger(__name__)


class EvidenceWriter:
    """Starts evidence writers from the loop's thread. ``send`` is called from any thread."""

    def __init__(
        self,
        send: Callable[[worker_pb2.FromWorker], None],
        current: CurrentStreamPage,
        min_free_bytes: int = 0,
    ) -> None:
        """``min_free_bytes``: disk space that clips must leave free."""
        self._send = send
        self._current = current
        self._min_free_bytes = min_free_bytes
        self._media = EvidenceMedia()
        self._writers: list[threading.Thread] = []
        self._sizes: FIFOCache[str, tuple[int, int]] = FIFOCache(_SIZES)

    def show(self, message: worker_pb2.EvidenceMedia) -> None:
        """Takes media for the next ``save`` of its stream."""
        self._media.add_media(message)

    def save(self, command: worker_pb2.SaveEvidence, stream: WorkerStream | None) -> None:
        """Starts to write a clip and returns at once.

        The supervisor has sent its media before. ``stream`` is the stream in this worker.
        """
        media = self._media.take(command.stream_id)
        size = self._sizes.get(command.stream_id)
        if stream is not None and stream.pipeline is not None:
            size = stream.pipeline.size
        if media is None:
            self._failed(command, "the stream has no media")
            return
        self._writers = [writer for writer in self._writers if writer.is_alive()]
        writer = threading.Thread(
            target=self._write,
            args=(command, media, size),
            name=f"evidence-{command.incident_id}",
            daemon=True,
        )
        try:
            writer.start()
        except RuntimeError as error:
            self._failed(command, f"no thread to write it in: {error}")
            return
        self._writers.append(writer)

    def gone(self, stream: WorkerStream) -> None:
        """Remembers the frame size of a stream that leaves. Evidence of it may still be asked for."""
        size = None if stream.pipeline is None else stream.pipeline.size
        if size is not None:
            self._sizes[stream.id] = size

    def finish(self) -> None:
        """Waits for unfinished clips, at most ``_WRITERS_S``."""
        deadline = time.monotonic() + _WRITERS_S
        for writer in self._writers:
            writer.join(max(0.0, deadline - time.monotonic()))

    def _write(self, command: worker_pb2.SaveEvidence, media: Media, size: tuple[int, int] | None) -> None:
        with self._current.reading(command.stream_id):  # a muxer may crash on media, as a decoder may
            self._write_clip(command, media, size)

    def _write_clip(
        self, command: worker_pb2.SaveEvidence, media: Media, size: tuple[int, int] | None
    ) -> None:
        directory = Path(command.directory)
        try:
            free = shutil.disk_usage(directory).free
            if free < self._min_free_bytes:
                self._failed(
                    command,
                    f"{free // 2**20} MB are free on its disk, and limits.evidence_min_free_mb keeps "
                    f"{self._min_free_bytes // 2**20} for the ledger",
                )
                return
            clip = write_clip(
                media.units,
                media.codec,
                media.extradata,
                directory,
                command.incident_id,
                size,
                audio=media.audio,
            )
        except GateError as error:  # the media cannot be muxed
            self._failed(command, str(error))
            return
        except Exception as error:
            log.exception("no evidence clip", incident_id=command.incident_id)
            self._failed(command, f"{type(error).__name__}: {error}")
            return
        self._send(
            worker_pb2.FromWorker(
                evidence_saved=worker_pb2.EvidenceSaved(
                    stream_id=command.stream_id,
                    incident_id=command.incident_id,
                    path=str(clip.path),
                    start_pts_ms=clip.start_pts_ms,
                    end_pts_ms=clip.end_pts_ms,
                )
            )
        )

    def _failed(self, command: worker_pb2.SaveEvidence, error: str) -> None:
        self._send(
            worker_pb2.FromWorker(
                evidence_saved=worker_pb2.EvidenceSaved(
                    stream_id=command.stream_id, incident_id=command.incident_id, error=error
                )
            )
        )
