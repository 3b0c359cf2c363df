"""For how long broadcasters were watched without a violation."""

from __future__ import annotations

import pytest

from edge.domain import UNPROVEN_ATTRIBUTE, Publish
from edge.supervise.clean_records import CleanRecords, viewers_of


def publish(name: str, **attributes: str) -> Publish:
    return Publish("grpc", "1", "live", name, name, "192.0.2.1", attributes)


def test_clean_streams_add_up_and_a_violation_ends_the_record() -> None:
    records = CleanRecords()
    records.watched(publish("anna"), 1000)
    records.watched(publish("anna"), 500)
    assert records.clean_ms(publish("anna")) == 1500
    assert records.clean_ms(publish("ben")) == 0
    records.violated(publish("anna"))
    assert records.clean_ms(publish("anna")) == 0


def test_nobody_has_a_record_under_a_name_that_nothing_proves() -> None:
    records = CleanRecords()
    records.watched(publish("anna"), 1000)
    assert records.clean_ms(publish("anna", **{UNPROVEN_ATTRIBUTE: "1"})) == 0
    records.watched(publish("carl", **{UNPROVEN_ATTRIBUTE: "1"}), 1000)
    assert records.clean_ms(publish("carl")) == 0


def test_those_watched_longest_ago_are_forgotten_first() -> None:
    records = CleanRecords(most=2)
    for name in ("anna", "ben", "anna", "carl"):
        records.watched(publish(name), 1000)
    assert [records.clean_ms(publish(name)) for name in ("anna", "ben", "carl")] == [2000, 0, 1000]


@pytest.mark.parametrize(
    ("text", "viewers"), [("12", 12), ("", 0), ("many", 0), ("-5", 0), ("9" * 30, 0), ("٣", 0)]
)
def test_viewers_are_a_number_or_none(text: str, viewers: int) -> None:
    assert viewers_of(publish("anna", viewers=text)) == viewers
    assert viewers_of(publish("anna")) == 0
