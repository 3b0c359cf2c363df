"""What a worker process is told at its start, as JSON on its command line."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class WorkerSettings(BaseModel):
    """Resolved settings; the bounds come from the supervisor's ``limits`` section."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_dir: Path
    bank_dir: Path
    log_level: str = "info"
    max_access_unit_bytes: int
    max_extradata_bytes: int
    max_queue_units: int
    max_queue_bytes: int
    max_pending_samples: int = 2
    spare_load: float = 0.5
    evidence_min_free_mb: int = 0
    inbox_commands: int = 2048
    pull_schemes: tuple[str, ...]
    pull_open_ms: int
    pull_stall_ms: int
