"""RTMP chunks: any split of the bytes, any interleaving, and hostile input."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput, LimitExceeded
from edge.ingest.chunks import (
    MAX_CHUNK_STREAMS,
    MAX_EMPTY_MESSAGES,
    MIN_CHUNK_BYTES,
    ChunkReader,
    encode_message,
)
from edge.ingest.message import Message, MessageType

LIMIT = 64 * 1024
MESSAGES = st.lists(
    st.builds(
        Message,
        type_id=st.sampled_from([MessageType.AUDIO, MessageType.VIDEO, MessageType.COMMAND]),
        timestamp=st.one_of(st.integers(0, 5000), st.integers(0xFFFFF0, 0xFFFFFFFF)),
        payload=st.binary(max_size=700),
        stream_id=st.integers(0, 2**32 - 1),
    ),
    max_size=12,
)


def read(data: bytes, pieces: list[int] | None = None, reader: ChunkReader | None = None) -> list[Message]:
    reader = reader or ChunkReader(LIMIT)
    out: list[Message] = []
    at = 0
    for size in [*(pieces or []), len(data)]:
        reader.feed(data[at : at + size])
        at += size
        while (message := reader.read()) is not None:
            out.append(message)
    return out


@given(MESSAGES, st.lists(st.integers(1, 300), max_size=30), st.integers(128, 2000))
def test_what_is_written_is_read_however_the_bytes_are_split(
    messages: list[Message], pieces: list[int], chunk_size: int
) -> None:
    resize = Message(MessageType.SET_CHUNK_SIZE, 0, struct.pack(">I", chunk_size))
    data = encode_message(resize, 2, 128)
    data += b"".join(encode_message(message, 5, chunk_size) for message in messages)
    assert read(data, pieces) == [resize, *messages]


@given(st.binary(max_size=4000), st.lists(st.integers(1, 300), max_size=30))
def test_random_bytes_give_messages_or_a_named_error(data: bytes, pieces: list[int]) -> None:
    with contextlib.suppress(InvalidInput):
        read(data, pieces)


def header(form: int, stream: int, stamp: int, length: int = 0, kind: int = 9) -> bytes:
    out = bytes([form << 6 | stream])
    if form < 3:
        out += min(stamp, 0xFFFFFF).to_bytes(3, "big")
    if form < 2:
        out += length.to_bytes(3, "big") + bytes([kind])
    if form == 0:
        out += (1).to_bytes(4, "little")
    return out + (stamp.to_bytes(4, "big") if stamp >= 0xFFFFFF else b"")


def test_a_type_3_chunk_that_opens_a_message_repeats_the_delta() -> None:
    data = header(0, 4, 1000, 2) + b"aa" + header(2, 4, 40) + b"bb" + header(3, 4, 0) + b"cc"
    assert [message.timestamp for message in read(data)] == [1000, 1040, 1080]


def test_extended_timestamps_beyond_4_6_hours() -> None:
    stamp = 20_000_000
    payload = bytes(range(200))
    whole = (
        header(0, 4, stamp, 200) + payload[:128] + bytes([0xC4]) + stamp.to_bytes(4, "big") + payload[128:]
    )
    # Some encoders do not repeat the extended timestamp in the chunks that continue a message.
    short = header(0, 4, stamp, 200) + payload[:128] + bytes([0xC4]) + payload[128:]
    for data in (whole, short):
        [message] = read(data)
        assert (message.timestamp, message.payload) == (stamp, payload)
    [_, later] = read(whole + header(1, 4, 40, 3) + b"end")
    assert (later.timestamp, later.payload) == (stamp + 40, b"end")


def test_timestamps_wrap_at_32_bits() -> None:
    data = header(0, 4, 0xFFFFFFF0, 1) + b"a" + header(1, 4, 32, 1) + b"b"
    assert [message.timestamp for message in read(data)] == [0xFFFFFFF0, 16]


def test_messages_of_two_chunk_streams_interleave() -> None:
    video, audio = bytes(200), bytes(150)
    data = header(0, 6, 5, 200) + video[:128] + header(0, 4, 7, 150, 8) + audio[:128]
    data += bytes([0xC6]) + video[128:] + bytes([0xC4]) + audio[128:]
    assert [(message.type_id, len(message.payload)) for message in read(data)] == [(9, 200), (8, 150)]


def test_abort_drops_a_message_that_has_begun() -> None:
    data = header(0, 6, 5, 200) + bytes(128)
    data += encode_message(Message(MessageType.ABORT, 0, struct.pack(">I", 6)), 2, 128)
    data += header(0, 6, 9, 1) + b"x"
    assert [message.payload for message in read(data)][1:] == [b"x"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (header(0, 4, 0, LIMIT + 1), "rtmp.video"),
        (header(0, 4, 0, 0xFFFFFF, 8), "rtmp.audio"),
        (header(0, 4, 0, 0xFFFFFF, 20), "rtmp.command"),
        (header(0, 4, 0, 65, 1), "rtmp.control"),
        (
            b"".join(header(0, stream, 0, 0) for stream in range(2, 4 + MAX_CHUNK_STREAMS)),
            "rtmp.chunk_streams",
        ),
    ],
)
def test_what_takes_memory_is_refused_by_name_and_limit(data: bytes, field: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(data)
    assert caught.value.field == field


def test_unfinished_messages_cannot_add_up() -> None:
    reader = ChunkReader(LIMIT)
    resize = encode_message(Message(MessageType.SET_CHUNK_SIZE, 0, struct.pack(">I", LIMIT - 1)), 2, 128)
    read(resize, reader=reader)
    for stream in (3, 4):
        assert read(header(0, stream, 0, LIMIT) + bytes(LIMIT - 1), reader=reader) == []
    with pytest.raises(LimitExceeded) as caught:
        read(header(0, 5, 0, LIMIT) + bytes(LIMIT - 1), reader=reader)
    assert caught.value.field == "rtmp.unfinished_messages"


def test_empty_messages_beside_others_are_taken_and_nothing_but_them_is_refused() -> None:
    reader = ChunkReader(LIMIT)
    beside = (header(0, 4, 0, 0, 8) + header(0, 6, 0, 1, 9) + b"x") * 10 * MAX_EMPTY_MESSAGES
    assert len(read(beside, reader=reader)) == 20 * MAX_EMPTY_MESSAGES
    # After its header each further byte is a message.
    nothing = header(0, 4, 0, 0, 8) + bytes([0xC4]) * (MAX_EMPTY_MESSAGES - 1)
    assert len(read(nothing, reader=reader)) == MAX_EMPTY_MESSAGES
    with pytest.raises(LimitExceeded) as caught:
        read(bytes([0xC4]), reader=reader)
    assert caught.value.field == "rtmp.empty_messages"


@pytest.mark.parametrize(
    "data",
    [
        header(3, 4, 0),
        header(2, 4, 0),
        header(0, 6, 5, 200) + bytes(128) + header(0, 6, 5, 200),
        encode_message(Message(MessageType.SET_CHUNK_SIZE, 0, bytes(4)), 2, 128),
        encode_message(
            Message(MessageType.SET_CHUNK_SIZE, 0, struct.pack(">I", MIN_CHUNK_BYTES - 1)), 2, 128
        ),
        encode_message(Message(MessageType.SET_CHUNK_SIZE, 0, b"\x01"), 2, 128),
    ],
)
def test_what_no_publisher_sends_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(data)
