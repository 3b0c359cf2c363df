"""Audio is kept beside the video, within bounds, and in its media time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import AccessUnit, Audio
from edge.policy import EvidencePolicy, TierPolicy
from edge.supervise.kept_media import (
    MAX_AUDIO_KEPT_BYTES,
    AudioAlignment,
    KeptAudio,
    KeptMedia,
)
from edge.supervise.push_buffer import PushBuffer
from edge.supervise.recording import Recording
from edge.timestamps import WRAP_MS


def sound(pts_ms: int, size: int = 100) -> Audio:
    return Audio("aac", b"\x12\x10", ((pts_ms, bytes(size)), (pts_ms + 20, bytes(size))))


def pts_of(audio: tuple[Audio, ...]) -> list[int]:
    return [pts_ms for each in audio for pts_ms, _ in each.units]


def unit(pts_ms: int, *, keyframe: bool = False, size: int = 100) -> AccessUnit:
    return AccessUnit(pts_ms, pts_ms, keyframe, bytes(size), float(pts_ms))


def test_audio_gets_the_media_time_of_the_frame() -> None:
    alignment = AudioAlignment()
    assert alignment.aligned(sound(5)) == sound(5)
    alignment.picture(10_000, 7_000)
    assert pts_of((alignment.aligned(sound(10_100)),)) == [7_100, 7_120]
    alignment.picture(WRAP_MS + 200, WRAP_MS - 1_000)
    assert pts_of((alignment.aligned(sound(150)),)) == [WRAP_MS - 1_050, WRAP_MS - 1_030]
    assert pts_of((alignment.aligned(sound(WRAP_MS - 30)),)) == [WRAP_MS - 1_230, WRAP_MS - 1_210]


@given(st.integers(-(2**40), 2**40), st.integers(0, 2**40), st.integers(-(2**63), 2**63 - 1))
def test_audio_never_lies_far_from_the_frame(caller_ms: int, media_ms: int, pts_ms: int) -> None:
    alignment = AudioAlignment()
    alignment.picture(caller_ms, media_ms)
    (at_ms, _), _ = alignment.aligned(sound(pts_ms)).units
    assert abs(at_ms - media_ms) <= 30_000


def test_audio_goes_when_its_frame_goes() -> None:
    media = PushBuffer(TierPolicy(), EvidencePolicy(ring_ms=4_000), 10_000)
    assert media.add_audio(sound(0)) == sound(0)
    assert media.kept() == KeptMedia(audio=(sound(0),)), "audio alone, so far"
    media.add_unit(unit(0, keyframe=True))
    assert media.kept().audio == (), "it is not in the video's time"
    for number in range(1, 300):
        media.add_unit(unit(40 * number, keyframe=number % 25 == 0))
        if number % 12 == 0:
            media.add_audio(sound(40 * number))
    kept = media.kept()
    first = kept.units[0].pts_ms
    assert first > 40 * 299 - 5_100
    heard = pts_of(kept.audio)
    assert first - 2_500 <= heard[0] <= first
    assert heard[-1] > 40 * 285
    assert heard == sorted(heard)


def test_audio_alone_is_kept_as_long_as_a_frame_would_be() -> None:
    media = PushBuffer(TierPolicy(), EvidencePolicy(ring_ms=4_000), 10_000)
    for number in range(100):
        media.add_audio(sound(500 * number))
    heard = pts_of(media.kept().audio)
    assert media.kept().units == ()
    assert 6_500 >= heard[-1] - heard[0] >= 4_000
    assert heard[-1] >= 500 * 99


@given(st.lists(st.tuples(st.integers(0, 64 * 1024), st.integers(0, 10**6)), max_size=200))
def test_it_is_bounded(pieces: list[tuple[int, int]]) -> None:
    kept = KeptAudio()
    for size, pts_ms in pieces:
        kept.add_audio(sound(pts_ms, size), 0)
        assert kept.bytes <= MAX_AUDIO_KEPT_BYTES
    assert kept.bytes == sum(
        len(each.extradata) + sum(len(d) for _, d in each.units) for each in kept.audio()
    )


def test_a_recording_has_the_audio_before_and_after_its_verdict() -> None:
    media = PushBuffer(TierPolicy(), EvidencePolicy(), 10_000)
    media.add_unit(unit(0, keyframe=True))
    media.add_audio(sound(0))
    media.recordings["in_1"] = recording = Recording(media.kept(), EvidencePolicy(), 0)
    media.add_unit(unit(40))
    media.add_audio(sound(40))
    assert pts_of(recording.kept().audio) == [0, 20, 40, 60]
    assert len(recording.kept().units) == 2
    assert recording.bytes == 2 * 100 + 2 * 202


def test_audio_that_does_not_fit_ends_no_frame() -> None:
    policy = EvidencePolicy(clip_bytes=1024 * 1024)
    recording = Recording(KeptMedia((unit(0, keyframe=True),)), policy, 0)
    recording.add_audio(sound(0, 600_000))
    recording.add_unit(unit(40))
    assert recording.kept().audio == ()
    assert len(recording.units()) == 2
    assert not recording.is_over(0)
