"""Known audio is found. Other audio, and audio without information, is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.domain import Action, BankSeverity, Signal, SignalSource
from edge.errors import BankError, ConfigError, InvalidInput, LimitExceeded
from edge.match import (
    ITEM_SPAN_MS,
    AudioMatcher,
    AudioPrint,
    Bank,
    BankPurpose,
    Entry,
    EntryKind,
    Footage,
    Matcher,
    MatchVote,
    audio_items_of,
    bank_info,
    fingerprint,
    look_up,
)
from edge.match.audio import audio_index, chromaprint
from edge.match.audio.audio_index import AudioIndex
from edge.match.audio.audio_similarity import LEVELS, LONGEST, SHORTEST, telling
from edge.match.audio.chromaprint import HOP, ITEM_MS, RATE, Chromaprint, Items, available
from edge.match.bank.array_file import read_arrays, write_arrays
from edge.match.bank.segment import Segment
from edge.match.bank.segment_builder import write_segment
from edge.match.evasion.variants import VariantSet
from tests.match.audio.audio_clips import heard_items, items_of, melody, write_clip
from tests.match.test_matcher import written_wrong

pytestmark = pytest.mark.skipif(
    not available() and not os.environ.get("CI"),
    reason="needs libchromaprint: apt-get install libchromaprint1",
)
SEEDS = st.integers(0, 2**32 - 1)


def random_items(seed: int, count: int) -> Items:
    return np.random.default_rng(seed).integers(0, 2**32, count, np.uint32)


def print_of(items: Items, start_ms: int = 0) -> AudioPrint:
    return AudioPrint(items.astype("<u4").tobytes(), start_ms)


def index_of(*prints: AudioPrint | None) -> AudioIndex:
    return AudioIndex(Path("x"), audio_index.build(prints), len(prints), verify=True)


def flipped(items: Items, share: float, seed: int) -> Items:
    """Items with that share of their bits changed."""
    bits = np.random.default_rng(seed).random((len(items), 32)) < share
    changed = (bits.astype(np.uint32) << np.arange(32, dtype=np.uint32)).sum(axis=1)
    return np.asarray(items ^ changed.astype(np.uint32), np.uint32)


def bank_of(
    directory: Path, name: str, entries: dict[str, Items], opinion: BankPurpose = BankPurpose.VIOLATING
) -> Bank:
    bank = Bank.create(directory / name, bank_info(opinion=opinion, label="attack"))
    bank.add_footage(Footage(Entry(i, EntryKind.AUDIO), (), print_of(items)) for i, items in entries.items())
    return bank


def listen(listening: AudioMatcher, items: Items, step: int = 8) -> list[Signal]:
    found: list[Signal] = []
    for begin in range(0, len(items), step):
        found += listening.add_items(items[begin : begin + step], 1000 + begin * ITEM_MS)
    return found


def test_the_library_is_here() -> None:
    assert available()


def test_items_come_out_as_audio_goes_in() -> None:
    samples = melody(1, 10)
    made = Chromaprint()
    parts = [made.feed(samples[start : start + 777]) for start in range(0, len(samples), 777)]
    assert np.array_equal(np.concatenate(parts), items_of(samples))
    assert len(items_of(samples)) == (len(samples) - round(ITEM_SPAN_MS * RATE / 1000)) // HOP + 1
    made.restart()
    assert np.array_equal(made.feed(samples), items_of(samples))


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(0, 200), st.integers(40, 120), st.sampled_from([0.0, 0.03, 0.06]))
def test_known_audio_is_found_where_it_is(seed: int, begin: int, length: int, share: float) -> None:
    known = random_items(seed, 400)
    index = index_of(None, print_of(random_items(seed ^ 1, 90)), print_of(known, 5000))
    live = np.concatenate((random_items(seed ^ 2, 50), flipped(known[begin : begin + length], share, seed)))
    found, cut_short = index.search(live, length)
    assert not cut_short
    assert {number for number, _, _ in found} == {2}
    for _, at_ms, hit in found:
        assert at_ms == 5000 + round((begin + hit.end - 50) * ITEM_MS)
        assert hit.error <= dict(LEVELS)[hit.items]
        if hit.slope == 1.0:
            heard, stored = live[hit.end - hit.items + 1 : hit.end + 1], begin + hit.end - 50 + 1
            differ = np.bitwise_count(heard ^ known[stored - hit.items : stored]).mean() / 32
            assert hit.error == pytest.approx(differ)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 300))
def test_other_audio_is_never_found(seed: int, count: int) -> None:
    index = index_of(print_of(random_items(seed, 3000)))
    assert index.search(random_items(seed ^ 1, count), count)[0] == []


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 2**32 - 1), st.integers(1, 4))
def test_what_stands_still_or_repeats_itself_is_never_found(seed: int, item: int, distinct: int) -> None:
    still = np.resize(np.array([item ^ n for n in range(distinct)], np.uint32), 600)
    index = index_of(print_of(np.concatenate((random_items(seed, 100), still))))
    assert index.search(still[:200], 200)[0] == []
    assert index.search(np.resize(random_items(seed, 5), 200), 200)[0] == []


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=120), st.integers(0, 200), SEEDS)
def test_any_items_are_searched_without_harm(items: list[int], new: int, seed: int) -> None:
    index = index_of(print_of(random_items(seed, 30)), None)
    live = np.array(items, np.uint32)
    assert index.search(live, min(new, len(live)))[0] == [] or len(live) >= SHORTEST


def test_items_that_share_their_keys_are_bounded() -> None:
    spread = random_items(1, 64)[np.random.default_rng(2).integers(0, 64, 200_000)]
    index = index_of(print_of(spread))
    found, cut_short = index.search(spread[:80], 8)
    assert cut_short
    assert len(found) <= audio_index.MAX_PLACES * 8 * len(audio_index.TURNS)


@pytest.mark.parametrize("rate", [0.95, 1.05])
def test_other_speed_at_the_same_pitch_is_found(tmp_path: Path, rate: float) -> None:
    known = random_items(4, 300)
    slow = known[np.minimum(np.rint(np.arange(280) * rate).astype(int), 299)]
    bank_of(tmp_path, "known", {"a": known})
    signals = listen(AudioMatcher(Matcher.open(tmp_path)), slow)
    assert signals
    assert all(f"slope={rate:.2f}" in s.detail or "slope=1.00" in s.detail for s in signals)


def test_signals_name_the_entry_and_where_it_is(tmp_path: Path) -> None:
    known = random_items(1, 200)
    bank_of(tmp_path, "known", {"a": known, "b": random_items(2, 200)})
    matcher = Matcher.open(tmp_path)
    assert matcher.has_audio
    listening = AudioMatcher(matcher)
    assert listen(listening, random_items(3, 100)) == []
    signals = listen(listening, known[50:150])
    first = signals[0]
    assert (first.source, first.category, first.entry) == (SignalSource.AUDIO, "attack", "a")
    assert (first.bank, first.severity, first.at_most) == ("known", BankSeverity.HIGH, Action.CUT)
    assert first.detail.startswith("bank=known seconds=")
    offset = 50 * ITEM_MS - 1000
    assert f"offset_ms={offset:.0f}" in first.detail
    assert first.score == 1.0
    listening.restart()
    assert listen(listening, known[50 : 50 + SHORTEST - 1]) == [], "a restart forgets what came before"


def test_benign_audio_is_no_match(tmp_path: Path) -> None:
    song = random_items(1, 200)
    bank_of(tmp_path, "known", {"a": np.concatenate((random_items(2, 100), song)), "b": random_items(3, 100)})
    assert listen(AudioMatcher(Matcher.open(tmp_path)), song)
    bank_of(tmp_path, "songs", {"song": song[:190]}, BankPurpose.BENIGN)
    matcher = Matcher.open(tmp_path)
    assert listen(AudioMatcher(matcher), song) == [], (
        "also for the ten items beyond what is known to be benign"
    )
    assert {s.entry for s in listen(AudioMatcher(matcher), random_items(2, 100))} == {"a"}


def test_marks_of_entries_hold_for_their_audio(tmp_path: Path) -> None:
    sounds = {name: random_items(seed, 100) for seed, name in enumerate("abc")}
    bank = bank_of(tmp_path, "known", sounds)
    bank.set_enabled(["a"], False)
    bank.set_quarantined(["b"], True)
    matcher = Matcher.open(tmp_path)
    assert listen(AudioMatcher(matcher), sounds["a"]) == []
    flagging = listen(AudioMatcher(matcher), sounds["b"])
    assert {s.at_most for s in flagging} == {Action.FLAG}
    assert all("at_most=flag" in s.detail for s in flagging)
    assert {s.at_most for s in listen(AudioMatcher(matcher), sounds["c"])} == {Action.CUT}
    assert all("at_most=flag" not in s.detail for s in listen(AudioMatcher(matcher), sounds["c"]))
    bank.remove(["c"])
    matcher.reload()
    assert listen(AudioMatcher(matcher), sounds["c"]) == []
    bank.compact()
    assert [f.entry.id for f in Bank.open(bank.path).footage()] == ["a", "b"]
    assert [f.audio for f in Bank.open(bank.path).footage()] == [print_of(sounds["a"]), print_of(sounds["b"])]


@pytest.mark.parametrize(
    "sound",
    [
        lambda r, t: 0 * t,
        lambda r, t: r.normal(0, 1e-4, len(t)),
        lambda r, t: 0.5 * np.sin(2 * np.pi * 440 * t),
        lambda r, t: np.sign(np.sin(2 * np.pi * 50 * t)) / 4 + r.normal(0, 0.003, len(t)),
        lambda r, t: np.sin(2 * np.pi * 1000 * t) * (t % 1 < 0.2),
        lambda r, t: r.normal(0, 0.2, len(t)),
    ],
    ids=["silence", "dither", "tone", "hum", "beeps", "noise"],
)
def test_silence_tones_and_noise_match_nothing(sound: Callable[..., Any], tmp_path: Path) -> None:
    t = np.arange(RATE * 20) / RATE
    known, live = (
        items_of((sound(np.random.default_rng(seed), t) * 30_000).clip(-32_768, 32_767).astype(np.int16))
        for seed in (1, 2)
    )
    assert not telling(np.lib.stride_tricks.sliding_window_view(known, LONGEST)).any()
    bank_of(tmp_path, "known", {"a": known})
    assert listen(AudioMatcher(Matcher.open(tmp_path)), live) == []


def test_a_segment_whose_audio_was_tampered_with_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    write_segment(path, [Footage(Entry("a", EntryKind.AUDIO), (), print_of(random_items(1, 50)))])
    good = read_arrays(path)
    changes: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("sound_at", lambda a: a + np.uint32(50)),
        ("sound_first", lambda a: a[::-1]),
        ("sound_first", lambda a: a[:1]),
        ("sound_start", lambda a: a[:0]),
        ("sound_key", lambda a: a[:, ::-1]),
        ("sound_key", lambda a: a[:2]),
        ("sound_items", lambda a: a.view(np.uint8)),
    )
    for name, change in changes:
        write_arrays(path, good.meta, {**good.arrays, name: change(np.array(good.arrays[name]))})
        with pytest.raises(BankError, match="audio"):
            Segment.open(path)
    arrays = {name: array for name, array in good.arrays.items() if name != "sound_at"}
    write_arrays(path, good.meta, arrays)
    with pytest.raises(BankError, match="audio"):
        Segment.open(path)


@pytest.mark.parametrize("items", [b"", b"abc", bytes(4 * (2**18 + 1))])
def test_a_print_is_bounded(items: bytes) -> None:
    with pytest.raises((InvalidInput, LimitExceeded), match=r"sound\.items"):
        AudioPrint(items)


def test_a_file_is_known_by_its_audio(tmp_path: Path) -> None:
    samples = melody(1, 14)
    clip = write_clip(tmp_path / "known.mp4", samples, seed=1)
    footage = fingerprint(clip, entry_id="known", variants=VariantSet.NONE)
    assert footage.hashes
    assert footage.audio is not None
    assert len(footage.audio) > 80
    silent = fingerprint(clip, entry_id="silent", audio=False, variants=VariantSet.NONE)
    assert (silent.audio, silent.hashes) == (None, footage.hashes)
    Bank.create(tmp_path / "banks" / "known").add_footage([footage])
    matcher = Matcher.open(tmp_path / "banks")
    hidden = write_clip(tmp_path / "hidden.mp4", samples[RATE * 3 :], seed=2, seconds=10)
    found = look_up(hidden, matcher, MatchVote()).found
    assert [(one.entry, one.by) for one in found] == [("known", SignalSource.AUDIO)]
    offset = int(found[0].detail.split("offset_ms=")[1].split()[0])
    assert offset == pytest.approx(3000, abs=150)
    other = write_clip(tmp_path / "other.mp4", melody(2, 14), seed=2)
    assert look_up(other, matcher, MatchVote()).found == []
    assert look_up(write_clip(tmp_path / "mute.mp4", None, seed=2), matcher, MatchVote()).found == []


def test_without_the_library_all_else_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "known.mp4", melody(1, 8), seed=1, seconds=4)
    bank_of(tmp_path / "banks", "known", {"a": random_items(1, 100)})
    monkeypatch.setattr(chromaprint, "_library", lambda: None)
    with pytest.raises(ConfigError, match="apt-get install libchromaprint1"):
        fingerprint(clip, audio=True)
    footage = fingerprint(clip, entry_id="known")
    assert footage.audio is None
    Bank.open(tmp_path / "banks" / "known").add_footage([footage])
    found = look_up(clip, Matcher.open(tmp_path / "banks"), MatchVote()).found
    assert [(one.entry, one.by) for one in found] == [("known", SignalSource.MATCH)]


def test_a_recording_is_known_without_a_frame(tmp_path: Path) -> None:
    samples = melody(1, 12)
    clip = write_clip(tmp_path / "song.mp3", samples, picture=False, codec="libmp3lame")
    song = fingerprint(clip, entry_id="song")
    assert (song.entry.kind, song.hashes) == (EntryKind.AUDIO, ())
    Bank.create(tmp_path / "banks" / "songs").add_footage([song])
    opus = write_clip(tmp_path / "song.mka", samples, picture=False, codec="ac3")
    found = look_up(opus, Matcher.open(tmp_path / "banks"), MatchVote()).found
    assert [one.entry for one in found] == ["song"]
    assert sum(len(heard.items) for heard in audio_items_of(opus)) > SHORTEST


def test_audio_goes_on_after_a_damaged_packet(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "song.mka", melody(1, 20), picture=False, codec="aac")
    whole = sum(len(heard.items) for heard in audio_items_of(clip))
    with av.open(str(clip)) as media:
        packets = [bytes(packet) for packet in media.demux(audio=0) if packet.size]
    raw = bytearray(clip.read_bytes())
    at = raw.index(packets[len(packets) // 4])
    raw[at : at + len(packets[len(packets) // 4])] = bytes(len(packets[len(packets) // 4]))
    clip.write_bytes(raw)
    assert whole - 30 < sum(len(heard.items) for heard in audio_items_of(clip)) <= whole


@pytest.mark.parametrize("lost_below_hz", [200, 300, 500])
def test_audio_that_has_lost_its_bass_is_the_same_audio(lost_below_hz: int) -> None:
    samples = melody(4, 30)
    spectrum = np.fft.rfft(samples)
    tones = np.fft.rfftfreq(len(samples), 1 / RATE)
    # As from a small loudspeaker: 12 dB an octave.
    thin = np.fft.irfft(spectrum * np.minimum(1, (tones / lost_below_hz) ** 2), len(samples)).astype(np.int16)

    def error(a: Items, b: Items) -> float:
        n = min(len(a), len(b))
        return float(np.bitwise_count(a[:n] ^ b[:n]).mean()) / 32

    known, live = heard_items(samples), heard_items(thin)
    assert error(known, live) < 0.12
    assert error(known, live) < error(items_of(samples), items_of(thin))


def test_audio_of_an_entry_that_cannot_be_read_matches_nothing_and_ends_nothing(tmp_path: Path) -> None:
    sounds = {name: random_items(seed, 100) for seed, name in enumerate("ab")}
    bank = bank_of(tmp_path, "known", sounds)
    written_wrong(bank, b'"id":"a","kind":"sound"', b'"id":"a","kind":"smell"')
    listening = AudioMatcher(Matcher.open(tmp_path))
    assert listen(listening, sounds["a"]) == []
    assert {s.entry for s in listen(listening, sounds["b"])} == {"b"}
