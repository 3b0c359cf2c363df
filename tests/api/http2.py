"""One HTTP/2 connection by hand, so that a test sees what gRPC does with pings and settings."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
CANCEL: Final = 8
ACK: Final = 1
END_HEADERS: Final = 4
MAX_CONCURRENT_STREAMS: Final = 3
TOO_MANY_PINGS: Final = 11
"""ENHANCE_YOUR_CALM"""
PATIENCE_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    flags: int
    stream: int
    body: bytes

    @property
    def error(self) -> int:
        """The code of a GOAWAY."""
        return int(struct.unpack(">I", self.body[4:8])[0])


class Http2:
    """A client that answers settings, and pings only where it is told to."""

    def __init__(self, port: int, *, answers_pings: bool = True, greets: bool = True) -> None:
        self._answers_pings = answers_pings
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._unread = b""
        if greets:
            self._write(PREFACE)
            self.send(SETTINGS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, kind: int, body: bytes = b"", flags: int = 0, stream: int = 0) -> None:
        self._write(struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body)

    def _write(self, data: bytes) -> None:
        """A server may close a connection at any time: ``frames`` tells, and writing does not fail."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def call(self, path: str, stream: int = 1) -> None:
        """Opens a call and sends nothing more."""
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "gate",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
        self.send(HEADERS, block, END_HEADERS, stream)

    def cancel(self, stream: int) -> None:
        self.send(RST_STREAM, struct.pack(">I", CANCEL), 0, stream)

    def ping(self, number: int) -> None:
        self.send(PING, struct.pack(">Q", number))

    def frames(self, patience_s: float = PATIENCE_S) -> Iterator[Frame]:
        """Frames until the server closes the connection, or until nothing has come for long enough."""
        until = time.monotonic() + patience_s
        while True:
            while len(self._unread) >= 9:
                size = int.from_bytes(self._unread[:3])
                if len(self._unread) < 9 + size:
                    break
                kind, flags, stream = struct.unpack(">BBI", self._unread[3:9])
                frame = Frame(kind, flags, stream, self._unread[9 : 9 + size])
                self._unread = self._unread[9 + size :]
                self._answer(frame)
                yield frame
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            try:
                more = self._socket.recv(65536)
            except TimeoutError:
                return
            except OSError:
                more = b""
            if not more:
                return
            self._unread += more

    def first(self, kind: int, flags: int | None = None) -> Frame | None:
        """The first frame of a kind. None where none comes."""
        for frame in self.frames():
            if frame.kind == kind and flags in (None, frame.flags):
                return frame
        return None

    def is_closed_within(self, patience_s: float) -> bool:
        """Whether the server closes the connection before so long has passed."""
        until = time.monotonic() + patience_s
        for _ in self.frames(patience_s):
            pass
        return time.monotonic() < until

    def is_closed_by_the_server(self) -> bool:
        """Waits for that."""
        for _ in self.frames():
            pass
        self._socket.settimeout(0.01)
        try:
            return self._socket.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def _answer(self, frame: Frame) -> None:
        try:
            if frame.kind == SETTINGS and not frame.flags & ACK:
                self.send(SETTINGS, flags=ACK)
            elif frame.kind == PING and not frame.flags & ACK and self._answers_pings:
                self.send(PING, frame.body, ACK)
        except OSError:
            pass  # the server has closed the connection


def settings_of(frame: Frame) -> dict[int, int]:
    """The settings in a frame, by their numbers."""
    return dict(struct.unpack(">HI", frame.body[at : at + 6]) for at in range(0, len(frame.body), 6))


def _text(value: str) -> bytes:
    raw = value.encode()
    return bytes([len(raw)]) + raw
