"""The stream in work is known after its worker has died, whichever thread crashed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.workers.crash_attribution import CurrentStreamPage

_START = """
import ctypes, os, signal, sys, threading
from edge.workers.crash_attribution import CurrentStreamPage
descriptor = int(sys.argv[1])
page = CurrentStreamPage(descriptor)
CurrentStreamPage.report_crashes(descriptor)
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
_BANKS_CRASH = """
def read():
    with page.reading_banks():
        ctypes.string_at(0)
page.enter("st_innocent")
thread = threading.Thread(target=read); thread.start(); thread.join()
"""
_MODEL_CRASHES = _BANKS_CRASH.replace("reading_banks", "loading_model")
_SEARCH_CRASHES = """
page.enter("st_innocent")
with page.matching():
    ctypes.string_at(0)
"""
_BEHIND_THE_END = """
import numpy, tempfile
with tempfile.NamedTemporaryFile() as file:
    os.truncate(file.name, 8192)
    mapped = numpy.memmap(file.name, mode="r")
    os.truncate(file.name, 0)
    page.enter("st_innocent")
    with page.matching():
        mapped[5000]
"""
_NEXT_JOB = """
page.enter("st_innocent")
with page.matching():
    pass
page.leave(); page.enter("st_culprit")
ctypes.string_at(0)
"""
_EVIDENCE_CRASHES = """
from edge.contract.gen import worker_pb2
from edge.workers import evidence_writer
evidence_writer.write_clip = lambda *arguments, **named: ctypes.string_at(0)
writer = evidence_writer.EvidenceWriter(print, page)
page.enter("st_decoded")
unit = worker_pb2.EvidenceMedia(stream_id="st_shown", codec="h264", first=True)
unit.units.add(keyframe=True, data=b"x")
writer.show(unit)
writer.save(worker_pb2.SaveEvidence(stream_id="st_shown", incident_id="in", directory="/"), None)
writer.finish()
"""


@pytest.mark.parametrize(
    ("body", "number", "culprit"),
    [
        (_KILLED, signal.SIGKILL, "st_culprit"),
        (_LOOP_CRASHES, signal.SIGSEGV, "st_decoded"),
        (_READER_CRASHES, signal.SIGSEGV, "st_pulled"),
        (_AFTER_READING, signal.SIGSEGV, "st_decoded"),
        (_EVIDENCE_CRASHES, signal.SIGSEGV, "st_shown"),
        (_NEXT_JOB, signal.SIGSEGV, "st_culprit"),
        (_BANKS_CRASH, signal.SIGSEGV, None),
        (_MODEL_CRASHES, signal.SIGSEGV, None),
        (_SEARCH_CRASHES, signal.SIGSEGV, None),
        (_BEHIND_THE_END, signal.SIGBUS, None),
    ],
    ids=[
        "killed",
        "loop",
        "reader",
        "after-reading",
        "evidence",
        "next-job",
        "banks",
        "model",
        "search",
        "behind-the-end",
    ],
)
def test_the_stream_in_work_outlives_its_process(
    body: str, number: signal.Signals, culprit: str | None
) -> None:
    descriptor = CurrentStreamPage.create()
    page = CurrentStreamPage(descriptor)
    assert page.culprit() is None
    child = subprocess.run(
        [sys.executable, "-c", _START + body, str(descriptor)],
        pass_fds=(descriptor,),
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    os.close(descriptor)
    assert child.returncode == -number
    assert page.culprit() == culprit
    assert ("Segmentation fault" in page.report) == (number is signal.SIGSEGV)
    page.close()


def test_slots_are_given_back_and_more_threads_than_slots_do_no_harm() -> None:
    descriptor = CurrentStreamPage.create()
    page = CurrentStreamPage(descriptor)
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


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "file"])
def test_it_is_on_no_disk_where_the_system_can(memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not memory:
        monkeypatch.delattr(os, "memfd_create")
    descriptor = CurrentStreamPage.create()
    assert os.readlink(f"/proc/self/fd/{descriptor}").startswith("/memfd:") == memory
    ours, theirs = CurrentStreamPage(descriptor), CurrentStreamPage(descriptor)
    os.close(descriptor)
    theirs.enter("st_x")
    assert ours.read() == "st_x"
    ours.close()
    theirs.close()


def test_the_beginning_of_a_job_is_told() -> None:
    descriptor = CurrentStreamPage.create()
    page = CurrentStreamPage(descriptor)
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
