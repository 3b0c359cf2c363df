"""A real standby is promoted while two gates work and the old primary stays reachable and read-only."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.failover import good, run
from benchmarks.servers.switch_over import Pair
from tests.postgresql import in_schema

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def test_everything_comes_back_and_nothing_is_lost_doubled_or_stale(pair: Pair, tmp_path: Path) -> None:
    store = in_schema(f"{pair.url}?target_session_attrs=read-write", "fleet", tmp_path)
    result = run(tmp_path, pair, store.url, "read-only", 2.0, lambda phase: None)
    assert good(result), result
    assert result["said_down"] == 2
    assert result["cut"] >= 3
