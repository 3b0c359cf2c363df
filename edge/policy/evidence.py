"""The part of the policy about what is kept of media."""

from __future__ import annotations

from pydantic import Field

from edge.policy.part import PolicyPart


class EvidencePolicy(PolicyPart):
    """What is kept of a stream's media: always the newest, and more once something is found."""

    ring_ms: int = Field(
        12_000, ge=1_000, le=120_000, description="Compressed media kept for evidence, milliseconds."
    )
    ring_bytes: int = Field(
        32 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description="Upper limit of that media in bytes.",
    )
    after_ms: int = Field(
        10_000,
        ge=0,
        le=120_000,
        description="How long a clip goes on after a FLAG, and after the newest sign that what was flagged "
        "goes on; 0: clips end at the verdict. A clip of a CUT goes on until the stream is closed.",
    )
    longest_ms: int = Field(
        120_000, ge=0, le=600_000, description="How long a clip goes on after its verdict at most."
    )
    clip_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description="Upper limit of a clip in bytes. All that are being recorded share "
        "`limits.recording_mb`.",
    )
