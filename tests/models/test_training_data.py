"""Splits keep groups together. Samples match the live path, and cached planes match the detector."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.detect import PlaneScaler
from edge.detect.plane import frame_size
from models.train.cache import PLANE, SHORT_SIDE, decode_frames
from models.train.index import Clip, data_digest, make_splits, read_index, read_splits
from models.train.sampling import closest, triples


def test_committed_splits_cover_every_group(shared: Path) -> None:
    clips = read_index(shared / "data")
    assert len(clips) == 433
    splits = read_splits()
    assert {clip.group for clip in clips} == set(splits)
    assert splits == make_splits(clips)
    for fold in set(splits.values()):
        inside = [clip for clip in clips if splits[clip.group] == fold]
        assert {clip.violent for clip in inside} == {True, False}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=60))
def test_splits_are_balanced_within_a_source(rows: list[tuple[str, int]]) -> None:
    clips = [Clip(f"clips/{source}/{i}.mp4", False, f"{source}{g}") for i, (source, g) in enumerate(rows)]
    splits = make_splits(clips, folds=3)
    assert set(splits) == {clip.group for clip in clips}
    assert set(splits.values()) <= {0, 1, 2}


def test_digest_names_bytes_and_labels(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"one")
    calm, violent = Clip("clips/a.mp4", False, "g"), Clip("clips/a.mp4", True, "g")
    before = data_digest([calm], tmp_path)
    assert before == data_digest([calm], tmp_path)
    assert before != data_digest([violent], tmp_path)
    (tmp_path / "clips" / "a.mp4").write_bytes(b"two")
    assert before != data_digest([calm], tmp_path)


@given(
    st.lists(st.integers(0, 20_000), min_size=1, max_size=80, unique=True).map(sorted),
    st.lists(st.integers(-500, 21_000), min_size=1, max_size=20),
)
def test_closest_by_brute_force(times: list[int], wanted: list[int]) -> None:
    pts = np.array(times)
    for got, want in zip(closest(pts, np.array(wanted)), wanted, strict=True):
        assert abs(times[got] - want) == min(abs(t - want) for t in times)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=100))
def test_triples_are_ordered_and_never_empty(steps: list[int]) -> None:
    pts = np.concatenate([[0], np.cumsum(steps)])
    found = triples(pts)
    assert len(found) >= 1
    assert (np.diff(found, axis=1) >= 0).all()
    centres = pts[found[:, 1]]
    assert all(a <= b for a, b in pairwise(centres))


def test_training_frames_are_the_live_planes(fight_clip: Path) -> None:
    """The cached plane of a frame equals the live scaler's, bit for bit."""
    cached = decode_frames(fight_clip)
    scaler = PlaneScaler(PLANE, PLANE, SHORT_SIDE)
    live = {}
    with av.open(str(fight_clip)) as container:
        for frame in container.decode(video=0):
            plane = scaler.plane(frame)
            height, width = frame_size(plane)
            live[round(frame.time * 1000)] = plane[:height, :width]
    start = min(live)
    for picture, pts_ms in zip(cached.pictures, cached.pts_ms, strict=True):
        np.testing.assert_array_equal(picture, live[start + int(pts_ms)])
    assert len(cached.pictures) >= len(triples(cached.pts_ms)) * 2


def test_kept_frames_give_the_samples_of_all_frames(fight_clip: Path) -> None:
    with av.open(str(fight_clip)) as container:
        times = [round(frame.time * 1000) for frame in container.decode(video=0)]
    every = np.array(times) - times[0]
    kept = decode_frames(fight_clip).pts_ms
    np.testing.assert_array_equal(kept[triples(kept)], every[triples(every)])
