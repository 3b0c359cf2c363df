"""The admission view answers as a scan of all blocks would."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import PERMANENT_MS, Block, Publish, SubjectKind
from edge.ledger import AdmissionView
from edge.ledger.block_index import BlockIndex, row_of
from edge.ledger.subjects import subject_key

SUBJECTS = {
    SubjectKind.BROADCASTER: ["anna", "berta"],
    SubjectKind.STREAM_KEY: ["k1", "k2"],
    SubjectKind.ADDRESS: [
        "192.0.2.1",
        "192.0.2.0/24",
        "192.0.0.0/9",
        "2001:db8::/32",
        "2001:db8::/64",
        "2001:db8::1",
    ],
    SubjectKind.ATTRIBUTE: ["device=7", "device=7=7", "os=a"],
}


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    kind = draw(st.sampled_from(SubjectKind))
    return Block(
        id=f"bl{draw(st.integers(0, 9))}",
        subject_kind=kind,
        subject=draw(st.sampled_from(SUBJECTS[kind])),
        app=draw(st.sampled_from(["", "live", "other"])),
        reason="r",
        category="",
        created_ms=0,
        until_ms=draw(st.integers(0, 20)),
        incident_id=None,
        created_by="test",
    )


publishes = st.builds(
    Publish,
    server=st.just("s"),
    connection=st.just("c"),
    app=st.sampled_from(["live", "other"]),
    name=st.just("n"),
    broadcaster=st.sampled_from(["anna", "berta", "carla"]),
    address=st.sampled_from(
        [
            "",
            "192.0.2.1",
            "192.0.2.200",
            "198.51.100.1",
            "2001:db8::1",
            "2001:DB8:0::1",
            "2001:db8:1::1%eth0",
            "::ffff:192.0.2.9",
            "unix",
        ]
    ),
    attributes=st.dictionaries(
        st.sampled_from(["stream_key", "device", "os"]), st.sampled_from(["k1", "k3", "7", "7=7", "a"])
    ),
)


def applies(block: Block, publish: Publish, now: int) -> bool:
    if not block.active_at(now) or block.app not in ("", publish.app):
        return False
    match block.subject_kind:
        case SubjectKind.BROADCASTER:
            return block.subject == publish.broadcaster
        case SubjectKind.STREAM_KEY:
            return block.subject == publish.attributes.get("stream_key")
        case SubjectKind.ADDRESS:
            try:
                address = ipaddress.ip_address(publish.address.partition("%")[0])
            except ValueError:
                return False
            network = ipaddress.ip_network(block.subject)
            if address in network:
                return True
            inner = getattr(address, "ipv4_mapped", None)
            return inner is not None and inner in network
        case SubjectKind.ATTRIBUTE:
            return block.subject in {f"{name}={value}" for name, value in publish.attributes.items()}


@given(
    st.lists(blocks(), max_size=12, unique_by=lambda block: block.id),
    st.lists(st.tuples(blocks(), st.booleans()), max_size=20),
    publishes,
    st.integers(0, 20),
)
def test_view_agrees_with_a_scan(
    loaded: list[Block], changes: list[tuple[Block, bool]], publish: Publish, now: int
) -> None:
    view = AdmissionView()
    view.load(loaded)
    standing = {block.id: block for block in loaded}
    for block, removed in changes:
        if removed:
            view.remove(block.id)
            standing.pop(block.id, None)
        else:
            view.add_block(block)
            standing[block.id] = block
    assert len(view) == len(standing)
    found = view.check(publish, now)
    expected = [block for block in standing.values() if applies(block, publish, now)]
    if found is None:
        assert not expected
    else:
        assert found in expected
        assert found.until_ms == max(block.until_ms for block in expected)
    ended = sum(not block.active_at(now) for block in standing.values())
    assert view.expire(now) == ended
    assert len(view) == len(standing) - ended
    assert view.check(publish, now) == found
    reloaded = AdmissionView()
    reloaded.load(standing.values())
    again = reloaded.check(publish, now)
    assert (again is None) == (found is None)


def test_what_was_lifted_is_not_brought_back_by_news_of_its_times() -> None:
    loaded = Block("bl1", SubjectKind.BROADCASTER, "anna", "", "r", "", 0, 10, None, "test")
    added = replace(loaded, id="bl2", subject="berta")
    for lifted in (False, True):
        view = AdmissionView()
        view.load([loaded])
        view.add_block(added)
        for block in (loaded, added):
            if lifted:
                view.add_block(replace(block, lifted_ms=5, lifted_by="rita"))
            view.update(replace(block, until_ms=99))
            found = view.check(Publish("s", "c", "live", "n", block.subject), 50)
            assert (found is None) is lifted


texts = st.text(max_size=20)


@given(
    st.lists(
        st.builds(
            Block,
            id=st.text(min_size=1, max_size=40) | st.from_regex(r"bl_[0-9a-f]{32}[0-9 ]?", fullmatch=True),
            subject_kind=st.sampled_from(SubjectKind),
            subject=texts,
            app=texts,
            reason=texts,
            category=texts,
            created_ms=st.integers(0, PERMANENT_MS),
            until_ms=st.integers(0, PERMANENT_MS),
            incident_id=st.none() | st.text(min_size=1, max_size=40),
            created_by=texts,
            provisional=st.booleans(),
            full_until_ms=st.none() | st.integers(0, PERMANENT_MS),
            review_by_ms=st.none() | st.integers(0, PERMANENT_MS),
            strike_id=st.none() | st.text(min_size=1, max_size=40),
        ),
        max_size=30,
        unique_by=lambda block: block.id,
    )
)
def test_packed_blocks_come_back_whole(given: list[Block]) -> None:
    packed = BlockIndex([row_of(block) for block in given])
    assert len(packed) == len(given)
    for row, block in enumerate(given):
        assert packed.row_of(block.id) == row
        assert (row, block) in packed.find(block.subject_kind, subject_key(block.subject_kind, block.subject))
        assert packed.until_ms[row] == block.until_ms
    assert packed.row_of("") is None


def test_blocks_of_the_gate_come_back_whole_and_are_small() -> None:
    """The incident's id and the end of the wait are not stored twice."""
    tail = "0123456789abcdef" * 2
    plain = Block(f"bl_{tail}0", SubjectKind.BROADCASTER, "anna", "", "r", "c", 1, 2, None, "gate")
    waiting = replace(plain, incident_id=f"in_{tail}", provisional=True, full_until_ms=9, review_by_ms=2)
    packed = [BlockIndex([row_of(block)]) for block in (plain, waiting)]
    for block, one in zip((plain, waiting), packed, strict=True):
        assert list(one.find(SubjectKind.BROADCASTER, "anna")) == [(0, block)]
    assert len(packed[1]._data) == len(packed[0]._data) + 8


