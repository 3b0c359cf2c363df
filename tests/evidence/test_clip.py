"""Clips that any player decodes, whatever the ring holds."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
import struct
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.domain import (
    AccessUnit,
    Action,
    Codec,
    Incident,
    Publish,
    Signal,
    SignalSource,
    Verdict,
)
from edge.errors import BrokenMedia, InvalidInput
from edge.evidence import (
    INCOMING,
    Sampling,
    forget_unfinished,
    incident_record,
    sampling_of,
    take_in,
    write_clip,
    write_incident_record,
)
from edge.reasons import VerdictReason
from edge.stream.synthetic import EncodedMedia, encode
from tests.conftest import require


def decoded(path: Path) -> list[int]:
    """pts of every frame, in milliseconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        return [round(f.pts * stream.time_base * 1000) for f in container.decode(stream) if f.pts is not None]


@pytest.mark.parametrize("codec", list(Codec))
@pytest.mark.parametrize("in_band", [False, True])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_frame_of_every_codec(codec: Codec, in_band: bool, b_frames: int, tmp_path: Path) -> None:
    media = encode(codec, frames=40, gop=20, in_band=in_band, b_frames=b_frames)
    clip = write_clip(media.units, codec, media.extradata, tmp_path, "in_1")
    shown = sorted(u.pts_ms for u in media.units)
    assert [pts - decoded(clip.path)[0] for pts in decoded(clip.path)] == [p - shown[0] for p in shown]
    assert (clip.start_pts_ms, clip.end_pts_ms) == (shown[0], shown[-1])
    assert clip.path == tmp_path / "in_1.mp4"
    assert clip.bytes == clip.path.stat().st_size
    assert stat.S_IMODE(clip.path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["in_1.mp4"]


def test_ffprobe_reads_it(tmp_path: Path) -> None:
    require(shutil.which("ffprobe") is not None, "ffprobe")
    media = encode(frames=30, gop=10, size=(120, 160))
    clip = write_clip(media.units, Codec.H264, media.extradata, tmp_path, "in_1")
    command = ["ffprobe", "-v", "error", "-count_frames", "-of", "json", "-show_streams", str(clip.path)]
    result = subprocess.run(command, capture_output=True, check=True)
    assert result.stderr == b""
    stream = json.loads(result.stdout)["streams"][0]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", 160, 120)
    assert stream["nb_read_frames"] == "30"


def test_real_footage(fight_clip: Path, tmp_path: Path) -> None:
    from edge.stream import open_media_file

    with open_media_file(fight_clip) as media:
        units = list(media.units())
        clip = write_clip(units, Codec(media.codec.value), media.extradata, tmp_path, "in_1")
    assert len(decoded(clip.path)) == len(units)


def boxes(raw: bytes) -> list[bytes]:
    """Names of the outermost boxes (ISO/IEC 14496-12, 4.2)."""
    found, at = [], 0
    while at < len(raw):
        found.append(raw[at + 4 : at + 8])
        at += struct.unpack_from(">I", raw, at)[0]
    return found


def padded(media: EncodedMedia, count: int, size: int) -> list[AccessUnit]:
    """Makes each access unit ``size`` bytes larger with filler data, which decoders skip."""
    filler = b"\x0c" + b"\xff" * size + b"\x80"
    return [
        replace(unit, pts_ms=40 * n, dts_ms=40 * n, data=unit.data + struct.pack(">I", len(filler)) + filler)
        for n, unit in zip(range(count), itertools.cycle(media.units), strict=False)
    ]


def test_other_threads_go_on_while_a_large_clip_is_written(media: EncodedMedia, tmp_path: Path) -> None:
    """The muxer ends a clip while it holds the GIL. No single pause may be as long as the whole write."""
    units = padded(media, 240, 128 * 1024)
    assert boxes(clip_of(units, media, tmp_path).read_bytes())[-2:] == [b"mdat", b"moov"]
    share = 1.0
    for _ in range(5):  # The machine may be busy with something else.
        writing = threading.Thread(target=clip_of, args=(units, media, tmp_path))
        start = last = time.perf_counter()
        longest = 0.0
        writing.start()
        while writing.is_alive():
            time.sleep(0.0005)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        share = min(share, longest / (last - start))
    assert share < 0.3


def clip_of(units: list[AccessUnit], media: EncodedMedia, directory: Path) -> Path:
    return write_clip(units, Codec.H264, media.extradata, directory, "in_1").path


def test_it_starts_at_the_first_keyframe(tmp_path: Path) -> None:
    media = encode(frames=40, gop=20)
    clip = write_clip(media.units[7:], Codec.H264, media.extradata, tmp_path, "in_1")
    assert len(decoded(clip.path)) == 20
    assert clip.start_pts_ms == media.units[20].pts_ms


def test_resolution_change_in_mid_stream(tmp_path: Path) -> None:
    small, large = encode(frames=10, in_band=True), encode(frames=10, in_band=True, size=(192, 256))
    moved = [
        AccessUnit(u.pts_ms + 400, u.dts_ms + 400, u.keyframe, u.data, u.arrival_ms) for u in large.units
    ]
    clip = write_clip([*small.units, *moved], Codec.H264, b"", tmp_path, "in_1")
    with av.open(str(clip.path)) as container:
        sizes = [(f.height, f.width) for f in container.decode(video=0)]
    assert sizes == [(96, 128)] * 10 + [(192, 256)] * 10


def test_no_keyframe_and_no_media_are_said(tmp_path: Path) -> None:
    media = encode(frames=10)
    for units in ((), media.units[1:]):
        with pytest.raises(BrokenMedia, match="no keyframe"):
            write_clip(units, Codec.H264, media.extradata, tmp_path, "in_1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ident", ["", "../up", "a/b", ".hidden", "x" * 200, "a\x00b"])
def test_id_that_is_no_file_name(ident: str, tmp_path: Path) -> None:
    media = encode(frames=4)
    with pytest.raises(InvalidInput, match="incident_id"):
        write_clip(media.units, Codec.H264, media.extradata, tmp_path, ident)


@pytest.fixture(scope="module")
def media() -> EncodedMedia:
    return encode(frames=12, gop=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stamps=st.lists(
        st.tuples(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62)), min_size=12, max_size=12
    )
)
def test_any_stamps_give_a_clip(stamps: list[tuple[int, int]], media: EncodedMedia, tmp_path: Path) -> None:
    units = [
        AccessUnit(pts, dts, u.keyframe, u.data, 0.0)
        for (pts, dts), u in zip(stamps, media.units, strict=True)
    ]
    clip = write_clip(units, Codec.H264, media.extradata, tmp_path, "in_1")
    assert len(decoded(clip.path)) == 12


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_media_gives_a_clip_or_a_clear_error(
    data: st.DataObject, media: EncodedMedia, tmp_path: Path
) -> None:
    units = []
    for u in media.units:
        body = bytearray(u.data)
        for _ in range(data.draw(st.integers(0, 3))):
            body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        cut = data.draw(st.integers(0, len(body)))
        units.append(AccessUnit(u.pts_ms, u.dts_ms, u.keyframe, bytes(body[:cut]), 0.0))
    extradata = data.draw(st.one_of(st.just(media.extradata), st.binary(max_size=64), st.just(b"")))
    try:
        clip = write_clip(units, Codec.H264, extradata, tmp_path, "in_1")
    except (BrokenMedia, InvalidInput):
        assert not [p for p in tmp_path.iterdir() if p.suffix == ".partial"]
    else:
        assert clip.bytes > 0


