"""Footage as bytes, for the pipe from a contained fingerprinting process.

Not pickle: the process has touched hostile media and must not be able to run code in its parent. Layout: u32
length of a header as JSON, the header, the packed hash runs, the items of the audio.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from typing import Any, Final

from edge.errors import (
    BrokenMedia,
    ConfigError,
    FingerprintFailed,
    GateError,
    InvalidInput,
    LimitExceeded,
    NotContained,
    NotMedia,
    NoVideo,
)
from edge.match.entry import AudioPrint, Entry, EntryKind, Footage, HashRun, Variant

PROGRESS: Final = struct.Struct("<dd")
"""Seconds done and seconds in all, on a pipe of its own."""
_LENGTH: Final = struct.Struct("<I")
_WRONG: Final = (
    *(struct.error, KeyError, TypeError, ValueError, AttributeError, IndexError),
    *(OverflowError, RecursionError),
)
_RUN: Final = struct.Struct("<32sIIBB")
_PLAIN: Final = {
    BrokenMedia.reason: BrokenMedia,
    ConfigError.reason: ConfigError,
    FingerprintFailed.reason: FingerprintFailed,
    NotContained.reason: ConfigError,
    NotMedia.reason: NotMedia,
    NoVideo.reason: NoVideo,
}


def footage_to_bytes(footage: Footage, damaged_packets: int, missing: dict[str, str]) -> bytes:
    """``missing`` says which measures do not contain the process, and why."""
    audio = footage.audio
    runs = (_RUN.pack(r.bits, r.start_ms, r.span_ms, r.quality, r.variant) for r in footage.hashes)
    header = {
        "entry": asdict(footage.entry),
        "runs": len(footage.hashes),
        "sound_start_ms": None if audio is None else audio.start_ms,
        "still_ms": footage.still_ms,
        "damaged_packets": damaged_packets,
        "missing": missing,
    }
    return b"".join((_framed(header), *runs, b"" if audio is None else audio.items))


def error_to_bytes(error: GateError) -> bytes:
    """An error of the process in place of footage."""
    said: dict[str, Any] = {"reason": error.reason, "text": str(error)}
    if isinstance(error, InvalidInput):
        said |= {"field": error.field, "problem": error.problem}
    if isinstance(error, LimitExceeded):
        said["limit"], said["actual"] = error.limit, error.actual
    return _framed({"error": said})


def footage_of_bytes(raw: bytes) -> tuple[Footage, int, dict[str, str]]:
    """Returns footage, damaged packets and missing measures.

    Raises the error that the process has met. Raises BrokenMedia where the bytes keep no format, as from a
    process that the media has taken over.
    """
    try:
        (length,) = _LENGTH.unpack_from(raw)
        header = json.loads(raw[_LENGTH.size : _LENGTH.size + length])
        body = memoryview(raw)[_LENGTH.size + length :]
        if "error" in header:
            raise _error_of(header["error"])
        entry = header["entry"]
        size = _RUN.size * header["runs"]
        start_ms, items = header["sound_start_ms"], bytes(body[size:])
        return (
            Footage(
                Entry(**{**entry, "kind": EntryKind(entry["kind"])}),
                tuple(
                    HashRun(bits, start, span, quality, Variant(number))
                    for bits, start, span, quality, number in _RUN.iter_unpack(body[:size])
                ),
                None if start_ms is None else AudioPrint(items, start_ms),
                tuple(int(at) for at in header["still_ms"]),
            ),
            int(header["damaged_packets"]),
            {str(measure): str(why) for measure, why in header["missing"].items()},
        )
    except _WRONG as error:
        raise BrokenMedia(f"the fingerprinting process answered no footage: {type(error).__name__}") from None


def _framed(header: dict[str, Any]) -> bytes:
    raw = json.dumps(header).encode()
    return _LENGTH.pack(len(raw)) + raw


def _error_of(said: dict[str, Any]) -> GateError:
    text = str(said["text"])
    if said["reason"] == LimitExceeded.reason:
        limit = LimitExceeded(str(said["field"]), said["limit"], said["actual"], "")
        limit.args = (text,)
        return limit
    if said["reason"] == InvalidInput.reason:
        return InvalidInput(str(said["field"]), str(said["problem"]))
    return _PLAIN.get(said["reason"], BrokenMedia)(text)
