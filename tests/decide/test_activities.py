"""One incident for everything of one kind on a stream, with its count, peak and span."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from edge.decide import Activities, activity_of
from edge.decide.activities import WRITE_MS
from edge.domain import Action, Activity, Incident, Publish, Signal, SignalSource, Verdict
from edge.policy import ReviewPolicy
from edge.reasons import VerdictReason

REVIEW = ReviewPolicy(reopen_ms=60_000, incident_ms=600_000)
SOURCES = {
    VerdictReason.DETECTOR: SignalSource.DETECT,
    VerdictReason.MATCH: SignalSource.MATCH,
}


def signal(pts_ms: int, score: float = 0.6, *, entry: str | None = None) -> Signal:
    source = SignalSource.DETECT if entry is None else SignalSource.MATCH
    return Signal(source, "fight", pts_ms, score, entry=entry)


def verdict(
    pts_ms: int,
    score: float = 0.6,
    action: Action = Action.FLAG,
    *,
    shadow: bool = False,
    entry: str | None = None,
) -> Verdict:
    reason = VerdictReason.DETECTOR if entry is None else VerdictReason.MATCH
    found = signal(pts_ms, score, entry=entry)
    return Verdict(action, pts_ms, -1, "fight", reason, score, (found,), shadow=shadow)


class Stream:
    """Opens an incident for each FLAG that belongs to none, as the gate does."""

    def __init__(self) -> None:
        self.activities = Activities()
        self.incidents: list[Incident] = []

    def flag(self, said: Verdict, wall_ms: int) -> str:
        known = self.activities.incident_of(said, wall_ms, REVIEW)
        if known is not None:
            self.activities.add_verdict(said, wall_ms)
            return known
        made = Incident(
            f"in_{len(self.incidents)}", "st", Publish("s", "c", "a", "n", "b"), said, created_ms=wall_ms
        )
        self.incidents.append(made)
        self.activities.opened(made)
        return made.id


def test_sixteen_flags_of_a_stream_are_one_incident_with_count_peak_and_span() -> None:
    stream = Stream()
    for number in range(16):
        pts = number * 5_600
        stream.flag(verdict(pts, 0.5 + number % 4 / 10), wall_ms=pts)
        stream.activities.add_sign(signal(pts + 200, 0.95 if number == 7 else 0.3), pts + 200)
    assert len(stream.incidents) == 1
    [progress] = stream.activities.due(90_000, over=True)
    assert progress.incident_id == "in_0"
    assert progress.activity == Activity(16, 0.95, 0, 15 * 5_600 + 200, 15 * 5_600 + 200)
    assert progress.verdict is None


def test_a_flag_within_the_set_time_reopens_and_a_later_one_opens_anew() -> None:
    stream = Stream()
    assert stream.flag(verdict(0), 0) == "in_0"
    assert stream.flag(verdict(60_000), 60_000) == "in_0"
    assert stream.flag(verdict(120_001), 120_001) == "in_1"


def test_signs_keep_an_activity_going() -> None:
    stream = Stream()
    stream.flag(verdict(0), 0)
    for at in range(0, 120_000, 10_000):
        stream.activities.add_sign(signal(at), at)
    assert stream.flag(verdict(150_000), 150_000) == "in_0"


def test_an_incident_takes_flags_for_a_set_time_only() -> None:
    stream = Stream()
    ids = [stream.flag(verdict(at), at) for at in range(0, 1_300_000, 30_000)]
    assert sorted(set(ids)) == ["in_0", "in_1", "in_2"]


def test_what_a_person_has_decided_is_over() -> None:
    stream = Stream()
    stream.flag(verdict(0), 0)
    stream.activities.ended("in_0")
    assert stream.flag(verdict(1_000), 1_000) == "in_1"


def test_what_is_of_another_kind_is_another_incident() -> None:
    stream = Stream()
    other = dataclasses.replace(verdict(0), category="gunfire")
    ids = [
        stream.flag(said, 0) for said in (verdict(0), other, verdict(0, entry="e"), verdict(0, shadow=True))
    ]
    assert ids == ["in_0", "in_1", "in_2", "in_3"]


def test_a_withheld_cut_is_the_verdict_of_the_incident_and_is_noted_at_once() -> None:
    stream = Stream()
    stream.flag(verdict(0, shadow=True), 0)
    cut = verdict(400, 0.9, Action.CUT, shadow=True)
    assert stream.flag(cut, 400) == "in_0"
    [progress] = stream.activities.due(401)
    assert progress.verdict is cut
    assert stream.flag(verdict(9_000, shadow=True), 9_000) == "in_0"
    assert [one.verdict for one in stream.activities.due(9_000, over=True)] == [None]


def test_known_footage_of_further_entries_is_added_to_the_signals_within_a_bound() -> None:
    stream = Stream()
    for number in range(100):
        assert stream.flag(verdict(number, entry=f"e{number}"), number) == "in_0"
    [progress] = stream.activities.due(100, over=True)
    assert progress.verdict is not None
    assert [one.entry for one in progress.verdict.signals] == [f"e{number}" for number in range(32)]


def test_an_incident_of_before_a_restart_goes_on() -> None:
    stream = Stream()
    before = Incident(
        "in_old",
        "st",
        Publish("s", "c", "a", "n", "b"),
        verdict(0),
        created_ms=0,
        activity=Activity(5, 0.8, 0, 30_000, 30_000),
    )
    stream.activities.opened(before)
    assert stream.flag(verdict(80_000), 80_000) == "in_old"
    [progress] = stream.activities.due(80_000, over=True)
    assert progress.activity == Activity(6, 0.8, 0, 80_000, 80_000)


def test_what_rests_on_no_sample_has_no_span() -> None:
    said = Verdict(Action.FLAG, -1, -1, reason=VerdictReason.BLIND)
    assert activity_of(said, 5) == Activity(1, 0.0, -1, -1, 5)


events = st.lists(
    st.tuples(
        st.integers(0, 40_000),
        st.sampled_from(["flag", "sign", "cut"]),
        st.floats(0, 1),
        st.sampled_from([None, "a", "b"]),
    ),
    max_size=60,
)


@given(events)
def test_nothing_is_lost_and_notes_are_few(case: list[tuple[int, str, float, str | None]]) -> None:
    stream, now, flags = Stream(), 0, 0
    noted: dict[str, list[int]] = {}
    newest: dict[str, Activity] = {}
    for step, what, score, entry in case:
        now += step
        if what == "sign":
            stream.activities.add_sign(signal(now, score, entry=entry), now)
        else:
            flags += 1
            action = Action.CUT if what == "cut" else Action.FLAG
            ident = stream.flag(verdict(now, score, action, shadow=True, entry=entry), now)
            newest.setdefault(ident, activity_of(stream.incidents[-1].verdict, now))
        for progress in stream.activities.due(now):
            newest[progress.incident_id] = progress.activity
            noted.setdefault(progress.incident_id, []).append(now)
    for progress in stream.activities.due(now, over=True):
        newest[progress.incident_id] = progress.activity
    assert sum(activity.verdicts for activity in newest.values()) == flags
    assert len(newest) == len(stream.incidents)
    for ident, activity in newest.items():
        assert 0 <= activity.start_pts_ms <= activity.end_pts_ms <= now
        assert 0 <= activity.peak_score <= 1
        times = noted.get(ident, [])
        assert len(times) <= 2 + (times[-1] - times[0]) // WRITE_MS if times else True
    assert not list(stream.activities.due(now, over=True))
