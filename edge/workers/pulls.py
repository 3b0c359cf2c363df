"""The pull of a worker's stream. Its thread only reads and puts events into the inbox."""

from __future__ import annotations

from edge.clock import Clock
from edge.domain import StreamId, pull_token
from edge.stream import PullSettings, PullSource
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.inbox import Inbox, PullAudio, PullEnded, PullOpened, PullUnit
from edge.workers.settings import WorkerSettings
from edge.workers.worker_stream import WorkerStream


def pull_of(
    stream: WorkerStream,
    url: str,
    limits: WorkerSettings,
    inbox: Inbox,
    current: CurrentStreamPage,
    clock: Clock,
) -> PullSource:
    """Returns the pull of a stream, not yet started.

    Its events carry the stream's opening number, so that events of an earlier opening are known to be
    stale. Raises InvalidInput for a URL whose scheme is not allowed, and LimitExceeded for a long URL.
    """
    ident, opening = stream.id, stream.opening
    settings = PullSettings(
        schemes=limits.pull_schemes,
        open_ms=limits.pull_open_ms,
        stall_ms=limits.pull_stall_ms,
        max_unit_bytes=limits.max_access_unit_bytes,
        options=_rtmp_options(url, StreamId(ident)),
    )
    return PullSource(
        url,
        settings,
        clock,
        marked=current.reading(ident),
        on_open=lambda codec, extradata: inbox.put(PullOpened(ident, opening, codec, extradata)),
        on_unit=lambda unit: inbox.put(PullUnit(ident, opening, unit)),
        on_audio=lambda audio: inbox.put(PullAudio(ident, opening, audio)),
        wants_audio=lambda: stream.audio_wanted,
        on_end=lambda error: inbox.put(PullEnded(ident, opening, error)),
    )


def _rtmp_options(url: str, stream_id: StreamId) -> dict[str, str]:
    return {"rtmp_pageurl": pull_token(stream_id)} if url.lower().startswith("rtmp") else {}
