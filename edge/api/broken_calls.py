"""Keeps gRPC's own tracebacks out of the log where a caller can cause them."""

from __future__ import annotations

import logging
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from edge.telemetry.records import CallBroken
from edge.telemetry.telemetry import Telemetry

_LOGGERS: Final = ("grpc._cython.cygrpc", "asyncio")
"""Who writes down what ends a call: gRPC itself, and the event loop for its tasks."""
_CALLERS_DOING: Final = (DecodeError, grpc.RpcError, grpc.aio.BaseError)
"""A message that is none, and a call that is over while an answer is on its way."""


class BrokenCalls(logging.Filter):
    """Counts them instead: one line a second says how many there were. All other errors are written."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__()
        self._telemetry = telemetry

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, _CALLERS_DOING):
            return True
        self._telemetry.report(CallBroken(type(error).__name__))
        return False

    def install(self) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def remove(self) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)
