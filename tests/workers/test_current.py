"""What a worker was working on is still known after it is gone, whichever of its threads crashed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.workers.current import CurrentStream

_START = """
import ctypes, os, signal, sys, threading
from edge.workers.current import CurrentStream
descriptor = int(sys.argv[1])
page = CurrentStream(descriptor)
CurrentStream.report_crashes(descriptor)
"""
_KILLED = """
page.enter("st_first"); page.leave(); page.enter("st_culprit")
os.kill(os.getpid(), signal.SIGKILL)
"""
_LOOP_CRASHES = """
ready = threading.Event()
def read():
    with page.reading("st_pulled"):
        ready.set(); threading.Event().wait()
threading.Thread(target=read, daemon=True).start()
ready.wait()
page.enter("st_decoded")
ctypes.string_at(0)
"""
_READER_CRASHES = """
def read():
    with page.reading("st_pulled"):
        ctypes.string_at(0)
page.enter("st_decoded")
thread = threading.Thread(target=read); thread.start(); thread.join()
"""
_AFTER_READING = """
def read():
    with page.reading("st_gone"):
        pass
    ctypes.string_at(0)
page.enter("st_decoded")
thread = threading.Thread(target=read); thread.start(); thread.join()
"""


@pytest.mark.parametrize(
    ("body", "number", "culprit"),
    [
        (_KILLED, signal.SIGKILL, "st_culprit"),
        (_LOOP_CRASHES, signal.SIGSEGV, "st_decoded"),
        (_READER_CRASHES, signal.SIGSEGV, "st_pulled"),
        (_AFTER_READING, signal.SIGSEGV, "st_decoded"),
    ],
    ids=["killed", "loop", "reader", "after-reading"],
)
def test_the_stream_in_work_outlives_its_process(body: str, number: signal.Signals, culprit: str) -> None:
    descriptor = CurrentStream.create()
    page = CurrentStream(descriptor)
    assert page.culprit() is None
    child = subprocess.run(
        [sys.executable, "-c", _START + body, str(descriptor)],
        pass_fds=(descriptor,),
        check=False,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    os.close(descriptor)
    assert child.returncode == -number
    assert page.culprit() == culprit
    assert ("Segmentation fault" in page.report) == (number is signal.SIGSEGV)
    page.close()


def test_slots_are_given_back_and_more_threads_than_slots_do_no_harm() -> None:
    descriptor = CurrentStream.create()
    page = CurrentStream(descriptor)
    os.close(descriptor)
    for _ in range(3):
        blocks = [page.reading(f"st_{number}") for number in range(600)]
        for block in blocks:
            block.__enter__()
        for block in blocks:
            block.__exit__(None, None, None)
    page.enter("st_" + "x" * 600)
    assert page.read() == ("st_" + "x" * 600)[:240]
    page.close()


def test_the_beginning_of_a_job_is_told() -> None:
    descriptor = CurrentStream.create()
    page = CurrentStream(descriptor)
    os.close(descriptor)
    assert page.since_ms() is None
    before = time.monotonic() * 1000
    page.enter("st_x")
    since = page.since_ms()
    assert since is not None
    assert before <= since <= time.monotonic() * 1000
    page.leave()
    assert page.since_ms() is None
    page.close()
