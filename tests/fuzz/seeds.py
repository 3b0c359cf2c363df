"""Real inputs, made by this project's own encoders and writers. Mutation starts from them."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from edge.domain import Codec
from edge.ingest import amf
from edge.ingest.chunks import encode_message
from edge.ingest.flv import flv_tag
from edge.ingest.message import Message, MessageType
from edge.match import Bank, BankInfo, HashListFormat, write_hash_list
from edge.match.entry import AudioPrint, Entry, EntryKind, Footage, HashRun, Variant
from edge.match.footage_message import footage_to_bytes
from edge.policy import Policy
from edge.stream.synthetic import EncodedMedia, encode
from tests.detect.importing.tiny_tflite import TinyOperator, TinyTensor, tiny_tflite

_CONNECT: Final = amf.encode("connect", 1.0, {"app": "live", "fourCcList": ["hvc1"], "tcUrl": "rtmp://a"})
_PUBLISH: Final = amf.encode("publish", 3.0, None, "cam?user=u&key=k", "live")
_METADATA: Final = amf.encode("@setDataFrame", "onMetaData", {"width": 640.0, "ok": True, "all": [1.0, None]})


@cache
def media() -> tuple[EncodedMedia, ...]:
    """A short stream of every codec and framing, with and without B-frames."""
    framed = [encode(codec, frames=12, gop=6, size=(64, 96)) for codec in Codec]
    in_band = [encode(codec, frames=12, gop=6, size=(64, 96), in_band=True) for codec in Codec]
    return (*framed, *in_band, encode(Codec.H264, frames=12, gop=6, size=(64, 96), b_frames=2))


def tflite_files() -> tuple[bytes, ...]:
    """A convolution with 8-bit weights, and a small classifier."""
    window = {"StrideH": 2, "StrideW": 2, "DilationHFactor": 1, "DilationWFactor": 1}
    weights = np.ones((4, 3, 3, 1), np.int8)
    tensors = [
        TinyTensor((1, 8, 8, 1)),
        TinyTensor((4, 3, 3, 1), weights, [0.1] * 4),
        TinyTensor((1, 4, 4, 4)),
    ]
    convolution = TinyOperator("CONV_2D", (0, 1, -1), (2,), window)
    rest = [
        TinyTensor((2,), np.array([1, 2], np.int32)),
        TinyTensor((1, 4)),
        TinyTensor((3, 4), np.ones((3, 4), np.float32)),
        TinyTensor((1, 3)),
    ]
    classifier = [
        convolution,
        TinyOperator("MEAN", (2, 3), (4,), {"KeepDims": 1}),
        TinyOperator("FULLY_CONNECTED", (4, 5, -1), (6,), {"FusedActivationFunction": 0}),
    ]
    return (
        tiny_tflite(tensors, [convolution], [0], [2]),
        tiny_tflite([*tensors, *rest], classifier, [0], [6]),
    )


def units() -> list[bytes]:
    return [unit.data for each in media() for unit in each.units[:4]]


def extradata() -> list[bytes]:
    return [each.extradata for each in media() if each.extradata]


def flv_video() -> list[bytes]:
    """Payloads of FLV video tags: classic AVC, and enhanced for the others."""
    found = []
    for each in media():
        fourcc = {Codec.HEVC: b"hvc1", Codec.AV1: b"av01", Codec.VP9: b"vp09"}.get(each.codec)
        for index, unit in enumerate(each.units[:3]):
            frame = 0x10 if unit.keyframe else 0x20
            if fourcc is None:
                body = each.extradata if index == 0 else unit.data
                found.append(bytes((frame | 7, min(index, 1), 0, 0, 0)) + body)
            else:
                body = each.extradata if index == 0 else b"\0\0\0" + unit.data
                found.append(bytes((0x80 | frame | min(index, 1),)) + fourcc + body)
    return found


def flv_audio() -> list[bytes]:
    aac = [b"\xaf\0\x12\x10", b"\xaf\1" + bytes(60), b"\x90mp4a\x12\x10"]
    return [*aac, b"\x2f\xff\xfb" + bytes(40), b"\x91Opus" + bytes(30)]


def amf_values() -> list[bytes]:
    return [_CONNECT, _PUBLISH, _METADATA, amf.encode("createStream", 2.0, None)]


def chunks() -> list[bytes]:
    """Bytes of a whole connection after its handshake."""
    bodies = [
        (MessageType.COMMAND, _CONNECT),
        (MessageType.COMMAND, _PUBLISH),
        (MessageType.DATA, _METADATA),
        *((MessageType.VIDEO, payload) for payload in flv_video()[:6]),
        *((MessageType.AUDIO, payload) for payload in flv_audio()),
    ]

    tags = (Message(kind, 40 * at, body) for at, (kind, body) in enumerate(bodies[2:]))
    bodies.append((MessageType.AGGREGATE, b"".join(flv_tag(tag, tag.timestamp) for tag in tags)))

    def whole(size: int) -> bytes:
        messages = (Message(kind, 40 * at, body, 1) for at, (kind, body) in enumerate(bodies))
        return b"".join(encode_message(message, 3 + message.type_id % 5, size) for message in messages)

    return [whole(128), whole(128)[:400], b"\2\0\0\0\0\0\4\1\0\0\0\0\0\0\x10\0" + whole(4096)]


def policies() -> list[bytes]:
    whole = Policy().model_dump(mode="json")
    overrides = {
        "apps": {"kids-*": {"tiers": {"blind_limit_ms": 1500}}},
        "tenants": {"a": {"budget_ms": 300}},
    }
    return [json.dumps(each).encode() for each in (whole, {**whole, **overrides}, overrides, {})]


def hash_lists() -> dict[HashListFormat, list[bytes]]:
    one, two = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22", "ab" * 32
    record = {"signalType": "ImagePDQ", "hashValue": one, "caseNumbers": {"1": "Active"}}
    jsonl = io.StringIO()
    write_hash_list(footage(), jsonl, HashListFormat.JSONL)
    return {
        HashListFormat.VPDQ: [f"0,100,{one},0.0\n25,99,{two},1.0\n".encode()],
        HashListFormat.VPDQ_JSON: [json.dumps([f"{one},100,0.0", f"{two},99,1.0"]).encode()],
        HashListFormat.PDQ: [f"{one}\n{two}\n".encode(), f"{one}\n".encode("utf-16")],
        HashListFormat.CSV: [f"hash,quality,id,label\n{one},100,a,x\n{two},90,b,y\n".encode()],
        HashListFormat.STOPNCII: [json.dumps({"hashRecords": [record], "nextPageToken": "t"}).encode()],
        HashListFormat.JSONL: [jsonl.getvalue().encode(), b'{"withdrawn": true, "id": "clip"}'],
    }


STAT: Final = b"""<?xml version="1.0" encoding="utf-8" ?><rtmp><nginx_version>1</nginx_version><pid>77</pid>
<server><application><name>live</name><live><stream><name>cam</name><bw_in>1</bw_in><client><id>5</id>
<address>192.0.2.1</address><flashver>FMLE/3.0 &amp; more</flashver><pageurl>p</pageurl><publishing/><active/>
</client><client><id>6</id></client><meta><video><width>640</width></video></meta></stream></live></application>
</server></rtmp>"""
"""As nginx-rtmp writes it."""


def footage() -> list[Footage]:
    random = np.random.default_rng(7)
    runs = tuple(
        HashRun(random.bytes(32), start_ms=40 * at, span_ms=at % 3, quality=90, variant=Variant.ORIGINAL)
        for at in range(20)
    )
    sound = AudioPrint(random.bytes(4 * 200))
    return [
        Footage(Entry("clip", EntryKind.VIDEO, "fight", duration_ms=800), runs, sound),
        Footage(Entry("still", EntryKind.IMAGE), runs[:1]),
    ]


def footage_messages() -> list[bytes]:
    return [footage_to_bytes(each, 0, {"landlock": "switched off"}) for each in footage()]


def bank(directory: Path) -> tuple[bytes, list[bytes]]:
    """A bank's manifest and its segments."""
    made = Bank.create(directory / "known", BankInfo(label="known_footage"))
    made.add_footage(footage())
    manifest = (directory / "known.bank").read_bytes()
    return manifest, [path.read_bytes() for path in sorted(directory.glob("known-*.seg"))]
