"""Unpacks aggregate messages: several messages in one, as FLV tags. Pure.

Source: Adobe, "RTMP 1.0" (2012), section 7.1.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge.errors import InvalidInput
from edge.ingest.message import Message, MessageType

_HEADER_BYTES: Final = 11
_BACK_POINTER_BYTES: Final = 4
_MEDIA: Final = (MessageType.AUDIO, MessageType.VIDEO, MessageType.DATA, MessageType.DATA_AMF3)


def unpack_aggregate(aggregate: Message) -> Iterator[Message]:
    """Yields the messages in an aggregate one at a time, with the timestamps of its connection.

    The first one has the aggregate's own timestamp, and the others keep their distance from it. All belong
    to the aggregate's message stream, whatever their tags say. The size behind each tag is not looked at,
    and the last one may be missing.

    Raises InvalidInput for a tag that is cut off, and for anything but media in it: another aggregate, or a
    command.
    """
    data = memoryview(aggregate.payload)
    at, shift = 0, None
    while at < len(data):
        head = data[at : at + _HEADER_BYTES]
        if len(head) < _HEADER_BYTES:
            raise InvalidInput("rtmp.aggregate", f"is cut off at byte {len(data)}, in the header of a tag")
        type_id, size = head[0], int.from_bytes(head[1:4], "big")
        if type_id not in _MEDIA:
            raise InvalidInput("rtmp.aggregate", f"holds a message of type {type_id}; only media is unpacked")
        at += _HEADER_BYTES
        if len(data) < at + size:
            raise InvalidInput("rtmp.aggregate", f"is cut off at byte {len(data)}, in a tag of {size} bytes")
        stamp = head[7] << 24 | int.from_bytes(head[4:7], "big")
        shift = aggregate.timestamp - stamp if shift is None else shift
        yield Message(type_id, stamp + shift & 0xFFFFFFFF, bytes(data[at : at + size]), aggregate.stream_id)
        at += size + _BACK_POINTER_BYTES
