"""Bundles FLV audio messages for the gate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.ingest.audio_bundle import AudioBundle


def added(bundle: AudioBundle, head: bytes, count: int, start: int = 0) -> list[object]:
    return [
        audio for n in range(count) if (audio := bundle.add_payload(head + bytes([n + 1]), start + 20 * n))
    ]


def test_aac_comes_with_its_configuration_some_at_a_time() -> None:
    bundle = AudioBundle()
    assert bundle.add_payload(b"\xaf\x00\x12\x10", 0) is None
    (some,) = added(bundle, b"\xaf\x01", 30)
    assert (some.codec, some.extradata) == ("aac", b"\x12\x10")  # type: ignore[attr-defined]
    assert some.units[:2] == ((0, b"\x01"), (20, b"\x02"))  # type: ignore[attr-defined]
    assert len(some.units) == 24  # type: ignore[attr-defined]


def test_another_configuration_sends_off_what_came_before() -> None:
    bundle = AudioBundle()
    bundle.add_payload(b"\xaf\x00\x12\x10", 0)
    assert added(bundle, b"\xaf\x01", 5) == []
    before = bundle.add_payload(b"\xaf\x00\x11\x90", 0)
    assert before is not None
    assert (before.extradata, len(before.units)) == (b"\x12\x10", 5)
    (after,) = added(bundle, b"\xaf\x01", 24)
    assert after.extradata == b"\x11\x90"  # type: ignore[attr-defined]


def test_mp3_and_enhanced_opus() -> None:
    (some,) = added(AudioBundle(), b"\x2f", 24)
    assert (some.codec, some.extradata) == ("mp3", b"")  # type: ignore[attr-defined]
    bundle = AudioBundle()
    bundle.add_payload(b"\x90OpusOpusHead", 0)
    (some,) = added(bundle, b"\x91Opus", 24)
    assert (some.codec, some.extradata) == ("opus", b"OpusHead")  # type: ignore[attr-defined]


@given(st.lists(st.binary(max_size=40), max_size=60))
def test_nonsense_is_left_out(payloads: list[bytes]) -> None:
    bundle = AudioBundle()
    for payload in payloads:
        audio = bundle.add_payload(payload, 0)
        assert audio is None or (audio.codec in ("aac", "opus", "mp3") and audio.units)
