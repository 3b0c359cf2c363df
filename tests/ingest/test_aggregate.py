"""Aggregate messages: what is in them comes out as if it had been sent by itself."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput, LimitExceeded
from edge.ingest.aggregate import unpack_aggregate
from edge.ingest.chunks import MAX_AUDIO_BYTES, MAX_EMPTY_MESSAGES, ChunkReader, encode_message
from edge.ingest.flv import flv_tag
from edge.ingest.message import Message, MessageType

STAMPS = st.one_of(st.integers(0, 5000), st.integers(0xFFFF00, 0x1000100), st.integers(0, 2**32 - 1))
TAGS = st.lists(
    st.tuples(
        st.sampled_from([MessageType.AUDIO, MessageType.VIDEO, MessageType.DATA]), st.binary(max_size=90)
    ),
    min_size=1,
    max_size=8,
)


def aggregate(*tags: Message, timestamp: int = 0) -> Message:
    data = b"".join(flv_tag(tag, tag.timestamp) for tag in tags)
    return Message(MessageType.AGGREGATE, timestamp, data, 1)


@given(TAGS, STAMPS, STAMPS, st.lists(st.integers(-50, 400), min_size=8, max_size=8))
def test_messages_come_out_with_the_connections_own_time(
    tags: list[tuple[int, bytes]], timestamp: int, first: int, steps: list[int]
) -> None:
    shifts = [0, *(sum(steps[:index]) for index in range(1, len(tags)))]
    sent = [
        Message(kind, first + shift & 0xFFFFFFFF, payload)
        for (kind, payload), shift in zip(tags, shifts, strict=True)
    ]
    found = list(unpack_aggregate(aggregate(*sent, timestamp=timestamp)))
    assert found == [
        Message(kind, timestamp + shift & 0xFFFFFFFF, payload, 1)
        for (kind, payload), shift in zip(tags, shifts, strict=True)
    ]


@given(st.binary(max_size=200))
def test_random_bytes_give_messages_or_a_named_error(data: bytes) -> None:
    found: list[Message] = []
    with contextlib.suppress(InvalidInput):
        found.extend(unpack_aggregate(Message(MessageType.AGGREGATE, 7, data)))
    assert sum(11 + len(message.payload) for message in found) <= len(data)


def test_the_size_behind_the_last_tag_may_be_missing() -> None:
    whole = aggregate(Message(MessageType.VIDEO, 0, b"frame"))
    assert list(unpack_aggregate(replace(whole, payload=whole.payload[:-4]))) == list(unpack_aggregate(whole))


@pytest.mark.parametrize(
    "kind", [MessageType.AGGREGATE, MessageType.COMMAND, MessageType.SET_CHUNK_SIZE, 0x29]
)
def test_only_media_is_unpacked(kind: int) -> None:
    inner = aggregate(Message(MessageType.VIDEO, 0, b"frame")).payload
    nested = aggregate(Message(MessageType.VIDEO, 0, b"shown"), Message(kind, 0, inner))
    with pytest.raises(InvalidInput, match=f"type {int(kind)}; only media"):
        list(unpack_aggregate(nested))


def read(reader: ChunkReader, *messages: Message) -> list[Message]:
    reader.feed(b"".join(encode_message(message, 6, 128) for message in messages))
    found = []
    while (message := reader.read()) is not None:
        found.append(message)
    return found


def test_the_connection_goes_on_after_an_aggregate() -> None:
    sound, picture = (
        Message(MessageType.AUDIO, 40, b"sound", 1),
        Message(MessageType.VIDEO, 60, b"f" * 30_000, 1),
    )
    after = Message(MessageType.VIDEO, 80, b"after", 1)
    packed = aggregate(sound, picture, timestamp=40)
    assert read(ChunkReader(64 * 1024), packed, after, packed) == [sound, picture, after, sound, picture]


def test_what_an_aggregate_holds_is_bounded_like_anything_else() -> None:
    loud = Message(MessageType.AUDIO, 0, bytes(MAX_AUDIO_BYTES + 1))
    for packed, field in (
        (aggregate(loud), "rtmp.audio"),
        (aggregate(*[Message(MessageType.AUDIO, 0, b"")] * (MAX_EMPTY_MESSAGES + 2)), "rtmp.empty_messages"),
        (Message(MessageType.AGGREGATE, 0, bytes(2**20 + 1)), "rtmp.aggregate"),
    ):
        with pytest.raises(LimitExceeded) as caught:
            read(ChunkReader(2**20), packed)
        assert caught.value.field == field
    nothing = encode_message(Message(MessageType.AGGREGATE, 0, b""), 6, 128)
    reader = ChunkReader(2**20)
    reader.feed(nothing + bytes([0xC6]) * MAX_EMPTY_MESSAGES)
    with pytest.raises(LimitExceeded, match="empty_messages"):
        reader.read()
