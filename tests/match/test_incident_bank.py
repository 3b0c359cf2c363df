"""Which part of a confirmed incident's clip becomes known footage: the stretch, whatever the encoder."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from edge.banking import LeftOutReason
from edge.domain import AccessUnit, Codec
from edge.errors import AlreadyExists, BrokenMedia
from edge.evidence import write_clip
from edge.match import (
    INCIDENT_BANK,
    Bank,
    BankInfo,
    BankPurpose,
    Footage,
    Matcher,
    MatchVote,
    PdqHasher,
    RecentFootage,
    bank_incident,
    frames_of,
)
from edge.match.audio.chromaprint import RATE
from edge.match.bankable import SEEN_BITS
from edge.match.entry import Variant
from edge.match.evasion.variants import VariantSet
from edge.match.fingerprint import MAX_DAMAGED_IN_A_ROW, Damage, fingerprint
from edge.match.incident_bank import Banked
from edge.match.pdq.hasher import LIMITED_RANGE, distance
from edge.stream.synthetic import EncodedMedia, encode
from tests.match.audio.audio_clips import melody

U8 = npt.NDArray[np.uint8]
FPS = 25


def waves(index: int, height: int, width: int) -> U8:
    y, x = np.mgrid[0:height, 0:width]
    total = 128 + sum(25 * np.sin(x / (6 + 3 * n) + y / (9 + 2 * n) + index * n / 5) for n in range(5))
    return np.asarray(np.clip(total, 0, 255), np.uint8)


def stream(codec: Codec = Codec.H264, frames: int = 150, b_frames: int = 0) -> EncodedMedia:
    return encode(codec, frames=frames, fps=FPS, gop=FPS, size=(96, 128), b_frames=b_frames, picture=waves)


def junk_at(units: tuple[AccessUnit, ...], *numbers: int) -> list[AccessUnit]:
    """The same, with units that claim to be frames but are not."""
    rubbish = b"\0\0\0\1\x41" + np.random.default_rng(1).bytes(99)
    return [
        dataclasses.replace(unit, data=rubbish) if number in numbers else unit
        for number, unit in enumerate(units)
    ]


def banked(directory: Path) -> Footage:
    (footage,) = Bank.open(directory / INCIDENT_BANK).footage()
    return footage


def add(directory: Path, clip: Path, stretch_ms: tuple[int, int] = (0, 60_000), **more: Any) -> Banked:
    more = {"incident_id": "in_1", "calm_until_ms": -1, **more}
    return bank_incident(directory, clip=clip, category="fight", added_ms=0, stretch_ms=stretch_ms, **more)


def times_of(footage: Footage) -> tuple[int, int]:
    return min(run.start_ms for run in footage.hashes), max(
        run.start_ms + run.span_ms for run in footage.hashes
    )


def test_a_unit_of_rubbish_does_not_make_the_calm_scene_before_it_known_footage(tmp_path: Path) -> None:
    media = stream()
    clip = write_clip(junk_at(media.units, 40), Codec.H264, media.extradata, tmp_path, "in_1").path
    damage = Damage()
    assert len(list(frames_of(clip, damage=damage))) == 149
    assert damage.packets == 1
    assert add(tmp_path, clip, (4760, 5400)).frames == 17
    assert times_of(banked(tmp_path)) == (4760, 5400)


@pytest.mark.parametrize("frames", [[148], [149], [147, 148, 149]])
def test_rubbish_at_the_end_costs_no_good_frame_and_moves_nothing(frames: list[int], tmp_path: Path) -> None:
    media = stream()
    clip = write_clip(junk_at(media.units, *frames), Codec.H264, media.extradata, tmp_path, "in_1").path
    damage = Damage()
    assert len(list(frames_of(clip, damage=damage))) == 150 - len(frames)
    assert damage.packets == len(frames)
    add(tmp_path, clip, (4960, 6000))
    last = max(set(range(150)) - set(frames)) * 40
    assert times_of(banked(tmp_path)) == (4960, last)


@pytest.mark.parametrize(
    ("codec", "b_frames"), [(Codec.HEVC, 2), (Codec.H264, 2), (Codec.VP9, 0), (Codec.AV1, 0)]
)
def test_the_end_of_a_clip_of_every_codec(codec: Codec, b_frames: int, tmp_path: Path) -> None:
    media = stream(codec, frames=50, b_frames=b_frames)
    clip = write_clip(media.units, codec, media.extradata, tmp_path, "in_1").path
    add(tmp_path, clip, (1560, 1800))
    assert times_of(banked(tmp_path)) == (1560, 1800)


def test_a_frame_from_the_future_does_not_move_the_end(tmp_path: Path) -> None:
    media = stream(frames=75)
    units = list(media.units)
    units[10] = dataclasses.replace(units[10], pts_ms=units[10].pts_ms + 50_000)
    clip = write_clip(units, Codec.H264, media.extradata, tmp_path, "in_1").path
    assert add(tmp_path, clip, (2560, 2960)).frames > 0
    last = [luma.copy() for _, _, luma in frames_of(clip)]
    matcher = Matcher.open(tmp_path)
    assert matcher.query(last[-1])
    assert matcher.query(last[20]) == ()


def test_more_rubbish_in_a_row_than_a_live_stream_may_have_is_refused(tmp_path: Path) -> None:
    media = stream()
    many = range(30, 31 + MAX_DAMAGED_IN_A_ROW)
    clip = write_clip(junk_at(media.units, *many), Codec.H264, media.extradata, tmp_path, "in_1").path
    with pytest.raises(BrokenMedia, match=r"over 60 packets in a row after 1\.2 s"):
        add(tmp_path, clip)
    clip = write_clip(junk_at(media.units, *many[:-1]), Codec.H264, media.extradata, tmp_path, "in_2").path
    assert add(tmp_path, clip, (5500, 6000), incident_id="in_2").frames > 0


def test_only_what_is_banked_gets_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media = stream()
    clip = write_clip(media.units, Codec.H264, media.extradata, tmp_path, "in_1").path
    fingerprinting = importlib.import_module("edge.match.fingerprint")
    varied: list[U8] = []
    variants_of = fingerprinting.variants_of

    def seen(luma: U8, wanted: VariantSet) -> Iterator[tuple[Variant, U8]]:
        if wanted is not VariantSet.NONE:
            varied.append(luma)
        yield from variants_of(luma, wanted)

    monkeypatch.setattr(fingerprinting, "variants_of", seen)
    fingerprint(clip, entry_id="in_1", stretch_ms=(5000, 5400), as_coded=True)
    assert len(varied) == 11


def test_a_stream_that_asks_to_be_turned_is_banked_as_it_is_looked_up(tmp_path: Path) -> None:
    media = stream(frames=30)
    plain = write_clip(media.units, Codec.H264, media.extradata, tmp_path, "in_1").path
    turned = tmp_path / "turned.mp4"
    with av.open(str(plain)) as source, av.open(str(turned), "w") as out:
        video = source.streams.video[0]
        copy = out.add_stream_from_template(video)
        asks = av.bitstream.BitStreamFilterContext(
            "h264_metadata=display_orientation=insert:rotate=90", video
        )
        for packet in source.demux(video):
            for changed in asks.filter(packet if packet.size else None):
                changed.stream = copy
                out.mux(changed)
    with av.open(str(turned)) as media_file:
        assert any(frame.rotation for frame in media_file.decode(video=0))
    assert add(tmp_path, turned).frames == 30
    coded = fingerprint(plain, entry_id="in_1", audio=False, still_bits=-1)
    assert {run.bits for run in banked(tmp_path).hashes} == {run.bits for run in coded.hashes}


def drift(index: int, height: int, width: int) -> U8:
    """Waves that never come back."""
    y, x = np.mgrid[0:height, 0:width]
    pace = [0.37 * np.sqrt(n + 2) for n in range(5)]
    total = 128 + sum(25 * np.sin(x / (6 + 3 * n) + y / (9 + 2 * n) + index * pace[n]) for n in range(5))
    return np.asarray(np.clip(total, 0, 255), np.uint8)


def clip_of(directory: Path, picture: Any = drift, frames: int = 150, crf: int = 10) -> Path:
    media = encode(
        frames=frames, fps=FPS, gop=FPS, size=(96, 128), picture=picture, options={"crf": str(crf)}
    )
    return write_clip(media.units, Codec.H264, media.extradata, directory, "in_1").path


def shown_in(clip: Path, stretch_ms: tuple[int, int]) -> list[tuple[int, bytes]]:
    """The hashes of a clip's frames in a stretch."""
    hasher = PdqHasher(contrast=LIMITED_RANGE)
    begin_ms, end_ms = stretch_ms
    return [(at, hasher.hash(luma).bits) for at, _, luma in frames_of(clip) if begin_ms <= at <= end_ms]


