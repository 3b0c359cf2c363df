"""A bounded codec for AMF0, the encoding of RTMP commands (Adobe, "Action Message Format - AMF 0", 2007).

Publishers send a handful of small values. Deeper nesting or more values is hostile.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

from edge.errors import InvalidInput, LimitExceeded

AmfValue: TypeAlias = "float | bool | str | list[AmfValue] | dict[str, AmfValue] | None"

MAX_DEPTH = 4
MAX_VALUES = 256

_NUMBER, _BOOLEAN, _STRING, _OBJECT = 0x00, 0x01, 0x02, 0x03
_NULL, _UNDEFINED, _ECMA_ARRAY, _OBJECT_END = 0x05, 0x06, 0x08, 0x09
_STRICT_ARRAY, _DATE, _LONG_STRING = 0x0A, 0x0B, 0x0C


def decode(payload: bytes) -> list[AmfValue]:
    """Decodes all values of a command or data message, in order.

    Raises InvalidInput for a truncated or unknown value, LimitExceeded beyond 256 values or a nesting of 4.
    """
    reader = _AmfReader(payload)
    values: list[AmfValue] = []
    while not reader.at_end:
        values.append(reader.value(0))
    return values


def encode(*values: AmfValue) -> bytes:
    """Encodes values one after another, as commands carry them."""
    return b"".join(_encode(value) for value in values)


class _AmfReader:
    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0
        self._count = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._payload)

    def _take(self, size: int) -> bytes:
        taken = self._payload[self._at : self._at + size]
        if len(taken) < size:
            raise InvalidInput("rtmp.command", f"truncated at byte {len(self._payload)}")
        self._at += size
        return taken

    def _text(self, length_bytes: int) -> str:
        size = int.from_bytes(self._take(length_bytes), "big")
        return self._take(size).decode("utf-8", errors="replace")

    def value(self, depth: int) -> AmfValue:
        self._count += 1
        if self._count > MAX_VALUES:
            raise LimitExceeded("rtmp.command", MAX_VALUES, self._count, "values")
        if depth > MAX_DEPTH:
            raise LimitExceeded("rtmp.command", MAX_DEPTH, depth, "levels")
        marker = self._take(1)[0]
        if marker == _NUMBER:
            return float(struct.unpack(">d", self._take(8))[0])
        if marker == _BOOLEAN:
            return self._take(1) != b"\0"
        if marker == _STRING:
            return self._text(2)
        if marker == _LONG_STRING:
            return self._text(4)
        if marker in (_NULL, _UNDEFINED):
            return None
        if marker == _DATE:
            return float(struct.unpack(">d2x", self._take(10))[0])
        if marker == _STRICT_ARRAY:
            size = int.from_bytes(self._take(4), "big")
            if size > MAX_VALUES:
                raise LimitExceeded("rtmp.command", MAX_VALUES, size, "values")
            return [self.value(depth + 1) for _ in range(size)]
        if marker == _ECMA_ARRAY:
            self._take(4)  # the count is approximate: the end marker ends the array
            return self._properties(depth)
        if marker == _OBJECT:
            return self._properties(depth)
        raise InvalidInput("rtmp.command", f"AMF0 type 0x{marker:02x} is not supported")

    def _properties(self, depth: int) -> dict[str, AmfValue]:
        found: dict[str, AmfValue] = {}
        while True:
            name = self._text(2)
            if not name and self._payload[self._at : self._at + 1] == bytes([_OBJECT_END]):
                self._at += 1
                return found
            found[name] = self.value(depth + 1)


def _encode(value: AmfValue) -> bytes:
    if value is None:
        return bytes([_NULL])
    if isinstance(value, bool):
        return bytes([_BOOLEAN, value])
    if isinstance(value, int | float):
        return bytes([_NUMBER]) + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        if len(text) > 0xFFFF:
            return bytes([_LONG_STRING]) + struct.pack(">I", len(text)) + text
        return bytes([_STRING]) + struct.pack(">H", len(text)) + text
    if isinstance(value, list):
        return bytes([_STRICT_ARRAY]) + struct.pack(">I", len(value)) + encode(*value)
    body = b"".join(_encode(key)[1:] + _encode(each) for key, each in value.items())
    return bytes([_OBJECT]) + body + bytes([0, 0, _OBJECT_END])
