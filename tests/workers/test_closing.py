"""A worker's report that it closes a stream, and the caller's error for it."""

from __future__ import annotations

import pytest

from edge.contract.gen import worker_pb2
from edge.errors import (
    BrokenMedia,
    BrokenSource,
    Fault,
    GateError,
    InvalidInput,
    LimitExceeded,
    ModelError,
    SourceStalled,
    UnsupportedCodec,
    WorkerLost,
)
from edge.reasons import CloseReason
from edge.workers.closing import Closing, error_of


def told(error: Exception, *, retryable: bool = False) -> worker_pb2.Closed:
    said = Closing.by(error, retryable=retryable).to_proto("st1", 3).SerializeToString()
    return worker_pb2.Closed.FromString(said)


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("open.extradata", "no avcC: at byte 3: 7"),
        LimitExceeded("access_unit.data", 4, 5, "bytes"),
        UnsupportedCodec("codec", "av1: no decoder"),
    ],
)
def test_a_wrong_value_keeps_its_field_and_its_problem(error: InvalidInput) -> None:
    closed = told(error)
    assert (closed.reason, closed.detail) == (error.reason, str(error))
    got = error_of(closed)
    assert isinstance(got, InvalidInput)
    assert (got.field, got.problem) == (error.field, error.problem)
    assert got.fault is Fault.PUBLISHER


def test_words_of_other_errors_are_not_taken_for_a_field() -> None:
    got = error_of(told(BrokenMedia("open.extradata: looks like a field")))
    assert type(got) is BrokenMedia
    assert str(got) == "broken_media: open.extradata: looks like a field"


@pytest.mark.parametrize(
    ("error", "retryable", "kind", "reason"),
    [
        (SourceStalled("nothing came"), False, SourceStalled, "source_stalled"),
        (ValueError("no number"), True, SourceStalled, "internal"),
        (ValueError("no number"), False, WorkerLost, "internal"),
        (ModelError("no output"), False, WorkerLost, "model"),
        (BrokenSource("half a tag"), False, BrokenSource, "broken_source"),
    ],
)
def test_what_may_be_tried_again_says_so(
    error: Exception, retryable: bool, kind: type[GateError], reason: str
) -> None:
    closed = told(error, retryable=retryable)
    assert closed.reason == reason
    assert type(error_of(closed)) is kind
    assert error_of(closed).fault is getattr(error, "fault", Fault.GATE)
    assert not Closing.by(error, retryable=retryable).for_good().retryable


def test_clean_ends() -> None:
    assert [reason for reason in CloseReason if reason.is_clean] == [CloseReason.END, CloseReason.DETACHED]
    assert not CloseReason(BrokenMedia.reason).is_clean