def votes(directory: Path, clip: Path, stretch_ms: tuple[int, int]) -> int:
    """How many samples of a showing of a stretch count as a match."""
    matcher, vote = Matcher.open(directory), MatchVote()
    begin_ms, end_ms = stretch_ms
    return sum(
        bool(vote.add_candidates(at, matcher.query(luma)))
        for at, _, luma in frames_of(clip)
        if begin_ms <= at <= end_ms
    )


def test_nothing_outside_the_stretch_is_known_footage(tmp_path: Path) -> None:
    clip = clip_of(tmp_path)
    banked_now = add(tmp_path / "banks", clip, (3000, 3600), calm_until_ms=2960)
    assert banked_now == Banked(16, {})
    assert votes(tmp_path / "banks", clip, (0, 2960)) == 0
    assert votes(tmp_path / "banks", clip, (3640, 6000)) == 0
    assert votes(tmp_path / "banks", clip, (3000, 3600)) > 0
    with pytest.raises(AlreadyExists):
        add(tmp_path / "banks", clip, (0, 3600))


def test_a_frame_of_the_calm_part_is_not_banked_when_it_comes_back(tmp_path: Path) -> None:
    """The camera swings back for a moment."""
    clip = clip_of(tmp_path, lambda index, h, w: drift(index - 50 if 75 <= index < 80 else index, h, w))
    result = add(tmp_path / "banks", clip, (2880, 3400), calm_until_ms=2840)
    assert result == Banked(9, {LeftOutReason.SEEN_IN_STREAM: 5})
    calm = shown_in(clip, (0, 2840))
    runs = banked(tmp_path / "banks").hashes
    assert min(distance(run.bits, bits) for run in runs for _, bits in calm) > SEEN_BITS
    assert add(tmp_path / "all", clip, (2880, 3400)).frames == 14, "nobody has passed what came before"


