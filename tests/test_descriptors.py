"""What a process does that may open few files."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource

import pytest

from edge.descriptors import most_connections, report_lack


@pytest.mark.parametrize(
    ("limit", "most"), [(resource.RLIM_INFINITY, 1000), (65_536, 1000), (256, 64), (2, 1)]
)
def test_no_kind_of_connection_takes_all(monkeypatch: pytest.MonkeyPatch, limit: int, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limit, limit))
    assert most_connections(1000, 0.25) == most


async def test_a_lack_is_reported_and_other_errors_are_written(caplog: pytest.LogCaptureFixture) -> None:
    loop, lacking = asyncio.get_running_loop(), []
    before = loop.get_exception_handler()
    report_lack(loop, lambda: lacking.append(1))
    try:
        for number in (errno.EMFILE, errno.ENFILE):
            loop.call_exception_handler({"message": "accept", "exception": OSError(number, "few")})
        assert (len(lacking), caplog.records) == (2, [])
        loop.call_exception_handler({"message": "wrong", "exception": OSError(errno.EIO, "ours")})
    finally:
        loop.set_exception_handler(before)
    assert [(record.levelno, record.message) for record in caplog.records] == [(logging.ERROR, "wrong")]
