"""Which part of a confirmed incident's clip becomes known footage: its end, whatever the encoder."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from edge.domain import AccessUnit, Codec
from edge.errors import BrokenMedia, InvalidInput
from edge.evidence import write_clip
from edge.match import INCIDENT_BANK, Bank, Footage, Matcher, available, bank_incident, frames_of
from edge.match.audio.audio_similarity import SHORTEST
from edge.match.audio.chromaprint import ITEM_MS, RATE
from edge.match.entry import Variant
from edge.match.evasion.variants import VariantSet
from edge.match.fingerprint import MAX_DAMAGED_IN_A_ROW, Damage, fingerprint, length_ms
from edge.stream.synthetic import EncodedMedia, encode
from tests.match.audio.audio_clips import melody
from tests.match.audio.audio_clips import write_clip as write_audio_clip

U8 = npt.NDArray[np.uint8]
FPS = 25


def waves(index: int, height: int, width: int) -> U8:
    y, x = np.mgrid[0:height, 0:width]
    total = 128 + sum(25 * np.sin(x / (6 + 3 * n) + y / (9 + 2 * n) + index * n / 5) for n in range(5))
    return np.asarray(np.clip(total, 0, 255), np.uint8)


def stream(codec: Codec = Codec.H264, frames: int = 150, b_frames: int = 0) -> EncodedMedia:
    return encode(codec, frames=frames, fps=FPS, gop=FPS, size=(96, 128), b_frames=b_frames, picture=waves)


def junk_at(units: tuple[AccessUnit, ...], *numbers: int) -> list[AccessUnit]:
    """The same, with units that claim to be pictures but are not."""
    rubbish = b"\0\0\0\1\x41" + np.random.default_rng(1).bytes(99)
    return [
        dataclasses.replace(unit, data=rubbish) if number in numbers else unit
        for number, unit in enumerate(units)
    ]


def banked(directory: Path) -> Footage:
    (footage,) = Bank.open(directory / INCIDENT_BANK).footage()
    return footage


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
    assert length_ms(clip) == 5960
    assert bank_incident(tmp_path, "in_1", clip, "fight", added_ms=0, last_ms=1200) > 0
    assert times_of(banked(tmp_path)) == (4760, 5960)


@pytest.mark.parametrize("frames", [[148], [149], [147, 148, 149]])
def test_rubbish_at_the_end_costs_no_good_frame_and_moves_nothing(frames: list[int], tmp_path: Path) -> None:
    media = stream()
    clip = write_clip(junk_at(media.units, *frames), Codec.H264, media.extradata, tmp_path, "in_1").path
    damage = Damage()
    assert len(list(frames_of(clip, damage=damage))) == 150 - len(frames)
    assert damage.packets == len(frames)
    bank_incident(tmp_path, "in_1", clip, "fight", added_ms=0, last_ms=1000)
    last = max(set(range(150)) - set(frames)) * 40
    assert times_of(banked(tmp_path)) == (4960, last)


@pytest.mark.parametrize(
    ("codec", "b_frames"), [(Codec.HEVC, 2), (Codec.H264, 2), (Codec.VP9, 0), (Codec.AV1, 0)]
)
def test_the_end_of_a_clip_of_every_codec(codec: Codec, b_frames: int, tmp_path: Path) -> None:
    media = stream(codec, frames=50, b_frames=b_frames)
    clip = write_clip(media.units, codec, media.extradata, tmp_path, "in_1").path
    bank_incident(tmp_path, "in_1", clip, "fight", added_ms=0, last_ms=400)
    first, last = times_of(banked(tmp_path))
    assert last == 1960
    assert first == pytest.approx(1560, abs=120), "B-frames come out some units later than they go in"


def test_a_picture_from_the_future_does_not_move_the_end(tmp_path: Path) -> None:
    media = stream(frames=75)
    units = list(media.units)
    units[10] = dataclasses.replace(units[10], pts_ms=units[10].pts_ms + 50_000)
    clip = write_clip(units, Codec.H264, media.extradata, tmp_path, "in_1").path
    assert bank_incident(tmp_path, "in_1", clip, "fight", added_ms=0, last_ms=400) > 0
    last = [luma.copy() for _, _, luma in frames_of(clip)]
    matcher = Matcher.open(tmp_path)
    assert matcher.query(last[-1])
    assert matcher.query(last[20]) == ()


def test_more_rubbish_in_a_row_than_a_live_stream_may_have_is_refused(tmp_path: Path) -> None:
    media = stream()
    many = range(30, 31 + MAX_DAMAGED_IN_A_ROW)
    clip = write_clip(junk_at(media.units, *many), Codec.H264, media.extradata, tmp_path, "in_1").path
    with pytest.raises(BrokenMedia, match=r"over 60 packets in a row after 1\.2 s"):
        bank_incident(tmp_path, "in_1", clip, "fight", added_ms=0)
    clip = write_clip(junk_at(media.units, *many[:-1]), Codec.H264, media.extradata, tmp_path, "in_2").path
    assert bank_incident(tmp_path, "in_2", clip, "fight", added_ms=0, last_ms=400) > 0


def test_only_what_is_banked_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media = stream()
    clip = write_clip(media.units, Codec.H264, media.extradata, tmp_path, "in_1").path
    fingerprinting = importlib.import_module("edge.match.fingerprint")
    varied: list[U8] = []
    variants_of = fingerprinting.variants_of

    def seen(luma: U8, wanted: VariantSet) -> Iterator[tuple[Variant, U8]]:
        varied.append(luma)
        yield from variants_of(luma, wanted)

    monkeypatch.setattr(fingerprinting, "variants_of", seen)
    fingerprint(clip, entry_id="in_1", last_ms=400, as_coded=True)
    assert len(varied) == 11


def test_a_stream_that_asks_to_be_turned_is_banked_as_it_is_looked_up(tmp_path: Path) -> None:
    media = stream(frames=5)
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
    bank_incident(tmp_path, "in_1", turned, "fight", added_ms=0)
    coded = fingerprint(plain, entry_id="in_1", sound=False)
    assert {run.bits for run in banked(tmp_path).hashes} == {run.bits for run in coded.hashes}


@pytest.mark.skipif(not available(), reason="needs libchromaprint: apt-get install libchromaprint1")
def test_the_sound_of_a_clip_is_banked_as_far_as_its_picture(tmp_path: Path) -> None:
    clip = write_audio_clip(tmp_path / "clip.mp4", melody(1, 12))
    whole = fingerprint(clip, entry_id="in_1", variants=VariantSet.NONE).audio
    bank_incident(tmp_path, "in_1", clip, "fight", added_ms=0, last_ms=7000)
    end = banked(tmp_path).audio
    assert whole is not None
    assert end is not None
    assert whole.items.endswith(end.items)
    assert end.start_ms == pytest.approx(4900, abs=ITEM_MS)
    assert len(end) >= SHORTEST
    bank_incident(tmp_path / "short", "in_1", clip, "fight", added_ms=0, last_ms=2000)
    assert banked(tmp_path / "short").audio is None, "no three seconds of it are after the start"


@pytest.mark.skipif(not available(), reason="needs libchromaprint: apt-get install libchromaprint1")
def test_sound_without_a_picture_that_says_anything_is_an_error_that_says_so(tmp_path: Path) -> None:
    clip = tmp_path / "black.mp4"
    with av.open(str(clip), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sound = out.add_stream("aac", rate=RATE, layout="mono")
        for _ in range(100):
            black = av.VideoFrame.from_ndarray(np.zeros((64, 64), np.uint8), format="gray")
            out.mux(video.encode(black))
        heard = av.AudioFrame.from_ndarray(melody(1, 10)[None], format="s16", layout="mono")
        heard.sample_rate = RATE
        out.mux(sound.encode(heard))
        out.mux(video.encode())
        out.mux(sound.encode())
    assert fingerprint(clip).audio is not None
    with pytest.raises(InvalidInput, match="PDQ quality"):
        bank_incident(tmp_path, "in_1", clip, "fight", added_ms=0, last_ms=2000)
