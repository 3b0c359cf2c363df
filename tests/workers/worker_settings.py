"""Worker settings for tests."""

from __future__ import annotations

from pathlib import Path

from edge.detect import default_model_directory
from edge.workers.settings import WorkerSettings


def worker_settings(bank_dir: Path) -> WorkerSettings:
    """With the shipped model."""
    return WorkerSettings(
        model_dir=default_model_directory(),
        bank_dir=bank_dir,
        max_access_unit_bytes=1_000_000,
        max_extradata_bytes=65_536,
        max_queue_units=400,
        max_queue_bytes=50_000_000,
    )