def test_a_lifted_block_leaves_the_view_whichever_way_it_came() -> None:
    loaded, added = (
        Block(ident, SubjectKind.BROADCASTER, "anna", "", "r", "", 0, 10, None, "test")
        for ident in ("bl1", "bl2")
    )
    view = AdmissionView()
    view.load([loaded])
    view.add_block(added)
    view.add_block(replace(added, lifted_ms=1))
    assert len(view) == 1
    view.add_block(replace(loaded, lifted_ms=1))
    assert len(view) == 0


@given(
    st.lists(blocks(), max_size=12, unique_by=lambda block: block.id),
    st.lists(blocks(), max_size=12),
    st.lists(st.tuples(blocks(), st.booleans()), max_size=12),
    st.integers(0, 20),
    publishes,
)
def test_what_a_clock_ahead_has_ended_is_back_when_it_is_loaded_again(
    loaded: list[Block],
    before: list[Block],
    meanwhile: list[tuple[Block, bool]],
    ahead: int,
    publish: Publish,
) -> None:
    view = AdmissionView()
    view.load(loaded)
    ledger = {block.id: block for block in loaded}
    for block in before:
        view.add_block(block)
        ledger[block.id] = block
    view.expire(ahead)
    added = view.added()
    fresh = AdmissionView()
    fresh.load([block for block in ledger.values() if block.id not in added])
    with view.changes() as changed:
        for block, lifted in meanwhile:
            ledger[block.id] = replace(block, lifted_ms=1) if lifted else block
            view.add_block(ledger[block.id])
        view.replace_loaded(fresh, changed)
    whole = AdmissionView()
    whole.load(ledger.values())
    assert len(view) == len(whole)
    found, expected = view.check(publish, 0), whole.check(publish, 0)
    assert (found and found.until_ms) == (expected and expected.until_ms)


def test_it_lacks_what_was_forgotten_by_a_clock_ahead() -> None:
    view, minute_ms = AdmissionView(), 60_000
    view.load_rows((), 5 * minute_ms)
    assert [view.lacks(at) for at in (4 * minute_ms - 1, 4 * minute_ms)] == [True, False]
    view.expire(9 * minute_ms)
    assert [view.lacks(at) for at in (8 * minute_ms - 1, 8 * minute_ms)] == [True, False]
    fresh = AdmissionView()
    fresh.load_rows((), 2 * minute_ms)
    view.replace_loaded(fresh, ())
    assert not view.lacks(2 * minute_ms)
