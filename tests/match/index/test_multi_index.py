"""The index against brute force, on random, skewed and hostile data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import BankError
from edge.match import Entry, EntryKind, Footage, HashRun
from edge.match.bank.array_file import read_arrays, write_arrays
from edge.match.bank.segment import Segment
from edge.match.bank.segment_builder import unique_codes, write_segment
from edge.match.index import multi_index as index_module
from edge.match.index.hamming import Codes, codes_of, distances, scan
from edge.match.index.multi_index import HARD, ChunkIndex, build, plan_for


def random_codes(rng: np.random.Generator, count: int) -> Codes:
    return codes_of(rng.bytes(32 * count))


def scattered(rng: np.random.Generator, centre: Codes, count: int, flips: int) -> Codes:
    """Codes that differ from a centre in at most ``flips`` bits."""
    codes = np.repeat(centre[None], count, axis=0)
    rows = np.arange(count)
    for place in rng.integers(0, 256, (flips, count)):
        codes[rows, place // 64] ^= np.uint64(1) << (place % 64).astype(np.uint64)
    return codes


def indexed(codes: Codes) -> ChunkIndex:
    plan, arrays = build(codes)
    made = ChunkIndex(codes, plan, arrays)
    assert made.is_intact()
    return made


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 3000),
    clusters=st.integers(0, 4),
    spread=st.integers(0, 40),
    radius=st.integers(0, 31),
    away=st.integers(0, 45),
)
def test_the_index_finds_what_brute_force_finds(
    seed: int, count: int, clusters: int, spread: int, radius: int, away: int
) -> None:
    rng = np.random.default_rng(seed)
    codes = random_codes(rng, count)
    for _ in range(clusters):
        codes = np.vstack((codes, scattered(rng, codes[0], count // 2 + 1, spread)))
    codes, _ = unique_codes(codes)
    query = scattered(rng, codes[rng.integers(len(codes))], 1, away)[0]
    found = indexed(codes).search(query, radius, max_hits=len(codes))
    expected = scan(codes, query, radius, max_hits=len(codes))
    assert not found.truncated
    assert found.positions.tolist() == expected.positions.tolist()
    assert found.distances.tolist() == expected.distances.tolist()


@pytest.mark.parametrize("away", [0, 20, 31, 36, 60, 128])
def test_neighbouring_codes_by_the_hundred_thousand_do_not_blow_up_a_query(away: int) -> None:
    rng = np.random.default_rng(away)
    centre = random_codes(rng, 1)[0]
    codes, _ = unique_codes(scattered(rng, centre, 300_000, 12))
    query = scattered(rng, centre, 1, away)[0]
    found = indexed(codes).search(query)
    expected = scan(codes, query, 31, max_hits=len(codes))
    assert (distances(codes[found.positions], query) == found.distances).all()
    assert len(found.positions) <= 4096
    if found.truncated:
        assert len(found.positions) >= min(len(expected.positions), 4096) // 2
    else:
        assert found.positions.tolist() == expected.positions.tolist()


def test_the_opposite_code_is_no_hit() -> None:
    # 256 bits differ: a count in bytes wraps to 0 there. Both codes lie in buckets of the query.
    rng = np.random.default_rng(11)
    query = random_codes(rng, 1)[0]
    codes, _ = unique_codes(np.vstack((random_codes(rng, 3000), query, ~query)))
    chunks = indexed(codes)
    assert codes[chunks.search(query).positions].tolist() == [query.tolist()]
    everything = np.arange(len(codes)), np.ones(len(codes), dtype=np.int64)
    measured = chunks._measured(query, 31, *everything, 4096, False)
    assert codes[measured.positions].tolist() == [query.tolist()]


def test_an_index_cut_another_way_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes, _ = unique_codes(random_codes(np.random.default_rng(5), 5000))
    items = [Footage(Entry(c.tobytes().hex(), EntryKind.IMAGE), (HashRun(c.tobytes()),)) for c in codes]
    monkeypatch.setattr(index_module, "plan_for", lambda count: index_module.SearchPlan(12, 12))
    write_segment(tmp_path / "older.seg", items)
    monkeypatch.undo()
    assert plan_for(5000).width != 12
    segment = Segment.open(tmp_path / "older.seg")
    query = scattered(np.random.default_rng(6), codes[4000], 1, 20)[0]
    assert segment.search(query, 31).positions.tolist() == scan(codes, query, 31).positions.tolist() == [4000]


def test_full_buckets_are_left_alone_when_thresholds_can_be_dealt_out_anew() -> None:
    # Every code shares three chunks with the query and is far away in all others.
    rng = np.random.default_rng(7)
    codes = random_codes(rng, 200_000).copy()
    codes[:, 0] = codes[0, 0]
    codes, _ = unique_codes(codes)
    query = random_codes(rng, 1)[0].copy()
    query[0] = codes[0, 0]
    planted = scattered(rng, query, 1, 25)
    codes, _ = unique_codes(np.vstack((codes, planted)))
    found, expected = indexed(codes).search(query), scan(codes, query, 31)
    assert not found.truncated
    assert found.positions.tolist() == expected.positions.tolist()
    assert len(found.positions) == 1


def test_a_cut_off_search_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "EASY", 10)
    monkeypatch.setattr(index_module, "HARD", 100)
    rng = np.random.default_rng(1)
    codes, _ = unique_codes(scattered(rng, random_codes(rng, 1)[0], 5000, 8))
    found = indexed(codes).search(codes[17])
    assert found.truncated
    assert found.distances[0] == 0
    assert len(found.positions) <= 100 < HARD


def footage(rng: np.random.Generator, count: int) -> list[Footage]:
    return [
        Footage(Entry(bits.hex(), EntryKind.IMAGE), (HashRun(bits),))
        for bits in (rng.bytes(32) for _ in range(count))
    ]


def test_a_large_segment_carries_its_index(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    items = footage(rng, 5000)
    write_segment(tmp_path / "big.seg", items)
    segment = Segment.open(tmp_path / "big.seg")
    assert "slot_first" in read_arrays(tmp_path / "big.seg").arrays
    for item in items[::500]:
        (position,) = segment.search(codes_of(item.hashes[0].bits)[0], 31).positions
        assert next(segment.references(int(position))).entry == item.entry
        assert segment.find(item.entry.id) == item.entry


@pytest.mark.parametrize(
    "harm", ["slot beyond the end", "slot falls", "code beyond the end", "no index", "cut"]
)
def test_an_index_that_would_lead_outside_is_refused(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "big.seg"
    write_segment(path, footage(np.random.default_rng(3), 5000))
    content = read_arrays(path)
    arrays = {name: array.copy() for name, array in content.arrays.items()}
    meta = dict(content.meta)
    match harm:
        case "slot beyond the end":
            arrays["slot_first"][-1] += 1
        case "slot falls":
            arrays["slot_first"][100] = 2**32 - 1
        case "code beyond the end":
            arrays["slot_codes"][77] = 5000
        case "no index":
            del arrays["slot_first"], arrays["slot_codes"]
        case "cut":
            meta["width"] += 1
    write_arrays(path, meta, arrays)
    with pytest.raises(BankError, match=r"big\.seg: .*(index|without)"):
        Segment.open(path)


def test_plans_keep_their_bounds() -> None:
    for count in (1, 2049, 10**5, 10**6, 10**7, 1 << 26):
        plan = plan_for(count)
        assert plan.chunks * plan.width <= 256
        # Thresholds of at most two bits add up to 32.
        assert plan.chunks * 3 >= 32
    plan = plan_for(10**7)
    assert 10**7 * 32 + plan.slots * 4 + plan.chunks * 10**7 * 4 <= 1.2e9
