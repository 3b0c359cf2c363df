"""HEIC photos of tiles, as telephones make them (ISO/IEC 23008-12). No encoder at hand writes any."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]


def write_tiles(path: Path, picture: U8, rows: int, columns: int, thumbnail: U8 | None = None) -> Path:
    """Writes a photo of ``rows`` × ``columns`` tiles, with a small copy of the whole beside them."""
    height, width = picture.shape
    tile_height, tile_width = height // rows, width // columns
    parts = [
        picture[row : row + tile_height, column : column + tile_width]
        for row in range(0, height, tile_height)
        for column in range(0, width, tile_width)
    ]
    coded = [_coded(part) for part in parts]
    tiles, grid = range(1, len(parts) + 1), len(parts) + 1
    kinds = [b"hvc1"] * len(parts) + [b"grid"]
    data = [sample for _, sample in coded]
    data.append(struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height))
    references = [_box(b"dimg", struct.pack(f">HH{len(parts)}H", grid, len(parts), *tiles))]
    properties = [_box(b"hvcC", coded[0][0]), _size(tile_width, tile_height), _size(width, height)]
    uses = {**dict.fromkeys(tiles, (0x81, 2)), grid: (3,)}
    if thumbnail is not None:
        configuration, sample = _coded(thumbnail)
        kinds.append(b"hvc1")
        data.append(sample)
        references.append(_box(b"thmb", struct.pack(">HHH", grid + 1, 1, grid)))
        properties += [_box(b"hvcC", configuration), _size(thumbnail.shape[1], thumbnail.shape[0])]
        uses[grid + 1] = (0x84, 5)
    head = _box(b"ftyp", b"heic", bytes(4), b"mif1", b"heic")

    def meta(base: int) -> bytes:
        places = b""
        for number, item in enumerate(data, 1):
            places += struct.pack(">HHHII", number, 0, 1, base, len(item))
            base += len(item)
        items = [
            _full(b"infe", 2, struct.pack(">HH4s", number, 0, kind), b"\0")
            for number, kind in enumerate(kinds, 1)
        ]
        used = [struct.pack(f">HB{len(p)}B", number, len(p), *p) for number, p in uses.items()]
        return _full(
            b"meta",
            0,
            _full(b"hdlr", 0, struct.pack(">I4s12s", 0, b"pict", b""), b"\0"),
            _full(b"pitm", 0, struct.pack(">H", grid)),
            _full(b"iinf", 0, struct.pack(">H", len(items)), *items),
            _full(b"iref", 0, *references),
            _box(
                b"iprp",
                _box(b"ipco", *properties),
                _full(b"ipma", 0, struct.pack(">I", len(used)), *used),
            ),
            _full(b"iloc", 0, b"\x44\x00", struct.pack(">H", len(data)), places),
        )

    path.write_bytes(head + meta(len(head) + len(meta(0)) + 8) + _box(b"mdat", *data))
    return path


def _coded(picture: U8) -> tuple[bytes, bytes]:
    """The decoder configuration and the one sample of a frame in HEVC."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as media:
        options = {"x265-params": "log-level=none:keyint=1", "crf": "10"}
        stream = media.add_stream("libx265", rate=1, options=options)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
        media.mux(stream.encode(frame.reformat(format="yuv420p")))
        media.mux(stream.encode())
    out.seek(0)
    with av.open(out, "r") as coded_file:
        coded = coded_file.streams.video[0]
        sample = next(packet for packet in coded_file.demux(coded) if packet.size)
        return bytes(coded.codec_context.extradata or b""), bytes(sample)


def _size(width: int, height: int) -> bytes:
    return _full(b"ispe", 0, struct.pack(">II", width, height))


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24), *parts)