def test_a_calm_frame_is_not_known_by_a_part_of_it_either(tmp_path: Path) -> None:
    """Live frames are looked up without their left fifth, too, and there nothing has changed."""

    def moves_at_the_left(index: int, height: int, width: int) -> U8:
        picture = drift(0, height, width).copy()
        fifth = width // 5
        picture[:, :fifth] = np.where(drift(index, height, fifth) > 128, 235, 16)
        return picture

    clip = clip_of(tmp_path, moves_at_the_left)
    result = add(tmp_path / "banks", clip, (3000, 3600), calm_until_ms=2960)
    assert result.frames > 0
    assert votes(tmp_path / "banks", clip, (0, 2960)) == 0


def test_a_clip_that_is_calm_throughout_leaves_nothing(tmp_path: Path) -> None:
    """A camera that looks at one street: the end is as the beginning."""

    def street(index: int, height: int, width: int) -> U8:
        scene = drift(0, height, width).copy()
        scene[60:80, 10 + index % 90 : 24 + index % 90] = 235
        return scene

    clip = clip_of(tmp_path, street)
    result = add(tmp_path / "banks", clip, (5000, 5900), calm_until_ms=4600)
    assert result.frames == 0
    assert sum(result.left_out.values()) == 23
    assert not (tmp_path / "banks" / f"{INCIDENT_BANK}.bank").exists()


