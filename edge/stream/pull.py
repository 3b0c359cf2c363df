"""Pulls a stream from an ingest server with a reader thread and a watchdog.

FFmpeg's own timeouts do not end every hang, so the watchdog is ours. A thread inside libav cannot be
interrupted. When it hangs past its limit, it is abandoned and counted. The stream then ends at once with
SourceStalled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from typing import Final, ParamSpec
from urllib.parse import urlsplit

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from edge.clock import Clock
from edge.domain import AccessUnit, Audio, Codec
from edge.errors import (
    BrokenSource,
    GateError,
    InvalidInput,
    LimitExceeded,
    SourceStalled,
    UnsupportedCodec,
)
from edge.reconfiguration import Reconfiguration
from edge.stream.pulled_audio import PulledAudio, announced

MAX_URL_CHARACTERS = 2048
# analyzeduration=0 means FFmpeg's default of several seconds. fflags=nobuffer loses the first keyframe.
_SMALL_PROBE: Final = {"analyzeduration": "1", "probesize": "32"}
_HTTP_PROBE: Final = {"analyzeduration": "1", "probesize": "2048"}
_DEFAULT_STEP_MS: Final = 40
_GRACE_S: Final = 5.0

P = ParamSpec("P")

abandoned_threads = 0
"""Number of reader threads of this process that hang inside libav and were abandoned."""
_count_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class PullSettings:
    """Limits of a pull. The first media must arrive within ``open_ms``. ``stall_ms`` is the longest later
    pause."""

    schemes: tuple[str, ...] = ("rtmp", "rtmps")
    open_ms: int = 10_000
    stall_ms: int = 10_000
    max_unit_bytes: int = 64 * 1024 * 1024
    options: dict[str, str] = field(default_factory=dict)
    """Further options for FFmpeg's ``avformat_open_input``."""


