"""Lookups of frames in the banks of a directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import ManualClock
from edge.errors import BankError, InvalidInput
from edge.match import (
    Bank,
    BankInfo,
    BankPurpose,
    Entry,
    EntryKind,
    Footage,
    HashRun,
    Matcher,
    PdqHash,
    PdqHasher,
)
from edge.match.bank import array_file
from edge.match.bank.bank_set import MAX_CANDIDATES
from edge.match.bank.manifest import write_manifest
from edge.match.index.hamming import codes_of, scan
from edge.match.matcher import MAX_PER_ENTRY
from edge.match.pdq.hasher import distance

U8 = npt.NDArray[np.uint8]


def picture(seed: int, height: int = 180, width: int = 320) -> U8:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    total = np.full((height, width), 128.0)
    for i in range(10):
        total += 25 * np.sin(rng.uniform(-15, 15) * y / height + rng.uniform(-15, 15) * x / width + i)
    return np.asarray(np.clip(total, 0, 255), np.uint8)


def flipped(bits: bytes, count: int, seed: int = 0) -> bytes:
    number = int.from_bytes(bits)
    for place in np.random.default_rng(seed).choice(256, count, replace=False):
        number ^= 1 << int(place)
    return number.to_bytes(32)


def video(name: str, *bits: bytes) -> Footage:
    return Footage(
        Entry(name, EntryKind.VIDEO), tuple(HashRun(b, start_ms=40 * i) for i, b in enumerate(bits))
    )


def image(name: str, bits: bytes) -> Footage:
    return Footage(Entry(name, EntryKind.IMAGE), (HashRun(bits),))


def test_a_known_frame_is_found_straight_and_mirrored(tmp_path: Path) -> None:
    frame = picture(1)
    bits = PdqHasher().hash(frame).bits
    Bank.create(tmp_path / "known", BankInfo(label="fight")).add_footage(
        [video("v", PdqHasher().hash(picture(2)).bits, bits)]
    )
    matcher = Matcher.open(tmp_path)
    (found,) = matcher.query(frame)
    assert (found.entry, found.bank, found.label, found.distance) == ("v", "known", "fight", 0)
    assert (found.timestamp_ms, found.variant) == (40, "original")
    assert found.quality >= 50
    (mirrored,) = matcher.query(np.ascontiguousarray(frame[:, ::-1]))
    assert (mirrored.entry, mirrored.variant) == ("v", "original+mirror")
    assert matcher.query(picture(3)) == ()


def test_nothing_matches_without_banks_or_without_quality(tmp_path: Path) -> None:
    frame = picture(1)
    assert Matcher.open(None).query(frame) == ()
    assert Matcher.open(None).digest == ""
    assert Matcher.open(tmp_path).query(frame) == ()
    Bank.create(tmp_path / "known").add_footage([image("black", bytes(32))])
    assert Matcher.open(tmp_path).query(np.zeros((180, 320), np.uint8)) == ()
    assert Matcher.open(tmp_path).query_hash(PdqHash(bytes(32), bytes(32), 49)) == ()
    assert len(Matcher.open(tmp_path).query_hash(PdqHash(bytes(32), b"\xff" * 32, 50))) == 1


def test_a_part_that_is_its_own_mirror_image_is_no_footage(tmp_path: Path) -> None:
    half = picture(1, width=160)
    shape, footage = np.hstack((half, half[:, ::-1])), picture(1)
    hasher = PdqHasher()
    Bank.create(tmp_path / "known").add_footage(
        [video("shape", hasher.hash(shape).bits), video("footage", hasher.hash(footage).bits)]
    )
    matcher = Matcher.open(tmp_path)
    assert [c.entry for c in matcher.query(shape)] == ["shape", "shape"], "a whole frame may be one"
    bordered = [np.pad(inside, ((60, 60), (0, 0))) for inside in (shape, footage)]
    assert [[c.entry for c in matcher.query(frame)] for frame in bordered] == [[], ["footage"]]


def test_the_radius_is_exact(tmp_path: Path) -> None:
    bits = np.random.default_rng(5).bytes(32)
    mirrored = np.random.default_rng(6).bytes(32)
    Bank.create(tmp_path / "known").add_footage([image(f"at-{d}", flipped(bits, d, d)) for d in range(40)])
    for radius in (0, 7, 31):
        found = Matcher.open(tmp_path, radius=radius).query_hash(PdqHash(bits, mirrored, 100))
        assert [c.distance for c in found] == list(range(radius + 1))
    with pytest.raises(InvalidInput, match=r"match\.radius"):
        Matcher.open(tmp_path, radius=32)


def test_disabled_removed_expired_and_partly_enabled_entries_are_left_out(tmp_path: Path) -> None:
    bits = np.random.default_rng(5).bytes(32)
    query = PdqHash(bits, bytes(32), 100)
    clock = ManualClock()
    bank = Bank.create(tmp_path / "known", BankInfo(expires_ms=clock.now_wall_ms + 1000))
    bank.add_footage([image(f"e{i}", flipped(bits, 1, i)) for i in range(20)])
    matcher = Matcher.open(tmp_path, clock=clock)
    assert len(matcher.query_hash(query)) == 20
    bank.set_enabled(["e0"], False)
    bank.remove(["e1"])
    assert matcher.reload()
    assert {c.entry for c in matcher.query_hash(query)} == {f"e{i}" for i in range(2, 20)}
    bank.change(bank.info.model_copy(update={"enabled_ratio": 0.5}))
    assert matcher.reload()
    half = matcher.query_hash(query)
    assert 3 <= len(half) <= 15
    assert matcher.query_hash(query) == half
    clock.advance_ms(1000)
    assert matcher.query_hash(query) == ()
    bank.change(BankInfo(enabled=False))
    assert matcher.reload()
    assert matcher.query_hash(query) == ()


def test_benign_footage_suppresses_matches_that_are_no_nearer(tmp_path: Path) -> None:
    bits = np.random.default_rng(5).bytes(32)
    Bank.create(tmp_path / "known").add_footage(
        [image("near", flipped(bits, 2)), image("far", flipped(bits, 20))]
    )
    Bank.create(tmp_path / "harmless", BankInfo(opinion=BankPurpose.BENIGN)).add_footage(
        [image("logo", flipped(bits, 10))]
    )
    found = Matcher.open(tmp_path).query_hash(PdqHash(bits, bytes(32), 100))
    assert [c.entry for c in found] == ["near"]


def test_reload_is_cheap_whole_and_keeps_the_old_on_damage(tmp_path: Path) -> None:
    bits = np.random.default_rng(5).bytes(32)
    query = PdqHash(bits, bytes(32), 100)
    bank = Bank.create(tmp_path / "known")
    matcher = Matcher.open(tmp_path)
    assert not matcher.reload()
    bank.add_footage([image("a", bits)])
    assert matcher.query_hash(query) == ()
    assert matcher.reload()
    before = matcher.digest
    assert [c.entry for c in matcher.query_hash(query)] == ["a"]

    path = tmp_path / "known.bank"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    for _ in range(2):
        with pytest.raises(BankError):
            matcher.reload()
        assert [c.entry for c in matcher.query_hash(query)] == ["a"]
        assert matcher.digest == before
    path.unlink()
    assert matcher.reload()
    assert matcher.query_hash(query) == ()
    assert matcher.digest == ""


def test_an_open_bank_survives_compaction_by_another_process(tmp_path: Path) -> None:
    bits = np.random.default_rng(5).bytes(32)
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([image("a", bits)])
    bank.add_footage([image("b", flipped(bits, 3))])
    matcher = Matcher.open(tmp_path)
    bank.compact()
    query = PdqHash(bits, bytes(32), 100)
    assert [c.entry for c in matcher.query_hash(query)] == ["a", "b"]
    assert matcher.reload()
    assert [c.entry for c in matcher.query_hash(query)] == ["a", "b"]


def test_entries_that_are_only_counted_crowd_out_no_other(tmp_path: Path) -> None:
    near, bits = PdqHasher().hash(picture(1)).bits, flipped(PdqHasher().hash(picture(1)).bits, 20)
    lent = [image(f"lent{i}", near) for i in range(MAX_CANDIDATES + 1)]
    Bank.create(tmp_path / "lent", BankInfo(opinion=BankPurpose.COUNT)).add_footage(lent)
    Bank.create(tmp_path / "known").add_footage([image("known", bits)])
    found = Matcher.open(tmp_path).query(picture(1))
    assert len(found) == MAX_CANDIDATES
    assert found[0].entry == "known"
    assert {c.purpose for c in found[1:]} == {BankPurpose.COUNT}


def test_answers_are_bounded(tmp_path: Path) -> None:
    bits = np.random.default_rng(5).bytes(32)
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([video("long", *(flipped(bits, 4, seed) for seed in range(200)))])
    bank.add_footage([image(f"e{i}", flipped(bits, 5, i)) for i in range(200)])
    found = Matcher.open(tmp_path).query_hash(PdqHash(bits, bytes(32), 100))
    assert len(found) == MAX_CANDIDATES
    assert sum(c.entry == "long" for c in found) == MAX_PER_ENTRY


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(0, 31), st.integers(0, 60), st.booleans())
def test_scan_is_brute_force(seed: int, count: int, radius: int, spread: int, skewed: bool) -> None:
    rng = np.random.default_rng(seed)
    centre = rng.bytes(32)
    codes = [
        flipped(centre, int(rng.integers(0, spread + 1)), i) if skewed else rng.bytes(32)
        for i in range(count)
    ]
    hits = scan(codes_of(b"".join(codes)), codes_of(centre)[0], radius)
    expected = sorted((distance(c, centre), i) for i, c in enumerate(codes) if distance(c, centre) <= radius)
    assert list(zip(hits.distances.tolist(), hits.positions.tolist(), strict=True)) == expected
    assert not hits.truncated


@pytest.mark.parametrize(
    "change",
    [
        (b'"video","label":', b'"smell","label":'),
        (b'"video","label":', b'"video" "label":'),
        (b'"label":"fights"', b'"label":[["fi"]]'),
        (b'"label":"fights"', b'"label":"\\u0000"'),
    ],
)
def test_an_entry_that_cannot_be_read_matches_nothing_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: tuple[bytes, bytes]
) -> None:
    frames = [picture(seed) for seed in range(3)]
    hashes = [PdqHasher().hash(frame).bits for frame in frames]
    bad = Footage(Entry("bad", EntryKind.VIDEO, label="fights"), tuple(map(HashRun, hashes[:2])))
    worse = Footage(Entry("worse", EntryKind.VIDEO, label="fights"), (HashRun(hashes[2]),))
    bank = Bank.create(tmp_path / "known")
    bank.add_footage([bad, worse, video("good", *hashes)])
    written_wrong(bank, *change)
    matcher = Matcher.open(tmp_path)
    for _ in range(3):
        assert [[c.entry for c in matcher.query(frame)] for frame in frames] == [["good"]] * 3
    (record,) = caplog.records
    assert "entry 0 does not keep the format" in record.message
    with pytest.raises(BankError, match="entry 0 does not keep the format"):
        list(Bank.open(bank.path).footage())


def written_wrong(bank: Bank, old: bytes, new: bytes) -> None:
    """Changes the entries of a bank's only segment, with valid checksums, like a writer that breaks the
    format."""
    (segment,) = bank.segments
    content = array_file.read_arrays(segment.path)
    table = content.arrays["entry_json"].tobytes()
    assert len(old) == len(new)
    assert old in table
    changed = np.frombuffer(table.replace(old, new), np.uint8)
    digest = array_file.write_arrays(segment.path, content.meta, {**content.arrays, "entry_json": changed})
    name = bank.manifest.segments[0].model_copy(update={"digest": digest})
    write_manifest(bank.path, bank.manifest.model_copy(update={"segments": (name,)}))
