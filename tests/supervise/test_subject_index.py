"""A new block finds the same streams as a scan of all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Block, Publish, StreamId, SubjectKind
from edge.ledger import AdmissionView
from edge.ledger.subjects import normal_subject
from edge.supervise.subject_index import SubjectIndex

NOW = 1_000
ADDRESSES = (
    "",
    "192.0.2.7",
    "192.0.2.200",
    "198.51.100.1",
    "::ffff:192.0.2.7",
    "2001:db8::1",
    "2001:db8:0:0::1",
    "2001:db8::2%eth0",
    "nonsense",
)
SUBJECTS = (
    (SubjectKind.BROADCASTER, "anna"),
    (SubjectKind.BROADCASTER, "nobody"),
    (SubjectKind.STREAM_KEY, "k1"),
    (SubjectKind.ATTRIBUTE, "device=d1"),
    (SubjectKind.ATTRIBUTE, "stream_key=k2"),
    (SubjectKind("device"), "d1"),
    (SubjectKind("device"), "DEVICE=D1"),
    (SubjectKind("carrier"), "192.0.2.0/25"),
    (SubjectKind("host"), "192.0.2.7"),
    (SubjectKind.ADDRESS, "192.0.2.7"),
    (SubjectKind.ADDRESS, "192.0.2.0/24"),
    (SubjectKind.ADDRESS, "::ffff:192.0.2.0/121"),
    (SubjectKind.ADDRESS, "2001:db8::1"),
    (SubjectKind.ADDRESS, "2001:db8::/64"),
)
publishes = st.builds(
    Publish,
    server=st.just("test"),
    connection=st.just(""),
    app=st.just("live"),
    name=st.just("name"),
    broadcaster=st.sampled_from(["anna", "bert"]),
    address=st.sampled_from(ADDRESSES),
    attributes=st.dictionaries(
        st.sampled_from(["stream_key", "device", "other"]), st.sampled_from(["k1", "k2", "d1", ""])
    ),
)


def block(kind: SubjectKind, subject: str) -> Block:
    return Block("bl_1", kind, normal_subject(kind, subject), "", "test", "", 0, NOW + 1, None, "test")


@given(st.lists(publishes, max_size=12), st.sets(st.integers(0, 11)), st.sampled_from(SUBJECTS))
def test_it_names_the_streams_that_admission_would_refuse(
    streams: list[Publish], over: set[int], named: tuple[SubjectKind, str]
) -> None:
    subjects = SubjectIndex()
    for number, publish in enumerate(streams):
        subjects.add_stream(StreamId(f"st_{number}"), publish)
    for number in over:
        if number < len(streams):
            subjects.remove(StreamId(f"st_{number}"), streams[number])
            subjects.remove(StreamId(f"st_{number}"), streams[number])
    one = block(*named)
    view = AdmissionView()
    view.add_block(one)
    expected = {
        f"st_{number}"
        for number, publish in enumerate(streams)
        if number not in over and view.check(publish, NOW) is not None
    }
    assert subjects.named_by(one) == expected


def test_nothing_is_kept_of_a_stream_that_is_over() -> None:
    publish = Publish("test", "", "live", "n", "anna", "192.0.2.7", {"stream_key": "k1", "device": "d1"})
    subjects = SubjectIndex()
    subjects.add_stream(StreamId("st_1"), publish)
    subjects.remove(StreamId("st_1"), publish)
    assert not subjects._exact
    assert not subjects._addresses
