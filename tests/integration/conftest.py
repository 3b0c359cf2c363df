"""Real ingest servers for the integration tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.servers.nginx_rtmp import NginxRtmp, available


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[NginxRtmp]:
    """nginx with the shipped configuration, not started yet: its hooks need an address first."""
    if not available():
        missing = "nginx with libnginx-mod-rtmp, or ffmpeg,"
        if os.environ.get("CI"):
            pytest.fail(f"{missing} is missing, and in CI nothing may be skipped")
        pytest.skip(f"{missing} is missing")
    with NginxRtmp(tmp_path / "nginx") as server:
        yield server
