"""RTMP messages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class MessageType(IntEnum):
    """Message type ids that a publisher uses."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACK_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20
    AGGREGATE = 22


@dataclass(frozen=True, slots=True)
class Message:
    """One whole RTMP message. ``timestamp`` is in milliseconds, 32 bits, and wraps around."""

    type_id: int
    timestamp: int
    payload: bytes
    stream_id: int = 0
