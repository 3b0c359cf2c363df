"""A programme to publish, made from real footage: calm first, then violent."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cli.demo_footage import DemoFootage, demo_footage
from edge.ingest.test_footage import write_programme


@pytest.fixture(scope="session")
def footage(shared: Path) -> DemoFootage:
    return demo_footage(None, shared / "data")


@pytest.fixture(scope="session")
def programme(footage: DemoFootage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The FLV file."""
    out = tmp_path_factory.mktemp("programme") / "programme.flv"
    write_programme(footage.parts, out)
    return out