def incident(ident: str = "in_1") -> Incident:
    signal = Signal(SignalSource.MATCH, "known", 900, 0.95, distance=12, entry="e1", detail="hits=3/5")
    return Incident(
        id=ident,
        stream_id="st_1",
        publish=Publish(
            "nginx-rtmp", "7", "live", "ali", "u42", "127.0.0.1", {"streamkey": "s3cret", "user": "ü"}
        ),
        verdict=Verdict(Action.CUT, 900, 700, "known", VerdictReason.MATCH, 0.95, (signal,), 3, "ab" * 32),
        created_ms=1_700_000_000_000,
        evidence_path="/somewhere/in_1.mp4",
    )


def test_record_holds_what_led_to_the_verdict_and_no_secret(tmp_path: Path) -> None:
    path = write_incident_record(incident(), tmp_path)
    text = path.read_text(encoding="utf-8")
    record = json.loads(text)
    assert record == incident_record(incident())
    assert record["schema"] == "edge.incident/1"
    assert record["clip"] == "in_1.mp4"
    assert record["verdict"]["signals"][0]["entry"] == "e1"
    assert record["verdict"]["policy_version"] == 3
    assert "s3cret" not in text
    assert record["publish"]["attributes"]["user"] == "ü"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_record_is_replaced_whole(tmp_path: Path) -> None:
    write_incident_record(incident(), tmp_path)
    write_incident_record(incident(), tmp_path)
    assert sampling_of(tmp_path / "in_1.mp4") is None
    assert [p.name for p in tmp_path.iterdir()] == ["in_1.json"]


