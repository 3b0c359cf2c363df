"""Log lines never block the code that writes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from edge.telemetry.log_writer import LogWriter

SCRIPT = """
import sys, structlog, logging
from edge.telemetry.logs import configure_logging
configure_logging("info")
log = structlog.get_logger("x")
for number in range(int(sys.argv[1])):
    log.info(f"line {number % 1000}", number=number)
logging.getLogger("asyncio").warning("of a library")
print("done", flush=True)
sys.stdin.readline()
log.info("last")
"""


def logging_process(lines: int, stderr: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(lines)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def test_every_line_comes_in_order_and_the_last_before_the_end() -> None:
    process = logging_process(300, subprocess.PIPE)
    _, written = process.communicate("\n", timeout=60)
    lines = written.splitlines()
    assert [json.loads(line)["number"] for line in lines[:300]] == list(range(300))
    assert "of a library" in lines[300]
    assert json.loads(lines[301])["event"] == "last"
    assert len(lines) == 302


def test_a_pipe_that_nobody_reads_holds_nobody_up_and_what_is_lost_is_said() -> None:
    reading, writing = os.pipe()
    process = logging_process(30_000, writing)
    os.close(writing)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "done\n"  # Nothing is read so far.
    with os.fdopen(reading, encoding="utf-8") as pipe:
        lines = [json.loads(pipe.readline())]
        process.stdin.write("\n")
        process.stdin.close()
        lines += [json.loads(line) for line in pipe if line.startswith("{")]
    assert process.wait(60) == 0
    numbers = [line["number"] for line in lines if "number" in line]
    lost = sum(line["count"] for line in lines if line["event"].startswith("log lines are lost"))
    assert numbers == sorted(numbers)
    assert numbers[0] == 0
    assert len(numbers) < 30_000
    # One or both of the other two lines may be among the lost ones.
    assert 30_000 <= len(numbers) + lost <= 30_002


def test_the_end_waits_for_a_reader_who_does_not_read_only_so_long() -> None:
    reading, writing = os.pipe()
    writer = LogWriter(writing, str)
    writer.write("x" * 1_000_000)
    writer.close(0.05)
    os.close(reading)  # The write fails now, and its thread ends.
    writer.close(10.0)
    os.close(writing)


def test_a_pipe_without_a_reader_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LogWriter(writing, str)
    assert writer.write("line\n") == 5
    writer.flush()
    writer.close(10.0)
    os.close(writing)
