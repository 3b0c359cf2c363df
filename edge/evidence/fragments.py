"""Writes access units as fragmented MP4, which a browser can show while it still grows. Pure.

Nothing is decoded and no library reads the media, so that it can be done where a crash must not be: beside
the judging of streams. ISO/IEC 14496-12; ISO BMFF Byte Stream Format of Media Source Extensions.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from edge.domain import AccessUnit
from edge.evidence.decoder_record import DecoderRecord, decoder_record

MEDIA_TYPE: Final = "video/mp4"
_TIMESCALE: Final = 1000
_MATRIX: Final = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_LANGUAGE_NONE: Final = 0x55C4
_MOST_STEP_MS: Final = 60_000
_MOST_OFFSET_MS: Final = 60_000
_KEYFRAME: Final = 0x02000000
_DELTA: Final = 0x01010000
_TRUN_FLAGS: Final = 0x000F01
"""Each sample has its length in time, its size, its flags and its time of showing; and where the data is."""
_TRUN_ENTRY: Final = struct.Struct(">IIIi")


class FragmentWriter:
    """Writes one file in pieces: ``head``, and then what ``fragment`` returns. Its own time starts at 0."""

    def __init__(self, codec: str, extradata: bytes, keyframe: AccessUnit) -> None:
        """``keyframe`` is the first unit. Raises what ``decoder_record`` raises."""
        self._record = decoder_record(codec, extradata, keyframe)
        self._start_ms = keyframe.dts_ms
        self._dts = 0
        self._number = 0

    @property
    def media_type(self) -> str:
        """The media type with its ``codecs``, for a browser to say whether it can show it."""
        return f'{MEDIA_TYPE}; codecs="{self._record.name}"'

    @property
    def head(self) -> bytes:
        """The initialisation segment."""
        return _head(self._record)

    @property
    def end_ms(self) -> int:
        """Where the file ends by now, milliseconds of its own time."""
        return self._dts

    def fragment(self, units: Sequence[AccessUnit], next_dts_ms: int) -> bytes:
        """Returns a fragment of units that follow one another in decoding order. Empty: none has data.

        Times of decoding never go back. Nothing is shown before it is decoded, or for over a minute.
        """
        begin = self._dts = max(self._dts, units[0].dts_ms - self._start_ms)
        entries, samples = [], []
        for unit, after in zip(units, [*(each.dts_ms for each in units[1:]), next_dts_ms], strict=True):
            step = min(max(after - self._start_ms - self._dts, 1), _MOST_STEP_MS)
            sample = self._record.sample(unit.data)
            shown = min(max(unit.pts_ms - unit.dts_ms, 0), _MOST_OFFSET_MS)
            entries.append((step, len(sample), _KEYFRAME if unit.keyframe else _DELTA, shown))
            samples.append(sample)
            self._dts += step
        data = b"".join(samples)
        if not data:
            return b""
        self._number += 1
        return _moof(self._number, begin, entries) + _box("mdat", data)


def _head(record: DecoderRecord) -> bytes:
    brands = _box("ftyp", b"iso6", struct.pack(">I", 0), b"iso6", b"mp41", record.entry.encode())
    movie = _full(
        "mvhd", 0, 0, struct.pack(">4I", 0, 0, _TIMESCALE, 0), struct.pack(">IHxx8x", 1 << 16, 1 << 8),
        _MATRIX, bytes(24), struct.pack(">I", 2),
    )  # fmt: skip
    track = _full(
        "tkhd", 0, 7, struct.pack(">5I", 0, 0, 1, 0, 0), bytes(16), _MATRIX,
        struct.pack(">2I", record.width << 16, record.height << 16),
    )  # fmt: skip
    media = _full("mdhd", 0, 0, struct.pack(">4IHH", 0, 0, _TIMESCALE, 0, _LANGUAGE_NONE, 0))
    handler = _full("hdlr", 0, 0, bytes(4), b"vide", bytes(12), b"video\0")
    entry = _box(
        record.entry, bytes(6), struct.pack(">H", 1), bytes(16),
        struct.pack(">2H3IH", record.width, record.height, 72 << 16, 72 << 16, 0, 1), bytes(32),
        struct.pack(">Hh", 24, -1),
        _box(record.box, record.record),
    )  # fmt: skip
    none = struct.pack(">I", 0)
    tables = _box(
        "stbl", _full("stsd", 0, 0, struct.pack(">I", 1), entry), _full("stts", 0, 0, none),
        _full("stsc", 0, 0, none), _full("stsz", 0, 0, none, none), _full("stco", 0, 0, none),
    )  # fmt: skip
    reference = _box("dinf", _full("dref", 0, 0, struct.pack(">I", 1), _full("url ", 0, 1)))
    information = _box("minf", _full("vmhd", 0, 1, bytes(8)), reference, tables)
    tracks = _box("trak", track, _box("mdia", media, handler, information))
    extends = _box("mvex", _full("trex", 0, 0, struct.pack(">5I", 1, 1, 0, 0, 0)))
    return brands + _box("moov", movie, tracks, extends)


def _moof(number: int, begin: int, entries: Sequence[tuple[int, int, int, int]]) -> bytes:
    table = b"".join(_TRUN_ENTRY.pack(*entry) for entry in entries)

    def moof(offset: int) -> bytes:
        run = _full("trun", 1, _TRUN_FLAGS, struct.pack(">Ii", len(entries), offset), table)
        fragment = _full("tfhd", 0, 0x020000, struct.pack(">I", 1))  # offsets count from this moof
        time = _full("tfdt", 1, 0, struct.pack(">Q", begin))
        return _box("moof", _full("mfhd", 0, 0, struct.pack(">I", number)), _box("traf", fragment, time, run))

    return moof(len(moof(0)) + 8)


def _box(kind: str, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind.encode()) + content


def _full(kind: str, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)
