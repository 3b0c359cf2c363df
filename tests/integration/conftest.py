"""Real ingest servers for the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.servers.nginx_rtmp import NginxRtmp, available
from tests.conftest import require


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[NginxRtmp]:
    """nginx with the shipped configuration, not started yet, because its hooks need an address first."""
    require(available(), "nginx with libnginx-mod-rtmp, or ffmpeg,")
    with NginxRtmp(tmp_path / "nginx") as server:
        yield server