def test_sampling_stays_on_record_when_the_record_is_rewritten(tmp_path: Path) -> None:
    sampling = Sampling(b"secret", 123_400)
    write_incident_record(incident(), tmp_path, sampling)
    write_incident_record(incident(), tmp_path)
    assert sampling_of(tmp_path / "in_1.mp4") == sampling
    (tmp_path / "in_2.json").write_text('{"schema": "edge.incident/1", "sampling": {"seed": 7}}')
    assert sampling_of(tmp_path / "in_2.mp4") is None


def test_what_a_killed_process_left_unfinished_is_forgotten(tmp_path: Path) -> None:
    names = (".inc_1.a1b2c3d4.partial", ".inc_2.a1b2c3d4.partial", "inc_1.mp4", ".hidden")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1_000_000, 1_000_000))
    os.utime(tmp_path / names[1], (1_000_500, 1_000_500))
    (tmp_path / INCOMING).mkdir()
    (tmp_path / INCOMING / "inc_3.mp4").write_bytes(b"nobody took it in")
    os.utime(tmp_path / INCOMING / "inc_3.mp4", (1_000_000, 1_000_000))
    (tmp_path / INCOMING / "inc_4.mp4").write_bytes(b"x")
    os.utime(tmp_path / INCOMING / "inc_4.mp4", (1_000_500, 1_000_500))
    assert forget_unfinished(tmp_path, 1_001_000.0) == 2
    assert {path.name for path in tmp_path.iterdir()} == {*names[1:], INCOMING}
    assert [path.name for path in (tmp_path / INCOMING).iterdir()] == ["inc_4.mp4"]


def test_a_clip_is_taken_in_and_what_is_no_file_is_not(synced: list[tuple[str, int]], tmp_path: Path) -> None:
    incoming = tmp_path / INCOMING
    incoming.mkdir()
    (incoming / "in_1.mp4").write_bytes(b"clip")
    assert take_in(incoming, tmp_path, "in_1") == tmp_path / "in_1.mp4"
    # A worker's word that it has synced the clip is not enough.
    assert synced == [("file", 4), ("folder", 2)]
    assert (tmp_path / "in_1.mp4").read_bytes() == b"clip"
    (tmp_path / "secret").write_bytes(b"x")
    (incoming / "in_2.mp4").symlink_to(tmp_path / "secret")
    (incoming / "in_3.mp4").mkdir()
    for ident in ("in_2", "in_3", "../secret"):
        with pytest.raises(InvalidInput):
            take_in(incoming, tmp_path, ident)
    with pytest.raises(FileNotFoundError):
        take_in(incoming, tmp_path, "in_4")
    assert {path.name for path in tmp_path.iterdir()} == {"in_1.mp4", "secret", INCOMING}


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_a_record_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in_1.json")
    assert sampling_of(tmp_path / "in_1.mp4") is None