def test_what_stands_still_is_not_banked(tmp_path: Path) -> None:
    def card(index: int, height: int, width: int) -> U8:
        return drift(7, height, width)

    assert add(tmp_path, clip_of(tmp_path, card), (1000, 2000)) == Banked(0, {LeftOutReason.STILL: 26})
    (tmp_path / "in_1.mp4").unlink()

    def slides(index: int, height: int, width: int) -> U8:
        return drift(40 * (index // 50), height, width)

    assert add(tmp_path, clip_of(tmp_path, slides), (1000, 3000)) == Banked(0, {LeftOutReason.STILL: 51})
    (tmp_path / "in_1.mp4").unlink()
    assert add(tmp_path, clip_of(tmp_path, drift, frames=1)) == Banked(0, {LeftOutReason.STILL: 1})


def test_what_shows_nothing_is_not_banked(tmp_path: Path) -> None:
    def black_at_first(index: int, height: int, width: int) -> U8:
        return drift(index, height, width) if index >= 20 else np.full((height, width), 16, np.uint8)

    result = add(tmp_path, clip_of(tmp_path, black_at_first), (400, 1200))
    assert result == Banked(11, {LeftOutReason.LOW_QUALITY: 10})


def test_what_a_benign_bank_has_is_not_banked(tmp_path: Path) -> None:
    clip, banks = clip_of(tmp_path), tmp_path / "banks"
    intro = fingerprint(clip, entry_id="intro", audio=False, still_bits=-1)
    runs = tuple(run for run in intro.hashes if 3200 <= run.start_ms <= 3400)
    benign = Bank.create(banks / "intros", BankInfo(opinion=BankPurpose.BENIGN))
    benign.add_footage([dataclasses.replace(intro, hashes=runs)])
    assert add(banks, clip, (3000, 3600)) == Banked(10, {LeftOutReason.BENIGN: 6})
    # A bank that is switched off has no say.
    benign.change(BankInfo(opinion=BankPurpose.BENIGN, enabled=False))
    assert add(banks, clip, (3000, 3600), incident_id="in_2").left_out == {}


DAY_MS = 86_400_000


def test_what_another_stream_of_the_last_day_showed_is_not_banked(tmp_path: Path) -> None:
    clip = clip_of(tmp_path)
    ((_, bits),) = shown_in(clip, (3200, 3200))
    now = 40 * DAY_MS
    for number, (stream, age_ms, left_out) in enumerate(
        [
            ("st_2", DAY_MS - 2000, {LeftOutReason.SEEN_ELSEWHERE: 11}),
            ("st_2", DAY_MS + 2000, {}),
            # Its own stream's showing of it is part of the stretch.
            ("st_1", 1000, {}),
        ]
    ):
        recent = RecentFootage(tmp_path / f"recent{number}", 64)
        assert recent.remember(stream, bits, 23_200, now - age_ms)
        result = bank_incident(
            tmp_path / f"banks{number}",
            "in_1",
            clip,
            "fight",
            added_ms=now,
            stretch_ms=(3000, 3600),
            calm_until_ms=-1,
            stream_id="st_1",
            begin_pts_ms=20_000,
            recent=recent,
        )
        assert result == Banked(16 - sum(left_out.values()), left_out), number


def test_what_its_own_stream_showed_long_before_the_clip_is_not_banked(tmp_path: Path) -> None:
    clip = clip_of(tmp_path)
    ((_, bits),) = shown_in(clip, (3200, 3200))
    recent = RecentFootage(tmp_path / "recent", 64)
    recent.remember("st_1", bits, 5_000, DAY_MS)
    result = add(tmp_path / "banks", clip, (3000, 3600), stream_id="st_1", begin_pts_ms=20_000, recent=recent)
    assert result.left_out == {LeftOutReason.SEEN_IN_STREAM: 11}
    # Just before the clip the same scene was shown, and only what is alike is left out.
    recent = RecentFootage(tmp_path / "recent2", 64)
    recent.remember("st_1", bits, 19_000, DAY_MS)
    result = add(tmp_path / "next", clip, (3000, 3600), stream_id="st_1", begin_pts_ms=20_000, recent=recent)
    assert result.left_out == {LeftOutReason.SEEN_IN_STREAM: 1}


def shown_by(stream: str, clip: Path, recent: RecentFootage, pause_ms: int, until_ms: int = 10**6) -> None:
    """Another stream shows a clip from its own time 50 s on, and the gate hashes it now and then."""
    due_ms = 130
    for at, bits in shown_in(clip, (0, until_ms)):
        if at >= due_ms:
            due_ms = at + pause_ms
            assert recent.remember(stream, bits, 50_000 + at, 5000 + at)


@pytest.mark.parametrize("pause_ms", [1000, 2000])
def test_nothing_of_footage_that_moves_is_banked_where_another_stream_showed_it(
    pause_ms: int, tmp_path: Path
) -> None:
    """A moving frame's hash is gone in a moment, and the gate hashes others' frames now and then."""
    copies, originals = tmp_path / "copies", tmp_path / "originals"
    copies.mkdir()
    originals.mkdir()
    clip, copy = clip_of(originals), clip_of(copies, crf=14)
    recent = RecentFootage(tmp_path / "recent", 1 << 14)
    shown_by("st_2", copy, recent, pause_ms)
    result = add(tmp_path / "banks", clip, (2000, 3600), stream_id="st_1", recent=recent)
    assert result == Banked(0, {LeftOutReason.SEEN_ELSEWHERE: 41})


def test_what_comes_after_an_intro_that_others_showed_is_banked(tmp_path: Path) -> None:
    clip, recent = clip_of(tmp_path), RecentFootage(tmp_path / "recent", 1 << 14)
    shown_by("st_2", clip, recent, 1000, until_ms=2000)
    result = add(tmp_path / "banks", clip, (2000, 5000), stream_id="st_1", recent=recent)
    (first_ms, _), left_out = times_of(banked(tmp_path / "banks")), result.left_out
    assert first_ms == 2280, "nobody looked for another second after the frame at 1160 ms"
    assert set(left_out) == {LeftOutReason.SEEN_ELSEWHERE}


def test_the_audio_of_a_clip_is_not_banked(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        sound = out.add_stream("aac", rate=RATE, layout="mono")
        for index in range(150):
            frame = av.VideoFrame.from_ndarray(drift(index, 96, 128), format="gray")
            out.mux(video.encode(frame))
        heard = av.AudioFrame.from_ndarray(melody(1, 6)[None], format="s16", layout="mono")
        heard.sample_rate = RATE
        out.mux(sound.encode(heard))
        out.mux(video.encode())
        out.mux(sound.encode())
    assert add(tmp_path, clip, (1000, 1400)).frames == 11
    assert banked(tmp_path).audio is None
