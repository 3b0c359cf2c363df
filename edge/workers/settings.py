"""Settings of the worker pool, and of one worker process."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from edge.containment import ContainmentMode
from edge.section import Section


class WorkersSection(Section):
    """Number of worker processes, and when one is replaced."""

    count: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="Worker processes. Default: one a core.",
    )
    restart_backoff_ms: int = Field(
        200, ge=10, le=60_000, description="First pause before a worker is replaced; it grows with failures."
    )
    heartbeat_ms: int = Field(1000, ge=100, le=60_000, description="Interval of the pings to each worker.")
    hang_ms: int = Field(10_000, ge=500, le=600_000, description="A worker silent for this long is killed.")
    job_ms: int = Field(
        5_000,
        ge=50,
        le=600_000,
        description="A worker is killed when one job, such as decoding a frame, takes longer.",
    )
    spare: int = Field(
        1,
        ge=0,
        le=1,
        description="Standby processes with the model loaded. A standby takes the place of a dead worker at "
        "once. 0: its streams wait for a new process.",
    )
    heavy: int = Field(
        1,
        ge=0,
        le=1,
        description="Worker processes beside `count` for streams over their `decoding.share`, at a lower "
        "priority. It starts with the first such stream. 0: they stay where they are and are sampled less.",
    )
    max_busy: float = Field(
        0.9, gt=0.0, le=1.0, description="No worker takes new streams while each is busier than this."
    )
    spare_load: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="A worker that is busy for a smaller share of its time samples calm streams more "
        "densely than it must; 0: never.",
    )
    max_resident_mb: int = Field(
        4096, ge=128, le=1_048_576, description="A worker that holds more memory is replaced."
    )
    ready_ms: int = Field(
        60_000, ge=1000, le=600_000, description="A worker must have loaded its model within this."
    )


class WorkerSettings(BaseModel):
    """Settings of a worker process, passed as JSON on its command line.

    The bounds come from the supervisor's ``limits`` section.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_dir: Path
    bank_dir: Path
    log_level: str = "info"
    max_access_unit_bytes: int
    max_extradata_bytes: int
    max_picture_long_edge: int = 4096
    max_picture_short_edge: int = 2304
    max_queue_units: int
    max_queue_bytes: int
    max_pending_samples: int = 2
    spare_load: float = 0.5
    evidence_min_free_mb: int = 0
    inbox_commands: int = 2048
    model_store: Path | None = None
    """Folder with the models that a swap may name."""
    evidence_incoming: Path | None = None
    """The only folder that the worker writes to."""
    max_resident_mb: int = 4096
    containment: ContainmentMode = ContainmentMode.TRY
