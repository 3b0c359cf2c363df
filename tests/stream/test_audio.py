"""Audio of a stream: its cost is bounded, and each problem is reported once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.domain import Audio
from edge.match import available
from edge.match.audio.double import RecordingLookup
from edge.reasons import DegradedReason
from edge.stream.audio import UNITS_A_SECOND, UNITS_AT_ONCE, StreamAudio
from edge.stream.known_audio import KnownAudio
from tests.match.audio.audio_clips import heard_items, melody, write_clip

pytestmark = pytest.mark.skipif(
    not available() and not os.environ.get("CI"), reason="needs Debian's libchromaprint1"
)


def encoded(path: Path) -> Audio:
    with av.open(str(path)) as media:
        stream = media.streams.audio[0]
        units = tuple(
            (round(1000 * packet.pts * stream.time_base), bytes(packet))
            for packet in media.demux(stream)
            if packet.size and packet.pts is not None and stream.time_base is not None
        )
        context = stream.codec_context
        return Audio(context.codec.canonical_name, context.extradata or b"", units)


@pytest.fixture(scope="module")
def aac(tmp_path_factory: pytest.TempPathFactory) -> Audio:
    path = tmp_path_factory.mktemp("sound") / "a.mp4"
    return encoded(write_clip(path, melody(1, 20), picture=False))


def pieces(audio: Audio, size: int) -> list[Audio]:
    units = audio.units
    return [
        Audio(audio.codec, audio.extradata, units[start : start + size])
        for start in range(0, len(units), size)
    ]


@pytest.mark.parametrize(("codec", "suffix"), [("aac", "mp4"), ("libmp3lame", "mp3"), ("libopus", "mka")])
def test_every_codec_sounds_like_what_was_encoded(codec: str, suffix: str, tmp_path: Path) -> None:
    try:
        av.codec.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"the linked FFmpeg has no {codec}")
    samples = melody(1, 20)
    audio = encoded(write_clip(tmp_path / f"a.{suffix}", samples, picture=False, codec=codec))
    heard = RecordingLookup()
    stream = StreamAudio(KnownAudio(heard))
    for number, piece in enumerate(pieces(audio, 22)):
        assert stream.hear(piece, 500.0 * number) == ()
    assert not stream.problems
    truth = heard_items(samples)
    assert len(heard.items) >= len(truth) - 10
    shift = min(
        (float(np.bitwise_count(heard.items[n : n + 100] ^ truth[:100]).mean()) / 32, n) for n in range(3)
    )
    assert shift[0] < 0.05
    assert heard.longest <= 80 + 64


def test_a_gap_begins_anew(aac: Audio) -> None:
    heard = RecordingLookup()
    stream = StreamAudio(KnownAudio(heard))
    stream.hear(Audio(aac.codec, aac.extradata, aac.units[:300]), 0)
    before = len(heard.items)
    assert before
    stream.hear(Audio(aac.codec, aac.extradata, aac.units[400:460]), 0)
    assert len(heard.items) == before, "a second and a half after a gap is too little for an item"


@pytest.mark.parametrize(
    "lie",
    [lambda n, t: 7, lambda n, t: t // 4, lambda n, t: 20_000 * n, lambda n, t: t + 900 * (n // 20)],
    ids=["stand still", "crawl", "jump", "a gap each half second"],
)
def test_stamps_that_lie_hide_no_audio(aac: Audio, lie: Callable[[int, int], int]) -> None:
    heard, usual = RecordingLookup(), RecordingLookup()
    lying, honest = StreamAudio(KnownAudio(heard)), StreamAudio(KnownAudio(usual))
    units = tuple((lie(n, t), data) for n, (t, data) in enumerate(aac.units))
    for number, piece in enumerate(pieces(Audio(aac.codec, aac.extradata, units), 22)):
        lying.hear(piece, 500.0 * number)
    for number, piece in enumerate(pieces(aac, 22)):
        honest.hear(piece, 500.0 * number)
    assert len(heard.items) > 0.7 * len(usual.items)
    assert lying.problems == {"timestamps": 1}
    assert not honest.problems


def test_a_few_gaps_are_believed(aac: Audio) -> None:
    stream = StreamAudio(KnownAudio(RecordingLookup()))
    for number, piece in enumerate(pieces(aac, 300)):
        units = tuple((t + 900 * number, data) for t, data in piece.units)
        stream.hear(Audio(piece.codec, piece.extradata, units), 0)
    assert not stream.problems


def test_audio_faster_than_any_encoder_is_left_out(aac: Audio) -> None:
    stream = StreamAudio(KnownAudio(RecordingLookup()))
    piece = Audio(aac.codec, aac.extradata, aac.units[:100])
    for _ in range(UNITS_AT_ONCE // 100 + 9):
        stream.hear(piece, 0)
    assert stream.problems == {"audio_too_much": 10}
    assert not stream.off
    stream.problems.clear()
    stream.hear(piece, 1000 * 100 / UNITS_A_SECOND)
    assert not stream.problems


def test_a_codec_that_changes_all_the_time_is_too_much(aac: Audio) -> None:
    stream = StreamAudio(KnownAudio(RecordingLookup()))
    for number in range(40):
        codec = ("aac", "mp3")[number % 2]
        stream.hear(Audio(codec, aac.extradata if codec == "aac" else b"", aac.units[:1]), 0)
    assert stream.problems[DegradedReason.AUDIO_TOO_MUCH] >= 10


@settings(deadline=None, max_examples=60)
@given(
    codec=st.sampled_from(["aac", "opus", "mp3", "flac", ""]),
    extradata=st.binary(max_size=30),
    units=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=400)), max_size=60),
)
def test_nothing_raises(codec: str, extradata: bytes, units: list[tuple[int, bytes]]) -> None:
    stream = StreamAudio(KnownAudio(RecordingLookup()))
    for number in range(3):
        assert stream.hear(Audio(codec, extradata, tuple(units)), 1000.0 * number) == ()
    assert stream.problems[DegradedReason.TIMESTAMPS] <= 1
    others = sum(stream.problems.values()) - stream.problems[DegradedReason.TIMESTAMPS]
    assert others <= 1
    assert stream.off == (others == 1)
