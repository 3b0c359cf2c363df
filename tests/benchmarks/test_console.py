"""How the console's benchmark asks, and what it counts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from pathlib import Path

import httpx
import pytest

from benchmarks import _console_pages as pages
from benchmarks.console import PARTS, _cpu_s, _parts, incident
from tests.console.browser import console, flagged


def test_parts_are_chosen_by_name() -> None:
    assert _parts("queue,cost") == ("queue", "cost")
    with pytest.raises(ArgumentTypeError, match=f"there are {', '.join(PARTS)}"):
        _parts("queue,nothing")


def test_the_time_of_children_counts() -> None:
    busy = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        for _ in range(9_000):
            if _cpu_s(child.pid) >= 0.3:
                break
            time.sleep(0.01)
        assert _cpu_s(os.getpid()) >= _cpu_s(child.pid) > 0
        child.communicate(b"\n")


async def test_an_open_page_gets_its_rows_and_then_only_news(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        await flagged(bench)
        answers: list[tuple[str, int]] = []

        async def note(answer: httpx.Response) -> None:
            answers.append((answer.request.url.path, answer.status_code))

        browser.client.event_hooks = {"response": [note]}
        asking = asyncio.create_task(pages.keep_open(browser.client, "/console/queue"))
        await bench.until(lambda: len(answers) >= 3)
        asking.cancel()
        assert answers[:3] == [("/console/queue", 200), ("/console/queue", 204), ("/console/queue", 204)]


def test_incidents_of_the_benchmark_differ() -> None:
    assert len({incident(number).id for number in range(100)}) == 100
