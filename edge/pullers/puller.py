"""What runs in a puller process: opens one URL with libav and passes the stream on to the supervisor.

It has one thread. Whatever it hangs in, it is killed from outside: see ``edge.pullers.pull``.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from edge.clock import Clock
from edge.contract.gate import audio_to_proto
from edge.contract.gen import worker_pb2
from edge.domain import AccessUnit, Codec
from edge.errors import BrokenSource, GateError, LimitExceeded, NoVideo, SourceStalled, UnsupportedCodec
from edge.pull_sources import leads_astray
from edge.pullers.limits import PullLimits
from edge.pullers.playlist import PlaylistPlace
from edge.pullers.protocol import WANTS_AUDIO
from edge.pullers.pull_url import PullUrl, Way
from edge.pullers.pulled_audio import PulledAudio, announced
from edge.reasons import CloseReason
from edge.reconfiguration import Reconfiguration
from edge.workers import ipc_framing
from edge.workers.closing import Closing

_DEFAULT_STEP_MS: Final = 40
_OF_THE_WAY: Final = (ConnectionError, TimeoutError, EOFError)
_ERRNOS_OF_THE_WAY: Final = frozenset(
    {
        errno.EPERM,  # FFmpeg's for a status with which an RTMP server refuses
        errno.EIO,
        errno.EAGAIN,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENETRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
"""Errors of a connection. All others come from what was read."""
_ERRNOS_OF_AN_ADDRESS: Final = frozenset(
    {errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}
)
"""Errors that another address of the host may not have."""
_COMMANDS: Final = 64
_MOST_WAYS: Final = 4
"""Addresses of a host that are tried in turn."""
_AUDIO_SHARE: Final = 0.5
"""Of ``open_ms``, for audio without video. The supervisor, which hears of no audio, waits longer; and FFmpeg
takes a while to say that there is audio."""


class Puller:
    """One pull, from the supervisor's ``OpenPull`` to the end of the stream.

    It sends ``opened`` once, then access units and audio, and ``ended`` last. A configuration that changes
    in mid-stream comes in band with the units. Sending blocks while the supervisor does not read, which slows
    the source down.
    """

    def __init__(
        self,
        connection: socket.socket,
        clock: Clock,
        contain: Callable[[worker_pb2.OpenPull, str], worker_pb2.Contained],
    ) -> None:
        """Waits for ``OpenPull``. Raises EOFError when the supervisor is gone before.

        ``contain`` contains the process before the URL is opened, which is its second argument. It may raise
        NotContained.
        """
        self._connection = connection
        self._clock = clock
        self._contain = contain
        self._request = request = worker_pb2.OpenPull.FromString(ipc_framing.read_body(connection))
        self._limits = PullLimits(request.open_ms, request.stall_ms, request.max_access_unit_bytes)
        self._audio = PulledAudio()
        self._wants_audio = False
        self._connected = self._opened = False
        self._alone = False
        """Whether audio is passed on without video."""
        self._read_since_ms = 0.0

    def run(self) -> None:
        """Pulls the stream to its end. Raises SystemExit once the supervisor wants no more of it or is gone,
        and never GateError."""
        try:
            ways = self._ways()
            contained = self._contain(self._request, ways[0][0])
            with closing(self._connect(ways)) as container:
                self._connected = True
                self._pass_on(container, contained)
            ended = Closing(CloseReason.END)
        except GateError as error:
            ended = Closing.by(error, retryable=False)
        except (av.FFmpegError, OSError, ValueError) as error:
            ended = Closing.by(self._translated(error), retryable=False)
        except Exception as error:  # nothing here depends on more than the source's bytes
            broken = BrokenSource(f"{type(error).__name__}: {error}")
            ended = Closing.by(broken, retryable=False)
        self._send(worker_pb2.FromPuller(ended=ended.to_proto("", 0)))
        self._wait_until_read()

    def _wait_until_read(self) -> None:
        """Waits until the supervisor closes its end. What it still writes would fail, and cost it what it has
        not read yet."""
        while True:
            self._obey(wait=True)

    def _ways(self) -> list[Way]:
        """The URL by each address of its host. The host is looked up once: what is checked is what FFmpeg
        connects to, and a contained puller asks no name server.

        Raises SourceStalled for a host without an address, or with one that may not be pulled.
        """
        target = PullUrl.parse(self._request.url)
        if target.is_by_address:
            return [target.at(target.host)]
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "is no name of a host"
            raise SourceStalled(f"{target.host}: {reason}") from None
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        for address in addresses:
            if leads_astray(address, self._request.networks):
                raise SourceStalled(
                    f"{target.host} has the address {address}, which limits.pull_from does not name"
                )
        return list(dict.fromkeys(target.at(address) for address in addresses[:_MOST_WAYS]))

    def _connect(self, ways: list[Way]) -> InputContainer:
        self._read_since_ms = self._clock.monotonic_ms()
        for way in ways[:-1]:
            try:
                return self._open(way)
            except OSError as error:  # as where only one of both loopbacks listens
                if error.errno not in _ERRNOS_OF_AN_ADDRESS:
                    raise
        return self._open(ways[-1])

    def _open(self, way: Way) -> InputContainer:
        limits = self._limits
        longest_ms = max(limits.open_ms, limits.stall_ms)
        url, address, told = way
        options = {"rw_timeout": str(longest_ms * 1000), **self._request.options, **dict(told)}
        timeout = (limits.open_ms / 1000, limits.stall_ms / 1000)
        opens = None
        target = PullUrl.parse(self._request.url)
        if target.is_playlist:
            url, opens = target.url, PlaylistPlace(target, address, longest_ms / 1000).open
        # Titles and the like are the publisher's, in any encoding or none.
        return av.open(
            url, mode="r", options=options, timeout=timeout, metadata_errors="replace", io_open=opens
        )

    def _pass_on(self, container: InputContainer, contained: worker_pb2.Contained) -> None:
        reconfiguration: Reconfiguration | None = None
        last_dts_ms = -_DEFAULT_STEP_MS
        for packet in self._video_packets(container, contained):
            if self._alone:
                raise SourceStalled("video has come after all; it is looked for anew")
            self._check_size(packet.size)
            stream = packet.stream
            record = announced(packet)
            if reconfiguration is None:
                codec, extradata = _codec_of(stream)
                extradata = record or extradata
                reconfiguration = Reconfiguration(codec, extradata)
                opened = worker_pb2.PullOpened(codec=codec.value, extradata=extradata, contained=contained)
                self._send(worker_pb2.FromPuller(opened=opened))
                self._opened = True
            base = stream.time_base
            dts_ms = round(packet.dts * base * 1000) if packet.dts is not None and base else None
            dts_ms = last_dts_ms + _DEFAULT_STEP_MS if dts_ms is None else dts_ms
            pts_ms = round(packet.pts * base * 1000) if packet.pts is not None and base else dts_ms
            last_dts_ms = dts_ms
            keyframe = bool(packet.is_keyframe)
            data = reconfiguration.apply(bytes(packet), record, keyframe=keyframe)
            self._check_size(len(data))
            unit = AccessUnit(pts_ms, dts_ms, keyframe, data, 0.0)  # the supervisor sets the arrival
            self._write(ipc_framing.media_frame("", unit))
        if reconfiguration is None and not self._alone:
            audio = " (audio only)" if container.streams.audio else ""
            raise SourceStalled(f"the stream ended without video{audio}")

    def _check_size(self, size: int) -> None:
        """Parameter sets in band count: with them a unit may pass the limit that it kept without."""
        limit = self._limits.max_access_unit_bytes
        if size > limit:
            raise LimitExceeded("access_unit", limit, size, "bytes")

    def _video_packets(
        self, container: InputContainer, contained: worker_pb2.Contained
    ) -> Iterator[av.Packet[VideoStream]]:
        """Yields packets of the first video stream. It may appear only after the first audio. Raises NoVideo
        where none comes in time, unless audio alone is asked for."""
        chosen: int | None = None
        audio_since_ms: float | None = None
        most_ms = _AUDIO_SHARE * self._limits.open_ms
        for packet in container.demux():
            self._obey()
            stream = packet.stream
            if isinstance(stream, VideoStream) and packet.size and chosen in (None, stream.index):
                chosen = stream.index
                yield packet  # type: ignore[misc]
            elif isinstance(stream, AudioStream) and packet.size:
                audio_since_ms = audio_since_ms or self._clock.monotonic_ms()
                audio = self._audio.add_packet(packet) if self._wants_audio else None  # type: ignore[arg-type]
                if audio is not None:
                    self._send(worker_pb2.FromPuller(audio=audio_to_proto(audio)))
            now_ms = self._read_since_ms = self._clock.monotonic_ms()
            late = audio_since_ms is not None and now_ms - audio_since_ms > most_ms
            if chosen is None and late and not self._alone:
                if not self._request.audio_alone:
                    raise NoVideo(f"no video within {most_ms:.0f} ms (audio only)")
                self._alone = self._opened = True
                self._send(worker_pb2.FromPuller(opened=worker_pb2.PullOpened(contained=contained)))

    def _obey(self, *, wait: bool = False) -> None:
        """Takes the supervisor's newest wish for audio. Its end of the socket is open while it wants the
        stream."""
        try:
            said = self._connection.recv(_COMMANDS, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            sys.exit()
        self._wants_audio = said[-1:] == WANTS_AUDIO

    def _send(self, message: worker_pb2.FromPuller) -> None:
        self._write(ipc_framing.frame(message))

    def _write(self, raw: bytes) -> None:
        try:
            self._connection.sendall(raw)
        except OSError:
            sys.exit()

    def _translated(self, error: Exception) -> GateError:
        limit_ms = self._limits.wait_ms(opened=self._opened)
        waited_ms = self._clock.monotonic_ms() - self._read_since_ms
        if isinstance(error, av.error.ExitError) or waited_ms >= 0.9 * limit_ms:
            return self._limits.stalled(opened=self._opened)
        reason = getattr(error, "strerror", None) or str(error)
        return BrokenSource(reason) if self._is_damage(error) else SourceStalled(reason)

    def _is_damage(self, error: Exception) -> bool:
        """Whether the publisher may have caused it: no publisher gets rid of the gate by it.

        An RTMP server passes messages on before FFmpeg has opened the stream. Over HTTP only the server
        speaks until then.
        """
        if not self._connected:
            return self._request.url.startswith("rtmp") and isinstance(error, av.error.InvalidDataError)
        number = error.errno if isinstance(error, OSError | av.FFmpegError) else None
        return not isinstance(error, _OF_THE_WAY) and number not in _ERRNOS_OF_THE_WAY


def _codec_of(stream: VideoStream) -> tuple[Codec, bytes]:
    context = stream.codec_context
    if context is None:
        raise UnsupportedCodec("codec", "the video's codec is unknown")
    name = context.codec.canonical_name
    try:
        return Codec(name), context.extradata or b""
    except ValueError:
        raise UnsupportedCodec("codec", f"{name!r} is not decoded here") from None
