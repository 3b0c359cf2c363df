"""The admission view answers like a scan of all blocks would."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Block, Publish, SubjectKind
from edge.ledger import AdmissionView

SUBJECTS = {
    SubjectKind.BROADCASTER: ["anna", "berta"],
    SubjectKind.STREAM_KEY: ["k1", "k2"],
    SubjectKind.ADDRESS: ["192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "2001:db8::1"],
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
    address=st.sampled_from(["", "192.0.2.1", "192.0.2.200", "198.51.100.1", "2001:db8::1", "unix"]),
    attributes=st.sampled_from([{}, {"stream_key": "k1"}, {"stream_key": "k3"}]),
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
                return ipaddress.ip_address(publish.address) in ipaddress.ip_network(block.subject)
            except ValueError:
                return False


@given(st.lists(st.tuples(blocks(), st.booleans()), max_size=20), publishes, st.integers(0, 20))
def test_view_agrees_with_a_scan(changes: list[tuple[Block, bool]], publish: Publish, now: int) -> None:
    view = AdmissionView()
    standing: dict[str, Block] = {}
    for block, removed in changes:
        if removed:
            view.remove(block.id)
            standing.pop(block.id, None)
        else:
            view.add(block)
            standing[block.id] = block
    assert len(view) == len(standing)
    found = view.check(publish, now)
    expected = [block for block in standing.values() if applies(block, publish, now)]
    if found is None:
        assert not expected
    else:
        assert found in expected
        assert found.until_ms == max(block.until_ms for block in expected)
    reloaded = AdmissionView()
    reloaded.load(standing.values())
    again = reloaded.check(publish, now)
    assert (again is None) == (found is None)
    ended = sum(not block.active_at(now) for block in standing.values())
    assert reloaded.expire(now) == ended
    assert len(reloaded) == len(standing) - ended
