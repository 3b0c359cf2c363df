"""Every backend gets every record, and none can disturb the caller."""

from __future__ import annotations

import inspect

from structlog.testing import capture_logs

from edge.telemetry import records
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.records import JudgedTooLate, LedgerBack, LedgerDown, Record
from edge.telemetry.telemetry import Telemetry
from tests.telemetry.reports import ONE_OF_EACH


class Broken:
    def take(self, record: Record) -> None:
        raise OSError("the disk is full")

    def flush(self) -> None:
        raise ValueError("nothing to put together")


def test_backends_get_every_record_in_order() -> None:
    first, second = RecordingBackend(), RecordingBackend()
    telemetry = Telemetry(first, second)
    for record in ONE_OF_EACH:
        telemetry.report(record)
    assert tuple(first.records) == tuple(second.records) == ONE_OF_EACH
    assert first.of(JudgedTooLate) == [JudgedTooLate("st_1")]


def test_what_a_backend_raises_is_counted_and_said_once_and_the_others_go_on() -> None:
    recorded = RecordingBackend()
    telemetry = Telemetry(Broken(), recorded)
    with capture_logs() as lines:
        telemetry.report(LedgerDown())
        telemetry.report(LedgerBack())
        telemetry.flush()
    assert recorded.records == [LedgerDown(), LedgerBack()]
    assert telemetry.failures == {"Broken": 3}
    assert [(line["log_level"], line["backend"], line["record"]) for line in lines] == [
        ("error", "Broken", "LedgerDown")
    ]


def test_records_are_frozen_and_each_kind_is_tried() -> None:
    kinds = {kind for _, kind in inspect.getmembers(records, inspect.isclass) if issubclass(kind, Record)} - {
        Record
    }
    assert {type(record) for record in ONE_OF_EACH} == kinds
    for kind in kinds:
        assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]
        assert "__slots__" in vars(kind), kind