class PullSource:
    """One pull. Its threads run the callbacks, one at a time.

    ``on_open(codec, extradata)`` comes once, ``on_unit`` for each access unit. ``on_end(error)`` comes
    exactly once unless ``stop`` came first, with None at a clean end of the stream. A callback may block to
    slow the reader down. That time does not count as a stall. A configuration that changes mid-stream comes
    in band with the units.
    """

    def __init__(
        self,
        url: str,
        settings: PullSettings,
        clock: Clock,
        *,
        on_open: Callable[[Codec, bytes], None],
        on_unit: Callable[[AccessUnit], None],
        on_end: Callable[[GateError | None], None],
        on_audio: Callable[[Audio], None] | None = None,
        wants_audio: Callable[[], bool] = lambda: False,
        marked: AbstractContextManager[None] | None = None,
    ) -> None:
        """``on_audio`` gets batches of sound while ``wants_audio``. Sound does not count for the watchdog.

        The reader thread holds ``marked`` while it reads. Raises InvalidInput for a URL whose scheme is not
        allowed, and LimitExceeded for a long one.
        """
        if len(url) > MAX_URL_CHARACTERS:
            raise LimitExceeded("url", MAX_URL_CHARACTERS, len(url), "characters")
        parts = urlsplit(url)
        if parts.scheme.lower() not in settings.schemes or not parts.netloc:
            allowed = ", ".join(settings.schemes)
            raise InvalidInput("url", f"wants scheme://host/…, with a scheme of: {allowed}")
        self.url = url
        self._where = f"{parts.scheme}://{parts.hostname}{parts.path}"  # no query: it holds stream keys
        self._settings = settings
        self._clock = clock
        self._on_open = on_open
        self._on_unit = on_unit
        self._on_end = on_end
        self._on_audio = on_audio
        self._wants_audio = wants_audio
        self._sound = PulledAudio()
        self._marked = nullcontext() if marked is None else marked
        self._stopped = threading.Event()
        self._finished = threading.Event()
        self._ending = threading.Lock()
        self._opened = False
        self._waiting_since_ms: float | None = None
        self._reader = threading.Thread(target=self._read, name="pull-reader", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name="pull-watchdog", daemon=True)

    def start(self) -> None:
        """Starts to connect and returns at once."""
        self._waiting_since_ms = self._clock.monotonic_ms()
        self._reader.start()
        self._watchdog.start()

    def stop(self) -> None:
        """Stops the pull. No callback begins afterwards. The connection closes when the current read
        returns."""
        with self._ending:
            self._stopped.set()

    def join(self, timeout_s: float) -> bool:
        """Waits for the reader to end. Returns whether it has."""
        self._reader.join(timeout_s)
        return not self._reader.is_alive()

    def _read(self) -> None:
        error: GateError | None = None
        try:
            with self._marked, closing(self._connect()) as container:
                self._pass_on(container)
        except GateError as raised:
            error = raised
        except (av.FFmpegError, OSError, ValueError) as raised:
            error = self._translated(raised)
        except Exception as raised:  # the thread must never end without a call of on_end
            error = BrokenSource(f"{self._where}: {type(raised).__name__}: {raised}")
        finally:
            self._finished.set()
            self._end(error)

    def _connect(self) -> InputContainer:
        settings = self._settings
        probe = _HTTP_PROBE if self.url.lower().startswith("http") else _SMALL_PROBE
        longest_ms = max(settings.open_ms, settings.stall_ms)
        options = {**probe, "rw_timeout": str(longest_ms * 1000), **settings.options}
        timeout = (settings.open_ms / 1000, settings.stall_ms / 1000)
        return av.open(self.url, mode="r", options=options, timeout=timeout)

    def _pass_on(self, container: InputContainer) -> None:
        packets = self._video_packets(container)
        reconfiguration: Reconfiguration | None = None
        last_dts_ms = -_DEFAULT_STEP_MS
        for packet in packets:
            if self._stopped.is_set():
                return
            self._check_size(packet.size)
            stream = packet.stream
            record = announced(packet)
            if reconfiguration is None:
                codec, extradata = _codec_of(stream, self._where)
                extradata = record or extradata
                reconfiguration = Reconfiguration(codec, extradata)
                self._calling(self._on_open, codec, extradata)
                self._opened = True
            base = stream.time_base
            dts_ms = round(packet.dts * base * 1000) if packet.dts is not None and base else None
            dts_ms = last_dts_ms + _DEFAULT_STEP_MS if dts_ms is None else dts_ms
            pts_ms = round(packet.pts * base * 1000) if packet.pts is not None and base else dts_ms
            last_dts_ms = dts_ms
            keyframe = bool(packet.is_keyframe)
            data = reconfiguration.apply(bytes(packet), record, keyframe=keyframe)
            self._check_size(len(data))
            unit = AccessUnit(pts_ms, dts_ms, keyframe, data, self._clock.monotonic_ms())
            self._calling(self._on_unit, unit)
        if reconfiguration is None and not self._stopped.is_set():
            audio = " (audio only)" if container.streams.audio else ""
            raise SourceStalled(f"{self._where}: the stream ended without video{audio}")

    def _check_size(self, size: int) -> None:
        """Parameter sets in band count: with them a unit may pass the limit that it kept without."""
        if size > self._settings.max_unit_bytes:
            raise LimitExceeded("access_unit", self._settings.max_unit_bytes, size, "bytes")

    def _video_packets(self, container: InputContainer) -> Iterator[av.Packet[VideoStream]]:
        """Yields packets of the first video stream. It may appear only after the first audio."""
        chosen: int | None = None
        audio_since_ms = self._clock.monotonic_ms()
        for packet in container.demux():
            if self._stopped.is_set():
                return
            stream = packet.stream
            if isinstance(stream, VideoStream) and packet.size and chosen in (None, stream.index):
                chosen = stream.index
                self._waiting_since_ms = self._clock.monotonic_ms()
                yield packet  # type: ignore[misc]
            elif isinstance(stream, AudioStream) and packet.size:
                self._pass_on_audio(packet)  # type: ignore[arg-type]
            if chosen is None and self._clock.monotonic_ms() - audio_since_ms > self._settings.open_ms:
                raise SourceStalled(
                    f"{self._where}: no video within {self._settings.open_ms} ms (audio only)"
                )

    def _pass_on_audio(self, packet: av.Packet[AudioStream]) -> None:
        """Passes sound on. It does not reset the watchdog, which waits for video and discounts the
        callback's time."""
        audio = self._sound.add_packet(packet) if self._on_audio is not None and self._wants_audio() else None
        if audio is None or self._on_audio is None or self._stopped.is_set():
            return
        since_ms, self._waiting_since_ms = self._waiting_since_ms, None
        before_ms = self._clock.monotonic_ms()
        self._on_audio(audio)
        if since_ms is not None:
            self._waiting_since_ms = since_ms + self._clock.monotonic_ms() - before_ms

    def _calling(self, callback: Callable[P, None], *arguments: P.args, **named: P.kwargs) -> None:
        """Runs a callback with the watchdog off. Its time is the consumer's, not the source's."""
        self._waiting_since_ms = None
        if not self._stopped.is_set():
            callback(*arguments, **named)
        self._waiting_since_ms = self._clock.monotonic_ms()

    def _watch(self) -> None:
        settings = self._settings
        interval_s = min(settings.open_ms, settings.stall_ms, 1000) / 4000
        while not self._finished.wait(interval_s):
            since_ms = self._waiting_since_ms
            if since_ms is not None and self._clock.monotonic_ms() - since_ms > self._limit_ms:
                break
        else:
            return
        self._end(self._stalled())
        # libav's own timeout is as long. A read that has not ended a while after it never will.
        if not self._finished.wait(_GRACE_S):
            _abandon()

    @property
    def _limit_ms(self) -> int:
        return self._settings.stall_ms if self._opened else self._settings.open_ms

    def _stalled(self) -> SourceStalled:
        if self._opened:
            return SourceStalled(f"{self._where}: no video for {self._limit_ms} ms")
        return SourceStalled(f"{self._where}: no video within {self._limit_ms} ms (audio only, or nothing)")

    def _end(self, error: GateError | None) -> None:
        with self._ending:
            if self._stopped.is_set():
                return
            self._stopped.set()
        self._on_end(error)

    def _translated(self, error: Exception) -> GateError:
        since_ms = self._waiting_since_ms
        waited_ms = 0.0 if since_ms is None else self._clock.monotonic_ms() - since_ms
        if isinstance(error, av.error.ExitError) or waited_ms >= 0.9 * self._limit_ms:
            return self._stalled()
        reason = getattr(error, "strerror", None) or str(error)
        kind = (
            BrokenSource if self._opened and isinstance(error, av.error.InvalidDataError) else SourceStalled
        )
        return kind(f"{self._where}: {reason}")


def _abandon() -> None:
    global abandoned_threads
    with _count_lock:
        abandoned_threads += 1


def _codec_of(stream: VideoStream, where: str) -> tuple[Codec, bytes]:
    context = stream.codec_context
    if context is None:
        raise UnsupportedCodec("codec", f"{where}: the video's codec is unknown")
    name = context.codec.canonical_name
    try:
        return Codec(name), context.extradata or b""
    except ValueError:
        raise UnsupportedCodec("codec", f"{where}: {name!r} is not decoded here") from None
